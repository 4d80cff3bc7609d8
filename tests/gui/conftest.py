"""Windows for tests: with settings of their own, closed with everything they started."""

from __future__ import annotations

import pathlib

import pytest
import support_session
import synthetic
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
from synthetic import MS
from timeline_actions import HEIGHT, WIDTH

from loaderscope.gui.style.theme import apply_theme
from loaderscope.session.file import SessionWriter


@pytest.fixture(scope="session", autouse=True)
def emptied_clipboard():
    """Empties the clipboard after the last test: the offscreen platform deletes what is on it only after Python has ended, and crashes."""
    yield
    if QApplication.instance() is not None:
        QApplication.clipboard().clear()


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> QSettings:
    """Settings that no other test sees."""
    return QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def window(qtbot, settings, monkeypatch):
    """An open window. A question about unsaved results is answered with "discard"; what it starts ends with the test.

    Its sweeps have the trials of their plan alone, however busy the machine of the test.
    """
    from loaderscope.gui.window.main_window import MainWindow
    from loaderscope.sweep import pool

    monkeypatch.setattr(pool, "MAX_VAIN_REPEATS", 0)

    apply_theme(QApplication.instance(), "dark")
    window = MainWindow(settings)
    window.dialogs.unsaved = lambda running, has_results: "discard"
    qtbot.addWidget(window, before_close_func=lambda window: window.discard_and_close())
    window.resize(1400, 900)
    with qtbot.waitExposed(window):
        window.show()
    return window


@pytest.fixture
def session(tmp_path: pathlib.Path) -> pathlib.Path:
    """A saved run of three settings and one that was skipped."""
    path = tmp_path / "three.loaderscope"
    writer = SessionWriter(path)
    support_session.record(writer, support_session.make_run())
    writer.close()
    return path


@pytest.fixture
def trace():
    """A trial of 4 workers and 40 batches, with its samples."""
    return synthetic.make_trace(num_workers=4, batches=40, fetch_ns=40 * MS, step_ns=8 * MS, transfer_ns=1 * MS, sample_events=True)


@pytest.fixture
def widget(qtbot, trace):
    """A timeline that shows it, with the focus."""
    from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget

    apply_theme(QApplication.instance(), "dark")
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.set_trace(trace, "trial 1")
    timeline.show()
    qtbot.waitExposed(timeline)
    timeline.setFocus()
    timeline.repaint()
    return timeline
