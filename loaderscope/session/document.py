"""Builds the JSON document that `run` and `show` print. Other people's scripts rely on its keys: add, do not rename."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope import __version__
from loaderscope.analysis.verdict import judge
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.session.secret_masking import mask_document, mask_request
from loaderscope.session.values import json_value

SCHEMA = 1


def build_document(run: Run, results: Sequence[TrialResult]) -> dict[str, Any]:
    """Returns the document of a run, finished or not.

    Args:
        run: its request, environment, target and plan.
        results: the trials that have ended so far.

    Returns:
        plain JSON values; None where a value is unknown, `***` where it looks like a secret.
    """
    verdict = judge(run, results)
    document = {
        "loaderscope": __version__,
        "schema": SCHEMA,
        "summary": verdict.summary,
        "environment": run.environment,
        "request": mask_request(run.request.to_json()),
        "target": {
            "script": run.script,
            "name": run.target.name,
            "kind": run.target.kind,
            "dataset_kind": run.target.dataset_kind,
            "length": run.target.length,
        },
        "sent": None if run.sent is None else [dataclasses.asdict(part) for part in run.sent],
        "trials": [trial.to_json() for trial in sorted(results, key=lambda trial: trial.id)],
        "results": [dataclasses.asdict(setting) for setting in verdict.settings],
        "recommendation": dataclasses.asdict(verdict.recommendation) if verdict.recommendation is not None else None,
        "startup_experiment": dataclasses.asdict(verdict.experiment) if verdict.experiment is not None else None,
        "findings": [dataclasses.asdict(finding) for finding in verdict.findings],
    }
    whole: dict[str, Any] = mask_document(json_value(document))
    return whole
