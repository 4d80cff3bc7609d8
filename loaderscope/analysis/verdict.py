"""What the analysis says about the trials of a run, finished or not: for the document and for the views."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.startup.experiment import StartupExperiment, find_experiment
from loaderscope.analysis.startup.preloading import fork_server, left_to_workers, script_imports_of
from loaderscope.analysis.summary import summarise
from loaderscope.facts.results import Finding, Recommendation, SettingResult, TrialResult
from loaderscope.facts.run import Run


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Settings, the best of them, what is wrong, and all that in a sentence."""

    settings: tuple[SettingResult, ...] = ()
    recommendation: Recommendation | None = None
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    experiment: StartupExperiment | None = None


def current_setting(run: Run) -> TrialConfig | None:
    """What the user trains with today: as they said, else the loader's own."""
    return run.request.current or run.target.current


def judge(run: Run, results: Sequence[TrialResult]) -> Verdict:
    """The verdict on a run that is over or still grows; `results` in any order."""
    trials = sorted(results, key=lambda trial: trial.id)
    request, environment, current = run.request, run.environment, current_setting(run)
    settings = combine(trials, request.train_epochs)
    usable_cpus = environment.get("usable_cpus") or environment.get("cpu_count") or 1
    gpu_count = len(environment.get("gpus") or ())
    imports, python = script_imports_of(environment), environment.get("python")
    experiment = find_experiment(trials, run.controls, request)
    if experiment is not None and any(cost.preload for cost in experiment.costs):
        left = left_to_workers(request, imports, python)
        experiment = experiment if left is None else dataclasses.replace(experiment, summary=f"{experiment.summary} {left}")
    recommendation = None
    if experiment is None:  # a recommendation rests on throughput, of which the few batches of an experiment say nothing
        recommendation = recommend(settings, trials, current, usable_cpus, gpu_count, request.train_epochs)
    free_threaded = environment.get("free_threaded")
    server = fork_server(request, imports, python)
    findings = find_all(
        Context(trials, settings, recommendation, current, request.consumer, request.train_epochs, free_threaded, run.sent, server)
    )
    summary = experiment.summary if experiment is not None and experiment.costs else summarise(trials, recommendation, findings)
    return Verdict(tuple(settings), recommendation, tuple(findings), summary, experiment)
