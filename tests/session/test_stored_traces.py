"""The long tables of a long trace stay in the session file, and are read from it bit by bit."""

import sqlite3

import numpy as np
import pytest
from support_session import add_dense_spans, make_run, make_trial_trace, record

from loaderscope.session import trace_store
from loaderscope.session.errors import SessionError
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace.model import TrackKey
from loaderscope.trace.stored_columns import StoredColumns

DENSE = TrackKey("worker-0", 7)
"""200,000 spans in half a minute."""


@pytest.fixture
def path(tmp_path, monkeypatch):
    path = tmp_path / "a.loaderscope"
    trace = make_trial_trace(1)
    add_dense_spans(trace)
    writer = SessionWriter(path)
    record(writer, make_run(workers=(1,)), {0: trace})
    writer.close()
    monkeypatch.setattr(trace_store, "ROWS_IN_MEMORY", 100_000)
    return path


@pytest.fixture
def whole(path, monkeypatch):
    with SessionFile.open(path) as session, monkeypatch.context() as patch:
        patch.setattr(trace_store, "ROWS_IN_MEMORY", 10**9)
        return session.trace(0)


def test_only_long_tables_stay_in_the_file(path, whole):
    with SessionFile.open(path) as session:
        trace = session.trace(0)
        assert (trace.is_stored, whole.is_stored) == (True, False)
        assert [key for key, columns in trace.tracks.items() if isinstance(columns, StoredColumns)] == [DENSE]
        assert trace.byte_count < 0.1 * whole.byte_count
        assert trace.span_count == whole.span_count


def test_a_part_has_the_spans_and_points_that_touch_its_range(path, whole):
    middle_ns = (whole.origin_ns + whole.end_ns) // 2
    with SessionFile.open(path) as session:
        part, expected = session.trace(0).part(middle_ns, middle_ns + 10**9), whole.part(middle_ns, middle_ns + 10**9)
    assert part.tracks.keys() == expected.tracks.keys()
    assert len(part.tracks[DENSE]) > 5_000
    for key, columns in expected.tracks.items():
        for name, column in columns.view().items():
            assert (part.tracks[key].view()[name] == column).all()


def test_all_rows_together_are_those_that_were_written(path, whole):
    with SessionFile.open(path) as session:
        for name, column in session.trace(0).tracks[DENSE].view().items():
            assert (column == whole.tracks[DENSE].view()[name]).all()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chunk SET data = x'00' WHERE id = ?",
        "UPDATE chunk SET data = 'text' WHERE id = ?",
        "UPDATE chunk SET data = zeroblob(100) WHERE id = ?",
        "UPDATE chunk SET start_ns = start_ns - 1 WHERE id = ?",
        "UPDATE chunk SET data = (SELECT data FROM chunk AS other WHERE other.id > chunk.id AND other.owner = chunk.owner) WHERE id = ?",
    ],
)
def test_a_damaged_chunk_is_refused_when_it_is_read(path, statement):
    with sqlite3.connect(path) as connection:
        numbers = [row[0] for row in connection.execute("SELECT id FROM chunk WHERE depth = 7 ORDER BY id")]
        connection.execute(statement, (numbers[1],))
    connection.close()
    with SessionFile.open(path) as session:
        columns = session.trace(0).tracks[DENSE]
        columns.rows(0, 10)
        with pytest.raises(SessionError, match="damaged"):
            columns.rows(columns.first_rows[1], columns.first_rows[1] + 10)
        with pytest.raises(SessionError, match="damaged"):
            columns.view()


def test_chunks_out_of_order_are_refused_at_once(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE chunk SET start_ns = start_ns + 20000000000 WHERE id = (SELECT min(id) FROM chunk WHERE depth = 7)")
    connection.close()
    with SessionFile.open(path) as session, pytest.raises(SessionError, match="order of time"):
        session.trace(0)


def test_rows_of_a_closed_file_are_refused(path):
    with SessionFile.open(path) as session:
        columns = session.trace(0).tracks[DENSE]
    with pytest.raises(SessionError, match="was closed"):
        columns.rows(0, 10)


def test_marks_may_change_while_rows_are_still_to_be_read(path, whole):
    with SessionFile.open(path) as session:
        columns = session.trace(0).tracks[DENSE]
        session.set_marks(0, [])
        assert (columns.rows(0, 9)["start_ns"] == whole.tracks[DENSE].view()["start_ns"][:9]).all()


def test_sums_of_a_stored_track_are_those_of_its_spans(path, whole):
    with SessionFile.open(path) as session:
        sums = session.trace(0).tracks[DENSE].sums(28)
    view = whole.tracks[DENSE].view()
    for state in np.unique(view["state"]):
        rows = view["state"] == state
        assert sums["busy_ns"][sums["state"] == state].sum() == (view["end_ns"] - view["start_ns"])[rows].sum()
        assert sums["begun"][sums["state"] == state].sum() == rows.sum()
