"""The table of measures: it is whole, and the figures of a setting are named nowhere else."""

import ast
import dataclasses
import pathlib

import pytest

import loaderscope
from loaderscope.facts import measures
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.measures import BY_KEY, MEASURES, Repeats, Shown
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import MISSING

NO_FIGURES = {"config", "trials", "remedy"}
"""Fields of SettingResult that say which setting it is, and what it was made from."""

PACKAGE = pathlib.Path(loaderscope.__file__).parent
TABLE = pathlib.Path(measures.__file__)


def test_every_figure_of_a_setting_has_one_row():
    figures = [measure.key for measure in MEASURES if measure.key == measure.field]
    assert set(figures) == {field.name for field in dataclasses.fields(SettingResult)} - NO_FIGURES
    assert {measure.field for measure in MEASURES} == set(figures)
    for name in ("key", "title", "tip"):
        values = [getattr(measure, name) for measure in MEASURES]
        assert all(values)
        assert len(set(values)) == len(values), name


def constants(tree):
    """The texts of a module, also those between the values of an f-string, without its docstrings and keys of dictionaries."""
    keys = {id(key) for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys}
    keys |= {id(node.slice) for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {node.value.strip() for node in texts if id(node) not in keys}


def test_titles_stand_in_the_table_alone():
    """Titles that are a plain word or a sign, as `wait`, have other uses: only modules that go through these figures may not hold them."""
    titles = {measure.title for measure in MEASURES}
    plain = {title for title in titles if title.isidentifier() or len(title) == 1}
    assert titles - plain
    found = {}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        goes_through_figures = "import MEASURES" in text or "SettingResult" in text
        here = constants(ast.parse(text)) & (titles if goes_through_figures else titles - plain)
        if here and path != TABLE:
            found[path.relative_to(PACKAGE).as_posix()] = here
    assert found == {}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.key)
def test_an_unknown_figure_reads_as_missing_and_never_as_nothing(measure):
    assert measure.of(SettingResult({}, [])) is None
    assert measure.text(None) == "–"
    assert measure.text(0.5) != "–"


def test_an_estimate_has_its_value_and_its_interval():
    setting = SettingResult({}, [], samples_per_second=Estimate(200.0, (190.0, 210.0)))
    values = {measure.key: measure.of(setting) for measure in MEASURES}
    assert values["samples_per_second"] == 200.0
    assert values["samples_per_second.ci95"] == pytest.approx(0.05)
    assert all(measure.repeats is Repeats.ESTIMATE for measure in MEASURES if measure.field in ("samples_per_second", "epoch_s"))


def test_when_there_is_a_column():
    cases = {
        Shown.ALWAYS: (1, 1, 1),
        Shown.WHERE_MEASURED: (0, 1, 1),
        Shown.WHERE_NOT_ZERO: (0, 0, 1),
        Shown.WHERE_NOTABLE: (0, 0, 1),
        Shown.NEVER: (0, 0, 0),
    }
    assert {shown: (shown.among({None}), shown.among({None, 0.0}), shown.among({0.0, 0.3})) for shown in Shown} == cases


def test_no_step_is_a_dash_and_a_short_step_a_share():
    assert BY_KEY["step_share"].text(0.0) == MISSING
    assert BY_KEY["step_share"].text(0.001) == "<1 %"
    assert BY_KEY["wait_share"].text(0.0) == "0 %"
