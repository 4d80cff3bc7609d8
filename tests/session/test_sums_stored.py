"""The sums beside the spans of a session: exact at any moment of a recording, and small."""

import itertools
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from damaged_sessions import change_rows
from support_session import add_dense_spans, make_run, make_trial_trace, record

from loaderscope.session import session_writer as writer_module
from loaderscope.session import sums_table
from loaderscope.session.errors import SessionError
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace.model import Trace, TrackKey
from loaderscope.trace.span_sums import BLOCK_SHIFT, SHIFTS, TrackSpans, sums_within

TESTS = pathlib.Path(__file__).parent.parent
VERSION_1 = pathlib.Path(__file__).parent / "version_1" / "sweep.loaderscope"
DENSE = TrackKey("worker-0", 7)


@pytest.fixture(scope="module")
def good_bytes(tmp_path_factory):
    """A session whose first trial has a track of 200,000 spans in half a minute."""
    path = tmp_path_factory.mktemp("good") / "good.loaderscope"
    trace = make_trial_trace(1)
    add_dense_spans(trace)
    writer = SessionWriter(path)
    record(writer, make_run(workers=(1,)), {0: trace})
    writer.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, good_bytes):
    path = tmp_path / "a.loaderscope"
    path.write_bytes(good_bytes)
    return path


def execute(path, statement, *values):
    connection = sqlite3.connect(path)
    rows = connection.execute(statement, values).fetchall()
    connection.commit()
    connection.close()
    return rows


def ranges_of(trace, shift):
    """The whole of a trace, a part that begins and ends within buckets, and what lies before and behind it."""
    begin, end = trace.origin_ns, trace.end_ns
    third = (end - begin) // 3
    return [(0, end + 1), (begin + third, end - third), (begin + 5, begin + 6), (0, begin), (end, end + (3 << shift))]


def assert_sums_are_those_of_the_spans(session, trial):
    trace = session.trace(trial)
    assert trace.span_count
    for key, columns in trace.tracks.items():
        spans = TrackSpans(*(columns.view()[name] for name in TrackSpans._fields))
        for shift in SHIFTS:
            for from_ns, until_ns in ranges_of(trace, shift):
                edges = from_ns >> shift << shift, -(-until_ns >> shift) << shift
                expected = sums_within(spans, shift, *edges)
                found = session.sums(trial, key, shift=shift, from_ns=from_ns, until_ns=until_ns)
                for name, column in expected.items():
                    np.testing.assert_array_equal(found[name], column, err_msg=f"{key} {shift} {name}")


def test_stored_sums_are_those_of_the_spans(path):
    assert {shift for (shift,) in execute(path, "SELECT shift FROM lane_sum")} == set(SHIFTS)
    with SessionFile.open(path) as session:
        assert_sums_are_those_of_the_spans(session, 0)


def test_a_session_of_version_1_gives_sums_from_its_spans(tmp_path):
    with SessionFile.open(shutil.copy(VERSION_1, tmp_path)) as session:
        assert_sums_are_those_of_the_spans(session, 1)


def test_what_was_not_recorded_has_no_sums(path):
    with SessionFile.open(path) as session:
        for trial, key in ((99, DENSE), (0, TrackKey("nowhere", 0)), (0, TrackKey("worker-0", 5))):
            assert not len(session.sums(trial, key, shift=SHIFTS[0], from_ns=0, until_ns=2**50)["bucket"])


def block_edges(path):
    """Where the finest sums of the dense track begin and end."""
    blocks = [block for (block,) in execute(path, "SELECT block FROM lane_sum WHERE shift = ? ORDER BY block", SHIFTS[0])]
    assert blocks == list(range(blocks[0], blocks[-1] + 1)) and len(blocks) > 1
    return [block << SHIFTS[0] << BLOCK_SHIFT for block in (blocks[0], blocks[-1] + 1)]


def sums_of_dense(path, shift, from_ns, until_ns):
    with SessionFile.open(path) as session:
        return {name: column.tolist() for name, column in session.sums(0, DENSE, shift=shift, from_ns=from_ns, until_ns=until_ns).items()}


@pytest.mark.parametrize("shift", SHIFTS[:3])
@pytest.mark.parametrize("stored", ["all", "the finest"])
def test_what_blocks_cover_is_read_from_them_alone(path, shift, stored):
    """The finest suffice: a recording that broke off has no coarser ones yet."""
    begin, end = block_edges(path)
    before = sums_of_dense(path, shift, begin, end)
    execute(path, "UPDATE chunk SET data = x'' WHERE kind = 'span' AND depth = ?", DENSE.depth)
    if stored == "the finest":
        execute(path, "DELETE FROM lane_sum WHERE shift > ?", SHIFTS[0])
        with pytest.raises(SessionError, match="damaged"):
            sums_of_dense(path, shift, begin, end + 1)
    assert sums_of_dense(path, shift, begin, end) == before


