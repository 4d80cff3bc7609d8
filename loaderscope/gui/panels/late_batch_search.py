"""Finds out what the waits of the trial in the timeline were spent on, beside the window's thread."""

from __future__ import annotations

import dataclasses
import time

from PySide6.QtCore import QObject, QTimer, Signal

from loaderscope.analysis.late_batches import Waits, find_waits, late_batch
from loaderscope.facts.results import LateBatch
from loaderscope.gui.run.newest_only import NewestOnly
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import Trace

MOST_LISTED = 100

_LEAST_MS = 1000
_PAUSE = 50
"""While a trial runs, looking takes no more than one part in so many of the time."""


@dataclasses.dataclass(frozen=True)
class LateWaits:
    """What the waits of a trace were spent on as of a version of it, and the costliest of them, costliest first."""

    trace: Trace
    version: int
    waits: Waits
    costliest: tuple[LateBatch, ...]


class LateSearch(QObject):
    """Follows the trace of a timeline, and gives its arrows what they need.

    Signals:
        found: `LateWaits` of what is shown now, or None while nothing is known of it.
    """

    found = Signal(object)

    def __init__(self, timeline: TimelineWidget) -> None:
        super().__init__(timeline)
        self._timeline = timeline
        self._work: NewestOnly[tuple[LateWaits, float]] = NewestOnly(self._take, self)
        self._soon = QTimer(self, singleShot=True, interval=_LEAST_MS)
        self._soon.timeout.connect(self._look)
        self._seen: tuple[Trace, int] | None = None
        timeline.traceShown.connect(self._shown)
        timeline.traceGrew.connect(self._grew)

    def _shown(self) -> None:
        scene = self._timeline.scene
        if scene is None or self._seen is None or self._seen[0] is not scene.trace:
            self._tell(None)
        self._soon.setInterval(_LEAST_MS)
        self._look()

    def _grew(self) -> None:
        if not self._soon.isActive() and not self._work.busy:
            self._soon.start()

    def _look(self) -> None:
        scene = self._timeline.scene
        if scene is None or scene.is_empty:
            return
        trace, version = scene.trace, scene.trace.version
        if self._seen is not None and self._seen[0] is trace and self._seen[1] == version:
            return
        self._work.ask(lambda: _find(trace, version))

    def _take(self, answer: tuple[LateWaits, float]) -> None:
        late, took_s = answer
        scene = self._timeline.scene
        if scene is None or scene.trace is not late.trace:
            return
        self._seen = late.trace, late.version
        self._tell(late)
        self._soon.setInterval(max(_LEAST_MS, round(took_s * 1000 * _PAUSE)))
        if late.trace.version != late.version:
            self._soon.start()

    def _tell(self, late: LateWaits | None) -> None:
        if late is None:
            self._seen = None
        self._timeline.arrows.set_waits(late.waits if late is not None else None)
        self._timeline.update()
        self.found.emit(late)


def _find(trace: Trace, version: int) -> tuple[LateWaits, float]:
    begin = time.perf_counter()
    waits = find_waits(trace)
    rows = [row for row in waits.costliest(MOST_LISTED).tolist() if waits.end_ns[row] > waits.start_ns[row]]
    found = LateWaits(trace, version, waits, tuple(late_batch(trace, waits, row) for row in rows))
    return found, time.perf_counter() - begin
