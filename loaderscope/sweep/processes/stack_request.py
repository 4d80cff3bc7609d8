"""Asks the processes of a running trial where they stand, without ending it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from loaderscope.agent.stackdump import ASK_SIGNAL
from loaderscope.trace.process_places import ProcessPlace, process_places
from loaderscope.trace.reader import read_stacks, stack_sizes

_POLL_S = 0.02
_SETTLED_POLLS = 2
"""A dump is complete once its file has not grown for so many looks: `faulthandler` writes it in one go."""


def ask_for_places(log_dir: Path, pids: Iterable[int], script: str, timeout_s: float) -> list[ProcessPlace]:
    """Returns where each process stands that answers in time; empty on Windows, where processes cannot be asked.

    Args:
        log_dir: the folder of the trial's logs.
        pids: the trial's processes that record.
        script: path of the user's script.
        timeout_s: how long to wait for the answers.
    """
    if ASK_SIGNAL is None:
        return []
    try:
        before = stack_sizes(log_dir)
        asked = [pid for pid in pids if _ask(pid)]
        deadline_s = time.monotonic() + timeout_s
        sizes, settled_polls = before, 0
        while asked and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
            sizes, previous = stack_sizes(log_dir), sizes
            settled_polls = settled_polls + 1 if sizes == previous else 0
            answered = {name.partition("-")[0] for name, size in sizes.items() if size > before.get(name, 0)}
            if settled_polls >= _SETTLED_POLLS and {str(pid) for pid in asked} <= answered:
                break
        return process_places(read_stacks(log_dir, before), script)
    except OSError:  # the trial has ended meanwhile, and its folder is gone
        return []


def _ask(pid: int) -> bool:
    assert ASK_SIGNAL is not None
    try:
        os.kill(pid, ASK_SIGNAL)
    except OSError:
        return False
    return True
