"""The reaper for Windows: a job object for each agent, which ends its processes when its last handle is closed.

The reaper creates the agent suspended, puts it into the job, and only then resumes it, so that no process of the user's script can be
older than its membership. Children of a member are members, because the job does not allow them to break away. No process inherits the
handle, so Windows closes it when the app ends, in whatever way. Nested jobs need Windows 8.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import psutil

_CREATE_SUSPENDED = 0x00000004
_CREATE_NEW_PROCESS_GROUP = 0x00000200
_CREATE_NO_WINDOW = 0x08000000
_KILL_ON_JOB_CLOSE = 0x00002000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
_DIE_ON_UNHANDLED_EXCEPTION = 0x00000400  # no error box that would keep a crashed worker alive
_EXTENDED_LIMIT_INFORMATION = 9  # JobObjectExtendedLimitInformation
_BASIC_ACCOUNTING_INFORMATION = 1  # JobObjectBasicAccountingInformation
_GONE_TIMEOUT_S = 10.0


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("PerProcessUserTimeLimit", ctypes.c_int64),
        ("PerJobUserTimeLimit", ctypes.c_int64),
        ("LimitFlags", ctypes.c_uint32),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", ctypes.c_uint32),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", ctypes.c_uint32),
        ("SchedulingClass", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_uint64 * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


class _BasicAccounting(ctypes.Structure):
    _fields_ = (
        ("TotalUserTime", ctypes.c_int64),
        ("TotalKernelTime", ctypes.c_int64),
        ("ThisPeriodTotalUserTime", ctypes.c_int64),
        ("ThisPeriodTotalKernelTime", ctypes.c_int64),
        ("TotalPageFaultCount", ctypes.c_uint32),
        ("TotalProcesses", ctypes.c_uint32),
        ("ActiveProcesses", ctypes.c_uint32),
        ("TotalTerminatedProcesses", ctypes.c_uint32),
    )


def _kernel32() -> Any:
    """kernel32 with the signatures of the functions used here; without them ctypes would cut 64-bit handles to 32 bits."""
    if sys.platform != "win32":
        raise OSError("job objects exist on Windows only")
    library = ctypes.WinDLL("kernel32", use_last_error=True)
    handle, boolean, dword = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "CreateJobObjectW": (handle, [ctypes.c_void_p, ctypes.c_wchar_p]),
        "SetInformationJobObject": (boolean, [handle, ctypes.c_int, ctypes.c_void_p, dword]),
        "QueryInformationJobObject": (boolean, [handle, ctypes.c_int, ctypes.c_void_p, dword, ctypes.c_void_p]),
        "AssignProcessToJobObject": (boolean, [handle, handle]),
        "TerminateJobObject": (boolean, [handle, ctypes.c_uint]),
        "CloseHandle": (boolean, [handle]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _last_error() -> OSError:
    if sys.platform != "win32":
        raise OSError("job objects exist on Windows only")
    return ctypes.WinError(ctypes.get_last_error())


class WindowsReaper:
    """See `Reaper`.

    Raises:
        OSError: Windows refuses a job object.
    """

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._kernel32 = _kernel32()
        self._job: int | None = self._kernel32.CreateJobObjectW(None, None)
        self._check(self._job)
        limits = _ExtendedLimits()
        limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE | _DIE_ON_UNHANDLED_EXCEPTION
        size = ctypes.sizeof(limits)
        self._check(self._kernel32.SetInformationJobObject(self._job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size))

    def popen_options(self) -> dict[str, Any]:
        return {"creationflags": _CREATE_SUSPENDED | _CREATE_NEW_PROCESS_GROUP | _CREATE_NO_WINDOW}

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        try:
            handle = int(process._handle)  # type: ignore[attr-defined]  # Popen's own handle has all rights that are needed
            self._check(self._kernel32.AssignProcessToJobObject(self._job, handle))
            psutil.Process(process.pid).resume()
        except (OSError, psutil.Error):
            process.kill()  # a suspended process outside of the job must not stay
            raise

    def observe(self) -> None:
        """Does nothing: Windows itself keeps the list of members."""

    def remember(self, pids: Iterable[int]) -> None:
        """Does nothing: Windows removes shared memory with its last user."""

    def stop(self, pid: int) -> None:
        try:
            psutil.Process(pid).suspend()
        except psutil.Error:
            pass

    def resume(self, pid: int) -> None:
        try:
            psutil.Process(pid).resume()
        except psutil.Error:
            pass

    def kill(self) -> int:
        if self._job is None:
            return 0
        count = self._active_processes()
        self._kernel32.TerminateJobObject(self._job, 1)
        deadline = time.monotonic() + _GONE_TIMEOUT_S
        while self._active_processes() and time.monotonic() < deadline:
            time.sleep(0.01)
        return count

    def close(self) -> None:
        if self._job is not None:
            self._kernel32.CloseHandle(self._job)
            self._job = None

    def _active_processes(self) -> int:
        accounting = _BasicAccounting()
        size = ctypes.sizeof(accounting)
        self._kernel32.QueryInformationJobObject(self._job, _BASIC_ACCOUNTING_INFORMATION, ctypes.byref(accounting), size, None)
        return int(accounting.ActiveProcesses)

    def _check(self, result: Any) -> None:
        if not result:
            raise _last_error()
