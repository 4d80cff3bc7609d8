"""Evidence and gain of findings as short texts, and the table of their codes."""

import ast
import pathlib

import pytest

import loaderscope
from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.finding_codes import CODES, finding_code
from loaderscope.facts.finding_text import GAIN_UNKNOWN, evidence_figures, evidence_lines, gain_text, training_s
from loaderscope.facts.results import SettingResult

FINDINGS = pathlib.Path(loaderscope.__file__).parent / "analysis" / "findings"


@pytest.mark.parametrize(
    ("name", "value", "figure"),
    [
        ("held_up_share", 0.234, ("held up", "23 %")),
        ("fetch_s", 0.0961, ("fetch", "96.1 ms")),
        ("copied_bytes", 512e6, ("copied", "512 MB")),
        ("growth_bytes_per_s", 3.1e6, ("growth", "3.1 MB/s")),
        ("throughput_ratio", 1.5, ("throughput", "1.50 ×")),
        ("step_ms", 2.0, ("step", "2.00 ms")),
        ("num_workers", 12, ("num workers", "12")),
        ("attribute", "dataset.paths", ("attribute", "dataset.paths")),
        ("lost_shares", {"0": 0.1, "2": 0.25}, ("lost", "0 10 %, 2 25 %")),
        ("samples", [3, 5], ("samples", "3 and 5")),
    ],
)
def test_a_figure_is_written_in_the_unit_of_its_name(name, value, figure):
    assert evidence_figures({name: value}) == [figure]


@pytest.mark.parametrize("name", ["least_share", "min_share", "threshold_share"])
def test_a_threshold_is_called_one(name):
    assert evidence_figures({name: 0.1}) == [("threshold", "10 %")]
    assert evidence_figures({"least_gain_share": 0.05}) == [("threshold gain", "5 %")]


@pytest.mark.parametrize("value", [{"a": None, "b": 1.0}, [None, 2], [[1, 2], {"c": True}], {"a": {"b": 1}}, object(), True])
def test_evidence_of_any_shape_has_a_text_or_none(value):
    assert all(isinstance(text, str) and text for _, text in evidence_figures({"some_share": value}))
    assert evidence_figures({"kind": "hung", "statuses": ["timeout"], "compared_with": {"num_workers": 0}}) == []


def test_unknown_and_infinite_values_are_left_out():
    assert evidence_figures({"culprit": None, "speed_ratio": float("nan"), "seconds": 1.5}) == [("seconds", "1.50 s")]


def test_places_of_processes_are_lines_and_no_figures():
    evidence = {"places": ["main: train.py:87 in load", "worker 0: train.py:31"], "sources": ["a.py:3", "b.py:4"]}
    assert evidence_lines(evidence) == evidence["places"]
    assert evidence_figures(evidence) == [("sources", "a.py:3 and b.py:4")]


def test_a_gain_is_told_beside_the_training_with_its_interval():
    text = gain_text(Estimate(120.0, (90.0, 144.0)), 720.0)
    assert [part in text for part in ("about 2 min ", "of your 12 min", "1 min 30 s to 2 min 20 s")] == [True] * 3
    assert "of your training" in gain_text(Estimate(120.0))
    assert gain_text(None, 720.0) == GAIN_UNKNOWN


def test_the_training_is_that_of_the_setting_of_the_findings_trials():
    settings = [SettingResult(TrialConfig(0), [0, 2], train_s=10.0), SettingResult(TrialConfig(1), [1], train_s=5.0)]
    assert training_s([1], settings) == 5.0 and training_s([7], settings) is None


def test_every_code_has_one_title_and_a_meaning():
    assert len({one.code for one in CODES}) == len(CODES) == len({one.title for one in CODES})
    assert all(one.title and one.meaning.endswith(".") for one in CODES)
    assert finding_code("of-another-version").title == "Of another version"


def test_the_table_has_every_code_that_is_written_in_a_finding():
    codes = set()
    for path in FINDINGS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "code")]
                codes |= {one.value for value in given for one in ast.walk(value) if isinstance(one, ast.Constant)}
    assert len(codes) > 15
    assert codes - {one.code for one in CODES} == set()
