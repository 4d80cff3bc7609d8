"""Sweeps, sessions and the document of DESIGN's JSON chapter, through the command line."""

import dataclasses
import pathlib
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest
from command_line import SMALL, Done, command, in_this_process, loaderscope, write_script

import loaderscope as package
from loaderscope.cli import sweeping
from loaderscope.cli.outcome import SOME_FAILED
from loaderscope.facts.request import Axes, Request

FORBIDDEN = {"PySide6", "shiboken6", "torch"}

DOCUMENT = {
    "loaderscope",
    "schema",
    "summary",
    "environment",
    "request",
    "target",
    "trials",
    "results",
    "recommendation",
    "findings",
    "sent",
    "startup_experiment",
}
ENVIRONMENT = {"platform", "python", "torch", "cpu_count", "usable_cpus", "gpus", "default_start_method"}
TARGET = {"script", "name", "kind", "dataset_kind", "length"}
CONFIG = {
    "num_workers",
    "batch_size",
    "prefetch_factor",
    "pin_memory",
    "persistent_workers",
    "start_method",
    "in_order",
    "backend",
    "sharing_strategy",
    "threads",
    "forkserver_preload",
}
TRIAL = {
    "id",
    "repeat",
    "status",
    "error",
    "config",
    "seconds",
    "batches",
    "samples",
    "samples_per_second",
    "epoch_s",
    "epochs",
    "first_batch_s",
    "wait_share",
    "transfer_share",
    "step_share",
    "other_share",
    "gpu_busy_share",
    "data_stall_share",
    "startup",
    "memory",
    "own_cost",
}
RESULT = {"config", "trials", "samples_per_second", "epoch_s", "wait_share"}
RECOMMENDATION = {"config", "fastest", "ties", "knee", "current", "rule_of_thumb", "torch_suggested", "why"}
FINDING = {"code", "severity", "trials", "message", "evidence", "advice"}
PHASES = {
    "iterator",
    "start_worker",
    "pickle",
    "first_receive",
    "create",
    "boot",
    "main_import",
    "unpickle",
    "loop_entry",
    "worker_init",
    "index_wait",
    "first_fetch",
    "first_collate",
    "first_send",
    "server_start",
    "shutdown",
    "own",
}


