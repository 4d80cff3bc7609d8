"""Two trials one above the other on one axis, aligned at their first batches."""

import pytest
import synthetic
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.gui.style.theme import apply_theme, current_palette
from loaderscope.gui.timeline.widget.timeline_pair import TimelinePair
from loaderscope.gui.window.comparison import comparable_trials
from loaderscope.gui.window.figure_export import FigureChoice, Options
from loaderscope.gui.window.main_window import MainWindow
from loaderscope.trace.model import Trace

Key, Button, Modifier = Qt.Key, Qt.MouseButton, Qt.KeyboardModifier


def make_trace(num_workers, **parameters):
    return synthetic.make_trace(num_workers=num_workers, batches=40, fetch_ns=40 * MS, step_ns=8 * MS, start_method="spawn", **parameters)


@pytest.fixture
def pair(qtbot):
    apply_theme(QApplication.instance(), "dark")
    pair = TimelinePair()
    qtbot.addWidget(pair)
    pair.resize(1000, 560)
    pair.first.set_trace(make_trace(4))
    pair.show()
    qtbot.waitExposed(pair)
    pair.compare(make_trace(0), ("trial 2 · 4 workers", "trial 0 · 0 workers"))
    pair.repaint()
    return pair


def first_batch_x(timeline):
    """Where the end of main's first wait stands in a timeline, in pixels."""
    index = next(index for index in timeline.scene.tracks("main") if State.WAIT in index.states)
    end_ns = int(index.end_ns[index.rows_of(State.WAIT)[0]])
    return timeline.viewport.x_of(end_ns - timeline.scene.origin_ns, timeline.lane_layout.plot_width)


def since_first_batch(timeline):
    return timeline.viewport.start - timeline.scene.axis_zero, timeline.viewport.span


def assert_aligned(pair):
    assert first_batch_x(pair.first) == pytest.approx(first_batch_x(pair.second), abs=1e-3)
    assert since_first_batch(pair.first) == pytest.approx(since_first_batch(pair.second))


def test_both_are_aligned_at_their_first_batch_and_fit(pair):
    assert first_batch_x(pair.first) > 10  # start-up takes time before it
    assert_aligned(pair)
    for timeline in (pair.first, pair.second):
        assert timeline.viewport.start <= 0 and timeline.viewport.end >= timeline.scene.total_ns
    assert pair.first.lane_layout.scroll_range == pair.second.lane_layout.scroll_range == 0


def test_a_line_marks_the_first_batch_in_both_at_the_same_pixel(pair):
    pair.first.zoom_at(0.7, pair.first.lane_layout.label_width + first_batch_x(pair.first))
    for timeline in (pair.first, pair.second):
        image, layout = timeline.grab().toImage(), timeline.lane_layout
        y = layout.header_height + 1  # above the first bar
        accent = [x for x in range(layout.label_width, layout.width - 2) if image.pixelColor(x, 28).name() == current_palette().accent]
        assert not accent  # there is no minimap to mark the visible range on
        found = [x for x in range(layout.label_width, layout.width) if image.pixelColor(x, y).name() == current_palette().muted]
        assert found == [layout.label_width + round(first_batch_x(pair.first))]


def test_the_axis_is_drawn_once_and_counts_from_the_first_batch(pair):
    assert pair.first.lane_layout.axis_px > 0
    assert pair.second.lane_layout.axis_px == 0
    assert pair.first.lane_layout.minimap_px == pair.second.lane_layout.minimap_px == 0


def test_marks_of_the_lower_trial_bring_an_axis_to_carry_their_flags(pair):
    pair.second.setFocus()
    QTest.keyClick(pair.second, Key.Key_M)
    assert pair.second.lane_layout.axis_px > 0
    assert_aligned(pair)
    pair.second.marking.remove()
    assert pair.second.lane_layout.axis_px == 0


