"""Files of version 1, as a program of that version recorded them, with what it showed of them stored beside."""

import json
import pathlib
import re
import shutil
import sqlite3
from typing import Any

import pytest
from terminal_text import format_table

from loaderscope.facts.run import Mark
from loaderscope.session import schema
from loaderscope.session.errors import SessionError
from loaderscope.session.file import SessionFile

STORED = pathlib.Path(__file__).parent / "version_1"
NAMES = sorted(path.stem for path in STORED.glob("*.loaderscope"))
NUMBER = re.compile(r"\d+(?:\.\d+)?")
CELLS = re.compile(r"\S {2,}\S")
"""What a row of a table has between its cells, and a sentence nowhere."""


@pytest.fixture(params=NAMES)
def path(request, tmp_path):
    """A copy of one of the files."""
    return pathlib.Path(shutil.copy(STORED / f"{request.param}.loaderscope", tmp_path))


def lost(before: Any, now: Any, at: str = "") -> list[str]:
    """The places of a document where a value is not there any more, or another. Sentences may be worded anew."""
    if isinstance(before, dict):
        gone = [f"{at}.{key}" for key in before if not isinstance(now, dict) or key not in now]
        return gone or [place for key, value in before.items() for place in lost(value, now[key], f"{at}.{key}")]
    if isinstance(before, list):
        if not isinstance(now, list) or len(now) < len(before):
            return [at]
        return [place for number, value in enumerate(before) for place in lost(value, now[number], f"{at}[{number}]")]
    if isinstance(before, str) and " " in before and isinstance(now, str):
        return []
    return [] if now == (pytest.approx(before, rel=1e-9) if isinstance(before, float) else before) else [at]


def test_there_are_files_of_a_sweep_a_failure_and_a_start_up_experiment():
    assert NAMES == ["failed", "startup", "sweep"]


def test_a_file_of_version_1_gives_the_numbers_that_it_gave(path):
    document = json.loads((STORED / f"{path.stem}.json").read_text("utf-8"))
    with SessionFile.open(path) as session:
        assert lost(document, {**session.document(), "loaderscope": document["loaderscope"]}) == []


def test_its_table_shows_the_numbers_that_it_showed(path):
    shown = (STORED / f"{path.stem}.txt").read_text("utf-8")
    with SessionFile.open(path) as session:
        now = format_table(session.document(), 100)
    rows = [NUMBER.findall(line) for line in shown.splitlines() if CELLS.search(line)]
    assert any(rows)
    found = [NUMBER.findall(line) for line in now.splitlines()]
    assert [row for row in rows if row not in found] == []


def test_reading_changes_nothing_in_it(path):
    before = path.read_bytes()
    with SessionFile.open(path) as session:
        for result in session.results:
            assert session.trace(result.id).span_count > 0
            session.marks(result.id)
        session.log_lines()
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_marks_are_kept_in_it_and_it_stays_of_version_1(path):
    with SessionFile.open(path) as session:
        session.set_marks(0, [Mark(5, "here")])
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")} == set(schema.SCHEMAS[1])
    connection.close()
    with SessionFile.open(path) as session:
        assert session.marks(0) == [Mark(5, "here")]
        assert session.document()["trials"]


@pytest.mark.parametrize(("version", "reason"), [(2, "its tables"), (0, "its version is 0"), (-1, "its version is -1")])
def test_it_is_held_against_the_tables_of_its_own_version(path, version, reason):
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    with pytest.raises(SessionError, match=f"damaged: {reason}"):
        SessionFile.open(path)
