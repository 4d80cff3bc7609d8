"""Reads /proc/PID on Linux: a process's line of the process table, and its children."""

from __future__ import annotations

import os


def read_stat(pid: int) -> tuple[str, list[bytes]] | None:
    """Returns a process's name and the fields behind it (man proc_pid_stat, from the state on); None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    name_end = text.rindex(b")")  # the name may hold spaces and parentheses
    return text[text.index(b"(") + 1 : name_end].decode("utf-8", "replace"), text[name_end + 2 :].split()


def children_of(pid: int) -> list[int]:
    """Returns the pids of a process's children, from the kernel's own list, which is far cheaper than the process table; [] on failure."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found.extend(int(child) for child in file.read().split())
    except OSError:
        pass
    return found
