"""Reads who uses the cores on systems without /proc, through psutil, which counts no run delay there; CPU time in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

from loaderscope.telemetry.core_use import CoreUse, ProcessTime


class Cores:
    """The cores of this machine, and who uses them."""

    def __init__(self) -> None:
        self._used_s: dict[int, float] = {}  # by pid; the last value of a process that has ended stays

    def read(self, named: Iterable[tuple[str, int]]) -> CoreUse:
        """Reads the counters.

        Args:
            named: name and pid of the trial's processes; their children have to be among them.
        """
        now_ns, pids = time.perf_counter_ns(), frozenset(pid for _, pid in named)
        times = psutil.cpu_times()
        busy_s = float(times.user + times.system + getattr(times, "nice", 0.0))
        for pid in pids:
            try:
                used = psutil.Process(pid).cpu_times()
            except psutil.Error:
                continue
            self._used_s[pid] = used.user + used.system
        return CoreUse(now_ns, busy_s, None, sum(self._used_s.values()), pids, {})

    def processes(self) -> dict[tuple[int, int], ProcessTime]:
        """Returns all processes that the system shows, by pid and start time."""
        found = {}
        for process in psutil.process_iter(["name", "ppid", "cpu_times", "create_time"]):
            facts = process.info
            if facts["cpu_times"] is not None and facts["create_time"] is not None:
                used_s = facts["cpu_times"].user + facts["cpu_times"].system
                key = process.pid, int(facts["create_time"] * 1000)
                found[key] = ProcessTime(facts["name"] or "", facts["ppid"] or 0, used_s)
        return found

    def heat_throttles(self) -> int | None:
        """Returns None: these systems do not count it for everybody."""
        return None
