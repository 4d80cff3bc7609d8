"""The thread that drives a sweep, and the sink through which the window sees it."""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PySide6.QtCore import QThread

from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, Mark, PlannedTrial, Run
from loaderscope.gui.run_state import RunState
from loaderscope.session.file import SessionError, SessionFile, SessionWriter
from loaderscope.sweep.pool import Pool, SweepError
from loaderscope.trace.model import Trace


class GrowingSession:
    """Reads traces from the session file of a sweep, also while it is written: any number at once, but none while it is completed.

    SQLite can make the file a single one only while nobody else has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers = 0
        self._changed = threading.Condition()

    def trace(self, trial: int) -> Trace:
        """What was recorded of a trial that is marked as stored."""
        with self._opened() as file:
            return file.trace(trial)

    def row_count(self, trial: int) -> int:
        """How many spans, points and values that is."""
        with self._opened() as file:
            return file.row_count(trial)

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Nobody reads meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._readers)
            yield

    @contextmanager
    def _opened(self) -> Iterator[SessionFile]:
        with self._changed:
            self._readers += 1
        try:
            with SessionFile.open(self._path) as file:
                yield file
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()


class LiveSink:
    """Hands what the pool reports to the live state and to a session file.

    When the session file cannot be written (a full disk), the sweep and the live view go on; the log says so once.
    """

    def __init__(self, state: RunState, make_writer: Callable[[], SessionWriter]) -> None:
        self._state = state
        self._writer: SessionWriter | None = None
        self._lock = threading.Lock()
        self._marks: dict[int, list[Mark]] = {}  # by trial, still to be written
        self.write_error: str | None = None
        try:
            self._writer = make_writer()
        except SessionError as error:
            self._give_up(error)

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial. May be called from any thread: the pool's writes them, within a second."""
        with self._lock:
            self._marks[trial] = marks

    def run_started(self, run: Run) -> None:
        self._state.begin(run)
        self._write(lambda writer: writer.run_started(run))

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self._state.begin_trial(trial, trace)
        self._write(lambda writer: writer.trial_started(trial, trace))

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        self._write(lambda writer: writer.trace_grew(trial, trace))

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self._state.end_trial(result, trace)
        self._write(lambda writer: writer.trial_finished(result, trace))
        writer = self._writer
        if trace is not None and writer is not None and writer.problem is None and writer.path.exists():
            self._state.mark_stored(result.id)

    def log_line(self, line: LogLine) -> None:
        self._state.add_log(line)
        self._write(lambda writer: writer.log_line(line))

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._state.set_progress(done, total, seconds_left)
        self._write(lambda writer: writer.progress(done, total, seconds_left))
        self._write_marks()

    def run_finished(self, cancelled: bool) -> None:
        self._write_marks()
        self._write(lambda writer: writer.run_finished(cancelled))
        self._state.end(cancelled)

    def close(self) -> None:
        """Makes the session one complete file."""
        self._write(lambda writer: writer.close())

    def _write_marks(self) -> None:
        with self._lock:
            changed, self._marks = self._marks, {}
        for trial, marks in changed.items():
            self._write(functools.partial(SessionWriter.set_marks, trial=trial, marks=marks))

    def _write(self, action: Callable[[SessionWriter], object]) -> None:
        if self._writer is None:
            return
        try:
            action(self._writer)
        except (OSError, SessionError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._writer = None
        self.write_error = f"The session cannot be written to disk, so it cannot be saved: {error}"
        self._state.add_log(LogLine(time.perf_counter_ns(), "loaderscope", self.write_error))


class RunThread(QThread):
    """One sweep. Nothing is signalled while it runs but `finished`; the window polls `state.version`."""

    def __init__(self, request: Request, session_path: Path, parent: object = None) -> None:
        super().__init__(parent)  # type: ignore[arg-type]
        self.request = request
        self.session_path = session_path
        self._session = GrowingSession(session_path)
        self.state = RunState(self._session)
        self.error: ErrorInfo | None = None
        self._sink: LiveSink | None = None
        self._pool: Pool | None = None
        self._cancelled = False

    @property
    def write_error(self) -> str | None:
        """Why the session file is incomplete, or None."""
        return self._sink.write_error if self._sink is not None else None

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the session file, soon. Returns at once."""
        if self._sink is not None:
            self._sink.set_marks(trial, marks)

    def cancel(self) -> None:
        """Ends the sweep soon; finished trials stay. Returns at once."""
        self._cancelled = True
        if self._pool is not None:
            self._pool.cancel()

    def run(self) -> None:
        self._sink = LiveSink(self.state, lambda: SessionWriter(self.session_path, force=True))
        try:
            self._pool = Pool(self.request, self._sink)
            if self._cancelled:  # asked for before there was a pool to tell
                self._pool.cancel()
            self._pool.run()
        except SweepError as error:
            self.error = error.info
        except Exception as error:  # a thread's border: whatever went wrong must reach the user
            self.error = ErrorInfo(type(error).__name__, f"The sweep ended by a fault of Loaderscope: {error}", traceback.format_exc())
        finally:
            if self.error is not None:
                self.state.add_traceback(self.error)
            with self._session.unread():
                self._sink.close()
            self.state.end(self._cancelled)
