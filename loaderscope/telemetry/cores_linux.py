"""Reads on Linux who uses the cores: the machine, a trial's processes with their children, and all processes; CPU time in seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from loaderscope.facts.lanes import MAIN
from loaderscope.telemetry.core_use import CoreUse, ProcessTime
from loaderscope.telemetry.proc_linux import children_of, read_stat

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
CPUS = Path("/sys/devices/system/cpu")

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_BUSY_FIELDS = (1, 2, 3, 6, 7)  # user, nice, system, irq, softirq in a line of /proc/stat
_STOLEN_FIELD = 8
_PARENT, _USER, _SYSTEM, _REAPED_USER, _REAPED_SYSTEM, _START = 1, 11, 12, 13, 14, 19
"""Fields of /proc/PID/stat behind the name (man proc_pid_stat)."""


class Cores:
    """The cores that this process may use, and who uses them."""

    def __init__(self) -> None:
        self._names = {f"cpu{number}".encode() for number in os.sched_getaffinity(0)}
        self._own_s = self._vanished_s = 0.0
        self._threads: dict[tuple[int, int], tuple[int, int]] = {}  # ns of work and of delay, by process and thread
        self._is_first = True
        self._delay_s: dict[str, float] = {}
        self._other_threads_s: dict[str, float] = {}
        self._beside_delay_s: dict[int, float] = {}
        self._quota_file = _quota_file()

    def read(self, named: Iterable[tuple[str, int]]) -> CoreUse:
        """Reads the counters.

        Args:
            named: name and pid of the trial's processes. Their descendants count as theirs.
        """
        now_ns = time.perf_counter_ns()
        busy_s, stolen_s = self._machine_s()
        names = {pid: name for name, pid in named}
        tree = _with_descendants(names)
        used_s = {pid: _process_s(pid) for pid in tree}
        own_s = sum(used_s.values())
        # The time of a process that ended lies in its parent's until a process outside the tree waits for it.
        self._vanished_s = max(self._vanished_s, self._own_s - own_s)
        self._own_s = own_s + self._vanished_s
        read = self._read_threads(tree, names)
        throttled_s = _throttled_s(self._quota_file) if self._quota_file is not None else None
        return CoreUse(
            now_ns,
            busy_s,
            stolen_s,
            self._own_s,
            frozenset(tree),
            {name: self._delay_s[name] for name in read},
            throttled_s,
            {name: self._other_threads_s.get(name, 0.0) for name in read},
            {pid: seconds for pid, seconds in used_s.items() if pid not in names and tree[pid] == MAIN.key},
            dict(self._beside_delay_s),
        )

    def processes(self) -> dict[tuple[int, int], ProcessTime]:
        """Returns all visible processes, by pid and start time."""
        found = {}
        for name in os.listdir(PROC):
            fields = read_stat(int(name)) if name.isdigit() else None
            if fields is not None:
                title, values = fields
                used_s = (int(values[_USER]) + int(values[_SYSTEM])) * _TICK_S
                reaped_s = (int(values[_REAPED_USER]) + int(values[_REAPED_SYSTEM])) * _TICK_S
                found[int(name), int(values[_START])] = ProcessTime(title, int(values[_PARENT]), used_s, reaped_s)
        return found

    def heat_throttles(self) -> int | None:
        """Returns how often the processor has lowered its clocks because of heat; None if the system does not count it."""
        counts = [_number(path) for path in CPUS.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    def _machine_s(self) -> tuple[float, float]:
        busy = stolen = 0
        with (PROC / "stat").open("rb") as file:
            for line in file:
                fields = line.split()
                if not fields[0].startswith(b"cpu"):
                    break
                if fields[0] in self._names:
                    busy += sum(int(fields[number]) for number in _BUSY_FIELDS)
                    stolen += int(fields[_STOLEN_FIELD])
        return busy * _TICK_S, stolen * _TICK_S

    def _read_threads(self, tree: dict[int, str], names: dict[int, str]) -> list[str]:
        """Adds what each thread has worked, and waited for a core, since the last call: the first two numbers of its schedstat.

        Args:
            tree: name by pid; a descendant's delay counts for its ancestor.
            names: of the processes whose threads are told apart.

        Returns:
            The names of the processes that could be read.
        """
        read: dict[str, None] = {}
        threads: dict[tuple[int, int], tuple[int, int]] = {}
        for pid, name in tree.items():
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat", "rb") as file:
                        fields = file.read().split()
                    key = pid, int(thread)
                    ran_ns, delay_ns = threads[key] = int(fields[0]), int(fields[1])
                    before_ns = self._threads.get(key, threads[key] if self._is_first else (0, 0))
                    ran_ns, delay_ns = max(0, ran_ns - before_ns[0]), max(0, delay_ns - before_ns[1])
                    self._delay_s[name] = self._delay_s.get(name, 0.0) + delay_ns / 1e9
                    read[name] = None
                    if pid not in names:
                        self._beside_delay_s[pid] = self._beside_delay_s.get(pid, 0.0) + delay_ns / 1e9
                    elif key[1] != pid:
                        self._other_threads_s[name] = self._other_threads_s.get(name, 0.0) + ran_ns / 1e9
            except (OSError, IndexError):  # it has ended, or the kernel does not count this
                continue
        self._threads, self._is_first = threads, False
        return list(read)


def _with_descendants(names: dict[int, str]) -> dict[int, str]:
    """Returns the pids of processes and of their descendants; a descendant has the name of its nearest ancestor with one."""
    tree: dict[int, str] = {}
    waiting = list(names.items())
    while waiting:
        pid, name = waiting.pop()
        if pid not in tree:
            tree[pid] = name
            waiting += [(child, names.get(child, name)) for child in children_of(pid)]
    return tree


def _process_s(pid: int) -> float:
    """Returns the CPU time of a process, its ended threads included, and of all descendants that were waited for; 0 if it is gone."""
    fields = read_stat(pid)
    if fields is None:
        return 0.0
    values = fields[1]
    reaped_s = (int(values[_REAPED_USER]) + int(values[_REAPED_SYSTEM])) * _TICK_S
    try:  # the kernel's CPU clock of another process counts nanoseconds: CPUCLOCK_SCHED in linux/posix-timers.h
        return time.clock_gettime((~pid << 3) | 2) + reaped_s
    except OSError:
        return (int(values[_USER]) + int(values[_SYSTEM])) * _TICK_S + reaped_s


def _quota_file() -> Path | None:
    """Returns the file that counts how long a limit of this container has held its processes back; None without one."""
    try:
        lines = (PROC / "self" / "cgroup").read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers or "cpu" in controllers.split(","):
            root = CGROUP / "cpu" if controllers else CGROUP
            for folder in (root / path.lstrip("/"), root):
                if _throttled_s(folder / "cpu.stat") is not None:
                    return folder / "cpu.stat"
    return None


def _throttled_s(path: Path) -> float | None:
    """Returns throttled_usec of cgroup version 2, or throttled_time (in ns) of version 1, in seconds."""
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(" ")
        if name in ("throttled_usec", "throttled_time"):
            return int(value) / (1e6 if name == "throttled_usec" else 1e9)
    return None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
