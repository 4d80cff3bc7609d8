"""Observing a loader from outside: what the rest of the agent uses of the recording.

Hooks are installed once the user's script has been loaded (nothing is imported for them that a loader does not import
anyway) and stay harmless and cheap while nothing is recorded. The user's objects are never touched.
"""

from __future__ import annotations

import os
from typing import List, NamedTuple, Optional

from . import fetch_hooks, main_hooks, process_hooks, recorder, warning_notes
from . import torch_internals as internals
from .eventlog import record_cost_ns
from .layout import Role
from .patches import Patches
from .recorder import Here, begin, complete, end, instant

__all__ = [
    "RecordingSummary", "begin", "complete", "declare_own_threads", "delivered_batch", "end", "here", "install", "instant",
    "start_recording", "stop_recording", "uninstall",
]  # fmt: skip


class RecordingSummary(NamedTuple):
    """What the main process recorded; workers are not counted."""

    records: int
    seconds_estimate: float
    """Number of records times what one costs on this machine."""
    stopped: Optional[str]
    """Why recording ended early, in one sentence; None if it did not."""


_process_patches = Patches()
_torch_patches = Patches()
_stateful_patches = Patches()
_warning_patches = Patches()
"""In place only while something is recorded."""


def install() -> List[str]:
    """Hooks multiprocessing, and torch's loader if it has been imported; may be called again at any time.

    Returns:
        Sentences about what is unknown or missing in this torch; empty if all is as it was checked.
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
    """Says how many threads the agent runs beside the user's, so that they alone cause no warning about fork and threads."""
    process_hooks.own_thread_count = count


def start_recording(log_dir: str, timeout_s: float, thin_samples: bool = True, sharing_strategy: Optional[str] = None) -> None:
    """Opens this process's log; workers started from now on log to the same folder.

    Args:
        log_dir: made if it does not exist.
        timeout_s: after 56 to 70 % of this time without a record a process writes its stacks beside its log.
        thin_samples: samples that take less than 0.1 ms, and the CPU time of their fetches, are recorded in some batches only.
        sharing_strategy: by which workers share tensors; None leaves them their own.

    Raises:
        OSError: no log can be made there (a full disk).
    """
    install()
    if recorder.log is not None:
        recorder.close_log()
    os.makedirs(log_dir, exist_ok=True)
    recorder.open_log(recorder.Plan(os.path.abspath(log_dir), timeout_s, thin_samples, sharing_strategy), Role.MAIN)
    if not len(_warning_patches):
        warning_notes.install(_warning_patches)


def delivered_batch() -> int:
    """Number within its epoch of the batch that `next` handed out last, as torch counts it; -1 while nothing is recorded."""
    return recorder.delivered


def here() -> Here:
    """What this thread is at, for whoever calls the user's code in it."""
    return recorder.threads.here


def stop_recording() -> RecordingSummary:
    """Ends this process's log and says what was recorded; workers that still run go on logging until they end."""
    _warning_patches.undo()
    stopped = None if recorder.log is None else recorder.log.stopped
    records = recorder.close_log()
    return RecordingSummary(records, records * record_cost_ns() / 1e9, stopped)