def test_without_blocks_only_the_spans_of_the_range_are_read(path):
    execute(path, "DELETE FROM lane_sum")
    starts = [start for (start,) in execute(path, "SELECT start_ns FROM chunk WHERE depth = ? ORDER BY id", DENSE.depth)]
    assert len(starts) > 3
    middle = starts[1] + (1 << 30), starts[2] + (1 << 30)
    before = sums_of_dense(path, SHIFTS[0], *middle)
    execute(path, "UPDATE chunk SET data = x'' WHERE depth = ? AND start_ns NOT IN (?, ?)", DENSE.depth, *starts[1:3])
    assert sums_of_dense(path, SHIFTS[0], *middle) == before


def test_sums_take_a_few_per_cent_of_what_the_spans_take(path):
    ((sums,),) = execute(path, "SELECT sum(length(data)) FROM lane_sum")
    ((spans,),) = execute(path, "SELECT sum(length(data)) FROM chunk WHERE kind = 'span'")
    assert 0 < sums < 0.05 * spans


def test_sums_that_would_merge_too_few_spans_are_left_out(tmp_path):
    path = tmp_path / "sparse.loaderscope"
    writer = SessionWriter(path)
    record(writer, make_run(workers=(1,)), {0: make_trial_trace(1)})
    writer.close()
    assert execute(path, "SELECT count(*) FROM lane_sum WHERE shift = ?", SHIFTS[0]) == [(0,)]


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import support_session as support
from loaderscope.session import session_writer
session_writer.COMMIT_EVERY_S = 0.0
run = support.make_run(workers=(1,))
sink = session_writer.SessionWriter({path!r})
sink.run_started(run)
trace = support.make_trial_trace(1)
sink.trial_started(run.plan[0], trace)
for _ in range(7):
    support.add_dense_spans(trace, 30_001)
    sink.trace_grew(run.plan[0], trace)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_after_sigkill_the_sums_are_those_of_the_spans_that_were_committed(tmp_path):
    path = tmp_path / "killed.loaderscope"
    code = KILLED.format(tests=str(TESTS), path=str(path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with SessionFile.open(path) as session:
        assert len(session.trace(0).tracks[DENSE]) == 7 * 30_001
        assert_sums_are_those_of_the_spans(session, 0)
    assert execute(path, "SELECT count(*) FROM lane_sum")[0][0] > 0


def test_the_pieces_in_which_a_trial_grew_make_no_difference(path, tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "COMMIT_EVERY_S", 0.0)
    monkeypatch.setattr(sums_table, "ROWS_AT_ONCE", 1)
    run, other = make_run(workers=(1,)), tmp_path / "grown.loaderscope"
    trace, growing = Trace(), make_trial_trace(1)
    add_dense_spans(trace)
    view = trace.tracks[DENSE].view()
    writer = SessionWriter(other)
    writer.run_started(run)
    writer.trial_started(run.plan[0], growing)
    edges = [0, 3, 4, 50_000, 50_001, 130_000, len(view["start_ns"])]
    for begin, end in itertools.pairwise(edges):
        growing.track(trace.lanes[DENSE.lane], DENSE.depth).append(**{name: column[begin:end] for name, column in view.items()})
        writer.trace_grew(run.plan[0], growing)
    writer._write_spans(writer._trials[0], final=True)
    writer.close()
    query = (
        "SELECT depth, shift, block, row_count, data FROM lane_sum JOIN lane ON lane.id = owner WHERE lane.trial = 0"
        " ORDER BY lane.key, depth, shift, block"
    )
    assert execute(other, query) == execute(path, query)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lane_sum SET data = x''",
        "UPDATE lane_sum SET data = 'text'",
        "UPDATE lane_sum SET data = substr(data, 1, 60)",
        "UPDATE lane_sum SET data = zeroblob(1000)",
        "UPDATE lane_sum SET row_count = row_count + 1",
        "UPDATE lane_sum SET row_count = 0",
        "UPDATE lane_sum SET row_count = 1 << 40",
        "UPDATE lane_sum SET row_count = 'many'",
        "UPDATE lane_sum SET block = block + 1000000 WHERE shift = 24",
        "UPDATE lane_sum SET shift = 28, block = block + 77 WHERE shift = 24",
        "UPDATE chunk SET start_ns = start_ns + 1 WHERE kind = 'span'",
    ],
)
def test_damaged_sums_give_one_clear_sentence(path, statement):
    execute(path, statement)
    assert "\n" not in refusal_of_sums(path)


def test_two_rows_of_one_bucket_and_state_are_damage(path):
    change_rows(path, "sum", lambda columns: columns["state"].fill(3))
    refusal_of_sums(path)


def refusal_of_sums(path):
    with SessionFile.open(path) as session, pytest.raises(SessionError, match=r"damaged.*\.$") as error:
        for key in session.trace(0).tracks:
            for shift in SHIFTS:
                session.sums(0, key, shift=shift, from_ns=0, until_ns=2**60)
    return str(error.value)
