"""Files that are none, that are damaged or hostile, and recordings that break off."""

import json
import pathlib
import signal
import sqlite3
import subprocess
import sys
import zlib

import numpy as np
import pytest
from support_session import make_run, make_trial_trace, record
from support_traces import assert_same_trace

from loaderscope.session import chunks, file, schema
from loaderscope.session.chunks import decode, encode
from loaderscope.session.errors import SessionError
from loaderscope.session.file import UNFINISHED_NOTE, SessionFile, SessionWriter

TESTS = pathlib.Path(__file__).parent.parent
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


@pytest.fixture(scope="module")
def good_bytes(tmp_path_factory):
    """The bytes of a small session."""
    path = tmp_path_factory.mktemp("good") / "good.loaderscope"
    writer = SessionWriter(path)
    record(writer, make_run(workers=(1,)))
    writer.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, good_bytes):
    path = tmp_path / "a.loaderscope"
    path.write_bytes(good_bytes)
    return path


def change(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)
    connection.commit()
    connection.close()


def read_everything(path):
    with SessionFile.open(path) as session:
        session.document()
        session.log_lines()
        session.marks(0)
        for result in session.results:
            session.trace(result.id)


def refusal(path):
    with pytest.raises(SessionError) as error:
        read_everything(path)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"import torch\n" * 20, "is not a Loaderscope session"),
        (b"SQLite format 3\0", "is not a Loaderscope session"),
        (b"SQLite format 3\0" + bytes(200), "another program"),
        (b"\x80\x04\x95" + bytes(500), "is not a Loaderscope session"),
    ],
)
def test_foreign_files_are_refused(tmp_path, content, reason):
    path = tmp_path / "x.loaderscope"
    path.write_bytes(content)
    assert reason in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "cannot be read" in refusal(tmp_path / "none.loaderscope")
    assert "is a folder" in refusal(tmp_path)


def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "x.loaderscope"
    change(path, "CREATE TABLE trial (id INTEGER)")
    assert "another program" in refusal(path)


def test_a_newer_version_is_refused(path):
    change(path, f"PRAGMA user_version = {schema.VERSION + 1}")
    assert "newer Loaderscope" in refusal(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    assert "is cut off" in refusal(path)


def test_a_session_without_a_run_is_refused(tmp_path):
    path = tmp_path / "x.loaderscope"
    SessionWriter(path).close()
    assert "holds no run" in refusal(path)


def test_bytes_turned_over_never_do_worse_than_an_error(path, good_bytes):
    generator = np.random.default_rng(7)
    for _ in range(40):
        content = bytearray(good_bytes)
        for place in generator.integers(100, len(content), generator.integers(1, 6)):
            content[place] ^= int(generator.integers(1, 256))
        path.write_bytes(content)
        try:
            read_everything(path)
        except SessionError:
            pass


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW extra AS SELECT 1",
        "CREATE TRIGGER extra AFTER INSERT ON mark BEGIN DELETE FROM trial; END",
        "DROP TABLE finding",
        "ALTER TABLE log_line ADD COLUMN more TEXT",
    ],
)
def test_other_tables_views_and_triggers_are_refused(path, statement):
    change(path, statement)
    assert "its tables are not those" in refusal(path)


def test_a_view_in_the_place_of_a_table_is_refused(path):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 'stdout', 'x', 1, 1 FROM n"
    change(path, "DROP TABLE log_line", f"CREATE VIEW log_line AS {endless}")
    assert "its tables are not those" in refusal(path)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial SET result = '{}'",
        "UPDATE trial SET result = x'00ff'",
        f"UPDATE trial SET result = '{DEEP}'",
        "UPDATE trial SET result = json_set(result, '$.batches', 'many')",
        "UPDATE trial SET result = json_set(result, '$.config.num_workers', json('[1]'))",
        """UPDATE trial SET result = replace(result, '"wait_share":', '"wait_share":NaN,"x":')""",
        """UPDATE trial SET result = replace(result, '"wait_share":', '"wait_share":1e999,"x":')""",
        "UPDATE trial SET planned = '[]'",
        "UPDATE trial SET planned = json_set(planned, '$.skip', 'because')",
        "UPDATE trial SET trace = '{\"origin_ns\": \"soon\"}' WHERE trace IS NOT NULL",
        "UPDATE request SET json = '{\"script\": 5, \"axes\": {}}'",
        "UPDATE request SET json = '[1]'",
        "UPDATE target SET json = '{\"name\": null}'",
        "UPDATE environment SET json = '7'",
        "UPDATE session SET value = '5' WHERE key = 'sample'",
        "UPDATE session SET value = '[5]' WHERE key = 'sent'",
        """UPDATE session SET value = '[{"owner": "dataset"}]' WHERE key = 'sent'""",
        "UPDATE session SET value = json_set(value, '$[0].bytes', 'many') WHERE key = 'sent'",
        "UPDATE process SET pid = 'none'",
        "UPDATE lane SET key = 5",
        "UPDATE lane SET key = 'main'",
        "UPDATE lane SET trial = 99",
        "UPDATE series SET json = '{\"key\": \"x\"}'",
        "UPDATE name SET text = x'00'",
        "INSERT INTO mark (trial, time_ns, text) VALUES (0, 'soon', 'x')",
        "UPDATE log_line SET text = NULL WHERE 0; ",
        "UPDATE chunk SET row_count = row_count + 1",
        "UPDATE chunk SET row_count = -1",
        "UPDATE chunk SET row_count = 1000000000",
        "UPDATE chunk SET row_count = 1000000000000000000",
        "UPDATE chunk SET kind = 'other'",
        "UPDATE chunk SET owner = 12345",
        "UPDATE chunk SET depth = 100000",
        "UPDATE chunk SET data = 'text'",
        "UPDATE chunk SET data = x''",
        "UPDATE chunk SET data = substr(data, 1, 60)",
        "UPDATE chunk SET data = zeroblob(1000)",
    ],
)  # fmt: skip
def test_damaged_tables_give_one_clear_sentence(path, statement):
    change(path, statement)
    if "WHERE 0" in statement:
        read_everything(path)
    else:
        assert "damaged" in refusal(path)


