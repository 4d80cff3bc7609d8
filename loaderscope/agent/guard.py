"""Ends everything that a trial started: the agent's tree, grandchildren that the dataset itself started included.

Linux: the agent is a child subreaper, so that orphans of its tree stay below it, and every process of a trial inherits
`MARK_VARIABLE` in its environment, by which those are found that left the tree (a daemon with a new session).
macOS: the tree and the mark. Windows: the app's job object ends the tree with its last handle; nothing is done here.

What stays uncovered: a process that cleared its environment and left the tree on macOS.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, NoReturn, Set, Tuple

from . import leftovers
from .messages import MARK_VARIABLE

_ROUNDS = 20
_IDLE_S = 2.0
_LOOK_S = 0.1
_GONE_S = 2.0
_MARK = os.environ.get(MARK_VARIABLE, "")  # read once: the user's code may change its environment
_ending = _thread.allocate_lock()
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_CLEANERS = (b"multiprocessing.resource_tracker", b"multiprocessing/resource_tracker")
"""They remove shared memory and semaphores and end by themselves when their last client has ended."""
_SHARED_MEMORY_MANAGER = b"torch_shm_manager"
"""It does so too. But it breaks off where its client ends while it starts, and its socket stays.

Linux tells which socket is its own: it is ended as well. It must not be stopped before: a thread of this process that waits
for its answer keeps the GIL. Elsewhere it is a cleaner.
"""


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process (Linux; elsewhere nothing happens)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # a libc without prctl; the mark still finds every process


def end_with_tree(status: int, parents_too: bool = False, clean_up: Callable[[Set[int]], List[str]] = lambda killed: []) -> NoReturn:
    """Kills every process that this one started, directly or not, then ends at once: no atexit handler, no finalizer runs.

    All are stopped from the root downwards before the first is killed: no parent sees its child end and runs on.

    Args:
        status: with which this process exits.
        parents_too: whether those of its parents are killed, too, that carry the mark.
        clean_up: removes what the processes of these pids have left, this one's own among them, and gives the paths of the
            shared memory that is to be removed last.
    """
    if not _ending.acquire(False):
        _wait_for_ever()  # another thread ends this process already
    try:
        if sys.platform == "win32":
            clean_up({os.getpid()})
        else:
            killed, sockets = _kill_tree(parents_too)
            blocks = clean_up({os.getpid(), *killed})
            processes = _processes()
            managers = [pid for pid in _started_processes(processes, parents_too) if pid in processes.managers]
            _remove_and_kill(blocks, {*sockets, *leftovers.bound_sockets(managers)}, managers)
    finally:
        os._exit(status)


def _remove_and_kill(blocks: Iterable[str], sockets: Iterable[str], managers: Iterable[int]) -> None:
    """Removes shared memory and what manages it: the last that this process does.

    A thread of it that gives back a tensor whose block or manager is gone aborts the process. Here it cannot: it needs the GIL,
    which functions of `pythonapi` keep.
    """
    import ctypes

    sys.setswitchinterval(1.0)
    for path in (*blocks, *sockets):
        ctypes.pythonapi.unlink(os.fsencode(path))
    for path in sockets:
        ctypes.pythonapi.rmdir(os.fsencode(os.path.dirname(path)))
    for pid in managers:
        ctypes.pythonapi.kill(pid, int(signal.SIGKILL))


def _wait_for_ever() -> NoReturn:
    while True:
        try:
            _ending.acquire()
        except BaseException:  # whatever a signal handler raises: torch's does where a worker was killed
            continue


def _kill_tree(parents_too: bool) -> Tuple[List[int], List[str]]:
    """Kills in rounds until none is left but managers of shared memory; whom, and the sockets of managers that it saw."""
    killed: List[int] = []
    sockets_of_managers: List[str] = []
    for _ in range(_ROUNDS):
        stopped: List[int] = []
        while True:
            processes = _processes()
            started = [pid for pid in _started_processes(processes, parents_too) if pid not in killed]
            fresh = [pid for pid in started if pid not in stopped and pid not in processes.managers]
            if not fresh:
                break
            for pid in fresh:
                _signal(pid, signal.SIGSTOP)
            stopped += fresh
        if not stopped:
            break
        managers = [pid for pid in started if pid in processes.managers]
        bound = {pid: leftovers.bound_sockets([pid]) for pid in managers}
        sockets_of_managers += [path for paths in bound.values() for path in paths]
        starting = [pid for pid in managers if not bound[pid]]
        for pid in starting:
            _signal(pid, signal.SIGSTOP)
        stopped += starting
        sockets = leftovers.bound_sockets(stopped)
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        _wait_until_gone(stopped)
        leftovers.remove_sockets(sockets)
        killed += stopped
    return killed, sockets_of_managers


def _wait_until_gone(pids: List[int]) -> None:
    """What a killed process has mapped stays so for a moment."""
    give_up_at = time.monotonic() + _GONE_S
    while any(leftovers.is_alive(pid) for pid in pids) and time.monotonic() < give_up_at:
        time.sleep(0.002)


def wait_for_idle_children() -> int:
    """Waits while any process below this one computes, so that it may still come to something; how many are left.

    Only on Linux: elsewhere it returns 0 at once.
    """
    if not sys.platform.startswith("linux"):
        return 0
    used: Dict[int, int] = {}
    grew_at = time.monotonic()
    while True:
        left = _started_processes(_processes(), parents_too=False)
        now = {pid: _cpu_ticks(pid) for pid in left}
        if any(ticks > used.get(pid, -1) for pid, ticks in now.items()):
            grew_at = time.monotonic()
        used = now
        if not left or time.monotonic() - grew_at > _IDLE_S:
            return len(left)
        time.sleep(_LOOK_S)


def _cpu_ticks(pid: int) -> int:
    stat = _read("/proc/%d/stat" % pid)
    fields = stat[stat.rindex(b")") + 2 :].split() if b")" in stat else []
    return int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0


def _signal(pid: int, number: int) -> None:
    from posix import kill  # that of `os` may be held back, see `look`

    try:
        kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


class _Processes(NamedTuple):
    """Those that live now.

    Attributes:
        parents: of every process.
        marked: those that carry the mark.
        cleaners: those that clean up after others and end by themselves.
        managers: those that look after shared memory, where the system tells which sockets are theirs.
    """

    parents: Dict[int, int]
    marked: Set[int]
    cleaners: Set[int]
    managers: Set[int]


def _processes() -> _Processes:
    entry = ("%s=%s" % (MARK_VARIABLE, _MARK)).encode() if _MARK else b""
    return _linux_processes(entry) if sys.platform.startswith("linux") else _ps_processes(entry)


def _started_processes(processes: _Processes, parents_too: bool) -> List[int]:
    """Parents before their children."""
    parents = processes.parents
    own = os.getpid()
    above = set(_ancestors(own, parents))
    protected = {own} | processes.cleaners | (above - processes.marked if parents_too else above)
    found = (_descendants(own, parents) | processes.marked) - protected
    return sorted(found, key=lambda pid: len(list(_ancestors(pid, parents))))


def _descendants(root: int, parents: Dict[int, int]) -> Set[int]:
    children: Dict[int, Set[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, set()).add(pid)
    found: Set[int] = set()
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _ancestors(pid: int, parents: Dict[int, int]) -> Iterable[int]:
    seen: Set[int] = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        pid = parents[pid]
        yield pid


def _linux_processes(entry: bytes) -> _Processes:
    found = _Processes({}, set(), set(), set())
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        # A process may end between any two reads: it is then simply not there.
        stat = _read("/proc/%d/stat" % pid)
        if b")" not in stat:
            continue
        state, parent = stat[stat.rindex(b")") + 1 :].split()[:2]
        if state in (b"Z", b"X"):
            continue
        found.parents[pid] = int(parent)
        if entry and entry in _read("/proc/%d/environ" % pid).split(b"\0"):
            found.marked.add(pid)
        command = _read("/proc/%d/cmdline" % pid)
        if any(cleaner in command for cleaner in _CLEANERS):
            found.cleaners.add(pid)
        elif _SHARED_MEMORY_MANAGER in command:
            found.managers.add(pid)
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _ps_processes(entry: bytes) -> _Processes:
    """The same by way of `ps`, whose option `e` appends the environment to the command (one's own processes only)."""
    import subprocess

    found = _Processes({}, set(), set(), set())
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,ppid=,command="], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    for line in listing.stdout.splitlines():
        words = line.split(None, 2)
        if len(words) < 3 or not words[0].isdigit() or not words[1].isdigit():
            continue
        pid = int(words[0])
        if entry and entry in words[2].split():
            found.marked.add(pid)
        if any(cleaner in words[2] for cleaner in (*_CLEANERS, _SHARED_MEMORY_MANAGER)):
            found.cleaners.add(pid)
        found.parents[pid] = int(words[1])
    return found
