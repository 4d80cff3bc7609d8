"""The timeline widget: every key and mouse action, live data, and that nothing is painted when nothing changed."""

import operator

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import QKeyCombination, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.gui.theme import apply_theme, current_palette
from loaderscope.gui.timeline.controls import CONTROLS
from loaderscope.gui.timeline.view import TimelineWidget
from loaderscope.trace import lanes
from loaderscope.trace.model import OpenSpan, SeriesInfo, Trace

WIDTH, HEIGHT = 1000, 480
UP, NO_PIXELS = QPoint(0, 120), QPoint()
Key, Button, Modifier = Qt.Key, Qt.MouseButton, Qt.KeyboardModifier


@pytest.fixture
def trace():
    return synthetic.make_trace(num_workers=4, batches=40, fetch_ns=40 * MS, step_ns=8 * MS, transfer_ns=1 * MS)


@pytest.fixture
def widget(qtbot, trace):
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


def press(widget, key, modifier=Modifier.NoModifier):
    if isinstance(key, QKeyCombination):
        key, modifier = key.key(), key.keyboardModifiers()
    QTest.keyClick(widget, key, modifier)


def wheel(widget, place, angle=UP, modifier=Modifier.NoModifier, pixels=NO_PIXELS):
    where = QPointF(place)
    event = QWheelEvent(where, widget.mapToGlobal(where), pixels, angle, Button.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(widget, event)


def drag(widget, begin, end, button=Button.LeftButton, modifier=Modifier.NoModifier):
    QTest.mousePress(widget, button, modifier, begin)
    middle = QPoint((begin.x() + end.x()) // 2, end.y())
    for place in (middle, end):
        move(widget, place)
    QTest.mouseRelease(widget, button, modifier, end)


def move(widget, place):
    QTest.mouseMove(widget, place)


def place_of(widget, lane, state, number=0):
    """The middle of a lane's span of a state, in widget pixels, and the span's times."""
    placed = next(one for one in widget.lane_layout.rows if lane in one.row.lanes)
    index = next(index for index in widget.scene.tracks(lane) if state in index.states)
    row = int(index.rows_of(state)[number])
    middle = (int(index.start_ns[row]) + int(index.end_ns[row])) / 2 - widget.scene.origin_ns
    x = widget.lane_layout.label_width + widget.viewport.x_of(middle, widget.lane_layout.plot_width)
    y = widget.lane_layout.header_height + placed.bar_y + placed.bar_height // 3
    return QPoint(round(x), y), int(index.start_ns[row]), int(index.end_ns[row])


# keys


@pytest.mark.parametrize("key", [Key.Key_W, Key.Key_Plus, Key.Key_Equal])
def test_keys_zoom_in(widget, key):
    before = widget.viewport
    press(widget, key)
    assert widget.viewport.span == pytest.approx(before.span * 0.7)


@pytest.mark.parametrize("key", [Key.Key_S, Key.Key_Minus])
def test_keys_zoom_out(widget, key):
    for _ in range(3):
        press(widget, Key.Key_W)
    before = widget.viewport
    press(widget, key)
    assert widget.viewport.span == pytest.approx(before.span / 0.7)


def test_plus_typed_with_shift_zooms_too(widget):
    before = widget.viewport
    press(widget, Key.Key_Plus, Modifier.ShiftModifier)
    assert widget.viewport.span < before.span


@pytest.mark.parametrize(("key", "sign"), [(Key.Key_A, -1), (Key.Key_Left, -1), (Key.Key_D, 1), (Key.Key_Right, 1)])
def test_keys_pan(widget, key, sign):
    for _ in range(4):
        press(widget, Key.Key_W)
    before = widget.viewport
    press(widget, key)
    assert widget.viewport.span == before.span
    assert (widget.viewport.start - before.start) * sign > 0


@pytest.mark.parametrize("key", [Key.Key_0, Key.Key_Home])
def test_keys_show_the_whole_trial(widget, key):
    whole = widget.viewport
    press(widget, Key.Key_W)
    press(widget, Key.Key_D)
    press(widget, key)
    assert widget.viewport == whole


def test_backspace_goes_back(widget):
    whole = widget.viewport
    press(widget, Key.Key_W)
    press(widget, Key.Key_Backspace)
    assert widget.viewport == whole


def test_next_and_previous_span(widget, qtbot):
    press(widget, Key.Key_Period)
    first = widget.selected
    assert first is not None
    press(widget, Key.Key_Period)
    assert widget.selected.start_ns >= first.end_ns
    assert widget.selected.lane == first.lane
    press(widget, Key.Key_Comma)
    assert widget.selected == first
    assert widget.pointer.card is not None


def test_stepping_past_the_edge_brings_the_span_into_view(widget):
    place, _, _ = place_of(widget, "worker-1", State.FETCH, 3)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, place)
    press(widget, Key.Key_F)
    for _ in range(4):
        press(widget, Key.Key_Period)
    low, high = widget.visible_range_ns()
    assert low <= widget.selected.start_ns
    assert widget.selected.end_ns <= high


def test_f_fits_the_selected_span(widget):
    place, start, end = place_of(widget, "worker-2", State.FETCH, 4)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, place)
    press(widget, Key.Key_F)
    low, high = widget.visible_range_ns()
    assert low < start < end < high
    assert high - low < 2 * (end - start)


