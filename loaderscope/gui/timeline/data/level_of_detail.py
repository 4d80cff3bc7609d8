"""Level of detail: what share of each pixel column a state fills, exactly and at a cost that depends on pixels.

Spans of one track are sorted and do not overlap. With the cumulative time of each state over its spans, the time that a
state fills before any moment t is one binary search away, and the share of a column is the difference at its edges. So
any zoom costs O(columns * log spans), and nothing that was recorded is left out of the sum.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.growing_array import Growing, next_factor
from loaderscope.gui.timeline.data.outliers import Outliers
from loaderscope.trace.columns import Columns

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_DENSE_SHARE = 1 / 16
"""A state with at least this share of a track's rows keeps its sum at every row: 8 bytes a row instead of a second search."""

_DENSE_LEAST = 64

_MEDIAN_SAMPLE = 20_001

_STRIDE = 16
_STRIDED_SEARCH = 24
"""With more rows than this for each moment, every 16th row is searched first: a search over megabytes waits for memory at each
step, where the last four steps taken for all moments together wait for it together."""


class _RareTime:
    """Time that a state which occurs rarely fills in the first rows of a track."""

    def __init__(self) -> None:
        self._known = 0
        self._rows = Growing(np.int32)
        self._total_ns = Growing(np.int64, [0])  # over the first i of its rows

    def take(self, index: TrackIndex, state: int) -> None:
        """Takes in the rows that the track has now."""
        known, self._known = self._known, len(index)
        at = np.flatnonzero(index.state[known:] == state)
        if len(at):
            self._rows.append((at + known).astype(np.int32))
            added_ns = (index.end_ns[known:] - index.start_ns[known:])[at]
            self._total_ns.append(np.cumsum(added_ns) + self._total_ns.array[-1])

    def before(self, count: Ints, last: Ints, since_ns: Ints) -> Ints | None:
        """Its time as `_FrequentTimes.before` says it, for ascending counts; None where none of it lies between them."""
        rows = self._rows.array
        # the row before the first count may reach over the first edge
        begin, end = rows.searchsorted(np.array([count[0] - 1, count[-1]], np.int32)).tolist()
        if begin == end:
            return None
        mine = rows[begin:end].searchsorted(count.astype(np.int32)) + begin
        goes_on = rows.take(mine - 1) == last
        total_ns = self._total_ns.array
        before: Ints = np.minimum(total_ns.take(mine), total_ns.take(mine - goes_on) + since_ns)
        return before

    def time_of(self, count: int) -> int:
        """Its time in the first `count` rows."""
        return int(self._total_ns.array[self._rows.array.searchsorted(np.int32(count))])


class _FrequentTimes:
    """Time that each of the frequent states fills in the first rows of a track."""

    def __init__(self, states: tuple[int, ...] = ()) -> None:
        self.states = states
        self._of = np.array(states, np.uint16)[:, None]
        self._known = 0
        self._factor = next_factor()
        # over the first i rows of the track, (rows + 1, states): what is asked for together lies together
        self._total_ns: Ints = np.zeros((64, len(states)), np.int64)

    def take(self, index: TrackIndex) -> None:
        """Takes in the rows that the track has now."""
        known, self._known = self._known, len(index)
        if known == self._known:
            return
        if self._known + 1 > len(self._total_ns):
            grown = np.empty((max(self._known + 1, int(self._factor * len(self._total_ns))), len(self.states)), np.int64)
            grown[: known + 1] = self._total_ns[: known + 1]
            self._total_ns = grown
        new = (index.state[known:] == self._of) * (index.end_ns[known:] - index.start_ns[known:])
        new[:, 0] += self._total_ns[known]
        np.cumsum(new, axis=1, out=self._total_ns[known + 1 : self._known + 1].T)

    def before(self, count: Ints, last: Ints, since_ns: Ints) -> Ints:
        """The time of each state in the first `count` rows, of which the `last` one is over or began so long ago, (counts, states)."""
        # of one that goes on, counts what it has filled until then; to the other states it adds nothing
        before: Ints = self._total_ns.take(last, axis=0)
        before += since_ns[:, None]
        return np.minimum(before, self._total_ns.take(count, axis=0), out=before)

    def time_of(self, state: int, count: int) -> int:
        """The time of one state in the first `count` rows."""
        return int(self._total_ns[count, self.states.index(state)])


