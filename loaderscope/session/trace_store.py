"""A trace in the tables of a session file: written piece by piece while it grows, and read back whole."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np

from loaderscope.facts.lanes import MAIN
from loaderscope.session.chunks import CHUNK_ROWS, Column, decode, encode
from loaderscope.session.errors import SessionError
from loaderscope.session.secret_masking import mask_text
from loaderscope.session.sums_table import SumWriter, load_sums
from loaderscope.session.trace_head import TraceHead, write_head
from loaderscope.session.value_checks import LARGEST_FLOAT
from loaderscope.session.values import checked, checked_rows, read_json, storable, to_text
from loaderscope.trace.columns import Columns, Dtypes, View
from loaderscope.trace.model import (
    POINT_COLUMNS,
    SERIES_COLUMNS,
    SPAN_COLUMNS,
    ForgottenSpans,
    Lane,
    ProcessInfo,
    SeriesInfo,
    Trace,
    TrackKey,
)
from loaderscope.trace.span_sums import Sums
from loaderscope.trace.stored_columns import ChunkCache, ChunkRequest, RowSource, StoredColumns

SERIES_EVERY = 5
"""Calls between two writings of the series: a handful of rows a second makes poor chunks."""

MAX_ROWS = 100_000_000
"""A trace that needs more rows in memory is refused as an attack (it would take some 3 GB)."""

ROWS_IN_MEMORY = 2_000_000
"""Up to this many rows, a trace is read at once. The long tables of a longer trace stay in the file; see `trace/stored_columns.py`."""

ROWS_NEVER_FORGOTTEN = 2_000
"""A table with fewer rows in memory keeps them all: the epochs of a training, for instance."""

ROWS_OF_SHORT_TABLE = 50_000
"""Tables with fewer rows are in memory in any case."""

LONGEST_NS = 10 * 365 * 86_400 * 10**9
"""A trace may span no more time, so that arithmetic on its times stays within 64 bits."""

_MAX_DEPTH, _MIN_DEPTH = 1 << 10, -8
_COLUMNS: dict[str, Dtypes] = {"span": SPAN_COLUMNS, "point": POINT_COLUMNS, "series": SERIES_COLUMNS}


class _Place(NamedTuple):
    """What a chunk's rows belong to: spans or points to a lane, values to a series."""

    kind: str
    owner: int
    depth: int


class _Owners(NamedTuple):
    """The lanes and series of a trial by their numbers in the file."""

    lanes: dict[int, Lane]
    series: dict[int, SeriesInfo]


