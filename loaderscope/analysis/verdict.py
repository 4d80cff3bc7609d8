"""Puts settings, recommendation, findings and summary of a run together, for the document and the views."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from loaderscope.agent.loader_use import REMADE_CLAUSE
from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.ceiling import ceiling_sentence, find_ceiling, perfect_rows
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.disturbance import mark_replaced
from loaderscope.analysis.findings import Context, RecordedLoader, disturbed, find_all, order_of
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.recorded_training import RecordedTraining, training_of_results, training_sentence
from loaderscope.analysis.startup.experiment import StartupExperiment, find_experiment
from loaderscope.analysis.startup.preloading import fork_server, imports_left_to_workers, script_imports_of
from loaderscope.analysis.training import Training, training_of
from loaderscope.analysis.tried_remedies import TriedRemedy, tried_remedies
from loaderscope.facts.findings import Finding
from loaderscope.facts.purposes import PROBE, REMEDY
from loaderscope.facts.request import MODULE_OPTION, Request
from loaderscope.facts.results import Ceiling, Recommendation, SettingResult, TrialResult
from loaderscope.facts.run import Run
from loaderscope.facts.statuses import status_of

TRAININGS_OWN = Consumer("script")
"""Takes the batches of a recorded training."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The results of a run: its settings, the recommendation, the findings, and all that in a sentence."""

    settings: tuple[SettingResult, ...] = ()
    recommendation: Recommendation | None = None
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    experiment: StartupExperiment | None = None
    ceiling: Ceiling | None = None
    perfect_loaders: tuple[SettingResult, ...] = ()
    remedies: tuple[SettingResult, ...] = ()
    tried: tuple[TriedRemedy, ...] = ()


def current_setting(run: Run) -> TrialConfig | None:
    """Returns the setting that the user trains with today: the one they named, else the loader's own."""
    return run.request.current or run.target.current


def judge(run: Run, results: Sequence[TrialResult]) -> Verdict:
    """Returns the verdict on a finished or running run; `results` in any order."""
    all_trials = mark_replaced(sorted(results, key=lambda trial: trial.id))
    if recorded := training_of_results(all_trials):
        return _judge_loaders(run, all_trials, recorded)
    counted = [trial for trial in all_trials if trial.replaced_by is None]
    trials = [trial for trial in counted if trial.purpose.is_of_setting]
    replaced = [trial for trial in all_trials if trial.replaced_by is not None]
    request, environment, current = run.request, run.environment, current_setting(run)
    training = training_of(request, trials, current)
    settings = combine(trials, training)
    usable_cpus = environment.get("usable_cpus") or environment.get("cpu_count") or 1
    gpu_count = len(environment.get("gpus") or ())
    imports, python = script_imports_of(environment), environment.get("python")
    experiment = find_experiment(trials, run.controls, request)
    if experiment is not None and any(cost.preload for cost in experiment.costs):
        left = imports_left_to_workers(request, imports, python)
        experiment = experiment if left is None else dataclasses.replace(experiment, summary=f"{experiment.summary} {left}")
    recommendation = None
    if experiment is None:  # a recommendation rests on throughput, which the few batches of an experiment do not show
        recommendation = recommend(settings, trials, current, usable_cpus, gpu_count, training)
    perfect_loaders = perfect_rows(counted, settings, training)
    remedies = combine([trial for trial in counted if trial.purpose is REMEDY], training)
    ceiling = find_ceiling(trials, settings, perfect_loaders, request.consumer, recommendation) if experiment is None else None
    if recommendation is not None and ceiling is not None:
        best = next(setting for setting in settings if setting.config == recommendation.config)
        recommendation = dataclasses.replace(recommendation, why=f"{recommendation.why} {ceiling_sentence(ceiling, best)}".strip())
    free_threaded = environment.get("free_threaded")
    server = fork_server(request, imports, python)
    cpus_to_share = usable_cpus if experiment is None else None  # the experiment tries more workers than cores on purpose
    findings = find_all(
        Context(
            trials,
            settings,
            recommendation,
            current,
            request.consumer,
            training,
            free_threaded,
            run.sent,
            server,
            cpus_to_share,
            replaced,
            probes=[trial for trial in counted if trial.purpose is PROBE and trial.status == "ok"],
            remedies=remedies,
            environment=environment,
            loader_class=run.target.type_name if run.target.kind != "dataset" else None,
            remade_at=_remade_at(run),
        )
    )
    if experiment is not None and experiment.costs:
        summary = " ".join(part for part in (_distrust(findings), experiment.summary) if part)
    else:
        summary = summarise(trials, recommendation, findings)
    tried = tried_remedies(request, settings, remedies)
    if tried:
        summary = " ".join(filter(None, (_distrust(findings), *(one.sentence for one in tried))))
    return Verdict(
        tuple(settings),
        recommendation,
        tuple(findings),
        summary,
        experiment,
        ceiling,
        tuple(perfect_loaders),
        tuple(remedies),
        tuple(tried),
    )


