"""Watches whether a process and those that it started use the processor."""

from __future__ import annotations

import time

import psutil


class ProcessorUse:
    """The processor time of a tree of processes, seen now and then."""

    def __init__(self, pid: int) -> None:
        """Looks at nothing yet; `pid` is that of the root."""
        self._pid = pid
        self._seconds = -1.0
        self._grew_at_s = time.monotonic()

    def idle_s(self) -> float:
        """Looks, and returns for how many seconds no look has found that the processor time grew."""
        seconds = self._read_seconds()
        if seconds != self._seconds:
            self._seconds, self._grew_at_s = seconds, time.monotonic()
        return time.monotonic() - self._grew_at_s

    def _read_seconds(self) -> float:
        try:
            root = psutil.Process(self._pid)
            processes = [root, *root.children(recursive=True)]
        except psutil.Error:
            return 0.0
        return sum(_seconds_of(process) for process in processes)


def _seconds_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has ended
        return 0.0
    return float(times.user + times.system)