class TrackIndex:
    """The spans of one track, searchable; it follows the track while that grows.

    Attributes:
        start_ns, end_ns, state, batch, value: the columns of `SPAN_COLUMNS` as of the last `update`.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._counts: Ints = np.zeros(0, np.int64)  # rows of each state
        self._frequent = _FrequentTimes()
        self._rare: dict[int, _RareTime] = {}
        self._followed: tuple[int, list[int]] = (-1, [])
        self._states: tuple[int, ...] = ()
        self._medians: dict[int, tuple[int, float]] = {}
        self._strided_ns = Growing(np.int64)
        self._outliers = Outliers(self)
        self._take(0)

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def states(self) -> tuple[int, ...]:
        """The states that occur, ascending."""
        return self._states

    def count_of(self, state: int) -> int:
        """How many rows are of a state."""
        return int(self._counts[state]) if state < len(self._counts) else 0

    def update(self) -> bool:
        """Takes in rows that were added since; returns whether there were any. Costs only what the new rows cost."""
        known = len(self)
        if len(self._columns) == known:
            return False
        self._take(known)
        return True

    def prepare(self, states: tuple[int, ...]) -> None:
        """Does now what the first question about these states would do: it looks at every span."""
        if len(self) and states:
            self.busy_between_ns(int(self.start_ns[0]), int(self.end_ns[-1]), states)
            self._outliers.limits_ns(states, 1e9)

    def rows_between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """First row and one past the last row that touch [start_ns, end_ns)."""
        first = int(self.end_ns.searchsorted(np.int64(start_ns), "right"))
        last = int(self.start_ns.searchsorted(np.int64(end_ns), "left"))
        return first, max(first, last)

    def row_at(self, time_ns: int) -> int | None:
        """The row that covers a moment."""
        row = int(self.start_ns.searchsorted(np.int64(time_ns), "right")) - 1
        return row if row >= 0 and self.end_ns[row] > time_ns else None

    def busy_ns(self, edges_ns: Ints, states: Collection[int]) -> dict[int, Ints]:
        """Time that each state fills between consecutive edges.

        Args:
            edges_ns: int64, ascending, n + 1 values.
            states: which states.

        Returns:
            n values for each state; states that fill nothing between the outermost edges are left out.
        """
        wanted = [state for state in states if self.count_of(state)]
        if not wanted:
            return {}
        self._follow(wanted)
        edges_ns = np.ascontiguousarray(edges_ns, np.int64)
        count = self._begun_by(edges_ns)
        if not count[-1]:
            return {}
        last = np.maximum(count - 1, 0)
        since_ns = np.maximum(edges_ns - self.start_ns.take(last), 0)
        before = self._frequent.before(count, last, since_ns)
        busy = dict(zip(self._frequent.states, (before[1:] - before[:-1]).T, strict=True))
        for state in wanted:
            if state not in busy and (rare := self._rare[state].before(count, last, since_ns)) is not None:
                busy[state] = rare[1:] - rare[:-1]
        return {state: busy[state] for state in wanted if state in busy}

    def busy_between_ns(self, start_ns: int, end_ns: int, states: Collection[int]) -> int:
        """Time that states fill together between two moments: what `busy_ns` says of them, at a fraction of its cost."""
        wanted = [state for state in states if self.count_of(state)]
        if not wanted:
            return 0
        self._follow(wanted)
        return self._filled_by(end_ns, wanted) - self._filled_by(start_ns, wanted)

    def _filled_by(self, time_ns: int, states: list[int]) -> int:
        count = int(self.start_ns.searchsorted(np.int64(time_ns), "right"))
        if not count:
            return 0
        frequent = self._frequent
        total = sum(frequent.time_of(state, count) if state in frequent.states else self._rare[state].time_of(count) for state in states)
        return total - (max(int(self.end_ns[count - 1]) - time_ns, 0) if int(self.state[count - 1]) in states else 0)

    def _follow(self, states: list[int]) -> None:
        """Brings the cumulative times of states up to the rows that there are."""
        if self._followed == (len(self), states):
            return
        known = self._frequent.states
        least = max(_DENSE_SHARE * len(self), _DENSE_LEAST)
        found = tuple(state for state in states if state not in known and self.count_of(state) >= least)
        if found:
            self._frequent = _FrequentTimes(known + found)
        self._frequent.take(self)
        for state in states:
            if state not in self._frequent.states:
                self._rare.setdefault(state, _RareTime()).take(self, state)
        self._followed = (len(self), states)

    def outliers(
        self, states: Collection[int], start_ns: int, end_ns: int, *, longer_than_ns: float = 0.0, most_ns: float = np.inf
    ) -> Ints:
        """Rows that begin in [start_ns, end_ns) and are much longer than the median of their state; see `Outliers`."""
        return self._outliers.between(states, start_ns, end_ns, longer_than_ns, most_ns)

    def rare_ns(self, states: Collection[int], every_ns: float) -> float:
        """The duration that outliers of states exceed no more often than once in `every_ns`, on average."""
        return self._outliers.rare_ns(states, every_ns)

    def limits_ns(self, states: tuple[int, ...], every_ns: float) -> Floats:
        """The durations above which spans of each state are marked; see `Outliers`."""
        return self._outliers.limits_ns(states, every_ns)

    def median_ns(self, state: int) -> float | None:
        """Median duration of a state's spans; of evenly spread ones where there are many. It may be that of a fifth fewer rows."""
        count = self.count_of(state)
        if not count:
            return None
        known = self._medians.get(state)
        if known is None or count > 1.2 * known[0] + 8:
            rows = self.rows_of(state)
            rows = rows[:: max(1, count // _MEDIAN_SAMPLE)]
            known = self._medians[state] = (count, float(np.median(self.end_ns[rows] - self.start_ns[rows])))
        return known[1]

    def rows_of(self, state: int) -> Ints:
        """All rows of a state, ascending; looks through all of the track."""
        return np.flatnonzero(self.state == state) if self.count_of(state) else np.empty(0, np.int64)

    def _begun_by(self, times_ns: Ints) -> Ints:
        """How many spans began at or before each of ascending times."""
        # searching only what lies between the outermost times keeps the search in the cache
        low, high = self.start_ns.searchsorted(times_ns[[0, -1]], "right").tolist()
        if high - low <= _STRIDED_SEARCH * len(times_ns):
            found: Ints = self.start_ns[low:high].searchsorted(times_ns, "right")
            found += low
            return found
        # the last row that begins at or before a time is at `row` or up to 15 after it
        row = (self._strided_ns.array.searchsorted(times_ns, "right") - 1) * _STRIDE
        np.maximum(row, 0, out=row)
        step = _STRIDE
        while step > 1:
            step >>= 1
            row += step * (self.start_ns.take(row + step, mode="clip") <= times_ns)
        np.minimum(row, len(self) - 1, out=row)
        row += self.start_ns.take(row) <= times_ns
        return row

    def _take(self, known: int) -> None:
        view = self._columns.view()
        self.start_ns: Ints = np.asarray(view["start_ns"], np.int64)
        self.end_ns: Ints = np.asarray(view["end_ns"], np.int64)
        self.state: npt.NDArray[np.uint16] = np.asarray(view["state"], np.uint16)
        self.batch: Ints = np.asarray(view["batch"], np.int64)
        self.value: Ints = np.asarray(view["value"], np.int64)
        added = np.bincount(self.state[known:], minlength=len(self._counts))
        added[: len(self._counts)] += self._counts
        self._counts = added
        if not known or np.count_nonzero(added) != len(self._states):
            self._states = tuple(np.flatnonzero(added).tolist())
        first = -(-known // _STRIDE) * _STRIDE
        self._strided_ns.append(self.start_ns[first::_STRIDE])


def stack_heights(
    shares: npt.NDArray[np.floating], height_px: int | npt.NDArray[np.floating], least_share: float = 0.002
) -> npt.NDArray[np.int32]:
    """Whole pixels for the shares of each column, stacked.

    A share of at least `least_share` gets one pixel at the least, so that a state that is there is seen; what that adds
    is taken from the largest of the column.

    Args:
        shares: (states, ..., columns), each column summing to at most 1.
        height_px: height of the stack, or of each of several stacks, (..., 1).
        least_share: what is worth a pixel.

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
