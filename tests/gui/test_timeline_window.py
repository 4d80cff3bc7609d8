"""The timeline within the window: keys that reach it from elsewhere, figures, and marks that are kept."""

import pytest
import synthetic
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from timeline_actions import Key, Modifier, press

from loaderscope.facts.run import Mark
from loaderscope.gui.run.training_trace import TrainingTrace
from loaderscope.gui.style.theme import LIGHT
from loaderscope.gui.timeline.widget.timeline_keys import CONTROLS, MOUSE
from loaderscope.gui.window.command_table import COMMANDS, TIMELINE_COMMANDS, matching_commands
from loaderscope.gui.window.figure_export import FigureChoice, Options
from loaderscope.gui.window.help_page import help_html
from loaderscope.gui.window.mark_store import CompleteFile, MarkStore
from loaderscope.session.file import SessionFile


@pytest.fixture
def timeline(window, session):
    """The timeline of a window that shows a saved run."""
    window.open_path(str(session))
    window.activateWindow()
    window.views.timeline.setFocus()
    return window.views.timeline


@pytest.mark.parametrize(("key", "modifier"), [(Key.Key_F, Modifier.ControlModifier), (Key.Key_Slash, Modifier.NoModifier)])
def test_control_f_and_slash_open_the_search(timeline, key, modifier):
    press(timeline, key, modifier)
    assert timeline.search_bar.isVisible()
    assert timeline.search_bar.field.hasFocus()


def test_control_f_opens_the_search_from_a_table_too(window, timeline):
    window.views.results.table.setFocus()
    press(window.views.results.table, Key.Key_F, Modifier.ControlModifier)
    assert timeline.search_bar.field.hasFocus()


def test_slash_in_a_text_field_is_a_slash(window, timeline):
    window.commands["show_log"].trigger()
    press(window.views.log.filter, Key.Key_Slash)
    assert window.views.log.filter.text() == "/"
    assert not timeline.search_bar.isVisible()


def copy_figure(qtbot, window, timeline):
    with qtbot.waitSignal(window.figures.ended):
        press(timeline, Key.Key_C, Modifier.ControlModifier)


def test_control_c_copies_what_the_timeline_shows(qtbot, window, timeline):
    QApplication.clipboard().clear()
    copy_figure(qtbot, window, timeline)
    whole = QApplication.clipboard().image()
    assert whole.width() > 1000
    for _ in range(4):
        press(timeline, Key.Key_W)
    copy_figure(qtbot, window, timeline)
    assert QApplication.clipboard().image() != whole


def test_control_c_elsewhere_is_left_to_what_has_the_focus(window, timeline):
    QApplication.clipboard().setText("before")
    window.commands["show_selection"].trigger()
    table = window.views.selection.table
    press(table, Key.Key_C, Modifier.ControlModifier)
    assert QApplication.clipboard().text().startswith("lane\tstate")


def test_control_c_copies_a_figure_only_while_the_timeline_has_the_focus(window, timeline):
    QApplication.clipboard().setText("before")
    window.views.results.table.setFocus()
    press(window.views.results.table, Key.Key_C, Modifier.ControlModifier)
    assert not QApplication.clipboard().mimeData().hasImage()


def test_a_figure_has_the_lanes_that_are_shown(qtbot, window, timeline):
    copy_figure(qtbot, window, timeline)
    all_lanes = QApplication.clipboard().image()
    timeline.set_arrangement(timeline.arrangement.hide(["main"]))
    copy_figure(qtbot, window, timeline)
    assert QApplication.clipboard().image().height() < all_lanes.height()


def test_control_e_writes_what_the_timeline_shows(qtbot, window, timeline, tmp_path, monkeypatch):
    target = tmp_path / "figure.svg"
    monkeypatch.setattr(window.figures, "ask", lambda subjects, current: FigureChoice(subjects[current], Options()))
    monkeypatch.setattr(window.figures, "ask_name", lambda *_: str(target))
    with qtbot.waitSignal(window.figures.ended):
        press(timeline, Key.Key_E, Modifier.ControlModifier)
    assert "<svg" in target.read_text("utf-8")


