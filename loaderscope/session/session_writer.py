"""Writes a session while a run goes on, so that after any crash all but the last second can be opened."""

from __future__ import annotations

import os
import pathlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from loaderscope import __version__
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.session import schema
from loaderscope.session.document import build_document
from loaderscope.session.errors import SessionError
from loaderscope.session.recording_folder import is_network_share
from loaderscope.session.secret_masking import mask_document, mask_request, mask_text
from loaderscope.session.thinning import Thinner
from loaderscope.session.trace_store import TraceWriter
from loaderscope.session.values import json_value, storable, to_text
from loaderscope.trace.model import Trace

COMMIT_EVERY_S = 1.0

ROWS_IN_MEMORY = 6_000_000
"""A recording with a size to keep holds at most this many rows of all its traces in memory, which take up to 400 MB."""

_RESERVE_BYTES = 2 << 20
"""Disk space reserved at the start: enough for the results of a run whose spans have filled the disk."""


class SessionWriter:
    """A sink that records a run into a session file, and masks there all that looks like a secret.

    When the disk is full, it stops recording spans, still records finished trials, and says so in `problem`. A recording without an
    end in sight gets a size to keep: the file then stays within it (`session/thinning.py`), and traces forget their oldest rows once
    the file holds these.

    Attributes:
        path: where the file will be. It grows there, or on a local disk until `close` if `path` lies on a network share.
        problem: why the recording is incomplete, one sentence; None while it is complete.
    """

    def __init__(self, path: str | os.PathLike[str], force: bool = False, keep_bytes: int | None = None) -> None:
        """Makes the file.

        Args:
            path: of the file.
            force: whether to overwrite a file of that name.
            keep_bytes: the size within which older spans are thinned; None for no limit.

        Raises:
            SessionError: the file cannot be made there.
        """
        self.path = pathlib.Path(path)
        self.problem: str | None = None
        self._trials: dict[int, TraceWriter] = {}
        self._run: Run | None = None
        self._results: list[TrialResult] = []
        self._unwritten_lines: list[LogLine] = []
        self._log_written_at = time.monotonic()
        self._spans_written_at: dict[int, float] = {}  # by trial
        self._closed = False
        if self.path.exists() and not force:
            raise SessionError(f"{self.path} exists already.")
        if not self.path.parent.is_dir():
            raise SessionError(f"The folder {self.path.parent} does not exist.")
        self._is_on_share = is_network_share(self.path)
        self._recorded_file = pathlib.Path(tempfile.mkdtemp(prefix="loaderscope-")) / self.path.name if self._is_on_share else self.path
        try:
            _remove_session(self._recorded_file)
            self._reserve: IO[bytes] | None = _reserve_space(self._recorded_file.parent)
            self._connection = sqlite3.connect(self._recorded_file, isolation_level=None, check_same_thread=False)
            self._thinner = Thinner(self._connection, keep_bytes) if keep_bytes is not None else None
            schema.create(self._connection)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._set_value("loaderscope", __version__)
            self._set_value("created_unix_s", str(int(time.time())))
        except (OSError, sqlite3.Error) as error:
            raise SessionError(f"{self.path} cannot be written: {_reason(error)}.") from error

    def run_started(self, run: Run) -> None:
        """Writes the request, the environment, the target and the plan."""
        self._run = run
        with self._transaction():
            request = to_text(mask_request(json_value(run.request)))
            for table, text in (("environment", _masked_text(run.environment)), ("request", request), ("target", _masked_text(run.target))):
                self._connection.execute(f"INSERT INTO {table} VALUES (?)", (text,))
            if run.created_unix_s is not None:
                self._set_value("created_unix_s", str(run.created_unix_s))
            self._set_value("script", run.script)
            for key, value in (("sample", run.sample), ("sent", run.sent), ("controls", run.controls)):
                self._set_value(key, _masked_text(value))
            for trial in run.plan:
                self._insert_planned(trial)

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        with self._transaction():
            self._insert_planned(trial)
            self._connection.execute("UPDATE trial SET trace = '{}' WHERE id = ?", (trial.id,))
        if self._thinner is not None:
            self._thinner.add_trace(trial.id, trace)
        self._spans_written_at[trial.id] = time.monotonic()
        on_spans = self._thinner.note_spans if self._thinner is not None else None
        self._trials[trial.id] = TraceWriter(self._connection, trial.id, trace, on_spans)
        if self.problem is not None:
            trace.notes.append(self.problem)

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        """Writes the new part of the trace, about once a second."""
        if time.monotonic() - self._spans_written_at[trial.id] >= COMMIT_EVERY_S:
            self._write_spans(self._trials[trial.id], final=False)
            self._write_log()

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        """Writes the trial's result and the rest of its trace, at once."""
        writer = self._trials.pop(result.id, None)
        if writer is not None:
            self._write_spans(writer, final=True)
        with self._transaction():
            if writer is not None:
                writer.write_head()
            self._insert_planned(PlannedTrial(result.id, result.repeat, result.config))
            self._connection.execute("UPDATE trial SET result = ? WHERE id = ?", (_masked_text(result), result.id))
        self._results.append(result)
        self._write_log()

    def log_line(self, line: LogLine) -> None:
        self._unwritten_lines.append(line)
        self._write_log_when_due()

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        """Writes the log while no trial grows; the progress itself is not stored."""
        self._write_log_when_due()

    def run_finished(self, cancelled: bool) -> None:
        with self._transaction():
            self._set_value("ended", "cancelled" if cancelled else "complete")
            if self._run is not None:
                findings = [(to_text(finding),) for finding in build_document(self._run, self._results)["findings"]]
                self._connection.executemany("INSERT INTO finding (json) VALUES (?)", findings)
        self._write_log()

    def set_marks(self, trial: int, marks: Sequence[tuple[int, str]]) -> None:
        """Replaces the marks of a trial, pairs of time in ns and text."""
        if self._thinner is not None:
            self._thinner.set_marks(trial, [time_ns for time_ns, _ in marks])
        with self._transaction():
            write_marks(self._connection, trial, marks)

    def close(self) -> None:
        """Completes the session as one single file at `path`.

        Raises:
            SessionError: this failed; the message says where the recording is.
        """
        if self._closed:
            return
        self._closed = True
        self._release_reserve()
        try:
            self._write_log()
            self._connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:  # the file lacks what its log holds; both together can be opened
            raise SessionError(f"{self._recorded_file} could not be completed: {_reason(error)}.") from error
        finally:
            self._connection.close()
        if self._is_on_share:
            self._move_to_destination()

    def _move_to_destination(self) -> None:
        """Moves the file from its temporary folder, so that the destination holds all of it or nothing."""
        part = self.path.with_name(self.path.name + ".part")
        try:
            shutil.copyfile(self._recorded_file, part)
            part.replace(self.path)
        except OSError as error:
            raise SessionError(f"{self.path} cannot be written ({_reason(error)}); the session is in {self._recorded_file}.") from error
        shutil.rmtree(self._recorded_file.parent, ignore_errors=True)

    def _write_spans(self, writer: TraceWriter, final: bool) -> None:
        if self.problem is not None:
            return
        try:
            with _Transaction(self._connection):
                writer.write(final)
                if self._thinner is not None:
                    self._thinner.thin()
            if self._thinner is not None:
                writer.forget_stored_rows(ROWS_IN_MEMORY // max(len(self._trials), 1))
            self._spans_written_at[writer.trial] = time.monotonic()
        except (OSError, sqlite3.Error) as error:
            self.problem = f"The timeline is not recorded from here on, because the session file cannot grow: {_reason(error)}."
            writer.trace.notes.append(self.problem)
            self._release_reserve()

    def _write_log_when_due(self) -> None:
        if time.monotonic() - self._log_written_at >= COMMIT_EVERY_S:
            self._write_log()

    def _write_log(self) -> None:
        lines, self._unwritten_lines = self._unwritten_lines, []
        if lines:
            with self._transaction():
                rows = [(line.time_ns, line.stream, storable(mask_text(line.text)), line.trial) for line in lines]
                self._connection.executemany("INSERT INTO log_line (time_ns, stream, text, trial) VALUES (?, ?, ?, ?)", rows)
        self._log_written_at = time.monotonic()

    def _insert_planned(self, trial: PlannedTrial) -> None:
        self._connection.execute("INSERT OR IGNORE INTO trial (id, planned) VALUES (?, ?)", (trial.id, _masked_text(trial)))

    def _set_value(self, key: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO session VALUES (?, ?)", (key, storable(value)))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection, f"{self.path} cannot be written")

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None


class _Transaction:
    """Commits all of its block or nothing. With `failure`, it turns SQLite's errors into a SessionError that begins with that text."""

    def __init__(self, connection: sqlite3.Connection, failure: str | None = None) -> None:
        self._connection, self._failure = connection, failure

    def __enter__(self) -> None:
        try:
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            self._fail(error)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
                return
        except sqlite3.Error as failed:
            error = failed
            self._roll_back()
            self._fail(failed)
        self._roll_back()
        if isinstance(error, sqlite3.Error):
            self._fail(error)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # after some errors SQLite has rolled back itself
            self._connection.execute("ROLLBACK")

    def _fail(self, error: sqlite3.Error) -> None:
        if self._failure is None:
            raise error
        raise SessionError(f"{self._failure}: {_reason(error)}.") from error


def write_marks(connection: sqlite3.Connection, trial: int, marks: Sequence[tuple[int, str]]) -> None:
    """Replaces the marks of a trial, within the caller's transaction."""
    connection.execute("DELETE FROM mark WHERE trial = ?", (trial,))
    rows = [(trial, time_ns, storable(text)) for time_ns, text in marks]
    connection.executemany("INSERT INTO mark (trial, time_ns, text) VALUES (?, ?, ?)", rows)


def _masked_text(value: Any) -> str:
    """Returns the value as JSON text with the secrets masked."""
    return to_text(mask_document(json_value(value)))


def _remove_session(path: pathlib.Path) -> None:
    """Removes a session and the logs that a crash may have left: SQLite would replay an old log into the new file."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _reserve_space(folder: pathlib.Path) -> IO[bytes] | None:
    """Reserves disk space in a file without a name, which vanishes with this process."""
    reserve = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    try:
        reserve.write(b"\0" * _RESERVE_BYTES)
        reserve.flush()
    except OSError:
        reserve.close()
        raise
    return reserve


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
