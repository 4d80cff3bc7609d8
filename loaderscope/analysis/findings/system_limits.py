"""Finds settings that break at a limit of the system: shared memory, open files, or what Windows can promise of memory."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.error_sentences import FILE_DESCRIPTORS, LIMIT, PAGING_FILE, SHARED_MEMORY, WORKER_DIED
from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import bytes_text

CODES = {SHARED_MEMORY: "shared-memory-full", FILE_DESCRIPTORS: "too-many-files", PAGING_FILE: "paging-file"}
ADVICE = {
    FILE_DESCRIPTORS: (
        "Raise the limit (ulimit -n), or use fewer workers, a smaller prefetch_factor, or fewer and larger tensors in a batch: with the "
        "sharing strategy file_descriptor each tensor in flight holds a file open."
    ),
    SHARED_MEMORY: (
        "Shared memory is too small: give the container more (docker run --shm-size=8g), or use fewer workers, a smaller prefetch_factor "
        "or smaller batches."
    ),
    PAGING_FILE: (
        "Every worker that loads torch charges the paging file, with CUDA's libraries by a GB and more: use fewer workers, or let Windows "
        "make the paging file larger (Settings > System > About > Advanced system settings > Performance > Advanced > Virtual memory)."
    ),
}
BUS_ERROR_SHARE = 0.5
"""A bus error counts as full shared memory if the setting needs at least this share of what is free: a file that was cut short while it
was mapped gives the same signal."""
_FILE_SYSTEM = "file_system"


@dataclasses.dataclass(frozen=True)
class _Resource:
    """What ran out, as the message says it.

    Attributes:
        words: the beginning of the sentence.
        need: key of `ErrorInfo.needs` for what the setting was expected to need.
        limit: key for what there is.
        is_bytes: whether these are bytes.
        change: the remedy as code.
    """

    words: str
    need: str
    limit: str
    is_bytes: bool
    change: str


_RESOURCES = {
    SHARED_MEMORY: _Resource(
        "Shared memory (/dev/shm) is full",
        "shared_memory_bytes",
        "shared_memory_free_bytes",
        True,
        "docker run --shm-size=8g ...  # or fewer workers, or a smaller prefetch_factor",
    ),
    FILE_DESCRIPTORS: _Resource(
        "The process may hold no more files open",
        "open_files",
        "open_files_limit",
        False,
        'torch.multiprocessing.set_sharing_strategy("file_system")  # holds no file for each tensor; or: ulimit -n 65536',
    ),
    PAGING_FILE: _Resource("Windows can promise no more memory", "memory_bytes", "commit_available_bytes", True, "num_workers={fewer}"),
}


def find(context: Context) -> list[Finding]:
    """Returns one finding for each limit that stopped trials."""
    by_cause: dict[str, list[TrialResult]] = {}
    for trial in context.trials:
        if status_of(trial.status).is_failure and trial.error is not None and _shows_limit(trial.error):
            by_cause.setdefault(trial.error.cause or "", []).append(trial)
    return [_about(context, cause, trials) for cause, trials in by_cause.items()]


def _shows_limit(error: ErrorInfo) -> bool:
    if error.cause not in CODES:
        return False
    if error.kind == WORKER_DIED and error.cause == SHARED_MEMORY:
        need, free = error.needs.get("shared_memory_bytes"), error.needs.get("shared_memory_free_bytes")
        return need is not None and free is not None and need >= BUS_ERROR_SHARE * free
    return error.kind in (LIMIT, WORKER_DIED)


def _about(context: Context, cause: str, trials: list[TrialResult]) -> Finding:
    resource = _RESOURCES[cause]
    least = min(trials, key=lambda trial: trial.config.num_workers)
    error = least.error
    assert error is not None
    most = _most_that_works(context, least.config)
    need, limit = error.needs.get(resource.need), error.needs.get(resource.limit)
    message = f"{resource.words} with {context.name_of(least.config)}: {error.message.rstrip('.')}."
    if need is not None and limit is not None:
        figures = [bytes_text(figure) if resource.is_bytes else str(figure) for figure in (need, limit)]
        message += f" The setting was expected to need {figures[0]}; there are {figures[1]}."
    if most is not None:
        message += f" {most} workers went well."
    fewer = most if most is not None else max(0, least.config.num_workers // 2)
    remedy = _remedy(context, cause, least.config)
    return Finding(
        code=CODES[cause],
        severity="error",
        trials=[trial.id for trial in trials],
        message=message,
        evidence={
            "kind": error.kind,
            "cause": cause,
            "breaks_with_workers": least.config.num_workers,
            "works_with_workers": most,
            **error.needs,
        },
        advice=ADVICE[cause],
        change=resource.change.format(fewer=fewer),
        remedy=remedy,
        config=None if remedy is None else dataclasses.replace(least.config, sharing_strategy=_FILE_SYSTEM),
    )


def _most_that_works(context: Context, config: TrialConfig) -> int | None:
    """Returns the most workers of a successful setting that differs in workers only, if it has fewer; None without one."""
    alike = [
        trial.config.num_workers
        for trial in context.good
        if 0 < trial.config.num_workers < config.num_workers and dataclasses.replace(trial.config, num_workers=config.num_workers) == config
    ]
    return max(alike, default=None)


def _remedy(context: Context, cause: str, config: TrialConfig) -> Remedy | None:
    strategies = context.environment.get("sharing_strategies") or ()
    if cause != FILE_DESCRIPTORS or config.sharing_strategy == _FILE_SYSTEM or _FILE_SYSTEM not in strategies:
        return None
    return Remedy(CODES[cause], "sharing_strategy=file_system")
