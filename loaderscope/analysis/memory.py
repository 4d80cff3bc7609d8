"""Peaks of memory from the sampled series `pss/NAME`, `uss/NAME`, `rss/NAME`, `private/NAME` (NAME = main, worker-0 ...)."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from loaderscope.analysis.results import Memory, WorkerMemory
from loaderscope.trace.model import Trace

TOTAL_KINDS = ("pss", "private", "uss")
"""What is summed over processes, the first one that was sampled. RSS counts shared pages once a process: it cannot be summed."""

_MIN_STALE_NS = 3_000_000_000  # memory is read about once a second; a value older than this is of a process that is gone

Samples = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def find_memory(trace: Trace) -> Memory | None:
    """Memory of a trial, or None where nothing was sampled."""
    workers = sorted({int(match[2]) for key in list(trace.series) if (match := re.fullmatch(r"(uss|pss|rss|private)/worker-(\d+)", key))})
    peak_total = peak_total_bytes(trace)
    if peak_total is None and not workers:
        return None
    rows = [
        WorkerMemory(
            worker,
            peak_uss_bytes=_peak(trace, f"uss/worker-{worker}", f"private/worker-{worker}"),
            peak_pss_bytes=_peak(trace, f"pss/worker-{worker}"),
            peak_rss_bytes=_peak(trace, f"rss/worker-{worker}"),
        )
        for worker in workers
    ]
    return Memory(peak_total, rows)


def peak_total_bytes(trace: Trace) -> int | None:
    """The largest sum over main and workers at one time; every process keeps its newest value until it is stale.

    None where a worker was gone before its memory was read: a sum without it would look like a setting that needs less.
    """
    workers = {process.name for process in trace.processes if process.name.startswith("worker-")}
    for kind in TOTAL_KINDS:
        processes = [
            samples
            for key in list(trace.series)
            if re.fullmatch(rf"{kind}/(main|worker-\d+)", key) and len((samples := series(trace, key))[0])
        ]
        if processes:
            if not all(f"{kind}/{worker}" in trace.series for worker in workers):
                return None
            times = np.unique(np.concatenate([time_ns for time_ns, _ in processes]))
            return int(sum(_held(samples, times) for samples in processes).max())  # type: ignore[union-attr]
    return None


def series(trace: Trace, key: str) -> Samples:
    """Times and values of a series, without what is not a number; empty where there is no such series."""
    if key not in trace.series:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    view = trace.series[key][1].view()
    time_ns, value = view["time_ns"].astype(np.int64), view["value"].astype(np.float64)
    known = np.isfinite(value)
    return time_ns[known], value[known]


def _held(samples: Samples, times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    time_ns, value = samples
    steps = np.diff(time_ns)
    stale_ns = max(_MIN_STALE_NS, int(np.median(steps) * 3) if len(steps) else 0)
    rows = np.searchsorted(time_ns, times_ns, side="right") - 1
    held = value[np.maximum(rows, 0)]
    age_ns = times_ns - time_ns[np.maximum(rows, 0)]
    return np.where((rows >= 0) & (age_ns <= stale_ns), held, 0.0)


def _peak(trace: Trace, *keys: str) -> int | None:
    for key in keys:
        value = series(trace, key)[1]
        if len(value):
            return int(value.max())
    return None
