"""Where the bytes that a trial read came from."""

from __future__ import annotations

import re

from loaderscope.analysis.memory_peaks import series
from loaderscope.trace.model import Trace

MIN_BYTES = 4 << 20
"""Below this nothing is said: imports alone read some megabytes."""


def disk_share(trace: Trace) -> float | None:
    """Of the bytes that main and workers read, the part that came from disk and not from the page cache.

    The series `read_disk/NAME` and `read_cache/NAME` count bytes since the trial began. None where reads are not counted or
    too little was read.
    """
    disk, cache = _total_bytes(trace, "read_disk"), _total_bytes(trace, "read_cache")
    if disk is None or cache is None or disk + cache < MIN_BYTES:
        return None
    return disk / (disk + cache)


def _total_bytes(trace: Trace, kind: str) -> float | None:
    counts = [series(trace, key)[1] for key in list(trace.series) if re.fullmatch(rf"{kind}/(main|worker-\d+)", key)]
    newest = [float(count[-1]) for count in counts if len(count)]
    return sum(newest) if newest else None
