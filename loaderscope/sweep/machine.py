"""Reads what this machine lets a process use: processors, memory, shared memory, open files. None stands for unknown or unlimited."""

from __future__ import annotations

import dataclasses
import math
import os
import sys

import psutil


@dataclasses.dataclass(frozen=True)
class Machine:
    """Limits that a sweep must respect."""

    cpu_count: int
    usable_cpus: int
    memory_total_bytes: int
    memory_available_bytes: int  # left in the system or the container
    shared_memory_free_bytes: int | None  # /dev/shm, where tensors of workers travel on Linux
    open_files_limit: int | None  # of one process
    commit_limit_bytes: int | None = None  # Windows: memory and paging files, which it can promise to all processes together
    commit_used_bytes: int | None = None  # Windows: the part that it has promised

    @property
    def commit_available_bytes(self) -> int | None:
        """Memory that Windows can still promise; beyond it, the start of a process fails with WinError 1455."""
        if self.commit_limit_bytes is None or self.commit_used_bytes is None:
            return None
        return max(0, self.commit_limit_bytes - self.commit_used_bytes)


def read_machine() -> Machine:
    """Reads the limits as they are now."""
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    shared_free = commit_limit = commit_used = None
    if sys.platform == "linux":
        from loaderscope.sweep import machine_linux

        shared_free = machine_linux.shared_memory_free()
        limit, used = machine_linux.cgroup_memory()
        if limit is not None:
            total, available = min(total, limit), min(available, max(0, limit - (used or 0)))
    elif sys.platform == "win32":
        from loaderscope.sweep import machine_windows

        commit_limit, commit_used = machine_windows.commit()
    return Machine(os.cpu_count() or 1, usable_cpus(), total, available, shared_free, open_files_limit(), commit_limit, commit_used)


def usable_cpus() -> int:
    """The number of processors that this process and its children may use, by affinity mask and container quota; at least 1."""
    quota = None
    if sys.platform == "linux":
        from loaderscope.sweep import machine_linux

        allowed = len(os.sched_getaffinity(0))
        quota = machine_linux.cgroup_cpus()
    elif sys.platform == "win32":
        allowed = len(psutil.Process().cpu_affinity())
    else:
        allowed = os.cpu_count() or 1  # macOS has no affinity
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def open_files_limit() -> int | None:
    """The number of files that one process may hold open; None if there is no such limit (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
