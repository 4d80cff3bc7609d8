"""Growing columns that one thread appends to while others read what is already there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Dtypes = Mapping[str, npt.DTypeLike]
View = dict[str, npt.NDArray[np.generic]]


class Columns:
    """Named NumPy columns of equal length that only grow at the end.

    One thread appends. Any thread may call `view` at any time: a view never changes, because rows are only added behind
    it, and growing copies into new memory and leaves the old to whoever still looks at it.
    """

    def __init__(self, dtypes: Dtypes) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._state: tuple[int, View] = (0, {name: np.empty(0, dtype) for name, dtype in self._dtypes.items()})

    def __len__(self) -> int:
        return self._state[0]

    @property
    def byte_count(self) -> int:
        """Memory that its rows take."""
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
        length, columns = self._state
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
        self._state = (total, columns)  # one assignment publishes the new length together with its memory

    def adopt(self, **columns: npt.NDArray[np.generic]) -> None:
        """Takes these arrays for all its rows, without a copy. Only while there are none; nobody else may write to them.

        Raises:
            ValueError: there are rows, or the arrays are not one of its dtype for every column, all with the same length.
        """
        if len(self) or {name: array.dtype for name, array in columns.items()} != self._dtypes:
            raise ValueError(f"an empty table of {self._dtypes} cannot take {sorted(columns)}")
        lengths = {len(array) for array in columns.values()}
        if len(lengths) != 1:
            raise ValueError(f"columns of {sorted(lengths)} rows do not make a table")
        self._state = (lengths.pop(), dict(columns))

    def view(self) -> View:
        """All rows so far, as arrays that share memory with the columns."""
        length, columns = self._state
        return {name: column[:length] for name, column in columns.items()}


def append_spans(track: Columns, start_ns: Ints, end_ns: Ints, **others: Ints) -> None:
    """Adds spans that are sorted by start. What would overlap (after a lost record, or by a device's clock) is cut.

    Args:
        track: the spans of one lane and depth.
        start_ns: begins.
        end_ns: ends, not before the begins.
        others: the remaining columns.
    """
    if not len(start_ns):
        return
    first = track.view()["end_ns"][-1] if len(track) else start_ns[0]
    earlier_ends = np.maximum.accumulate(np.concatenate((np.array([first], np.int64), end_ns[:-1])))
    if (start_ns < earlier_ends).any():
        start_ns = np.maximum(start_ns, earlier_ends)
        end_ns = np.maximum(start_ns, end_ns)
    track.append(start_ns=start_ns, end_ns=end_ns, **others)


def append_points(points: Columns, time_ns: Ints, **others: Ints) -> None:
    """Adds points that are sorted by time. One that a slower thread wrote late is moved to the newest that is there."""
    if len(points):
        time_ns = np.maximum(time_ns, points.view()["time_ns"][-1])
    points.append(time_ns=time_ns, **others)
