"""Session files whose tables are sound and whose values are not: one clear sentence, never a traceback."""

from __future__ import annotations

import json
import pathlib
import random
import sqlite3
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from damaged_sessions import change_json, change_rows, damage
from support_session import add_dense_spans, make_run, make_trial_trace, record
from terminal_text import format_table

from loaderscope.session.errors import SessionError
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace.span_sums import SHIFTS


@pytest.fixture(scope="module")
def good_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.loaderscope"
    writer = SessionWriter(path)
    traces = {0: make_trial_trace(0), 1: make_trial_trace(1)}
    add_dense_spans(traces[0], 4000)
    record(writer, make_run(workers=(0, 1)), traces)
    writer.set_marks(0, [(5, "here")])
    writer.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, good_bytes) -> pathlib.Path:
    path = tmp_path / "a.loaderscope"
    path.write_bytes(good_bytes)
    return path


def read_everything(path: pathlib.Path) -> None:
    with SessionFile.open(path) as session:
        document = session.document()
        json.dumps(document, allow_nan=False)
        format_table(document, 100).encode("utf-8")
        session.log_lines()
        for result in session.results:
            session.marks(result.id)
            session.row_count(result.id)
            trace = session.trace(result.id)
            for key in trace.tracks:
                for shift in SHIFTS:
                    session.sums(result.id, key, shift=shift, from_ns=trace.origin_ns or 0, until_ns=trace.end_ns)


def change(path: pathlib.Path, query: str, *values: Any) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute(query, values).rowcount != 0
        connection.commit()
    finally:
        connection.close()


def setter(place: str, value: Any) -> Callable[[Any], Any]:
    """Puts a value at a place such as "epochs.0.batches"."""

    def put(whole: Any) -> Any:
        *outer, last = (int(part) if part.isdecimal() else part for part in place.split("."))
        at = whole
        for part in outer:
            at = at[part]
        at[last] = value
        return whole

    return put


def refusal(path: pathlib.Path) -> str:
    with pytest.raises(SessionError) as error:
        read_everything(path)
    text = str(error.value)
    assert "damaged" in text
    assert text.endswith(".")
    assert len(text) < 300
    assert text.isprintable()
    return text


DEEP: list[Any] = []
for _ in range(400):
    DEEP = [DEEP]

NESTED_PARTS: list[Any] = [{"type": "Tensor"}]
for _ in range(40):
    NESTED_PARTS = [{"key": 0, "items": NESTED_PARTS}]


@pytest.mark.parametrize(
    ("cell", "place", "value"),
    [
        ("trial.result", "seconds", -1.0),
        ("trial.result", "id", 1),
        ("trial.result", "status", "fine"),
        ("trial.result", "batches", -3),
        ("trial.result", "samples", 2**63),
        ("trial.result", "wait_share", 7.5),
        ("trial.result", "samples_per_second.value", 0.0),
        ("trial.result", "samples_per_second.ci95", [2.0, 1.0]),
        ("trial.result", "epoch_s", {"value": -4.0}),
        ("trial.result", "epochs.0.first_batch_s", -0.1),
        ("trial.result", "startup.phases.0.seconds", 10**30),
        ("trial.result", "startup.culprit.seconds", 1e308),
        ("trial.result", "config.num_workers", -1),
        ("trial.result", "notes", ["\ud83d"]),
        ("trial.planned", "id", 1),
        ("trial.planned", "config.batch_size", -8),
        ("trial.trace", "origin_ns", -1),
        ("trial.trace", "newest_ns", 2**61),
        ("trial.trace", "record_count", -5),
        ("request.json", "train_epochs", 0),
        ("request.json", "batches", -1),
        ("request.json", "cwd", "a\0b"),
        ("request.json", "axes.num_workers", [-1]),
        ("request.json", "consumer.kind", "magic"),
        ("target.json", "length", -1),
        ("target.json", "kind", "thing"),
        ("environment.json", "usable_cpus", 0),
        ("environment.json", "usable_cpus", "many"),
        ("environment.json", "gpus", 5),
        ("environment.json", "gpus", [{"name": 5}]),
        ("environment.json", "python", 3.11),
        ("environment.json", "python", "3." + "9" * 5000),
        ("environment.json", "script_imports", [{"name": "torch"}]),
        ("environment.json", "script_imports", [5]),
        ("environment.json", "other", DEEP),
        ("session.value", "items", [{"type": "Tensor"}]),
        ("session.value", "items", NESTED_PARTS),
        ("session.value", "items", [{"key": "image", "shape": 5}]),
        ("session.value", "bytes", "many"),
        ("series.json", "window_ns", -1),
        ("series.json", "key", "uss/worker-" + "9" * 5000),
    ],
)
def test_a_value_out_of_its_range_is_refused_and_named(path, cell, place, value):
    table, column = cell.split(".")
    change_json(path, table, column, setter(place, value), {"trial": "id = 0", "session": "key = 'sample'"}.get(table, "rowid = 1"))
    text = refusal(path)
    if cell in ("trial.result", "request.json") and place != "id":
        assert place.partition(".")[0] in text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE process SET started_ns = -1",
        "UPDATE process SET ended_ns = started_ns - 1",
        "UPDATE lane SET kind = 'road' WHERE id = 1",
        "UPDATE lane SET position = 1 << 62 WHERE id = 1",
        "UPDATE log_line SET time_ns = -5",
        "UPDATE log_line SET trial = -1",
        "UPDATE mark SET time_ns = -1",
        "UPDATE trial SET id = -1 WHERE id = 0",
        "UPDATE session SET value = 'a' || char(0) || 'b' WHERE key = 'script'",
        "UPDATE session SET value = json_set(value, '$[0].bytes', -1) WHERE key = 'sent'",
    ],
)
def test_a_row_out_of_its_range_is_refused(path, statement):
    change(path, statement)
    refusal(path)


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("span", "start_ns", -1),
        ("span", "end_ns", 2**62),
        ("point", "time_ns", 2**63 - 1),
        ("series", "time_ns", -(2**63)),
        ("sum", "bucket", -1),
        ("sum", "bucket", 2**62),
        ("sum", "busy_ns", -1),
        ("sum", "busy_ns", 2**36 + 1),
        ("sum", "begun", -1),
        ("sum", "begun", 2**62),
        ("series", "value", float("inf")),
        ("series", "value", -1e308),
    ],
)
def test_a_recorded_value_that_nothing_can_have_is_refused(path, kind, column, value):
    row = 0 if value in (-1, -(2**63)) else -1  # times stay in their order
    change_rows(path, kind, lambda columns: columns[column].__setitem__(row, value))
    refusal(path)


def test_readings_that_are_no_numbers_are_no_damage(path):
    change_rows(path, "series", lambda columns: columns["value"].fill(float("nan")))
    read_everything(path)


@pytest.mark.parametrize("rounds", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_random_wrong_values_never_do_worse_than_an_error(path, good_bytes, rounds):
    chance, refused = random.Random(8), 0
    for _ in range(rounds):
        path.write_bytes(good_bytes)
        damage(path, chance)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's, of sums that do not fit
            try:
                read_everything(path)
            except SessionError as error:
                assert "\n" not in str(error)
                refused += 1
    assert 0.25 * rounds < refused < 0.97 * rounds  # the damage is worth something, and does not only hit what is seen at once
