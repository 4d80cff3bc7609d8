"""The self-test of `loaderscope doctor`: a start-up experiment on a small dataset, and its summary."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from loaderscope.cli.files import SESSION_SUFFIX
from loaderscope.cli.outcome import WRONG_REQUEST, UsageError
from loaderscope.cli.sweeping import sweep
from loaderscope.facts.phases import PHASES, SHUTDOWN
from loaderscope.facts.request import Axes, Request
from loaderscope.sweep.demo_example import example_script
from loaderscope.sweep.machine import usable_cpus

Row = dict[str, Any]

TARGET = "make_loader"
TRIALS_BUDGET_S = 240.0  # inspecting the interpreter and loading the script come on top
MANY_CPUS = 4
"""With at least this many processors the self-test tries 4 workers, too."""

_FIRST_WORKER = "worker-0"


def run_selftest(options: argparse.Namespace) -> tuple[int, Row]:
    """Runs the self-test with the options of `doctor`. Returns the exit status and the summary."""
    request = selftest_request(options.python, usable_cpus(), options.num_workers, options.start_method)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="loaderscope-selftest-", ignore_cleanup_errors=True) as folder:
        output = Path(options.output) if options.output else Path(folder) / ("selftest" + SESSION_SUFFIX)
        try:
            status, document = sweep(request, output, options.force)
            problem = None
        except UsageError as error:
            status, document, problem = WRONG_REQUEST, None, f"{error}\n{error.output}".strip()
    return status, summarise_selftest(document, time.monotonic() - began_s, problem)


def selftest_request(
    python: str | None, usable_cpus: int, num_workers: tuple[int, ...] | None = None, start_methods: tuple[str, ...] | None = None
) -> Request:
    """Returns the request of the experiment.

    Args:
        python: the interpreter; None for the one that runs the app.
        usable_cpus: processors that the workers may use.
        num_workers: narrows the experiment; None for 0, 1 and 2 workers, with enough processors 4 too.
        start_methods: narrows the experiment; None for all that the system has.
    """
    workers = num_workers or ((0, 1, 2, 4) if usable_cpus >= MANY_CPUS else (0, 1, 2))
    return Request(
        script=str(example_script("self_test.py")),
        target=TARGET,
        python=python,
        cwd=os.getcwd(),
        axes=Axes(num_workers=workers, start_method=start_methods),
        startup=True,
        max_seconds=TRIALS_BUDGET_S,
        repeat_disturbed=0,
    )


def summarise_selftest(document: Row | None, seconds: float, problem: str | None = None) -> Row:
    """Returns the findings of the self-test as plain JSON values.

    Args:
        document: the JSON document of its session; None if no trial began.
        seconds: the duration of the self-test.
        problem: why no trial began.

    Returns:
        `seconds`; `starts`, a row for each setting that starts workers, with medians over its trials; `experiment`, the
        `startup_experiment` of the document; `unavailable`, a sentence for each thing that could not be measured.
    """
    trials = document["trials"] if document is not None else []
    unavailable = [] if problem is None else [problem]
    for trial in trials:
        if trial["status"] != "ok" and trial["error"] is not None:
            unavailable.append(f"{_setting_text(trial['config'])}: {trial['status']}. {trial['error']['message']}")
    experiment = document["startup_experiment"] if document is not None else None
    for control in experiment["controls"] if experiment is not None else ():
        if control["error"] is not None:
            unavailable.append(f"control {control['name']}: {control['error']}")
    if experiment is not None and "forkserver" not in document["environment"]["start_methods"]:  # type: ignore[index]
        unavailable.append("forkserver and preloading: this system has no fork server.")
    return {"seconds": seconds, "starts": _start_rows(trials), "experiment": experiment, "unavailable": unavailable}


def _start_rows(trials: list[Row]) -> list[Row]:
    """Returns a row for each setting whose workers start anew in every epoch."""
    trials_by_setting: dict[tuple[str, tuple[str, ...], int], list[Row]] = {}
    for trial in trials:
        config = trial["config"]
        if trial["status"] == "ok" and trial["startup"] is not None and config["num_workers"] and not config["persistent_workers"]:
            setting = config["start_method"], tuple(config["forkserver_preload"] or ()), config["num_workers"]
            trials_by_setting.setdefault(setting, []).append(trial)
    return [_start_row(*setting, of_setting) for setting, of_setting in trials_by_setting.items()]


def _start_row(start_method: str, preload: tuple[str, ...], num_workers: int, trials: list[Row]) -> Row:
    startups = [trial["startup"] for trial in trials]
    phases = {
        phase.key: _median(seconds for startup in startups for seconds in _epoch_seconds(startup["phases"], phase.key))
        for phase in PHASES
        if phase.in_self_test
    }
    phases[SHUTDOWN.key] = _median(epoch["end_s"] for trial in trials for epoch in trial["epochs"])
    return {
        "start_method": start_method,
        "preload": list(preload),
        "num_workers": num_workers,
        "first_batch_s": _median(epoch["first_batch_s"] for trial in trials for epoch in trial["epochs"]),
        "phases": phases,
        "explained_share": _median(startup["explained_share"] for startup in startups),
        "own_s": _median(startup["own_s"] for startup in startups),
        "culprit": next((startup["culprit"]["detail"] for startup in startups if startup["culprit"] is not None), None),
    }


def _epoch_seconds(phases: list[Row], key: str) -> list[float]:
    """Returns the duration of a phase in each epoch that has it: in the first worker, or in the main process if it is longer there."""
    by_epoch: dict[int, float] = {}
    for phase in phases:
        if phase["phase"] == key and phase["process"] in (_FIRST_WORKER, "main"):
            by_epoch[phase["epoch"]] = max(by_epoch.get(phase["epoch"], 0.0), phase["seconds"])
    return list(by_epoch.values())


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _setting_text(config: Row) -> str:
    preloaded = ", preloaded" if config["forkserver_preload"] else ""
    persistent = ", persistent" if config["persistent_workers"] else ""
    return f"{config['num_workers']} workers, {config['start_method']}{preloaded}{persistent}"
