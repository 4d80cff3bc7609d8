"""Finds and kills all processes of an agent, so that no process of a trial survives.

What the reaper finds on each system, and what it misses:

* Linux: it finds every process that carries the agent's mark in its environment, every descendant of the agent, every process of its
  session, and every process that it once saw among these. Orphans become children of the app, which is a child subreaper. It misses a
  process that drops its environment and its session and loses its parent, between two looks, while the agent is dead. After its end
  such a process stays in the process table until the app ends, because nothing distinguishes it from the app's own children.
  An agent whose native code never releases the GIL does not notice that the app was killed: the next app finds its mark and ends it.
* macOS: it finds processes by the mark and by the process tree. It misses a process that drops its environment and whose parent has ended.
* Windows: it uses a job object, which ends its processes with its last handle, so even a killed app leaves nothing. It misses a process
  that a service started on behalf of the script (Task Scheduler, WMI): Windows puts such a process outside of every job.
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
        """Takes charge of an agent that was just started; on Windows the agent runs its first instruction only after this."""
        ...

    def observe(self) -> None:
        """Notes which processes belong to the agent now; called repeatedly, so that those that detach themselves later are known."""
        ...

    def remember(self, pids: Iterable[int]) -> None:
        """Notes processes that belonged to the agent, so that `kill` removes their shared memory too."""
        ...

    def stop(self, pid: int) -> None:
        """Stops a process of the agent until `resume`, if the system allows it; it can still be killed."""
        ...

    def resume(self, pid: int) -> None:
        """Lets a stopped process of the agent go on."""
        ...

    def kill(self) -> int:
        """Kills all processes of the agent, itself included, waits until they are gone, and returns their number.

        It stops all before it kills any, so that no parent sees its child end and runs on. Then it removes for the killed processes what
        they can no longer remove themselves.
        """
        ...

    def close(self) -> None:
        """Releases the reaper's resources of the system."""
        ...


def new_mark() -> str:
    """A mark that names the app by pid and start time, so that others can find out whether the app has ended."""
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
    return bool(abs(created - float(parts[1])) > 1.0)  # the pid belongs to another process now


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
    """Kills processes that a crashed app has left behind (their mark names an app that has ended) and returns their number."""
    if sys.platform == "linux":
        from loaderscope.sweep.processes.reaper_linux import kill_leftovers as kill

        return kill(owner_is_gone)
    if sys.platform == "darwin":
        from loaderscope.sweep.processes.reaper_macos import kill_leftovers as kill_on_mac

        return kill_on_mac(owner_is_gone)
    return 0  # on Windows the job objects ended with the app
