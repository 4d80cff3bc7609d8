"""A run as the JSON document that `run` and `show` print; other people's scripts rely on its keys: add, do not rename."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope import __version__
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.results import TrialResult
from loaderscope.analysis.settings import combine
from loaderscope.analysis.summary import summarise
from loaderscope.session.values import plain
from loaderscope.sweep.sink import Run

SCHEMA = 1


def build_document(run: Run, results: Sequence[TrialResult]) -> dict[str, Any]:
    """The document of a run, finished or not.

    Args:
        run: what was asked for, and where it ran.
        results: the trials that have ended so far.

    Returns:
        plain JSON values; what is not known is None.
    """
    request, environment = run.request, run.environment
    trials = sorted(results, key=lambda trial: trial.id)
    current = request.current or run.target.current
    settings = combine(trials, request.train_epochs)
    gpus = environment.get("gpus") or []
    usable_cpus = environment.get("usable_cpus") or environment.get("cpu_count") or 1
    recommendation = recommend(settings, trials, current, usable_cpus, len(gpus), request.train_epochs)
    findings = find_all(Context(trials, settings, recommendation, current, request.consumer, request.train_epochs))
    document = {
        "loaderscope": __version__,
        "schema": SCHEMA,
        "summary": summarise(trials, recommendation, findings),
        "environment": environment,
        "request": request.to_json(),
        "target": {
            "script": run.script,
            "name": run.target.name,
            "kind": run.target.kind,
            "dataset_kind": run.target.dataset_kind,
            "length": run.target.length,
        },
        "trials": [trial.to_json() for trial in trials],
        "results": [dataclasses.asdict(setting) for setting in settings],
        "recommendation": dataclasses.asdict(recommendation) if recommendation is not None else None,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    whole: dict[str, Any] = plain(document)
    return whole
