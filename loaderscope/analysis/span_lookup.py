"""Finds the spans of a lane by state, and computes with sets of intervals: union, complement, intersection, covered time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.facts.lanes import INNER_LOADER, MAIN
from loaderscope.trace.model import SPAN_COLUMNS, Trace

Int64Array = npt.NDArray[np.int64]

LOADING_LANES = (MAIN.key, INNER_LOADER.key)
"""The lanes in which the main process loads: torch's iterator has one of its own within a loader that iterates in its own way."""

_WORKER_LANE = re.compile(r"worker-(\d+)")


class SpanColumns(NamedTuple):
    """Spans as parallel columns, sorted by start; `trace.model.SPAN_COLUMNS` documents the columns."""

    start_ns: Int64Array
    end_ns: Int64Array
    state: Int64Array
    batch: Int64Array
    value: Int64Array

    def __bool__(self) -> bool:
        return len(self.start_ns) > 0

    @property
    def size(self) -> int:
        return len(self.start_ns)

    def pick(self, rows: npt.NDArray[Any]) -> SpanColumns:
        """Returns the rows of a mask or an index array."""
        return SpanColumns(*(column[rows] for column in self))

    def starting_in(self, low_ns: int, high_ns: int) -> SpanColumns:
        """Returns the spans that start in [low_ns, high_ns)."""
        return self.pick((self.start_ns >= low_ns) & (self.start_ns < high_ns))


def spans_of(trace: Trace, lane: str, *states: State) -> SpanColumns:
    """Returns the spans of a lane in any of the states (in all states if none is given), over all nesting depths."""
    state_numbers = np.array([int(state) for state in states], np.int64)
    parts: list[list[Int64Array]] = []
    for key, columns in list(trace.tracks.items()):
        if key.lane != lane:
            continue
        view = columns.view()
        rows = np.isin(view["state"], state_numbers) if len(state_numbers) else slice(None)
        parts.append([view[name][rows].astype(np.int64) for name in SPAN_COLUMNS])
    if not parts:
        return SpanColumns(*(np.empty(0, np.int64) for _ in SPAN_COLUMNS))
    columns_joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns_joined[0], kind="stable")
    return SpanColumns(*(column[order] for column in columns_joined))


def spans_of_lanes(trace: Trace, lanes: Iterable[str], *states: State) -> SpanColumns:
    """Returns the same for several lanes together."""
    parts = [spans_of(trace, lane, *states) for lane in lanes]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return SpanColumns(*(column[order] for column in columns))


class SpanLookup:
    """`spans_of` for one finished trace; computes each answer once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._cached: dict[tuple[str, tuple[State, ...]], SpanColumns] = {}

    def __call__(self, lane: str, *states: State) -> SpanColumns:
        """Returns the spans of a lane in any of the states."""
        key = (lane, states)
        if key not in self._cached:
            self._cached[key] = spans_of(self.trace, lane, *states)
        return self._cached[key]

    def in_main(self, *states: State) -> SpanColumns:
        """Returns the spans of the main process in any of the states, in its own lane or in that of torch's loader."""
        key = ("", states)
        if key not in self._cached:
            self._cached[key] = spans_of_lanes(self.trace, LOADING_LANES, *states)
        return self._cached[key]


def worker_lanes(trace: Trace) -> dict[int, str]:
    """Returns the lane keys of the workers by worker number, in order."""
    found = {int(match[1]): key for key in list(trace.lanes) if (match := _WORKER_LANE.fullmatch(key))}
    return dict(sorted(found.items()))


def union(start_ns: Int64Array, end_ns: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Returns the same points in time as disjoint, sorted intervals."""
    keep = end_ns > start_ns
    start_ns, end_ns = start_ns[keep], end_ns[keep]
    if not len(start_ns):
        return start_ns, end_ns
    order = np.argsort(start_ns, kind="stable")
    start_ns, end_ns = start_ns[order], np.maximum.accumulate(end_ns[order])
    opens = np.concatenate(([True], start_ns[1:] > end_ns[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    return start_ns[opens], end_ns[closes]


def covered_ns(start_ns: Int64Array, end_ns: Int64Array, low_ns: int, high_ns: int) -> int:
    """Returns how many ns of [low_ns, high_ns] the intervals cover; overlaps count once."""
    starts, ends = union(np.clip(start_ns, low_ns, high_ns), np.clip(end_ns, low_ns, high_ns))
    return int((ends - starts).sum())


def complement(start_ns: Int64Array, end_ns: Int64Array, low_ns: int, high_ns: int) -> tuple[Int64Array, Int64Array]:
    """Returns the parts of [low_ns, high_ns] outside the intervals, as disjoint intervals."""
    starts, ends = union(np.clip(start_ns, low_ns, high_ns), np.clip(end_ns, low_ns, high_ns))
    free_starts = np.concatenate(([low_ns], ends)).astype(np.int64)
    free_ends = np.concatenate((starts, [high_ns])).astype(np.int64)
    keep = free_ends > free_starts
    return free_starts[keep], free_ends[keep]


def intersection(first: tuple[Int64Array, Int64Array], second: tuple[Int64Array, Int64Array]) -> tuple[Int64Array, Int64Array]:
    """Returns the points in time that lie in both sets of intervals, as disjoint intervals."""
    (first_starts, first_ends), (second_starts, second_ends) = union(*first), union(*second)
    low = np.searchsorted(second_ends, first_starts, side="right")
    high = np.searchsorted(second_starts, first_ends, side="left")
    counts = np.maximum(high - low, 0)
    rows = np.repeat(np.arange(len(first_starts)), counts)
    second_rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    return np.maximum(first_starts[rows], second_starts[second_rows]), np.minimum(first_ends[rows], second_ends[second_rows])
