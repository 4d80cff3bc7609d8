"""The thread that drives a sweep, and its session file, which is read while it is written."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PySide6.QtCore import QThread

from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.request import Request
from loaderscope.facts.run import Mark
from loaderscope.gui.run.run_state import RunState
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.session.recording import Recording
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


class RunThread(QThread):
    """One sweep. Nothing is signalled while it runs but `finished`; the window polls `state.version`."""

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
            self._pool = Pool(self.request, recording)
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
                recording.close()
            self.state.run_finished(self._cancelled)
