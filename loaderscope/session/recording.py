"""A sink that writes a run into a session file, and then passes every event to the sink that shows the run."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, Mark, PlannedTrial, Run, Sink
from loaderscope.session.file import SessionError, SessionWriter
from loaderscope.trace.model import Trace


class Recording:
    """Makes the file when the run starts, so that a script that fails to load does not overwrite an older session of that name.

    If the file can no longer be written (a full disk), the sweep goes on, and one line of the log says so.

    Attributes:
        run: its request, environment, target and plan; None before the first trial.
        results: the trials that have finished.
        cancelled: whether the user ended the run before its last trial.
        write_error: why the session file is incomplete, or None.
    """

    def __init__(
        self,
        make_writer: Callable[[], SessionWriter],
        next_sink: Sink[Trace],
        *,
        is_required: bool,
        on_stored: Callable[[int], object] = lambda trial: None,
    ) -> None:
        """Makes no file yet.

        Args:
            make_writer: makes the file; may raise SessionError.
            next_sink: gets every event, after this sink has written it.
            is_required: whether the run must stop if the file cannot be made.
            on_stored: gets the id of each trial once the file holds its whole trace.
        """
        self._make_writer = make_writer
        self._next_sink = next_sink
        self._is_required = is_required
        self._on_stored = on_stored
        self._writer: SessionWriter | None = None
        self._early_lines: list[LogLine] = []
        self._marks_lock = threading.Lock()
        self._marks: dict[int, list[Mark]] = {}  # by trial, not yet written
        self.run: Run | None = None
        self.results: list[TrialResult] = []
        self.cancelled = False
        self.write_error: str | None = None

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial. Any thread may call it; the pool's thread writes the marks within a second."""
        with self._marks_lock:
            self._marks[trial] = marks

    def run_started(self, run: Run) -> None:
        """Makes the file.

        Raises:
            SessionError: the file cannot be made, and the run requires it.
        """
        try:
            self._writer = self._make_writer()
        except SessionError as error:
            if self._is_required:
                raise
            self._stop_writing(error)
        self.run = run
        self._write(lambda writer: writer.run_started(run))
        for line in self._early_lines:
            self._record_line(line)
        self._next_sink.run_started(run)

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self._write(lambda writer: writer.trial_started(trial, trace))
        self._next_sink.trial_started(trial, trace)

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        self._write(lambda writer: writer.trace_grew(trial, trace))
        self._next_sink.trace_grew(trial, trace)

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self.results.append(result)
        self._write(lambda writer: writer.trial_finished(result, trace))
        self._next_sink.trial_finished(result, trace)
        writer = self._writer
        if trace is not None and writer is not None and writer.problem is None and writer.path.exists():
            self._on_stored(result.id)

    def log_line(self, line: LogLine) -> None:
        if self.run is None:
            self._early_lines.append(line)
        else:
            self._record_line(line)
        self._next_sink.log_line(line)

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._write(lambda writer: writer.progress(done, total, seconds_left))
        self._write_marks()
        self._next_sink.progress(done, total, seconds_left)

    def run_finished(self, cancelled: bool) -> None:
        self.cancelled = cancelled
        self._write_marks()
        self._write(lambda writer: writer.run_finished(cancelled))
        self._next_sink.run_finished(cancelled)

    def close(self) -> None:
        """Completes the session as one single file."""
        self._write(lambda writer: writer.close())
        if self._writer is not None and self.write_error is None:
            self.write_error = self._writer.problem

    def _write_marks(self) -> None:
        with self._marks_lock:
            changed, self._marks = self._marks, {}
        for trial, marks in changed.items():
            self._write(functools.partial(SessionWriter.set_marks, trial=trial, marks=marks))

    def _record_line(self, line: LogLine) -> None:
        self._write(lambda writer: writer.log_line(line))

    def _write(self, action: Callable[[SessionWriter], object]) -> None:
        if self._writer is None:
            return
        try:
            action(self._writer)
        except (OSError, SessionError) as error:
            self._stop_writing(error)

    def _stop_writing(self, error: Exception) -> None:
        self._writer = None
        self.write_error = f"The session is incomplete because it could not be written: {error}"
        self._next_sink.log_line(LogLine(time.perf_counter_ns(), "loaderscope", self.write_error))