@dataclasses.dataclass(frozen=True)
class Sweep:
    folder: pathlib.Path
    done: Done

    @property
    def trials(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.done.document["trials"]
        return found


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Two trials that run, and one that this combination rules out."""
    folder = tmp_path_factory.mktemp("päth with spaces")
    write_script(folder, SMALL.replace("0.001", "0.02"))  # long enough for a sample of the memory
    axes = ("--num-workers", "0,1", "--batch-size", "4", "--step", "sleep:1", "--pin-memory", "off,on", "--epochs", "1")
    return Sweep(folder, loaderscope(folder, "run", "script.py", *axes, "--json", "-o", "out.loaderscope"))


def test_a_sweep_without_failures_ends_with_0_and_leaves_one_file(sweep: Sweep) -> None:
    assert sweep.done.status == 0, sweep.done.stderr
    assert {path.name for path in sweep.folder.glob("out*")} == {"out.loaderscope"}


def test_neither_qt_nor_torch_is_imported_by_a_sweep(sweep: Sweep) -> None:
    assert not sweep.done.packages & FORBIDDEN


def test_the_document_has_every_documented_key(sweep: Sweep) -> None:
    document = sweep.done.document
    assert set(document) >= DOCUMENT
    assert (document["loaderscope"], document["schema"]) == (package.__version__, 1)
    assert document["summary"]
    assert set(document["environment"]) >= ENVIRONMENT
    assert set(document["target"]) >= TARGET
    target = document["target"]
    assert (target["name"], target["kind"], target["dataset_kind"], target["length"]) == ("numbers", "dataset", "map", 48)
    assert pathlib.Path(target["script"]) == sweep.folder / "script.py"


def test_the_request_has_every_option_with_its_value(sweep: Sweep) -> None:
    request = sweep.done.document["request"]
    assert {field.name for field in dataclasses.fields(Request)} <= set(request)
    assert {field.name for field in dataclasses.fields(Axes)} <= set(request["axes"])
    assert request["axes"]["num_workers"] == [0, 1]
    assert (request["batches"], request["consumer"]["kind"], request["train_epochs"]) == (100, "sleep", 10)


def test_every_trial_has_every_documented_key(sweep: Sweep) -> None:
    for trial in sweep.trials:
        assert set(trial) >= TRIAL
        assert set(trial["config"]) == CONFIG
        if trial["status"] == "skipped":
            assert trial["repeat"] is None
            assert set(trial["error"]) >= {"kind", "message", "traceback"}
            continue
        assert (trial["status"], trial["error"], trial["repeat"]) == ("ok", None, 0)
        assert (trial["batches"], trial["samples"]) == (12, 48)
        for epoch in trial["epochs"]:
            assert set(epoch) >= {"first_batch_s", "steady_s", "end_s", "batches"}
        for estimate in (trial["samples_per_second"], trial["epoch_s"]):
            assert estimate is None or set(estimate) == {"value", "ci95"}
        assert set(trial["own_cost"]) >= {"events", "event_seconds", "app_cpu_share"}
        assert trial["own_cost"]["events"] > 0
        assert set(trial["startup"]) >= {"explained_share", "culprit", "phases"}
        for phase in trial["startup"]["phases"]:
            assert set(phase) >= {"epoch", "process", "phase", "start_s", "seconds"}
            assert phase["phase"] in PHASES
        assert set(trial["memory"]) >= {"peak_total_bytes", "workers"}
        for worker in trial["memory"]["workers"]:
            assert set(worker) >= {"worker", "peak_uss_bytes", "peak_pss_bytes", "peak_rss_bytes"}


def test_shares_of_a_trial_add_to_one(sweep: Sweep) -> None:
    (trial,) = [trial for trial in sweep.trials if trial["status"] == "ok" and trial["config"]["num_workers"] == 0]
    shares = [trial[f"{name}_share"] for name in ("wait", "transfer", "step", "other")]
    assert sum(share or 0 for share in shares) == pytest.approx(1, abs=0.01)


def test_pinning_without_an_accelerator_is_skipped_with_the_reason(sweep: Sweep) -> None:
    if sweep.done.document["environment"]["gpus"]:
        pytest.skip("there is an accelerator here")
    skipped = [trial for trial in sweep.trials if trial["status"] == "skipped"]
    assert skipped
    assert all(trial["config"]["pin_memory"] and trial["error"]["message"] for trial in skipped)


def test_results_recommendation_and_findings_have_every_documented_key(sweep: Sweep) -> None:
    document = sweep.done.document
    assert document["results"]
    for result in document["results"]:
        assert set(result) >= RESULT
    assert set(document["recommendation"]) >= RECOMMENDATION
    for finding in document["findings"]:
        assert set(finding) >= FINDING
        assert finding["severity"] in ("error", "warning", "info")


def test_show_prints_the_same_document_and_a_table(sweep: Sweep) -> None:
    again = loaderscope(sweep.folder, "show", "out.loaderscope", "--json")
    assert again.status == 0, again.stderr
    assert again.document == sweep.done.document
    table = loaderscope(sweep.folder, "show", "out.loaderscope")
    assert table.status == 0, table.stderr
    assert sweep.done.document["recommendation"]["why"] in " ".join(table.stdout.split())
    for done in (again, table):
        assert not done.packages & FORBIDDEN


def test_a_session_is_written_as_reports_and_figures(sweep: Sweep) -> None:
    for suffix, magic in ((".html", b"<!"), (".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        done = loaderscope(sweep.folder, "report", "out.loaderscope", "-o", f"report{suffix}")
        assert done.status == 0, done.stderr
        assert (sweep.folder / f"report{suffix}").read_bytes().lower().startswith(magic.lower())
    assert "exists already" in loaderscope(sweep.folder, "report", "out.loaderscope", "-o", "report.png").stderr


def test_targets_are_listed_as_json_without_qt_or_torch(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL)
    done = loaderscope(tmp_path, "targets", "script.py", "--json")
    assert done.status == 0, done.stderr
    assert not done.packages & FORBIDDEN
    assert {"loaderscope", "schema", "script", "environment", "targets"} <= set(done.document)
    (numbers,) = [target for target in done.document["targets"] if target["name"] == "numbers"]
    assert (numbers["kind"], numbers["type_name"], numbers["length"]) == ("dataset", "Numbers", 48)


def test_the_doctor_tells_what_there_is_without_qt_or_torch(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "doctor", "--json")
    assert done.status == 0, done.stderr
    assert not done.packages & FORBIDDEN
    document = done.document
    assert {"app", "interpreter", "interpreters", "nvml", "machine", "advice"} <= set(document)
    assert document["interpreter"]["torch"] is not None
    assert "spawn" in document["interpreter"]["start_methods"]
    assert document["interpreter"]["free_threaded"] is not getattr(sys, "_is_gil_enabled", lambda: True)()
    assert document["machine"]["usable_cpus"] >= 1
    assert document["nvml"]["gpus"] or document["nvml"]["reason"]


def test_the_doctor_says_what_is_wrong_with_an_interpreter(tmp_path: pathlib.Path) -> None:
    done = loaderscope(tmp_path, "doctor", "--python", str(tmp_path / "nothing"))
    assert done.status == 2
    assert "cannot be started" in done.stdout


def test_a_loader_made_in_main_is_run_with_the_scripts_own_arguments(tmp_path: pathlib.Path) -> None:
    from loaderscope.sweep.demo_example import example_script

    script = str(example_script("main_only.py"))
    arguments = (
        "--num-workers",
        "0",
        "--target",
        "captured:0",
        "-o",
        "out.loaderscope",
        "--json",
        "--",
        "--samples",
        "64",
        "--points",
        "10",
    )
    done = loaderscope(tmp_path, "run", script, *arguments)
    assert done.status == 0, done.stderr
    target = done.document["target"]
    assert (target["kind"], target["length"]) == ("captured", 64)
    assert "mean power" not in done.stdout + done.stderr  # the training itself never ran


def test_a_failed_trial_ends_with_1_and_is_in_the_session(tmp_path: pathlib.Path) -> None:
    write_script(tmp_path, SMALL.replace("return index", "return {}[index] if index == 17 else index"))
    done = loaderscope(tmp_path, "run", "script.py", "--target", "numbers", "--num-workers", "0", "--batch-size", "4", "--json")
    assert done.status == 1, done.stderr
    (trial,) = done.document["trials"]
    assert (trial["status"], trial["error"]["kind"]) == ("failed", "KeyError")
    assert "17" in trial["error"]["message"]
    assert loaderscope(tmp_path, "show", "script.loaderscope", "--json").document == done.document


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl+C cannot be sent to one process there")
def test_ctrl_c_ends_with_130_saves_finished_trials_and_leaves_no_process(tmp_path: pathlib.Path) -> None:
    stuck = """
    from torch.utils.data import get_worker_info

    class Stuck(Numbers):
        def __getitem__(self, index):
            if get_worker_info() is not None:
                time.sleep(1000)
            return index

    numbers = Stuck()
    """
    write_script(tmp_path, SMALL + stuck)
    arguments = command(
        tmp_path, "run", "script.py", "--target", "numbers", "--num-workers", "0,1", "--batch-size", "4", "-o", "out.loaderscope"
    )
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "samples/s" in line or "no throughput" in line:  # the first of the two trials is over
            break
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "finished trials are saved" in stderr
    trials = loaderscope(tmp_path, "show", "out.loaderscope", "--json").document["trials"]
    assert [trial["status"] for trial in trials if trial["config"]["num_workers"] == 0] == ["ok"]
    assert [trial["status"] for trial in trials if trial["config"]["num_workers"] == 1] in ([], ["cancelled"])
    assert not [found.pid for found in psutil.process_iter() if _cwd(found) == str(tmp_path)]


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def test_trials_that_cannot_be_analysed_have_failed_and_say_why(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def analyse(*_: object, **_options: object) -> None:
        raise IndexError("no such row")

    monkeypatch.setattr("loaderscope.analysis.trial.analyse", analyse)
    script = write_script(tmp_path, SMALL)
    request = Request(script=str(script), cwd=str(tmp_path), axes=Axes(num_workers=(0,)), batches=2, probe=False)
    status, document = sweeping.sweep(request, tmp_path / "out.loaderscope", force=False)
    assert status == SOME_FAILED and document is not None
    (trial,) = document["trials"]
    assert trial["status"] == "failed" and "in analyse" in trial["error"]["traceback"]
    assert document["summary"].startswith("The only trial failed: ")
    assert document["summary"].count(".") == 1 and "a fault of Loaderscope (IndexError: no such row)" in document["summary"]


def test_a_trial_that_the_budget_ended_is_told_and_has_not_failed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from loaderscope.cli import main
    from loaderscope.sweep.pool import Pool

    write_script(tmp_path, SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pool, "_budget_used", lambda self: self._trial_id is not None)
    assert main(["run", "script.py", "--num-workers", "0", "--no-probe", "--max-seconds", "500"]) == 0
    assert "No trial came to its end: The budget of 500 s" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_targets_notes_that_a_script_got_the_variables_of_torchrun(tmp_path, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    write_script(
        tmp_path, "import os\nfrom torch.utils.data import DataLoader\nloader = DataLoader(range(8 * int(os.environ['WORLD_SIZE'])))\n"
    )
    listed = in_this_process(tmp_path, "targets", "script.py")
    assert "loader" in listed.stdout
    assert "WORLD_SIZE=1" in listed.stderr
    (note,) = in_this_process(tmp_path, "targets", "script.py", "--json").document["notes"]
    assert "WORLD_SIZE=1" in note
