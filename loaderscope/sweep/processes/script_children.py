"""Finds the processes that a script starts to train in, before any of them has trained.

A watched process reports its first iteration of a DataLoader and stops there (`agent/watched_children.py`, `agent/standstill.py`).
A process whose Python ignores its environment cannot be watched; this module finds it by torch's library in its memory.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time

import psutil

from loaderscope.agent import watched_children
from loaderscope.agent.messages import MARK_VARIABLE
from loaderscope.sweep.processes.agent_process import AgentProcess

SETTLE_S = 0.4
"""Wait this long after the first report for reports of other processes."""
LONGEST_SETTLE_S = 1.4
"""Wait this long if processes that were started in the same way still compute: they may reach a loader, too."""

_SCAN_INTERVAL_S = 0.2
_DIGITS = re.compile(r"\d+")
_OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_TORCH_LIBRARIES = ("libtorch_cpu", "torch_cpu.dll")


@dataclasses.dataclass(frozen=True)
class HeldChild:
    """A process that has stopped at an iteration. `world_size`: how many processes train together, according to this one."""

    pid: int
    parent: int
    file: str | None
    line: int | None
    function: str | None
    loader: str
    world_size: int


class ChildrenFoundError(Exception):
    """The script iterates its loader in other processes, which have stopped.

    Attributes:
        held: the processes that have stopped at a loader.
        count: the number of processes that the script has started in this way, with those that have not reached a loader yet.
    """

    def __init__(self, held: list[HeldChild], count: int) -> None:
        super().__init__(f"{len(held)} of {count} children stand still")
        self.held = held
        self.count = count


class UnwatchedChildError(Exception):
    """The script has started a process with torch that cannot be watched, and that is stopped now. `command`: its command line."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command


class ChildWatch:
    """Looks for children of an agent's script. Call `look` about every 0.1 s while the script is loaded."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._first_report_s: float | None = None
        self._scanned_s = 0.0
        self._cpu_s: dict[int, float] = {}
        self._stopped: set[int] = set()

    def look(self) -> None:
        """Reads the reports of children; without any, looks for processes that cannot be watched.

        Raises:
            ChildrenFoundError: children have stopped at a loader.
            UnwatchedChildError: a child cannot be watched.
        """
        now_s = time.monotonic()
        if held := self._held_children():
            self._first_report_s = self._first_report_s or now_s
            waited_s = now_s - self._first_report_s
            if waited_s >= SETTLE_S:
                computing = self._count_computing(held)
                count = max(len(held) + computing, *(child.world_size for child in held))
                if not computing or waited_s >= LONGEST_SETTLE_S:
                    raise ChildrenFoundError(held, count)
        elif now_s - self._scanned_s >= _SCAN_INTERVAL_S:
            self._scanned_s = now_s
            if (process := _find_unwatched(self._agent)) is not None:
                self._agent.reaper.stop(process.pid)
                raise UnwatchedChildError(_command(process))

    def _held_children(self) -> list[HeldChild]:
        children = []
        for path in self._agent.folder.glob(f"*{watched_children.REPORT_SUFFIX}"):
            child = HeldChild(**json.loads(path.read_text("utf-8")))
            if not psutil.pid_exists(child.pid):
                continue
            if not _belongs_to(self._agent, child.pid):  # its pid belongs to another namespace; here another process has it
                raise UnwatchedChildError(f"number {child.pid} in a namespace of its own")
            children.append(child)
            if child.pid not in self._stopped:  # if it could not stop itself, its other threads still run
                self._stopped.add(child.pid)
                self._agent.reaper.stop(child.pid)
        return children

    def _count_computing(self, held: list[HeldChild]) -> int:
        """The number of processes that the parents of `held` started in the same way and that have computed since the last look."""
        pids = {child.pid for child in held}
        commands = {_command_without_numbers(pid) for pid in pids}
        count = 0
        for parent in {child.parent for child in held}:
            for process in _children(parent):
                if process.pid in pids or _command_without_numbers(process.pid) not in commands:
                    continue
                try:
                    used_s = sum(process.cpu_times()[:2])
                except psutil.Error:
                    continue
                count += used_s > self._cpu_s.get(process.pid, -1.0)
                self._cpu_s[process.pid] = used_s
        return count


def _belongs_to(agent: AgentProcess, pid: int) -> bool:
    """Whether a process carries the agent's mark or descends from the agent; False if that is unknown."""
    try:
        process = psutil.Process(pid)
        if any(parent.pid == agent.pid for parent in [process, *process.parents()]):
            return True
        return bool(process.environ().get(MARK_VARIABLE) == agent.reaper.mark)
    except psutil.NoSuchProcess:
        return True  # it has just ended
    except psutil.Error:
        return False


def _children(pid: int) -> list[psutil.Process]:
    try:
        children: list[psutil.Process] = psutil.Process(pid).children()
    except psutil.Error:
        children = []
    return children


def _command_without_numbers(pid: int) -> str:
    """A command line without digits: processes that are started in the same way differ only in handles and ranks."""
    try:
        return _DIGITS.sub("", " ".join(psutil.Process(pid).cmdline()))
    except psutil.Error:
        return ""


def _find_unwatched(agent: AgentProcess) -> psutil.Process | None:
    """A descendant of the agent that has loaded torch and will never report; None if there is none."""
    if sys.platform == "darwin":
        return None  # macOS does not show which libraries a process has loaded
    pending = [(child, True) for child in _children(agent.pid)]
    while pending:
        process, parent_is_watched = pending.pop()
        try:
            watched = _is_watched(process, parent_is_watched, str(agent.folder))
            if not watched and _has_torch(process):
                return process
        except (psutil.Error, OSError):
            continue
        pending += [(child, watched) for child in _children(process.pid)]
    return None


def _is_watched(process: psutil.Process, parent_is_watched: bool, folder: str) -> bool:
    """Whether our hooks are in this process, through its environment or through a fork."""
    command = process.cmdline()
    parent = process.parent()
    if parent is not None and (command == parent.cmdline() or 0 != _stack_start(process.pid) == _stack_start(parent.pid)):
        return parent_is_watched
    environment = process.environ()
    has_variable = environment.get(watched_children.VARIABLE, "").endswith(f":{folder}")
    on_path = watched_children.HOOK_FOLDER in environment.get("PYTHONPATH", "").split(";" if sys.platform == "win32" else ":")
    return has_variable and on_path and not ignores_environment(command)


def _stack_start(pid: int) -> int:
    """The address at which a process's stack begins, which a fork keeps even if it changes its name; 0 if unknown."""
    if sys.platform != "linux":
        return 0
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[25])  # proc(5): field 28, startstack; each exec changes it


def ignores_environment(command: list[str]) -> bool:
    """Whether the options in a command line of Python make it ignore PYTHONPATH or sitecustomize (-I, -E, -S)."""
    words = iter(command[1:])
    for word in words:
        if not word.startswith("-") or word in ("-", "--") or word.startswith(("-c", "-m")):
            return False
        if word in _OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith(("--", "-W", "-X")) and set(word[1:]) & set("IES"):
            return True
    return False


def _has_torch(process: psutil.Process) -> bool:
    if sys.platform == "linux":  # psutil also reads the memory use of each mapping, which is slow
        with open(f"/proc/{process.pid}/maps", encoding="utf-8", errors="replace") as file:
            text = file.read()
    else:
        text = " ".join(region.path for region in process.memory_maps())
    return any(library in text for library in _TORCH_LIBRARIES)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return f"process {process.pid}"
