"""Reads the commit charge of Windows: the memory that it has promised to processes, whether they touch it or not.

Beyond the limit (memory and paging files together) Windows refuses a promise with "[WinError 1455] The paging file is too small for this
operation to complete", mostly while a worker loads torch's libraries.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any


class _PerformanceInformation(ctypes.Structure):
    """PERFORMANCE_INFORMATION of psapi.h; all sizes except `cb` are in pages."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("CommitTotal", ctypes.c_size_t),
        ("CommitLimit", ctypes.c_size_t),
        ("CommitPeak", ctypes.c_size_t),
        ("PhysicalTotal", ctypes.c_size_t),
        ("PhysicalAvailable", ctypes.c_size_t),
        ("SystemCache", ctypes.c_size_t),
        ("KernelTotal", ctypes.c_size_t),
        ("KernelPaged", ctypes.c_size_t),
        ("KernelNonpaged", ctypes.c_size_t),
        ("PageSize", ctypes.c_size_t),
        ("HandleCount", ctypes.c_uint32),
        ("ProcessCount", ctypes.c_uint32),
        ("ThreadCount", ctypes.c_uint32),
    )


def commit() -> tuple[int | None, int | None]:
    """Commit limit and commit charge of the whole system in bytes; None if Windows does not report them."""
    information = _PerformanceInformation()
    information.cb = ctypes.sizeof(information)
    if not _kernel32().K32GetPerformanceInfo(ctypes.byref(information), information.cb):
        return None, None
    page = int(information.PageSize)
    return int(information.CommitLimit) * page, int(information.CommitTotal) * page


def _kernel32() -> Any:
    """kernel32, which since Windows 7 has psapi's functions under names that begin with K32."""
    if sys.platform != "win32":
        raise OSError("the commit charge is Windows' own")
    library = ctypes.WinDLL("kernel32", use_last_error=True)
    library.K32GetPerformanceInfo.restype = ctypes.c_int
    library.K32GetPerformanceInfo.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    return library
