"""Statistics of what every lane did in a range of time. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints, SpanPart
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.state_styles import STYLES, nesting_level, state_title


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

    Of a range of a stored trace that is too long to be at hand, only what the sums say is known.

    Attributes:
        filled: how much of the range they fill.
        track: number of their track within the lane.
        count, mean_ns, p95_ns: these count spans that reach over an edge as a whole.
        longest: the longest span.
    """

    filled: StateShare
    track: int
    count: int
    mean_ns: float
    p95_ns: float | None
    longest: SpanRef | None


@dataclasses.dataclass(frozen=True)
class _TrackPart:
    """What a track has in a range: its spans, whose arrays never change, so that any thread may read them; or their numbers alone."""

    number: int  # of the track within its lane
    filled: tuple[StateShare, ...]
    first: int = 0  # row of the track where the spans begin
    spans: SpanPart | None = None
    counts: Mapping[int, int] = dataclasses.field(default_factory=dict)  # by state, for spans that are not at hand


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
        return sum(len(part.spans.state) for part in self.parts if part.spans is not None)

    def statistics(self) -> list[StateStatistics]:
        """Returns statistics of whole spans. Looks at every span of the range: with many, call it in any other thread."""
        return [statistics for part in self.parts for share in part.filled if (statistics := _statistics(part, share)) is not None]


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
                if filled and not index.is_at_hand(start_ns, end_ns):
                    parts.append(_TrackPart(number, tuple(filled), counts=index.counts_between(start_ns, end_ns)))
                    continue
                first, last = index.rows_between(start_ns, end_ns)
                if filled and last > first:
                    parts.append(_TrackPart(number, tuple(filled), first, index.part(first, last)))
    return RangeSurvey(start_ns, end_ns, tuple(share for part in parts for share in part.filled if share.total_ns), tuple(parts))


def _statistics(part: _TrackPart, share: StateShare) -> StateStatistics | None:
    if part.spans is None:
        count = part.counts.get(share.state, 0)
        return StateStatistics(share, part.number, count, share.total_ns / count, None, None) if count else None
    rows = np.flatnonzero(part.spans.state == share.state)
    if not len(rows):
        return None
    durations_ns = part.spans.end_ns[rows] - part.spans.start_ns[rows]
    at = int(rows[durations_ns.argmax()])
    start_ns, end_ns, state, batch, value = (int(column[at]) for column in part.spans)
    longest = SpanRef(share.lane, part.number, part.first + at, start_ns, end_ns, state, batch, value)
    return StateStatistics(share, part.number, len(rows), float(durations_ns.mean()), percentile(durations_ns, 0.95), longest)


def percentile(values: Ints, share: float) -> float:
    """Returns the value below which a share of values lies, with linear interpolation as in `numpy.percentile`."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    # a partition releases the GIL; numpy.percentile holds it for a part of the time
    parted: Floats = np.partition(values, (low, high)).astype(np.float64)
    return float(parted[low] + (parted[high] - parted[low]) * (place - low))
