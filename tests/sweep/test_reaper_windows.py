"""The job object of Windows, against a kernel32 that records what it is asked."""

import ctypes

import psutil
import pytest

from loaderscope.sweep.processes import reaper_windows
from loaderscope.sweep.processes.reaper_windows import WindowsReaper

JOB = 0x1_0000_0004  # does not fit 32 bits


class Kernel32:
    def __init__(self):
        self.calls = []
        self.limits = None
        self.active = [3, 1, 0]
        self.refuses = ()

    def _call(self, name, *arguments):
        self.calls.append((name, *arguments))
        return 0 if name in self.refuses else 1

    def CreateJobObjectW(self, attributes, name):  # noqa: N802
        return JOB if self._call("create") else None

    def SetInformationJobObject(self, job, kind, pointer, size):  # noqa: N802
        self.limits = (job, kind, pointer._obj.BasicLimitInformation.LimitFlags, size)
        return self._call("limit")

    def AssignProcessToJobObject(self, job, process):  # noqa: N802
        return self._call("assign", job, process)

    def TerminateJobObject(self, job, status):  # noqa: N802
        return self._call("terminate", job)

    def QueryInformationJobObject(self, job, kind, pointer, size, returned):  # noqa: N802
        assert (kind, size) == (1, ctypes.sizeof(pointer._obj))
        pointer._obj.ActiveProcesses = self.active.pop(0) if self.active else 0
        return 1

    def CloseHandle(self, handle):  # noqa: N802
        return self._call("close", handle)


class Popen:
    pid, _handle = 77, 0x2_0000_0008

    def __init__(self):
        self.killed = False

    def kill(self):
        self.killed = True


@pytest.fixture
def kernel32(monkeypatch):
    made = Kernel32()
    monkeypatch.setattr(reaper_windows, "_kernel32", lambda: made)
    monkeypatch.setattr(reaper_windows, "_last_error", lambda: OSError(5, "Access is denied"))
    return made


@pytest.fixture
def resumed(monkeypatch, kernel32):
    """Whom psutil resumed; noted among kernel32's calls, too, for the order."""

    class Process:
        def __init__(self, pid):
            self.pid = pid

        def resume(self):
            kernel32.calls.append(("resume", self.pid))

    monkeypatch.setattr(psutil, "Process", Process)


def test_the_job_ends_its_members_with_its_last_handle(kernel32):
    WindowsReaper("mark")
    job, kind, flags, size = kernel32.limits
    assert (job, kind) == (JOB, 9)
    assert flags & 0x2000  # kill on close
    assert not flags & 0x1800  # no child may break away
    assert size == 144 or ctypes.sizeof(ctypes.c_void_p) != 8  # documented size of the structure


def test_the_agent_runs_its_first_instruction_inside_the_job(kernel32, resumed):
    made = WindowsReaper("mark")
    assert made.popen_options()["creationflags"] & 0x4  # created suspended
    made.adopt(Popen())
    assert kernel32.calls[-2:] == [("assign", JOB, Popen._handle), ("resume", 77)]


def test_an_agent_that_cannot_be_put_into_the_job_does_not_stay(kernel32, resumed):
    made, process = WindowsReaper("mark"), Popen()
    kernel32.refuses = ("assign",)
    with pytest.raises(OSError, match="denied"):
        made.adopt(process)
    assert process.killed
    assert ("resume", 77) not in kernel32.calls


def test_no_job_is_an_error(kernel32):
    kernel32.refuses = ("create",)
    with pytest.raises(OSError, match="denied"):
        WindowsReaper("mark")


def test_killing_waits_until_every_member_is_gone_and_closing_happens_once(kernel32):
    made = WindowsReaper("mark")
    assert made.kill() == 3
    assert ("terminate", JOB) in kernel32.calls
    assert kernel32.active == []
    made.close()
    made.close()
    assert kernel32.calls.count(("close", JOB)) == 1
    assert made.kill() == 0
