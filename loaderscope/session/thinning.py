"""Keeps the file of a long recording within a size: of its oldest spans only exact sums per lane and state remain.

Time is cut into cells, the blocks of buckets of one resolution (`trace/span_sums.py`). When the file has grown beyond the size, the
oldest cell is thinned: each track whose sums take far fewer bytes than its spans keeps these sums, and loses its chunks. SQLite uses
the freed pages for new chunks, so the file does not grow. Tracks with few spans stay whole, as do the newest part, the surroundings of
the slowest batches and steps, and those of the user's marks.

The table of sums needs no mark for this: it says for each cell what the spans would. The head of a trial lists the thinned ranges.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.facts.text import bytes_text
from loaderscope.session.chunks import CHUNK_ROWS, Column
from loaderscope.session.sums_table import load_sums, replace_sums
from loaderscope.session.trace_head import write_head
from loaderscope.trace.batch_flight import OUTSTANDING, QUEUE_DEPTH
from loaderscope.trace.model import Trace, TrackKey
from loaderscope.trace.span_sums import BLOCK_ROWS, BLOCK_SHIFT

THIN_SHIFT = 28
"""Resolution of the sums that remain: 268 ms. A cell lasts 275 s."""

CELL_SHIFT = THIN_SHIFT + BLOCK_SHIFT

SPANS_A_ROW = 3
"""A track is thinned where a row of its sums merges at least this many spans: it then frees two thirds of its bytes or more."""

NEWEST_NS = 60 * 10**9
"""A cell is thinned once it ended this long ago: by then its spans and their sums are written."""

SLOWEST = 20
"""Slowest spans of a state whose surroundings stay whole."""

AROUND_SLOWEST_NS = 10**9
AROUND_MARK_NS = 5 * 10**9

KEPT_STATES = (State.WAIT, State.STEP, State.FETCH)

Interval = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class _Chunk:
    number: int
    start_ns: int
    end_ns: int  # the start of the next chunk of its table
    row_count: int


class Thinner:
    """Thins the trials of one session. The caller opens and commits transactions."""

    def __init__(self, connection: sqlite3.Connection, keep_bytes: int) -> None:
        self._connection, self._keep_bytes = connection, keep_bytes
        self._traces: dict[int, Trace] = {}
        self._marks_ns: dict[int, list[int]] = {}
        self._slowest: dict[int, list[tuple[int, int, int]]] = {state: [] for state in KEPT_STATES}  # heaps of duration, start, end
        self._next_cell: int | None = None
        self._reaching_out: dict[tuple[str, int, int, int], _Chunk] = {}  # by table: a chunk that ends after the cell thinned last

    @property
    def note(self) -> str:
        return (
            f"Older spans are stored as sums for each lane and state: the session is kept within {bytes_text(self._keep_bytes)} (--keep)."
        )

    def add_trace(self, trial: int, trace: Trace) -> None:
        """From now on thins this trial, too."""
        self._traces[trial] = trace

    def set_marks(self, trial: int, times_ns: Iterable[int]) -> None:
        """Replaces the times of a trial's marks."""
        self._marks_ns[trial] = list(times_ns)

    def note_spans(self, spans: Mapping[str, Column]) -> None:
        """Remembers the slowest of new spans."""
        duration_ns = spans["end_ns"] - spans["start_ns"]
        for state, heap in self._slowest.items():
            least_ns = heap[0][0] if len(heap) == SLOWEST else 0
            rows = np.flatnonzero((spans["state"] == state) & (duration_ns > least_ns))
            for row in rows[np.argsort(duration_ns[rows])[-SLOWEST:]].tolist():
                heapq.heappush(heap, (int(duration_ns[row]), int(spans["start_ns"][row]), int(spans["end_ns"][row])))
            while len(heap) > SLOWEST:
                heapq.heappop(heap)

    def thin(self) -> None:
        """Thins cells, the oldest first, until the file is within its size or nothing more can go."""
        while self._used_bytes() > self._keep_bytes:
            newest_ns = max((trace.newest_ns for trace in self._traces.values()), default=0)
            cell = self._oldest_cell()
            if cell is None or (cell + 1 << CELL_SHIFT) + NEWEST_NS > newest_ns:
                break
            self._next_cell = cell + 1
            self._thin_cell(cell)

    def _used_bytes(self) -> int:
        (pages,), (free,), (page_bytes,) = (
            self._connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * page_bytes)

    def _oldest_cell(self) -> int | None:
        if self._next_cell is None:
            first_ns = min((trace.origin_ns for trace in self._traces.values() if trace.origin_ns is not None), default=None)
            return None if first_ns is None else first_ns >> CELL_SHIFT
        return self._next_cell

    def _thin_cell(self, cell: int) -> None:
        cell_ns = cell << CELL_SHIFT, cell + 1 << CELL_SHIFT
        kept_ns = self._kept_intervals(*cell_ns)
        for trial, trace in self._traces.items():
            lanes = dict(self._connection.execute("SELECT key, id FROM lane WHERE trial = ?", (trial,)))
            tracks = [(lanes[track.lane], track) for track in list(trace.tracks) if track.lane in lanes]
            is_thinned = [self._thin_track(trial, owner, track, cell, kept_ns) for owner, track in tracks]
            if any(is_thinned):
                self._thin_points(trial, lanes.values(), cell_ns, kept_ns)
                if not trace.thinned_ns:
                    trace.notes.append(self.note)
                trace.thinned_ns = merge_intervals([*trace.thinned_ns, *_without(cell_ns, kept_ns)])
                write_head(self._connection, trial, trace)

    def _thin_track(self, trial: int, owner: int, track: TrackKey, cell: int, kept_ns: Sequence[Interval]) -> bool:
        """Replaces the spans of a track by sums if these are far smaller; returns whether they were."""
        start_ns, end_ns = cell << CELL_SHIFT, cell + 1 << CELL_SHIFT
        table = ("span", trial, owner, track.depth)
        chunks = self._chunks(table, start_ns, end_ns)
        reaching_in = self._reaching_out.pop(table, None)
        spans = sum(chunk.row_count for chunk in chunks)
        if spans < SPANS_A_ROW * BLOCK_ROWS:
            return False
        sums = load_sums(self._connection, trial, track, shift=THIN_SHIFT, from_ns=start_ns, until_ns=end_ns, has_sums=True)
        if (len(sums["bucket"]) + BLOCK_ROWS) * SPANS_A_ROW > spans or len(sums["bucket"]) > CHUNK_ROWS:
            return False
        replace_sums(self._connection, trial, owner, track.depth, THIN_SHIFT, cell, sums)
        if chunks[-1].end_ns > end_ns:
            self._reaching_out[table] = chunks[-1]
        self._delete([*([reaching_in] if reaching_in is not None else []), *chunks], end_ns, kept_ns)
        return True

    def _thin_points(self, trial: int, lanes: Iterable[int], cell_ns: Interval, kept_ns: Sequence[Interval]) -> None:
        """Deletes what comes with every batch: points, and the series of the queue."""
        for owner in lanes:
            self._delete(self._chunks(("point", trial, owner, 0), *cell_ns), cell_ns[1], kept_ns)
        for owner, text in self._connection.execute("SELECT id, json FROM series WHERE trial = ?", (trial,)).fetchall():
            if json.loads(text)["key"] in (QUEUE_DEPTH.key, OUTSTANDING.key):
                self._delete(self._chunks(("series", trial, owner, 0), *cell_ns), cell_ns[1], kept_ns)

    def _chunks(self, table: tuple[str, int, int, int], start_ns: int, end_ns: int) -> list[_Chunk]:
        """Returns the chunks of a table (kind, trial, owner, depth) that start in [start_ns, end_ns), in order."""
        place = "FROM chunk WHERE kind = ? AND trial = ? AND owner = ? AND depth = ? AND start_ns >= ?"
        query = f"SELECT id, start_ns, row_count {place} AND start_ns < ? ORDER BY start_ns, id"
        rows = self._connection.execute(query, (*table, start_ns, end_ns)).fetchall()
        if not rows:
            return []
        (following_ns,) = self._connection.execute(f"SELECT min(start_ns) {place}", (*table, end_ns)).fetchone()
        ends_ns = [row[1] for row in rows[1:]] + [following_ns if following_ns is not None else np.iinfo(np.int64).max]
        return [_Chunk(number, begin_ns, until_ns, count) for (number, begin_ns, count), until_ns in zip(rows, ends_ns, strict=True)]

    def _delete(self, chunks: Sequence[_Chunk], end_ns: int, kept_ns: Sequence[Interval]) -> None:
        """Deletes the chunks that end by `end_ns` and have no part in an interval to keep."""
        gone = [
            (chunk.number,)
            for chunk in chunks
            if chunk.end_ns <= end_ns and not any(chunk.start_ns < last_ns and first_ns < chunk.end_ns for first_ns, last_ns in kept_ns)
        ]
        self._connection.executemany("DELETE FROM chunk WHERE id = ?", gone)

    def _kept_intervals(self, start_ns: int, end_ns: int) -> list[Interval]:
        slowest = [
            (first_ns - AROUND_SLOWEST_NS, last_ns + AROUND_SLOWEST_NS) for heap in self._slowest.values() for _, first_ns, last_ns in heap
        ]
        marks = [(time_ns - AROUND_MARK_NS, time_ns + AROUND_MARK_NS) for times_ns in self._marks_ns.values() for time_ns in times_ns]
        touching = [interval for interval in (*slowest, *marks) if interval[0] < end_ns and start_ns < interval[1]]
        return [(max(first_ns, start_ns), min(last_ns, end_ns)) for first_ns, last_ns in merge_intervals(touching)]


def merge_intervals(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Returns the same moments as ascending intervals that do not touch each other."""
    merged: list[Interval] = []
    for start_ns, end_ns in sorted(intervals):
        if merged and start_ns <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end_ns, merged[-1][1])
        else:
            merged.append((start_ns, end_ns))
    return tuple(merged)


def _without(interval: Interval, others: Sequence[Interval]) -> list[Interval]:
    """Returns the parts of an interval outside of others, which are ascending and lie within it."""
    edges = [interval[0], *(edge for other in others for edge in other), interval[1]]
    return [(start_ns, end_ns) for start_ns, end_ns in zip(edges[::2], edges[1::2], strict=True) if start_ns < end_ns]
