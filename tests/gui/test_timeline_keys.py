"""Every key of the timeline, and what it says to those who do not see it."""

import operator

import pytest
import synthetic
from PySide6.QtCore import QPoint
from PySide6.QtTest import QTest
from timeline_actions import HEIGHT, WIDTH, Button, Key, Modifier, drag, place_of, press, wheel

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.widget.timeline_keys import CONTROLS
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget


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


def test_shift_and_backspace_goes_forward_again(widget):
    whole = widget.viewport
    press(widget, Key.Key_W)
    zoomed = widget.viewport
    press(widget, Key.Key_Backspace)
    press(widget, Key.Key_Backspace, Modifier.ShiftModifier)
    assert widget.viewport == zoomed
    press(widget, Key.Key_Backspace)
    assert widget.viewport == whole


def test_a_new_view_ends_going_forward(widget):
    press(widget, Key.Key_W)
    press(widget, Key.Key_D)
    press(widget, Key.Key_Backspace)
    press(widget, Key.Key_W)
    zoomed = widget.viewport
    press(widget, Key.Key_Backspace, Modifier.ShiftModifier)
    assert widget.viewport == zoomed


def test_end_shows_the_end_of_a_trial_that_is_over(widget):
    for _ in range(6):
        press(widget, Key.Key_W)
    press(widget, Key.Key_End)
    low, high = widget.visible_range_ns()
    assert low < widget.scene.trace.end_ns <= high


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


def test_the_focus_is_seen(widget):
    ring = widget.grab().toImage().pixelColor(WIDTH // 2, 0)
    widget.clearFocus()
    assert widget.grab().toImage().pixelColor(WIDTH // 2, 0) != ring
