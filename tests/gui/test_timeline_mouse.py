"""What mouse, wheel and trackpad do to the timeline."""

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QContextMenuEvent, QNativeGestureEvent, QPointingDevice
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from timeline_actions import HEIGHT, WIDTH, Button, Key, Modifier, drag, move, place_of, press, wheel

from loaderscope.agent.layout import State
from loaderscope.gui.style.theme import current_palette
from loaderscope.gui.timeline.data.viewport import fitted


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
    whole = fitted(0.0, widget.scene.total_ns)  # the minimap has the scale of lanes that show all of a trial
    assert middle == pytest.approx(whole.start + whole.span * 0.75, rel=0.005)


def test_hovering_lights_the_batch_in_every_lane(widget, qtbot):
    place, _, _ = place_of(widget, "worker-2", State.FETCH, 2)
    with qtbot.waitSignal(widget.spanHovered) as hovered:
        move(widget, place)
    assert hovered.args[0].state == State.FETCH
    assert {span.lane.partition("-")[0] for span in widget.pointer.lit} >= {"worker", "main", "flight"}
    assert {span.batch for span in widget.pointer.lit} == {hovered.args[0].batch}
    assert "worker 2 · fetch" in widget.pointer.card.title


def test_a_pinch_zooms_at_the_cursor(widget):
    time, before = widget.time_at(700), widget.viewport
    place = QPointF(700, 200)
    event = QNativeGestureEvent(
        Qt.NativeGestureType.ZoomNativeGesture,
        QPointingDevice.primaryPointingDevice(),
        2,
        place,
        place,
        widget.mapToGlobal(place),
        0.25,
        QPointF(),
    )
    assert event.type() == QEvent.Type.NativeGesture
    QApplication.sendEvent(widget, event)
    assert widget.viewport.span == pytest.approx(before.span / 1.25)
    assert widget.time_at(700) == pytest.approx(time, abs=before.span / 1e6)


def test_two_fingers_scroll_lanes_by_what_they_moved(widget):
    widget.resize(WIDTH, 220)
    before = widget.viewport
    wheel(widget, QPoint(600, 150), QPoint(0, -40), pixels=QPoint(2, -20))
    assert widget.scroll_y == 20
    assert widget.viewport == before


@pytest.mark.parametrize(("grabbed", "end"), [(600, 700), (400, 300)])
def test_dragging_an_edge_changes_the_measured_range_there(widget, grabbed, end):
    drag(widget, QPoint(400, 200), QPoint(600, 200))
    kept = widget.measured.start_ns if grabbed == 600 else widget.measured.end_ns
    drag(widget, QPoint(grabbed, 220), QPoint(end, 220))
    moved = widget.measured.end_ns if grabbed == 600 else widget.measured.start_ns
    assert (widget.measured.start_ns if grabbed == 600 else widget.measured.end_ns) == pytest.approx(kept, abs=2)
    assert moved - widget.scene.origin_ns == pytest.approx(widget.time_at(end), abs=widget.viewport.span / 500)


def test_the_cursor_tells_that_an_edge_can_be_dragged(widget):
    drag(widget, QPoint(400, 200), QPoint(600, 200))
    move(widget, QPoint(601, 210))
    assert widget.cursor().shape() == Qt.CursorShape.SplitHCursor
    move(widget, QPoint(700, 210))
    assert widget.cursor().shape() != Qt.CursorShape.SplitHCursor


@pytest.mark.parametrize(("begin", "end"), [(150, 300), (800, 950), (150, 950)])
def test_what_is_told_of_a_range_does_not_cover_it(widget, begin, end):
    """Beside the range, or not at all: inside it only its tint differs from what was painted before."""
    drag(widget, QPoint(begin, 440), QPoint(end, 440))
    move(widget, QPoint(end, 478))
    image, card = widget.grab().toImage(), QColor(current_palette().card)
    top = widget.lane_layout.header_height
    inside = [(x, y) for x in range(begin + 6, end - 6, 9) for y in range(top + 4, 400, 5)]
    assert not [place for place in inside if image.pixelColor(*place) == card]


def test_the_right_button_offers_marks(widget, qtbot):
    QApplication.sendEvent(
        widget, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, QPoint(500, 200), widget.mapToGlobal(QPoint(500, 200)))
    )
    menu = QApplication.activePopupWidget()
    assert "Set a mark here" in [action.text() for action in menu.actions()]
    menu.close()
