"""Reads what the main thread of a process waits for: on Linux, the function of the kernel in which it waits."""

from __future__ import annotations

from loaderscope.facts.thread_waits import ThreadWait, wait_in

UNAVAILABLE: str | None = None
"""Why there are no waits."""


def read_wait(pid: int) -> ThreadWait | None:
    """Returns what the main thread of a process waits for; None if the process is gone, or the kernel does not say it."""
    try:
        with open(f"/proc/{pid}/wchan", "rb") as file:
            return wait_in(file.read().decode("ascii", "replace"))
    except OSError:
        return None
