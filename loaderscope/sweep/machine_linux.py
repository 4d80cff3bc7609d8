"""Reads limits that only Linux has: control groups (containers, cgroup version 2 or 1) and /dev/shm. None means no limit."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
SHARED_MEMORY = Path("/dev/shm")

_UNLIMITED_BYTES = 1 << 60
"""cgroup 1 writes "no limit" as a number near 2**63."""


def cgroup_cpus(proc: Path = PROC, root: Path = CGROUP) -> float | None:
    """The number of processors whose time the container may use; the tightest limit of the groups of this process."""
    quotas = []
    for folder in _cgroup_folders("cpu", proc, root):
        text = _read(folder / "cpu.max")
        if text is not None:
            quota, _, period = text.partition(" ")
            quotas.append(_ratio(quota, period or "100000"))
        quotas.append(_ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")))
    return min((quota for quota in quotas if quota is not None), default=None)


def cgroup_memory(proc: Path = PROC, root: Path = CGROUP) -> tuple[int | None, int | None]:
    """The limit of the container's memory, and the bytes in use without page cache that can be dropped.

    Groups may be nested: the one that has least left counts.
    """
    tightest: tuple[int | None, int | None] = (None, None)
    least_left: int | None = None
    for folder in _cgroup_folders("memory", proc, root):
        for limit_name, used_name in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, used = _number(_read(folder / limit_name)), _number(_read(folder / used_name))
            if limit is None or limit >= _UNLIMITED_BYTES:
                continue
            if used is not None:
                used = max(0, used - _inactive_file_bytes(folder))
            left = limit - (used or 0)
            if least_left is None or left < least_left:
                tightest, least_left = (limit, used), left
    return tightest


def shared_memory_free(folder: Path = SHARED_MEMORY) -> int | None:
    """Free bytes of /dev/shm; None if the system has no /dev/shm."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def _cgroup_folders(controller: str, proc: Path, root: Path) -> list[Path]:
    """The folders of this process's group and of the groups above it.

    Inside a container its own group is often mounted as the root while /proc still names the path outside: both are listed.
    """
    folders = [root, root / controller]
    for line in (_read(proc / "self" / "cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        parts = [part for part in path.split("/") if part not in ("", "..")]
        folders += [base.joinpath(*parts[: count + 1]) for count in range(len(parts))]
    return list(dict.fromkeys(folders))


def _inactive_file_bytes(folder: Path) -> int:
    for line in (_read(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return _number(value) or 0
    return 0


def _read(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _ratio(quota: str | None, period: str | None) -> float | None:
    numerator, denominator = _number(quota), _number(period)
    return numerator / denominator if numerator and denominator else None
