"""Spans that are much longer than others of their state, so that one stall among millions of spans can be pointed out. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.growing_array import Growing, next_factor
from loaderscope.trace.columns import Ints

OUTLIER = 8.0
"""A span this many times longer than the median of its state is an outlier."""

_KEPT_LIMITS = 64

_RULE_SHARE = 0.01
"""A state with a larger share of long spans than this has none that stand out: they are the rule."""


class _Track(Protocol):
    """The spans of a track, sorted by start: `level_of_detail.TrackIndex`, which stands above this module."""

    @property
    def states(self) -> tuple[int, ...]: ...

    @property
    def start_ns(self) -> Ints: ...

    @property
    def end_ns(self) -> Ints: ...

    @property
    def state(self) -> npt.NDArray[np.uint16]: ...

    def __len__(self) -> int: ...

    def count_of(self, state: int) -> int: ...

    def median_ns(self, state: int) -> float | None: ...


class Outliers:
    """The long rows of a track, following it while it grows."""

    def __init__(self, index: _Track) -> None:
        self._index = index
        self._factor = next_factor()
        self._known = 0
        self._judged = 0  # rows when medians were taken
        self._states: tuple[int, ...] = ()
        self._limits_ns: npt.NDArray[np.float64] = np.zeros(0)  # from which duration on a span of each state is an outlier
        self._row = Growing(np.int64)
        self._start_ns = Growing(np.int64)
        self._duration_ns = Growing(np.int64)
        self._state = Growing(np.uint16)
        self._counts: Ints = np.zeros(0, np.int64)  # long rows of each state
        self._sorted: dict[tuple[int, ...], tuple[int, Ints]] = {}  # durations by states, and of how many rows
        self._limits: dict[tuple[tuple[int, ...], float], tuple[int, npt.NDArray[np.float64]]] = {}  # and of how many rows

    def between(self, states: Collection[int], start_ns: int, end_ns: int, longer_than_ns: float, most_ns: float) -> Ints:
        """Rows of states that begin in [start_ns, end_ns), outliers by now, longer than one duration but not than another."""
        self._take()
        low, high = self._start_ns.array.searchsorted(np.array([start_ns, end_ns], np.int64)).tolist()
        duration_ns = self._duration_ns.array[low:high]
        found = np.flatnonzero((duration_ns > longer_than_ns) & (duration_ns <= most_ns)) + low
        if len(found):
            found = found[self._stands_out(found, states)]
        rows: Ints = self._row.array[found]
        return rows

    def rare_ns(self, states: Collection[int], every_ns: float) -> float:
        """The duration that no more than one outlier in every so many nanoseconds of the track exceeds, on average."""
        self._take()
        index, rows, key = self._index, self._row.array, tuple(states)
        known, durations = self._sorted.get(key, (-1, None))
        if durations is None or len(rows) > 1.1 * known + 8:
            durations = np.sort(self._duration_ns.array[self._stands_out(slice(None), states)])
            self._sorted[key] = (len(rows), durations)
        if not len(durations):
            return 0.0
        allowed = int(float(index.end_ns[-1] - index.start_ns[0]) / every_ns) + 1
        return float(durations[-allowed - 1]) if allowed < len(durations) else 0.0

    def limits_ns(self, states: tuple[int, ...], every_ns: float) -> npt.NDArray[np.float64]:
        """The durations above which spans of each state stand out and are rare enough, for `between` and `rare_ns` together.

        For a track that grows they may be those of a quarter fewer rows.
        """
        count = len(self._index)
        known = self._limits.get((states, every_ns))
        if known is None or count > (0.3 * self._factor + 0.6) * known[0] + 256:
            if len(self._limits) > _KEPT_LIMITS:
                self._limits.clear()
            rare_ns = self.rare_ns(states, every_ns)
            limits_ns = self._limits_of(states)
            known = self._limits[states, every_ns] = (count, np.array([max(limits_ns[state], rare_ns) for state in states]))
        return known[1]

    def _limits_of(self, states: Collection[int]) -> npt.NDArray[np.float64]:
        """The duration above which a span of each state stands out; infinite for other states and those that are often long."""
        limits_ns = np.full(max([*states, *self._index.states], default=0) + 1, np.inf)
        for state in self._index.states:
            if state in states and not (state < len(self._counts) and self._counts[state] > _RULE_SHARE * self._index.count_of(state) + 1):
                limits_ns[state] = self._limits_ns[state]
        return limits_ns

    def _stands_out(self, which: Ints | slice, states: Collection[int]) -> npt.NDArray[np.bool_]:
        """Which of the long rows are outliers of states by the medians of now."""
        found: npt.NDArray[np.bool_] = self._duration_ns.array[which] > self._limits_of(states)[self._state.array[which]]
        return found

    def _take(self) -> None:
        """Looks through the rows that are new; medians are taken anew each time the track has about doubled."""
        index, known = self._index, self._known
        self._known = len(index)
        if known == self._known:
            return
        if self._known >= self._factor * self._judged or index.states != self._states:
            self._judged, self._states = self._known, index.states
            self._limits_ns = np.full(index.states[-1] + 1, np.inf)
            for state in index.states:
                self._limits_ns[state] = OUTLIER * (index.median_ns(state) or 0.0)
        states = index.state[known:]
        durations = index.end_ns[known:] - index.start_ns[known:]
        at = np.flatnonzero(durations > self._limits_ns[states])
        if len(at):
            self._row.append(at + known)
            self._start_ns.append(index.start_ns[known:][at])
            self._duration_ns.append(durations[at])
            self._state.append(states[at])
            counts = np.bincount(states[at], minlength=len(self._counts))
            counts[: len(self._counts)] += self._counts
            self._counts = counts
