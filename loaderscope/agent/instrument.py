"""Records what a loader does: the functions of the recording that the rest of the agent calls.

`install` adds the hooks once the user's script has been loaded; it imports nothing that a loader does not import anyway. The
hooks stay harmless and cheap while nothing is recorded. They never touch the user's objects.
"""

from __future__ import annotations

import os
from typing import Any, List, NamedTuple, Optional, Tuple

from . import fetch_hooks, main_hooks, process_hooks, recorder, warning_notes
from . import torch_internals as internals
from .eventlog import EventLog, record_cost_ns
from .layout import Role, State
from .patches import Patches
from .recorder import Plan, ThreadActivity, begin, complete, end, instant, measure_own_way

__all__ = [
    "ConsumerWaits", "RecordingSummary", "begin", "complete", "declare_own_threads", "delivered_batch", "end", "install", "instant",
    "measure_own_way", "open_loader_log", "start_recording", "stop_recording", "thread_activity", "uninstall",
]  # fmt: skip


class RecordingSummary(NamedTuple):
    """What the main process recorded, without its workers."""

    records: int
    seconds_estimate: float
    """Number of records times the cost of one record on this machine."""
    stopped: Optional[str]
    """Why recording ended early, in one sentence; None if it did not."""


_process_patches = Patches()
_torch_patches = Patches()
_stateful_patches = Patches()
_warning_patches = Patches()
"""Installed only while something is recorded."""


def install() -> List[str]:
    """Hooks multiprocessing, and torch's loader if it has been imported; may be called again at any time.

    Returns:
        Sentences about functions of this torch that are missing or differ from the checked ones; empty if none.
    """
    if not len(_process_patches):
        process_hooks.install(_process_patches)
    stateful = internals.imported(internals.STATEFUL_MODULE)
    if stateful is not None and not len(_stateful_patches):
        main_hooks.install_stateful(_stateful_patches, stateful)
    if internals.imported(internals.LOADER_MODULE) is None:
        return []
    if not len(_torch_patches):
        main_hooks.install(_torch_patches)
        fetch_hooks.install(_torch_patches)
    return list(internals.assumption_notes())


def uninstall() -> None:
    """Puts everything back as it was before `install`."""
    for patches in (_warning_patches, _torch_patches, _stateful_patches, _process_patches):
        patches.undo()


def declare_own_threads(count: int) -> None:
    """Sets how many threads the agent runs beside the user's, so that they alone cause no warning about fork and threads."""
    process_hooks.own_thread_count = count


def start_recording(
    log_dir: str, timeout_s: float, thin_samples: bool = True, sharing_strategy: Optional[str] = None, looks_closer: bool = False
) -> None:
    """Opens this process's log; workers started from now on log to the same folder.

    Args:
        log_dir: the folder of the logs; made if it does not exist.
        timeout_s: after 56 to 70 % of this time without a record a process writes its stacks beside its log.
        thin_samples: record samples that take less than 0.1 ms, and the CPU time of their fetches, in some batches only.
        sharing_strategy: how workers share tensors; None leaves it to torch.
        looks_closer: workers also look at what happens to their dataset, which costs time.

    Raises:
        OSError: the log cannot be made (a full disk).
    """
    install()
    if recorder.log is not None:
        recorder.close_log()
    os.makedirs(log_dir, exist_ok=True)
    folder = os.path.abspath(log_dir)
    plan = Plan(folder, timeout_s, thin_samples, sharing_strategy, prints_lines=True, looks_closer=looks_closer)
    recorder.open_log(plan, Role.MAIN)
    if not len(_warning_patches):
        warning_notes.install(_warning_patches)


def open_loader_log(log_dir: str, timeout_s: float, sharing_strategy: Optional[str]) -> Tuple[Plan, EventLog]:
    """Opens this process's log of one loader that the script iterates; the arguments are those of `start_recording`.

    Returns:
        The plan for its workers, and the log.

    Raises:
        OSError: the log cannot be made (a full disk).
    """
    os.makedirs(log_dir, exist_ok=True)
    plan = Plan(os.path.abspath(log_dir), timeout_s, True, sharing_strategy, prints_lines=True)
    log = recorder.open_loader_log(plan)
    if not len(_warning_patches):
        warning_notes.install(_warning_patches)
    return plan, log


def delivered_batch() -> int:
    """Number within its epoch of the batch that `next` handed out last, as torch counts it; -1 while nothing is recorded."""
    return recorder.delivered_batch


class ConsumerWaits:
    """The iterator of a loader that iterates in its own way, as the consumer's loop takes batches from it.

    It records the loop's waits: torch's iterator may run in another thread, or ahead of the loop. It ends after `limit` batches,
    because nothing else may: what such a loader reads ahead is its own affair.
    """

    def __init__(self, loader: Any, epoch: int, limit: Optional[int]) -> None:
        """Calls iter(loader).

        Args:
            loader: the loader.
            epoch: number of the epoch.
            limit: in batches; None for all.
        """
        self._epoch = epoch
        self._limit = limit
        self._count = 0
        self._iterator = iter(loader)

    def __iter__(self) -> ConsumerWaits:
        return self

    def __next__(self) -> Any:
        begin(State.WAIT, self._epoch)
        number = -1
        try:
            if self._limit is not None and self._count >= self._limit:
                raise StopIteration
            batch = next(self._iterator)
            try:
                number = recorder.handed_on.popleft()
            except IndexError:  # it splits batches of torch's iterator, or makes its own
                number = self._count
            recorder.delivered_batch = number
            self._count += 1
            return batch
        finally:
            end(State.WAIT, number)


def thread_activity() -> ThreadActivity:
    """The activity of this thread; callers of the user's code change it."""
    return recorder.threads.activity


def stop_recording() -> RecordingSummary:
    """Ends this process's log and returns what it recorded; workers that still run log until they end."""
    _warning_patches.undo()
    stopped = None if recorder.log is None else recorder.log.stopped
    records = recorder.close_log()
    return RecordingSummary(records, records * record_cost_ns() / 1e9, stopped)