def test_enter_zooms_into_what_was_measured_and_escape_clears_it(widget, qtbot):
    drag(widget, QPoint(400, 200), QPoint(600, 210))
    measured = widget.measured
    assert measured is not None
    press(widget, Key.Key_Return)
    assert widget.visible_range_ns() == pytest.approx((measured.start_ns, measured.end_ns), abs=2)
    with qtbot.waitSignal(widget.rangeMeasured) as cleared:
        press(widget, Key.Key_Escape)
    assert cleared.args == [None]
    assert widget.measured is None


def test_up_and_down_scroll_the_lanes(widget):
    widget.resize(WIDTH, 220)
    press(widget, Key.Key_Down)
    assert widget.scroll_y > 0
    press(widget, Key.Key_Up)
    assert widget.scroll_y == 0


def test_every_control_of_the_table_is_a_method_and_no_key_is_taken_twice(widget):
    keys = [key for control in CONTROLS for key in control.keys]
    assert len(keys) == len(set(keys))
    assert all(callable(operator.attrgetter(control.method)(widget)) for control in CONTROLS)
    assert all(control.shown_keys for control in CONTROLS)


def test_keys_with_control_are_left_to_the_window(widget):
    before = widget.viewport
    press(widget, Key.Key_W, Modifier.ControlModifier)
    assert widget.viewport == before


# mouse


def test_control_and_wheel_zoom_at_the_cursor(widget):
    place = QPoint(700, 200)
    time = widget.time_at(place.x())
    before = widget.viewport
    wheel(widget, place, modifier=Modifier.ControlModifier)
    assert widget.viewport.span < before.span
    assert widget.time_at(place.x()) == pytest.approx(time, abs=before.span / 1e6)
    wheel(widget, place, QPoint(0, -120), Modifier.ControlModifier)
    assert widget.viewport.span == pytest.approx(before.span)


def test_shift_and_wheel_pan_and_a_trackpad_pans_sideways(widget):
    for _ in range(4):
        press(widget, Key.Key_W)
    before = widget.viewport
    wheel(widget, QPoint(600, 200), QPoint(0, -120), Modifier.ShiftModifier)
    later = widget.viewport
    assert later.start > before.start
    wheel(widget, QPoint(600, 200), QPoint(60, 0), pixels=QPoint(30, 0))
    assert widget.viewport.start < later.start


def test_the_wheel_scrolls_lanes_under_a_header_that_stays(widget):
    widget.resize(WIDTH, 220)
    before, header = widget.viewport, (0, 0, WIDTH, widget.lane_layout.header_height)
    pictures = [widget.grab().toImage()]
    wheel(widget, QPoint(600, 150), QPoint(0, -120))
    pictures.append(widget.grab().toImage())
    assert widget.scroll_y > 0
    assert widget.viewport == before
    assert pictures[0].copy(*header) == pictures[1].copy(*header)
    labels = (0, header[3], widget.lane_layout.label_width, 100)
    assert pictures[0].copy(*labels) != pictures[1].copy(*labels)