def test_marks_are_kept_in_the_session_file(window, timeline, session):
    press(timeline, Key.Key_M)
    (mark,) = timeline.marking.marks
    shown = window.shown.trial
    with SessionFile.open(session) as file:
        assert file.marks(shown) == [mark]
    window.commands["next_trial" if shown == 0 else "previous_trial"].trigger()
    assert not timeline.marking.marks
    window.shown.choose_trial(shown)
    assert timeline.marking.marks == (mark,)


def test_a_mark_in_the_trial_that_is_compared_with_belongs_to_that_trial(window, timeline, session):
    window.commands["compare"].trigger()
    second, partner = window.views.pair.second, window.shown.comparison.partner
    assert partner != window.shown.trial
    second.setFocus()
    press(second, Key.Key_M)
    assert not timeline.marking.marks
    with SessionFile.open(session) as file:
        assert tuple(file.marks(partner)) == second.marking.marks
        assert not file.marks(window.shown.trial)


def test_a_file_that_cannot_be_changed_is_told_in_a_sentence_and_the_mark_stays(window, timeline, session):
    session.unlink()
    press(timeline, Key.Key_M)
    assert len(timeline.marking.marks) == 1
    assert not session.exists()
    told = window.setup.target_panel.problem.text()
    assert told.startswith("The marks are shown but cannot be kept.")
    assert "three.loaderscope cannot be changed" in told


def test_marks_set_while_a_sweep_runs_are_written_once_its_file_is_complete(session):
    problems = []
    book = MarkStore(problems.append, lambda: None)
    book.set_marks(1, [Mark(5, "early")])
    assert book.marks_of(1) == (Mark(5, "early"),)
    book.store_in(CompleteFile(session))
    with SessionFile.open(session) as file:
        assert file.marks(1) == [Mark(5, "early")]
    book.set_marks(1, [])
    with SessionFile.open(session) as file:
        assert file.marks(1) == []
    assert not problems


def test_every_control_stands_in_the_palette_and_on_the_help_page(window):
    found = {command.name for command in matching_commands("")}
    page = help_html(LIGHT)
    for control, command in zip(CONTROLS, TIMELINE_COMMANDS, strict=True):
        assert command.name in found
        assert control.words in page
    assert all(words in page for _, words in MOUSE)
    assert not {command.name for command in COMMANDS} & {command.name for command in TIMELINE_COMMANDS}


def test_the_palette_runs_a_control_of_the_timeline(window, timeline):
    before = timeline.viewport
    window.commands["palette"].trigger()
    QTest.keyClicks(window.palette_box.field, "zoom in")
    press(window.palette_box.field, Key.Key_Return)
    assert timeline.viewport.span < before.span


@pytest.mark.parametrize(("name", "panel"), [("show_selection", "selection"), ("show_spans", "spans")])
def test_the_tables_are_brought_up_with_the_keyboard_on_them(qtbot, window, timeline, name, panel):
    window.commands[name].trigger()
    table = getattr(window.views, panel).table
    assert table.hasFocus()
    qtbot.waitUntil(lambda: table.model().rowCount() > 0, timeout=3000)


def test_c_folds_the_loader_under_the_mouse_and_unfolds_it(timeline):
    merged = TrainingTrace()
    for trial in (0, 1):
        merged.add(trial, f"train.py:{trial}", synthetic.make_trace(num_workers=2, batches=10))
    merged.refresh()
    timeline.set_trace(merged, "all loaders")

    def folded():
        return [row.label for row in timeline.arranged.rows if row.is_folded]

    placed = next(placed for placed in timeline.lane_layout.rows if placed.row.key == "0/main")
    timeline.hover(timeline.width() / 2, timeline.lane_layout.header_height + placed.y + 2)
    press(timeline, Key.Key_C)
    assert folded() == ["train.py:0"]
    timeline.hover(timeline.width() / 2, timeline.lane_layout.header_height + timeline.lane_layout.rows[0].y + 2)
    press(timeline, Key.Key_C)
    assert folded() == []
