"""How much of each moment of a training was exposed loading time, kept up to date while the training runs. No Qt.

Main made an iterator or waited for a batch, and no device is known to have worked meanwhile (see `analysis.exposed_time`).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.analysis.span_lookup import complement, intersection, union
from loaderscope.facts.recorded_use import ProcessUse
from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints

Intervals = tuple[Ints, Ints]

_BINS = 4096
_FIRST_BIN_NS = 10_000_000


@dataclasses.dataclass(frozen=True)
class Exposed:
    """Exposed loading time so far.

    Attributes:
        seconds: of it.
        shares: of equal parts of the time.
        width_ns: of such a part.
        begin_ns: of the first part, from the origin.
    """

    seconds: float
    shares: Floats
    width_ns: int
    begin_ns: int = 0

    def shares_between(self, edges_ns: Ints) -> Floats:
        """Returns the share of each part between consecutive edges, which count from the origin."""
        filled = np.concatenate(([0.0], np.cumsum(self.shares * self.width_ns)))
        ends = self.begin_ns + np.arange(len(filled)) * float(self.width_ns)
        shares: Floats = np.clip(np.diff(np.interp(edges_ns, ends, filled)) / np.maximum(np.diff(edges_ns), 1), 0.0, 1.0)
        return shares


def exposed_of_process(use: ProcessUse, origin_ns: int) -> Exposed:
    """Returns the exposed loading time of a training that has ended, as its analysis found it."""
    return Exposed(use.exposed_s, np.array(use.exposed_shares, np.float64), round(use.bin_s * 1e9), use.began_ns - origin_ns)


class ExposedBins:
    """Adds up exposed loading time in bins that become wider as the recording grows. It reads each span once."""

    def __init__(self) -> None:
        self._bin_ns = _FIRST_BIN_NS
        self._filled_ns: Floats = np.zeros(_BINS)
        self._until_ns = 0  # since the origin; what is before it is counted

    @property
    def until_ns(self) -> int:
        """Until when, from the origin, all is counted."""
        return self._until_ns

    def add(self, waits: Intervals, busy: Intervals, until_ns: int) -> None:
        """Counts the time up to `until_ns`.

        Args:
            waits: when main waited since the last call, from the origin.
            busy: when devices worked since then.
            until_ns: from the origin.
        """
        low_ns = self._until_ns
        starts, ends = intersection(waits, complement(*busy, low_ns, until_ns)) if len(busy[0]) else union(*waits)
        self._widen(until_ns)
        self._fill(starts, ends)
        self._until_ns = until_ns

    def exposed(self) -> Exposed | None:
        """Returns what was counted; None before anything was."""
        if not self._until_ns:
            return None
        count = max(1, -(-self._until_ns // self._bin_ns))
        filled = self._filled_ns[:count]
        seconds = float(filled.sum()) / 1e9
        return Exposed(seconds, np.clip(filled / self._bin_ns, 0.0, 1.0), self._bin_ns)

    def _widen(self, until_ns: int) -> None:
        while until_ns > self._bin_ns * _BINS:
            halves = self._filled_ns.reshape(-1, 2).sum(axis=1)
            self._filled_ns = np.concatenate((halves, np.zeros(_BINS - len(halves))))
            self._bin_ns *= 2

    def _fill(self, starts_ns: Ints, ends_ns: Ints) -> None:
        """Adds disjoint, sorted intervals."""
        if not len(starts_ns):
            return
        edges = np.arange(_BINS + 1, dtype=np.int64) * self._bin_ns
        lengths = np.concatenate(([0], np.cumsum(ends_ns - starts_ns)))
        before = np.searchsorted(ends_ns, edges, side="right")  # intervals that end before an edge
        inside = np.minimum(before, len(starts_ns) - 1)
        partly = np.where(before < len(starts_ns), np.clip(edges - starts_ns[inside], 0, ends_ns[inside] - starts_ns[inside]), 0)
        self._filled_ns += np.diff(lengths[before] + partly)
