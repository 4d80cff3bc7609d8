"""A session holds no secret, wherever a run came upon it, and what was written without warnings opens."""

import dataclasses
import json
import sqlite3

import pytest
from support_session import make_run, make_trial_trace, record, result_of

from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.cli.terminal.progress import SweepProgress
from loaderscope.facts.results import ScriptWarning, TrialResult
from loaderscope.facts.run import LogLine
from loaderscope.session.document import build_document
from loaderscope.session.file import SessionFile, SessionWriter

SECRET = "Zq8hunter2x"


@pytest.fixture
def run():
    told = {"script_args": ("--data", "photos", "--token", SECRET), "arguments": {"api_key": SECRET, "root": "photos"}}
    return make_run(workers=(1,), **told)


def failed(run):
    error = ErrorInfo("ValueError", f"HF_TOKEN={SECRET} is wrong", f"Traceback\n    login(password='{SECRET}')\nValueError")
    said = [ScriptWarning("main", "UserWarning", f"api_key: {SECRET} expires", 3)]
    return TrialResult(0, 0, "failed", run.plan[0].config, error, 1.0, notes=[f"client_secret={SECRET}"], warnings=said)


def write(path, run):
    writer = SessionWriter(path)
    trace = make_trial_trace(1)
    trace.notes.append(f"password={SECRET}")
    trace.names[99] = f'12 TOKEN = "{SECRET}"'
    writer.run_started(run)
    writer.log_line(LogLine(1, "stderr", f"Authorization: Bearer {SECRET}", None))
    writer.trial_started(run.plan[0], trace)
    writer.trial_finished(failed(run), trace)
    writer.run_finished(cancelled=False)
    writer.close()


def test_no_secret_is_anywhere_in_the_file(run, tmp_path):
    path = tmp_path / "masked.loaderscope"
    write(path, run)
    assert SECRET.encode() not in path.read_bytes()
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    everything = json.dumps([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables], default=str)
    connection.close()
    assert everything.count("***") >= 9


def test_what_is_no_secret_is_there(run, tmp_path):
    path = tmp_path / "masked.loaderscope"
    write(path, run)
    with SessionFile.open(path) as opened:
        assert opened.run.request.script_args == ("--data", "photos", "--token", "***")
        assert opened.run.request.arguments == {"api_key": "***", "root": "photos"}
        (result,) = opened.results
        assert result.error.message == "HF_TOKEN=*** is wrong"
        assert result.warnings == [ScriptWarning("main", "UserWarning", "api_key: *** expires", 3)]
        assert opened.log_lines()[0].text == "Authorization: Bearer ***"
    assert run.request.script_args[-1] == SECRET, "the run itself goes on with the real one"


def test_a_document_of_a_run_that_was_kept_nowhere_holds_none(run):
    document = json.dumps(build_document(run, [failed(run)]))
    assert SECRET not in document
    assert "photos" in document


def test_a_terminal_is_told_none(run, tmp_path):
    with (tmp_path / "terminal.txt").open("w+") as stream:
        console = SweepProgress(stream)
        console.run_started(run)
        console.trial_finished(failed(run), None)
        stream.seek(0)
        told = stream.read()
    assert "HF_TOKEN=*** is wrong" in told


def test_warnings_come_back_as_they_were(tmp_path):
    run = make_run(workers=(1,))
    path = tmp_path / "said.loaderscope"
    said = [ScriptWarning("worker-0", "ERROR", "two\nlines", 3, "/a/b.py:7"), ScriptWarning(None, "stderr", "printed", 1)]
    writer = SessionWriter(path)
    writer.run_started(run)
    writer.trial_finished(dataclasses.replace(result_of(run.plan[0], make_trial_trace(1), run), warnings=said), None)
    writer.run_finished(cancelled=False)
    writer.close()
    with SessionFile.open(path) as opened:
        assert opened.results[0].warnings == said
        rows = opened.document()["trials"][0]["warnings"]
    assert rows[0] == {"process": "worker-0", "kind": "ERROR", "text": "two\nlines", "count": 3, "place": "/a/b.py:7"}


def test_a_session_from_before_there_were_warnings_has_none(tmp_path):
    path = tmp_path / "old.loaderscope"
    writer = SessionWriter(path)
    record(writer, make_run(workers=(1,)))
    writer.close()
    connection = sqlite3.connect(path)
    (text,) = connection.execute("SELECT result FROM trial WHERE id = 0").fetchone()
    old = json.loads(text)
    del old["warnings"]
    connection.execute("UPDATE trial SET result = ? WHERE id = 0", (json.dumps(old),))
    connection.commit()
    connection.close()
    with SessionFile.open(path) as opened:
        assert opened.results[0].warnings == []
        assert opened.results[0].config == TrialConfig.from_json(old["config"])
