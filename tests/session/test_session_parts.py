"""Chunks, marks, places and the write-read cycle of single values."""

import dataclasses
import json
import math
import pathlib
import types

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support_session import make_run, make_trial_trace, record
from support_traces import assert_same_trace

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import EpochTimes, TrialResult
from loaderscope.facts.run import Environment, LogLine, Mark
from loaderscope.session import session_writer as writer_module
from loaderscope.session.chunks import decode, encode
from loaderscope.session.errors import SessionError
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.session.recording_folder import is_network_share
from loaderscope.session.value_checks import misfit
from loaderscope.session.values import checked, json_value, to_text
from loaderscope.trace.model import SERIES_COLUMNS, SPAN_COLUMNS

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def span_columns(draw):
    rows = draw(st.integers(1, 40))
    narrow = st.integers(-3, 300)
    values = {
        name: draw(arrays(np.dtype(dtype), rows, elements=draw(st.sampled_from([INT64, narrow]))))
        for name, dtype in SPAN_COLUMNS.items()
        if dtype == "i8"
    }
    values["state"] = draw(arrays(np.uint16, rows, elements=st.integers(0, 2**16 - 1)))
    return {name: values[name] for name in SPAN_COLUMNS}


@settings(max_examples=150, deadline=None)
@given(span_columns())
def test_any_integers_come_back_from_a_chunk(columns):
    into = {name: np.empty_like(column) for name, column in columns.items()}
    decode(encode(columns), into)
    for name, column in columns.items():
        np.testing.assert_array_equal(into[name], column)


def test_any_floats_come_back_from_a_chunk():
    value = np.array([0.0, -0.0, 1e308, -1e-320, np.inf, np.nan, 1 / 3])
    columns = {"time_ns": np.arange(7) * 10**8, "value": value}
    into = {name: np.empty(7, dtype) for name, dtype in SERIES_COLUMNS.items()}
    decode(encode(columns), into)
    assert into["value"].tobytes() == value.tobytes()


@pytest.mark.parametrize("data", [b"", b"\x02", b"\xff" * 100, bytes(200)])
def test_other_bytes_are_no_chunk(data):
    with pytest.raises(SessionError):
        decode(data, {"time_ns": np.empty(3, np.int64), "value": np.empty(3)})


def test_a_trace_written_piece_by_piece_comes_back_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "COMMIT_EVERY_S", 0.0)
    run = make_run(workers=(2,))
    whole = make_trial_trace(2)
    path = tmp_path / "a.loaderscope"
    sink = SessionWriter(path)
    sink.run_started(run)
    growing = type(whole)()
    sink.trial_started(run.plan[0], growing)
    growing.lanes.update(whole.lanes)
    growing.origin_ns = whole.origin_ns
    for step in range(1, 8):
        for kind in ("tracks", "points", "series"):
            for key, entry in getattr(whole, kind).items():
                info, columns = entry if kind == "series" else (None, entry)
                target = (
                    growing.series_of(info)
                    if info
                    else growing.track(whole.lanes[key.lane], key.depth)
                    if kind == "tracks"
                    else growing.points_of(whole.lanes[key])
                )
                view = columns.view()
                limit = len(columns) * step // 7
                target.append(**{name: column[len(target) : limit] for name, column in view.items()})
        growing.processes = whole.processes
        sink.trace_grew(run.plan[0], growing)
    growing.newest_ns, growing.record_count, growing.names = whole.newest_ns, whole.record_count, whole.names
    growing.unavailable, growing.notes = whole.unavailable, whole.notes
    from support_session import result_of

    sink.trial_finished(result_of(run.plan[0], growing, run), growing)
    sink.close()
    with SessionFile.open(path) as session:
        assert_same_trace(session.trace(0), whole)


def test_marks_are_kept_in_the_file(tmp_path):
    path = tmp_path / "a.loaderscope"
    sink = SessionWriter(path)
    record(sink, make_run(workers=(0,)))
    sink.set_marks(0, [(7, "while recording")])
    sink.close()
    with SessionFile.open(path) as session:
        assert session.marks(0) == [Mark(7, "while recording")]
        session.set_marks(0, [Mark(30, "later"), Mark(20, "here, ä")])
        assert session.marks(0) == [Mark(20, "here, ä"), Mark(30, "later")]
    with SessionFile.open(path) as session:
        assert session.marks(0) == [Mark(20, "here, ä"), Mark(30, "later")]
        assert session.marks(1) == []
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_network_share_gets_the_whole_file_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "is_network_share", lambda path: True)
    path, run = tmp_path / "a.loaderscope", make_run(workers=(0,))
    sink = SessionWriter(path)
    results, _ = record(sink, run)
    assert list(tmp_path.iterdir()) == []
    sink.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with SessionFile.open(path) as session:
        assert session.results == results


def test_a_share_that_is_gone_at_the_end_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "is_network_share", lambda path: True)
    folder = tmp_path / "share"
    folder.mkdir()
    sink = SessionWriter(folder / "a.loaderscope")
    results, _ = record(sink, make_run(workers=(0,)))
    folder.rmdir()
    with pytest.raises(SessionError, match="the session is in") as error:
        sink.close()
    kept = pathlib.Path(str(error.value).rpartition("is in ")[2].rstrip("."))
    with SessionFile.open(kept) as session:
        assert session.results == results
    kept.unlink()
    kept.parent.rmdir()


MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/export /net/data nfs4 rw,vers=4.2 0 0
//nas/my\\040share /net/my\\040share cifs rw 0 0
/dev/sdb1 /net/data/local ext4 rw 0 0
user@host: /net/far fuse.sshfs rw 0 0
tmpfs /net tmpfs rw 0 0
"""


@pytest.mark.skipif(pathlib.os.name == "nt", reason="/proc/mounts is Linux's")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/a.loaderscope", False),
        ("/net/data/a.loaderscope", True),
        ("/net/data2/a.loaderscope", False),
        ("/net/my share/deep/a.loaderscope", True),
        ("/net/data/local/a.loaderscope", False),
        ("/net/far/a.loaderscope", True),
        ("/net/a.loaderscope", False),
    ],
)
def test_network_shares_are_told_by_their_mount(path, expected):
    assert is_network_share(pathlib.Path(path), MOUNTS) is expected


def test_numbers_that_are_none_become_null():
    assert json_value({"a": (1.5, float("nan")), "b": [float("inf"), -0.0], 3: None}) == {"a": [1.5, None], "b": [None, -0.0], "3": None}


def test_names_that_could_not_be_decoded_are_stored_with_a_question_mark(tmp_path):
    run = make_run()
    run = dataclasses.replace(
        run,
        request=dataclasses.replace(run.request, script_args=("--data", "photos-\udcff")),
        environment={**run.environment, "PATH": "\udcff", "load": float("inf")},
    )
    path = tmp_path / "named.loaderscope"
    recording = SessionWriter(path)
    recording.run_started(run)
    recording.trial_finished(TrialResult(0, 0, "failed", run.plan[0].config, notes=["no file \udcff"]), None)
    recording.run_finished(cancelled=False)
    recording.close()
    with SessionFile.open(path) as session:
        assert session.run.request.script_args == ("--data", "photos-?")
        assert (session.run.environment["PATH"], session.run.environment["load"]) == ("?", None)
        assert session.document()["trials"][0]["notes"] == ["no file ?"]


def test_values_of_another_type_do_not_conform():
    def fits(value, hint):
        try:
            return checked(msgspec.to_builtins(value), hint, "it") == value
        except SessionError:
            return False

    assert fits(TrialConfig(2, forkserver_preload=("torch",)), TrialConfig)
    assert not fits(TrialConfig(True), TrialConfig)
    assert not fits(TrialConfig(2, start_method=3), TrialConfig)
    assert not fits(TrialConfig(2, forkserver_preload=("torch", 3)), TrialConfig)
    assert fits([(1, 2.0)], list[tuple[float, float]])
    assert not fits([(1, 2.0, 3.0)], list[tuple[float, float]])
    assert not fits(float("nan"), float)
    assert not fits(1 << 63, int)
    assert not fits("half a pair \ud83d", str)


def test_a_misfit_says_where_it_is():
    times = EpochTimes(0.1, 0.2, 0.3, 4)
    row = TrialResult(0, 0, "ok", TrialConfig(), epochs=[times, dataclasses.replace(times, batches=-1)])
    assert misfit(row, TrialResult) == "epochs[1].batches is -1"
    assert misfit(dataclasses.replace(row, epochs=[], status="fine"), TrialResult) == "status is 'fine'"
    wide = dataclasses.replace(row, epochs=[], epoch_s=Estimate(1.0, (2.0, 1.5)))
    assert misfit(wide, TrialResult) == "epoch_s.ci95 is (2.0, 1.5)"
    none = dataclasses.replace(row, epochs=[], samples_per_second=Estimate(0.0))
    assert misfit(none, TrialResult) == "samples_per_second.value is 0.0"
    assert misfit({"gpus": [], "usable_cpus": 0, "other": object()}, Environment) == "usable_cpus is 0"


def test_lines_and_spans_are_in_the_file_a_second_later_whatever_else_is_written(tmp_path, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(writer_module, "time", types.SimpleNamespace(monotonic=lambda: now_s, time=lambda: 1_790_000_000.0))
    path, run = tmp_path / "running.loaderscope", make_run()
    trace = make_trial_trace(0)
    recording = SessionWriter(path)
    recording.run_started(run)
    recording.trial_started(run.plan[0], trace)
    recording.log_line(LogLine(5, "stdout", "printed, then nothing for long", None))
    now_s += 1.1
    recording.progress(0, 3, None)
    with SessionFile.open(path) as crashed:
        assert [line.text for line in crashed.log_lines()] == ["printed, then nothing for long"]
    recording.trace_grew(run.plan[0], trace)
    with SessionFile.open(path) as crashed:
        assert crashed.trace(0).span_count == trace.span_count
    recording.close()


def test_numbers_of_numpy_are_stored_as_numbers_and_those_that_are_none_as_null():
    stored = {"share": np.float64(0.25), "count": np.int64(3), "flag": np.bool_(True), "unknown": np.float64("nan"), "endless": math.inf}
    assert json.loads(to_text(stored)) == {"share": 0.25, "count": 3, "flag": True, "unknown": None, "endless": None}
    assert json.loads(to_text({"name": "\udcff", "share": np.float64(0.25)})) == {"name": "?", "share": 0.25}
