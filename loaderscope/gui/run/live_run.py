"""A run in the window, a sweep or a recorded training: its thread, its temporary session file, and the clock by which it is polled."""

from __future__ import annotations

import signal
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
from loaderscope.facts.run import KEPT_BYTES, Mark
from loaderscope.gui.run.background_work import NewestOnly, keep_until_ended
from loaderscope.gui.run.run_state import RunState
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.session.recording import Recording
from loaderscope.session.trace_store import OpenedFile
from loaderscope.sweep.pool import LIVE_READ_INTERVAL_S, Pool, SweepError
from loaderscope.sweep.processes.temporary_folders import base_folder, claim
from loaderscope.sweep.training_run import TrainingRun
from loaderscope.trace.model import Trace
from loaderscope.trace.process_places import ProcessPlace

WINDOW_PREFIX = "loaderscope-window-"
"""Begins the name of the temporary folder that holds the session of an unsaved run."""
FAST_TICK_MS = 40
SLOW_TICK_MS = 250
BUSY_PERCENT = 90.0
LOAD_CHECK_INTERVAL_S = 1.0
STOP_TIMEOUT_MS = 30_000
LAST_LINES = 6
"""So many of the last lines of a script that failed are shown beside its exit status."""
UNDERLINING = "^~ "
"""Below a line of a traceback these characters mark a part of it, which they meet only in a font of fixed width."""


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
            return file.trace(trial, self._reading)

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
    def _reading(self) -> Iterator[OpenedFile]:
        with self._open_for_reading() as file, file.reading() as opened:
            yield opened

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
    """The thread of one run. It emits nothing but `finished`; the window polls `state.version`."""

    kind: str
    """The kind of run, in words."""
    keep_bytes: int | None = None
    """The size within which its session stays; None without a limit."""
    is_training = False

    def __init__(self, request: Request, session_path: Path, parent: object = None) -> None:
        super().__init__(parent)  # type: ignore[arg-type]
        self.request = request
        self.session_path = session_path
        self._session = GrowingSession(session_path)
        self.state = RunState(self._session, self.is_training)
        self.error: ErrorInfo | None = None
        self._recording: Recording | None = None
        self._cancelled = False

    @property
    def write_error(self) -> str | None:
        """Why the session file is incomplete, or None."""
        return self._recording.write_error if self._recording is not None else None

    @property
    def is_cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the session file, soon. Returns at once."""
        if self._recording is not None:
            self._recording.set_marks(trial, marks)

    def cancel(self) -> None:
        """Ends the run soon. Returns at once."""
        self._cancelled = True
        self._cancel_run()

    def release(self) -> None:
        """Ends what the window has to do with the run, soon. Returns at once."""
        self.cancel()

    def run(self) -> None:
        recording = self._recording = Recording(
            lambda: SessionWriter(self.session_path, force=True, keep_bytes=self.keep_bytes),
            self.state,
            is_required=False,
            on_stored=self.state.mark_stored,
        )
        try:
            self._execute(recording)
        except SweepError as error:
            self.error = error.info
        except Exception as error:  # a thread's border: whatever went wrong must reach the user
            self.error = ErrorInfo(
                type(error).__name__, f"The {self.kind} ended by a fault of Loaderscope: {error}", traceback.format_exc()
            )
        finally:
            if self.error is not None:
                self.state.add_traceback(self.error)
            with self._session.without_readers():
                recording.close()
            self.state.run_finished(self._cancelled)

    def _execute(self, recording: Recording) -> None:
        """Runs to the end.

        Raises:
            SweepError: the script, or the request, is wrong.
        """
        raise NotImplementedError

    def _cancel_run(self) -> None:
        raise NotImplementedError


class SweepThread(RunThread):
    """The thread of a sweep. Finished trials stay when it is cancelled.

    Attributes:
        changed_files: those that the first trial of a training has changed, while the thread waits for `answer_changes`; else None.
    """

    kind = "sweep"
    _pool: Pool | None = None

    def __init__(self, request: Request, session_path: Path, parent: object = None) -> None:
        super().__init__(request, session_path, parent)
        self.changed_files: list[str] | None = None
        self._answered = threading.Event()
        self._goes_on = False

    def answer_changes(self, goes_on: bool) -> None:
        """Lets the sweep go on, or end, whose first trial has changed files."""
        self.changed_files, self._goes_on = None, goes_on
        self._answered.set()

    def _confirm_changes(self, files: list[str]) -> bool:
        self.changed_files = files
        self._answered.wait()
        return self._goes_on

    def _execute(self, recording: Recording) -> None:
        self._pool = Pool(self.request, recording, read_interval_s=LIVE_READ_INTERVAL_S, confirm_changes=self._confirm_changes)
        if self._cancelled:  # `cancel` was called before there was a pool
            self._pool.cancel()
        self._pool.run()

    def where(self) -> list[ProcessPlace]:
        """Returns where each process of the running trial stands; takes up to a second."""
        return self._pool.where() if self._pool is not None else []

    def _cancel_run(self) -> None:
        if self._pool is not None:
            self._pool.cancel()
        self._answered.set()


class TrainingThread(RunThread):
    """The thread of a training that is recorded. `cancel` sends the script Ctrl+C.

    Attributes:
        exit_status: of the script; None as long as it runs, and if it goes on without us.
        last_lines: what a script printed last that failed.
    """

    kind = "recording"
    keep_bytes = KEPT_BYTES
    is_training = True

    def __init__(self, request: Request, session_path: Path, parent: object = None) -> None:
        super().__init__(request, session_path, parent)
        self.exit_status: int | None = None
        self.last_lines: list[str] = []
        self._training: TrainingRun | None = None
        self._released = False

    def kill(self) -> None:
        """Kills the script and all that it started. Returns at once."""
        if self._training is not None:
            self._training.kill()

    def release(self) -> None:
        """Ends the recording soon; the training goes on. Returns at once."""
        self._released = True
        if self._training is not None:
            self._training.detach()

    def _execute(self, recording: Recording) -> None:
        if self._cancelled:
            return
        training = self._training = TrainingRun(self.request, recording, in_window=True)
        if self._released:
            training.detach()
        try:
            self.exit_status = training.run()
        except OSError as error:
            program = self.request.python or "Python"
            self.error = ErrorInfo(type(error).__name__, f"{program} cannot be started: {error.strerror or error}.")
            return
        if self.exit_status:
            self.error = ErrorInfo("training-failed", exit_sentence(self.request, self.exit_status))
            self.last_lines = [line for line in training.last_lines() if line.strip(UNDERLINING)][-LAST_LINES:]
        elif recording.run is None and self.exit_status is not None:
            what = "No DataLoader was recorded" if training.met_loaders else "The script iterated no DataLoader"
            self.error = ErrorInfo("unsupported", f"{what}, so there is nothing to show.")

    def _cancel_run(self) -> None:
        if self._training is not None:
            self._training.interrupt()


def exit_sentence(request: Request, status: int) -> str:
    """Returns how a script ended; `status` is its exit status as `subprocess` gives it."""
    name = request.module or Path(request.script).name
    if status >= 0:
        return f"{name} ended with exit status {status}."
    try:
        return f"{name} was ended by {signal.Signals(-status).name}."
    except ValueError:
        return f"{name} was ended by signal {-status}."


class LiveRun(QObject):
    """Starts and stops runs, one at a time.

    The clock ticks often while the machine has room for drawing, and only four times a second while a trial needs all cores.

    Signals:
        ticked: 4 to 25 times a second while a run goes on.
        ended: once, when a run has ended by itself or after `cancel`, but not after `stop`.
        changesFound: the files that the first trial of a training has changed; the sweep waits for `answer_changes`.
        placesFound: the answer to `ask_where`: a `ProcessPlace` of each process that answered.
    """

    ticked = Signal()
    ended = Signal()
    changesFound = Signal(list)
    placesFound = Signal(list)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: RunThread | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(FAST_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._ticks_until_load_check = 0
        self._asks_about_changes = False
        self._where: NewestOnly[list[ProcessPlace]] = NewestOnly(self.placesFound.emit, self)

    @property
    def running(self) -> bool:
        """Whether a run goes on that has not been stopped."""
        return self._thread is not None and self._timer.isActive()

    @property
    def training(self) -> TrainingThread | None:
        """The training that is recorded, if one is."""
        return self._thread if isinstance(self._thread, TrainingThread) and self.running else None

    @property
    def is_stopping(self) -> bool:
        """Whether the user has asked the present run to end."""
        return self.running and self._thread is not None and self._thread.is_cancelled

    @property
    def error(self) -> ErrorInfo | None:
        """Why the last run could not run, or failed."""
        return self._thread.error if self._thread is not None else None

    @property
    def last_lines(self) -> list[str]:
        """What the script of the last training printed last, if it failed."""
        return self._thread.last_lines if isinstance(self._thread, TrainingThread) else []

    @property
    def session_path(self) -> Path | None:
        """The session file of the last run, complete once the run has ended; None if the file is missing or incomplete."""
        if self._thread is None or self._thread.write_error is not None or not self._thread.session_path.exists():
            return None
        return self._thread.session_path

    def start(self, request: Request) -> RunState:
        """Runs a sweep and returns its state, which grows while the sweep goes on."""
        return self._start(SweepThread, request)

    def record(self, request: Request) -> RunState:
        """Runs the script of a request as it is, records its loaders, and returns the state, which grows meanwhile."""
        return self._start(TrainingThread, request)

    def _start(self, thread_class: type[RunThread], request: Request) -> RunState:
        self.stop()
        self._asks_about_changes = False
        folder = self._folder
        self._folder = tempfile.TemporaryDirectory(prefix=WINDOW_PREFIX, dir=base_folder(), ignore_cleanup_errors=True)
        claim(Path(self._folder.name))
        if folder is not None:
            folder.cleanup()
        self._thread = thread_class(request, Path(self._folder.name) / f"{Path(request.script).stem}.loaderscope")
        self._thread.finished.connect(self._thread_finished)
        self._set_interval(FAST_TICK_MS)
        psutil.cpu_percent()  # the first call only starts the measurement
        self._timer.start()
        self._thread.start()
        return self._thread.state

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the session file of the present run."""
        if self._thread is not None:
            self._thread.set_marks(trial, marks)

    def answer_changes(self, goes_on: bool) -> None:
        """Lets the sweep go on, or end, whose first trial has changed files."""
        self._asks_about_changes = False
        if isinstance(self._thread, SweepThread):
            self._thread.answer_changes(goes_on)

    def ask_where(self) -> None:
        """Asks the processes of the running trial where they stand; the trial goes on, and `placesFound` follows."""
        if self.running and isinstance(self._thread, SweepThread):
            self._where.ask(self._thread.where)

    def cancel(self) -> None:
        """Asks the run to end, a training by Ctrl+C; `ended` follows once it has."""
        if self._thread is not None:
            self._thread.cancel()

    def stop(self) -> None:
        """Ends a sweep and waits until none of its processes is left. Of a training it ends the recording alone: the script goes on."""
        if self._thread is not None and self._thread.isRunning():
            self._thread.release()
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
        changed = self._thread.changed_files if isinstance(self._thread, SweepThread) else None
        if changed is not None and not self._asks_about_changes:
            self._asks_about_changes = True
            self.changesFound.emit(changed)

    def _set_interval(self, milliseconds: int) -> None:
        if milliseconds != self._timer.interval():
            self._timer.setInterval(milliseconds)
        self._ticks_until_load_check = max(1, round(LOAD_CHECK_INTERVAL_S * 1000 / milliseconds))
