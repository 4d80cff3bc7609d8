"""Readings of who uses the cores, as the module of each platform returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class CoreUse(NamedTuple):
    """Counters of CPU time in seconds, from an arbitrary beginning; only differences of two readings mean something.

    Attributes:
        time_ns: when they were read, on the app's perf_counter_ns.
        busy_s: work of the usable cores, whoever did it.
        stolen_s: time for which other virtual machines had these cores; None if the system does not count it.
        own_s: work of the trial's processes.
        own_pids: these processes.
        run_delay_s: by name of the process, the time for which its threads were ready and had no core; empty if it is not counted.
        throttled_s: time for which the container's limit held its processes back; None if the system does not count it.
        other_threads_s: by name of the process, the work of its threads beside the main one; empty if it is not counted.
        beside_s: by pid, the work of processes beside the named ones that main started, with their ended children.
        beside_delay_s: by pid of these, the time for which their threads were ready and had no core.
    """

    time_ns: int
    busy_s: float
    stolen_s: float | None
    own_s: float
    own_pids: frozenset[int]
    run_delay_s: dict[str, float]
    throttled_s: float | None = None
    other_threads_s: Mapping[str, float] = {}
    beside_s: Mapping[int, float] = {}
    beside_delay_s: Mapping[int, float] = {}


class ProcessTime(NamedTuple):
    """A process of the machine.

    Attributes:
        used_s: its CPU time.
        reaped_s: CPU time of its children that have ended, as far as the system adds it up.
    """

    name: str
    parent: int
    used_s: float
    reaped_s: float = 0.0
