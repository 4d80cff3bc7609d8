"""Statistics of what every lane did in a range of time. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints, SpanPart
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.state_styles import STYLES, nesting_level, state_title

ROWS_AT_ONCE = 1 << 20
"""Rows that statistics look at in one step."""

MOST_SORTED = 8 << 20
"""Rows of a track whose durations are sorted for a percentile; of more rows, a sample."""


@dataclasses.dataclass(frozen=True)
class StateShare:
    """How much of a range one state of one lane fills; exact, as spans count only with their part inside the range."""

    lane: str
    label: str
    state: int
    total_ns: int
    share: float

    @property
    def word(self) -> str:
        return state_title(self.state)


@dataclasses.dataclass(frozen=True)
class StateStatistics:
    """Spans of one state of one lane that touch a range.

    Attributes:
        filled: how much of the range they fill.
        count, mean_ns, p95_ns: these count spans that reach over an edge as a whole.
        longest: the longest span.
    """

    filled: StateShare
    count: int
    mean_ns: float
    p95_ns: float
    longest: SpanRef


@dataclasses.dataclass(frozen=True)
class _TrackPart:
    """The spans of one track that touch a range. Any thread may read them, some `ROWS_AT_ONCE` at a time."""

    number: int  # of the track within its lane
    first: int  # row of the track
    last: int  # one past the last row
    filled: tuple[StateShare, ...]
    read: Callable[[int, int], SpanPart]  # the rows between two rows of the track


@dataclasses.dataclass(frozen=True, eq=False)
class RangeSurvey:
    """A range of absolute time and how much of it each state of each lane fills. Its cost does not depend on the number of spans."""

    start_ns: int
    end_ns: int
    states: tuple[StateShare, ...]
    parts: tuple[_TrackPart, ...]

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    @property
    def span_count(self) -> int:
        """The number of spans that `statistics` would look at."""
        return sum(part.last - part.first for part in self.parts)

    def statistics(self) -> list[StateStatistics]:
        """Returns statistics of whole spans. Looks at every span of the range: with many, call it in any other thread."""
        return [statistics for part in self.parts for statistics in _statistics(part)]


def survey(scene: Scene, start_ns: int, end_ns: int) -> RangeSurvey:
    """Returns what every lane did between two absolute times."""
    start_ns, end_ns = min(start_ns, end_ns), max(start_ns, end_ns, start_ns + 1)
    parts = []
    edges = np.array([start_ns, end_ns], np.int64)
    order = list(STYLES)
    for row in scene.rows:
        for lane in row.lanes if row.kind == "lane" else ():
            for number, index in enumerate(scene.tracks(lane)):
                drawn = sorted((state for state in index.states if nesting_level(row.lane_kind, state) is not None), key=order.index)
                filled = [
                    StateShare(lane, row.full_label, state, int(busy[0]), int(busy[0]) / (end_ns - start_ns))
                    for state, busy in index.busy_ns(edges, drawn).items()
                ]
                first, last = index.rows_of_range(start_ns, end_ns)
                if filled and last > first:
                    parts.append(_TrackPart(number, first, last, tuple(filled), index.reader()))
    return RangeSurvey(start_ns, end_ns, tuple(share for part in parts for share in part.filled if share.total_ns), tuple(parts))


@dataclasses.dataclass
class _Durations:
    """The spans of one state so far: their number, their time, the longest, and the durations of an evenly spread sample."""

    count: int = 0
    total_ns: int = 0
    longest: tuple[int, ...] = ()  # its duration, its row, and its columns
    sample_ns: list[Ints] = dataclasses.field(default_factory=list)


def _statistics(part: _TrackPart) -> list[StateStatistics]:
    """Returns the statistics of each state; the 95th percentile of very many spans is that of a sample."""
    of_state = {share.state: _Durations() for share in part.filled}
    every = -(-(part.last - part.first) // MOST_SORTED)
    for first in range(part.first, part.last, ROWS_AT_ONCE):
        spans = part.read(first, min(first + ROWS_AT_ONCE, part.last))
        for state, durations in of_state.items():
            rows = np.flatnonzero(spans.state == state)
            if len(rows):
                each_ns = spans.end_ns[rows] - spans.start_ns[rows]
                at = int(each_ns.argmax())
                durations.sample_ns.append(each_ns[durations.count * -1 % every :: every])
                durations.count += len(rows)
                durations.total_ns += int(each_ns.sum())
                columns = (int(column[rows[at]]) for column in spans)
                durations.longest = max(durations.longest, (int(each_ns[at]), -int(rows[at]) - first, *columns), key=lambda span: span[:2])
    return [_statistics_of(part.number, share, of_state[share.state]) for share in part.filled if of_state[share.state].count]


def _statistics_of(track: int, share: StateShare, durations: _Durations) -> StateStatistics:
    _, row, *columns = durations.longest
    longest = SpanRef(share.lane, track, -row, *columns)
    p95_ns = percentile(np.concatenate(durations.sample_ns), 0.95)
    return StateStatistics(share, durations.count, durations.total_ns / durations.count, p95_ns, longest)


def percentile(values: Ints, share: float) -> float:
    """Returns the value below which a share of values lies, with linear interpolation as in `numpy.percentile`."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    # a partition releases the GIL; numpy.percentile holds it for a part of the time
    parted: Floats = np.partition(values, (low, high)).astype(np.float64)
    return float(parted[low] + (parted[high] - parted[low]) * (place - low))
