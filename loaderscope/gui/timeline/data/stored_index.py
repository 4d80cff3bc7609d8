"""The index of a track that stays in a session file: exact where its rows are at hand, exact sums in coarse buckets elsewhere. No Qt.

A scene keeps the rows of one range of time at hand, that of the view with room on either side (`rows_at_hand.py`). Within it this index
answers as the index of those rows does, but where spans were thinned. Elsewhere `busy_ns` comes from the stored sums: it is exact at the
edges of their buckets, and spreads the time of a bucket evenly over the columns within. Rows have the same numbers everywhere. Outliers
are known of the whole track once another thread has looked at every span.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints, SpanPart, TrackIndex
from loaderscope.session.errors import SessionError
from loaderscope.session.thinning import THIN_SHIFT
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS
from loaderscope.trace.span_sums import SHIFTS, Sums
from loaderscope.trace.stored_columns import Side, StoredColumns

SPANS_A_BUCKET = 48
"""Fewest spans in a bucket of the sums on average, for which a file still stores them; fewer would have to be summed anew."""

_MEDIAN_CHUNKS = 8
"""Evenly spread chunks from which the medians of the states are taken."""

_NO_STATE = np.iinfo(np.uint16).max

Answer = TypeVar("Answer")


class CoarseSums:
    """How long each state of a track filled its buckets, as sums up to each edge.

    Attributes:
        states: the states that occur, ascending.
        counts: how many spans each of them has, those included that were thinned.
    """

    def __init__(self, sums: Sums, shift: int) -> None:
        self.states: tuple[int, ...] = tuple(np.flatnonzero(np.bincount(sums["state"])).tolist())
        buckets = sums["bucket"][np.diff(sums["bucket"], prepend=-1) > 0]
        ends = buckets[np.diff(buckets, append=-1) != 1] + 1
        edges = np.sort(np.concatenate((buckets, ends)))
        within = buckets.searchsorted(edges)  # buckets before each edge
        self._edges_ns: Ints = edges << shift
        self._filled_ns: Floats = np.zeros((len(edges), len(self.states)))
        self._begun: Floats = np.zeros((len(edges), len(self.states)))
        for at, state in enumerate(self.states):
            of_state = sums["state"] == state
            place = buckets.searchsorted(sums["bucket"][of_state]) + 1
            for name, target in (("busy_ns", self._filled_ns), ("begun", self._begun)):
                in_bucket = np.zeros(len(buckets) + 1)
                in_bucket[place] = sums[name][of_state]
                target[:, at] = np.cumsum(in_bucket)[within]  # exact in doubles up to 104 days
        self.counts = {state: int(self._begun[-1, at]) for at, state in enumerate(self.states)}

    def filled_before_ns(self, times_ns: Ints) -> Floats:
        """Returns the time that each state fills before some times, (times, states)."""
        return self._before(times_ns, self._filled_ns)

    def begun_before(self, times_ns: Ints) -> Floats:
        """Returns how many spans of each state begin before some times, (times, states)."""
        return self._before(times_ns, self._begun)

    def _before(self, times_ns: Ints, totals: Floats) -> Floats:
        if len(self._edges_ns) < 2:
            return np.zeros((len(times_ns), len(self.states)))
        at = np.clip(self._edges_ns.searchsorted(times_ns, "right") - 1, 0, len(self._edges_ns) - 2)
        begin_ns = self._edges_ns.take(at)
        share = np.clip((times_ns - begin_ns) / (self._edges_ns.take(at + 1) - begin_ns), 0.0, 1.0)
        before = totals.take(at, axis=0)
        result: Floats = before + (totals.take(at + 1, axis=0) - before) * share[:, None]
        return result


class StoredIndex(TrackIndex):
    """Searches the spans of a track in a session file. The scene sets which rows are at hand."""

    def __init__(self, columns: StoredColumns, thinned_ns: Sequence[tuple[int, int]], report: Callable[[SessionError], object]) -> None:
        """Reads nothing yet.

        Args:
            columns: the track.
            thinned_ns: the ranges in which the trace was thinned.
            report: gets the errors of the file. What could not be read is then left out.
        """
        super().__init__(Columns(SPAN_COLUMNS))
        self._stored, self._report = columns, report
        self._trace_thinned_ns: Ints = np.array(thinned_ns, np.int64).reshape(-1, 2)
        self._sums: CoarseSums | None = None
        self._at_hand: tuple[TrackIndex, int, int, int] = (TrackIndex(Columns(SPAN_COLUMNS)), 0, 0, 0)
        self._starts: dict[int, Ints] = {}
        self._is_searched = False
        self._pause: Callable[[], object] = lambda: None
        self._all_medians: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._stored) if hasattr(self, "_stored") else 0

    def set_at_hand(self, index: TrackIndex, first: int, start_ns: int, end_ns: int) -> None:
        """Gives an index of all rows that touch [start_ns, end_ns), and the number of the first of them."""
        self._at_hand = index, first, start_ns, end_ns

    @property
    def is_outdated(self) -> bool:
        return False

    @property
    def sums(self) -> CoarseSums:
        """The sums of the whole track; the first call reads them from the file, which may take a second."""
        if self._sums is None:
            shift = self._shift()
            none: Sums = {"bucket": np.empty(0, np.int64), "state": np.empty(0, np.uint16), "busy_ns": np.empty(0), "begun": np.empty(0)}
            self._sums = CoarseSums(self._reading(lambda: self._stored.sums(shift), none), shift)
        return self._sums

    def _shift(self) -> int:
        length_ns = self._stored.end_ns - int(self._stored.starts_ns[0])
        fits = [shift for shift in SHIFTS if (length_ns >> shift) * SPANS_A_BUCKET <= len(self._stored)]
        shift = fits[0] if fits else SHIFTS[-1]
        return max(shift, THIN_SHIFT) if len(self._trace_thinned_ns) else shift

    @property
    def states(self) -> tuple[int, ...]:
        return self.sums.states

    def count_of(self, state: int) -> int:
        return self.sums.counts.get(state, 0)

    @property
    def at_hand(self) -> TrackIndex:
        return self._at_hand[0]

    @property
    def first_at_hand(self) -> int:
        return self._at_hand[1]

    @property
    def extent_ns(self) -> tuple[int, int]:
        return int(self._stored.starts_ns[0]), self._stored.end_ns

    @functools.cached_property
    def _thinned_ns(self) -> Ints:
        """The ranges in which this track may lack spans, (ranges, 2): those of the trace if its sums know more spans than its rows are."""
        return self._trace_thinned_ns if sum(self.sums.counts.values()) > len(self._stored) else self._trace_thinned_ns[:0]

    def _are_thinned(self, edges_ns: Ints) -> npt.NDArray[np.bool_]:
        """Returns for each range between consecutive edges whether spans in it were thinned."""
        if not len(self._thinned_ns):
            return np.zeros(len(edges_ns) - 1, bool)
        starts_ns, ends_ns = self._thinned_ns.T
        following = ends_ns.searchsorted(edges_ns[:-1], "right")
        thinned: npt.NDArray[np.bool_] = np.append(starts_ns, np.iinfo(np.int64).max)[following] < edges_ns[1:]
        return thinned

    def is_at_hand(self, start_ns: int, end_ns: int) -> bool:
        return self._covers(start_ns, end_ns) and not self._are_thinned(np.array([start_ns, end_ns], np.int64))[0]

    def _covers(self, start_ns: int, end_ns: int) -> bool:
        """Whether all rows of a range that the file has are at hand."""
        _, _, first_ns, last_ns = self._at_hand
        low_ns, high_ns = self.extent_ns
        return (first_ns <= max(start_ns, low_ns) and min(end_ns, high_ns + 1) <= last_ns) or end_ns <= low_ns or start_ns > high_ns

    def update(self) -> bool:
        return False

    def prepare(self, states: tuple[int, ...]) -> None:
        _ = self.sums

    def search_outliers(self, pause: Callable[[], object] = lambda: None) -> None:
        """Looks at every span for those that are much longer than others, and calls `pause` in between. Any thread may call it, once."""
        self._pause = pause
        if not self.states:  # the sums are damaged
            return
        try:
            step = max(len(self._stored.numbers) // _MEDIAN_CHUNKS, 1)
            places = list(itertools.pairwise(self._stored.first_rows.tolist()))[::step]
            sample = [SpanPart.of(self._stored.rows(first, last)) for first, last in places]
            for state in self.states:
                durations_ns = [(part.end_ns - part.start_ns)[part.state == state] for part in sample]
                joined = np.concatenate(durations_ns)
                if len(joined):
                    self._all_medians[state] = float(np.median(joined))
            self._outliers.limits_ns(self.states, 1e9)
        except SessionError as error:
            self._report(error)
            return
        self._is_searched = True

    def parts_from(self, row: int) -> Iterator[SpanPart]:
        for first, last in itertools.pairwise(self._stored.first_rows.tolist()):
            if last > row:
                self._pause()
                yield SpanPart.of(self._stored.rows(max(first, row), last))

    def part(self, first: int, last: int) -> SpanPart:
        index, begin, _, _ = self._at_hand
        if begin <= first and last <= begin + len(index):
            return index.part(first - begin, last - begin)
        first = max(first, 0)
        count = max(min(last, len(self)) - first, 0)
        times = np.full(count, self.extent_ns[1], np.int64)
        unread = SpanPart(times, times, np.full(count, _NO_STATE, np.uint16), np.full(count, -1, np.int64), np.zeros(count, np.int64))
        return self._reading(lambda: SpanPart.of(self._stored.rows(first, first + count)), unread)

    def row_from(self, time_ns: int, side: Side = "left") -> int:
        return self._reading(lambda: self._stored.row_from(time_ns, side), 0)

    def rows_between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        index, begin, _, _ = self._at_hand
        first, last = index.rows_between(start_ns, end_ns)
        return first + begin, last + begin

    def rows_of_range(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        if self.is_at_hand(start_ns, end_ns):
            return self.rows_between(start_ns, end_ns)
        return self._reading(lambda: self._stored.rows_touching(start_ns, end_ns), (0, 0))

    def count_between(self, start_ns: int, end_ns: int) -> int:
        if self.is_at_hand(start_ns, end_ns):
            return super().count_between(start_ns, end_ns)
        first, last = self._stored.estimated_rows(np.array([start_ns, end_ns], np.int64)).tolist()
        return int(last - first)

    def counts_between(self, start_ns: int, end_ns: int) -> dict[int, int]:
        if self.is_at_hand(start_ns, end_ns):
            return self.at_hand.counts_between(start_ns, end_ns)
        begun = np.rint(np.diff(self.sums.begun_before(np.array([start_ns, end_ns], np.int64)), axis=0)[0])
        return {state: int(count) for state, count in zip(self.sums.states, begun, strict=True) if count}

    def rows_before(self, times_ns: Ints) -> Ints:
        if self.is_at_hand(int(times_ns[0]), int(times_ns[-1])):
            return self.at_hand.rows_before(times_ns) + self.first_at_hand
        return self._stored.estimated_rows(times_ns)

    def row_at(self, time_ns: int) -> int | None:
        row = self.at_hand.row_at(time_ns)
        return None if row is None else row + self.first_at_hand

    def first_of(self, state: int) -> SpanPart:
        for part in self._all_parts() if self.count_of(state) else ():
            rows = np.flatnonzero(part.state == state)[:1]
            if len(rows):
                return part.pick(rows)
        return self.part(0, 0)

    def starts_of(self, state: int) -> Ints:
        """Returns the starts of all rows of a state; it looks at all rows of the track, once."""
        if state not in self._starts:
            parts = [part.start_ns[part.state == state] for part in self._all_parts()] if self.count_of(state) else []
            self._starts[state] = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return self._starts[state]

    def busy_ns(self, edges_ns: Ints, states: Collection[int]) -> dict[int, Ints]:
        covers = self._covers(int(edges_ns[0]), int(edges_ns[-1]))
        are_thinned = self._are_thinned(edges_ns)
        if covers and not are_thinned.any():
            return self.at_hand.busy_ns(edges_ns, states)
        filled_ns = np.diff(np.rint(self.sums.filled_before_ns(edges_ns)).astype(np.int64), axis=0).T
        busy = {state: filled_ns[at] for at, state in enumerate(self.sums.states) if state in states}
        if covers:
            exact = self.at_hand.busy_ns(edges_ns, states)
            return {state: np.where(are_thinned, coarse, exact.get(state, 0)) for state, coarse in busy.items()}
        return busy

    def busy_between_ns(self, start_ns: int, end_ns: int, states: Collection[int]) -> int:
        if self.is_at_hand(start_ns, end_ns):
            return self.at_hand.busy_between_ns(start_ns, end_ns, states)
        return sum(int(filled_ns[0]) for filled_ns in self.busy_ns(np.array([start_ns, end_ns], np.int64), states).values())

    def outliers(
        self, states: Collection[int], start_ns: int, end_ns: int, *, longer_than_ns: float = 0.0, most_ns: float = np.inf
    ) -> Ints:
        """Returns the outliers of the whole track; until they are searched, those among the rows at hand."""
        if self._is_searched:
            return super().outliers(states, start_ns, end_ns, longer_than_ns=longer_than_ns, most_ns=most_ns)
        rows = self.at_hand.outliers(states, start_ns, end_ns, longer_than_ns=longer_than_ns, most_ns=most_ns)
        return rows + self.first_at_hand

    def outlier_starts_ns(self, rows: Ints) -> Ints:
        return super().outlier_starts_ns(rows) if self._is_searched else self.at_hand.outlier_starts_ns(rows - self.first_at_hand)

    def rare_duration_ns(self, states: Collection[int], every_ns: float) -> float:
        if self._is_searched:
            return super().rare_duration_ns(states, every_ns)
        return self.at_hand.rare_duration_ns(states, every_ns) if len(self.at_hand) else 0.0

    def limits_ns(self, states: tuple[int, ...], every_ns: float) -> Floats:
        if self._is_searched:
            return super().limits_ns(states, every_ns)
        return self.at_hand.limits_ns(states, every_ns) if len(self.at_hand) else np.full(len(states), np.inf)

    def median_ns(self, state: int) -> float | None:
        """Returns the median duration of an evenly spread sample; until there is one, that of the rows at hand."""
        return self._all_medians.get(state) or self.at_hand.median_ns(state)

    def rows_of(self, state: int) -> Ints:
        """Returns the rows at hand of a state."""
        return self.at_hand.rows_of(state) + self.first_at_hand

    def _all_parts(self) -> Iterator[SpanPart]:
        for first, last in itertools.pairwise(self._stored.first_rows.tolist()):
            yield self.part(first, last)

    def _reading(self, read: Callable[[], Answer], otherwise: Answer) -> Answer:
        """Returns what was read from the file; `otherwise` if the file is damaged or was closed, after the error was reported."""
        try:
            return read()
        except SessionError as error:
            self._report(error)
            return otherwise
