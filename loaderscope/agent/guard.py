"""Ends everything that a trial started: the agent's tree, grandchildren that the dataset itself started included.

Linux: the agent is a child subreaper, so that orphans of its tree stay below it, and every process of a trial inherits
`MARK_VARIABLE` in its environment, by which those are found that left the tree (a daemon with a new session).
macOS: the tree and the mark. Windows: the app's job object ends the tree with its last handle; nothing is done here.

What stays uncovered: a process that cleared its environment and left the tree on macOS.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Dict, Iterable, List, Set, Tuple

from . import leftovers
from .messages import MARK_VARIABLE

_ROUNDS = 20
_IDLE_S = 2.0
_LOOK_S = 0.1
_MARK = os.environ.get(MARK_VARIABLE, "")  # read once: the user's code may change its environment
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_CLEANERS = (b"multiprocessing.resource_tracker", b"multiprocessing/resource_tracker", b"torch_shm_manager")
"""They remove shared memory and semaphores and end by themselves when their last client has ended."""


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process (Linux; elsewhere nothing happens)."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # a libc without prctl; the mark still finds every process


def kill_tree(parents_too: bool = False) -> List[int]:
    """Kills every process that this one started, directly or not, in rounds until none is found.

    All are stopped from the root downwards before the first is killed: no parent sees its child end and runs on.

    Args:
        parents_too: whether those of its parents are killed, too, that carry the mark.

    Returns:
        whom it has killed.
    """
    if sys.platform == "win32":
        return []
    killed: List[int] = []
    for _ in range(_ROUNDS):
        stopped: List[int] = []
        while fresh := [pid for pid in _started_processes(parents_too) if pid not in stopped and pid not in killed]:
            for pid in fresh:
                _signal(pid, signal.SIGSTOP)
            stopped += fresh
        if not stopped:
            break
        sockets = leftovers.bound_sockets(stopped)
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        leftovers.remove_sockets(sockets)
        killed += stopped
    return killed


def wait_for_idle_children() -> int:
    """Waits while any process below this one computes, so that it may still come to something; how many are left.

    Only on Linux: elsewhere it returns 0 at once.
    """
    if not sys.platform.startswith("linux"):
        return 0
    used: Dict[int, int] = {}
    grew_at = time.monotonic()
    while True:
        left = _started_processes(parents_too=False)
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


def _started_processes(parents_too: bool) -> List[int]:
    """Parents before their children."""
    entry = ("%s=%s" % (MARK_VARIABLE, _MARK)).encode() if _MARK else b""
    if sys.platform.startswith("linux"):
        parents, marked, cleaners = _linux_processes(entry)
    else:
        parents, marked, cleaners = _ps_processes(entry)
    own = os.getpid()
    above = set(_ancestors(own, parents))
    protected = {own} | cleaners | (above - marked if parents_too else above)
    found = (_descendants(own, parents) | marked) - protected
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


def _linux_processes(entry: bytes) -> Tuple[Dict[int, int], Set[int], Set[int]]:
    """Parent of every live process, those that carry the mark, and the cleaners among them."""
    parents: Dict[int, int] = {}
    marked: Set[int] = set()
    cleaners: Set[int] = set()
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
        parents[pid] = int(parent)
        if entry and entry in _read("/proc/%d/environ" % pid).split(b"\0"):
            marked.add(pid)
        command = _read("/proc/%d/cmdline" % pid)
        if any(cleaner in command for cleaner in _CLEANERS):
            cleaners.add(pid)
    return parents, marked, cleaners


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _ps_processes(entry: bytes) -> Tuple[Dict[int, int], Set[int], Set[int]]:
    """The same by way of `ps`, whose option `e` appends the environment to the command (one's own processes only)."""
    import subprocess

    parents: Dict[int, int] = {}
    marked: Set[int] = set()
    cleaners: Set[int] = set()
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,ppid=,command="], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    for line in listing.stdout.splitlines():
        words = line.split(None, 2)
        if len(words) < 3 or not words[0].isdigit() or not words[1].isdigit():
            continue
        pid = int(words[0])
        if entry and entry in words[2].split():
            marked.add(pid)
        if any(cleaner in words[2] for cleaner in _CLEANERS):
            cleaners.add(pid)
        parents[pid] = int(words[1])
    return parents, marked, cleaners
