"""What killed processes leave on disk and in shared memory, and what of it may be removed (Linux; elsewhere nothing is).

multiprocessing and torch remove what they made when a process ends by itself. Of killed ones stay

* `pymp-*/listener-*` and `torch-shm-dir-*/manager.sock`, sockets in the folder for temporary files: they tell by the system's
  list of sockets whose they are, while those processes still live;
* `/dev/shm/torch_PID_*`, blocks of tensors that are named after the process which made them.

Only what surely belongs to the killed processes is removed.
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
    """Paths of the sockets that multiprocessing and torch have bound in these processes, which still live."""
    paths = _sockets_by_inode()
    found: List[str] = []
    if paths:
        for pid in pids:
            found += [paths[inode] for inode in _socket_inodes(pid) if inode in paths]
    return found


def remove_sockets(paths: Iterable[str]) -> None:
    """Removes sockets whose processes have ended, and the folders that were made for them."""
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass
        try:
            os.rmdir(os.path.dirname(path))
        except OSError:
            pass  # others of the same folder are still to come


def pids_of_logs(folder: str) -> Set[int]:
    """Processes that have recorded into the folders of trials below a run's folder."""
    found: Set[int] = set()
    for _, _, names in os.walk(folder):
        found.update(int(match.group(1)) for match in map(_LOG.match, names) if match is not None)
    return found


def remove_folder(folder: str) -> None:
    """Removes one of the program's own temporary folders."""
    import shutil  # the process ends now; before, nothing of the user's may find it loaded

    shutil.rmtree(folder, ignore_errors=True)


def remove_shared_memory(pids: Collection[int], since_unix_s: float) -> None:
    """Removes what `shared_memory_of` finds."""
    for path in shared_memory_of(pids, since_unix_s):
        try:
            os.unlink(path)
        except OSError:
            pass


def shared_memory_of(pids: Collection[int], since_unix_s: float) -> List[str]:
    """Paths of torch's blocks in shared memory that processes have left which have ended.

    Args:
        pids: of those processes; this one may be among them, which is about to end.
        since_unix_s: what was made before this is not theirs: a pid is given again.
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
    return sorted(candidates - _mapped_files(but_of=os.getpid() if os.getpid() in pids else None))


def is_alive(pid: int) -> bool:
    """Whether another process with this pid lives (Linux); one that has ended and was not waited for yet does not."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            stat = file.read()
    except OSError:
        return False
    return pid != os.getpid() and stat[stat.rindex(b")") + 2 :][:1] not in (b"Z", b"X")


def _sockets_by_inode() -> Dict[str, str]:
    found: Dict[str, str] = {}
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                fields = line.split(None, 7)  # Num RefCount Protocol Flags Type St Inode Path
                if len(fields) == 8 and _SOCKET.fullmatch(fields[7].rstrip("\n")):
                    found[fields[6]] = fields[7].rstrip("\n")
    except OSError:
        pass
    return found


def _socket_inodes(pid: int) -> Set[str]:
    found: Set[str] = set()
    folder = "/proc/%d/fd" % pid
    try:
        for name in os.listdir(folder):
            try:
                match = _INODE.fullmatch(os.readlink(os.path.join(folder, name)))
            except OSError:
                continue
            if match is not None:
                found.add(match.group(1))
    except OSError:
        pass
    return found


def _mapped_files(but_of: Optional[int]) -> Set[str]:
    """Files in shared memory that any process has mapped."""
    found: Set[str] = set()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == but_of:
            continue
        try:
            with open("/proc/%s/maps" % name, encoding="utf-8", errors="surrogateescape") as file:
                found.update(line.split(None, 5)[5].rstrip("\n") for line in file if SHARED_MEMORY in line)
        except OSError:
            continue
    return found
