"""Finds spans that are much longer than others of their state, so that the timeline can mark one stall among millions. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.growing_array import GrowingArray, next_growth_factor
from loaderscope.trace.columns import Ints

OUTLIER_FACTOR = 8.0
"""A span this many times longer than the median of its state is an outlier."""

_MOST_CACHED_LIMITS = 64

_COMMON_SHARE = 0.01
"""If long spans are a larger share of a state than this, they are normal for it, and none of them is an outlier."""


class _Part(Protocol):
    """Rows of a track: a `level_of_detail.SpanPart`."""

    @property
    def start_ns(self) -> Ints: ...

    @property
    def end_ns(self) -> Ints: ...

    @property
    def state(self) -> npt.NDArray[np.uint16]: ...


class _Track(Protocol):
    """The spans of a track, sorted by start: a `level_of_detail.TrackIndex`, which imports this module."""

    @property
    def states(self) -> tuple[int, ...]: ...

    @property
    def extent_ns(self) -> tuple[int, int]: ...

    def parts_from(self, row: int) -> Iterable[_Part]: ...

    def __len__(self) -> int: ...

    def count_of(self, state: int) -> int: ...

    def median_ns(self, state: int) -> float | None: ...


class Outliers:
    """Finds the long rows of a track, and follows the track while it grows."""

    def __init__(self, index: _Track) -> None:
        self._index = index
        self._factor = next_growth_factor()
        self._indexed = 0
        self._rows_at_medians = 0  # number of rows when the medians were computed
        self._states: tuple[int, ...] = ()
        self._state_limits_ns: npt.NDArray[np.float64] = np.zeros(0)  # a longer span of the state is an outlier
        self._row = GrowingArray(np.int64)
        self._start_ns = GrowingArray(np.int64)
        self._duration_ns = GrowingArray(np.int64)
        self._state = GrowingArray(np.uint16)
        self._counts: Ints = np.zeros(0, np.int64)  # long rows of each state
        self._sorted_durations: dict[tuple[int, ...], tuple[int, Ints]] = {}  # by states: long rows, and durations
        self._cached_limits: dict[tuple[tuple[int, ...], float], tuple[int, npt.NDArray[np.float64]]] = {}  # by query: rows, and limits

    def rows_between(self, states: Collection[int], start_ns: int, end_ns: int, longer_than_ns: float, most_ns: float) -> Ints:
        """Returns rows of outliers of states that start in [start_ns, end_ns) and last over `longer_than_ns`, up to `most_ns`."""
        self._index_new_rows()
        low, high = self._start_ns.array.searchsorted(np.array([start_ns, end_ns], np.int64)).tolist()
        duration_ns = self._duration_ns.array[low:high]
        candidates = np.flatnonzero((duration_ns > longer_than_ns) & (duration_ns <= most_ns)) + low
        if len(candidates):
            candidates = candidates[self._stands_out(candidates, states)]
        rows: Ints = self._row.array[candidates]
        return rows

    def starts_ns(self, rows: Ints) -> Ints:
        """Returns the starts of rows that `rows_between` returned."""
        starts: Ints = self._start_ns.array[self._row.array.searchsorted(rows)]
        return starts

    def rare_duration_ns(self, states: Collection[int], every_ns: float) -> float:
        """Returns the duration that outliers exceed at most once in `every_ns` of the track, on average."""
        self._index_new_rows()
        index, rows, key = self._index, self._row.array, tuple(states)
        count, durations = self._sorted_durations.get(key, (-1, None))
        if durations is None or len(rows) > 1.1 * count + 8:
            durations = np.sort(self._duration_ns.array[self._stands_out(slice(None), states)])
            self._sorted_durations[key] = (len(rows), durations)
        if not len(durations):
            return 0.0
        start_ns, end_ns = index.extent_ns
        allowed = int(float(end_ns - start_ns) / every_ns) + 1
        return float(durations[-allowed - 1]) if allowed < len(durations) else 0.0

    def limits_ns(self, states: tuple[int, ...], every_ns: float) -> npt.NDArray[np.float64]:
        """Returns for each state the duration above which a span is an outlier and also rare: the limits of `rows_between` and
        `rare_duration_ns` together.

        For a growing track they may lag by a quarter of the rows.
        """
        count = len(self._index)
        cached = self._cached_limits.get((states, every_ns))
        if cached is None or count > (0.3 * self._factor + 0.6) * cached[0] + 256:
            if len(self._cached_limits) > _MOST_CACHED_LIMITS:
                self._cached_limits.clear()
            rare_duration_ns = self.rare_duration_ns(states, every_ns)
            limits_ns = self._limits_of(states)
            cached = self._cached_limits[states, every_ns] = (
                count,
                np.array([max(limits_ns[state], rare_duration_ns) for state in states]),
            )
        return cached[1]

    def _limits_of(self, states: Collection[int]) -> npt.NDArray[np.float64]:
        """Returns by state the duration above which a span is an outlier; infinite for other states and those with many long spans."""
        limits_ns = np.full(max([*states, *self._index.states], default=0) + 1, np.inf)
        for state in self._index.states:
            if state in states and not (
                state < len(self._counts) and self._counts[state] > _COMMON_SHARE * self._index.count_of(state) + 1
            ):
                limits_ns[state] = self._state_limits_ns[state]
        return limits_ns

    def _stands_out(self, which: Ints | slice, states: Collection[int]) -> npt.NDArray[np.bool_]:
        """Returns a mask of the long rows that are outliers of states by the current medians."""
        stands_out: npt.NDArray[np.bool_] = self._duration_ns.array[which] > self._limits_of(states)[self._state.array[which]]
        return stands_out

    def _index_new_rows(self) -> None:
        """Finds the long rows among the new ones. Computes the medians again each time the track has about doubled."""
        index, indexed = self._index, self._indexed
        self._indexed = len(index)
        if indexed == self._indexed:
            return
        if self._indexed >= self._factor * self._rows_at_medians or index.states != self._states:
            self._rows_at_medians, self._states = self._indexed, index.states
            self._state_limits_ns = np.full(index.states[-1] + 1, np.inf)
            for state in index.states:
                self._state_limits_ns[state] = OUTLIER_FACTOR * (index.median_ns(state) or 0.0)
        for part in index.parts_from(indexed):
            self._add_long_rows(indexed, part)
            indexed += len(part.state)

    def _add_long_rows(self, first: int, part: _Part) -> None:
        durations = part.end_ns - part.start_ns
        at = np.flatnonzero(durations > self._state_limits_ns.take(part.state, mode="clip"))
        if len(at):
            self._row.append(at + first)
            self._start_ns.append(part.start_ns[at])
            self._duration_ns.append(durations[at])
            self._state.append(part.state[at])
            counts = np.bincount(part.state[at], minlength=len(self._counts))
            counts[: len(self._counts)] += self._counts
            self._counts = counts
