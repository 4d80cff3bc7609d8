"""Adds to the error of a trial what the app knows besides: the handles that its workers shared, and what it needed of a limit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope.agent.error_sentences import FILE_DESCRIPTORS, PAGING_FILE, SHARED_MEMORY
from loaderscope.agent.messages import ErrorInfo, SharedHandle, TrialConfig
from loaderscope.facts.results import TrialResult
from loaderscope.sweep.forecast import data_cost
from loaderscope.sweep.machine import Machine, read_machine
from loaderscope.sweep.machine_limits import Forecast, corrected, forecast


def with_circumstances(
    error: ErrorInfo, config: TrialConfig, handles: Sequence[SharedHandle], sample: dict[str, Any] | None, finished: Sequence[TrialResult]
) -> ErrorInfo:
    """Returns the error with its circumstances.

    Args:
        error: of the trial that has just ended.
        config: its setting.
        handles: what the dataset held open before the trial.
        sample: the probe of a sample; None: not probed.
        finished: the trials before it, which correct the forecast.
    """
    forks = config.num_workers > 0 and config.backend != "thread" and config.start_method == "fork"
    needs: dict[str, int] = {}
    if error.cause in (FILE_DESCRIPTORS, SHARED_MEMORY, PAGING_FILE):
        needs = _needs(error.cause, forecast(config, corrected(data_cost(sample), finished)), read_machine())
    return dataclasses.replace(error, handles=list(handles) if forks else [], needs=needs)


def _needs(cause: str, need: Forecast, machine: Machine) -> dict[str, int]:
    """What the setting was expected to need of the resource that ran out, and how much there is."""
    figures = {
        FILE_DESCRIPTORS: {"open_files": need.open_files, "open_files_limit": machine.open_files_limit},
        SHARED_MEMORY: {
            "shared_memory_bytes": need.shared_memory_bytes,
            "shared_memory_free_bytes": machine.shared_memory_free_bytes,
        },
        PAGING_FILE: {"memory_bytes": need.memory_bytes, "commit_available_bytes": machine.commit_available_bytes},
    }[cause]
    return {name: figure for name, figure in figures.items() if figure is not None}
