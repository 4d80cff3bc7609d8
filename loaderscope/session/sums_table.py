"""Stores the sums of a trace's spans (`trace/span_sums.py`) in a session file, and loads them for a range of time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

import numpy as np

from loaderscope.session.chunks import CHUNK_ROWS, Column, decode, encode
from loaderscope.session.errors import SessionError
from loaderscope.session.values import checked_rows
from loaderscope.trace.columns import Dtypes
from loaderscope.trace.model import SPAN_COLUMNS, TrackKey
from loaderscope.trace.span_sums import (
    BLOCK_SHIFT,
    SHIFTS,
    SUM_COLUMNS,
    Block,
    SumLadder,
    Sums,
    TrackSpans,
    coarser,
    is_worth_bytes,
    merged,
    sums_within,
)

ROWS_AT_ONCE = 1 << 14
"""`SumWriter` waits for this many new spans of a track, so that the cost of a call is small beside that of its spans."""


class SumWriter:
    """Writes the sums of the spans of one trial, each block once it is complete. The caller opens and commits transactions.

    The sums in the file never run ahead of its spans, so they are right at any moment; the reader sums the remaining spans itself.
    """

    def __init__(self, connection: sqlite3.Connection, trial: int) -> None:
        self._connection, self._trial = connection, trial
        self._ladders: dict[tuple[int, int], SumLadder] = {}
        self._summed_counts: dict[tuple[int, int], int] = {}  # spans

    def write(self, owner: int, depth: int, spans: Mapping[str, Column], *, forgotten: int, final: bool) -> int:
        """Sums the new spans of a track, after its spans were written.

        Args:
            owner: number of the lane.
            depth: of the track.
            spans: all spans of the track so far, without those that were forgotten.
            forgotten: number of spans that were forgotten.
            final: whether no more spans will follow.

        Returns:
            How many spans of the track are summed, those included that were forgotten.
        """
        place, count = (owner, depth), forgotten + len(spans["start_ns"])
        begin = self._summed_counts.get(place, 0)
        if not final and count - begin < ROWS_AT_ONCE:
            return begin
        ladder = self._ladders.setdefault(place, SumLadder())
        for first in range(begin - forgotten, count - forgotten, CHUNK_ROWS):
            self._insert(owner, depth, ladder.add(TrackSpans(*(spans[name][first : first + CHUNK_ROWS] for name in TrackSpans._fields))))
        self._summed_counts[place] = count
        if final:
            self._insert(owner, depth, ladder.finish())
        return count

    def _insert(self, owner: int, depth: int, blocks: list[Block]) -> None:
        for block in blocks:
            if len(block.rows["bucket"]) <= CHUNK_ROWS:
                place = (self._trial, owner, depth, block.shift, block.number)
                if is_worth_bytes(block.rows) or self._is_stored(place):
                    replace_sums(self._connection, *place, block.rows)

    def _is_stored(self, place: tuple[int, int, int, int, int]) -> bool:
        """Whether the spans of the block were thinned before it was complete, so that the file has sums although they cost many bytes."""
        query = "SELECT 1 FROM lane_sum WHERE trial = ? AND owner = ? AND depth = ? AND shift = ? AND block = ?"
        return self._connection.execute(query, place).fetchone() is not None


def replace_sums(connection: sqlite3.Connection, trial: int, owner: int, depth: int, shift: int, block: int, rows: Sums) -> None:  # noqa: PLR0917
    """Stores the sums of a block of a track, in place of any sums of that block."""
    values = (trial, owner, depth, shift, block, len(rows["bucket"]), encode(rows))
    connection.execute("INSERT OR REPLACE INTO lane_sum VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def load_sums(
    connection: sqlite3.Connection, trial: int, track: TrackKey, *, shift: int, from_ns: int, until_ns: int, has_sums: bool
) -> Sums:
    """Returns how long a track was in each state, and how many spans began, in each bucket that a range of time touches.

    It uses stored blocks of this resolution first, then blocks of finer resolutions, then the spans themselves.

    Args:
        connection: to the session file.
        trial: number of the trial.
        track: the track.
        shift: of the buckets, one of `SHIFTS`.
        from_ns: start of the range, not negative.
        until_ns: end of the range.
        has_sums: whether the file has a table of sums.

    Returns:
        the `SUM_COLUMNS`.

    Raises:
        SessionError: the file is damaged.
    """
    (owner,) = connection.execute("SELECT min(id) FROM lane WHERE trial = ? AND key = ?", (trial, track.lane)).fetchone()
    place = (trial, owner, track.depth)
    parts: list[Sums] = [{name: np.empty(0, dtype) for name, dtype in SUM_COLUMNS.items()}]
    missing = [(from_ns >> shift << shift, -(-until_ns >> shift) << shift)]
    for finer in reversed(SHIFTS[: SHIFTS.index(shift) + 1] if has_sums else ()):
        still_missing = []
        for begin_ns, end_ns in missing:
            reached_ns = begin_ns
            for number, rows in _read_blocks(connection, place, finer, begin_ns, end_ns):
                still_missing.append((reached_ns, number << finer << BLOCK_SHIFT))
                reached_ns = (number + 1) << finer << BLOCK_SHIFT
                parts.append(coarser(rows, shift - finer))
            still_missing.append((reached_ns, end_ns))
        missing = [(begin_ns, end_ns) for begin_ns, end_ns in still_missing if begin_ns < end_ns]
    for begin_ns, end_ns in missing:
        for spans in _read_span_chunks(connection, place, begin_ns, end_ns):
            parts.append(sums_within(spans, shift, begin_ns, end_ns))
    return merged(parts)


def _read_blocks(
    connection: sqlite3.Connection, place: tuple[int, int, int], shift: int, from_ns: int, until_ns: int
) -> Iterator[tuple[int, Sums]]:
    """Yields number and rows of each stored block of a resolution that touches a range, in order; only the rows in the range."""
    query = (
        "SELECT block, row_count, data FROM lane_sum WHERE trial = ? AND owner = ? AND depth = ? AND shift = ? AND block BETWEEN ? AND ?"
        " ORDER BY block"
    )
    edges = (from_ns >> shift >> BLOCK_SHIFT, (until_ns - 1) >> shift >> BLOCK_SHIFT)
    rows = connection.execute(query, (*place, shift, *edges))
    for number, count, data in checked_rows(rows, int, int, bytes, table="lane_sum"):
        block = _decode_columns(data, count, SUM_COLUMNS)
        bucket, state = block["bucket"], block["state"]
        rises = (bucket[1:] > bucket[:-1]) | ((bucket[1:] == bucket[:-1]) & (state[1:] > state[:-1]))
        fits = [
            ((block[name] >= 0) & (block[name] <= 1 << shift)).all() for name in ("busy_ns", "begun")
        ]  # at most one span starts in a nanosecond
        if not (rises.all() and all(fits) and (bucket >> BLOCK_SHIFT == number).all()):
            raise SessionError("The session file is damaged: its sums are none of a block of buckets.")
        inside = slice(*np.searchsorted(bucket, (from_ns >> shift, until_ns >> shift)).tolist())
        yield number, {name: column[inside] for name, column in block.items()}


def _read_span_chunks(connection: sqlite3.Connection, place: tuple[int, int, int], from_ns: int, until_ns: int) -> Iterator[TrackSpans]:
    """Yields the chunks that can hold spans of a range: from the last chunk that starts at or before it, as spans do not overlap."""
    where = "trial = ? AND kind = 'span' AND owner = ? AND depth = ?"
    query = (
        f"SELECT start_ns, row_count, data FROM chunk WHERE {where} AND start_ns < ? AND start_ns >= coalesce("
        f"(SELECT max(start_ns) FROM chunk WHERE {where} AND start_ns <= ?), 0) ORDER BY start_ns, id"
    )
    rows = connection.execute(query, (*place, until_ns, *place, from_ns))
    reached_ns = 0
    for start_ns, count, data in checked_rows(rows, int, int, bytes, table="chunk"):
        spans = _decode_columns(data, count, SPAN_COLUMNS)
        before_ns = np.append(reached_ns, spans["end_ns"][:-1])
        if spans["start_ns"][0] != start_ns or (spans["start_ns"] < before_ns).any() or (spans["end_ns"] < spans["start_ns"]).any():
            raise SessionError("The session file is damaged: what it recorded is not in the order of time.")
        reached_ns = int(spans["end_ns"][-1])
        yield TrackSpans(*(spans[name] for name in TrackSpans._fields))


def _decode_columns(data: bytes, count: int, dtypes: Dtypes) -> dict[str, Column]:
    if not 0 < count <= CHUNK_ROWS:
        raise SessionError("The session file is damaged: a chunk has no possible number of rows.")
    columns = {name: np.empty(count, dtype) for name, dtype in dtypes.items()}
    decode(data, columns)
    return columns
