"""A sink for the command line: one run into a session file and onto a terminal, and kept at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.session.console import Console
from loaderscope.session.file import SessionError, SessionWriter
from loaderscope.trace.model import Trace


class Recording:
    """The file is made when the run starts, so that a script that does not load costs no older session of that name.

    When it can no longer be written (a full disk), the sweep goes on: its results are still told at the end.

    Attributes:
        run: what was known when the first trial was about to start; None until then.
        results: the trials that have finished.
        cancelled: whether the run ended before its last trial because somebody asked for it.
        write_error: why the session file is incomplete, or None.
    """

    def __init__(self, path: Path, force: bool, console: Console) -> None:
        """`force`: whether a file that is there already is overwritten."""
        self._path = path
        self._force = force
        self._writer: SessionWriter | None = None
        self._early: list[LogLine] = []
        self._console = console
        self.run: Run | None = None
        self.results: list[TrialResult] = []
        self.cancelled = False
        self.write_error: str | None = None

    def run_started(self, run: Run) -> None:
        """Makes the file.

        Raises:
            SessionError: that is not possible.
        """
        self._writer = SessionWriter(self._path, self._force)
        self.run = run
        self._write(lambda writer: writer.run_started(run))
        for line in self._early:
            self._record_line(line)
        self._console.run_started(run)

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        self._write(lambda writer: writer.trial_started(trial, trace))
        self._console.trial_started(trial, trace)

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        self._write(lambda writer: writer.trace_grew(trial, trace))
        self._console.trace_grew(trial, trace)

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        self.results.append(result)
        self._write(lambda writer: writer.trial_finished(result, trace))
        self._console.trial_finished(result, trace)

    def log_line(self, line: LogLine) -> None:
        if self.run is None:
            self._early.append(line)
        else:
            self._record_line(line)
        self._console.log_line(line)

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        self._write(lambda writer: writer.progress(done, total, seconds_left))
        self._console.progress(done, total, seconds_left)

    def run_finished(self, cancelled: bool) -> None:
        self.cancelled = cancelled
        self._write(lambda writer: writer.run_finished(cancelled))
        self._console.run_finished(cancelled)

    def close(self) -> None:
        """Makes the session one complete file."""
        self._write(lambda writer: writer.close())
        if self._writer is not None and self.write_error is None:
            self.write_error = self._writer.problem

    def _record_line(self, line: LogLine) -> None:
        self._write(lambda writer: writer.log_line(line))

    def _write(self, action: Callable[[SessionWriter], object]) -> None:
        if self._writer is None:
            return
        try:
            action(self._writer)
        except (OSError, SessionError) as error:
            self._writer = None
            self.write_error = f"The session is incomplete because it could not be written: {error}"
            self._console.say(f"  {self.write_error}")
