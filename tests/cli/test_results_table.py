"""Results as text, and the JSON document that they come from."""

import dataclasses
import json

import pytest
from support_session import make_run, record
from terminal_text import format_table, plain_text

from loaderscope.agent.messages import CapturedLoader, ErrorInfo, MetLoader, Target, TrialConfig
from loaderscope.analysis.text_table import Column, TextTable
from loaderscope.cli.terminal.targets_table import TargetsTable, loaders_section
from loaderscope.cli.terminal.text_table import table_section
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.measures import MEASURES
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Sink
from loaderscope.session.document import build_document
from loaderscope.trace.model import Trace


class Deaf(Sink[Trace]):
    """A sink that keeps nothing."""


@pytest.fixture(scope="module")
def document():
    run = make_run()
    return build_document(run, record(Deaf(), run)[0])


TRIAL_KEYS = {
    "id", "repeat",
    "status", "error", "config", "seconds", "batches", "samples", "samples_per_second", "epoch_s", "epochs", "first_batch_s",
    "wait_share", "transfer_share", "step_share", "other_share", "gpu_busy_share", "data_stall_share", "startup", "memory", "own_cost",
}  # fmt: skip


def test_the_document_has_the_agreed_keys(document):
    agreed = {"loaderscope", "schema", "summary", "environment", "request", "target", "trials", "results", "recommendation", "findings"}
    assert set(document) >= agreed
    assert document["schema"] == 1
    assert set(document["target"]) >= {"script", "name", "kind", "dataset_kind", "length"}
    for trial in document["trials"]:
        assert set(trial) >= TRIAL_KEYS
    assert set(document["trials"][0]["config"]) >= set(TrialConfig().to_json())
    assert set(document["recommendation"]) >= {"config", "fastest", "ties", "knee", "current", "rule_of_thumb", "torch_suggested", "why"}
    for finding in document["findings"]:
        assert set(finding) >= {"code", "severity", "trials", "message", "evidence", "advice"}


def test_a_skipped_setting_is_a_row_without_a_repeat(document):
    skipped = document["trials"][-1]
    assert (skipped["status"], skipped["repeat"], skipped["error"]["kind"]) == ("skipped", None, "unsupported")
    assert skipped["samples_per_second"] is None


def test_the_document_is_strict_json_even_where_numbers_are_none():
    run = make_run(workers=(1,))
    odd = TrialResult(
        0, 0, "ok", run.plan[0].config, seconds=float("inf"), samples_per_second=Estimate(float("nan")), wait_share=float("nan")
    )
    text = json.dumps(build_document(run, [odd]), allow_nan=False)
    assert json.loads(text)["trials"][0]["wait_share"] is None


def test_a_run_without_any_result_is_told():
    run = make_run(workers=())
    document = build_document(run, [])
    assert document["recommendation"] is None
    assert document["summary"] in format_table(document, 80).replace("\n", " ")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(document, width):
    lines = format_table(document, width).splitlines()
    assert max(map(len, lines[1:])) <= width


def test_the_table_tells_every_setting_and_marks_the_recommended_one(document):
    lines = format_table(document, 120).splitlines()
    header = next(line for line in lines if "samples/s" in line)
    rows = lines[lines.index(header) + 1 : lines.index(header) + 4]
    assert [line[1:].split()[0] for line in rows] == ["0", "1", "2"]
    assert [line.startswith(">") for line in rows] == [row["config"] == document["recommendation"]["config"] for row in document["results"]]


def test_a_narrow_table_keeps_workers_and_throughput(document):
    header = next(line for line in format_table(document, 40).splitlines() if "samples/s" in line)
    assert "workers" in header
    assert "first batch" not in header


def test_trials_that_went_wrong_are_told_with_their_reason():
    run = make_run(workers=(1, 2))
    failed = TrialResult(0, 0, "killed", run.plan[0].config, ErrorInfo("worker-died", "Worker 0 was killed by signal 9."))
    text = format_table(build_document(run, [failed]), 120)
    assert "killed: 1 worker ·" in text
    assert "Worker 0 was killed by signal 9." in text


def test_control_characters_never_reach_the_terminal():
    run = make_run(workers=(1,))
    failed = TrialResult(0, 0, "failed", run.plan[0].config, ErrorInfo("Nasty", "\x1b]0;owned\x07 done"))
    text = format_table(build_document(run, [failed]), 120)
    assert "\x1b" not in text
    assert "\x07" not in text


def test_targets_are_told_one_a_line():
    targets = [
        Target("train_set", "dataset", "Photos", "variable", "map", 120, line=7),
        Target("make", "dataset", "", "function", needs=["root"], note="Give it with --arg."),
        Target("captured:0", "captured", "DataLoader", "captured"),
        Target("Photos", "dataset", "Photos", "class", "map", needs=["root"], note="needs --arg root=VALUE"),
    ]
    targets.insert(3, Target("captured:1", "captured", "DataLoader", "captured", "iterable"))
    lines = plain_text(TargetsTable(targets), 120).splitlines()
    assert "iterable loader" in lines.pop(4)
    assert len(lines) == 5 and lines[4].count("needs") == 1
    assert "train_set" in lines[1] and "120 samples" in lines[1] and "line 7" in lines[1]
    assert "needs root" in lines[2]


