"""Processes that a script starts and in which it trains: found while its loader is looked for, before any of them has trained.

Those that are watched report at their first iteration of a DataLoader and stand still there (`agent/watched_children.py`,
`agent/standstill.py`). Others, whose Python was told to ignore its environment, are found by torch's library in their memory.
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
"""How long after the first report others are waited for."""
LATEST_S = 1.4
"""... where processes that were started alongside still compute, so that they may come to a loader, too."""

_SCAN_S = 0.2
_DIGITS = re.compile(r"\d+")
_OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
_TORCH_LIBRARIES = ("libtorch_cpu", "torch_cpu.dll")


@dataclasses.dataclass(frozen=True)
class HeldChild:
    """A process that stands still at an iteration. `world_size`: how many train together, as far as it knows."""

    pid: int
    parent: int
    file: str | None
    line: int | None
    function: str | None
    loader: str
    world_size: int


class ChildrenFoundError(Exception):
    """The script iterates its loader in other processes, which stand still now.

    Attributes:
        held: those that have reported.
        count: how many the script has started alike, those among them that have not come to a loader yet.
    """

    def __init__(self, held: list[HeldChild], count: int) -> None:
        super().__init__(f"{len(held)} of {count} children stand still")
        self.held = held
        self.count = count


class UnwatchedChildError(Exception):
    """The script has started a process with torch that cannot be watched; it stands still now. `command`: its command line."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command


class ChildWatch:
    """Looks for children of an agent's script; to be called about every 0.1 s while the script is loaded."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._first_at: float | None = None
        self._scanned_at = 0.0
        self._cpu_s: dict[int, float] = {}
        self._stopped: set[int] = set()

    def look(self) -> None:
        """Goes through reports and processes.

        Raises:
            ChildrenFoundError, UnwatchedChildError: there are some.
        """
        now = time.monotonic()
        if held := self._held():
            self._first_at = self._first_at or now
            waited_s = now - self._first_at
            if waited_s >= SETTLE_S:
                computing = self._computing_beside(held)
                count = max(len(held) + computing, *(child.world_size for child in held))
                if not computing or waited_s >= LATEST_S:
                    raise ChildrenFoundError(held, count)
        elif now - self._scanned_at >= _SCAN_S:
            self._scanned_at = now
            if (process := _find_unwatched(self._agent)) is not None:
                self._agent.reaper.stop(process.pid)
                raise UnwatchedChildError(_command(process))

    def _held(self) -> list[HeldChild]:
        children = []
        for path in self._agent.folder.glob(f"*{watched_children.REPORT_SUFFIX}"):
            child = HeldChild(**json.loads(path.read_text("utf-8")))
            if not psutil.pid_exists(child.pid):
                continue
            if not _belongs_to(self._agent, child.pid):  # its pid is one of another namespace, and here some other process's
                raise UnwatchedChildError(f"number {child.pid} in a namespace of its own")
            children.append(child)
            if child.pid not in self._stopped:  # where it could not do so by itself, its other threads still run
                self._stopped.add(child.pid)
                self._agent.reaper.stop(child.pid)
        return children

    def _computing_beside(self, held: list[HeldChild]) -> int:
        """Processes that were started like those that stand still, by the same parents, and have computed since the last look."""
        pids = {child.pid for child in held}
        kinds = {_kind(pid) for pid in pids}
        count = 0
        for parent in {child.parent for child in held}:
            for process in _children(parent):
                if process.pid in pids or _kind(process.pid) not in kinds:
                    continue
                try:
                    used_s = sum(process.cpu_times()[:2])
                except psutil.Error:
                    continue
                count += used_s > self._cpu_s.get(process.pid, -1.0)
                self._cpu_s[process.pid] = used_s
        return count


def _belongs_to(agent: AgentProcess, pid: int) -> bool:
    """Whether a process carries the agent's mark or stands below it; where that cannot be told, it does not."""
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
        found: list[psutil.Process] = psutil.Process(pid).children()
    except psutil.Error:
        found = []
    return found


def _kind(pid: int) -> str:
    """A command line without its numbers: what is started alike differs in handles and ranks only."""
    try:
        return _DIGITS.sub("", " ".join(psutil.Process(pid).cmdline()))
    except psutil.Error:
        return ""


def _find_unwatched(agent: AgentProcess) -> psutil.Process | None:
    """A process below the agent with torch in it that never reports."""
    if sys.platform == "darwin":
        return None  # it does not tell which libraries a process has loaded
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
    """Whether the hooks are in this process: brought by its environment, or by a fork."""
    command = process.cmdline()
    parent = process.parent()
    if parent is not None and (command == parent.cmdline() or 0 != _stack(process.pid) == _stack(parent.pid)):
        return parent_is_watched
    environment = process.environ()
    told = environment.get(watched_children.VARIABLE, "").endswith(f":{folder}")
    on_path = watched_children.HOOK_FOLDER in environment.get("PYTHONPATH", "").split(";" if sys.platform == "win32" else ":")
    return told and on_path and not ignores_environment(command)


def _stack(pid: int) -> int:
    """Where the stack of a process begins, by which a fork is told whatever name it has given itself; 0 where that is unknown."""
    if sys.platform != "linux":
        return 0
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[25])  # proc(5): field 28, startstack; each exec puts it elsewhere


def ignores_environment(command: list[str]) -> bool:
    """Whether a command line of Python says to ignore PYTHONPATH or sitecustomize (-I, -E, -S)."""
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
    if sys.platform == "linux":  # psutil reads what each mapping takes of memory, too, which is slow
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
