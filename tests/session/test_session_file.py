"""What goes into a session file comes out of it again."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support_session import make_run, record
from support_traces import assert_same_trace

from loaderscope.facts.run import Mark
from loaderscope.session.document import build_document
from loaderscope.session.file import SessionError, SessionFile, SessionWriter
from loaderscope.session.trace_store import load_trace


@pytest.fixture
def recorded(tmp_path):
    """A finished session: its path, and the run, results and traces that went into it."""
    path, run = tmp_path / "a run with ümlauts.loaderscope", make_run()
    writer = SessionWriter(path)
    results, traces = record(writer, run)
    writer.close()
    return path, run, results, traces


def test_an_opened_session_equals_the_run(recorded):
    path, run, results, traces = recorded
    with SessionFile.open(path) as session:
        assert session.complete
        assert session.run == run
        assert session.results == results
        assert session.document() == build_document(run, results)
        for trial, trace in traces.items():
            assert_same_trace(session.trace(trial), trace)


def test_the_document_says_what_each_worker_is_sent(recorded):
    heaviest = build_document(recorded[1], recorded[2])["sent"][0]
    assert (heaviest["attribute"], heaviest["bytes"], heaviest["unpickle_s"]) == ("dataset.paths", 52_000_000, 0.75)


def test_log_lines_come_back_in_order(recorded):
    with SessionFile.open(recorded[0]) as session:
        lines = session.log_lines()
    assert [(line.time_ns, line.stream, line.trial) for line in lines][:2] == [(5, "stdout", None), (7, "loaderscope", 0)]
    assert lines[0].text == "loading … ? ä"


def test_a_closed_session_is_one_single_file(recorded):
    path = recorded[0]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_opening_changes_nothing(recorded):
    path = recorded[0]
    before = path.read_bytes()
    with SessionFile.open(path) as session:
        session.trace(1)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.fixture
def slow_load(monkeypatch):
    """Reading a trace sets the first of these events and waits for the second."""
    begun, go_on = threading.Event(), threading.Event()

    def slow_load(connection, trial, source):
        begun.set()
        assert go_on.wait(10)
        return load_trace(connection, trial, source)

    monkeypatch.setattr("loaderscope.session.file.load_trace", slow_load)
    return begun, go_on


def test_a_trace_is_read_to_its_end_though_the_file_is_closed_meanwhile(recorded, slow_load):
    begun, go_on = slow_load
    file = SessionFile.open(recorded[0])
    connection = file._connection
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(file.trace, 0)
        assert begun.wait(10)
        file.close()
        go_on.set()
        assert_same_trace(reading.result(10), recorded[3][0])
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):  # else it could not be deleted on Windows
        connection.execute("SELECT 1")
    with pytest.raises(SessionError, match="was closed"):
        file.trace(1)


def test_marks_can_be_changed_while_another_thread_reads_a_trace(recorded, slow_load):
    begun, go_on = slow_load
    with SessionFile.open(recorded[0]) as file, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(file.trace, 0)
        assert begun.wait(10)
        file.set_marks(0, [Mark(5, "meanwhile")])
        go_on.set()
        assert_same_trace(reading.result(10), recorded[3][0])
        assert file.marks(0) == [Mark(5, "meanwhile")]
