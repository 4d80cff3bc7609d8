"""What the terminal shows of a start-up experiment, and that a session gives it again."""

import dataclasses
import sqlite3

import pytest
from support_session import config_of, make_run, record_results
from terminal_text import format_table, plain_text

from loaderscope.agent.messages import TrialConfig
from loaderscope.cli.terminal.startup_table import experiment_section
from loaderscope.facts.evidence import Signs
from loaderscope.facts.results import EpochTimes, TrialResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.startup_results import Control, Phase, Startup
from loaderscope.session.document import build_document
from loaderscope.session.file import SessionError, SessionFile, SessionWriter

CONTROLS = [Control("python", 0.03, 0.02, 1.0, None, 0.02, True), Control("torch", error="This interpreter has no torch.")]


def row(number: int, config: TrialConfig, first_s: float, later_s: float) -> TrialResult:
    phases = [Phase(epoch, "worker-0", "main_import", 0.1, first_s * 0.9) for epoch in range(3)]
    epochs = [EpochTimes(seconds, 0.4, 0.0 if config.persistent_workers else 0.1, 8) for seconds in (first_s, later_s, later_s)]
    signs = Signs(fetch_s=0.05, collate_s=0.0)
    return TrialResult(number, 0, "ok", config, epochs=epochs, first_batch_s=first_s, startup=Startup(1.0, None, phases), signs=signs)


@pytest.fixture
def experiment():
    spawn, kept = config_of(2, start_method="spawn"), config_of(2, start_method="spawn", persistent_workers=True)
    configs = [config_of(0), spawn, kept]
    plan = [PlannedTrial(number, 0, config) for number, config in enumerate(configs)]
    run = make_run(startup=True)
    run = dataclasses.replace(run, plan=plan, controls=CONTROLS)
    return run, [row(0, configs[0], 0.1, 0.1), row(1, spawn, 2.0, 2.0), row(2, kept, 2.0, 0.05)]


def write(path, run, results) -> None:
    writer = SessionWriter(path)
    record_results(writer, run, results)
    writer.close()


def test_a_session_gives_the_experiment_and_its_controls_again(tmp_path, experiment):
    run, results = experiment
    write(tmp_path / "a.loaderscope", run, results)
    with SessionFile.open(tmp_path / "a.loaderscope") as session:
        assert session.run.controls == CONTROLS
        assert session.document() == build_document(run, results)


def test_the_summary_says_what_preloaded_workers_import_all_the_same(experiment):
    run, results = experiment
    imports = [{"name": "torch", "seconds": 1.0}, {"name": "mine", "seconds": 0.5, "within": None, "beside_script": True}]
    run = dataclasses.replace(run, environment={**run.environment, "script_imports": imports})
    assert "mine" not in build_document(run, results)["summary"]  # nothing was preloaded
    preloaded = config_of(2, start_method="forkserver", forkserver_preload=("torch",))
    summary = build_document(run, [*results, row(3, preloaded, 1.0, 0.6)])["summary"]
    assert "Preloaded workers still import mine themselves" in summary


def test_a_session_from_before_there_were_controls_opens(tmp_path, experiment):
    write(tmp_path / "a.loaderscope", *experiment)
    with sqlite3.connect(tmp_path / "a.loaderscope") as connection:
        connection.execute("DELETE FROM session WHERE key = 'controls'")
    connection.close()
    with SessionFile.open(tmp_path / "a.loaderscope") as session:
        assert session.run.controls == []


@pytest.mark.parametrize("value", ["7", "[5]", '[{"first_s": 1}]', '[{"name": "torch", "first_s": "long"}]'])
def test_damaged_controls_are_refused(tmp_path, experiment, value):
    write(tmp_path / "a.loaderscope", *experiment)
    with sqlite3.connect(tmp_path / "a.loaderscope") as connection:
        connection.execute("UPDATE session SET value = ? WHERE key = 'controls'", (value,))
    connection.close()
    with pytest.raises(SessionError):
        SessionFile.open(tmp_path / "a.loaderscope")


def test_the_document_has_the_experiment_in_place_of_a_recommendation(experiment):
    document = build_document(*experiment)
    found = document["startup_experiment"]
    assert document["recommendation"] is None
    assert document["summary"] == found["summary"]
    assert found["controls"][1]["error"] == "This interpreter has no torch."
    keys = {"start_method", "preload", "num_workers", "first_batch_s", "later_first_batch_s", "epoch_end_s", "server_start_s"}
    assert all(keys <= set(cost) for cost in found["costs"])
    keys = {"name", "config", "against", "predicted_s", "measured_s", "with_server", "text"}
    assert [set(remedy) >= keys for remedy in found["remedies"]] == [True]


def test_another_run_has_no_experiment():
    run = make_run()
    assert build_document(run, [])["startup_experiment"] is None


def test_the_table_shows_costs_controls_remedies_and_break_even(experiment):
    text = format_table(build_document(*experiment), 100)
    lines = [line.split() for line in text.splitlines()]
    assert ["spawn", "2", "2.00", "s", "2.00", "s", "100", "ms", "50.0", "ms"] in lines
    assert ["bare", "interpreter", "30.0", "ms", "100", "%", "20.0", "ms"] in lines
    assert "import torch: This interpreter has no torch." in text
    assert ["persistent", "2", "x", "spawn,", "3", "epochs", "4.10", "s", "4.10", "s", "agrees"] in lines
    assert "samples/s" not in text
    assert "Under spawn 2 workers take 2.00 s to the first batch, of which 90 % is importing the script again" in text.replace("\n", " ")


def test_no_line_is_wider_than_the_terminal(experiment):
    text = plain_text(experiment_section(build_document(*experiment)["startup_experiment"]), 60)
    assert max(map(len, text.splitlines())) <= 60


def test_a_table_without_rows_shows_only_what_could_not_be_measured(experiment):
    run, results = experiment
    document = build_document(dataclasses.replace(run, controls=CONTROLS[1:]), results[:1])
    text = plain_text(experiment_section(document["startup_experiment"] | {"costs": []}), 100)
    assert text.splitlines()[-1] == "import torch: This interpreter has no torch."
    assert not {"start", "control", "remedy", "break-even"} & {line.split(" ")[0] for line in text.splitlines()}
