"""Pages that a forked worker shared with main, and then had as its own (copy-on-write), from the sampled series of memory."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from loaderscope.analysis.memory_peaks import series
from loaderscope.trace.model import Trace

NEW_SHARE = 0.5
"""Growth of a worker's own pages is a copy unless RSS grows by this share of it, or less than this share of it leaves `Shared_Dirty`."""


def copied_bytes(trace: Trace, process: str) -> int | None:
    """Returns the most that one of the processes with a name has copied since it was first read; None if that is unknown.

    A copy leaves RSS as it is, and moves pages from `Shared_Dirty` to USS; memory that a process takes anew raises RSS.
    """
    starts_ns = sorted(info.started_ns for info in trace.processes if info.name == process)
    bounds_ns = [*starts_ns, int(np.iinfo(np.int64).max)]
    found = [copied for low, high in pairwise(bounds_ns) if (copied := _copied_between(trace, process, low, high)) is not None]
    return max(found, default=None)


def _copied_between(trace: Trace, process: str, low_ns: int, high_ns: int) -> int | None:
    times_ns, own = series(trace, f"uss/{process}")
    resident, shared = (series(trace, f"{kind}/{process}")[1] for kind in ("rss", "shared_dirty"))
    inside = np.flatnonzero((times_ns >= low_ns) & (times_ns < high_ns))
    if len(inside) < 2 or not len(own) == len(resident) == len(shared):  # one reading gives all three
        return None
    first = inside[0]
    last = inside[np.argmax(own[inside])]
    grown, taken, left = own[last] - own[first], resident[last] - resident[first], shared[first] - shared[last]
    if taken > NEW_SHARE * grown or left < NEW_SHARE * grown:
        return 0
    return int(max(0.0, min(grown, left)))
