"""A sweep that runs in the window: its thread, the clock by which the window looks at it, and its temporary session file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil
from PySide6.QtCore import QObject, QTimer, Signal

from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.request import Request
from loaderscope.facts.run import Mark
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.run.run_thread import RunThread
from loaderscope.gui.run.thread_shutdown import keep_until_ended
from loaderscope.sweep.processes.temporary_folders import base_folder, claim

WINDOW_PREFIX = "loaderscope-window-"
"""Begins the name of the temporary folder with the session of a sweep that is not saved yet."""
FAST_MS = 40
SLOW_MS = 250
BUSY_PERCENT = 90.0
LOOK_AT_LOAD_EVERY_S = 1.0
STOP_TIMEOUT_MS = 30_000


class LiveRun(QObject):
    """Starts and stops sweeps. `ticked` a few to 25 times a second while one runs, `ended` once when it is over.

    The window draws often while the machine has room for it, and only four times a second while a trial needs all cores.
    """

    ticked = Signal()
    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: RunThread | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(FAST_MS)
        self._timer.timeout.connect(self._tick)
        self._ticks_until_load = 0

    @property
    def running(self) -> bool:
        return self._thread is not None and self._timer.isActive()

    @property
    def error(self) -> ErrorInfo | None:
        """Why the last sweep could not run."""
        return self._thread.error if self._thread is not None else None

    @property
    def session_path(self) -> Path | None:
        """The session file of the last sweep, complete once it is over; None if there is nothing in it worth saving."""
        if self._thread is None or self._thread.write_error is not None or not self._thread.session_path.exists():
            return None
        return self._thread.session_path

    def start(self, request: Request) -> RunState:
        """Runs a sweep; the state grows as it goes on."""
        self.stop()
        folder = self._folder
        self._folder = tempfile.TemporaryDirectory(prefix=WINDOW_PREFIX, dir=base_folder(), ignore_cleanup_errors=True)
        claim(Path(self._folder.name))
        if folder is not None:
            folder.cleanup()
        self._thread = RunThread(request, Path(self._folder.name) / f"{Path(request.script).stem}.loaderscope")
        self._thread.finished.connect(self._finished)
        self._set_interval(FAST_MS)
        psutil.cpu_percent()  # the first call only starts the measurement
        self._timer.start()
        self._thread.start()
        return self._thread.state

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the session file of the sweep that runs."""
        if self._thread is not None:
            self._thread.set_marks(trial, marks)

    def cancel(self) -> None:
        """Asks the sweep to end; `ended` tells when it has."""
        if self._thread is not None:
            self._thread.cancel()

    def stop(self) -> None:
        """Ends the sweep and waits until no process of it is left."""
        if self._thread is not None and self._thread.isRunning():
            self._thread.cancel()
            if not self._thread.wait(STOP_TIMEOUT_MS):
                keep_until_ended(self._thread)
        self._timer.stop()

    def close(self) -> None:
        """Ends everything and removes the temporary session file."""
        self.stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _finished(self) -> None:
        if self.sender() is not self._thread or not self._timer.isActive():  # whoever called `stop` knows
            return
        self._timer.stop()
        self.ended.emit()

    def _tick(self) -> None:
        self._ticks_until_load -= 1
        if self._ticks_until_load <= 0:
            busy = psutil.cpu_percent() >= BUSY_PERCENT
            self._set_interval(SLOW_MS if busy else FAST_MS)
        self.ticked.emit()

    def _set_interval(self, milliseconds: int) -> None:
        if milliseconds != self._timer.interval():
            self._timer.setInterval(milliseconds)
        self._ticks_until_load = max(1, round(LOOK_AT_LOAD_EVERY_S * 1000 / milliseconds))
