"""Finds the causes of all waits of the trial in the timeline, in a thread of its own."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

from PySide6.QtCore import QObject, QTimer, Signal

from loaderscope.analysis.late_batches import Waits, find_waits, late_batch
from loaderscope.facts.evidence import LateBatch
from loaderscope.gui.run.background_work import NewestOnly
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import Trace, loader_prefix

MOST_LISTED = 100

_LEAST_INTERVAL_MS = 1000
_PAUSE_FACTOR = 50
"""While a trial runs, the search waits this many times as long as it took before it starts again."""


@dataclasses.dataclass(frozen=True)
class ListedBatch(LateBatch):
    """A batch for which main waited, as it is listed.

    Attributes:
        loader: the prefix of its loader's lanes in a trace of several loaders; else empty.
        loader_title: the title of that loader.
    """

    loader: str = ""
    loader_title: str = ""


@dataclasses.dataclass(frozen=True)
class LateWaits:
    """The waits of a trace.

    Attributes:
        trace: the trace.
        version: version of the trace that was searched.
        waits: all waits with their causes, by the prefix of their loader, which is empty in a trace of one loader.
        costliest: the costliest waits, costliest first.
    """

    trace: Trace
    version: int
    waits: Mapping[str, Waits]
    costliest: tuple[ListedBatch, ...]

    @property
    def total_ns(self) -> int:
        """Time of all waits together."""
        return sum(waits.all_waits.total_ns for waits in self.waits.values())

    @property
    def count(self) -> int:
        """Number of all waits."""
        return sum(waits.all_waits.number for waits in self.waits.values())


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
        self._work.ask(lambda: _find_waits(trace, version, scene.wait_while_painting))

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


def _find_waits(trace: Trace, version: int, pause: Callable[[], object]) -> tuple[LateWaits, float]:
    """Returns the waits of a trace, and the seconds that finding them took."""
    begin_s = time.perf_counter()
    waits = waits_of_loaders(trace, pause)
    listed = [batch for loader in waits for batch in _list_costliest(trace, loader, waits[loader])]
    listed.sort(key=lambda batch: -batch.wait_s)
    return LateWaits(trace, version, waits, tuple(listed[:MOST_LISTED])), time.perf_counter() - begin_s


def waits_of_loaders(trace: Trace, pause: Callable[[], object] = lambda: None) -> dict[str, Waits]:
    """Returns all waits of a trace with their causes, by the prefix of their loader; empty in a trace of one loader. See `find_waits`."""
    loaders = dict.fromkeys(map(loader_prefix, list(trace.lanes)))
    return {loader: find_waits(trace.of_loader(loader), pause) for loader in loaders or ("",)}


def _list_costliest(trace: Trace, loader: str, waits: Waits) -> list[ListedBatch]:
    of_loader = trace.of_loader(loader)
    title = next((lane.group for lane in of_loader.lanes.values()), "")
    rows = [row for row in waits.costliest(MOST_LISTED).tolist() if waits.end_ns[row] > waits.start_ns[row]]
    batches = [late_batch(of_loader, waits, row) for row in rows]
    return [ListedBatch(**vars(batch), loader=loader, loader_title=title) for batch in batches]
