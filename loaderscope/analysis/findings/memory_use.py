"""Finds memory that grows over the epoch, and data that every worker copies."""

from __future__ import annotations

from loaderscope.analysis.findings import copy_on_write
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import bytes_text

MIB = 1 << 20
MIN_GROWTH_BYTES_PER_S = 2 * MIB
MIN_GROWTH_BYTES = 32 * MIB
_QUEUES = 2
"""Growth by so many full queues of batches is that of the queue, whose batches the allocator may hold twice."""
COPY_SHARE = 0.8
"""A worker's memory is a copy made at its start if the worker has this share of its peak already at the first batch."""
LARGE_WORKER_BYTES = 400 * MIB
"""Private memory of one worker from which its copy of the data outweighs the interpreter with torch (about 145 MiB)."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about growth, which is a fault of the dataset, and findings about settings whose workers copy the data."""
    found = []
    growing = [trial for trial in context.good if _growth_bytes(trial) is not None and not _is_told_as_copies(trial)]
    if growing:
        found.append(_about_growth(context, max(growing, key=lambda trial: _growth_bytes(trial) or 0.0), growing))
    heavy = [setting for setting in context.settings if (_worker_bytes(context, setting) or 0) >= LARGE_WORKER_BYTES]
    subject = context.subject
    if subject in heavy:
        found.append(_about_copies(context, subject))
    others = [setting for setting in heavy if setting is not subject]
    if others:
        found.append(_about_copies(context, max(others, key=lambda setting: setting.peak_total_bytes or 0)))
    return found


def _is_told_as_copies(trial: TrialResult) -> bool:
    """Whether `copy-on-write` says all of the growth."""
    return trial.memory is not None and trial.memory.growth_kind != "new" and copy_on_write.is_copying(trial)


def _growth_bytes(trial: TrialResult) -> float | None:
    """Returns the growth over one epoch, or None if it is negligible, or explained by a queue that fills with batches."""
    rate = trial.signs.growth_bytes_per_s if trial.signs else None
    if rate is None or rate < MIN_GROWTH_BYTES_PER_S or not trial.epochs:
        return None
    seconds = max(times.steady_s or 0.0 for times in trial.epochs)
    queue_bytes = (trial.batch_bytes or 0.0) * trial.config.num_workers * ((trial.config.prefetch_factor or 0) + 1)
    return rate * seconds if rate * seconds >= max(MIN_GROWTH_BYTES, _QUEUES * queue_bytes) else None


def _about_growth(context: Context, worst: TrialResult, growing: list[TrialResult]) -> Finding:
    rate = (worst.signs.growth_bytes_per_s if worst.signs else None) or 0.0
    kind = worst.memory.growth_kind if worst.memory else None
    advice = "Look for a list or cache in the dataset that gets longer with every sample."
    cause = ""
    if kind == "copy-on-write":
        cause = " It is no new memory: pages that the workers shared with the main process since the fork become their own (copy-on-write)."
        advice = (
            "Reading Python objects changes their reference counts, and that copies their pages to every worker: keep long lists of "
            "strings or objects as NumPy arrays or one bytes object."
        )
    elif kind is None and worst.config.start_method == "fork":
        advice = (
            "With fork, reading Python objects changes their reference counts, and their pages are copied to every worker: keep "
            "long lists of strings or objects as NumPy arrays or one bytes object. If it is no such list, look for a cache that grows."
        )
    of_trial = " of the trial" if context.recorded is None else ""
    grown = worst.memory.growth_bytes_per_1000_batches if worst.memory else None
    per_batches = f" That is {bytes_text(grown.value)} for 1,000 batches." if grown is not None else ""
    return Finding(
        code="memory-growth",
        severity="warning",
        trials=[trial.id for trial in growing],
        message=(
            f"Private memory of the workers grows by {bytes_text(rate)} a second with {context.name_of(worst.config)}: "
            f"{bytes_text(_growth_bytes(worst) or 0.0)} in one epoch{of_trial}.{per_batches}{cause}"
        ),
        evidence={"growth_bytes_per_s": rate, "growth_bytes_per_1000_batches": grown.value if grown else None, "growth_kind": kind},
        advice=advice,
    )


def _worker_bytes(context: Context, setting: SettingResult) -> int | None:
    """Returns the largest private memory of one worker; None with fewer than two workers."""
    if setting.config.num_workers < 2:
        return None
    peaks = [
        worker.peak_uss_bytes
        for trial in context.trials_of(setting)
        if trial.memory is not None
        for worker in trial.memory.workers
        if worker.peak_uss_bytes is not None
    ]
    return max(peaks, default=None)


def _is_copied_at_start(context: Context, setting: SettingResult) -> bool:
    """Whether each worker held nearly its peak of private memory already at the first batch."""
    pairs = [
        (worker.start_uss_bytes, worker.peak_uss_bytes)
        for trial in context.trials_of(setting)
        if trial.memory is not None
        for worker in trial.memory.workers
    ]
    return bool(pairs) and all(start is not None and peak is not None and start >= COPY_SHARE * peak for start, peak in pairs)


def _about_copies(context: Context, setting: SettingResult) -> Finding:
    worker_bytes = _worker_bytes(context, setting) or 0
    is_copy = _is_copied_at_start(context, setting)
    total = f", {bytes_text(setting.peak_total_bytes)} in all" if setting.peak_total_bytes is not None else ""
    since = "; nearly all of it from its first batch on, so it is a copy that the worker got when it started" if is_copy else ""
    return Finding(
        code="memory-multiplied",
        severity=context.severity_of(setting),
        trials=setting.trials,
        message=f"With {context.name_of(setting.config)} every worker holds up to {bytes_text(worker_bytes)} of its own{total}{since}.",
        evidence={"worker_bytes": worker_bytes, "peak_total_bytes": setting.peak_total_bytes},
        advice=(
            f"Each further worker costs as much again: use fewer workers, a smaller prefetch_factor or smaller batches{context.at_place}, "
            "or keep the "
            "data in a memory-mapped file (numpy.load with mmap_mode='r'), which all workers share."
        ),
    )
