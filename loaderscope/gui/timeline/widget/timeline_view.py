"""The timeline widget: connects the timeline with keys, mouse, marks and the search bar."""

from __future__ import annotations

import dataclasses
import operator
import textwrap

import numpy as np
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QHelpEvent, QKeyEvent, QMouseEvent, QNativeGestureEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QToolTip, QWidget

from loaderscope.facts.text import duration_ns_text, duration_text, share_text
from loaderscope.gui.style.words import EXPOSED_TIP
from loaderscope.gui.timeline.paint.overlay import OverlayContent
from loaderscope.gui.timeline.paint.places import place_boxes
from loaderscope.gui.timeline.widget.mark_editing import MarkEditing
from loaderscope.gui.timeline.widget.mouse import Mouse
from loaderscope.gui.timeline.widget.navigable_timeline import NavigableTimeline
from loaderscope.gui.timeline.widget.search_bar import SearchBar
from loaderscope.gui.timeline.widget.timeline_keys import method_of
from loaderscope.trace.model import Trace


class TimelineWidget(NavigableTimeline):
    """A timeline that handles the keys of `timeline_keys.CONTROLS`, the mouse, marks and a search bar."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.marking = MarkEditing(self)
        self.search_bar = SearchBar(self, self.marking)
        self._mouse = Mouse(self, self.marking)
        self.marking.replaced.connect(self.search_bar.marks_changed)
        self.traceShown.connect(self.search_bar.scene_changed)
        self.traceGrew.connect(self.search_bar.scene_grew)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def set_trace(self, trace: Trace | None, title: str = "") -> None:
        self.marking.show(())
        super().set_trace(trace, title)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        method = method_of(event)
        if method is None:
            super().keyPressEvent(event)
            return
        operator.attrgetter(method)(self)()
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        self._mouse.wheel(event)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self.zoom_at(1 / max(1 + event.value(), 0.1), event.position().x())
            return True
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.tip_at(event.pos()), self)
            return True
        return super().event(event)

    def tip_at(self, place: QPoint) -> str:
        """Returns what is to be said of a place of the widget: of the finding that shows there, or of exposed loading time; else ""."""
        layout, scene = self._layout, self.scene
        if scene is not None and not scene.is_empty and self.places is not None:
            with self.canvas() as canvas:
                if any(box.contains(place.toPointF()) for box, _ in place_boxes(canvas, self.places)):
                    return self.places.title
        if scene is None or layout.exposed_y is None or not layout.exposed_y <= place.y() < layout.axis_y:
            return ""
        exposed = scene.exposed()
        if exposed is None:
            return ""
        lines = [f"Exposed loading time: {EXPOSED_TIP}. {duration_text(exposed.seconds)} {'so far' if scene.is_live else 'in all'}."]
        x, width = place.x() - layout.label_width, layout.plot_width
        if 0 <= x < width:
            edges_ns = np.array([scene.extent.time_at(x - 1, width), scene.extent.time_at(x + 2, width)]).astype(np.int64)
            share = float(exposed.shares_between(edges_ns)[0])
            lines.append(f"{share_text(share)} of the time around {duration_ns_text(float(edges_ns.mean()))}.")
        return "\n".join(line for text in lines for line in textwrap.wrap(text, 80))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self.scene is not None:
            self._mouse.press(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._mouse.move(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._mouse.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.scene is not None:
            self._mouse.double_click(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self.scene is not None and not self.scene.is_empty:
            self.marking.menu(event.pos()).popup(event.globalPos())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.search_bar.place()

    def leaveEvent(self, event: QEvent) -> None:
        if self.pointer is not None and self.pointer.span is not None:
            self.spanHovered.emit(None)
        self.pointer = None
        self.update()

    def _overlay_content(self) -> OverlayContent:
        return dataclasses.replace(
            super()._overlay_content(), marks=self.marking.marks, current_mark=self.marking.current, search=self.search_bar.search
        )
