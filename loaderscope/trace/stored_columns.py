"""Columns that stay in a session file: a stored track is a sequence of chunks, and only the chunks that somebody reads are decoded.

`StoredColumns` is read like `Columns`, by rows and by times. It knows the start of each chunk and the number of its first row. So it
finds the rows at a moment by decoding one chunk, and estimates them without decoding any. Single chunks come from a cache that is
bounded in bytes; longer ranges are decoded into new memory, which belongs to the caller.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from loaderscope.trace.columns import Columns, Dtypes, Ints, View
from loaderscope.trace.span_sums import Sums

CACHE_BYTES = 32 << 20
"""Decoded chunks of one trace that stay in memory, of all its tracks together: some fifteen of the largest."""

Side = Literal["left", "right"]


class ChunkRequest(NamedTuple):
    """A chunk to decode.

    Attributes:
        number: of the chunk in its file.
        start_ns: time of its first row.
        until_ns: no row of the chunk ends later: the start of the next chunk.
        into: the arrays to fill.
    """

    number: int
    start_ns: int
    until_ns: int
    into: View


class RowSource(Protocol):
    """Reads the rows of one trace from its file. Any thread may use it."""

    def read(self, requests: Sequence[ChunkRequest]) -> None:
        """Decodes chunks.

        Raises:
            SessionError: a chunk is damaged, or the file was closed.
        """

    def sums(self, lane: str, depth: int, *, shift: int, from_ns: int, until_ns: int) -> Sums:
        """Returns how long a track was in each state in buckets of time; see `trace/span_sums.py`.

        Raises:
            SessionError: the file is damaged or was closed.
        """


class ChunkCache:
    """The chunks that were read last, up to `CACHE_BYTES`. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: OrderedDict[int, View] = OrderedDict()
        self._bytes = 0

    def find(self, number: int) -> View | None:
        """Returns the rows of a chunk, and counts as its last use; None if they are not in memory."""
        with self._lock:
            view = self._views.get(number)
            if view is not None:
                self._views.move_to_end(number)
            return view

    def keep(self, number: int, view: View) -> None:
        """Adds the rows of a chunk, and drops the chunks that were used longest ago."""
        with self._lock:
            if number not in self._views:
                self._views[number] = view
                self._bytes += _byte_count(view)
            while self._bytes > CACHE_BYTES and len(self._views) > 1:
                self._bytes -= _byte_count(self._views.popitem(last=False)[1])


