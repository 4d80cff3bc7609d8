"""What the mouse does in a timeline: it pans, measures, selects and moves the crosshair."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent

from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.widget.mark_editing import MarkEditing
from loaderscope.gui.timeline.widget.navigable_timeline import NavigableTimeline
from loaderscope.gui.timeline.widget.timeline_keys import ZOOM_STEP

_CLICK_PX = 3
_NOTCH = 120
_PAN_PX = 60
_SCROLL_PX = 48
_EDGE_PX = 4.0
"""The mouse catches an edge of the measured range up to this distance."""


class Mouse:
    """Turns mouse and wheel events into the widget's actions."""

    def __init__(self, widget: NavigableTimeline, marking: MarkEditing) -> None:
        self._widget = widget
        self._marking = marking
        self._drag: str | None = None  # pan | measure | minimap
        self._mark: Mark | None = None  # whose flag was pressed
        self._from_x = 0.0
        self._from_time = 0.0  # the other end of the measured range
        self._moved = False

    def press(self, event: QMouseEvent) -> None:
        widget, layout = self._widget, self._widget.lane_layout
        x, y = event.position().x(), event.position().y()
        middle = event.button() == Qt.MouseButton.MiddleButton
        if event.button() != Qt.MouseButton.LeftButton and not middle:
            return
        self._moved = False
        self._from_x, self._from_time = x, widget.time_at(x)
        self._mark = self._marking.at(x, y)
        edge = self._edge_opposite(x, y)
        if middle or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._drag = "pan"
            widget.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif layout.minimap_y <= y < layout.axis_y:
            self._drag = "minimap"
            widget.go_on_minimap(x)
        elif edge is not None:
            self._drag, self._from_time = "measure", edge
        elif x >= layout.label_width and self._mark is None:
            self._drag = "measure"

    def _edge_opposite(self, x: float, y: float) -> float | None:
        """Returns the moment of the opposite edge if the mouse is on an edge of the measured range; a drag keeps that edge."""
        widget, measured = self._widget, self._widget.measured
        if measured is None or widget.scene is None or y < widget.lane_layout.axis_y:
            return None
        origin = widget.scene.origin_ns
        for edge_ns, other_ns in ((measured.start_ns, measured.end_ns), (measured.end_ns, measured.start_ns)):
            if abs(widget.x_of(edge_ns) - x) <= _EDGE_PX:
                return float(other_ns - origin)
        return None

    def move(self, event: QMouseEvent) -> None:
        x, y = event.position().x(), event.position().y()
        if self._drag is not None:
            self._moved = self._moved or abs(x - self._from_x) > _CLICK_PX
            self._widget.dragging = self._moved
            if self._drag == "pan":
                pixels = round(self._from_x - x)
                self._from_x -= pixels
                self._widget.pan_px(pixels)
            elif self._drag == "minimap":
                self._widget.go_on_minimap(x)
            elif self._moved:
                self._widget.measure(self._from_time, self._widget.time_at(x))
        elif self._edge_opposite(x, y) is not None:
            self._widget.setCursor(Qt.CursorShape.SplitHCursor)
        elif self._marking.at(x, y) is not None:
            self._widget.setCursor(Qt.CursorShape.PointingHandCursor)
        else:
            self._widget.unsetCursor()
        self._widget.hover(x, y)

    def release(self, event: QMouseEvent) -> None:
        drag, self._drag = self._drag, None
        mark, self._mark = self._mark, None
        self._widget.dragging = False
        self._widget.unsetCursor()
        if drag == "measure" and not self._moved:
            self._widget.click(event.position().x(), event.position().y())
        elif mark is not None and drag is None:
            self._marking.go_to(mark)
        self._widget.update()

    def double_click(self, event: QMouseEvent) -> None:
        """Fits the span under the mouse, or the whole trial if there is none. On the flag of a mark, asks for its text."""
        widget, x, y = self._widget, event.position().x(), event.position().y()
        if event.button() != Qt.MouseButton.LeftButton:
            return
        mark = self._marking.at(x, y)
        if mark is not None:
            self._marking.edit(mark)
            return
        widget.click(x, y)
        if widget.selected is None:
            widget.fit_all()
        else:
            widget.focus_span()

    def wheel(self, event: QWheelEvent) -> None:
        widget, modifiers = self._widget, event.modifiers()
        angle, pixels = event.angleDelta(), event.pixelDelta()
        if event.modifiers() == Qt.KeyboardModifier.NoModifier and not pixels.isNull():
            # two fingers on a trackpad: the larger part is the direction that the user means
            if abs(pixels.x()) > abs(pixels.y()):
                widget.pan_px(-pixels.x())
            else:
                widget.scroll_by(-pixels.y())
            event.accept()
            return
        # with Shift or Alt some systems report a vertical turn as a horizontal one
        turn = (angle.y() or angle.x()) / _NOTCH
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            widget.zoom_at(ZOOM_STEP**turn, event.position().x())
        elif modifiers & Qt.KeyboardModifier.ShiftModifier or abs(angle.x()) > abs(angle.y()):
            widget.pan_px(-(pixels.x() or pixels.y()) if not pixels.isNull() else -round(turn * _PAN_PX))
        else:
            widget.scroll_by(-round(turn * _SCROLL_PX))
        event.accept()
