"""What the mouse does to a timeline: pan, measure, select, and what lies under it."""

from __future__ import annotations

import typing

from PySide6.QtCore import Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent

from loaderscope.gui.timeline.controls import ZOOM_STEP

if typing.TYPE_CHECKING:
    from loaderscope.gui.timeline.view import TimelineWidget

_CLICK_PX = 3
_NOTCH = 120
_PAN_PX = 60
_SCROLL_PX = 48


class Mouse:
    """Turns mouse and wheel events into the widget's actions."""

    def __init__(self, widget: TimelineWidget) -> None:
        self._widget = widget
        self._drag: str | None = None  # pan | measure | minimap
        self._from_x = 0.0
        self._from_time = 0.0
        self._moved = False

    def press(self, event: QMouseEvent) -> None:
        widget, layout = self._widget, self._widget.lane_layout
        x, y = event.position().x(), event.position().y()
        middle = event.button() == Qt.MouseButton.MiddleButton
        if event.button() != Qt.MouseButton.LeftButton and not middle:
            return
        self._moved = False
        self._from_x, self._from_time = x, widget.time_at(x)
        if middle or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._drag = "pan"
            widget.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif layout.minimap_y <= y < layout.axis_y:
            self._drag = "minimap"
            widget.go_on_minimap(x)
        elif x >= layout.label_width:
            self._drag = "measure"

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
        self._widget.hover(x, y)

    def release(self, event: QMouseEvent) -> None:
        drag, self._drag = self._drag, None
        self._widget.dragging = False
        self._widget.unsetCursor()
        if drag == "measure" and not self._moved:
            self._widget.click(event.position().x(), event.position().y())
        self._widget.update()

    def wheel(self, event: QWheelEvent) -> None:
        widget, modifiers = self._widget, event.modifiers()
        angle, pixels = event.angleDelta(), event.pixelDelta()
        # with Shift or Alt some systems report a vertical turn as a horizontal one
        turn = (angle.y() or angle.x()) / _NOTCH
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            widget.zoom_at(ZOOM_STEP**turn, event.position().x())
        elif modifiers & Qt.KeyboardModifier.ShiftModifier or abs(angle.x()) > abs(angle.y()):
            widget.pan_px(-(pixels.x() or pixels.y()) if not pixels.isNull() else -round(turn * _PAN_PX))
        else:
            widget.scroll_by(-pixels.y() if not pixels.isNull() else -round(turn * _SCROLL_PX))
        event.accept()
