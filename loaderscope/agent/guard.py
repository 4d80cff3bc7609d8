"""Ends all processes that a trial started: the agent's tree, with the grandchildren that the dataset itself started.

Linux: the agent is a child subreaper, so orphans of its tree stay below it. Every process of a trial inherits `MARK_VARIABLE` in
its environment; the mark finds processes that left the tree (a daemon with a new session).
macOS: the tree and the mark. Windows: the app's job object ends the tree with its last handle; this module does nothing there.

Not covered: on macOS, a process that cleared its environment and left the tree.
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

_MAX_ROUNDS = 20
_IDLE_LIMIT_S = 2.0
_POLL_S = 0.1
_GONE_LIMIT_S = 2.0
_MARK = os.environ.get(MARK_VARIABLE, "")  # read once: the user's code may change its environment
_ending = _thread.allocate_lock()
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_CLEANERS = (b"multiprocessing.resource_tracker", b"multiprocessing/resource_tracker")
"""Processes that remove shared memory and semaphores, and end by themselves when their last client has ended."""
_SHARED_MEMORY_MANAGER = b"torch_shm_manager"
"""It does the same. But where its client ends while it starts, it breaks off and leaves its socket.

On Linux the system says which socket is its own, so we end it as well. It must not be stopped before that: a thread of this
process that waits for its answer holds the GIL. Elsewhere we treat it as a cleaner.
"""


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process (Linux; elsewhere nothing happens)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # a libc without prctl: the mark still finds every process


def end_with_tree(status: int, parents_too: bool = False, clean_up: Callable[[Set[int]], List[str]] = lambda killed: []) -> NoReturn:
    """Kills every process that this one started, directly or not, then ends at once: no atexit handler, no finalizer runs.

    It stops all of them from the root downwards before it kills the first, so that no parent sees its child end and runs on.

    Args:
        status: exit status of this process.
        parents_too: whether to kill the parents of this process that carry the mark, too.
        clean_up: removes the leftovers of the processes with these pids (this process is among them), and returns the paths of
            the shared memory that is to be removed last.
    """
    if not _ending.acquire(False):
        wait_forever(parents_too)  # another thread ends this process already
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
    """Removes shared memory and its managers, as the last act of this process.

    A thread that releases a tensor whose block or manager is gone aborts the process. Here no thread can: it would need the GIL,
    which functions of `pythonapi` hold.
    """
    import ctypes

    sys.setswitchinterval(1.0)
    for path in (*blocks, *sockets):
        ctypes.pythonapi.unlink(os.fsencode(path))
    for path in sockets:
        ctypes.pythonapi.rmdir(os.fsencode(os.path.dirname(path)))
    for pid in managers:
        ctypes.pythonapi.kill(pid, int(signal.SIGKILL))


def wait_forever(parents_too: bool = False) -> NoReturn:
    """Keeps the calling thread from running the script on; Ctrl-C ends this process and its tree.

    Args:
        parents_too: see `end_with_tree`.
    """
    lock = _thread.allocate_lock()
    lock.acquire()
    while True:
        try:
            lock.acquire()
        except KeyboardInterrupt:
            end_with_tree(130, parents_too)
        except BaseException:  # a signal handler may raise: the script's own, or torch's where a worker was killed
            continue


def _kill_tree(parents_too: bool) -> Tuple[List[int], List[str]]:
    """Kills in rounds until only managers of shared memory are left; returns the killed pids, and the sockets of the managers."""
    killed: List[int] = []
    sockets_of_managers: List[str] = []
    for _ in range(_MAX_ROUNDS):
        stopped: List[int] = []
        while True:
            processes = _processes()
            started = [pid for pid in _started_processes(processes, parents_too) if pid not in killed]
            new_pids = [pid for pid in started if pid not in stopped and pid not in processes.managers]
            if not new_pids:
                break
            for pid in new_pids:
                _signal(pid, signal.SIGSTOP)
            stopped += new_pids
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
    """Waits until the processes are gone: a killed process keeps its mappings for a moment."""
    deadline_s = time.monotonic() + _GONE_LIMIT_S
    while any(leftovers.is_alive(pid) for pid in pids) and time.monotonic() < deadline_s:
        time.sleep(0.002)


def wait_for_idle_children() -> int:
    """Waits while any process below this one uses the CPU, because it may still iterate a loader; returns how many still run.

    On Linux only: elsewhere it returns 0 at once.
    """
    if not sys.platform.startswith("linux"):
        return 0
    ticks_before: Dict[int, int] = {}
    grew_at_s = time.monotonic()
    while True:
        running = _started_processes(_processes(), parents_too=False)
        ticks = {pid: _cpu_ticks(pid) for pid in running}
        if any(count > ticks_before.get(pid, -1) for pid, count in ticks.items()):
            grew_at_s = time.monotonic()
        ticks_before = ticks
        if not running or time.monotonic() - grew_at_s > _IDLE_LIMIT_S:
            return len(running)
        time.sleep(_POLL_S)


def _cpu_ticks(pid: int) -> int:
    stat = _read("/proc/%d/stat" % pid)
    fields = stat[stat.rindex(b")") + 2 :].split() if b")" in stat else []
    return int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0


def _signal(pid: int, number: int) -> None:
    from posix import kill  # `os.kill` may block, see `watched_children`

    try:
        kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


class _Processes(NamedTuple):
    """The processes that live now, by pid.

    Attributes:
        parents: the parent of every process.
        marked: processes that carry the mark.
        cleaners: processes that clean up after others and end by themselves.
        managers: managers of shared memory, where the system says which sockets are theirs.
    """

    parents: Dict[int, int]
    marked: Set[int]
    cleaners: Set[int]
    managers: Set[int]


def _processes() -> _Processes:
    entry = ("%s=%s" % (MARK_VARIABLE, _MARK)).encode() if _MARK else b""
    return _linux_processes(entry) if sys.platform.startswith("linux") else _ps_processes(entry)


def _started_processes(processes: _Processes, parents_too: bool) -> List[int]:
    """The pids of all processes to end, parents before their children."""
    parents = processes.parents
    own = os.getpid()
    above = set(_ancestors(own, parents))
    protected = {own} | processes.cleaners | (above - processes.marked if parents_too else above)
    pids = (_descendants(own, parents) | processes.marked) - protected
    return sorted(pids, key=lambda pid: len(list(_ancestors(pid, parents))))


def _descendants(root: int, parents: Dict[int, int]) -> Set[int]:
    children: Dict[int, Set[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, set()).add(pid)
    descendants: Set[int] = set()
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in descendants:
                descendants.add(child)
                waiting.append(child)
    return descendants


def _ancestors(pid: int, parents: Dict[int, int]) -> Iterable[int]:
    seen: Set[int] = set()
    while pid in parents and pid not in seen:
        seen.add(pid)
        pid = parents[pid]
        yield pid


def _linux_processes(entry: bytes) -> _Processes:
    processes = _Processes({}, set(), set(), set())
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        # A process may end between any two reads: then it is skipped.
        stat = _read("/proc/%d/stat" % pid)
        if b")" not in stat:
            continue
        state, parent = stat[stat.rindex(b")") + 1 :].split()[:2]
        if state in (b"Z", b"X"):
            continue
        processes.parents[pid] = int(parent)
        if entry and entry in _read("/proc/%d/environ" % pid).split(b"\0"):
            processes.marked.add(pid)
        command = _read("/proc/%d/cmdline" % pid)
        if any(cleaner in command for cleaner in _CLEANERS):
            processes.cleaners.add(pid)
        elif _SHARED_MEMORY_MANAGER in command:
            processes.managers.add(pid)
    return processes


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _ps_processes(entry: bytes) -> _Processes:
    """The same from `ps`, whose option `e` appends the environment to the command (for the user's own processes only)."""
    import subprocess

    processes = _Processes({}, set(), set(), set())
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,ppid=,command="], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    for line in listing.stdout.splitlines():
        words = line.split(None, 2)
        if len(words) < 3 or not words[0].isdigit() or not words[1].isdigit():
            continue
        pid = int(words[0])
        if entry and entry in words[2].split():
            processes.marked.add(pid)
        if any(cleaner in words[2] for cleaner in (*_CLEANERS, _SHARED_MEMORY_MANAGER)):
            processes.cleaners.add(pid)
        processes.parents[pid] = int(words[1])
    return processes