@pytest.mark.parametrize("moved", ["first", "second"])
def test_keys_in_either_move_both(pair, moved):
    timeline = getattr(pair, moved)
    for key in (Key.Key_W, Key.Key_W, Key.Key_D, Key.Key_S, Key.Key_W, Key.Key_A):
        before = timeline.viewport
        QTest.keyClick(timeline, key)
        assert timeline.viewport != before
        assert_aligned(pair)
    QTest.keyClick(timeline, Key.Key_0)
    assert_aligned(pair)
    assert pair.first.viewport.end >= pair.first.scene.total_ns and pair.second.viewport.end >= pair.second.scene.total_ns


@pytest.mark.parametrize("moved", ["first", "second"])
def test_wheel_and_drag_in_either_move_both(pair, moved):
    timeline = getattr(pair, moved)
    place = QPointF(600, 70)
    event = QWheelEvent(
        place,
        timeline.mapToGlobal(place),
        QPoint(),
        QPoint(0, 360),
        Button.NoButton,
        Modifier.ControlModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(timeline, event)
    assert_aligned(pair)
    before = timeline.viewport
    QTest.mousePress(timeline, Button.MiddleButton, Modifier.NoModifier, QPoint(600, 70))
    QTest.mouseMove(timeline, QPoint(520, 70))
    QTest.mouseRelease(timeline, Button.MiddleButton, Modifier.NoModifier, QPoint(520, 70))
    assert timeline.viewport.start > before.start
    assert_aligned(pair)


def test_the_crosshair_and_the_batch_under_it_show_in_both(pair):
    QTest.mouseMove(pair.first, QPoint(400, 60))
    assert pair.second.pointer.x == 400
    index = next(index for index in pair.first.scene.tracks("main") if State.WAIT in index.states)
    row = int(index.rows_of(State.WAIT)[3])
    middle = (int(index.start_ns[row]) + int(index.end_ns[row])) / 2 - pair.first.scene.origin_ns
    layout = pair.first.lane_layout
    main = next(placed for placed in layout.rows if placed.row.key == "main")
    QTest.mouseMove(
        pair.first,
        QPoint(layout.label_width + round(pair.first.viewport.x_of(middle, layout.plot_width)), layout.header_height + main.bar_y + 3),
    )
    batch = pair.first.pointer.span.batch
    assert {span.batch for span in pair.second.pointer.lit} == {batch}
    QApplication.sendEvent(pair.first, QEvent(QEvent.Type.Leave))
    assert pair.second.pointer is None


def test_a_measured_range_is_measured_in_both(pair):
    pair.second.measure(0.0, 200 * MS)
    shift = pair.first.scene.axis_zero - pair.second.scene.axis_zero
    assert pair.first.measured.start_ns - pair.first.scene.origin_ns == pytest.approx(shift, abs=1)
    assert pair.first.measured.duration_ns == pytest.approx(200 * MS, abs=1)
    QTest.keyClick(pair.first, Key.Key_Escape)
    assert pair.first.measured is None and pair.second.measured is None


def test_lanes_are_arranged_alike(pair):
    pair.second.set_arrangement(pair.second.arrangement.hide(["main"]))
    assert "main" not in [row.key for row in pair.first.arranged.rows]


def test_closing_shows_one_trial_alone_again(pair):
    rows = [placed.row.key for placed in pair.first.lane_layout.rows]
    pair.close_second()
    assert not pair.second.isVisible() and pair.second.scene is None
    assert pair.first.scene.axis_zero is None and pair.first.lane_layout.minimap_px > 0
    assert pair.first.viewport.start <= 0 and pair.first.viewport.end >= pair.first.scene.total_ns
    assert set(rows) <= {placed.row.key for placed in pair.first.lane_layout.rows}
    pair.first.zoom_in()  # moves nothing but itself
    assert pair.second.viewport != pair.first.viewport


def test_a_trial_without_a_batch_is_not_aligned(qtbot, pair):
    with qtbot.waitSignal(pair.notAligned):
        pair.compare(Trace(), ("", ""))
    assert not pair.is_compared and pair.first.scene.axis_zero is None


def test_a_trial_that_is_shown_in_the_others_place_is_aligned_too(pair):
    pair.second.measure(0.0, 1e9)
    pair.first.set_trace(make_trace(2))
    assert_aligned(pair)
    assert pair.first.scene.axis_zero is not None and pair.first.lane_layout.minimap_px == 0
    pair.first.set_trace(None)
    assert pair.is_compared  # it only waits for the next one
    pair.first.set_trace(make_trace(1))
    assert_aligned(pair)


def test_traces_with_many_spans_are_aligned_when_both_are_prepared(qtbot, pair, monkeypatch):
    monkeypatch.setattr("loaderscope.gui.timeline.widget.navigable_timeline.SPANS_AT_ONCE", 10)
    pair.first.set_trace(make_trace(3))
    pair.compare(make_trace(0), ("a", "b"))
    assert pair.first.scene is None and pair.second.scene is None
    qtbot.waitUntil(lambda: pair.first.scene is not None and pair.second.scene is not None)
    assert_aligned(pair)
    assert pair.second.scene.title == "b"


# in the window


@pytest.fixture
def opened(window, session):
    window.open_path(str(session))
    window.shown.choose_trial(2)
    return window


def test_the_trial_without_workers_is_proposed_first_and_what_never_ran_is_not(opened):
    results = opened.shown.state.snapshot().results
    assert [result.id for result in comparable_trials(results, 2, None)] == [0, 1]
    assert [result.id for result in comparable_trials(results, 0, results[2].config)] == [2, 1]
    assert comparable_trials(results, 3, None) == []  # was skipped


def test_comparing_by_command_choice_and_table_and_closing(qtbot, opened):
    views = opened.views
    opened.commands["compare"].trigger()
    assert views.pair.is_compared and opened.shown.comparison.partner == 0
    assert "0 workers" in views.pair.second.scene.title and "main waits" in views.pair.second.scene.title
    assert "trial 2" in views.pair.first.scene.title
    opened.commands["compare"].trigger()
    assert not views.pair.is_compared
    views.compare.choice.setCurrentIndex(views.compare.choice.findData(1))
    views.compare.choice.activated.emit(views.compare.choice.currentIndex())
    assert "trial 1" in views.pair.second.scene.title
    views.compare.choice.setFocus()
    qtbot.keyClick(views.compare.choice, Key.Key_Escape)
    assert not views.pair.is_compared and not views.compare.close_button.isVisible()
    row = next(row for row in range(4) if views.results.model.row(row).trial_id == 0)
    place = views.results.table.visualRect(views.results.model.index(row, 2)).center()
    next(action for action in views.results.menu(place).actions() if "Compare" in action.text()).trigger()
    assert opened.shown.comparison.partner == 0 and opened.shown.trial == 2
    qtbot.mouseClick(views.compare.close_button, Button.LeftButton)
    assert not views.pair.is_compared


def test_tables_say_which_of_two_trials_they_are_about_and_count_from_the_same_moment(qtbot, opened):
    views = opened.views
    for dock, note in (("selection", views.selection.note), ("spans", views.spans.note)):
        views.docks[dock].bring_up()
        qtbot.waitUntil(lambda note=note: "in sight" in note.text())
        assert "above" not in note.text()
    opened.shown.comparison.choose(0)
    qtbot.waitUntil(lambda: views.spans.note.text().startswith("Trial 2 (above). "))
    views.docks["selection"].bring_up()
    qtbot.waitUntil(lambda: views.selection.note.text().startswith("Trial 2 (above). What is in sight: "))
    first, zero = views.timeline, views.timeline.scene.axis_zero
    first.measure(zero, zero + 50 * MS)
    qtbot.waitUntil(lambda: "Measured range: 50.0 ms from 0 s." in views.selection.note.text())
    qtbot.waitUntil(lambda: views.late_batches.note.text().startswith("Trial 2 (above). "))
    opened.shown.comparison.close()
    qtbot.waitUntil(lambda: views.selection.note.text().startswith("Measured range: "))
    assert views.late_batches.note.text() and "above" not in views.late_batches.note.text()


def test_the_search_is_in_the_trial_that_the_keyboard_is_in(qtbot, opened):
    opened.shown.comparison.choose(0)
    pair = opened.views.pair
    for timeline, other in ((pair.second, pair.first), (pair.first, pair.second)):
        timeline.setFocus()
        opened.commands["find"].trigger()
        assert timeline.search_bar.isVisible() and not other.search_bar.isVisible()
        timeline.search_bar.close_bar()


def test_another_trial_is_compared_with_the_same_partner(opened):
    opened.shown.comparison.choose(0)
    opened.shown.choose_trial(1)
    assert opened.views.pair.is_compared and "trial 1" in opened.views.pair.first.scene.title
    opened.shown.choose_trial(0)  # cannot be compared with itself
    assert not opened.views.pair.is_compared


def test_a_figure_of_what_is_compared_holds_both(qtbot, opened, tmp_path, monkeypatch):
    alone, both = tmp_path / "alone.svg", tmp_path / "both.svg"
    paths = iter([str(alone), str(both)])
    monkeypatch.setattr(opened.figures, "ask", lambda subjects, current: FigureChoice(subjects[current], Options("svg")))
    monkeypatch.setattr(opened.figures, "ask_name", lambda *_: next(paths))
    for compared in (False, True):
        if compared:
            opened.shown.comparison.choose(0)
        with qtbot.waitSignal(opened.figures.ended):
            opened.commands["export"].trigger()
    assert ">trial 0 · 0 workers" in both.read_text() and ">trial 2 · 2 workers" in both.read_text()
    assert "0 workers" not in alone.read_text()


def test_the_arrangement_of_lanes_is_remembered(qtbot, opened, settings):
    opened.views.timeline.set_arrangement(opened.views.timeline.arrangement.hide(["worker-1"]).pin("main"))
    again = MainWindow(settings)
    qtbot.addWidget(again)
    assert again.views.timeline.arrangement == opened.views.timeline.arrangement
    again.commands["reset_lanes"].trigger()
    assert MainWindow(settings).views.timeline.arrangement.hidden == frozenset()


def test_what_was_done_to_the_lanes_of_one_trial_is_taken_back_in_both(pair):
    pair.handling[pair.second]._hide([pair.second.arranged.rows[0]])
    assert pair.first.arrangement.hidden
    QTest.keyClick(pair.first, Key.Key_Z, Modifier.ControlModifier)
    assert not pair.first.arrangement.hidden and not pair.second.arrangement.hidden


def test_lane_commands_act_on_the_selected_lane(opened):
    timeline = opened.views.timeline
    timeline.next_span()
    lane = timeline.selected.lane
    row = next(row for row in timeline.arranged.rows if lane in row.lanes)
    opened.commands["pin_lane"].trigger()
    assert timeline.arranged.rows[0].key == row.key and timeline.arranged.pinned_count == 1
    opened.commands["taller_lane"].trigger()
    assert row.key in timeline.arranged.heights
    opened.commands["hide_lane"].trigger()
    assert row in timeline.arranged.hidden
    opened.commands["show_hidden_lanes"].trigger()
    opened.commands["collapse_workers"].trigger()
    assert any(each.kind == "group" for each in timeline.arranged.rows)


def test_the_window_fits_a_small_screen_while_comparing(opened):
    opened.shown.comparison.choose(0)
    opened.views.trial_note.setText("a note that is longer than there is room for. " * 4)
    assert opened.minimumSizeHint().width() <= 1280
