"""Wrong values put into sound tables of a session file."""

from __future__ import annotations

import json
import pathlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from loaderscope.session.chunks import decode, encode
from loaderscope.trace.model import POINT_COLUMNS, SERIES_COLUMNS, SPAN_COLUMNS
from loaderscope.trace.span_sums import SUM_COLUMNS

COLUMNS = {"span": SPAN_COLUMNS, "point": POINT_COLUMNS, "series": SERIES_COLUMNS, "sum": SUM_COLUMNS}
JSON_CELLS = (
    ("environment", "json"), ("environment", "json"), ("request", "json"), ("target", "json"), ("trial", "planned"),
    ("trial", "result"), ("trial", "result"), ("trial", "trace"), ("series", "json"), ("session", "value"),
)  # fmt: skip
NUMBER_CELLS = (
    ("process", "pid"), ("process", "started_ns"), ("process", "ended_ns"), ("lane", "position"), ("lane", "trial"), ("lane", "id"),
    ("name", "number"), ("log_line", "time_ns"), ("log_line", "trial"), ("chunk", "owner"), ("chunk", "depth"), ("chunk", "start_ns"),
    ("chunk", "row_count"), ("chunk", "trial"), ("trial", "id"), ("series", "trial"), ("lane_sum", "owner"), ("lane_sum", "depth"),
    ("lane_sum", "shift"), ("lane_sum", "block"), ("lane_sum", "row_count"), ("lane_sum", "trial"),
)  # fmt: skip
WRONG = (
    None, True, -1, 0, 1, 2, -(2**63), 2**62, 2**63, 10**400, 0.0, -0.5, 7.5, 5e-324, 1e308, -1e308, "", "x", "worker-7", "\ud83d", "\0",
    [], {}, [None], [1, 2, 3], [0.5, 0.1], {"a": 1},
)  # fmt: skip
NUMBERS = (-1, 0, 1, 7, 99, 2**31, 2**62, 2**63 - 1, -(2**63))
TIMES = (-1, 0, 2**40, 2**62, 2**63 - 1, -(2**63))
READINGS = (float("nan"), float("inf"), float("-inf"), -1.0, 1e308, 5e-324, 0.0)


def change_json(path: pathlib.Path, table: str, column: str, change_value: Callable[[Any], Any], where: str = "rowid = 1") -> None:
    """Changes the JSON of one cell."""
    connection = sqlite3.connect(path)
    try:
        (text,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (json.dumps(change_value(json.loads(text))),))
        connection.commit()
    finally:
        connection.close()


def change_rows(
    path: pathlib.Path, kind: str, change_columns: Callable[[dict[str, Any]], object], chance: random.Random | None = None
) -> None:
    """Changes the rows of one chunk of a kind; the rest of the file stays as it is."""
    connection = sqlite3.connect(path)
    try:
        table, where = ("lane_sum", "") if kind == "sum" else ("chunk", f" AND kind = '{kind}'")
        chunks = connection.execute(f"SELECT rowid, row_count, data FROM {table} WHERE trial = 0{where}").fetchall()
        number, count, data = chance.choice(chunks) if chance is not None else chunks[0]
        columns = {name: np.empty(count, dtype) for name, dtype in COLUMNS[kind].items()}
        decode(data, columns)
        change_columns(columns)
        connection.execute(f"UPDATE {table} SET data = ? WHERE rowid = ?", (encode(columns), number))
        connection.commit()
    finally:
        connection.close()


def has_sums(path: pathlib.Path) -> bool:
    """Whether sums are stored of the first trial."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM lane_sum WHERE trial = 0").fetchone() != (0,)
    finally:
        connection.close()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of everything within a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:8]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*at, key)
        yield from places(item, (*at, key))


def damage(path: pathlib.Path, chance: random.Random) -> None:
    """One random wrong value that SQLite takes, in a place where a value is read."""
    what = chance.choice(("json", "json", "json", "number", "rows"))
    if what == "rows":
        kind = chance.choice(tuple(COLUMNS) if has_sums(path) else ("span", "point", "series"))
        name = chance.choice(tuple(COLUMNS[kind]))

        def change_columns(columns: dict[str, Any]) -> None:
            row = chance.randrange(len(columns[name]))
            is_state = columns[name].dtype.itemsize == 2
            value = chance.choice(READINGS if columns[name].dtype.kind == "f" else (0, 1, 61, 102, 65535) if is_state else TIMES)
            columns[name][row : row + chance.choice((1, 1 << 30))] = value

        change_rows(path, kind, change_columns, chance)
        return
    table, column = chance.choice(JSON_CELLS if what == "json" else NUMBER_CELLS)
    key = {"session": "key", "process": "number", "name": "number"}.get(table, "rowid")
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
        if not rows:  # sums, of spans too few for any
            return
        number, old = chance.choice(rows)
        new = chance.choice(NUMBERS) if what == "number" else json.dumps(damaged(json.loads(old), chance)) if old[:1] in "{[" else old
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {key} = ?", (new, number))
        connection.commit()
    finally:
        connection.close()


def damaged(value: Any, chance: random.Random) -> Any:
    """A JSON value with something in it that is wrong, or gone."""
    inner = list(places(value))
    if not inner:
        return chance.choice(WRONG)
    *outer, last = chance.choice(inner)
    at = value
    for part in outer:
        at = at[part]
    old = at[last]
    if chance.random() < 0.1:
        del at[last]
    elif isinstance(old, int | float) and chance.random() < 0.4:
        at[last] = chance.choice((-old, old * 10**15))
    else:
        at[last] = chance.choice(WRONG)
    return value
