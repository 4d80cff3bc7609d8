"""The self-test: a start-up experiment on a small dataset, told in a page that a user can mail."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable
from typing import Any

from loaderscope.cli.terminal.startup_table import format_experiment
from loaderscope.cli.terminal.text_columns import align, wrap
from loaderscope.facts.measures import FIRST_BATCH
from loaderscope.facts.phases import PHASES, SHUTDOWN, phase_of
from loaderscope.facts.request import Axes, Request
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.sweep.demo_example import example_script

Row = dict[str, Any]

TARGET = "make_loader"
BUDGET_S = 240.0  # for the trials; before them the interpreter is looked at, and the script loaded
MANY_CPUS = 4
"""From so many processors on 4 workers are tried, too."""

TOLD = tuple(phase for phase in PHASES if phase.in_self_test)
"""What is told of a start."""

_FIRST_WORKER = "worker-0"


def selftest_request(
    python: str | None, usable_cpus: int, num_workers: tuple[int, ...] | None = None, start_methods: tuple[str, ...] | None = None
) -> Request:
    """The experiment of the self-test.

    Args:
        python: the interpreter; None: the one that runs the app.
        usable_cpus: processors that may be used.
        num_workers: narrows it; None: 0, 1 and 2 workers, with enough processors 4 too.
        start_methods: narrows it; None: all that the system has.
    """
    workers = num_workers or ((0, 1, 2, 4) if usable_cpus >= MANY_CPUS else (0, 1, 2))
    return Request(
        script=str(example_script("self_test.py")),
        target=TARGET,
        python=python,
        cwd=os.getcwd(),
        axes=Axes(num_workers=workers, start_method=start_methods),
        startup=True,
        max_seconds=BUDGET_S,
    )


def find_selftest(document: Row | None, seconds: float, problem: str | None = None) -> Row:
    """What the self-test found, as plain JSON values.

    Args:
        document: the JSON document of its session; None where no trial was reached.
        seconds: how long it took.
        problem: why no trial was reached.

    Returns:
        `seconds`; `starts`, a row a setting that starts workers, with medians over its trials; `experiment`, the
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
    return {"seconds": seconds, "starts": _starts(trials), "experiment": experiment, "unavailable": unavailable}


def format_selftest(found: Row, machine: Row, width: int) -> str:
    """The self-test as text.

    Args:
        found: see `find_selftest`.
        machine: the `machine` of `sweep.doctor.examine`.
        width: columns of the terminal.
    """
    parts = [f"Self-test of start-up, {duration_text(found['seconds'])}", _phases(found["starts"], width)]
    if found["experiment"] is not None:
        parts.append(format_experiment(found["experiment"], width))
    commit, files = machine["commit_limit_bytes"], machine["open_files_limit"]
    limits = [
        "commit: " + ("only Windows limits it" if commit is None else f"{bytes_text(machine['commit_used_bytes'])} of {bytes_text(commit)}")
    ]
    limits.append("open files: " + ("no limit" if files is None else f"{files} a process"))
    parts.append("Limits: " + "; ".join(limits))
    if found["unavailable"]:
        parts.append("\n".join(["Not available:", *(wrap(f"  {sentence}", width, "    ") for sentence in found["unavailable"])]))
    return "\n\n".join(part for part in parts if part)


def _starts(trials: list[Row]) -> list[Row]:
    """Settings without persistent workers, which start as often as there are epochs."""
    settings: dict[tuple[Any, ...], list[Row]] = {}
    for trial in trials:
        config = trial["config"]
        if trial["status"] == "ok" and trial["startup"] is not None and config["num_workers"] and not config["persistent_workers"]:
            key = config["start_method"], tuple(config["forkserver_preload"] or ()), config["num_workers"]
            settings.setdefault(key, []).append(trial)
    return [_start(key, of_setting) for key, of_setting in settings.items()]


def _start(key: tuple[Any, ...], trials: list[Row]) -> Row:
    method, preload, workers = key
    startups = [trial["startup"] for trial in trials]
    phases = {phase.key: _median(seconds for startup in startups for seconds in _seconds(startup["phases"], phase.key)) for phase in TOLD}
    phases[SHUTDOWN.key] = _median(epoch["end_s"] for trial in trials for epoch in trial["epochs"])
    return {
        "start_method": method,
        "preload": list(preload),
        "num_workers": workers,
        "first_batch_s": _median(epoch["first_batch_s"] for trial in trials for epoch in trial["epochs"]),
        "phases": phases,
        "explained_share": _median(startup["explained_share"] for startup in startups),
        "own_s": _median(startup["own_s"] for startup in startups),
        "culprit": next((startup["culprit"]["detail"] for startup in startups if startup["culprit"] is not None), None),
    }


def _seconds(phases: list[Row], name: str) -> list[float]:
    """What a phase of the first worker (of main, for those that are main's) took, an entry an epoch."""
    by_epoch: dict[int, float] = {}
    for phase in phases:
        if phase["phase"] == name and phase["process"] in (_FIRST_WORKER, "main"):
            by_epoch[phase["epoch"]] = max(by_epoch.get(phase["epoch"], 0.0), phase["seconds"])
    return list(by_epoch.values())


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _phases(starts: list[Row], width: int) -> str:
    """A row a phase, a column for the fewest and the most workers of each start method."""
    columns = [start for start in starts if _is_outermost(start, starts)]
    if not columns:
        return ""
    rows = [["milliseconds", *(_method(start) for start in columns)]]
    rows.append(["  workers", *(str(start["num_workers"]) for start in columns)])
    for phase in TOLD:
        rows.append([phase.title, *(_milliseconds(start["phases"][phase.key]) for start in columns)])
    rows.append([FIRST_BATCH.title, *(_milliseconds(start["first_batch_s"]) for start in columns)])
    rows.append([phase_of("own").title, *(_milliseconds(start["own_s"]) for start in columns)])
    rows.append(["explained", *(share_text(start["explained_share"]) for start in columns)])
    note = "(medians over the epochs, of the first worker; fserver+: a fork server that has preloaded what is heavy)"
    return "\n".join([*align(rows, left={0}), wrap(note, width)])


def _method(start: Row) -> str:
    name: str = start["start_method"]
    return ("fserver" if name == "forkserver" else name) + ("+" if start["preload"] else "")


def _is_outermost(start: Row, starts: list[Row]) -> bool:
    same = [row["num_workers"] for row in starts if (row["start_method"], row["preload"]) == (start["start_method"], start["preload"])]
    return start["num_workers"] in (min(same), max(same))


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.0f}"


def _setting_text(config: Row) -> str:
    preloaded = ", preloaded" if config["forkserver_preload"] else ""
    persistent = ", persistent" if config["persistent_workers"] else ""
    return f"{config['num_workers']} workers, {config['start_method']}{preloaded}{persistent}"
