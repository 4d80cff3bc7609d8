"""What this machine lets a process use: processors, memory, shared memory, open files. What cannot be told is None."""

from __future__ import annotations

import dataclasses
import math
import os
import sys

import psutil


@dataclasses.dataclass(frozen=True)
class Machine:
    """Limits that a sweep has to keep."""

    cpu_count: int
    usable_cpus: int
    memory_total_bytes: int
    memory_available_bytes: int  # before the system or the container runs out
    shared_memory_free_bytes: int | None  # /dev/shm, where tensors of workers travel on Linux
    open_files_limit: int | None  # of one process
    commit_limit_bytes: int | None = None  # Windows: what it can promise to all processes together, memory and paging file
    commit_used_bytes: int | None = None  # ... and has promised

    @property
    def commit_available_bytes(self) -> int | None:
        """What Windows can still promise; beyond it, starting a process fails with WinError 1455."""
        if self.commit_limit_bytes is None or self.commit_used_bytes is None:
            return None
        return max(0, self.commit_limit_bytes - self.commit_used_bytes)


def read_machine() -> Machine:
    """The limits as they are now."""
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    shared_free = commit_limit = commit_used = None
    if sys.platform == "linux":
        from loaderscope.sweep import system_linux

        shared_free = system_linux.shared_memory_free()
        limit, used = system_linux.cgroup_memory()
        if limit is not None:
            total, available = min(total, limit), min(available, max(0, limit - (used or 0)))
    elif sys.platform == "win32":
        from loaderscope.sweep import system_windows

        commit_limit, commit_used = system_windows.commit()
    return Machine(os.cpu_count() or 1, usable_cpus(), total, available, shared_free, open_files_limit(), commit_limit, commit_used)


def usable_cpus() -> int:
    """Processors that this process and its children may run on: affinity mask and container quota, at least 1."""
    quota = None
    if sys.platform == "linux":
        from loaderscope.sweep import system_linux

        allowed = len(os.sched_getaffinity(0))
        quota = system_linux.cgroup_cpus()
    elif sys.platform == "win32":
        allowed = len(psutil.Process().cpu_affinity())
    else:
        allowed = os.cpu_count() or 1  # macOS knows no affinity
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def open_files_limit() -> int | None:
    """How many files one process may hold open; None where there is no such limit (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
