"""The reaper for macOS: it uses the mark in the environment of a process (sysctl, through psutil) and the process tree."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

import psutil

from loaderscope.agent.messages import MARK_VARIABLE

_GONE_TIMEOUT_S = 10.0


def _mark_of(process: psutil.Process) -> str | None:
    try:
        mark: str | None = process.environ().get(MARK_VARIABLE)
    except (psutil.Error, OSError):
        return None
    return mark


class MacReaper:
    """See `Reaper`."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._agent: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()  # psutil compares pid and creation time

    def popen_options(self) -> dict[str, Any]:
        return {"start_new_session": True}

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        self._agent = process
        try:
            self._seen.add(psutil.Process(process.pid))
        except psutil.NoSuchProcess:
            pass

    def observe(self) -> None:
        """Walks the process tree only; `kill` reads the environments of all processes, which takes long."""
        for process in list(self._seen):
            try:
                self._seen.update(process.children(recursive=True))
            except psutil.Error:
                continue

    def remember(self, pids: Iterable[int]) -> None:
        """Does nothing: the names of shared memory cannot be listed on macOS."""

    def stop(self, pid: int) -> None:
        _signal(pid, signal.SIGSTOP)

    def resume(self, pid: int) -> None:
        _signal(pid, signal.SIGCONT)

    def kill(self) -> int:
        killed: set[int] = set()
        if self._agent is not None and self._agent.poll() is None:
            _signal(self._agent.pid, signal.SIGSTOP)  # stopped, it starts no process while we look
        deadline = time.monotonic() + _GONE_TIMEOUT_S
        while time.monotonic() < deadline:
            stopped: set[psutil.Process] = set()
            while fresh := self._alive() - stopped:
                for process in sorted(fresh, key=_depth):  # no parent sees its child end and runs on
                    _signal(process.pid, signal.SIGSTOP)
                stopped |= fresh
            alive = self._alive()
            for process in alive:
                killed.add(process.pid)
                try:
                    process.kill()
                except psutil.Error:
                    pass
            if self._agent is not None:
                self._agent.poll()
            if not alive:
                break
            time.sleep(0.02)
        return len(killed)

    def close(self) -> None:
        self._seen.clear()

    def _alive(self) -> set[psutil.Process]:
        self.observe()
        self._seen.update(process for process in psutil.process_iter() if _mark_of(process) == self.mark)
        return {process for process in self._seen if process.pid != os.getpid() and _is_alive(process)}


def _depth(process: psutil.Process) -> int:
    try:
        return len(process.parents())
    except psutil.Error:
        return 0


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def kill_leftovers(owner_is_gone: Callable[[str], bool]) -> int:
    """See `reaper.kill_leftovers`; `owner_is_gone` takes a mark."""
    killed = 0
    for process in psutil.process_iter():
        mark = None if process.pid == os.getpid() else _mark_of(process)
        if mark is not None and owner_is_gone(mark):
            try:
                process.kill()
                killed += 1
            except psutil.Error:
                pass
    return killed