def _remade_at(run: Run) -> str | None:
    """Returns where the script iterates the captured loader anew for each batch, as its source shows; None if it does not show that."""
    loader = run.target.captured.chosen if run.target.captured is not None else None
    return loader.iterated if loader is not None and REMADE_CLAUSE in loader.evidence else None


def _judge_loaders(run: Run, results: Sequence[TrialResult], recorded: RecordedTraining) -> Verdict:
    """Returns the verdict on a recorded training: each loader by itself, as loaders of different data cannot be compared."""
    settings: list[SettingResult] = []
    findings: list[Finding] = []
    trained = max(results, key=lambda result: ((result.loader and result.loader.optimizer_steps) or 0, result.batches))
    for result in results:
        if result.loader is None:
            continue
        training = Training(epochs=max(1, len(result.epochs)))
        own = combine([result], training)
        settings += own
        found = find_all(
            Context(
                [result],
                own,
                None,
                result.config,
                TRAININGS_OWN,
                training,
                run.environment.get("free_threaded"),
                usable_cpus=run.environment.get("usable_cpus"),
                environment=run.environment,
                loader_class=result.loader.class_name,
                recorded=RecordedLoader(result.loader, _sweep_command(run.request) if result is trained else None),
            )
        )
        findings += [dataclasses.replace(finding, message=f"{result.loader.name}: {finding.message}") for finding in found]
    findings.sort(key=order_of)
    return Verdict(tuple(settings), None, tuple(findings), training_sentence(recorded, results))


def _sweep_command(request: Request) -> str:
    """Returns the command that tries settings of the loader that trains."""
    script = f"{MODULE_OPTION} {request.module}" if request.module is not None else Path(request.script).name
    arguments = " -- (and its arguments)" if request.script_args else ""  # these may hold secrets
    return f"loaderscope run {script}{arguments}"


def summarise(trials: Sequence[TrialResult], recommendation: Recommendation | None, findings: Sequence[Finding]) -> str:
    """Returns one or two sentences: the recommendation and the gravest finding, or why there is no recommendation.

    That other programs disturbed the trials comes first, because it decides what all the rest is worth.
    """
    if distrust := _distrust(findings):
        errors = [finding for finding in findings if finding.severity == "error"]
        return f"{distrust} {summarise(trials, recommendation, errors)}"
    grave = next((finding for finding in findings if finding.severity in ("error", "warning")), None)
    if recommendation is not None:
        why = recommendation.why[:1].upper() + recommendation.why[1:]
        sentences = [why, None if grave is None else _first_sentence(grave.message), recommendation.caveat]
        return " ".join(sentence for sentence in sentences if sentence)
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


def _distrust(findings: Sequence[Finding]) -> str:
    """Returns the sentence that other programs disturbed trials which count; empty if they did not."""
    return next((finding.message for finding in findings if finding.code == disturbed.CODE and finding.severity == "warning"), "")


def _first_sentence(text: str) -> str:
    head, dot, _ = text.partition(". ")
    return head + "." if dot else text
