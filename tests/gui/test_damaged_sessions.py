"""The window and reports show what a session with wrong values holds, or say in one sentence why not."""

from __future__ import annotations

import random
import warnings

from damaged_sessions import change_json, change_rows, damage
from PySide6.QtWidgets import QApplication

from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.session.errors import SessionError
from loaderscope.session.file import SessionFile


def damaged_copies(session, count, seed):
    """The session file, damaged anew for each that is asked for."""
    good_bytes, chance = session.read_bytes(), random.Random(seed)
    for number in range(count):
        path = session.with_name(f"damaged-{number}.loaderscope")
        path.write_bytes(good_bytes)
        damage(path, chance)
        yield path


def test_a_report_of_a_damaged_session_is_written_or_refused(qapp, session):
    written = 0
    for path in damaged_copies(session, 25, seed=3):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's, of sums that do not fit
            try:
                with SessionFile.open(path) as opened:
                    written += "<html" in to_html(build_report(opened))
            except SessionError:
                pass
    assert 0 < written < 25


def test_the_window_opens_a_damaged_session_or_says_why_not(window, session):
    opened = refused = 0
    for path in damaged_copies(session, 25, seed=4):
        before = window.windowTitle()
        window.open_path(str(path))
        for trial in (0, 1, 2):
            window.shown.choose_trial(trial)
            QApplication.processEvents()
        is_open = window.windowTitle() != before
        opened += is_open
        refused += not is_open and "damaged" in window.setup.target_panel.problem.text()
    assert opened + refused == 25
    assert opened
    assert refused


def test_a_recorded_reading_beyond_all_measure_is_told_beside_the_timeline(window, session):
    change_rows(session, "series", lambda columns: columns["value"].fill(float("inf")))
    window.open_path(str(session))
    window.shown.choose_trial(0)
    assert "damaged" in window.setup.target_panel.problem.text()


def test_numbers_that_no_field_takes_are_shown_as_the_most_that_it_does(window, session):
    change_json(session, "request", "json", lambda request: {**request, "batches": 1 << 40, "train_epochs": 1 << 40})
    window.open_path(str(session))
    panel = window.setup.sweep_panel
    assert panel.batches.value() == panel.batches.maximum()
    assert panel.train_epochs.value() == panel.train_epochs.maximum()
