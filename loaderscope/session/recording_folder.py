"""Recognises network shares: SQLite's write-ahead log needs memory shared between processes, which a share does not give."""

from __future__ import annotations

import ctypes
import os
import pathlib
import sys

_NETWORK_TYPES = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "davfs")
_NETWORK_FUSE = (
    "fuse.sshfs",
    "fuse.davfs2",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.glusterfs",
    "fuse.smbnetfs",
    "fuse.gvfsd-fuse",
)
_DRIVE_REMOTE = 4


def is_network_share(path: pathlib.Path, mounts: str | None = None) -> bool:
    """Whether a file at this path would lie on another machine.

    Args:
        path: of a file that need not exist.
        mounts: replaces the text of /proc/mounts.
    """
    if sys.platform == "win32":
        return _is_remote_drive(path)
    if mounts is None:
        try:
            mounts = pathlib.Path("/proc/mounts").read_text("utf-8", "surrogateescape")
        except OSError:  # macOS mounts shares and disks alike under /Volumes; SQLite itself falls back there
            return False
    return _type_of_mount(path, mounts) in (*_NETWORK_TYPES, *_NETWORK_FUSE)


def _type_of_mount(path: pathlib.Path, mounts: str) -> str:
    """Returns the file system type of the longest mount point above the path; among equal ones the last mounted counts."""
    parts = pathlib.Path(os.path.realpath(path)).parts
    best, best_length = "", -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = pathlib.PurePosixPath(_unescape(fields[1])).parts
        if parts[: len(point)] == point and len(point) >= best_length:
            best, best_length = fields[2], len(point)
    return best


def _unescape(text: str) -> str:
    """Replaces the octal numbers with which /proc/mounts writes blanks and backslashes."""
    for code in ("040", "011", "012", "134"):
        text = text.replace("\\" + code, chr(int(code, 8)))
    return text


def _is_remote_drive(path: pathlib.Path) -> bool:
    resolved = os.path.realpath(path)  # also follows a mapped drive to its \\server\share
    if resolved.startswith("\\\\") and not resolved.startswith(("\\\\?\\", "\\\\.\\")):
        return True
    if resolved.upper().startswith("\\\\?\\UNC\\"):
        return True
    drive = os.path.splitdrive(resolved)[0]
    if not drive:
        return False
    get_drive_type = ctypes.WinDLL("kernel32").GetDriveTypeW  # type: ignore[attr-defined,unused-ignore]
    return bool(get_drive_type(ctypes.c_wchar_p(drive + "\\")) == _DRIVE_REMOTE)
