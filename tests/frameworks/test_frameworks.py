"""In scripts of the frameworks the loader that trains is captured, without any training, and its workers start."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pathlib
import subprocess
from collections.abc import Callable

import pytest
from framework_scripts import FILE_OF_FIRST_STEP, SAMPLES_OF_A_BATCH, SCRIPTS, FrameworkScript
from running import request, run_pool

from loaderscope.facts.request import Request
from loaderscope.sweep.ready_agent import SweepError

BATCHES = 6
WORKERS = 2
START_METHODS = tuple(method for method in ("fork", "spawn") if method in multiprocessing.get_all_start_methods())


def for_each(scripts: list[FrameworkScript]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test that runs once for each of these scripts."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        parametrized = pytest.mark.parametrize("script", scripts, ids=lambda script: script.name)(test)
        return pytest.mark.frameworks(pytest.mark.timeout(300)(parametrized))

    return mark


def sweep_of(script: FrameworkScript, interpreter: str, folder: pathlib.Path) -> Request:
    asked = request(script.path, (WORKERS,), START_METHODS, batches=BATCHES, timeout_s=60.0, load_timeout_s=60.0, python=interpreter)
    return dataclasses.replace(asked, cwd=str(folder))


def line_at(place: str | None, script: FrameworkScript) -> str:
    """The line of the script at a place; empty if the place is elsewhere."""
    file, _, number = (place or "").rpartition(":")
    return script.path.read_text("utf-8").splitlines()[int(number) - 1] if file == str(script.path) else ""


@for_each([script for script in SCRIPTS if script.loader is not None])
def test_the_loader_that_trains_is_captured_and_runs_under_each_start_method(script, interpreter, folder):
    expected = script.loader
    sink = run_pool(sweep_of(script, interpreter, folder))
    captured = sink.run.target.captured
    chosen = captured.chosen
    facts = (captured.number, chosen.length, chosen.batch_size, chosen.dataset, chosen.type_name)
    assert facts == (expected.number, expected.length, expected.batch_size, expected.dataset, expected.class_name), captured
    assert expected.made in line_at(chosen.made, script)
    assert expected.iterated in line_at(chosen.iterated, script)
    assert expected.why in captured.why

    tried = [(result.config.num_workers, result.config.start_method, result.status, result.batches) for result in sink.results]
    assert sorted(tried) == [(WORKERS, method, "ok", BATCHES) for method in START_METHODS], sink.output
    assert {result.samples for result in sink.results} == {BATCHES * SAMPLES_OF_A_BATCH}
    assert not (folder / FILE_OF_FIRST_STEP).exists()


@for_each([script for script in SCRIPTS if script.loader is None])
def test_where_no_dataloader_of_torch_trains_a_sentence_says_so(script, interpreter, folder):
    with pytest.raises(SweepError) as refused:
        run_pool(sweep_of(script, interpreter, folder))
    info = refused.value.info
    assert script.trains_at in line_at(f"{info.file}:{info.line}", script)
    assert "before it iterates a DataLoader" in info.message
    assert not (folder / FILE_OF_FIRST_STEP).exists()


@for_each(list(SCRIPTS))
def test_run_by_python_alone_the_script_trains(script, interpreter, folder):
    """Without this, the tests above would show nothing: their scripts might never train."""
    done = subprocess.run([interpreter, str(script.path)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / FILE_OF_FIRST_STEP).exists()


def test_every_script_of_the_folder_is_in_the_table():
    runnable = {path.stem for path in SCRIPTS[0].path.parent.glob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")}
    assert runnable == {script.name for script in SCRIPTS}
