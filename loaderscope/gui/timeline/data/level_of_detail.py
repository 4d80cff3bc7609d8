"""Level of detail: what share of each pixel column a state fills, exactly and at a cost that depends on pixels.

Spans of one track are sorted and do not overlap. From the cumulative time of a state over the spans, one binary search gives the
time that the state fills before any moment, and the share of a column is the difference at its edges. So any zoom costs
O(columns * log spans), and the sums include every span.

`TrackIndex` has all rows of its track at hand. The index of a track that stays in a file (`stored_index.py`) has only some: painters and
the mouse use these, and ask `is_at_hand` before; `part` and `row_from` reach any row.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.growing_array import GrowingArray, next_growth_factor
from loaderscope.gui.timeline.data.outliers import Outliers
from loaderscope.trace.columns import Columns, View
from loaderscope.trace.stored_columns import Side

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_DENSE_SHARE = 1 / 16
"""A state with at least this share of a track's rows counts as frequent: it keeps its cumulative time at every row, which costs 8 bytes
a row and saves a second search."""

_DENSE_LEAST = 64  # rows; a state with fewer never counts as frequent

_MEDIAN_SAMPLE = 20_001

_STRIDE = 16
_STRIDED_SEARCH = 24
"""With more rows than this for each moment, the search runs over every 16th row first. A binary search over megabytes waits for memory
at each step; the last four steps are done for all moments together and wait together."""


class _RareTime:
    """Cumulative time of a rare state over the rows of a track."""

    def __init__(self) -> None:
        self._indexed = 0
        self._rows = GrowingArray(np.int32)
        self._total_ns = GrowingArray(np.int64, [0])  # entry i: over the first i of its rows

    def index_new_rows(self, index: TrackIndex, state: int) -> None:
        """Takes in the rows that the track has now."""
        indexed, self._indexed = self._indexed, len(index)
        at = np.flatnonzero(index.state[indexed:] == state)
        if len(at):
            self._rows.append((at + indexed).astype(np.int32))
            added_ns = (index.end_ns[indexed:] - index.start_ns[indexed:])[at]
            self._total_ns.append(np.cumsum(added_ns) + self._total_ns.array[-1])

    def filled_before_ns(self, count: Ints, last: Ints, since_ns: Ints) -> Ints | None:
        """Like `_FrequentTimes.filled_before_ns`, for ascending counts; None if no row of the state lies between the counts."""
        rows = self._rows.array
        # the row before the first count may reach over the first edge
        begin, end = rows.searchsorted(np.array([count[0] - 1, count[-1]], np.int32)).tolist()
        if begin == end:
            return None
        own_count = rows[begin:end].searchsorted(count.astype(np.int32)) + begin
        goes_on = rows.take(own_count - 1) == last
        total_ns = self._total_ns.array
        before: Ints = np.minimum(total_ns.take(own_count), total_ns.take(own_count - goes_on) + since_ns)
        return before

    def time_in_first_ns(self, count: int) -> int:
        """Returns the time of the state in the first `count` rows of the track."""
        return int(self._total_ns.array[self._rows.array.searchsorted(np.int32(count))])


class _FrequentTimes:
    """Cumulative times of the frequent states over the rows of a track."""

    def __init__(self, states: tuple[int, ...] = ()) -> None:
        self.states = states
        self._of = np.array(states, np.uint16)[:, None]
        self._indexed = 0
        self._factor = next_growth_factor()
        # entry i: over the first i rows of the track, (rows + 1, states), so that one search finds all states side by side in memory
        self._total_ns: Ints = np.zeros((64, len(states)), np.int64)

    def index_new_rows(self, index: TrackIndex) -> None:
        """Takes in the rows that the track has now."""
        indexed, self._indexed = self._indexed, len(index)
        if indexed == self._indexed:
            return
        if self._indexed + 1 > len(self._total_ns):
            grown = np.empty((max(self._indexed + 1, int(self._factor * len(self._total_ns))), len(self.states)), np.int64)
            grown[: indexed + 1] = self._total_ns[: indexed + 1]
            self._total_ns = grown
        new = (index.state[indexed:] == self._of) * (index.end_ns[indexed:] - index.start_ns[indexed:])
        new[:, 0] += self._total_ns[indexed]
        np.cumsum(new, axis=1, out=self._total_ns[indexed + 1 : self._indexed + 1].T)

    def filled_before_ns(self, count: Ints, last: Ints, since_ns: Ints) -> Ints:
        """Returns the time that each state fills before some moments.

        Args:
            count: how many rows begin at or before each moment.
            last: the last of these rows.
            since_ns: how long before the moment that row began; it may still go on.

        Returns:
            Nanoseconds, (moments, states).
        """
        # a row that goes on counts up to the moment; the minimum drops `since_ns` for the other states and for a row that is over
        before: Ints = self._total_ns.take(last, axis=0)
        before += since_ns[:, None]
        return np.minimum(before, self._total_ns.take(count, axis=0), out=before)

    def time_in_first_ns(self, state: int, count: int) -> int:
        """Returns the time of one state in the first `count` rows."""
        return int(self._total_ns[count, self.states.index(state)])


class SpanPart(NamedTuple):
    """Some rows of a track, as columns of equal length."""

    start_ns: Ints
    end_ns: Ints
    state: npt.NDArray[np.uint16]
    batch: Ints
    value: Ints

    def pick(self, rows: slice | Ints) -> SpanPart:
        """Returns some of the rows."""
        return SpanPart(self.start_ns[rows], self.end_ns[rows], self.state[rows], self.batch[rows], self.value[rows])

    @classmethod
    def of(cls, view: View) -> SpanPart:
        """Returns the rows of a table of spans."""
        start_ns, end_ns, batch, value = (np.asarray(view[name], np.int64) for name in ("start_ns", "end_ns", "batch", "value"))
        return cls(start_ns, end_ns, np.asarray(view["state"], np.uint16), batch, value)


class TrackIndex:
    """Searches the spans of one track, and follows the track while it grows.

    Attributes:
        start_ns, end_ns, state, batch, value: the columns of `SPAN_COLUMNS` as of the last `update`.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._forgotten = 0
        self._counts: Ints = np.zeros(0, np.int64)  # rows of each state
        self._frequent = _FrequentTimes()
        self._rare: dict[int, _RareTime] = {}
        self._up_to_date_for: tuple[int, list[int]] = (-1, [])
        self._states: tuple[int, ...] = ()
        self._medians: dict[int, tuple[int, float]] = {}
        self._every_16th_start_ns = GrowingArray(np.int64)
        self._outliers = Outliers(weakref.proxy(self))  # a cycle would keep the memory of large tracks for long
        self._index_new_rows(0)

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def states(self) -> tuple[int, ...]:
        """The states that occur, ascending."""
        return self._states

    @property
    def at_hand(self) -> TrackIndex:
        """An index of the rows that are in memory: this one."""
        return self

    @property
    def first_at_hand(self) -> int:
        """Number of the first row of `at_hand`."""
        return 0

    @property
    def extent_ns(self) -> tuple[int, int]:
        """Start of the first and end of the last span; the track must have spans."""
        return int(self.start_ns[0]), int(self.end_ns[-1])

    def is_at_hand(self, start_ns: int, end_ns: int) -> bool:
        """Returns whether all rows that touch [start_ns, end_ns) are in memory."""
        return True

    def part(self, first: int, last: int) -> SpanPart:
        """Returns the rows [first, last)."""
        rows = slice(max(first, 0), max(last, 0))
        return SpanPart(self.start_ns[rows], self.end_ns[rows], self.state[rows], self.batch[rows], self.value[rows])

    def parts_from(self, row: int) -> Iterable[SpanPart]:
        """Returns all rows from one on, in one part or several."""
        return (self.part(row, len(self)),)

    def row_from(self, time_ns: int, side: Side = "left") -> int:
        """Returns the first row that starts at or after a time; with side `right` the first one that starts after it."""
        return int(self.start_ns.searchsorted(np.int64(time_ns), side))

    def rows_of_range(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Returns the first row and one past the last row that touch [start_ns, end_ns), at hand or not."""
        return self.rows_between(start_ns, end_ns)

    def count_between(self, start_ns: int, end_ns: int) -> int:
        """Returns about how many rows touch [start_ns, end_ns); exact where they are at hand."""
        first, last = self.rows_between(start_ns, end_ns)
        return last - first

    def counts_between(self, start_ns: int, end_ns: int) -> dict[int, int]:
        """Returns by state how many rows start in [start_ns, end_ns)."""
        counts = np.bincount(self.part(self.row_from(start_ns), self.row_from(end_ns)).state)
        return {state: int(counts[state]) for state in np.flatnonzero(counts).tolist()}

    def rows_before(self, times_ns: Ints) -> Ints:
        """Returns about how many rows start before each of ascending times; exact where they are at hand."""
        rows: Ints = self.start_ns.searchsorted(times_ns)
        return rows

    def first_of(self, state: int) -> SpanPart:
        """Returns the first row of a state; no row if there is none."""
        rows = self.rows_of(state)[:1]
        return self.part(int(rows[0]), int(rows[0]) + 1) if len(rows) else self.part(0, 0)

    def starts_of(self, state: int) -> Ints:
        """Returns the starts of all rows of a state."""
        return self.start_ns[self.rows_of(state)]

    def count_of(self, state: int) -> int:
        """Returns how many rows have a state."""
        return int(self._counts[state]) if state < len(self._counts) else 0

    def update(self) -> bool:
        """Indexes the new rows of the track; returns whether there were any. The cost depends on the new rows only."""
        indexed = len(self)
        if len(self._columns) == indexed:
            return False
        self._index_new_rows(indexed)
        return True

    @property
    def is_outdated(self) -> bool:
        """Whether the track has forgotten rows that this index has: a long recording does so rarely, and then with half of its rows."""
        return self._columns.first_row != self._forgotten

    def prepare(self, states: tuple[int, ...]) -> None:
        """Does the work that the first query of these states would do: it looks at every span."""
        if len(self) and states:
            self.busy_between_ns(int(self.start_ns[0]), int(self.end_ns[-1]), states)
            self._outliers.limits_ns(states, 1e9)

    def rows_between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Returns the first row and one past the last row at hand that touch [start_ns, end_ns)."""
        first = int(self.end_ns.searchsorted(np.int64(start_ns), "right"))
        last = int(self.start_ns.searchsorted(np.int64(end_ns), "left"))
        return first, max(first, last)

    def row_at(self, time_ns: int) -> int | None:
        """Returns the row at hand that covers a moment."""
        row = int(self.start_ns.searchsorted(np.int64(time_ns), "right")) - 1
        return row if row >= 0 and self.end_ns[row] > time_ns else None

    def busy_ns(self, edges_ns: Ints, states: Collection[int]) -> dict[int, Ints]:
        """Returns the time that each state fills between consecutive edges.

        Args:
            edges_ns: int64, ascending, n + 1 values.
            states: which states.

        Returns:
            n values for each state. States that fill nothing between the outermost edges may be left out.
        """
        occurring = [state for state in states if self.count_of(state)]
        if not occurring:
            return {}
        self._bring_times_up_to_date(occurring)
        edges_ns = np.ascontiguousarray(edges_ns, np.int64)
        count = self._count_begun_by(edges_ns)
        if not count[-1]:
            return {}
        last = np.maximum(count - 1, 0)
        since_ns = np.maximum(edges_ns - self.start_ns.take(last), 0)
        before = self._frequent.filled_before_ns(count, last, since_ns)
        busy = dict(zip(self._frequent.states, (before[1:] - before[:-1]).T, strict=True))
        for state in occurring:
            if state not in busy and (rare := self._rare[state].filled_before_ns(count, last, since_ns)) is not None:
                busy[state] = rare[1:] - rare[:-1]
        return {state: busy[state] for state in occurring if state in busy}

    def busy_between_ns(self, start_ns: int, end_ns: int, states: Collection[int]) -> int:
        """Returns the time that states fill together between two moments, as `busy_ns` does, at a fraction of its cost."""
        occurring = [state for state in states if self.count_of(state)]
        if not occurring:
            return 0
        self._bring_times_up_to_date(occurring)
        return self._filled_until_ns(end_ns, occurring) - self._filled_until_ns(start_ns, occurring)

    def _filled_until_ns(self, time_ns: int, states: list[int]) -> int:
        count = int(self.start_ns.searchsorted(np.int64(time_ns), "right"))
        if not count:
            return 0
        frequent = self._frequent
        total = sum(
            frequent.time_in_first_ns(state, count) if state in frequent.states else self._rare[state].time_in_first_ns(count)
            for state in states
        )
        return total - (max(int(self.end_ns[count - 1]) - time_ns, 0) if int(self.state[count - 1]) in states else 0)

    def _bring_times_up_to_date(self, states: list[int]) -> None:
        """Updates the cumulative times of states to all indexed rows."""
        if self._up_to_date_for == (len(self), states):
            return
        frequent = self._frequent.states
        least = max(_DENSE_SHARE * len(self), _DENSE_LEAST)
        added = tuple(state for state in states if state not in frequent and self.count_of(state) >= least)
        if added:
            self._frequent = _FrequentTimes(frequent + added)
        self._frequent.index_new_rows(self)
        for state in states:
            if state not in self._frequent.states:
                self._rare.setdefault(state, _RareTime()).index_new_rows(self, state)
        self._up_to_date_for = (len(self), states)

    def outliers(
        self, states: Collection[int], start_ns: int, end_ns: int, *, longer_than_ns: float = 0.0, most_ns: float = np.inf
    ) -> Ints:
        """Returns the rows that begin in [start_ns, end_ns) and are much longer than the median of their state; see `Outliers`."""
        return self._outliers.rows_between(states, start_ns, end_ns, longer_than_ns, most_ns)

    def outlier_starts_ns(self, rows: Ints) -> Ints:
        """Returns the starts of rows that `outliers` returned."""
        return self._outliers.starts_ns(rows)

    def rare_duration_ns(self, states: Collection[int], every_ns: float) -> float:
        """Returns the duration that outliers of states exceed at most once in `every_ns`, on average."""
        return self._outliers.rare_duration_ns(states, every_ns)

    def limits_ns(self, states: tuple[int, ...], every_ns: float) -> Floats:
        """Returns for each state the duration above which its spans get a mark; see `Outliers`."""
        return self._outliers.limits_ns(states, every_ns)

    def median_ns(self, state: int) -> float | None:
        """Returns the median duration of a state's spans; with many, of an evenly spread sample. It may lag by a fifth of the rows."""
        count = self.count_of(state)
        if not count:
            return None
        cached = self._medians.get(state)
        if cached is None or count > 1.2 * cached[0] + 8:
            rows = self.rows_of(state)
            rows = rows[:: max(1, count // _MEDIAN_SAMPLE)]
            cached = self._medians[state] = (count, float(np.median(self.end_ns[rows] - self.start_ns[rows])))
        return cached[1]

    def rows_of(self, state: int) -> Ints:
        """Returns all rows of a state, ascending; looks at every row of the track."""
        return np.flatnonzero(self.state == state) if self.count_of(state) else np.empty(0, np.int64)

    def _count_begun_by(self, times_ns: Ints) -> Ints:
        """Returns how many spans begin at or before each of ascending times."""
        # a search between the outermost times only stays in the cache
        low, high = self.start_ns.searchsorted(times_ns[[0, -1]], "right").tolist()
        if high - low <= _STRIDED_SEARCH * len(times_ns):
            count: Ints = self.start_ns[low:high].searchsorted(times_ns, "right")
            count += low
            return count
        # the last row that begins at or before a time is at `row` or up to 15 after it
        row = (self._every_16th_start_ns.array.searchsorted(times_ns, "right") - 1) * _STRIDE
        np.maximum(row, 0, out=row)
        step = _STRIDE
        while step > 1:
            step >>= 1
            row += step * (self.start_ns.take(row + step, mode="clip") <= times_ns)
        np.minimum(row, len(self) - 1, out=row)
        row += self.start_ns.take(row) <= times_ns
        return row

    def _index_new_rows(self, indexed: int) -> None:
        forgotten, view = self._columns.numbered_view()
        if not indexed:
            self._forgotten = forgotten
        if forgotten != self._forgotten:
            return
        self.start_ns, self.end_ns, self.state, self.batch, self.value = SpanPart.of(view)
        added = np.bincount(self.state[indexed:], minlength=len(self._counts))
        added[: len(self._counts)] += self._counts
        self._counts = added
        if not indexed or np.count_nonzero(added) != len(self._states):
            self._states = tuple(np.flatnonzero(added).tolist())
        first = -(-indexed // _STRIDE) * _STRIDE
        self._every_16th_start_ns.append(self.start_ns[first::_STRIDE])


def stack_heights(
    shares: npt.NDArray[np.floating], height_px: int | npt.NDArray[np.floating], least_share: float = 0.002
) -> npt.NDArray[np.int32]:
    """Returns whole pixels for the stacked shares of each column.

    A share of at least `least_share` gets at least one pixel, so that every state is visible. The largest share of the column
    gives up the pixels that this adds.

    Args:
        shares: (states, ..., columns), each column summing to at most 1.
        height_px: height of the stack, or of each of several stacks, (..., 1).
        least_share: the smallest share that gets a pixel.

    Returns:
        Heights in the shape of `shares`, each column summing to at most `height_px`.
    """
    heights = np.empty(shares.shape, np.int32)
    top_share = np.zeros(shares.shape[1:], shares.dtype)
    below = np.zeros(shares.shape[1:], np.int32)
    for share, height in zip(shares, heights, strict=True):
        top_share += share
        top = np.minimum(np.rint(top_share * height_px), height_px).astype(np.int32)
        np.subtract(top, below, out=height)
        below = top
    small = (heights == 0) & (shares >= least_share)
    if small.any():
        heights[small] = 1
        columns = heights.reshape(len(heights), -1)
        excess = columns.sum(axis=0) - np.broadcast_to(height_px, shares.shape[1:]).reshape(-1)
        crowded = np.flatnonzero(excess > 0)
        while len(crowded):
            columns[columns[:, crowded].argmax(axis=0), crowded] -= 1
            excess[crowded] -= 1
            crowded = crowded[excess[crowded] > 0]
    return heights
