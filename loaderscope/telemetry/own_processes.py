"""Samples what readings of the cores tell of a trial's own processes: their threads, and processes that run beside the workers."""

from __future__ import annotations

from pathlib import Path

import psutil

from loaderscope.facts.lanes import BESIDE_DELAY_SERIES, BESIDE_SERIES, OTHER_THREADS_SERIES, RUN_DELAY_SERIES
from loaderscope.telemetry.core_use import CoreUse
from loaderscope.telemetry.sampled_value import Sample
from loaderscope.trace.model import SeriesInfo

MIN_BESIDE_CORES = 0.05
"""A process beside the workers is sampled from the moment on at which it takes more than this."""
MOST_BESIDE = 8


class OwnProcesses:
    """Makes samples of the differences of readings of one trial."""

    def __init__(self) -> None:
        self._beside: dict[int, SeriesInfo] = {}

    def samples(self, last: CoreUse, now: CoreUse) -> list[Sample]:
        """Returns the samples for the time between two readings."""
        window_ns = now.time_ns - last.time_ns
        samples = []
        for name, total_s in now.other_threads_s.items():
            percent = 1e11 * (total_s - last.other_threads_s.get(name, 0.0)) / window_ns
            info = SeriesInfo(f"{OTHER_THREADS_SERIES}/{name}", OTHER_THREADS_SERIES, f"other threads of {name}", "%", name, window_ns)
            samples.append(Sample(info, now.time_ns, percent))
        for pid, total_s in now.beside_s.items():
            percent = 1e11 * (total_s - last.beside_s.get(pid, 0.0)) / window_ns
            if pid not in self._beside:
                if percent < 100 * MIN_BESIDE_CORES or len(self._beside) == MOST_BESIDE:
                    continue
                name = _name_of(pid)
                self._beside[pid] = SeriesInfo(f"{BESIDE_SERIES}-{pid}", "cpu", f"CPU of {name}", "%", name, window_ns)
            delay_percent = 1e11 * (now.beside_delay_s.get(pid, 0.0) - last.beside_delay_s.get(pid, 0.0)) / window_ns
            info = self._beside[pid]
            delay = SeriesInfo(
                f"{BESIDE_DELAY_SERIES}-{pid}", RUN_DELAY_SERIES, f"{info.process} waits for a core", "%", info.process, window_ns
            )
            samples += [Sample(info, now.time_ns, percent), Sample(delay, now.time_ns, delay_percent)]
        return samples


def _name_of(pid: int) -> str:
    """Returns the program and the pid of a process; one that was forked from its parent runs no program of its own."""
    try:
        process = psutil.Process(pid)
        parent, command = process.parent(), process.cmdline()
        if command and (parent is None or command != parent.cmdline()):
            return f"{Path(command[0]).name} {pid}"
    except psutil.Error:
        pass
    return f"process {pid}"
