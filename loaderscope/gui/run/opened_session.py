"""An opened session file, as a run that the window can show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loaderscope.facts.run import Mark
from loaderscope.gui.run.run_state import RunState
from loaderscope.session.file import SessionError, SessionFile
from loaderscope.session.trace_store import OpenedFile
from loaderscope.trace.model import Trace

__all__ = ["OpenedSession", "SessionError"]


class OpenedSession:
    """Keeps the file open, because a trace is read only when it is first shown."""

    def __init__(self, path: str | Path) -> None:
        """Reads everything but the traces.

        Raises:
            SessionError: the file is no session, or cannot be read.
        """
        self.path = Path(path).resolve()
        if not self.path.is_file():
            raise SessionError(f"There is no file {self.path}.")
        self._file = SessionFile.open(self.path)
        self.state = RunState(self)
        self.state.run_started(self._file.run)
        for result in self._file.results:
            self.state.trial_finished(result, None)
            self.state.mark_stored(result.id)
        try:
            for line in self._file.log_lines():
                self.state.log_line(line)
        except SessionError:
            self._file.close()
            raise
        self.state.progress(len(self._file.results), len(self._file.results), None)
        self.state.run_finished(not self._file.complete)

    def trace(self, trial: int) -> Trace:
        """Returns the trace of a trial.

        Raises:
            SessionError: the trace is damaged.
        """
        return self._file.trace(trial, self._reading)

    @contextmanager
    def _reading(self) -> Iterator[OpenedFile]:
        """Keeps the present file open within the block: the session may have moved since a trace was opened."""
        with self._file.reading() as opened:
            yield opened

    def row_count(self, trial: int) -> int:
        """Returns how many spans, points and values the trace of a trial has.

        Raises:
            SessionError: the file is damaged.
        """
        return self._file.row_count(trial)

    def move_to(self, path: Path) -> None:
        """From now on reads from this copy of the file, and writes marks to it.

        Raises:
            SessionError: the copy cannot be read.
        """
        original, self._file = self._file, SessionFile.open(path)
        self.path = path
        original.close()

    def marks(self, trial: int) -> list[Mark]:
        """Returns the marks of a trial.

        Raises:
            SessionError: the marks are damaged.
        """
        return self._file.marks(trial)

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial in the file.

        Raises:
            SessionError: the file cannot be written.
        """
        self._file.set_marks(trial, marks)

    def close(self) -> None:
        self._file.close()