def test_loaders_that_a_look_met_are_told_in_characters_that_every_terminal_has():
    chosen = MetLoader(0, "DataLoader", "/a\x1b[2J.py:7", None, "", "Photos", "map", 12_000, 8, True, None, [])
    other = dataclasses.replace(chosen, number=1, length=50_000)
    lines = plain_text(loaders_section(CapturedLoader(0, "it shuffles", [chosen, other])), 400).splitlines()
    assert "12 000 samples" in lines[0] and "50 000 samples" in lines[1]
    assert not any("\x1b" in line for line in lines)


def test_an_interpreter_without_the_lock_is_told(document):
    assert "GIL" not in format_table(document)
    free = {**document, "environment": {**document["environment"], "free_threaded": True}}
    assert " without GIL" in format_table(free).splitlines()[0]


def test_an_interval_wider_than_the_value_is_told_without_a_senseless_number(document):
    row = document["results"][0]
    wild = {**document, "results": [{**row, "samples_per_second": {"value": 100.0, "ci95": [-900.0, 1100.0]}}]}
    assert "> 99 %" in format_table(wild, 200)
    assert "1000" not in format_table(wild, 200)


def with_warnings(document, *warnings_of_trials):
    changed = json.loads(json.dumps(document))
    for trial, warnings in zip(changed["trials"], warnings_of_trials, strict=False):
        trial["warnings"] = warnings
    return changed


def said(kind, text, count=1, process=None, place=None):
    return {"process": process, "kind": kind, "text": text, "count": count, "place": place}


def said_lines(document, width=100):
    lines = format_table(document, width=width).splitlines()
    begin = next((number for number, line in enumerate(lines) if line.startswith("The script said")), None)
    return [] if begin is None else lines[begin + 1 : lines.index("", begin)]


def test_what_the_script_said_is_told_once_over_all_trials(document):
    slow = said("UserWarning", "a slow format", 3, "worker-0", "/home/me/train.py:7")
    shown = said_lines(
        with_warnings(document, [slow, said("stderr", "printed")], [slow, said("UserWarning", "a slow format", 4, "worker-1")])
    )
    assert "×6 in 2 trials (worker 0): a slow format (train.py:7)" in shown[0]
    assert shown[1].strip() == "stderr in 1 trial: printed"
    assert len(shown) == 3


def test_a_script_that_said_nothing_takes_no_room(document):
    assert said_lines(document) == []


def test_long_texts_and_many_do_not_drown_the_table(document):
    texts = [said("stderr", f"{chr(97 + number)} " + "word " * 300) for number in range(26)]
    shown = said_lines(with_warnings(document, texts))
    assert len(shown) == 2 * 12 + 1
    assert all(len(line) <= 100 for line in shown)
    assert sum(line.endswith("…") for line in shown) == 12
    assert "14" in shown[-1]


def test_texts_that_differ_in_numbers_only_are_told_as_one_and_a_traceback_by_its_end(document):
    samples = [said("WARNING", f"sample {number} is bad", 1, "main", "/a/b.py:3") for number in range(5)]
    traceback = said("stderr", "Traceback (most recent call last):\n  File 'x'\nValueError: wrong")
    shown = said_lines(with_warnings(document, [*samples, traceback]))
    assert "WARNING ×5" in shown[0] and "sample 0 is bad" in shown[0] and "4 more" in shown[0]
    assert "ValueError: wrong" in shown[1] and "File" not in shown[1]


def test_a_text_cannot_steer_the_terminal(document):
    assert "\x1b" not in format_table(with_warnings(document, [said("stderr", "\x1b[2Jgone")]), width=100)


def test_a_figure_reads_as_in_the_window(document):
    row = {**document["results"][0], "accelerator_share": 0.5, "energy_per_1000_samples_j": 12.3, "step_share": 0.0}
    table = format_table({**document, "results": [{**row, "samples_per_second": {"value": 12_540.4, "ci95": [12_000.0, 13_000.0]}}]}, 250)
    figures = {measure.key: measure for measure in MEASURES}
    for key, value in (
        ("samples_per_second", 12_540.4),
        ("accelerator_share", 0.5),
        ("energy_per_1000_samples_j", 12.3),
        ("step_share", 0.0),
    ):
        assert figures[key].text(value).replace("\u202f", " ") in table


def test_a_narrow_terminal_shows_no_legend_of_columns_that_it_leaves_out():
    table = TextTable((Column("took"), Column("until next", meaning="to the end", rank=1)), (("1 s", "2 s"),), remark="epochs")
    wide, narrow = plain_text(table_section(table), 80), plain_text(table_section(table), 10)
    assert "until next" in wide.splitlines()[0] and "to the end" in wide
    assert "until next" not in narrow and "took" in narrow and "(epochs)" in narrow
