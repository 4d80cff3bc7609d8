"""The run in one or two sentences."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.facts.results import Finding, Recommendation, TrialResult
from loaderscope.facts.statuses import status_of


def summarise(trials: Sequence[TrialResult], recommendation: Recommendation | None, findings: Sequence[Finding]) -> str:
    """What to do, and the gravest finding; what went wrong where there is nothing to recommend."""
    grave = next((finding for finding in findings if finding.severity in ("error", "warning")), None)
    if recommendation is not None:
        why = recommendation.why[:1].upper() + recommendation.why[1:]
        return why if grave is None else f"{why} {_first_sentence(grave.message)}"
    run = [trial for trial in trials if status_of(trial.status).was_tried]
    if not run:
        reason = next((trial.error.message for trial in trials if trial.error is not None), "")
        return f"No trial was run. {reason}".strip()
    good = [trial for trial in run if trial.status == "ok"]
    if not good:
        failed = [trial for trial in run if status_of(trial.status).is_failure]
        what = ("The only trial failed" if len(run) == 1 else f"All {len(run)} trials failed") if failed else "No trial came to its end"
        reasons = list(dict.fromkeys(trial.error.message.rstrip(".") for trial in failed or run if trial.error))
        if not reasons:
            return f"{what}."
        return f"{what}: {reasons[0]}." if len(reasons) == 1 else f"{what}, the first of them so: {reasons[0]}."
    if all(trial.config.backend == "thread" for trial in good):
        return "There is nothing to recommend: DataLoader has no setting for threads, and no worker processes were measured."
    missing = next((trial.samples_per_second_reason for trial in good if trial.samples_per_second_reason), None)
    return f"There is nothing to recommend: {missing}" if missing else "There is nothing to recommend yet."


def _first_sentence(text: str) -> str:
    head, dot, _ = text.partition(". ")
    return head + "." if dot else text
