"""Level of detail: what share of each pixel column a state fills, exactly and at a cost that depends on pixels.

Spans of one track are sorted and do not overlap. With the cumulative time of each state over its spans, the time that a
state fills before any moment t is one binary search away, and the share of a column is the difference at its edges. So
any zoom costs O(columns * log spans), and nothing that was recorded is left out of the sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from loaderscope.trace.columns import Columns

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

OUTLIER = 8.0
"""A span this many times longer than the median of its state is an outlier."""

_MEDIAN_SAMPLE = 20_001


class _Growing:
    """An array that grows at the end."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._data = np.empty(0, dtype)
        self._length = 0

    def append(self, values: npt.NDArray[np.generic]) -> None:
        total = self._length + len(values)
        if total > len(self._data):
            grown = np.empty(max(total, len(self._data) * 2, 64), self._data.dtype)
            grown[: self._length] = self._data[: self._length]
            self._data = grown
        self._data[self._length : total] = values
        self._length = total

    @property
    def array(self) -> npt.NDArray[np.generic]:
        return self._data[: self._length]


@dataclasses.dataclass
class _StateSums:
    """Rows of one state, their cumulative duration (`total_ns[i]` is the time of its first i+1 spans), and the long ones."""

    rows: _Growing = dataclasses.field(default_factory=lambda: _Growing(np.int32))
    total_ns: _Growing = dataclasses.field(default_factory=lambda: _Growing(np.int64))
    long_rows: _Growing = dataclasses.field(default_factory=lambda: _Growing(np.int32))


