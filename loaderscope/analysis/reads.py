"""Where the bytes that a trial read came from."""

from __future__ import annotations

import re

from loaderscope.analysis.memory import series
from loaderscope.trace.model import Trace


def disk_share(trace: Trace) -> float | None:
    """Of the bytes that main and workers read, the part that came from disk and not from the page cache.

    The series `io_read/NAME` (from disk) and `io_read_all/NAME` (all reads) are rates over the window of each value. None
    where reads are not counted or nothing worth telling was read (imports alone read some megabytes).
    """
    disk = _read_bytes(trace, "io_read")
    everything = _read_bytes(trace, "io_read_all")
    if disk is None or everything is None or everything < MIN_BYTES:
        return None
    return min(1.0, disk / everything)


MIN_BYTES = 4 * 1024 * 1024


def _read_bytes(trace: Trace, kind: str) -> float | None:
    found = [key for key in list(trace.series) if re.fullmatch(rf"{kind}/(main|worker-\d+)", key)]
    total = 0.0
    for key in found:
        window_ns = trace.series[key][0].window_ns
        total += float(series(trace, key)[1].sum()) * window_ns * 1e-9
    return total if found else None