@pytest.mark.parametrize(("button", "modifier"), [(Button.LeftButton, Modifier.ShiftModifier), (Button.MiddleButton, Modifier.NoModifier)])
def test_dragging_pans_by_what_the_mouse_moved(widget, button, modifier):
    for _ in range(4):
        press(widget, Key.Key_W)
    time = widget.time_at(500)
    drag(widget, QPoint(500, 200), QPoint(440, 200), button, modifier)
    assert widget.time_at(440) == pytest.approx(time, abs=widget.viewport.span / 500)
    assert widget.measured is None


def test_dragging_measures_a_range(widget, qtbot):
    first, second = widget.time_at(400), widget.time_at(600)
    with qtbot.waitSignal(widget.rangeMeasured):
        drag(widget, QPoint(600, 200), QPoint(400, 200))
    origin = widget.scene.origin_ns
    assert widget.measured.start_ns - origin == pytest.approx(first, abs=2)
    assert widget.measured.end_ns - origin == pytest.approx(second, abs=2)
    assert {item.lane for item in widget.measured.states} >= {"main", "worker-0", "worker-3"}


def test_a_click_selects_and_a_click_on_nothing_clears(widget, qtbot):
    place, start, _ = place_of(widget, "worker-1", State.FETCH, 2)
    with qtbot.waitSignal(widget.spanSelected) as selected:
        QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, place)
    assert (selected.args[0].lane, selected.args[0].start_ns) == ("worker-1", start)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, QPoint(place.x(), HEIGHT - 4))
    assert widget.selected is None


def test_a_double_click_fits_a_span_and_on_nothing_all(widget):
    whole = widget.viewport
    place, start, end = place_of(widget, "worker-0", State.FETCH, 3)
    QTest.mouseDClick(widget, Button.LeftButton, Modifier.NoModifier, place)
    low, high = widget.visible_range_ns()
    assert low < start < end < high
    assert high - low < 2 * (end - start)
    QTest.mouseDClick(widget, Button.LeftButton, Modifier.NoModifier, QPoint(500, HEIGHT - 4))
    assert widget.viewport == whole


def test_the_minimap_takes_one_there(widget):
    for _ in range(6):
        press(widget, Key.Key_W)
    target = widget.lane_layout.label_width + round(widget.lane_layout.plot_width * 0.75)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, QPoint(target, widget.lane_layout.minimap_y + 8))
    middle = widget.viewport.start + widget.viewport.span / 2
    assert middle == pytest.approx(widget.scene.total_ns * 0.75, rel=0.01)


def test_hovering_lights_the_batch_in_every_lane(widget, qtbot):
    place, _, _ = place_of(widget, "worker-2", State.FETCH, 2)
    with qtbot.waitSignal(widget.spanHovered) as hovered:
        move(widget, place)
    assert hovered.args[0].state == State.FETCH
    assert {span.lane.partition("-")[0] for span in widget.pointer.lit} >= {"worker", "main", "flight"}
    assert {span.batch for span in widget.pointer.lit} == {hovered.args[0].batch}
    assert "worker 2 · fetch" in widget.pointer.card.title


# painting


def test_nothing_is_painted_when_nothing_changed(widget):
    paints = widget.backing.paints
    for _ in range(5):
        widget.refresh()
        widget.repaint()
    move(widget, QPoint(300, 200))
    widget.repaint()
    move(widget, QPoint(320, 200))
    widget.repaint()
    assert widget.backing.paints == paints


def test_panning_paints_only_what_came_into_view_and_looks_the_same(widget, trace):
    for _ in range(5):
        press(widget, Key.Key_W)
    widget.repaint()
    paints, parts = widget.backing.paints, widget.backing.parts
    widget.pan_px(37)
    widget.repaint()
    assert (widget.backing.paints, widget.backing.parts) == (paints, parts + 1)
    plot = (widget.lane_layout.label_width + 60, widget.lane_layout.header_height, 700, HEIGHT - widget.lane_layout.header_height)
    moved = widget.grab().toImage().copy(*plot)
    widget.backing.invalidate()
    anew = widget.grab().toImage().copy(*plot)
    different = sum(moved.pixel(x, y) != anew.pixel(x, y) for x in range(0, moved.width(), 3) for y in range(0, moved.height(), 3))
    assert different < 0.002 * moved.width() * moved.height() / 9  # names that were cut at the old edge


