"""The tables of a session file, and the checks of a file before anything else reads it."""

from __future__ import annotations

import pathlib
import sqlite3
import struct

from loaderscope.session.errors import SessionError

APPLICATION_ID = 0x4C444353
""""LDCS" in the file's header: it tells a session from other SQLite files."""

_TABLES_OF_1 = (
    "CREATE TABLE session (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE environment (json TEXT NOT NULL)",
    "CREATE TABLE request (json TEXT NOT NULL)",
    "CREATE TABLE target (json TEXT NOT NULL)",
    "CREATE TABLE trial (id INTEGER PRIMARY KEY, planned TEXT NOT NULL, result TEXT, trace TEXT)",
    "CREATE TABLE process (trial INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, pid INTEGER NOT NULL,"
    " started_ns INTEGER NOT NULL, ended_ns INTEGER, PRIMARY KEY (trial, number)) WITHOUT ROWID",
    "CREATE TABLE lane (id INTEGER PRIMARY KEY, trial INTEGER NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL,"
    " position INTEGER NOT NULL)",
    "CREATE TABLE series (id INTEGER PRIMARY KEY, trial INTEGER NOT NULL, json TEXT NOT NULL)",
    "CREATE TABLE name (trial INTEGER NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (trial, number)) WITHOUT ROWID",
    # what the recording program found, for other readers of the file; Loaderscope itself judges again from the trials
    "CREATE TABLE finding (number INTEGER PRIMARY KEY, json TEXT NOT NULL)",
    "CREATE TABLE mark (id INTEGER PRIMARY KEY, trial INTEGER NOT NULL, time_ns INTEGER NOT NULL, text TEXT NOT NULL)",
    "CREATE TABLE log_line (id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, stream TEXT NOT NULL, text TEXT NOT NULL, trial INTEGER)",
    # kind: span | point (owner is a lane) | series (owner is a series)
    "CREATE TABLE chunk (id INTEGER PRIMARY KEY, trial INTEGER NOT NULL, kind TEXT NOT NULL, owner INTEGER NOT NULL,"
    " depth INTEGER NOT NULL, start_ns INTEGER NOT NULL, row_count INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX chunk_by_lane ON chunk (trial, kind, owner, depth, start_ns)",
)
_SUMS_OF_2 = (
    # owner is a lane; see `trace/span_sums.py` for shift and block
    "CREATE TABLE lane_sum (trial INTEGER NOT NULL, owner INTEGER NOT NULL, depth INTEGER NOT NULL, shift INTEGER NOT NULL,"
    " block INTEGER NOT NULL, row_count INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE UNIQUE INDEX sum_by_lane ON lane_sum (trial, owner, depth, shift, block)",
)

SCHEMAS = {1: _TABLES_OF_1, 2: _TABLES_OF_1 + _SUMS_OF_2}
"""The statements that make the tables, by version. `check_tables` compares a file with its own version, so no entry ever changes."""

VERSION = max(SCHEMAS)
"""The version of new files; a change of the tables adds a version."""

SUMS_SINCE = 2
"""The first version whose files hold sums."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables in an empty database."""
    connection.execute("PRAGMA page_size = 8192")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("BEGIN")
    for statement in SCHEMAS[VERSION]:
        connection.execute(statement)
    connection.execute("COMMIT")


def check_header(path: pathlib.Path, has_log: bool) -> None:
    """Checks a file's first bytes before SQLite reads it.

    Args:
        path: the file.
        has_log: whether a log lies beside it; the file alone may then be shorter than its header says.

    Raises:
        SessionError: the file is no session, of a newer version, or cut off.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        size = path.stat().st_size
    except IsADirectoryError:
        raise SessionError(f"{path.name} is a folder, not a session file.") from None
    except OSError as error:
        raise SessionError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise SessionError(f"{path.name} is not a Loaderscope session." if header else f"{path.name} is empty.")
    (version,), (application,) = struct.unpack_from(">i", header, 60), struct.unpack_from(">i", header, 68)
    if application != APPLICATION_ID:
        raise SessionError(f"{path.name} is a database of another program, not a Loaderscope session.")
    if version > VERSION:
        raise SessionError(f"{path.name} was written by a newer Loaderscope (file version {version}, this one reads up to {VERSION}).")
    if version < 1:
        raise SessionError(f"{path.name} is damaged: its version is {version}.")
    (page_size,), (pages,) = struct.unpack_from(">H", header, 16), struct.unpack_from(">I", header, 28)
    page_bytes = 65536 if page_size == 1 else page_size
    if not has_log and size < pages * page_bytes:
        raise SessionError(f"{path.name} is cut off: {size} of {pages * page_bytes} bytes are there.")


def check_tables(connection: sqlite3.Connection) -> int:
    """Refuses a database with anything but the tables of its version: views and triggers would run whatever their author wrote.

    Returns:
        the version.

    Raises:
        SessionError: the tables differ from those of the version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
    if found != set(SCHEMAS.get(version, ())):
        raise SessionError("The file is damaged: its tables are not those of a Loaderscope session.")
    return int(version)