class TraceWriter:
    """Writes the rows that one trace gained since the last call. The caller opens and commits transactions."""

    def __init__(self, connection: sqlite3.Connection, trial: int, trace: Trace, on_spans: Callable[[View], object] | None = None) -> None:
        """Writes nothing yet; `on_spans` gets all spans before they are written."""
        self.trial = trial
        self._connection = connection
        self.trace = trace
        self._on_spans = on_spans
        self._stored_rows: dict[Columns, int] = {}  # rows that are written, and summed if they are spans; forgotten ones included
        self._lane_ids: dict[str, int] = {}
        self._series_ids: dict[str, int] = {}
        self._written: dict[_Place, int] = {}  # rows
        self._sums = SumWriter(connection, trial)
        self._written_names = 0
        self._calls = 0

    def write(self, final: bool = False) -> None:
        """Writes all new rows and the processes; series only at some calls and with `final`, lanes without rows only with `final`."""
        trace, trial = self.trace, self.trial
        self._calls += 1
        for (key, depth), columns in list(trace.tracks.items()):
            lane = self._lane_id(trace.lanes[key])
            forgotten, spans = self._write_rows("span", lane, depth, columns)
            self._stored_rows[columns] = self._sums.write(lane, depth, spans, forgotten=forgotten, final=final)
        for key, columns in list(trace.points.items()):
            self._write_rows("point", self._lane_id(trace.lanes[key]), 0, columns)
        if final or self._calls % SERIES_EVERY == 0:
            for info, columns in list(trace.series.values()):
                self._write_rows("series", self._series_id(info), 0, columns)
        if final:
            for lane_info in list(trace.lanes.values()):
                self._lane_id(lane_info)
        names = list(trace.names.items())[self._written_names :]
        self._written_names += len(names)
        self._connection.executemany(
            "INSERT INTO name VALUES (?, ?, ?)", [(trial, number, storable(mask_text(text))) for number, text in names]
        )
        processes = [(trial, i, p.name, p.pid, p.started_ns, p.ended_ns) for i, p in enumerate(trace.processes)]
        self._connection.executemany("INSERT OR REPLACE INTO process VALUES (?, ?, ?, ?, ?, ?)", processes)
        self.write_head()

    def write_head(self) -> None:
        """Writes what the file stores about the whole trace."""
        write_head(self._connection, self.trial, self.trace)

    def _write_rows(self, kind: str, owner: int, depth: int, columns: Columns) -> tuple[int, View]:
        """Writes the new rows of a table; returns the number of its rows that were forgotten, and the others."""
        (forgotten, view), place = columns.numbered_view(), _Place(kind, owner, depth)
        time_column = view["start_ns" if kind == "span" else "time_ns"]
        begin = self._written.get(place, 0) - forgotten
        for first in range(begin, len(time_column), CHUNK_ROWS):
            rows = {name: column[first : first + CHUNK_ROWS] for name, column in view.items()}
            if kind == "span" and self._on_spans is not None:
                self._on_spans(rows)
            row_count = min(CHUNK_ROWS, len(time_column) - first)
            self._connection.execute(
                "INSERT INTO chunk (trial, kind, owner, depth, start_ns, row_count, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.trial, kind, owner, depth, int(time_column[first]), row_count, encode(rows)),
            )
        self._written[place] = self._stored_rows[columns] = forgotten + len(time_column)
        return forgotten, view

    def forget_stored_rows(self, most_rows: int) -> None:
        """Forgets the oldest rows that are stored and summed if more than `most_rows` are in memory.

        Main's own rows and those of devices may take half of these, and all others the other half: what a training lost to its
        loaders is computed from main's rows, and the others are many more. Short tables forget nothing.
        """
        trace = self.trace
        of_devices = {lane.key for lane in list(trace.lanes.values()) if lane.kind == "device"}
        tracks = {key: columns for key, columns in trace.tracks.items() if len(columns) > ROWS_NEVER_FORGOTTEN}
        others = {key: columns for key, columns in trace.points.items() if len(columns) > ROWS_NEVER_FORGOTTEN}
        series = {key: columns for key, (_, columns) in trace.series.items() if len(columns) > ROWS_NEVER_FORGOTTEN}
        of_main = {key for key in tracks if key.lane in of_devices or (key.lane == MAIN.key and key.depth <= 0)}
        self._forget_oldest({key: tracks[key] for key in of_main}, [others.pop(MAIN.key)] if MAIN.key in others else [], most_rows // 2)
        self._forget_oldest({key: tracks[key] for key in tracks.keys() - of_main}, [*others.values(), *series.values()], most_rows // 2)

    def _forget_oldest(self, tracks: Mapping[TrackKey, Columns], others: Sequence[Columns], most_rows: int) -> None:
        """Forgets the same range of time of tracks and other tables if they have too many rows; about half of the limit remains."""
        times = [next(iter(table.view().values())) for table in (*tracks.values(), *others)]
        if sum(map(len, times)) <= most_rows:
            return
        steps = [len(column) // 1000 + 1 for column in times]
        sample = np.concatenate([column[::step] for column, step in zip(times, steps, strict=True)])
        weights = np.concatenate([np.full(len(column[::step]), step) for column, step in zip(times, steps, strict=True)])
        order = np.argsort(sample, kind="stable")
        newer = np.cumsum(weights[order][::-1])[::-1]  # rows from each moment of the sample on
        until_ns = int(sample[order][min(int((newer > most_rows // 2).sum()), len(order) - 1)])
        for key, track in tracks.items():
            self._forget_spans(key, track, until_ns)
        for table in others:
            table.forget(self._oldest_rows(table, table.view()["time_ns"], until_ns))

    def _forget_spans(self, key: TrackKey, track: Columns, until_ns: int) -> None:
        view = track.view()
        count = self._oldest_rows(track, view["end_ns"], until_ns)
        state, batch = view["state"][:count], np.asarray(view["batch"][:count], np.int64)
        duration_ns = np.asarray(view["end_ns"][:count], np.int64) - np.asarray(view["start_ns"][:count], np.int64)
        for number in np.unique(state).tolist():
            rows = state == number
            before = self.trace.forgotten.get((key, number), ForgottenSpans(0, 0, 0))
            self.trace.forgotten[key, number] = ForgottenSpans(
                before.spans + int(rows.sum()),
                before.with_batch + int((batch[rows] >= 0).sum()),
                before.time_ns + int(duration_ns[rows].sum()),
            )
        track.forget(count)

    def _oldest_rows(self, table: Columns, ends_ns: Column, until_ns: int) -> int:
        """Returns how many rows at the beginning of a table have ended by `until_ns` and are stored; the last row always stays."""
        ended = int(ends_ns.searchsorted(np.int64(until_ns), "right"))
        return max(min(ended, self._stored_rows.get(table, 0) - table.first_row, len(table) - 1), 0)

    def _lane_id(self, lane: Lane) -> int:
        if lane.key not in self._lane_ids:
            row = (self.trial, lane.key, lane.kind, lane.label, lane.order)
            cursor = self._connection.execute("INSERT INTO lane (trial, key, kind, label, position) VALUES (?, ?, ?, ?, ?)", row)
            self._lane_ids[lane.key] = int(cursor.lastrowid or 0)
        return self._lane_ids[lane.key]

    def _series_id(self, info: SeriesInfo) -> int:
        if info.key not in self._series_ids:
            cursor = self._connection.execute("INSERT INTO series (trial, json) VALUES (?, ?)", (self.trial, to_text(info)))
            self._series_ids[info.key] = int(cursor.lastrowid or 0)
        return self._series_ids[info.key]


def load_trace(connection: sqlite3.Connection, trial: int, source: RowSource | None = None) -> Trace:
    """Returns the trace of a trial; an empty one if the trial never started.

    Args:
        connection: to the session file.
        trial: number of the trial.
        source: reads the rows of a long trace whenever somebody needs them. Without one, all rows are read at once.

    Raises:
        SessionError: the file is damaged.
    """
    trace = Trace()
    (text,) = connection.execute("SELECT trace FROM trial WHERE id = ?", (trial,)).fetchone() or (None,)
    if text is None:
        return trace
    head = read_json(TraceHead, text, f"the trace of trial {trial}")
    trace.origin_ns, trace.newest_ns, trace.record_count = head.origin_ns, head.newest_ns, head.record_count
    trace.unavailable, trace.notes = head.unavailable, head.notes
    trace.thinned_ns = head.thinned_ns
    for start_ns, end_ns in head.thinned_ns:
        _check_times(trace.origin_ns or 0, start_ns, end_ns)
    _check_times(trace.origin_ns or 0, trace.origin_ns or 0, trace.end_ns)
    processes = _named_rows(connection, "SELECT name, pid, started_ns, ended_ns FROM process WHERE trial = ? ORDER BY number", trial)
    trace.processes = [checked(row, ProcessInfo, "a process") for row in processes]
    for process in trace.processes:
        _check_times(process.started_ns, process.started_ns, process.started_ns if process.ended_ns is None else process.ended_ns)
    names = connection.execute("SELECT number, text FROM name WHERE trial = ?", (trial,))
    trace.names = dict(checked_rows(names, int, str, table="name"))
    lanes: dict[int, Lane] = {}
    query = 'SELECT id, key, kind, label, position AS "order" FROM lane WHERE trial = ? ORDER BY id'
    for row in _named_rows(connection, query, trial):
        lane = checked(row, Lane, "a lane")
        lanes[row["id"]] = trace.lanes.setdefault(lane.key, lane)
    series = {}
    for number, text in connection.execute("SELECT id, json FROM series WHERE trial = ? ORDER BY id", (trial,)):
        series[number] = read_json(SeriesInfo, text, "a series")
    _load_chunks(connection, trial, trace, _Owners(lanes, series), source)
    trace.version = 1
    return trace


def _named_rows(connection: sqlite3.Connection, query: str, trial: int) -> Iterator[dict[str, Any]]:
    """Yields the rows of a trial as values by column."""
    cursor = connection.execute(query, (trial,))
    names = [column[0] for column in cursor.description]
    for row in cursor:
        yield dict(zip(names, row, strict=True))


def _load_chunks(connection: sqlite3.Connection, trial: int, trace: Trace, owners: _Owners, source: RowSource | None) -> None:
    """Reads the chunks into memory. Those of long tables stay in the file if the trace has many rows and a source for them."""
    found: dict[_Place, list[tuple[int, int, int]]] = {}
    query = "SELECT kind, owner, depth, id, start_ns, row_count FROM chunk WHERE trial = ? ORDER BY id"
    rows = connection.execute(query, (trial,)).fetchall()
    # a long recording has a million chunks: whole columns are checked at once
    types = [set(map(type, column)) for column in zip(*rows, strict=True)]
    if rows and types != [{str}, *([{int}] * 5)]:
        raise SessionError("The session file is damaged: a row of its table 'chunk' cannot be read.")
    for kind, owner, depth, *chunk in rows:
        found.setdefault(_Place(kind, owner, depth), []).append(tuple(chunk))
    counts = [row[5] for row in rows]
    is_possible = all(place.kind in _COLUMNS and _MIN_DEPTH <= place.depth <= _MAX_DEPTH for place in found)
    if not is_possible or not 0 < min(counts, default=1) <= max(counts, default=1) <= CHUNK_ROWS:
        raise SessionError("The session file is damaged: a chunk is not one of spans, points or values.")
    row_counts = {place: sum(count for *_, count in chunks) for place, chunks in found.items()}
    is_long = sum(row_counts.values()) > ROWS_IN_MEMORY
    stays = {
        place
        for place, rows in row_counts.items()
        # the spans of a thinned trace need their sums beside them
        if source is not None and ((place.kind == "span" and trace.thinned_ns) or (is_long and rows > ROWS_OF_SHORT_TABLE))
        if place.kind != "series"
    }
    total = sum(rows for place, rows in row_counts.items() if place not in stays)
    if total > MAX_ROWS:
        raise SessionError(f"The session file is damaged: trial {trial} claims to have {total} rows.")
    filled = []
    with ThreadPoolExecutor(max_workers=2) as pool:  # decompression and cumsum release the GIL
        jobs = []
        for place in [place for place in found if place not in stays]:
            arrays = {name: np.empty(row_counts[place], dtype) for name, dtype in _COLUMNS[place.kind].items()}
            jobs += _start_decoding(connection, pool, [(number, count) for number, _, count in found[place]], arrays)
            filled.append((place, arrays))
        for job in jobs:
            job.result()
    for place, arrays in filled:
        time_ns = arrays["start_ns" if place.kind == "span" else "time_ns"]
        if (time_ns[1:] < time_ns[:-1]).any() or (place.kind == "span" and (arrays["end_ns"] < time_ns).any()):
            raise SessionError("The session file is damaged: what it recorded is not in the order of time.")
        origin_ns = trace.origin_ns if trace.origin_ns is not None else int(time_ns[0])
        _check_times(origin_ns, int(time_ns[0]), int(arrays["end_ns" if place.kind == "span" else "time_ns"].max()))
        if place.kind == "series" and (np.abs(arrays["value"]) > LARGEST_FLOAT).any():  # false for readings that are not a number
            raise SessionError("The session file is damaged: a value that it recorded is larger than any that is measured.")
        with _damaged_owner():
            _columns_for(trace, place, owners).adopt(**arrays)
    cache = ChunkCache()
    for place in [place for place in found if place in stays]:
        chunks = found[place]
        starts_ns = [start_ns for _, start_ns, _ in chunks]
        if any(later < sooner for sooner, later in itertools.pairwise(starts_ns)):
            raise SessionError("The session file is damaged: what it recorded is not in the order of time.")
        _check_times(trace.origin_ns or starts_ns[0], starts_ns[0], starts_ns[-1])
        assert source is not None
        with _damaged_owner():
            owner = owners.lanes[place.owner].key, place.depth
            stored = StoredColumns(_COLUMNS[place.kind], owner, chunks, end_ns=trace.end_ns, source=source, cache=cache)
            if len(_columns_for(trace, place, owners)):
                raise ValueError("two tables of the file are one of the trace")
            if place.kind == "span":
                trace.tracks[TrackKey(*owner)] = stored
            else:
                trace.points[owner[0]] = stored


@contextmanager
def _damaged_owner() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError):
        raise SessionError("The session file is damaged: a chunk belongs to no lane, or to one that has others.") from None


class OpenedFile(NamedTuple):
    """A session file that is open for reading."""

    connection: sqlite3.Connection
    has_sums: bool


class StoredRows:
    """Reads the rows of one trace from its file whenever somebody needs them.

    Args:
        trial: number of the trial.
        open_file: opens the file for one reading.
    """

    def __init__(self, trial: int, open_file: Callable[[], AbstractContextManager[OpenedFile]]) -> None:
        self._trial, self._open_file = trial, open_file

    def read(self, requests: Sequence[ChunkRequest]) -> None:
        """Decodes chunks; see `RowSource`.

        Raises:
            SessionError: a chunk is damaged, or the file was closed.
        """
        with self._open_file() as session:
            for number, start_ns, until_ns, into in requests:
                row = session.connection.execute("SELECT data FROM chunk WHERE id = ? AND trial = ?", (number, self._trial)).fetchone()
                if row is None:
                    raise SessionError("The recording was thinned since this trace was opened: open it again.")
                if type(row[0]) is not bytes:
                    raise SessionError("The session file is damaged: a chunk is none.")
                decode(row[0], into)
                times = np.asarray(into["start_ns" if "start_ns" in into else "time_ns"], np.int64)
                ends = np.asarray(into.get("end_ns", times), np.int64)
                if times[0] != start_ns or (times[1:] < times[:-1]).any() or (ends < times).any() or ends.max() > until_ns:
                    raise SessionError("The session file is damaged: what it recorded is not in the order of time.")

    def sums(self, lane: str, depth: int, *, shift: int, from_ns: int, until_ns: int) -> Sums:
        """Returns the sums of a track; see `RowSource`.

        Raises:
            SessionError: the file is damaged or was closed.
        """
        with self._open_file() as session:
            return load_sums(
                session.connection,
                self._trial,
                TrackKey(lane, depth),
                shift=shift,
                from_ns=from_ns,
                until_ns=until_ns,
                has_sums=session.has_sums,
            )


def _check_times(origin_ns: int, first_ns: int, last_ns: int) -> None:
    if first_ns < 0 or last_ns < first_ns or max(abs(first_ns - origin_ns), abs(last_ns - origin_ns)) > LONGEST_NS:
        raise SessionError("The session file is damaged: what it recorded happened at no possible time.")


def _start_decoding(
    connection: sqlite3.Connection, pool: ThreadPoolExecutor, chunks: list[tuple[int, int]], arrays: dict[str, Column]
) -> list[Future[None]]:
    jobs, first = [], 0
    for number, count in chunks:
        ((data,),) = checked_rows(connection.execute("SELECT data FROM chunk WHERE id = ?", (number,)), bytes, table="chunk")
        jobs.append(pool.submit(decode, data, {name: array[first : first + count] for name, array in arrays.items()}))
        first += count
    return jobs


def _columns_for(trace: Trace, place: _Place, owners: _Owners) -> Columns:
    if place.kind == "span":
        return trace.track(owners.lanes[place.owner], place.depth)
    return trace.points_of(owners.lanes[place.owner]) if place.kind == "point" else trace.series_of(owners.series[place.owner])
