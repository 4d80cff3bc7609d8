"""How long one track was in each state, exactly, in buckets of time at a ladder of resolutions.

A bucket of shift k is [n << k, (n + 1) << k) ns. Its row for a state holds how many nanoseconds of the bucket spans of that state
cover (a span across an edge counts on each side with its part there), and how many of these spans begin in the bucket. A bucket that
no span touches has no row.

`BLOCK_BUCKETS` buckets make a block, and a file keeps a block or leaves it out as a whole. A block is worth its bytes only if a row
merges many spans; otherwise the spans are few enough to be summed on demand. So all sums together stay small beside the spans, however
sparse a track is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from loaderscope.trace.columns import Ints

States = npt.NDArray[Any]
Sums = dict[str, npt.NDArray[Any]]
"""The `SUM_COLUMNS`, sorted by bucket, then state; each pair occurs once."""

SHIFTS = (24, 28, 32, 36)
"""The resolutions: 17 ms, 268 ms, 4.3 s, 69 s. At 1 ms (20), a row would merge `SPANS_A_ROW` spans only of some 10 µs; a day in
buckets of 69 s is about as many as a screen has columns."""

BLOCK_SHIFT = 10
BLOCK_BUCKETS = 1 << BLOCK_SHIFT
"""A block lasts a quarter of a minute at the finest resolution, 20 hours at the coarsest."""

SPANS_A_ROW = 16
"""Fewest spans that a row of a kept block merges on average. A row takes about as many bytes as a span, so a resolution costs at most
a sixteenth of the spans' bytes, and a coarser one far less."""

BLOCK_ROWS = 16
"""The fixed cost of a block in the file, in rows of the same size."""

SUM_COLUMNS = {"bucket": "i8", "state": "u2", "busy_ns": "i8", "begun": "i8"}


class TrackSpans(NamedTuple):
    """Spans of one track, in order of time; they do not overlap."""

    start_ns: Ints
    end_ns: Ints
    state: States


class Block(NamedTuple):
    """A block of buckets: its number, counted from time 0, and its rows."""

    shift: int
    number: int
    rows: Sums


def sums_within(spans: TrackSpans, shift: int, from_ns: int, until_ns: int) -> Sums:
    """Returns the sums of the parts of spans in [from_ns, until_ns); these times need not be edges of buckets."""
    inside = slice(*np.searchsorted(spans.start_ns, (from_ns, until_ns)).tolist())
    reaching_in = np.flatnonzero(spans.end_ns[: inside.start] > from_ns)
    end_ns = np.minimum(spans.end_ns, until_ns)
    heads, rest = _split_at_first_edge(TrackSpans(spans.start_ns[inside], end_ns[inside], spans.state[inside]), shift)
    tail = TrackSpans(np.full(len(reaching_in), from_ns), end_ns[reaching_in], spans.state[reaching_in])
    return merged([heads, _sums_of_rests(rest, shift), _sums_of_rests(tail, shift)])


def coarser(sums: Sums, by: int) -> Sums:
    """Returns the same sums in buckets that are `1 << by` times as wide."""
    return merged([{**sums, "bucket": sums["bucket"] >> by}])


def merged(parts: list[Sums]) -> Sums:
    """Adds up the sums of several parts, which may come in any order."""
    rows = {name: np.concatenate([part[name] for part in parts]) for name in SUM_COLUMNS}
    order = np.lexsort((rows["state"], rows["bucket"]))
    rows = {name: column[order] for name, column in rows.items()}
    is_new = np.append(True, (rows["bucket"][1:] != rows["bucket"][:-1]) | (rows["state"][1:] != rows["state"][:-1]))
    first = np.flatnonzero(is_new[: len(order)])
    if len(first) == len(order):
        return rows
    return {name: np.add.reduceat(column, first) if name in ("busy_ns", "begun") else column[first] for name, column in rows.items()}


def is_worth_bytes(rows: Sums) -> bool:
    """Whether a block is worth its bytes beside those of the spans."""
    return bool((len(rows["bucket"]) + BLOCK_ROWS) * SPANS_A_ROW <= rows["begun"].sum())


