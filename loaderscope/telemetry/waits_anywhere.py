"""Stands in for `waits_linux` on systems that do not tell what a thread waits for."""

from __future__ import annotations

from loaderscope.facts.thread_waits import ThreadWait

UNAVAILABLE: str | None = "this system does not tell what a thread waits for"
"""Why there are no waits."""


def read_wait(pid: int) -> ThreadWait | None:
    """Returns None."""
    del pid
    return None
