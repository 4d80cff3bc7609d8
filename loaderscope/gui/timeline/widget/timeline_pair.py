"""Two trials, one above the other, on one time axis that counts from their first batches."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QSplitter, QWidget

from loaderscope.gui.timeline.data import span_query
from loaderscope.gui.timeline.data.alignment import align_parts
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.widget.lane_menu import LaneHandling
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import Trace

_LEAST_HEIGHT_PX = 80


class TimelinePair(QSplitter):
    """A timeline, and on request a second one below it that shows the same time, crosshair and measured range.

    Attributes:
        first: the timeline that is always visible.
        second: the timeline below it, hidden without a comparison.

    Signals:
        notAligned: one of the two trials never had a batch, so the first timeline is alone again.
    """

    notAligned = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self.first = TimelineWidget()
        self.second = TimelineWidget()
        self.second.steps = self.first.steps
        self.second.setAccessibleName("Timeline of the trial to compare with")
        self.second.hide()
        self._is_linking = False
        self._titles = ("", "")
        self._lit: dict[TimelineWidget, tuple[SpanRef, ...]] = {}
        self.handling = {timeline: LaneHandling(timeline) for timeline in (self.first, self.second)}
        self.setChildrenCollapsible(False)
        self.setHandleWidth(3)
        for timeline, other in ((self.first, self.second), (self.second, self.first)):
            self.addWidget(timeline)
            timeline.setMinimumHeight(_LEAST_HEIGHT_PX)
            timeline.installEventFilter(self)
            timeline.traceShown.connect(self._align)
            timeline.rangeChanged.connect(lambda *_, one=timeline, two=other: self._link_range(one, two))
            timeline.rangeMeasured.connect(lambda _measured, one=timeline, two=other: self._link_measured(one, two))
            timeline.spanHovered.connect(lambda span, one=timeline, two=other: self._light_batch(span, one, two))
            timeline.arrangementChanged.connect(lambda one=timeline, two=other: two.set_arrangement(one.arrangement))

    @property
    def is_compared(self) -> bool:
        """Whether the pair shows two trials."""
        return not self.second.isHidden()

    def search(self) -> None:
        """Opens the search bar of the second timeline if it has the keyboard focus, else of the first."""
        (self.second if self.second.hasFocus() else self.first).search_bar.open()

    def compare(self, trace: Trace, titles: tuple[str, str]) -> None:
        """Shows another trial below the first one, once both are prepared.

        Args:
            trace: the trace of the other trial.
            titles: the texts above both timelines.
        """
        self._titles = titles
        self.second.show()
        self.second.set_trace(trace)

    def _align(self) -> None:
        """Aligns the two timelines after one of them shows another trace."""
        scenes = self.first.scene, self.second.scene
        if not self.is_compared or self._is_linking or scenes[0] is None or scenes[1] is None:
            return
        parts = align_parts([scenes[0], scenes[1]], self._titles)
        if parts is None:
            self.close_second()
            self.notAligned.emit()
            return
        self._is_linking = True
        self.first.show_as_part(parts[0])
        self.second.show_as_part(parts[1])
        self._is_linking = False
        self.setSizes([self.first.needed_height, self.second.needed_height])
        self.first.fit_all()
        self._link_range(self.first, self.second)

    def close_second(self) -> None:
        """Shows the first trial alone again."""
        if not self.is_compared:
            return
        had_focus = self.second.hasFocus()
        self.second.hide()
        self.second.show_as_part(None)
        self.second.set_trace(None)
        self.first.show_as_part(None)
        self.first.fit_all()
        if had_focus:
            self.first.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Shows the crosshair of one timeline in the other one too."""
        if self.is_compared and isinstance(watched, TimelineWidget):
            other = self.first if watched is self.second else self.second
            if event.type() == QEvent.Type.MouseMove and isinstance(event, QMouseEvent):
                other.show_crosshair(event.position().x(), self._lit.get(other, ()))
            elif event.type() == QEvent.Type.Leave:
                other.show_crosshair(None)
        return False

    def _zero(self, timeline: TimelineWidget) -> float:
        return (timeline.scene.axis_zero if timeline.scene is not None else None) or 0.0

    def _link_range(self, moved: TimelineWidget, other: TimelineWidget) -> None:
        if not self.is_compared or self._is_linking:
            return
        self._is_linking = True
        other.match(moved.viewport.panned(self._zero(other) - self._zero(moved)))
        self._is_linking = False

    def _link_measured(self, measured: TimelineWidget, other: TimelineWidget) -> None:
        if not self.is_compared or self._is_linking or measured.scene is None or other.scene is None:
            return
        self._is_linking = True
        if measured.measured is None:
            other.clear_selection()
        else:
            shift = self._zero(other) - self._zero(measured) - measured.scene.origin_ns
            other.measure(measured.measured.start_ns + shift, measured.measured.end_ns + shift)
        self._is_linking = False

    def _light_batch(self, span: SpanRef | None, hovered: TimelineWidget, other: TimelineWidget) -> None:
        """Outlines the batch under the mouse in the other trial too."""
        self._lit[other] = _spans_of_same_batch(other.scene, span.batch) if self.is_compared and span is not None and other.scene else ()
        if other.pointer is not None and self.is_compared:
            other.show_crosshair(other.pointer.x, self._lit[other])


def _spans_of_same_batch(scene: Scene, batch: int) -> tuple[SpanRef, ...]:
    for index in scene.tracks("main") if batch >= 0 else ():
        rows = np.flatnonzero(index.at_hand.batch == batch)
        if len(rows):
            return tuple(span_query.spans_of_batch(scene, batch, int(index.at_hand.end_ns[rows[0]])))
    return ()
