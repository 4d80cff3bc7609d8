"""Statistics of a range of time: what every lane did in it. No Qt."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.gui.timeline.query import SpanRef, reference
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.states import STYLES, level_in, word


@dataclasses.dataclass(frozen=True)
class StateStatistics:
    """Spans of one state of one lane that touch a range.

    Attributes:
        share: part of the range that the state fills; exact, spans are cut at the edges of the range.
        count, mean_ns, p95_ns: of whole spans, also where they reach over an edge.
        longest: the longest of them.
    """

    lane: str
    label: str
    state: int
    word: str
    count: int
    total_ns: int
    share: float
    mean_ns: float
    p95_ns: float
    longest: SpanRef


@dataclasses.dataclass(frozen=True)
class RangeStatistics:
    """A range in absolute time and what every lane did in it."""

    start_ns: int
    end_ns: int
    states: tuple[StateStatistics, ...]

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


def measure(scene: Scene, start_ns: int, end_ns: int) -> RangeStatistics:
    """What every lane did between two absolute times."""
    start_ns, end_ns = min(start_ns, end_ns), max(start_ns, end_ns, start_ns + 1)
    found = []
    edges = np.array([start_ns, end_ns], np.int64)
    order = list(STYLES)
    for row in scene.rows:
        for lane in row.lanes if row.kind == "lane" else ():
            for number, index in enumerate(scene.tracks(lane)):
                first, last = index.rows_between(start_ns, end_ns)
                states = index.state[first:last]
                drawn = sorted((state for state in index.states if level_in(row.lane_kind, state) is not None), key=order.index)
                busy = index.busy_ns(edges, drawn)
                for state in drawn:
                    rows = np.flatnonzero(states == state) + first
                    if not len(rows):
                        continue
                    durations = index.end_ns[rows] - index.start_ns[rows]
                    longest = reference(lane, number, index, int(rows[int(durations.argmax())]))
                    total = int(busy[state][0])
                    found.append(
                        StateStatistics(
                            lane,
                            row.label,
                            state,
                            word(state),
                            len(rows),
                            total,
                            total / (end_ns - start_ns),
                            float(durations.mean()),
                            float(np.percentile(durations, 95)),
                            longest,
                        )
                    )
    return RangeStatistics(start_ns, end_ns, tuple(found))