class SumLadder:
    """Sums the spans of one track at every resolution while it grows. The result does not depend on the pieces in which spans come."""

    def __init__(self) -> None:
        self._open = {shift: _rows(np.empty(0, np.int64), np.empty(0, np.uint16), 0, 0) for shift in SHIFTS}

    def add(self, spans: TrackSpans) -> list[Block]:
        """Adds at least one span; all of them follow the earlier spans.

        Returns:
            The complete blocks, which no later span touches. Blocks in which no span begins are left out.
        """
        blocks = []
        heads, rest = _split_at_first_edge(spans, SHIFTS[0])
        for finer, shift in zip((SHIFTS[0], *SHIFTS), SHIFTS, strict=False):
            if shift != finer:
                more, rest = _split_at_first_edge(rest, shift)
                more["begun"] = np.zeros_like(more["begun"])
                heads = merged([coarser(heads, shift - finer), more])
            covered = _sums_of_rests(_cut_to_edge_blocks(rest, shift + BLOCK_SHIFT), shift)
            self._open[shift] = merged([self._open[shift], heads, covered])
            blocks += self._take_blocks_before(shift, int(spans.start_ns[-1]) >> shift >> BLOCK_SHIFT)
        return blocks

    def finish(self) -> list[Block]:
        """Returns the blocks that `add` did not return."""
        return [block for shift in SHIFTS for block in self._take_blocks_before(shift, np.iinfo(np.int64).max)]

    def _take_blocks_before(self, shift: int, block: int) -> list[Block]:
        rows = self._open[shift]
        number = rows["bucket"] >> BLOCK_SHIFT
        count = int(np.searchsorted(number, block))
        numbers, begins = np.unique(number[:count], return_index=True)
        self._open[shift] = {name: column[count:] for name, column in rows.items()}
        taken = [
            Block(shift, block_number, {name: column[begin:end] for name, column in rows.items()})
            for block_number, begin, end in zip(numbers.tolist(), begins.tolist(), [*begins.tolist()[1:], count], strict=False)
        ]
        return [block for block in taken if block.rows["begun"].any()]


def _split_at_first_edge(spans: TrackSpans, shift: int) -> tuple[Sums, TrackSpans]:
    """Returns the part of each span in its first bucket, as sums, and the rest beyond that bucket, as spans."""
    if not len(spans.start_ns):
        return _rows(spans.start_ns, spans.state, 0, 0), spans
    first = spans.start_ns >> shift
    busy_ns = spans.end_ns - spans.start_ns
    across = np.flatnonzero(spans.end_ns > (first + 1) << shift)
    edge_ns = (first[across] + 1) << shift
    busy_ns[across] = edge_ns - spans.start_ns[across]
    return _merged_beginnings(first, spans.state, busy_ns), TrackSpans(edge_ns, spans.end_ns[across], spans.state[across])


def _cut_to_edge_blocks(spans: TrackSpans, block_shift: int) -> TrackSpans:
    """Returns the parts of spans in their first and last block. No span begins in the blocks between, which are left out anyway."""
    first_end_ns = ((spans.start_ns >> block_shift) + 1) << block_shift
    across = np.flatnonzero(spans.end_ns > first_end_ns)
    if not len(across):
        return spans
    end_ns, state = spans.end_ns[across], spans.state[across]
    return TrackSpans(
        np.append(spans.start_ns, end_ns >> block_shift << block_shift),
        np.append(np.minimum(spans.end_ns, first_end_ns), end_ns),
        np.append(spans.state, state),
    )


def _sums_of_rests(spans: TrackSpans, shift: int) -> Sums:
    """Returns the sums of rests of spans, which began in an earlier bucket: a row for each bucket that a rest touches."""
    first = spans.start_ns >> shift
    count = ((spans.end_ns - 1) >> shift) - first + 1
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    bucket = np.repeat(first, count) + within
    start_ns, end_ns = np.repeat(spans.start_ns, count), np.repeat(spans.end_ns, count)
    busy_ns = np.minimum(end_ns, (bucket + 1) << shift) - np.maximum(start_ns, bucket << shift)
    return _rows(bucket, np.repeat(spans.state, count), busy_ns, 0)


def _merged_beginnings(bucket: Ints, state: States, busy_ns: Ints) -> Sums:
    """Returns one row for each bucket and state. Buckets must ascend. Faster than `merged` for many rows."""
    is_new = np.append(True, bucket[1:] != bucket[:-1])
    states = np.flatnonzero(np.bincount(state))
    code = np.zeros(int(states[-1]) + 1, np.int64)
    code[states] = np.arange(len(states))
    place = (np.cumsum(is_new) - 1) * len(states) + code[state]
    begun = np.bincount(place)
    busy = np.bincount(place, busy_ns)  # floats are exact here: no bucket has 2 ** 53 ns
    occurring = np.flatnonzero(begun)
    return _rows(bucket[is_new][occurring // len(states)], states[occurring % len(states)], busy[occurring], begun[occurring])


def _rows(bucket: Ints, state: States, busy_ns: npt.ArrayLike, begun: npt.ArrayLike) -> Sums:
    values = {"bucket": bucket, "state": state, "busy_ns": busy_ns, "begun": begun}
    return {name: np.broadcast_to(values[name], len(bucket)).astype(dtype) for name, dtype in SUM_COLUMNS.items()}
