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

BLOCK_ROWS = 64
"""Rows whose longest span is remembered together."""

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
    """Rows of one state and their cumulative duration: `total_ns[i]` is the time of its first i+1 spans."""

    rows: _Growing = dataclasses.field(default_factory=lambda: _Growing(np.int32))
    total_ns: _Growing = dataclasses.field(default_factory=lambda: _Growing(np.int64))


class TrackIndex:
    """The spans of one track, searchable; it follows the track while that grows.

    Attributes:
        start_ns, end_ns, state, batch, value: the columns of `SPAN_COLUMNS` as of the last `update`.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._sums: dict[int, _StateSums] = {}
        self._longest = _Growing(np.int32)  # row of the longest span of each full block
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
        count = np.searchsorted(self.start_ns, edges_ns, "right")
        last = np.maximum(count - 1, 0)
        # the last span that began before an edge may reach over it
        over_ns = np.where(count > 0, np.maximum(self.end_ns[last] - edges_ns, 0), 0)
        last_state = self.state[last]
        keys = count.astype(np.int32)
        result = {}
        for state in wanted:
            sums = self._sums[state]
            rank = np.searchsorted(sums.rows.array, keys, "left")
            total_ns = sums.total_ns.array
            before = np.where(rank > 0, total_ns[np.maximum(rank - 1, 0)], 0) - np.where(last_state == state, over_ns, 0)
            result[state] = np.diff(before)
        return result

    def count_between(self, start_ns: int, end_ns: int) -> int:
        """Number of spans that touch a range."""
        first, last = self.rows_between(start_ns, end_ns)
        return last - first

    def longest(self, edges_ns: Ints) -> Ints:
        """The row of the longest span that begins in each column, -1 where none does.

        With far more spans than columns only the longest of each block of `BLOCK_ROWS` is looked at, so a column's
        second longest can stand in for its longest where one block reaches over a column's edge.
        """
        columns = len(edges_ns) - 1
        result = np.full(columns, -1, np.int64)
        bounds = np.searchsorted(self.start_ns, edges_ns, "left")
        first, last = int(bounds[0]), int(bounds[-1])
        if last - first > 4 * BLOCK_ROWS * columns:
            rows = self._longest.array[first // BLOCK_ROWS : -(-last // BLOCK_ROWS)].astype(np.int64)
            rows = rows[(rows >= first) & (rows < last)]
            bounds = np.searchsorted(rows, bounds)
        else:
            rows = np.arange(first, last)
            bounds = bounds - first
        if not len(rows):
            return result
        duration = self.end_ns[rows] - self.start_ns[rows]
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        if not len(filled):
            return result
        most = np.maximum.reduceat(duration, bounds[filled])
        owner = np.repeat(np.arange(len(filled)), np.diff(bounds)[filled])
        best = np.flatnonzero(duration == most[owner])
        _, at = np.unique(owner[best], return_index=True)
        result[filled] = rows[best[at]]
        return result

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
        self._take_blocks()

    def _take_blocks(self) -> None:
        done = len(self._longest.array)
        full = self._length // BLOCK_ROWS
        if full <= done:
            return
        rows = slice(done * BLOCK_ROWS, full * BLOCK_ROWS)
        duration = (self.end_ns[rows] - self.start_ns[rows]).reshape(-1, BLOCK_ROWS)
        self._longest.append((duration.argmax(axis=1) + np.arange(done, full) * BLOCK_ROWS).astype(np.int32))


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
