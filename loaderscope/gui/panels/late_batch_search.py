"""Finds the causes of all waits of the trial in the timeline, in a thread of its own."""

from __future__ import annotations

import dataclasses
import time

from PySide6.QtCore import QObject, QTimer, Signal

from loaderscope.analysis.late_batches import Waits, find_waits, late_batch
from loaderscope.facts.results import LateBatch
from loaderscope.gui.run.background_work import NewestOnly
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import Trace

MOST_LISTED = 100

_LEAST_INTERVAL_MS = 1000
_PAUSE_FACTOR = 50
"""While a trial runs, the search waits this many times as long as it took before it starts again."""


@dataclasses.dataclass(frozen=True)
class LateWaits:
    """The waits of a trace.

    Attributes:
        trace: the trace.
        version: version of the trace that was searched.
        waits: all waits with their causes.
        costliest: the costliest waits, costliest first.
    """

    trace: Trace
    version: int
    waits: Waits
    costliest: tuple[LateBatch, ...]


class LateSearch(QObject):
    """Searches the trace that a timeline shows whenever it changed, and hands the waits to the timeline's arrows.

    Signals:
        waitsFound: `LateWaits` of the shown trace, or None while they are unknown.
    """

    waitsFound = Signal(object)

    def __init__(self, timeline: TimelineWidget) -> None:
        super().__init__(timeline)
        self._timeline = timeline
        self._work: NewestOnly[tuple[LateWaits, float]] = NewestOnly(self._publish_if_shown, self)
        self._search_timer = QTimer(self, singleShot=True, interval=_LEAST_INTERVAL_MS)
        self._search_timer.timeout.connect(self._search)
        self._searched: tuple[Trace, int] | None = None
        timeline.traceShown.connect(self._trace_shown)
        timeline.traceGrew.connect(self._trace_grew)

    def _trace_shown(self) -> None:
        scene = self._timeline.scene
        if scene is None or self._searched is None or self._searched[0] is not scene.trace:
            self._publish(None)
        self._search_timer.setInterval(_LEAST_INTERVAL_MS)
        self._search()

    def _trace_grew(self) -> None:
        if not self._search_timer.isActive() and not self._work.busy:
            self._search_timer.start()

    def _search(self) -> None:
        scene = self._timeline.scene
        if scene is None or scene.is_empty:
            return
        trace, version = scene.trace, scene.trace.version
        if self._searched is not None and self._searched[0] is trace and self._searched[1] == version:
            return
        self._work.ask(lambda: _find_waits(trace, version))

    def _publish_if_shown(self, result: tuple[LateWaits, float]) -> None:
        late, took_s = result
        scene = self._timeline.scene
        if scene is None or scene.trace is not late.trace:
            return
        self._searched = late.trace, late.version
        self._publish(late)
        self._search_timer.setInterval(max(_LEAST_INTERVAL_MS, round(took_s * 1000 * _PAUSE_FACTOR)))
        if late.trace.version != late.version:
            self._search_timer.start()

    def _publish(self, late: LateWaits | None) -> None:
        if late is None:
            self._searched = None
        self._timeline.arrows.set_waits(late.waits if late is not None else None)
        self._timeline.update()
        self.waitsFound.emit(late)


def _find_waits(trace: Trace, version: int) -> tuple[LateWaits, float]:
    """Returns the waits of a trace, and the seconds that finding them took."""
    begin_s = time.perf_counter()
    waits = find_waits(trace)
    rows = [row for row in waits.costliest(MOST_LISTED).tolist() if waits.end_ns[row] > waits.start_ns[row]]
    late = LateWaits(trace, version, waits, tuple(late_batch(trace, waits, row) for row in rows))
    return late, time.perf_counter() - begin_s
