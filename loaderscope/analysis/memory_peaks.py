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
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import Memory, WorkerMemory
from loaderscope.trace.model import Trace

TOTAL_KINDS = ("pss", "private", "uss")
"""Kinds of memory that may be summed over processes; the first sampled one is used. RSS would count shared pages in each process."""

_MIN_STALE_NS = 3_000_000_000  # memory is read about once a second; an older value belongs to a process that has ended

PRIVATE_KINDS = ("uss", "private")
"""Kinds of memory that belong to one process alone; the first sampled one is used."""

_KIND_SHARE = 0.5
"""Growth is copy-on-write if at least this share of it leaves the shared pages, and new if RSS grows by this share of it."""
_MIN_KIND_BYTES = 8 << 20
"""Growth over an epoch from which its kind is determined."""

Samples = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def find_memory(trace: Trace, epochs: Sequence[EpochRun] = ()) -> Memory | None:
    """Returns the memory of a trial, or None if it was not sampled.

    Args:
        trace: with the sampled series.
        epochs: of the trial; growth is measured over the longest one.
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
    return _add_growth(trace, Memory(peak_total, rows), memory_growth.longest_epoch_received_ns(list(epochs)))


def forecast_bytes(memory: Memory, num_workers: int) -> int | None:
    """Returns the peak memory with another number of workers: each worker more or less changes it by a measured worker's own pages.

    None if any worker was not measured.
    """
    own = [worker.peak_uss_bytes for worker in memory.workers if worker.peak_uss_bytes is not None]
    if memory.peak_total_bytes is None or not own or len(own) < len(memory.workers):
        return None
    return max(0, round(memory.peak_total_bytes + (num_workers - len(own)) * sum(own) / len(own)))


def _add_growth(trace: Trace, memory: Memory, received_ns: Int64Array) -> Memory:
    readings: dict[int, memory_growth.Readings] = {}
    rows = []
    for row in memory.workers:
        own = _growth_readings(trace, f"worker-{row.worker}", PRIVATE_KINDS, received_ns)
        if own is None:
            rows.append(row)
            continue
        readings[row.worker] = own
        grown = memory_growth.growth_per_1000_batches(own, received_ns)
        rows.append(dataclasses.replace(row, start_uss_bytes=int(own[1][0]), growth_bytes_per_1000_batches=grown))
    if not rows or len(readings) < len(rows):
        reason = memory_growth.TOO_SHORT if rows else "there is no worker process"
        return dataclasses.replace(memory, workers=rows, growth_reason=reason)
    summed = memory_growth.total_readings(list(readings.values()))
    total = memory_growth.growth_per_1000_batches(summed, received_ns) if len(summed[0]) else None
    if total is None:
        return dataclasses.replace(memory, workers=rows, growth_reason=memory_growth.TOO_SHORT)
    kind = _growth_kind(trace, list(readings), total, received_ns)
    return dataclasses.replace(memory, workers=rows, growth_bytes_per_1000_batches=total, growth_kind=kind)


def _growth_kind(trace: Trace, workers: list[int], own: Estimate, received_ns: Int64Array) -> str | None:
    """Returns the kind of the growth. A copied page leaves RSS unchanged, and moves from `Shared_Dirty` to USS."""
    if own.ci95 is None or own.ci95[0] <= 0 or own.value * len(received_ns) / 1000 < _MIN_KIND_BYTES:
        return None
    slopes = {}
    for kind in ("rss", "shared_dirty"):
        found = [_growth_readings(trace, f"worker-{worker}", (kind,), received_ns) for worker in workers]
        known = [readings for readings in found if readings is not None]
        slope = None
        if len(known) == len(workers):
            slope = memory_growth.growth_per_1000_batches(memory_growth.total_readings(known), received_ns)
        slopes[kind] = None if slope is None else slope.value / own.value
    resident, shared = slopes["rss"], slopes["shared_dirty"]
    if resident is not None and resident >= _KIND_SHARE:
        return "new"
    return "copy-on-write" if resident is not None and shared is not None and shared <= -_KIND_SHARE else None


def _growth_readings(trace: Trace, process: str, kinds: Sequence[str], received_ns: Int64Array) -> memory_growth.Readings | None:
    for kind in kinds:
        found = memory_growth.readings_in_epoch(series(trace, f"{kind}/{process}"), received_ns)
        if found is not None:
            return found
    return None


def peak_total_bytes(trace: Trace) -> int | None:
    """Returns the largest sum over main and workers at one time; every process keeps its newest value until it is stale.

    None if a worker ended before its memory was read: a sum without it would make the setting look smaller than it is.
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
            rows = [_newest_rows(time_ns, times) for time_ns, _ in processes]
            sums = np.sum([np.where(held >= 0, value[held], 0.0) for held, (_, value) in zip(rows, processes, strict=True)], axis=0)
            return int(sums[_comparable_moments(trace, [time_ns for time_ns, _ in processes], rows)].max())
    return None


def _comparable_moments(trace: Trace, times_ns: list[Int64Array], rows: list[Int64Array]) -> npt.NDArray[np.bool_]:
    """Returns the moments whose readings are all older or all newer than the newest start of a worker.

    A fork turns pages of main into shared pages, so a reading of main from before it, beside the worker's, would count them twice.
    All moments, if the trial was too short to read each process after the last start.
    """
    starts = np.sort(np.array([process.started_ns for process in trace.processes if process.name.startswith("worker-")], np.int64))
    started = [np.searchsorted(starts, time_ns[held], side="right") for time_ns, held in zip(times_ns, rows, strict=True)]
    least = np.min([np.where(held >= 0, count, len(starts)) for held, count in zip(rows, started, strict=True)], axis=0)
    most = np.max([np.where(held >= 0, count, 0) for held, count in zip(rows, started, strict=True)], axis=0)
    read = np.sum([held >= 0 for held in rows], axis=0)
    fits: npt.NDArray[np.bool_] = least == most
    return fits if read[fits].max(initial=0) == read.max() else np.ones(len(fits), np.bool_)


def series(trace: Trace, key: str) -> Samples:
    """Returns times and values of a series, without undefined values; empty arrays if there is no such series."""
    if key not in trace.series:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    view = trace.series[key][1].view()
    time_ns, value = view["time_ns"].astype(np.int64), view["value"].astype(np.float64)
    known = np.isfinite(value)
    return time_ns[known], value[known]


def _newest_rows(time_ns: Int64Array, times_ns: Int64Array) -> Int64Array:
    """Returns the row of the newest reading at each time; -1 if there is none or it is stale."""
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
