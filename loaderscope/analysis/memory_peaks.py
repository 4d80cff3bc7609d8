"""Peaks of memory from the sampled series `pss/NAME`, `uss/NAME`, `rss/NAME`, `private/NAME` (NAME = main, worker-0 ...)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from loaderscope.analysis import memory_growth
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.span_lookup import Int64Array
from loaderscope.facts.results import Estimate, Memory, WorkerMemory
from loaderscope.trace.model import Trace

TOTAL_KINDS = ("pss", "private", "uss")
"""What is summed over processes, the first one that was sampled. RSS counts shared pages once a process: it cannot be summed."""

_MIN_STALE_NS = 3_000_000_000  # memory is read about once a second; a value older than this is of a process that is gone

PRIVATE_KINDS = ("uss", "private")
"""What belongs to one process alone, the first one that was sampled."""

_SHARES_GROWTH = 0.5
"""Growth is copy-on-write where at least this part of it leaves the shared pages, and is new where RSS takes this part of it."""
_MIN_TOLD_BYTES = 8 << 20
"""Over an epoch; of what grows less the kind is not told."""

Samples = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def find_memory(trace: Trace, epochs: Sequence[EpochRun] = ()) -> Memory | None:
    """Memory of a trial, or None where nothing was sampled.

    Args:
        trace: with the sampled series.
        epochs: over the longest of which growth is looked at.
    """
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
    return _with_growth(trace, Memory(peak_total, rows), memory_growth.longest_epoch(list(epochs)))


def forecast_bytes(memory: Memory, num_workers: int) -> int | None:
    """What so many workers would take at their peak: each more or less costs the pages of its own that those measured had.

    None where no worker was measured.
    """
    own = [worker.peak_uss_bytes for worker in memory.workers if worker.peak_uss_bytes is not None]
    if memory.peak_total_bytes is None or not own or len(own) < len(memory.workers):
        return None
    return max(0, round(memory.peak_total_bytes + (num_workers - len(own)) * sum(own) / len(own)))


def _with_growth(trace: Trace, memory: Memory, received_ns: Int64Array) -> Memory:
    readings: dict[int, memory_growth.Readings] = {}
    rows = []
    for row in memory.workers:
        own = _within(trace, f"worker-{row.worker}", PRIVATE_KINDS, received_ns)
        if own is None:
            rows.append(row)
            continue
        readings[row.worker] = own
        grown = memory_growth.per_1000_batches(own, received_ns)
        rows.append(dataclasses.replace(row, start_uss_bytes=int(own[1][0]), growth_bytes_per_1000_batches=grown))
    if not rows or len(readings) < len(rows):
        reason = memory_growth.TOO_SHORT if rows else "there is no worker process"
        return dataclasses.replace(memory, workers=rows, growth_reason=reason)
    whole = memory_growth.total(list(readings.values()))
    total = memory_growth.per_1000_batches(whole, received_ns) if len(whole[0]) else None
    if total is None:
        return dataclasses.replace(memory, workers=rows, growth_reason=memory_growth.TOO_SHORT)
    kind = _growth_kind(trace, list(readings), total, received_ns)
    return dataclasses.replace(memory, workers=rows, growth_bytes_per_1000_batches=total, growth_kind=kind)


def _growth_kind(trace: Trace, workers: list[int], own: Estimate, received_ns: Int64Array) -> str | None:
    """Pages that were shared and are copied when written leave RSS as it is and `Shared_Dirty` falls by what USS gains."""
    if own.ci95 is None or own.ci95[0] <= 0 or own.value * len(received_ns) / 1000 < _MIN_TOLD_BYTES:
        return None
    slopes = {}
    for kind in ("rss", "shared_dirty"):
        found = [_within(trace, f"worker-{worker}", (kind,), received_ns) for worker in workers]
        known = [readings for readings in found if readings is not None]
        slope = memory_growth.per_1000_batches(memory_growth.total(known), received_ns) if len(known) == len(workers) else None
        slopes[kind] = None if slope is None else slope.value / own.value
    resident, shared = slopes["rss"], slopes["shared_dirty"]
    if resident is not None and resident >= _SHARES_GROWTH:
        return "new"
    return "copy-on-write" if resident is not None and shared is not None and shared <= -_SHARES_GROWTH else None


def _within(trace: Trace, process: str, kinds: Sequence[str], received_ns: Int64Array) -> memory_growth.Readings | None:
    for kind in kinds:
        found = memory_growth.within(series(trace, f"{kind}/{process}"), received_ns)
        if found is not None:
            return found
    return None


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
            rows = [_held(time_ns, times) for time_ns, _ in processes]
            sums = np.sum([np.where(held >= 0, value[held], 0.0) for held, (_, value) in zip(rows, processes, strict=True)], axis=0)
            return int(sums[_fits_together(trace, [time_ns for time_ns, _ in processes], rows)].max())
    return None


def _fits_together(trace: Trace, times_ns: list[Int64Array], rows: list[Int64Array]) -> npt.NDArray[np.bool_]:
    """Moments whose readings are all from before or all from after the newest start of a worker.

    What main had alone before, it shares then: a reading of before beside the worker's would count it twice. All moments where
    a trial was too short for each process to be read after the last start.
    """
    starts = np.sort(np.array([process.started_ns for process in trace.processes if process.name.startswith("worker-")], np.int64))
    started = [np.searchsorted(starts, time_ns[held], side="right") for time_ns, held in zip(times_ns, rows, strict=True)]
    least = np.min([np.where(held >= 0, count, len(starts)) for held, count in zip(rows, started, strict=True)], axis=0)
    most = np.max([np.where(held >= 0, count, 0) for held, count in zip(rows, started, strict=True)], axis=0)
    read = np.sum([held >= 0 for held in rows], axis=0)
    fits: npt.NDArray[np.bool_] = least == most
    return fits if read[fits].max(initial=0) == read.max() else np.ones(len(fits), np.bool_)


def series(trace: Trace, key: str) -> Samples:
    """Times and values of a series, without what is not a number; empty where there is no such series."""
    if key not in trace.series:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    view = trace.series[key][1].view()
    time_ns, value = view["time_ns"].astype(np.int64), view["value"].astype(np.float64)
    known = np.isfinite(value)
    return time_ns[known], value[known]


def _held(time_ns: Int64Array, times_ns: Int64Array) -> Int64Array:
    """The row of the newest reading at each of the times; -1 where there is none that is not stale."""
    steps = np.diff(time_ns)
    stale_ns = max(_MIN_STALE_NS, int(np.median(steps) * 3) if len(steps) else 0)
    rows = np.searchsorted(time_ns, times_ns, side="right") - 1
    age_ns = times_ns - time_ns[np.maximum(rows, 0)]
    return np.where(age_ns <= stale_ns, rows, -1)


def _peak(trace: Trace, *keys: str) -> int | None:
    for key in keys:
        value = series(trace, key)[1]
        if len(value):
            return int(value.max())
    return None
