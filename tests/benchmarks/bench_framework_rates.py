"""Prints for each script of the frameworks the ratio of the measured rate to that of a plain stopwatch around the same batches.

Each pair is a trial of a sweep and a plain loop (`tests/frameworks/stopwatch.py`), one after the other. Every fetch waits for some
milliseconds, so that the scripts' tiny batches come at a pace at which people's do.

    LOADERSCOPE_FRAMEWORKS_PYTHON=... pytest -m benchmark -s tests/benchmarks/bench_framework_rates.py
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterator

import pytest
from running import CollectingSink, request, run_pool

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "frameworks"))

from framework_scripts import SCRIPTS, FrameworkScript
from frameworks_python import PYTHON_VARIABLE, offline_environment

PAIRS, WORKERS, EPOCHS, BATCHES, START_METHOD = 10, 2, 3, 24, "fork"
FETCH_MILLISECONDS = 20
EDGE = 2 * WORKERS
"""Batches at each end of an epoch that belong to the filling and draining of the queue: workers times prefetch factor."""

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]


class PairingSink(CollectingSink):
    """Lets the stopwatch run after each trial, and keeps the ratios."""

    def __init__(self, stopwatch: subprocess.Popen[str]) -> None:
        super().__init__()
        self._stopwatch = stopwatch
        self.ratios: list[float] = []

    def trial_finished(self, result, trace) -> None:
        super().trial_finished(result, trace)
        plain = plain_rate(self._stopwatch)
        if result.samples_per_second is not None and result.samples:
            self.ratios.append(result.samples_per_second.value * result.batches / result.samples / plain)


def plain_rate(stopwatch: subprocess.Popen[str]) -> float:
    """Batches a second of a plain loop in its steady state."""
    stopwatch.stdin.write(f"{WORKERS} {START_METHOD} {BATCHES} {EPOCHS}\n")
    stopwatch.stdin.flush()
    epochs = json.loads(stopwatch.stdout.readline())
    steady = [times[EDGE - 1 : len(times) - EDGE] for times in epochs]
    return sum(len(times) - 1 for times in steady) / sum(times[-1] - times[0] for times in steady)


@contextlib.contextmanager
def stopwatch_of(script: FrameworkScript, folder: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has run the script up to its loader."""
    program = pathlib.Path(__file__).parents[1] / "frameworks" / "stopwatch.py"
    command = [os.environ[PYTHON_VARIABLE], str(program), str(script.path), str(script.loader.number)]
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def interval_of_median(ratios: list[float]) -> tuple[float, float]:
    """The order statistics that hold the median with about 95 % (binomial, normal approximation)."""
    ordered = sorted(ratios)
    half = 0.98 * len(ordered) ** 0.5
    low, high = round(len(ordered) / 2 - half) - 1, round(len(ordered) / 2 + half)
    return ordered[max(low, 0)], ordered[min(high, len(ordered) - 1)]


@pytest.mark.parametrize("script", [script for script in SCRIPTS if script.loader is not None], ids=lambda script: script.name)
def test_the_rate_is_that_of_a_plain_stopwatch(script, tmp_path, monkeypatch):
    if PYTHON_VARIABLE not in os.environ:
        pytest.skip(f"{PYTHON_VARIABLE} names no interpreter")
    for name, value in {**offline_environment(tmp_path), "FETCH_MILLISECONDS": str(FETCH_MILLISECONDS)}.items():
        monkeypatch.setenv(name, value)
    asked = request(script.path, (WORKERS,), START_METHOD, batches=BATCHES, load_timeout_s=120.0, python=os.environ[PYTHON_VARIABLE])
    asked = dataclasses.replace(asked, cwd=str(tmp_path), epochs=EPOCHS, repeats=PAIRS)
    with stopwatch_of(script, tmp_path) as stopwatch:
        plain_rate(stopwatch)  # what is loaded lazily is loaded
        sink = PairingSink(stopwatch)
        run_pool(asked, sink)
    assert sink.ratios, [result.samples_per_second_reason for result in sink.results]
    low, high = interval_of_median(sink.ratios)
    print(f"\n{script.name:<30} {statistics.median(sink.ratios):.3f} ({low:.3f}–{high:.3f}) of {len(sink.ratios)} pairs")