class StoredColumns(Columns):
    """The rows of one track, or of the points on a lane, in a session file. They do not grow.

    Attributes:
        numbers: for each chunk its number in the file.
        starts_ns: for each chunk the time of its first row, ascending.
        first_rows: for each chunk the number of its first row; behind them the number of all rows.
    """

    def __init__(
        self,
        dtypes: Dtypes,
        owner: tuple[str, int],
        chunks: Sequence[tuple[int, int, int]],
        *,
        end_ns: int,
        source: RowSource,
        cache: ChunkCache,
    ) -> None:
        """Reads nothing yet.

        Args:
            dtypes: the columns, the first of which is the time by which rows are sorted.
            owner: lane and depth in the file.
            chunks: at least one: number in the file, time of the first row, number of rows.
            end_ns: no row ends later.
            source: reads the chunks.
            cache: keeps single chunks; all tables of a trace share it.
        """
        super().__init__(dtypes)
        numbers, starts_ns, counts = (np.array(column, np.int64) for column in zip(*chunks, strict=True))
        self.numbers, self.starts_ns = numbers, starts_ns
        self.first_rows = np.append(np.int64(0), np.cumsum(counts))
        self._untils_ns = np.append(starts_ns[1:], max(end_ns, int(starts_ns[-1])))
        self._owner, self._source, self._cache = owner, source, cache

    def __len__(self) -> int:
        return int(self.first_rows[-1])

    @property
    def byte_count(self) -> int:
        """Bytes of memory that the rows take: none, as cache and callers have copies."""
        return 0

    @property
    def end_ns(self) -> int:
        """A time at which all rows have ended."""
        return int(self._untils_ns[-1])

    def append(self, **rows: npt.ArrayLike) -> NoReturn:
        raise TypeError("rows in a file do not grow")

    def adopt(self, **columns: npt.NDArray[np.generic]) -> NoReturn:
        raise TypeError("rows in a file do not grow")

    def forget(self, count: int) -> NoReturn:
        raise TypeError("rows in a file are not in memory")

    def numbered_view(self) -> tuple[int, View]:
        """Decodes all rows, for callers that can take as many."""
        return 0, self.rows(0, len(self))

    def rows(self, first: int, last: int) -> View:
        """Returns the rows [first, last).

        Raises:
            SessionError: a chunk is damaged, or the file was closed.
        """
        first = max(first, 0)
        last = max(min(last, len(self)), first)
        low, high = int(self.first_rows.searchsorted(first, "right")) - 1, int(self.first_rows.searchsorted(last, "left"))
        if first < last and high - low == 1:
            return _cut(self._chunk(low), first - int(self.first_rows[low]), last - int(self.first_rows[low]))
        result: View = {name: np.empty(last - first, dtype) for name, dtype in self._dtypes.items()}
        requests = []
        for at in range(low, high) if first < last else ():
            begin, end = int(self.first_rows[at]), int(self.first_rows[at + 1])
            into = _cut(result, max(begin, first) - first, min(end, last) - first)
            if first <= begin and end <= last:
                requests.append(self._request(at, into))
            else:
                for name, column in _cut(self._chunk(at), max(first - begin, 0), last - begin).items():
                    into[name][:] = column
        if requests:
            self._source.read(requests)
        return result

    def rows_touching(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Returns the first row and one past the last row that touch [start_ns, end_ns); decodes at most two chunks.

        Raises:
            SessionError: a chunk is damaged, or the file was closed.
        """
        # spans do not overlap: those of earlier chunks end at or before the start of the last chunk that starts by then
        is_of_spans = "end_ns" in self._dtypes
        at = int(self.starts_ns.searchsorted(np.int64(start_ns), "right" if is_of_spans else "left")) - 1
        first = 0
        if at >= 0:
            ends = self._chunk(at)["end_ns" if is_of_spans else "time_ns"]
            first = int(self.first_rows[at] + ends.searchsorted(np.int64(start_ns), "right" if is_of_spans else "left"))
        return first, max(first, self.row_from(end_ns))

    def row_from(self, time_ns: int, side: Side = "left") -> int:
        """Returns the first row that starts at or after a time; with side `right` the first one that starts after it.

        Raises:
            SessionError: a chunk is damaged, or the file was closed.
        """
        at = int(self.starts_ns.searchsorted(np.int64(time_ns), side)) - 1
        if at < 0:
            return 0
        return int(self.first_rows[at] + self._chunk(at)[next(iter(self._dtypes))].searchsorted(np.int64(time_ns), side))

    def estimated_rows(self, times_ns: Ints) -> Ints:
        """Returns about how many rows start before each time; exact at the starts of chunks. Decodes nothing."""
        at = np.maximum(self.starts_ns.searchsorted(times_ns, "right") - 1, 0)
        begin_ns, begin = self.starts_ns.take(at), self.first_rows.take(at)
        share = np.clip((times_ns - begin_ns) / np.maximum(self._untils_ns.take(at) - begin_ns, 1), 0.0, 1.0)
        estimate: Ints = begin + (share * (self.first_rows.take(at + 1) - begin)).astype(np.int64)
        return estimate

    def sums(self, shift: int) -> Sums:
        """Returns the sums of the whole track, in buckets of a shift; see `trace/span_sums.py`.

        Raises:
            SessionError: the file is damaged or was closed.
        """
        return self._source.sums(*self._owner, shift=shift, from_ns=int(self.starts_ns[0]), until_ns=self.end_ns + 1)

    def _chunk(self, at: int) -> View:
        number = int(self.numbers[at])
        view = self._cache.find(number)
        if view is None:
            count = int(self.first_rows[at + 1] - self.first_rows[at])
            view = {name: np.empty(count, dtype) for name, dtype in self._dtypes.items()}
            self._source.read([self._request(at, view)])
            self._cache.keep(number, view)
        return view

    def _request(self, at: int, into: View) -> ChunkRequest:
        return ChunkRequest(int(self.numbers[at]), int(self.starts_ns[at]), int(self._untils_ns[at]), into)


def _cut(view: View, first: int, last: int) -> View:
    return {name: column[first:last] for name, column in view.items()}


def _byte_count(view: View) -> int:
    return sum(int(column.nbytes) for column in view.values())
