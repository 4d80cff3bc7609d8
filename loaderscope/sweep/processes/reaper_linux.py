"""The reaper for Linux: it uses marks in /proc/*/environ, the process tree, sessions, and the app as child subreaper."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from loaderscope.agent import leftovers
from loaderscope.agent.messages import MARK_VARIABLE
from loaderscope.telemetry.proc_linux import children_of, read_stat

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_GONE_TIMEOUT_S = 10.0
_CLEANERS = (b"multiprocessing.resource_tracker", b"multiprocessing/resource_tracker")
"""These processes free shared memory and semaphores, and end by themselves as soon as their last client has ended.

torch_shm_manager does so too, but two seconds later; therefore `kill` removes its files itself.
"""
_CLEANERS_TIMEOUT_S = 1.0
_HANDED_OVER_TIMEOUT_S = 1.5

_subreaper_lock = threading.Lock()
_subreaper_users = 0


class Entry(NamedTuple):
    """One line of the process table. Pid and start time together identify a process for ever."""

    pid: int
    start_ticks: int
    parent: int
    session: int
    is_zombie: bool


def process_table() -> dict[int, Entry]:
    """All visible processes, by pid."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            entry = _read_entry(int(name))
            if entry is not None:
                table[entry.pid] = entry
    return table


def _read_entry(pid: int) -> Entry | None:
    stat = read_stat(pid)
    if stat is None:
        return None
    _, fields = stat
    return Entry(pid, int(fields[19]), int(fields[1]), int(fields[3]), fields[0] in (b"Z", b"X"))


def _is_same_process(pid: int, start_ticks: int) -> bool:
    entry = _read_entry(pid)
    return entry is not None and entry.start_ticks == start_ticks


def mark_of(pid: int) -> str | None:
    """The mark in a process's environment; None if it has none, or if we may not read it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return None
    prefix = f"{MARK_VARIABLE}=".encode()
    for item in environment.split(b"\0"):
        if item.startswith(prefix):
            return item[len(prefix) :].decode("utf-8", errors="replace")
    return None


def is_cleaner(pid: int) -> bool:
    """Whether the process is one of `_CLEANERS`."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return False
    return any(cleaner in command for cleaner in _CLEANERS)


