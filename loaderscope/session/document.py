"""Builds the JSON document that `run` and `show` print. Other people's scripts rely on its keys: add, do not rename."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loaderscope import __version__
from loaderscope.agent.messages import ErrorInfo
from loaderscope.analysis.disturbance import mark_replaced
from loaderscope.analysis.recorded_training import RecordedTraining, gaps_of_results, loaders_of_results, training_of_results
from loaderscope.analysis.verdict import judge
from loaderscope.facts.captured import captured_document
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run
from loaderscope.facts.statuses import status_of
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
    verdict, trials = judge(run, results), mark_replaced(sorted(results, key=lambda trial: trial.id))
    training = training_of_results(trials)
    document: dict[str, Any] = json_value(
        {
            "loaderscope": __version__,
            "schema": SCHEMA,
            "summary": verdict.summary,
            "environment": run.environment,
            "request": run.request,
            "target": {
                "script": run.script,
                "name": run.target.name,
                "kind": run.target.kind,
                "dataset_kind": run.target.dataset_kind,
                "length": run.target.length,
            },
            "captured": captured_document(run.target.captured),
            "sent": run.sent,
            "trials": trials,
            "results": [*verdict.settings, *verdict.remedies],
            "recommendation": verdict.recommendation,
            "ceiling": verdict.ceiling,
            "startup_experiment": verdict.experiment,
            "findings": verdict.findings,
            "tried_remedies": verdict.tried,
            "error": _why_nothing_ran(results),
            **(_training_keys(training, trials) if training is not None else {}),
        }
    )
    masked: dict[str, Any] = mask_document(document)
    return masked | {"request": mask_request(document["request"])}


def _training_keys(training: RecordedTraining, trials: Sequence[TrialResult]) -> dict[str, Any]:
    """Returns what only the document of a recorded training has."""
    return {"kind": "trace", "training": training, "loaders": loaders_of_results(trials), "gaps": gaps_of_results(trials)}


def _why_nothing_ran(results: Sequence[TrialResult]) -> ErrorInfo | None:
    """Returns the reason of the first skipped setting if every setting was skipped; None if a trial ran."""
    if not results or any(status_of(result.status).was_tried for result in results):
        return None
    reason = results[0].error
    kind, sentence = ("unsupported", "") if reason is None else (reason.kind, f": {reason.message}")
    return ErrorInfo(kind, f"Every setting was skipped{sentence}")