class TrackIndex:
    """The spans of one track, searchable; it follows the track while that grows.

    Attributes:
        start_ns, end_ns, state, batch, value: the columns of `SPAN_COLUMNS` as of the last `update`.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._sums: dict[int, _StateSums] = {}
        self._length = 0
        self._medians: dict[int, tuple[int, float]] = {}
        self._take(columns.view(), 0)

    def __len__(self) -> int:
        return self._length

    @property
    def states(self) -> tuple[int, ...]:
        """The states that occur."""
        return tuple(self._sums)

    def update(self) -> bool:
        """Takes in rows that were added since; returns whether there were any. Costs only what the new rows cost."""
        known = self._length
        if len(self._columns) == known:
            return False
        self._take(self._columns.view(), known)
        return True

    def rows_between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """First row and one past the last row that touch [start_ns, end_ns)."""
        first = int(np.searchsorted(self.end_ns, np.int64(start_ns), "right"))
        last = int(np.searchsorted(self.start_ns, np.int64(end_ns), "left"))
        return first, max(first, last)

    def row_at(self, time_ns: int) -> int | None:
        """The row that covers a moment."""
        row = int(np.searchsorted(self.start_ns, np.int64(time_ns), "right")) - 1
        return row if row >= 0 and self.end_ns[row] > time_ns else None

    def busy_ns(self, edges_ns: Ints, states: Collection[int]) -> dict[int, Ints]:
        """Time that each state fills between consecutive edges.

        Args:
            edges_ns: int64, ascending, n + 1 values.
            states: which states; those that do not occur are left out of the result.

        Returns:
            n values for each state.
        """
        wanted = [state for state in states if state in self._sums]
        if not wanted or not self._length:
            return {}
        edges_ns = np.ascontiguousarray(edges_ns, np.int64)
        # searching only what lies between the outermost edges keeps the search in the cache
        low, high = np.searchsorted(self.start_ns, edges_ns[[0, -1]], "right")
        count = np.searchsorted(self.start_ns[low:high], edges_ns, "right") + low
        last = np.maximum(count - 1, 0)
        # the last span that began before an edge may reach over it
        over_ns = np.where(count > 0, np.maximum(self.end_ns[last] - edges_ns, 0), 0)
        last_state = self.state[last]
        keys = count.astype(np.int32)
        result = {}
        for state in wanted:
            sums = self._sums[state]
            begin, end = np.searchsorted(sums.rows.array, keys[[0, -1]], "left")
            rank = np.searchsorted(sums.rows.array[begin:end], keys, "left") + begin
            total_ns = sums.total_ns.array
            before = total_ns[np.maximum(rank - 1, 0)]
            before[rank == 0] = 0
            before -= over_ns * (last_state == state)
            result[state] = before[1:] - before[:-1]
        return result

    def count_between(self, start_ns: int, end_ns: int) -> int:
        """Number of spans that touch a range."""
        first, last = self.rows_between(start_ns, end_ns)
        return last - first

    def outliers(self, state: int, start_ns: int, end_ns: int, most: int) -> Ints:
        """Rows of a state that begin in [start_ns, end_ns) and are much longer than its median.

        Where there are more than `most` of them they are the rule and no exception, and the answer is empty.
        """
        sums = self._sums.get(state)
        if sums is None or not len(sums.long_rows.array) or self.start_ns[sums.long_rows.array[-1]] < start_ns:
            return np.empty(0, np.int64)
        median_ns = self.median_ns(state) or 0.0
        rows = sums.long_rows.array.astype(np.int64)
        if len(rows) > most:
            first, last = np.searchsorted(self.start_ns, np.array([start_ns, end_ns], np.int64))
            rows = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)]
            if len(rows) > most:
                return np.empty(0, np.int64)
        begin = self.start_ns[rows]
        keep = (begin >= start_ns) & (begin < end_ns) & (self.end_ns[rows] - begin > OUTLIER * median_ns)
        found: Ints = rows[keep]
        return found

    def median_ns(self, state: int) -> float | None:
        """Median duration of a state's spans; of evenly spread ones where there are more than 20,001."""
        sums = self._sums.get(state)
        if sums is None:
            return None
        total_ns = sums.total_ns.array
        known = self._medians.get(state)
        if known is None or len(total_ns) > 1.2 * known[0] + 8:
            stride = max(1, len(total_ns) // _MEDIAN_SAMPLE)
            rows = sums.rows.array[::stride]
            known = (len(total_ns), float(np.median(self.end_ns[rows] - self.start_ns[rows])))
            self._medians[state] = known
        return known[1]

    def rows_of(self, state: int) -> npt.NDArray[np.int32]:
        """All rows of a state, ascending."""
        sums = self._sums.get(state)
        return np.asarray(sums.rows.array, np.int32) if sums else np.empty(0, np.int32)

    def _take(self, view: dict[str, npt.NDArray[np.generic]], known: int) -> None:
        self.start_ns: Ints = np.asarray(view["start_ns"], np.int64)
        self.end_ns: Ints = np.asarray(view["end_ns"], np.int64)
        self.state: npt.NDArray[np.uint16] = np.asarray(view["state"], np.uint16)
        self.batch: Ints = np.asarray(view["batch"], np.int64)
        self.value: Ints = np.asarray(view["value"], np.int64)
        self._length = len(self.start_ns)
        state = self.state[known:]
        duration = self.end_ns[known:] - self.start_ns[known:]
        for number in np.flatnonzero(np.bincount(state)) if len(state) else ():
            at = np.flatnonzero(state == number)
            sums = self._sums.setdefault(int(number), _StateSums())
            past = sums.total_ns.array
            sums.rows.append((at + known).astype(np.int32))
            sums.total_ns.append(np.cumsum(duration[at]) + (past[-1] if len(past) else 0))
            long = duration[at] > OUTLIER * (self.median_ns(int(number)) or 0.0)
            sums.long_rows.append((at[long] + known).astype(np.int32))


def stack_heights(shares: Floats, height_px: int, least_share: float = 0.002) -> Ints:
    """Whole pixels for the shares of each column, stacked.

    A share of at least `least_share` gets one pixel at the least, so that a state that is there is seen; what that adds
    is taken from the largest of the column.

    Args:
        shares: (states, columns), each column summing to at most 1.
        height_px: height of the stack.
        least_share: what is worth a pixel.

    Returns:
        (states, columns) heights, each column summing to at most `height_px`.
    """
    edges = np.rint(np.cumsum(np.clip(shares, 0.0, 1.0), axis=0) * height_px).astype(np.int64)
    heights = np.diff(np.minimum(edges, height_px), axis=0, prepend=0)
    small = (heights == 0) & (shares >= least_share)
    if small.any():
        heights[small] = 1
        excess = heights.sum(axis=0) - height_px
        for column in np.flatnonzero(excess > 0):
            for _ in range(int(excess[column])):
                heights[heights[:, column].argmax(), column] -= 1
    return heights
