"""Growing columns: one thread appends rows while other threads read the earlier ones. Spans and points stay sorted.

A recording that goes on for hours forgets its oldest rows once a session file holds them; `first_row` counts them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Dtypes = Mapping[str, npt.DTypeLike]
View = dict[str, npt.NDArray[np.generic]]


class Columns:
    """Named NumPy columns of equal length that only grow at the end.

    One thread appends and forgets. Any thread may call `view` at any time. A view never changes: `append` writes behind its last row,
    or copies everything into new memory and leaves the old memory to the view.
    """

    def __init__(self, dtypes: Dtypes) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        # number of forgotten rows, number of rows in memory, and their memory
        self._state: tuple[int, int, View] = (0, 0, {name: np.empty(0, dtype) for name, dtype in self._dtypes.items()})

    def __len__(self) -> int:
        return self._state[1]

    @property
    def first_row(self) -> int:
        """Number of rows that were forgotten, which came before the first row of `view`."""
        return self._state[0]

    @property
    def byte_count(self) -> int:
        """Bytes of memory that the rows take."""
        return len(self) * sum(dtype.itemsize for dtype in self._dtypes.values())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._dtypes)

    def append(self, **rows: npt.ArrayLike) -> None:
        """Adds rows; every column must be given, all with the same length."""
        arrays = {name: np.asarray(rows[name], dtype).reshape(-1) for name, dtype in self._dtypes.items()}
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1 or len(rows) != len(arrays):
            raise ValueError(f"rows must give {sorted(arrays)} in one length, not {sorted(rows)} in {sorted(lengths)}")
        first_row, length, columns = self._state
        added = lengths.pop()
        if not added:
            return
        total = length + added
        capacity = len(next(iter(columns.values())))
        if total > capacity:
            capacity = max(total, capacity * 2, 256)
            grown = {name: np.empty(capacity, dtype) for name, dtype in self._dtypes.items()}
            for name, column in grown.items():
                column[:length] = columns[name][:length]
            columns = grown
        for name, array in arrays.items():
            columns[name][length:total] = array
        self._state = (first_row, total, columns)  # one assignment publishes the new length together with its memory

    def adopt(self, **columns: npt.NDArray[np.generic]) -> None:
        """Makes these arrays the columns, without a copy. The table must be empty, and nobody else may write to the arrays.

        Raises:
            ValueError: the table has rows, an array is missing or has another dtype, or the lengths differ.
        """
        if len(self) or {name: array.dtype for name, array in columns.items()} != self._dtypes:
            raise ValueError(f"an empty table of {self._dtypes} cannot take {sorted(columns)}")
        lengths = {len(array) for array in columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"columns of {sorted(lengths)} rows do not make a table")
        self._state = (0, lengths.pop(), dict(columns))

    def forget(self, count: int) -> None:
        """Frees the memory of the first `count` rows; an earlier view keeps them as long as it lives."""
        first_row, length, columns = self._state
        if count:
            self._state = (first_row + count, length - count, {name: column[count:length].copy() for name, column in columns.items()})

    def view(self) -> View:
        """All rows in memory, as arrays that share memory with the columns."""
        return self.numbered_view()[1]

    def numbered_view(self) -> tuple[int, View]:
        """Returns the number of forgotten rows together with the view of the others, as of one moment."""
        first_row, length, columns = self._state
        return first_row, {name: column[:length] for name, column in columns.items()}

    def rows(self, first: int, last: int) -> View:
        """Returns the rows [first, last) of the view."""
        return {name: column[first:last] for name, column in self.view().items()}

    def rows_touching(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Returns the first row and one past the last row that touch [start_ns, end_ns); the columns must be those of spans or points."""
        return _touching(self.view(), start_ns, end_ns)


def _touching(view: View, start_ns: int, end_ns: int) -> tuple[int, int]:
    starts, ends = (view["time_ns"], view["time_ns"]) if "time_ns" in view else (view["start_ns"], view["end_ns"])
    first = int(ends.searchsorted(np.int64(start_ns), "left" if starts is ends else "right"))
    return first, max(first, int(starts.searchsorted(np.int64(end_ns), "left")))


def append_spans(track: Columns, start_ns: Ints, end_ns: Ints, **others: Ints) -> None:
    """Adds spans that are sorted by start. Cuts spans that would overlap (after a lost record, or by a device's clock).

    Args:
        track: the spans of one lane and depth.
        start_ns: their starts.
        end_ns: their ends, not before their starts.
        others: the remaining columns.
    """
    if not len(start_ns):
        return
    newest_end = track.view()["end_ns"][-1] if len(track) else start_ns[0]
    earlier_ends = np.maximum.accumulate(np.concatenate((np.array([newest_end], np.int64), end_ns[:-1])))
    if (start_ns < earlier_ends).any():
        start_ns = np.maximum(start_ns, earlier_ends)
        end_ns = np.maximum(start_ns, end_ns)
    track.append(start_ns=start_ns, end_ns=end_ns, **others)


def append_points(points: Columns, time_ns: Ints, **others: Ints) -> None:
    """Adds points that are sorted by time. Moves a point that a slow thread wrote late to the time of the newest point."""
    if len(points):
        time_ns = np.maximum(time_ns, points.view()["time_ns"][-1])
    points.append(time_ns=time_ns, **others)
