"""No process of a trial survives: how the processes of an agent are found and killed on each system.

What each system covers, and what it does not:

* Linux: every process that carries the agent's mark in its environment, every descendant of the agent, every process of
  its session, and whoever was once seen among those; orphans come back to the app, which is a child subreaper. Uncovered:
  a process that gives up its environment and its session and loses its parent, between two looks, while the agent is dead.
  One that did so and has ended stays in the process table until the app ends: it cannot be told from the app's own children.
  An agent whose native code never gives up the GIL does not notice that the app was killed: the next app ends it, by its mark.
* macOS: the mark and the walk of the tree. Uncovered: a process that gives up its environment and whose parent has ended.
* Windows: a job object that dies with its last handle, so even a killed app leaves nothing. Uncovered: a process that was
  started by a service on behalf of the script (Task Scheduler, WMI), which Windows puts outside of every job.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from typing import Any, Protocol

import psutil


class Reaper(Protocol):
    """Finds and kills every process of one agent.

    Attributes:
        mark: the value of MARK_VARIABLE in the agent's environment.
    """

    mark: str

    def popen_options(self) -> dict[str, Any]:
        """Arguments for the Popen that starts the agent."""
        ...

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Takes charge of the agent just started; on Windows it runs its first instruction only after this."""
        ...

    def observe(self) -> None:
        """Looks who belongs to the agent now; called now and then, so that whoever gets away later is known."""
        ...

    def remember(self, pids: Iterable[int]) -> None:
        """Takes note of processes that belonged to the agent; what they left in shared memory is removed with it."""
        ...

    def stop(self, pid: int) -> None:
        """Has a process of the agent stand still, where the system can do that; it can still be killed."""
        ...

    def resume(self, pid: int) -> None:
        """Lets a process of the agent that stands still go on."""
        ...

    def kill(self) -> int:
        """Kills everything that is left of the agent, itself included, and waits until it is gone; how many there were.

        No parent sees its child end and runs on, and what the killed ones cannot remove any more is removed for them.
        """
        ...

    def close(self) -> None:
        """Gives back what the reaper holds of the system."""
        ...


def new_mark() -> str:
    """A mark that names the app by pid and start time, so that others can tell when its owner is gone."""
    return f"{os.getpid()}:{psutil.Process().create_time():.2f}:{secrets.token_hex(8)}"


def owner_is_gone(mark: str) -> bool:
    """Whether the app that made this mark has ended; False if the text is no mark."""
    parts = mark.split(":")
    if len(parts) != 3 or not parts[0].isdigit():
        return False
    try:
        created = float(psutil.Process(int(parts[0])).create_time())
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return bool(abs(created - float(parts[1])) > 1.0)  # the pid was given to another process


def create_reaper() -> Reaper:
    """The reaper for this system, with a new mark."""
    if sys.platform == "win32":
        from loaderscope.sweep.processes.reaper_windows import WindowsReaper

        return WindowsReaper(new_mark())
    if sys.platform == "darwin":
        from loaderscope.sweep.processes.reaper_macos import MacReaper

        return MacReaper(new_mark())
    from loaderscope.sweep.processes.reaper_linux import LinuxReaper

    return LinuxReaper(new_mark())


def kill_leftovers() -> int:
    """Kills what a crashed app may have left behind: processes whose mark names an owner that is gone. How many."""
    if sys.platform == "linux":
        from loaderscope.sweep.processes.reaper_linux import kill_leftovers as kill

        return kill(owner_is_gone)
    if sys.platform == "darwin":
        from loaderscope.sweep.processes.reaper_macos import kill_leftovers as kill_on_mac

        return kill_on_mac(owner_is_gone)
    return 0  # on Windows the job objects ended with the app