def set_child_subreaper(on: bool) -> None:
    """With `on`, orphaned descendants become children of this process instead of init.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(on), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _count_subreaper_users(change: int) -> None:
    """Makes the app a subreaper only while there are agents, so that programs that it opens (a browser) do not stay its children."""
    global _subreaper_users
    with _subreaper_lock:
        _subreaper_users += change
        if _subreaper_users == max(0, change):  # the first user, or no more user
            try:
                set_child_subreaper(_subreaper_users > 0)
            except OSError:
                pass  # before Linux 3.4, or forbidden: the mark and the process tree must do


class LinuxReaper:
    """See `Reaper`."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._agent: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, int] = {}  # pid -> start time of all processes ever seen to belong to the agent
        self._remembered: set[int] = set()
        self._began_unix_s = time.time()
        self._closed = False
        self._lock = threading.Lock()
        _count_subreaper_users(+1)

    def popen_options(self) -> dict[str, Any]:
        # its own session, so that Ctrl+C in the terminal reaches only the app, and that an orphan still shows its agent
        return {"start_new_session": True}

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        self._agent = process
        entry = _read_entry(process.pid)
        if entry is not None:
            self._seen[entry.pid] = entry.start_ticks

    def observe(self) -> None:
        """Walks the process tree only: while the agent lives, its orphans stay in it. `kill` reads the marks, which do not get lost."""
        with self._lock:
            pending = [pid for pid, start_ticks in self._seen.items() if _is_same_process(pid, start_ticks)]
            while pending:
                for pid in children_of(pending.pop()):
                    if pid not in self._seen and (entry := _read_entry(pid)) is not None:
                        self._seen[pid] = entry.start_ticks
                        pending.append(pid)

    def remember(self, pids: Iterable[int]) -> None:
        self._remembered.update(pids)

    def stop(self, pid: int) -> None:
        _signal(pid, signal.SIGSTOP)

    def resume(self, pid: int) -> None:
        _signal(pid, signal.SIGCONT)

    def kill(self) -> int:
        killed: set[int] = set()
        began = time.monotonic()
        with self._lock:
            sockets = leftovers.bound_sockets(self._stop_all())
            pause_s = 0.002
            while (waited_s := time.monotonic() - began) < _GONE_TIMEOUT_S:
                members = self._members(process_table())
                alive = [entry for entry in members if not entry.is_zombie]
                for entry in alive:
                    if waited_s > _CLEANERS_TIMEOUT_S or not is_cleaner(entry.pid):
                        killed.add(entry.pid)
                        _signal(entry.pid, signal.SIGKILL)
                self._reap(members)
                # an ended process may stay for a moment, until it becomes our child and we can wait for it
                if not members or (not alive and waited_s > _HANDED_OVER_TIMEOUT_S):
                    break
                time.sleep(pause_s)
                pause_s = min(0.05, pause_s * 2)
        leftovers.remove_sockets(sockets)
        leftovers.remove_shared_memory(self._remembered | self._seen.keys(), self._began_unix_s)
        return len(killed)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            _count_subreaper_users(-1)

    def _stop_all(self) -> list[int]:
        """Stops all processes from the agent downwards, so that none starts another or sees its child end; returns their pids."""
        if self._agent is not None and self._agent.poll() is None:
            _signal(self._agent.pid, signal.SIGSTOP)
        stopped: list[int] = []
        while True:
            table = process_table()
            fresh = [e for e in self._members(table) if not e.is_zombie and e.pid not in stopped and not is_cleaner(e.pid)]
            if not fresh:
                return stopped
            for entry in sorted(fresh, key=lambda entry: _depth(entry, table)):
                _signal(entry.pid, signal.SIGSTOP)
                stopped.append(entry.pid)

    def _members(self, table: dict[int, Entry]) -> list[Entry]:
        """The agent's processes: those once seen, those of its session, those with its mark, and all their descendants."""
        agent_pid = self._agent.pid if self._agent is not None else -1
        own_pid = os.getpid()
        children: dict[int, list[Entry]] = {}
        for entry in table.values():
            children.setdefault(entry.parent, []).append(entry)
        members: dict[int, Entry] = {}
        pending = [entry for entry in table.values() if entry.pid != own_pid and self._belongs(entry, agent_pid)]
        while pending:
            entry = pending.pop()
            if entry.pid not in members and entry.pid != own_pid:
                members[entry.pid] = entry
                pending.extend(children.get(entry.pid, ()))
        self._seen.update({entry.pid: entry.start_ticks for entry in members.values()})
        return list(members.values())

    def _belongs(self, entry: Entry, agent_pid: int) -> bool:
        if self._seen.get(entry.pid) == entry.start_ticks:
            return True
        if entry.start_ticks < self._seen.get(agent_pid, 0):
            return False
        if entry.session == agent_pid:
            return True
        return not entry.is_zombie and mark_of(entry.pid) == self.mark

    def _reap(self, members: list[Entry]) -> None:
        """Waits for ended processes that have become our children, one by one: a wait for any child would steal others' results."""
        for entry in members:
            if not entry.is_zombie or entry.parent != os.getpid():
                continue
            if self._agent is not None and entry.pid == self._agent.pid:
                self._agent.poll()  # Popen keeps the status for later callers
                continue
            try:
                os.waitpid(entry.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def _depth(entry: Entry, table: dict[int, Entry]) -> int:
    """The number of ancestors in the table. Bounded, because a table that was read while it changed may hold a circle."""
    depth = 0
    parent = table.get(entry.parent)
    while parent is not None and depth < len(table):
        depth += 1
        parent = table.get(parent.parent)
    return depth


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def kill_leftovers(owner_is_gone: Callable[[str], bool]) -> int:
    """See `reaper.kill_leftovers`; `owner_is_gone` takes a mark."""
    killed = 0
    for entry in process_table().values():
        mark = None if entry.is_zombie or entry.pid == os.getpid() else mark_of(entry.pid)
        if mark is not None and owner_is_gone(mark):
            _signal(entry.pid, signal.SIGKILL)
            killed += 1
    return killed
