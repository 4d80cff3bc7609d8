"""Growing columns: one thread appends rows while other threads read the earlier ones. Spans and points stay sorted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Dtypes = Mapping[str, npt.DTypeLike]
View = dict[str, npt.NDArray[np.generic]]


class Columns:
    """Named NumPy columns of equal length that only grow at the end.

    One thread appends. Any thread may call `view` at any time. A view never changes: `append` writes behind its last row, or
    copies everything into new memory and leaves the old memory to the view.
    """

    def __init__(self, dtypes: Dtypes) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._state: tuple[int, View] = (0, {name: np.empty(0, dtype) for name, dtype in self._dtypes.items()})

    def __len__(self) -> int:
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
        """Makes these arrays the columns, without a copy. The table must be empty, and nobody else may write to the arrays.

        Raises:
            ValueError: the table has rows, an array is missing or has another dtype, or the lengths differ.
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
