"""Finds and removes what killed processes leave on disk and in shared memory (Linux; elsewhere it removes nothing).

multiprocessing and torch remove their files when a process ends by itself. Killed processes leave

* `pymp-*/listener-*` and `torch-shm-dir-*/manager.sock`, sockets in the folder for temporary files: while the processes still
  live, the system's list of sockets says whose they are;
* `/dev/shm/torch_PID_*`, blocks of tensors that are named after the process that made them.

Only files that surely belong to the killed processes are removed.
"""

from __future__ import annotations

import os
import re
from typing import Collection, Dict, Iterable, List, Optional, Set

from .layout import SUFFIX

SHARED_MEMORY = "/dev/shm"

_BLOCK = re.compile(r"torch_(\d+)_")
_SOCKET = re.compile(r".*/(pymp-[^/]+/listener-[^/]+|torch-shm-dir-[^/]+/manager\.sock)")
_LOG = re.compile(r"(\d+)-\d+\.\d{4}" + re.escape(SUFFIX))
_INODE = re.compile(r"socket:\[(\d+)\]")


def bound_sockets(pids: Iterable[int]) -> List[str]:
    """Paths of the sockets that multiprocessing and torch have bound in these processes, which must still live."""
    paths = _sockets_by_inode()
    bound: List[str] = []
    if paths:
        for pid in pids:
            bound += [paths[inode] for inode in _socket_inodes(pid) if inode in paths]
    return bound


def remove_sockets(paths: Iterable[str]) -> None:
    """Removes sockets whose processes have ended, and the folders made for them."""
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass  # other sockets are still in the folder


def pids_of_logs(folder: str) -> Set[int]:
    """Pids of the processes that have recorded into the folders of trials below a run's folder."""
    pids: Set[int] = set()
    for _, _, names in os.walk(folder):
        pids.update(int(match.group(1)) for match in map(_LOG.match, names) if match is not None)
    return pids


def remove_folder(folder: str) -> None:
    """Removes one of the program's own temporary folders."""
    import shutil  # imported only now that the process ends: the user's code must not find it loaded

    shutil.rmtree(folder, ignore_errors=True)


def remove_shared_memory(pids: Collection[int], since_unix_s: float) -> None:
    """Removes the blocks that `shared_memory_of` returns."""
    for path in shared_memory_of(pids, since_unix_s):
        try:
            os.unlink(path)
        except OSError:
            pass


def shared_memory_of(pids: Collection[int], since_unix_s: float) -> List[str]:
    """Paths of torch's blocks in shared memory that ended processes have left.

    Args:
        pids: the processes' pids; this process, which is about to end, may be among them.
        since_unix_s: blocks made before this time are not theirs, because the system reuses pids.
    """
    try:
        names = os.listdir(SHARED_MEMORY)
    except OSError:
        return []
    candidates: Set[str] = set()
    for name in names:
        match = _BLOCK.match(name)
        if match is None or int(match.group(1)) not in pids or is_alive(int(match.group(1))):
            continue
        path = os.path.join(SHARED_MEMORY, name)
        try:
            status = os.stat(path)
        except OSError:
            continue
        if status.st_uid == os.getuid() and status.st_mtime >= since_unix_s - 1.0:
            candidates.add(path)
    if not candidates:
        return []
    return sorted(candidates - _mapped_files(except_pid=os.getpid() if os.getpid() in pids else None))


def is_alive(pid: int) -> bool:
    """Whether another process with this pid lives (Linux); a zombie does not."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            stat = file.read()
    except OSError:
        return False
    return pid != os.getpid() and stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


def _sockets_by_inode() -> Dict[str, str]:
    paths_by_inode: Dict[str, str] = {}
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                fields = line.split(None, 7)  # Num RefCount Protocol Flags Type St Inode Path
                if len(fields) == 8 and _SOCKET.fullmatch(fields[7].rstrip("\n")):
                    paths_by_inode[fields[6]] = fields[7].rstrip("\n")
    except OSError:
        pass
    return paths_by_inode


def _socket_inodes(pid: int) -> Set[str]:
    inodes: Set[str] = set()
    folder = "/proc/%d/fd" % pid
    try:
        for name in os.listdir(folder):
            try:
                match = _INODE.fullmatch(os.readlink(os.path.join(folder, name)))
            except OSError:
                continue
            if match is not None:
                inodes.add(match.group(1))
    except OSError:
        pass
    return inodes


def _mapped_files(except_pid: Optional[int]) -> Set[str]:
    """Files in shared memory that any process but `except_pid` has mapped."""
    mapped_paths: Set[str] = set()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == except_pid:
            continue
        try:
            with open("/proc/%s/maps" % name, encoding="utf-8", errors="surrogateescape") as file:
                mapped_paths.update(line.split(None, 5)[5].rstrip("\n") for line in file if SHARED_MEMORY in line)
        except OSError:
            continue
    return mapped_paths