def many_spans(count=60_000):
    """A main lane that mostly waits and a worker, with far more spans than pixels, and one stall of each."""
    trace = Trace()
    trace.origin_ns = 10**15
    random = np.random.default_rng(5)
    for lane, states in ((lanes.MAIN_LANE, (State.WAIT, State.STEP)), (lanes.worker_lane(0), (State.FETCH, State.COLLATE))):
        durations = random.integers(50_000, 150_000, count)
        durations[count // 2] = 5 * MS
        end = trace.origin_ns + np.cumsum(durations + random.integers(0, 30_000, count))
        state = np.resize(np.array(states), count)
        trace.track(lane, 0).append(start_ns=end - durations, end_ns=end, state=state, batch=np.arange(count), value=np.zeros(count))
        trace.newest_ns = max(trace.newest_ns, int(end[-1]))
    trace.unavailable["nvml"] = "this machine has no GPU"  # said in the plot's place, in words that must not move
    trace.version = 1
    return trace


@pytest.mark.parametrize("pixels", [1, 37, -120])
def test_panning_over_columns_looks_like_all_of_it_painted_anew(widget, pixels):
    """Heights, hatching and marks: every pixel is the same."""
    widget.set_trace(many_spans(), "many")
    widget.repaint()
    widget.zoom_in()
    widget.repaint()
    parts = widget.backing.parts
    widget.pan_px(pixels)
    widget.repaint()
    assert widget.backing.parts == parts + 1
    layout = widget.lane_layout
    plot = (layout.label_width, layout.header_height, layout.plot_width, HEIGHT - layout.header_height)
    moved = widget.backing.pixmap_now().toImage().copy(*plot)
    widget.backing.invalidate()
    widget.repaint()
    assert moved == widget.backing.pixmap_now().toImage().copy(*plot)


def test_one_long_span_among_thousands_is_marked(widget):
    trace = many_spans()
    widget.set_trace(trace, "many")
    widget.repaint()
    image, layout = widget.backing.pixmap_now().toImage(), widget.lane_layout
    ink = current_palette().text
    for placed in layout.rows[:2]:
        y = layout.header_height + placed.bar_y - 1
        marked = [x for x in range(layout.label_width, WIDTH - 12) if image.pixelColor(x, y).name() == ink]
        index = widget.scene.tracks(placed.row.lanes[0])[0]
        start_ns = int(index.start_ns[(index.end_ns - index.start_ns).argmax()])
        expected = layout.label_width + widget.viewport.x_of(start_ns - trace.origin_ns, layout.plot_width)
        assert marked == pytest.approx([expected, expected + 1], abs=1)


def test_a_view_that_was_panned_is_painted_anew_when_it_has_settled(widget, qtbot):
    for _ in range(5):
        press(widget, Key.Key_W)
    widget.repaint()
    paints = widget.backing.paints
    widget.pan_px(20)
    widget.repaint()
    qtbot.waitUntil(lambda: widget.backing.paints == paints + 1, timeout=3000)


def test_the_theme_shows_at_once(widget):
    dark = widget.grab().toImage().pixelColor(5, HEIGHT - 5).lightness()
    apply_theme(QApplication.instance(), "light")
    light = widget.grab().toImage().pixelColor(5, HEIGHT - 5).lightness()
    apply_theme(QApplication.instance(), "dark")
    assert dark < 60 < 200 < light


# live


def grow(trace, number, now_ns):
    """One more batch of worker 0, as the reader would add it."""
    columns = trace.track(lanes.worker_lane(0), 0)
    columns.append(start_ns=now_ns - 9 * MS, end_ns=now_ns, state=State.FETCH, batch=number, value=0)
    trace.newest_ns = now_ns
    trace.version += 1


@pytest.fixture
def live(qtbot):
    trace = Trace()
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.set_trace(trace, "running")
    timeline.set_live(True)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline, trace


def test_a_trial_that_starts_empty_is_followed_as_it_grows(live):
    timeline, trace = live
    timeline.repaint()
    trace.origin_ns = 10**15
    for number in range(1, 30):
        grow(trace, number, 10**15 + number * 1000 * MS)
        timeline.refresh()
    timeline.repaint()
    low, high = timeline.visible_range_ns()
    assert low < trace.newest_ns <= high
    assert high - low < 15e9


def test_panning_pauses_following_and_end_resumes_it(live, qtbot):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 40_000 * MS)
    timeline.refresh()
    with qtbot.waitSignal(timeline.followingChanged) as paused:
        press(timeline, Key.Key_A)
    assert paused.args == [False]
    before = timeline.visible_range_ns()
    grow(trace, 1, 10**15 + 60_000 * MS)
    timeline.refresh()
    assert timeline.visible_range_ns() == before
    press(timeline, Key.Key_End)
    assert timeline.is_following
    assert timeline.visible_range_ns()[1] >= trace.newest_ns


