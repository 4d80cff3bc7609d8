"""What the analysis says about the trials so far, for the views."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.results import Finding, Recommendation, SettingResult, TrialResult
from loaderscope.analysis.settings import combine
from loaderscope.analysis.summary import summarise
from loaderscope.sweep.sink import Run


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Settings, the best of them, what is wrong, and all that in a sentence."""

    settings: tuple[SettingResult, ...] = ()
    recommendation: Recommendation | None = None
    findings: tuple[Finding, ...] = ()
    summary: str = ""


def judge(run: Run | None, results: Sequence[TrialResult]) -> Verdict:
    """The verdict on a run that is over or still grows."""
    if run is None or not results:
        return Verdict()
    trials = list(results)
    request, environment = run.request, run.environment
    current = request.current or run.target.current
    settings = combine(trials, request.train_epochs)
    recommendation = recommend(
        settings, trials, current, environment.get("usable_cpus") or 1, len(environment.get("gpus") or ()), request.train_epochs
    )
    findings = find_all(Context(trials, settings, recommendation, current, request.consumer, request.train_epochs))
    return Verdict(tuple(settings), recommendation, tuple(findings), summarise(trials, recommendation, findings))
