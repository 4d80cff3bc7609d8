"""The tables of start-up phases and of what may shorten them: they are whole, and what is made from them agrees."""

import pytest
import shiboken6
from PySide6.QtCore import QSize
from support_session import config_of
from terminal_text import plain_text

from loaderscope.analysis.startup import first_batch
from loaderscope.analysis.startup.culprit import StartFacts, find_culprit
from loaderscope.cli.commands.doctor_selftest import summarise_selftest
from loaderscope.cli.terminal.selftest_page import selftest_page
from loaderscope.facts.phases import GROUPS, PHASES, PRECEDENCE, SHUTDOWN, group_title, phase_of
from loaderscope.facts.remedies import REMEDIES
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import BY_FIELD
from loaderscope.facts.startup_results import Phase, Startup
from loaderscope.gui.charts.plot import Plot
from loaderscope.gui.charts.startup_chart import STARTUP, startup_data_of_trial
from loaderscope.gui.style.figures import font_of
from loaderscope.gui.style.palette import LIGHT, PALETTES

ON_THE_WAY = [phase for phase in PHASES if phase is not SHUTDOWN]


def tips_of(phases, qtbot):
    """What the chart says of a trial that had these phases, a second each."""
    rows = [Phase(0, "worker-0", key, second, 1.0) for second, key in enumerate(phases)]
    result = TrialResult(1, 0, "ok", config_of(1), startup=Startup(1.0, None, rows), first_batch_s=float(len(rows)))
    plot = Plot(LIGHT, font_of(11))
    STARTUP.draw(plot, startup_data_of_trial(result))
    plot.place(QSize(900, 200))
    shiboken6.delete(plot.view)
    return [target.text.splitlines() for target in plot.targets]


def test_no_two_phases_have_a_key_or_a_title_in_common():
    assert len({phase.key for phase in PHASES}) == len({phase.title for phase in PHASES}) == len(PHASES)


def test_time_can_be_charged_to_every_phase_before_the_first_batch():
    assert sorted(PRECEDENCE) == sorted(phase.key for phase in ON_THE_WAY)


def test_what_is_measured_is_in_the_table():
    measured = {*first_batch.ONCE_PHASES.values(), *first_batch.FIRST_PHASES.values(), *first_batch.MAIN_PHASES.values()}
    assert measured <= {phase.key for phase in PHASES}


@pytest.mark.parametrize("phase", ON_THE_WAY, ids=lambda phase: phase.key)
def test_any_phase_can_be_the_culprit(phase):
    facts = StartFacts("worker-3", [], None, None, [], [], None, None, None)
    culprit = find_culprit({phase.key: 2.0}, facts)
    assert culprit.phase == phase.key and culprit.detail
    assert ("worker 3" in culprit.detail) == ("{worker}" in phase.detail)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=lambda palette: palette.name)
def test_every_group_has_a_colour_and_a_title_of_its_own(palette):
    assert {phase.group for phase in PHASES} == set(GROUPS)
    assert len({palette.role(group.role) for group in GROUPS}) == len({group_title(group) for group in GROUPS}) == len(GROUPS)


def test_the_chart_names_each_phase_by_its_title_and_says_what_it_is(qtbot):
    told = tips_of([phase.key for phase in ON_THE_WAY], qtbot)
    assert all([f"{phase.title}: 1.00 s", phase.tip] in [lines[1:] for lines in told] for phase in ON_THE_WAY)


def test_a_phase_of_another_version_is_drawn_by_its_key(qtbot):
    assert phase_of("warm_up").title == "warm up"
    assert ["warm up: 1.00 s"] in [lines[1:] for lines in tips_of(["warm_up"], qtbot)]


def test_the_self_test_lists_its_phases_by_their_titles():
    phases = [{"epoch": 0, "process": "worker-0", "phase": phase.key, "seconds": 1.0} for phase in PHASES]
    config = {"num_workers": 1, "start_method": "spawn", "persistent_workers": False, "forkserver_preload": None}
    trial = {
        "status": "ok",
        "config": config,
        "error": None,
        "epochs": [{"first_batch_s": 1.0, "end_s": 1.0}],
        "startup": {"phases": phases, "explained_share": 1.0, "own_s": 0.1, "culprit": None},
    }
    found = summarise_selftest({"trials": [trial], "startup_experiment": None, "environment": {"start_methods": ["spawn"]}}, 1.0)
    wanted = [phase for phase in PHASES if phase.in_self_test]
    assert list(found["starts"][0]["phases"]) == [phase.key for phase in wanted]
    machine = {"commit_limit_bytes": None, "commit_used_bytes": None, "open_files_limit": None}
    lines = plain_text(selftest_page(found, machine), 80).splitlines()
    titles = [line.removesuffix("1000").strip() for line in lines if line.endswith("1000")]
    assert titles[: len(wanted)] == [phase.title for phase in wanted]


def test_a_remedy_changes_a_setting():
    assert {remedy.name for remedy in REMEDIES} <= {*BY_FIELD, "forkserver_preload"}