def test_new_data_is_painted_once_per_refresh(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 500 * MS)
    timeline.refresh()
    timeline.repaint()
    paints, parts = timeline.backing.paints, timeline.backing.parts
    grow(trace, 1, 10**15 + 600 * MS)
    timeline.refresh()
    timeline.repaint()
    timeline.repaint()
    assert timeline.backing.paints + timeline.backing.parts == paints + parts + 1


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_painted_of_new_data_looks_like_all_of_it_painted_anew(live, sampled):
    """Late, long and open spans included: each step is compared with a full painting."""
    timeline, trace = live
    trace.origin_ns = 10**15
    info = SeriesInfo("cpu/main", "cpu", "CPU of main", "%", "main", 100 * MS)
    now_ns, parts = 10**15 + 12_000 * MS, 0
    trace.track(lanes.worker_lane(1), 0)
    for number in range(12):
        grow(trace, number, now_ns)
        if number % 4 == 3:
            begin = now_ns - 2_500 * MS
            trace.track(lanes.MAIN_LANE, 0).append(start_ns=begin, end_ns=now_ns - MS, state=State.WAIT, batch=number, value=0)
        trace.open_spans = (OpenSpan("worker-1", 0, State.COLLATE, now_ns - 120 * MS, number),)
        if sampled:
            trace.series_of(info).append(time_ns=now_ns, value=50.0 + number)
        timeline.refresh()
        timeline.repaint()
        partly = timeline.backing.pixmap_now().toImage()
        timeline.backing.invalidate()
        timeline.repaint()
        whole = timeline.backing.pixmap_now().toImage()
        top = timeline.lane_layout.header_height
        rows, columns = range(top, HEIGHT, 3), range(0, WIDTH - 12, 2)
        different = [(x, y) for x in columns for y in rows if partly.pixel(x, y) != whole.pixel(x, y)]
        assert len(different) < 20, different[:10]
        parts = timeline.backing.parts
        now_ns += 300 * MS
    assert parts > 5


def test_the_end_of_a_trial_shows_all_of_it(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 60_000 * MS)
    timeline.refresh()
    timeline.set_live(False)
    low, high = timeline.visible_range_ns()
    assert low <= trace.origin_ns
    assert high >= trace.newest_ns
    assert not timeline.is_following


# what is there when nothing is


def test_without_a_trial_the_widget_says_what_to_do_and_takes_every_key(qtbot):
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.show()
    for control in CONTROLS:
        press(timeline, control.keys[0])
    wheel(timeline, QPoint(500, 200), modifier=Modifier.ControlModifier)
    drag(timeline, QPoint(400, 200), QPoint(600, 200))
    image = timeline.grab().toImage()
    colours = {image.pixel(x, y) for x in range(300, 700, 2) for y in range(190, 260, 2)}
    assert len(colours) > 3  # text on a plain ground
    assert timeline.accessibleName() == "Timeline"
    assert "No trial" in timeline.accessibleDescription()


def test_the_accessible_description_tells_the_selected_span(widget):
    assert widget.accessibleDescription() == "trial 1"
    press(widget, Key.Key_Period)
    assert "main" in widget.accessibleDescription()


def test_another_trace_starts_afresh(widget, qtbot):
    press(widget, Key.Key_Period)
    press(widget, Key.Key_W)
    drag(widget, QPoint(400, 200), QPoint(600, 200))
    other = synthetic.make_trace(num_workers=0, batches=5)
    with qtbot.waitSignals([widget.rangeChanged, widget.rangeMeasured, widget.spanSelected]):
        widget.set_trace(other, "other")
    assert widget.measured is None
    assert widget.selected is None
    low, high = widget.visible_range_ns()
    assert low <= other.origin_ns
    assert high >= other.end_ns
    widget.set_trace(None)
    widget.repaint()
