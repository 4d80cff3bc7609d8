"""Samples what other programs take of the usable cores during a trial, and says which programs took most.

Others' time is the work of the usable cores without that of the trial's processes and of the app. It is not yet a disturbance: a
program that takes a core which the trial leaves idle does little harm. The run delay of the trial's own processes shows that: the
time for which their threads were ready and had no core.

All processes of the machine are read twice only, before and after the trial: that costs a few milliseconds.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Iterable
from typing import NamedTuple

import psutil

from loaderscope.facts.evidence import OtherProgram
from loaderscope.facts.lanes import OTHERS_SERIES, RUN_DELAY_SERIES, STOLEN_SERIES, THROTTLED_SERIES
from loaderscope.telemetry.core_use import CoreUse, ProcessTime
from loaderscope.telemetry.own_processes import OwnProcesses
from loaderscope.telemetry.sampled_value import Sample
from loaderscope.trace.model import SeriesInfo

if sys.platform == "linux":
    from loaderscope.telemetry.cores_linux import Cores
else:
    from loaderscope.telemetry.cores_anywhere import Cores

INTERVAL_S = 0.25
"""Between two readings, at least. The ticks of 10 ms in which systems count make an error of 0.05 cores in one such reading; the next
one makes up for it. A process that ends takes the run delay since its last reading with it."""
MIN_WINDOW_S = 0.1
"""The last reading of a trial follows the one before after this time at least, or is left out."""
WINDOW_NS = int(INTERVAL_S * 1e9)
MIN_PROGRAM_CORES = 0.02
"""A program that took less is not named."""
MOST_PROGRAMS = 8

_INTERPRETERS = ("python", "pypy", "node", "ruby", "perl", "java", "bash", "sh", "zsh", "Rscript", "julia")
"""Programs whose name says little without that of the file which they run."""


class UseByOthers(NamedTuple):
    """The use of the processor by other programs during a trial.

    Attributes:
        programs: those that took most CPU time, the greatest first.
        heat_throttles: how often the processor lowered its clocks because of heat; None if the system does not count it.
    """

    programs: tuple[OtherProgram, ...] = ()
    heat_throttles: int | None = None


class OtherPrograms:
    """Samples what other programs take during one trial; no two calls at the same time."""

    def __init__(self, named: Iterable[tuple[str, int]]) -> None:
        """Takes the first reading.

        Args:
            named: name and pid of the trial's processes so far.
        """
        self._cores = Cores()
        self._before = self._cores.processes()
        self._heat_before = self._cores.heat_throttles()
        self._own_pids: set[int] = set()
        self._shown_s: dict[str, float] = {}
        self._began = self._last = self._read(named)
        self._app_began_s = time.process_time()
        self._own = OwnProcesses()

    def sample_if_due(self, named: Iterable[tuple[str, int]]) -> list[Sample]:
        """Returns samples if the last reading is `INTERVAL_S` ago."""
        return self._sample(named) if time.perf_counter_ns() - self._last.time_ns >= 0.9 * WINDOW_NS else []

    def finish(self, named: Iterable[tuple[str, int]]) -> tuple[list[Sample], UseByOthers]:
        """Returns the last samples, and which programs took CPU time since the beginning."""
        is_long_enough = time.perf_counter_ns() - self._last.time_ns >= MIN_WINDOW_S * 1e9
        samples = self._sample(named) if is_long_enough else []
        seconds = (time.perf_counter_ns() - self._began.time_ns) / 1e9
        heat = self._cores.heat_throttles()
        throttles = heat - self._heat_before if heat is not None and self._heat_before is not None else None
        programs = programs_between(self._before, self._cores.processes(), self._own_pids, seconds)
        return samples, UseByOthers(tuple(programs), throttles)

    def _read(self, named: Iterable[tuple[str, int]]) -> CoreUse:
        use = self._cores.read(named)
        self._own_pids |= use.own_pids
        return use

    def _sample(self, named: Iterable[tuple[str, int]]) -> list[Sample]:
        last, now, app_s = self._last, self._read(named), time.process_time()
        seconds = (now.time_ns - last.time_ns) / 1e9
        began = self._began
        counters = {OTHERS_SERIES: now.busy_s - began.busy_s - (now.own_s - began.own_s) - (app_s - self._app_began_s)}
        for name, delay_s in now.run_delay_s.items():
            counters[f"{RUN_DELAY_SERIES}/{name}"] = delay_s
        for key, total_s, before_s in (
            (STOLEN_SERIES, now.stolen_s, began.stolen_s),
            (THROTTLED_SERIES, now.throttled_s, began.throttled_s),
        ):
            if total_s is not None and before_s is not None and total_s > before_s:  # most machines never count any
                counters[key] = total_s - before_s
        self._last = now
        samples = [_sample(key, now.time_ns, 100 * self._growth(key, total_s) / seconds) for key, total_s in counters.items()]
        return samples + self._own.samples(last, now)

    def _growth(self, key: str, total_s: float) -> float:
        """Returns by how much a counter has grown beyond what was returned before: an error below 0 is made up for by the next value."""
        shown_s = self._shown_s.get(key, 0.0)
        self._shown_s[key] = max(shown_s, total_s)
        return self._shown_s[key] - shown_s


_LABELS = {
    OTHERS_SERIES: ("others", "CPU of other programs"),
    STOLEN_SERIES: ("others", "CPU of other virtual machines"),
    THROTTLED_SERIES: ("throttled", "held back by the container's limit"),
}
"""Group and label by key."""


def _sample(key: str, time_ns: int, value: float) -> Sample:
    process = key.partition("/")[2] if key.startswith(f"{RUN_DELAY_SERIES}/") else None
    group, label = (RUN_DELAY_SERIES, f"{process} waits for a core") if process is not None else _LABELS[key]
    return Sample(SeriesInfo(key, group, label, "%", process, WINDOW_NS), time_ns, value)


def programs_between(
    before: dict[tuple[int, int], ProcessTime], after: dict[tuple[int, int], ProcessTime], own_pids: set[int], seconds: float
) -> list[OtherProgram]:
    """Returns the programs that took most CPU time between two readings, the greatest first.

    A short-lived process counts for its parent, which has waited for it: for `make`, not for each compiler.

    Args:
        before: all processes, by pid and start time.
        after: all processes later.
        own_pids: the trial's processes; they, their descendants and this process are left out.
        seconds: time between the readings.
    """
    reaped_s = _reaped_between(before, after)
    parents = {pid: process.parent for (pid, _), process in after.items()}
    used: dict[str, list[float]] = {}
    for (pid, start), process in after.items():
        earlier = before.get((pid, start), ProcessTime("", 0, 0.0))
        cores = (process.used_s - earlier.used_s + reaped_s[pid]) / seconds
        if cores >= MIN_PROGRAM_CORES and pid != os.getpid() and not _descends(pid, parents, own_pids):
            used.setdefault(program_name(pid, process.name), []).append(cores)
    programs = [OtherProgram(name, len(cores), sum(cores)) for name, cores in used.items()]
    return sorted(programs, key=lambda program: -program.cores)[:MOST_PROGRAMS]


def _reaped_between(before: dict[tuple[int, int], ProcessTime], after: dict[tuple[int, int], ProcessTime]) -> dict[int, float]:
    """Returns by pid what children that have ended meanwhile took between the readings.

    A child's whole life is added to the process that waits for it: its parent or, if that is gone, another ancestor.
    """
    reaped_s = {
        pid: process.reaped_s - (before[pid, start].reaped_s if (pid, start) in before else 0.0) for (pid, start), process in after.items()
    }
    parents = {pid: process.parent for (pid, _), process in before.items()}
    for key, process in before.items():
        if key in after:
            continue
        earlier_s, ancestor = process.used_s + process.reaped_s, process.parent
        while ancestor and earlier_s > 0:
            subtracted_s = min(earlier_s, max(0.0, reaped_s.get(ancestor, 0.0)))
            if subtracted_s:
                reaped_s[ancestor] -= subtracted_s
                earlier_s -= subtracted_s
            ancestor = parents.get(ancestor, 0)
    return {pid: max(0.0, seconds) for pid, seconds in reaped_s.items()}


def _descends(pid: int, parents: dict[int, int], ancestors: set[int]) -> bool:
    while pid:
        if pid in ancestors:
            return True
        pid = parents.get(pid, 0)
    return False


def program_name(pid: int, name: str) -> str:
    """Returns the name of a program; for an interpreter with that of the file or module that it runs: python3 train.py.

    Args:
        pid: of the process.
        name: that the system gives it, returned if its command cannot be read.
    """
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return name
    if not command or not command[0]:
        return name
    program = pathlib.PurePath(command[0]).name
    if program.startswith(_INTERPRETERS) and len(command) > 1:
        if not command[1].startswith("-"):
            return f"{program} {pathlib.PurePath(command[1]).name}"
        if command[1] == "-m" and len(command) > 2:
            return f"{program} -m {command[2]}"
    return program
