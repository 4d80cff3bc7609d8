"""A sweep that runs in the window: its thread, its temporary session file, and the clock by which the window polls it."""

from __future__ import annotations

import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from PySide6.QtCore import QObject, QThread, QTimer, Signal

from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.request import Request
from loaderscope.facts.run import Mark
from loaderscope.gui.run.background_work import keep_until_ended
from loaderscope.gui.run.run_state import RunState
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.session.recording import Recording
from loaderscope.sweep.pool import LIVE_READ_INTERVAL_S, Pool, SweepError
from loaderscope.sweep.processes.temporary_folders import base_folder, claim
from loaderscope.trace.model import Trace

WINDOW_PREFIX = "loaderscope-window-"
"""Begins the name of the temporary folder that holds the session of an unsaved sweep."""
FAST_TICK_MS = 40
SLOW_TICK_MS = 250
BUSY_PERCENT = 90.0
LOAD_CHECK_INTERVAL_S = 1.0
STOP_TIMEOUT_MS = 30_000


class GrowingSession:
    """Reads traces from the session file of a sweep, also while the sweep writes it.

    Any number of threads read at once, but none while the file is completed: SQLite can turn it into a single file only while
    nobody else has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader_count = 0
        self._readers_changed = threading.Condition()

    def trace(self, trial: int) -> Trace:
        """Returns the trace of a trial that is marked as stored."""
        with self._open_for_reading() as file:
            return file.trace(trial)

    def row_count(self, trial: int) -> int:
        """Returns how many spans, points and values the trace of a trial has."""
        with self._open_for_reading() as file:
            return file.row_count(trial)

    @contextmanager
    def without_readers(self) -> Iterator[None]:
        """Waits until nobody reads the file, and lets nobody begin within the block."""
        with self._readers_changed:
            self._readers_changed.wait_for(lambda: not self._reader_count)
            yield

    @contextmanager
    def _open_for_reading(self) -> Iterator[SessionFile]:
        with self._readers_changed:
            self._reader_count += 1
        try:
            with SessionFile.open(self._path) as file:
                yield file
        finally:
            with self._readers_changed:
                self._reader_count -= 1
                self._readers_changed.notify_all()


class RunThread(QThread):
    """The thread of one sweep. It emits nothing but `finished`; the window polls `state.version`."""

    def __init__(self, request: Request, session_path: Path, parent: object = None) -> None:
        super().__init__(parent)  # type: ignore[arg-type]
        self.request = request
        self.session_path = session_path
        self._session = GrowingSession(session_path)
        self.state = RunState(self._session)
        self.error: ErrorInfo | None = None
        self._recording: Recording | None = None
        self._pool: Pool | None = None
        self._cancelled = False

    @property
    def write_error(self) -> str | None:
        """Why the session file is incomplete, or None."""
        return self._recording.write_error if self._recording is not None else None

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the session file, soon. Returns at once."""
        if self._recording is not None:
            self._recording.set_marks(trial, marks)

    def cancel(self) -> None:
        """Ends the sweep soon; finished trials stay. Returns at once."""
        self._cancelled = True
        if self._pool is not None:
            self._pool.cancel()

    def run(self) -> None:
        recording = self._recording = Recording(
            lambda: SessionWriter(self.session_path, force=True), self.state, is_required=False, on_stored=self.state.mark_stored
        )
        try:
            self._pool = Pool(self.request, recording, read_interval_s=LIVE_READ_INTERVAL_S)
            if self._cancelled:  # `cancel` was called before there was a pool
                self._pool.cancel()
            self._pool.run()
        except SweepError as error:
            self.error = error.info
        except Exception as error:  # a thread's border: whatever went wrong must reach the user
            self.error = ErrorInfo(type(error).__name__, f"The sweep ended by a fault of Loaderscope: {error}", traceback.format_exc())
        finally:
            if self.error is not None:
                self.state.add_traceback(self.error)
            with self._session.without_readers():
                recording.close()
            self.state.run_finished(self._cancelled)


class LiveRun(QObject):
    """Starts and stops sweeps, one at a time.

    The clock ticks often while the machine has room for drawing, and only four times a second while a trial needs all cores.

    Signals:
        ticked: 4 to 25 times a second while a sweep runs.
        ended: once, when a sweep has ended by itself or after `cancel`, but not after `stop`.
    """

    ticked = Signal()
    ended = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: RunThread | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(FAST_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._ticks_until_load_check = 0

    @property
    def running(self) -> bool:
        """Whether a sweep runs that has not been stopped."""
        return self._thread is not None and self._timer.isActive()

    @property
    def error(self) -> ErrorInfo | None:
        """Why the last sweep could not run."""
        return self._thread.error if self._thread is not None else None

    @property
    def session_path(self) -> Path | None:
        """The session file of the last sweep, complete once the sweep has ended; None if the file is missing or incomplete."""
        if self._thread is None or self._thread.write_error is not None or not self._thread.session_path.exists():
            return None
        return self._thread.session_path

    def start(self, request: Request) -> RunState:
        """Runs a sweep and returns its state, which grows while the sweep goes on."""
        self.stop()
        folder = self._folder
        self._folder = tempfile.TemporaryDirectory(prefix=WINDOW_PREFIX, dir=base_folder(), ignore_cleanup_errors=True)
        claim(Path(self._folder.name))
        if folder is not None:
            folder.cleanup()
        self._thread = RunThread(request, Path(self._folder.name) / f"{Path(request.script).stem}.loaderscope")
        self._thread.finished.connect(self._thread_finished)
        self._set_interval(FAST_TICK_MS)
        psutil.cpu_percent()  # the first call only starts the measurement
        self._timer.start()
        self._thread.start()
        return self._thread.state

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the session file of the running sweep."""
        if self._thread is not None:
            self._thread.set_marks(trial, marks)

    def cancel(self) -> None:
        """Asks the sweep to end; `ended` follows once it has."""
        if self._thread is not None:
            self._thread.cancel()

    def stop(self) -> None:
        """Ends the sweep and waits until none of its processes is left."""
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

    def _thread_finished(self) -> None:
        if self.sender() is not self._thread or not self._timer.isActive():  # the caller of `stop` knows already
            return
        self._timer.stop()
        self.ended.emit()

    def _tick(self) -> None:
        self._ticks_until_load_check -= 1
        if self._ticks_until_load_check <= 0:
            busy = psutil.cpu_percent() >= BUSY_PERCENT
            self._set_interval(SLOW_TICK_MS if busy else FAST_TICK_MS)
        self.ticked.emit()

    def _set_interval(self, milliseconds: int) -> None:
        if milliseconds != self._timer.interval():
            self._timer.setInterval(milliseconds)
        self._ticks_until_load_check = max(1, round(LOAD_CHECK_INTERVAL_S * 1000 / milliseconds))
