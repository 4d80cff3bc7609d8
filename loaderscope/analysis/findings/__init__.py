"""Finds what is wrong with the pipeline: one module for each kind of finding, each with `find(context) -> list[Finding]`."""

from __future__ import annotations

from loaderscope.analysis.findings import (
    accelerator,
    copy_on_write,
    cpu_affinity,
    disk,
    disturbed,
    dropped_samples,
    duplicate_samples,
    duplicate_seeds,
    fetch_time,
    head_of_line,
    input_bound,
    loader_remade,
    main_threads,
    many_workers,
    memory_use,
    pinned_memory,
    prefetch,
    profiled_window,
    sampler_bound,
    set_epoch,
    small_batches,
    startup_causes,
    states_saved,
    thread_storm,
    threads,
    transfer_bound,
    trial_failures,
    worker_shares,
    worker_startup,
    worker_state,
)
from loaderscope.analysis.findings.context import Context, RecordedLoader
from loaderscope.facts.findings import Finding

__all__ = ["SEVERITIES", "Context", "RecordedLoader", "find_all", "order_of"]

_KINDS = (
    trial_failures,
    disturbed,
    input_bound,
    fetch_time,
    thread_storm,
    cpu_affinity,
    accelerator,
    profiled_window,
    dropped_samples,
    duplicate_samples,
    duplicate_seeds,
    worker_shares,
    worker_state,
    set_epoch,
    worker_startup,
    startup_causes,
    memory_use,
    copy_on_write,
    head_of_line,
    pinned_memory,
    threads,
    main_threads,
    disk,
    many_workers,
    sampler_bound,
    transfer_bound,
    loader_remade,
    small_batches,
    states_saved,
    prefetch,
)
SEVERITIES = ("error", "warning", "info")


def find_all(context: Context) -> list[Finding]:
    """Returns all findings in the order of `order_of`."""
    found = [finding for kind in _KINDS for finding in kind.find(context)]
    return sorted(found, key=order_of)


def order_of(finding: Finding) -> tuple[int, float]:
    """Returns the key by which findings are sorted: the gravest first, then by what their remedies save, unknown gains last."""
    return SEVERITIES.index(finding.severity), 0.0 if finding.gain_s is None else -finding.gain_s.value