def test_a_chunk_that_unpacks_to_far_more_than_it_says_is_refused_unread(path):
    rows = {"time_ns": np.arange(10), "value": np.zeros(10)}
    head = encode(rows)[: 1 + 2 * 10 + 8]
    bomb = head + zlib.compress(bytes(1 << 28), 9)
    into = {"time_ns": np.empty(10, np.int64), "value": np.empty(10)}
    with pytest.raises(SessionError, match="not as long"):
        decode(bomb, into)


def test_nothing_is_overwritten_unless_forced(path):
    before = path.read_bytes()
    with pytest.raises(SessionError, match="exists already"):
        SessionWriter(path)
    assert path.read_bytes() == before
    SessionWriter(path, force=True).close()
    assert path.read_bytes() != before


def test_a_place_that_cannot_be_written_gives_one_clear_sentence(tmp_path):
    with pytest.raises(SessionError, match="does not exist"):
        SessionWriter(tmp_path / "missing" / "a.loaderscope")
    with pytest.raises(SessionError, match="cannot be written"):
        SessionWriter(tmp_path, force=True)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import support_session as support
from loaderscope.session import session_writer
session_writer.COMMIT_EVERY_S = 0.0
run = support.make_run(workers=(1, 2))
sink = session_writer.SessionWriter({path!r})
sink.run_started(run)
for trial in run.plan[:2]:
    trace = support.make_trial_trace(trial.config.num_workers)
    sink.trial_started(trial, trace)
    sink.trace_grew(trial, trace)
    if trial.id == 0:
        sink.trial_finished(support.result_of(trial, trace, run), trace)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path):
    """A session whose writer was killed in the middle of its second trial."""
    path = tmp_path / "killed.loaderscope"
    code = KILLED.format(tests=str(TESTS), path=str(path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    return path


def check_killed(session):
    run = make_run(workers=(1, 2))
    assert session.run == run
    assert not session.complete
    assert [(result.id, result.status) for result in session.results] == [(0, "ok"), (1, "cancelled")]
    assert session.results[1].notes == [UNFINISHED_NOTE]
    assert session.document()["trials"][0]["samples_per_second"]["value"] > 0
    assert_same_trace(session.trace(0), make_trial_trace(1))
    unfinished, whole = session.trace(1), make_trial_trace(2)
    assert unfinished.origin_ns == whole.origin_ns
    for key, columns in whole.tracks.items():
        np.testing.assert_array_equal(unfinished.tracks[key].view()["end_ns"], columns.view()["end_ns"])


@needs_posix
def test_after_sigkill_every_finished_trial_and_committed_chunk_opens(killed):
    with SessionFile.open(killed) as session:
        check_killed(session)
    assert [entry.name for entry in killed.parent.iterdir()] == [killed.name]
    with SessionFile.open(killed) as session:
        check_killed(session)


@needs_posix
def test_after_sigkill_a_session_opens_in_a_copy_where_it_may_not_be_completed(killed, monkeypatch):
    monkeypatch.setattr(file, "_can_read", lambda connection: False)  # root may write everywhere
    before = killed.read_bytes()
    with SessionFile.open(killed) as session:
        check_killed(session)
    assert killed.read_bytes() == before
    assert killed.with_name(killed.name + "-wal").exists()


@needs_posix
def test_overwriting_a_broken_off_session_does_not_mix_the_two(killed):
    writer = SessionWriter(killed, force=True)
    run = make_run(workers=(0,))
    results, _ = record(writer, run)
    writer.close()
    with SessionFile.open(killed) as session:
        assert session.run == run
        assert session.results == results


FULL_DISK = """
import json, resource, signal, sys
sys.path.insert(0, {tests!r})
import support_session as support
import numpy as np
from loaderscope.session import session_writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
session_writer.COMMIT_EVERY_S = 0.0
session_writer._RESERVE_BYTES = 1 << 16
run = support.make_run(workers=(1, 2))
sink = session_writer.SessionWriter({path!r})
sink.run_started(run)
for trial in run.plan[:2]:
    trace = support.make_trial_trace(trial.config.num_workers)
    sink.trial_started(trial, trace)
    noise = np.random.default_rng(1).integers(0, 1 << 40, 300_000)
    trace.points_of(trace.lanes["main"]).append(time_ns=np.sort(noise) + 10**15, state=noise % 7, batch=noise, value=noise)
    sink.trace_grew(trial, trace)
    sink.trial_finished(support.result_of(trial, support.make_trial_trace(trial.config.num_workers), run), trace)
sink.run_finished(False)
sink.close()
print(json.dumps([sink.problem, trace.notes]))
"""


@needs_posix
def test_when_the_file_cannot_grow_spans_stop_and_results_go_on(tmp_path):
    path = tmp_path / "full.loaderscope"
    code = FULL_DISK.format(tests=str(TESTS), path=str(path), limit=1 << 20)
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    problem, notes = json.loads(output)
    assert problem.startswith("The timeline is not recorded from here on")
    assert problem in notes
    with SessionFile.open(path) as session:
        assert [result.status for result in session.results] == ["ok", "ok"]
        assert problem in session.trace(0).notes
        assert problem in session.trace(1).notes


def test_chunks_are_at_most_of_the_size_that_readers_allow(path):
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT max(row_count) FROM chunk").fetchone()[0] <= chunks.CHUNK_ROWS
    connection.close()
