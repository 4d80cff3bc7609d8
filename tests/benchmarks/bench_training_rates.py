"""Prints for each script of the frameworks the ratio of the rate inside its training to that of a plain stopwatch in the same training.

Each pair is a trial (`--step training`) and a plain run with the same values (`tests/frameworks/training_stopwatch.py`), one after the
other, over the same batches. Every fetch waits for some milliseconds, so that the scripts' tiny batches come at a pace at which people's
do.

    LOADERSCOPE_FRAMEWORKS_PYTHON=... pytest -m benchmark -s tests/benchmarks/bench_training_rates.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess

import pytest
from bench_framework_rates import FETCH_MILLISECONDS, PYTHON_VARIABLE, SCRIPTS, interval_of_median, offline_environment
from running import CollectingSink, request, run_pool

from loaderscope.agent.messages import Consumer
from loaderscope.facts.consumers import TRAINING

PAIRS, BATCHES, START_METHOD = 10, 15, "fork"
TAKEN = BATCHES + TRAINING.warm_up_batches
"""Of the 24 batches of an epoch: a second epoch would follow evaluations, which only some of the scripts have."""

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]


class PairingSink(CollectingSink):
    """Lets the stopwatch run after each trial, and keeps the ratios by the number of workers."""

    def __init__(self, script, folder) -> None:
        super().__init__()
        self._script, self._folder = script, folder
        self.ratios: dict[int, list[float]] = {}

    def trial_finished(self, result, trace) -> None:
        super().trial_finished(result, trace)
        workers = result.config.num_workers
        plain = plain_rate(self._script, self._folder, workers)
        if plain is not None and result.samples_per_second is not None and result.samples:
            self.ratios.setdefault(workers, []).append(result.samples_per_second.value * result.batches / result.samples / plain)


def plain_rate(script, folder: pathlib.Path, workers: int) -> float | None:
    """Batches a second of a plain run, after its warm-up."""
    program = pathlib.Path(__file__).parents[1] / "frameworks" / "training_stopwatch.py"
    command = [
        os.environ[PYTHON_VARIABLE],
        str(program),
        str(script.path),
        str(script.loader.number),
        str(workers),
        START_METHOD,
        str(TAKEN),
    ]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if not done.stdout:
        return None
    times = json.loads(done.stdout)[max(TRAINING.warm_up_batches, 2 * workers) - 1 :]
    return (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.loader is not None], ids=lambda script: script.name)
def test_the_rate_in_the_training_is_that_of_a_plain_stopwatch(script, tmp_path, monkeypatch):
    if PYTHON_VARIABLE not in os.environ:
        pytest.skip(f"{PYTHON_VARIABLE} names no interpreter")
    for name, value in {**offline_environment(tmp_path), "FETCH_MILLISECONDS": str(FETCH_MILLISECONDS)}.items():
        monkeypatch.setenv(name, value)
    asked = request(script.path, (0, 2), START_METHOD, batches=BATCHES, load_timeout_s=120.0, python=os.environ[PYTHON_VARIABLE])
    asked = dataclasses.replace(asked, cwd=str(tmp_path), consumer=Consumer("training"), repeats=PAIRS, ceiling=False)
    sink = PairingSink(script, tmp_path)
    run_pool(dataclasses.replace(asked, target=f"captured:{script.loader.number}"), sink)
    assert sink.ratios, [result.samples_per_second_reason or result.error for result in sink.results]
    for workers, ratios in sorted(sink.ratios.items()):
        low, high = interval_of_median(ratios)
        print(f"\n{script.name:<30} {workers} workers {statistics.median(ratios):.3f} ({low:.3f}–{high:.3f}) of {len(ratios)} pairs")
