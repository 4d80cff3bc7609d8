"""The start-up experiment through the command line."""

import pathlib

import pytest
from command_line import SMALL, Done, loaderscope, write_script

FORBIDDEN = {"PySide6", "shiboken6", "torch"}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Done]:
    """The experiment with one spawned worker."""
    folder = tmp_path_factory.mktemp("startup")
    script = write_script(folder, SMALL)
    options = ("--startup", "--num-workers", "0,1", "--start-method", "spawn", "--epochs", "2", "--json", "-o", "a.loaderscope")
    return folder, loaderscope(folder, "run", str(script), *options)


def test_the_document_has_controls_costs_and_a_remedy_predicted_and_measured(narrow: tuple[pathlib.Path, Done]) -> None:
    done = narrow[1]
    assert done.status == 0, done.stderr
    found = done.document["startup_experiment"]
    assert [(row["name"], row["error"]) for row in found["controls"]] == [("python", None), ("numpy", None), ("torch", None)]
    assert all(row["again_s"] > 0 for row in found["controls"])
    settings = [(row["start_method"], row["num_workers"], row["persistent_workers"]) for row in found["costs"]]
    assert settings == [(None, 0, False), ("spawn", 1, False), ("spawn", 1, True)]
    (remedy,) = found["remedies"]
    assert remedy["name"] == "persistent_workers"
    assert remedy["predicted_s"] > 0 and remedy["measured_s"] > 0
    assert [row["start_method"] for row in found["per_worker"]] == ["spawn"]
    assert len(found["break_even"]) == 2
    assert done.document["summary"].endswith(found["summary"])  # other programs that disturbed the experiment are named before it
    assert done.document["recommendation"] is None
    assert done.document["request"]["startup"] is True
    assert not done.packages & FORBIDDEN


def test_the_session_gives_the_same_again_and_tells_it_in_words(narrow: tuple[pathlib.Path, Done]) -> None:
    folder, done = narrow
    assert loaderscope(folder, "show", "a.loaderscope", "--json").document == done.document
    text = loaderscope(folder, "show", "a.loaderscope", COLUMNS="100").stdout
    assert "Under spawn one worker takes" in text
    assert "import torch" in text


def test_progress_tells_first_batches_and_what_is_measured_before(narrow: tuple[pathlib.Path, Done]) -> None:
    assert "Controls: a bare interpreter" in narrow[1].stderr
    assert "first batch after" in narrow[1].stderr


def test_a_request_that_contradicts_the_experiment_is_refused_before_anything_runs(tmp_path: pathlib.Path) -> None:
    script = write_script(tmp_path, SMALL)
    done = loaderscope(tmp_path, "run", str(script), "--startup", "--step", "sleep:5", "-o", "a.loaderscope")
    assert done.status == 2
    assert "(--startup)" in done.stderr
    assert not (tmp_path / "a.loaderscope").exists()


def test_the_budget_leaves_out_what_does_not_fit(tmp_path: pathlib.Path) -> None:
    script = write_script(tmp_path, SMALL)
    options = ("--startup", "--num-workers", "1", "--start-method", "spawn", "--max-seconds", "0.1", "--json", "-o", "a.loaderscope")
    document = loaderscope(tmp_path, "run", str(script), *options).document
    assert {trial["status"] for trial in document["trials"]} == {"skipped"}
    assert (document["startup_experiment"]["costs"], document["startup_experiment"]["controls"]) == ([], [])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_experiment_tries_every_start_method_and_preloading(tmp_path: pathlib.Path) -> None:
    script = write_script(tmp_path, SMALL)
    document = loaderscope(tmp_path, "run", str(script), "--startup", "--json", "-o", "a.loaderscope", timeout_s=850).document
    found = document["startup_experiment"]
    assert {row["status"] for row in document["trials"]} == {"ok"}
    methods = document["environment"]["start_methods"]
    assert {row["start_method"] for row in found["costs"]} == {None, *methods}
    if "forkserver" in methods:
        preloading = [row for row in found["remedies"] if row["name"] == "forkserver_preload"]
        assert {(row["against"]["num_workers"], row["with_server"]) for row in preloading} == {
            (n, s) for n in (1, 2, 4) for s in (False, True)
        }
        assert all(row["predicted_s"] is not None for row in preloading)
        preloaded = [trial["startup"] for trial in document["trials"] if trial["config"]["forkserver_preload"]]
        assert len(preloaded) == 3
        assert all(startup["preload_import_s"] > 0 for startup in preloaded)
