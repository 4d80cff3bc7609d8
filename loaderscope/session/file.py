"""Opens session files. Programs outside the package import `SessionFile`, `SessionWriter` and `SessionError` from here."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from loaderscope.agent.messages import Target
from loaderscope.agent.ranges import Count, FilePath, TimeNs
from loaderscope.analysis.disturbance import mark_replaced
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Environment, LogLine, Mark, PlannedTrial, Run, Sample
from loaderscope.facts.startup_results import Control, SentPart
from loaderscope.facts.statuses import CANCELLED
from loaderscope.session import schema
from loaderscope.session.document import build_document
from loaderscope.session.errors import SessionError
from loaderscope.session.session_writer import SessionWriter, write_marks
from loaderscope.session.trace_store import OpenedFile, StoredRows, load_trace
from loaderscope.session.values import checked, checked_rows, read_json
from loaderscope.trace.model import Trace, TrackKey
from loaderscope.trace.span_sums import Sums

__all__ = ["SessionError", "SessionFile", "SessionWriter"]

MAX_VALUE_BYTES = 256 << 20
"""A longer text or blob in a file is refused as an attack."""

_LOG_SUFFIXES = ("-wal", "-journal")

MAX_LOG_LINES = 1_000_000

MOST_COUNTED_CHUNKS = 4000
"""Counting the rows of a long recording must take no time that a user notices."""

_BUSY_S = 0.2
"""How long a change waits for another program that writes to the file; the window waits as long."""

UNFINISHED_NOTE = "The recording ended before this trial did."


class SessionFile:
    """An opened session. It checks all that it reads and executes nothing of it.

    Attributes:
        path: of the file.
        run: its request, environment, target and plan.
        version: of its tables.
        results: one row for each trial that ended, and one for a trial that was running when the recording stopped.
        complete: whether the run reached its end: nobody cancelled it, and no crash cut it off.
    """

    def __init__(self, path: pathlib.Path, connection: sqlite3.Connection, copied_to: pathlib.Path | None) -> None:
        self.path = path
        self._connection = connection
        self._connections_to_close: list[sqlite3.Connection] = []  # closed once no thread reads through them
        self._readers = 0
        self._closed = False
        self._lock = threading.Lock()
        self._copied_to = copied_to
        with self._reading():
            self.version = schema.check_tables(connection)
            self._values = dict(self._checked_rows("session", "SELECT key, value FROM session", str, str))
            self.run = self._read_run()
            self.results = self._read_results()
        self.complete = self._values.get("ended") == "complete"

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> SessionFile:
        """Opens a session.

        If a crash has left a write-ahead log beside the file, SQLite completes the file from it, or a copy of the file where the
        folder is not writable.

        Raises:
            SessionError: the file is no session, cannot be read, or is damaged; the message is one sentence for the user.
        """
        path = pathlib.Path(path)
        has_log = _has_log(path)
        schema.check_header(path, has_log)
        copied_to = None
        connection = _connect(path, has_log)
        if has_log and not _can_read(connection):
            connection.close()
            copied_to = _copy_to_temporary_folder(path)
            connection = _connect(copied_to / path.name, has_log)
        try:
            return cls(path, connection, copied_to)
        except BaseException:
            _close(connection, copied_to)
            raise

    def __enter__(self) -> SessionFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file once no other thread reads from it; traces already read stay valid."""
        self._closed = True
        self._close_when_unread(self._connection)

    def trace(self, trial: int, open_file: Callable[[], AbstractContextManager[OpenedFile]] | None = None) -> Trace:
        """Returns the trace of a trial; an empty one if the trial never started. The long tables of a long trace stay in the file.

        Args:
            trial: number of the trial.
            open_file: opens the file again for each later reading of rows; `reading` by default, which needs this object open.

        Raises:
            SessionError: the file is damaged.
        """
        with self._reading():
            return load_trace(self._connection, trial, StoredRows(trial, open_file or self.reading))

    @contextmanager
    def reading(self) -> Iterator[OpenedFile]:
        """Keeps the file open within the block.

        Raises:
            SessionError: the file was closed before, or the block found it damaged.
        """
        with self._reading():
            yield OpenedFile(self._connection, self.version >= schema.SUMS_SINCE)

    def sums(self, trial: int, track: TrackKey, *, shift: int, from_ns: int, until_ns: int) -> Sums:
        """Returns how long a track was in each state in buckets of time, and how many spans began; see `load_sums`.

        Raises:
            SessionError: the file is damaged.
        """
        return StoredRows(trial, self.reading).sums(track.lane, track.depth, shift=shift, from_ns=from_ns, until_ns=until_ns)

    def row_count(self, trial: int) -> int:
        """Returns the number of recorded spans, points and values of a trial; of very many, only those of the first chunks.

        Raises:
            SessionError: the file is damaged.
        """
        query = f"SELECT sum(row_count) FROM (SELECT row_count FROM chunk WHERE trial = ? LIMIT {MOST_COUNTED_CHUNKS})"
        with self._reading():
            found = self._connection.execute(query, (trial,)).fetchone()[0]
        return found if isinstance(found, int) else 0

    def log_lines(self) -> list[LogLine]:
        """Returns the lines that the script and the tool printed, oldest first.

        Raises:
            SessionError: the file is damaged.
        """
        query = f"SELECT time_ns, stream, text, trial FROM log_line ORDER BY id LIMIT {MAX_LOG_LINES}"
        with self._reading():
            return [LogLine(*row) for row in self._checked_rows("log_line", query, TimeNs, str, str, Count | None)]

    def marks(self, trial: int) -> list[Mark]:
        """Returns the marks of a trial, in order of time.

        Raises:
            SessionError: the marks are damaged.
        """
        with self._reading():
            query = "SELECT time_ns, text FROM mark WHERE trial = ? ORDER BY time_ns"
            return [Mark(*row) for row in self._checked_rows("mark", query, TimeNs, str, values=(trial,))]

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial, in the file.

        Raises:
            SessionError: the file cannot be written.
        """
        try:
            connection = sqlite3.connect(f"{_uri(self.path)}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_S)
            try:
                connection.execute("BEGIN IMMEDIATE")
                write_marks(connection, trial, marks)
                connection.execute("COMMIT")
            finally:
                connection.close()
            before, self._connection = self._connection, _connect(self.path, _has_log(self.path))
            self._close_when_unread(before)
        except sqlite3.Error as error:
            raise SessionError(f"{self.path.name} cannot be changed: {error}.") from None

    def copy_to(self, target: pathlib.Path) -> None:
        """Writes the session to another file, with the rows that a crash may have left in the log beside this one.

        Raises:
            OSError: the target cannot be written, or this file cannot be read.
            SessionError: the same, if SQLite reports it.
        """
        if not _has_log(self.path):
            shutil.copyfile(self.path, target)
            return
        target.unlink(missing_ok=True)
        try:
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            finally:
                copy.close()
        except sqlite3.Error as error:
            raise SessionError(f"{target.name} cannot be written: {error}") from None

    def document(self) -> dict[str, Any]:
        """Returns the session as the JSON document of `show`."""
        return build_document(self.run, self.results)

    def _read_run(self) -> Run:
        texts = {}
        for table in ("environment", "request", "target"):
            rows = self._checked_rows(table, f"SELECT json FROM {table} LIMIT 1", str)
            if not rows:
                raise SessionError(f"{self.path.name} holds no run: it was ended before the first trial.")
            texts[table] = rows[0][0]
        plan = [self._read_planned(*row) for row in self._checked_rows("trial", "SELECT id, planned FROM trial ORDER BY id", Count, str)]
        environment = read_json(dict[str, Any], texts["environment"], "its environment")
        checked(environment, Environment, "its environment")
        sample = self._read_value("sample", dict[str, Any] | None)
        checked(sample, Sample | None, "its 'sample'")
        sent = self._read_value("sent", list[SentPart] | None)
        controls = self._read_value("controls", list[Control] | None) or []
        target, request = read_json(Target, texts["target"], "its target"), read_json(Request, texts["request"], "its request")
        created = self._values.get("created_unix_s", "")
        created_unix_s = int(created) if created.isdecimal() and len(created) < 12 else None
        script = self._values.get("script", request.script)
        checked(script, FilePath, "the name of its script")
        return Run(request, environment, target, script, sample, plan, sent, controls, created_unix_s)

    def _read_value(self, key: str, hint: Any) -> Any:
        return read_json(hint, self._values.get(key, "null"), f"its '{key}'")

    def _read_planned(self, number: int, text: str) -> PlannedTrial:
        planned: PlannedTrial = read_json(PlannedTrial, text, f"trial {number} of its plan")
        if planned.id != number:
            raise SessionError(f"The session file is damaged: trial {number} of its plan says that it is trial {planned.id}.")
        return planned

    def _read_results(self) -> list[TrialResult]:
        planned = {trial.id: trial for trial in self.run.plan}
        results = []
        query = "SELECT id, result, trace IS NOT NULL FROM trial ORDER BY id"
        for trial_id, text, was_started in self._checked_rows("trial", query, Count, str | None, int):
            if text is not None:
                result = read_json(TrialResult, text, f"the result of trial {trial_id}")
                if result.id != trial_id:
                    raise SessionError(f"The session file is damaged: the result of trial {trial_id} says that it is that of {result.id}.")
                results.append(result)
            elif was_started and trial_id in planned:
                results.append(dataclasses.replace(planned[trial_id].result(CANCELLED.key), notes=[UNFINISHED_NOTE]))
        return mark_replaced(results)

    def _checked_rows(self, table: str, query: str, *hints: Any, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return list(checked_rows(self._connection.execute(query, values), *hints, table=table))

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise SessionError(f"{self.path.name} was closed.")
            self._readers += 1
        try:
            yield
        except (sqlite3.Error, UnicodeError, OverflowError, MemoryError) as error:
            what = (
                str(error) if isinstance(error, sqlite3.Error) and not str(error).startswith("Could not decode") else type(error).__name__
            )
            raise SessionError(f"{self.path.name} is damaged: {what}.") from None
        finally:
            with self._lock:
                self._readers -= 1
                self._close_unread_connections()

    def _close_when_unread(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._connections_to_close.append(connection)
            self._close_unread_connections()

    def _close_unread_connections(self) -> None:
        while self._connections_to_close and not self._readers:
            connection = self._connections_to_close.pop()
            _close(connection, self._copied_to if connection is self._connection else None)


def _has_log(path: pathlib.Path) -> bool:
    """Whether a log lies beside the file, from which SQLite must complete or roll back the last transaction."""
    logs = (path.with_name(path.name + suffix) for suffix in _LOG_SUFFIXES)
    return any(log.exists() and log.stat().st_size > 0 for log in logs)


def _connect(path: pathlib.Path, has_log: bool) -> sqlite3.Connection:
    """Returns a connection that only reads, or one that may complete the file from the log beside it."""
    mode = "mode=rw" if has_log else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(f"{_uri(path)}?{mode}", uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise SessionError(f"{path.name} cannot be opened: {error}.") from None
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA mmap_size = 0")  # reading past the end of a mapped file would be a bus error
    if hasattr(connection, "setlimit"):  # since Python 3.11
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    return connection


def _uri(path: pathlib.Path) -> str:
    uri = path.absolute().as_uri()
    if not uri.startswith("file:///"):  # \\server\share: SQLite wants an empty authority before it
        uri = uri.replace("file://", "file:////", 1)
    return uri


def _can_read(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        return False
    return True


def _copy_to_temporary_folder(path: pathlib.Path) -> pathlib.Path:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="loaderscope-"))
    try:
        for source in (path, *(path.with_name(path.name + suffix) for suffix in _LOG_SUFFIXES)):
            if source.exists():
                shutil.copyfile(source, folder / source.name)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SessionError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    return folder


def _close(connection: sqlite3.Connection, copied_to: pathlib.Path | None) -> None:
    connection.close()
    if copied_to is not None:
        shutil.rmtree(copied_to, ignore_errors=True)
