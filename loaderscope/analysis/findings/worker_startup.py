"""Finds settings that pay the start-up of workers again in every epoch."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.loader_remade import is_remade
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.startup.preloading import ALWAYS_IMPORTED
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult
from loaderscope.facts.startup_results import Culprit
from loaderscope.facts.text import duration_text, enumerated, share_text

MIN_FIRST_BATCH_S = 1.0
MIN_TRAIN_SHARE = 0.05
MIN_END_S = 0.2
MIN_IMPORT_SHARE = 0.1
"""Share of the time to the first batch; a module that takes less needs no advice."""


def find(context: Context) -> list[Finding]:
    """Returns one finding for each setting whose start-ups take a considerable share of the training."""
    return [finding for setting in context.settings if (finding := _about(context, setting)) is not None]


def _about(context: Context, setting: SettingResult) -> Finding | None:
    config, first_batch_s = setting.config, setting.first_batch_s
    train_s = setting.train_s if context.recorded is None else context.recorded.use.training_s
    if not config.num_workers or config.persistent_workers or first_batch_s is None or not train_s:
        return None
    if context.remade_at is not None or any(trial.keeps_workers or is_remade(trial) for trial in context.trials_of(setting)):
        return None
    persistent_s = _persistent_first_batch_s(context, setting)
    end_s = setting.end_s or 0.0
    once_s = _server_start_s(context, setting)
    first_batch_s -= once_s + _sampler_s(context, setting)
    epochs = mean([context.training.epochs_of(trial) for trial in context.trials_of(setting)])
    paid_s = epochs * (first_batch_s + end_s)
    saved_s = (epochs - 1) * max(0.0, first_batch_s - persistent_s + end_s)
    if first_batch_s < MIN_FIRST_BATCH_S or saved_s < MIN_TRAIN_SHARE * train_s:
        return None
    culprit = _culprit(context, setting)
    ends = f" and ends with {duration_text(end_s)} until its workers are gone" if end_s >= MIN_END_S else ""
    message = (
        f"With {context.name_of(config)} every epoch begins with {duration_text(first_batch_s)} until its first batch{ends}, "
        f"{duration_text(paid_s)} of {context.training.text} ({share_text(min(1.0, paid_s / train_s))} of the training)."
    )
    if culprit is not None:
        message += f" Most of it: {culprit.detail}."
    advice = f"persistent_workers=True{context.at_place} starts the workers once and saves about {duration_text(saved_s)}."
    advice += _import_advice(context, setting)
    return Finding(
        code="start-up-every-epoch",
        severity=context.severity_of_wait(setting),
        trials=setting.trials,
        message=message,
        evidence={
            "first_batch_s": setting.first_batch_s,
            "end_s": setting.end_s,
            "saved_s": saved_s,
            "culprit_phase": culprit.phase if culprit else None,
            "culprit_s": culprit.seconds if culprit else None,
        },
        advice=advice,
    )


def _import_advice(context: Context, setting: SettingResult) -> str:
    """Returns advice against imports; empty if they take little of the start."""
    config, startups = setting.config, [trial.startup for trial in context.trials_of(setting) if trial.startup is not None]
    roots = [cost for startup in startups[:1] for cost in startup.imports if cost.parent is None]
    heavy = sorted(
        (cost for cost in roots if cost.total_s >= MIN_IMPORT_SHARE * (setting.first_batch_s or 0.0)), key=lambda cost: -cost.total_s
    )
    if not heavy:
        return ""
    names = [cost.name.partition(".")[0] for cost in heavy]
    found = [name for name in names if context.server is None or context.server.finds(name)]
    if config.start_method == "forkserver" and found and not config.forkserver_preload:
        spared_s = sum(cost.total_s for cost, name in zip(heavy, names, strict=True) if name in found)
        option = f"--forkserver-preload {','.join(found)}" if context.recorded is None else f"set_forkserver_preload({found})"
        how = f"Preloading {enumerated(found)} in the fork server ({option})"
        return f" {how} spares each start up to {duration_text(spared_s)} of imports."
    if any(name != ALWAYS_IMPORTED for name in names):
        return " Imports that only the training needs can move from the top of the script to where they are used."
    return ""


def _persistent_first_batch_s(context: Context, setting: SettingResult) -> float:
    """Returns the seconds from the first fetch to the first batch: the wait of an epoch whose workers already run."""
    waits = []
    for trial in context.trials_of(setting):
        if trial.startup is None or trial.first_batch_s is None:
            continue
        fetches = [phase.start_s for phase in trial.startup.phases if phase.phase == "first_fetch" and phase.epoch == 0]
        if fetches:
            waits.append(max(0.0, trial.first_batch_s - min(fetches)))
    return mean(waits) if waits else 0.0


def _server_start_s(context: Context, setting: SettingResult) -> float:
    """Returns the seconds of the first start-up that later epochs do not pay: the start of the fork server."""
    startups = [trial.startup for trial in context.trials_of(setting) if trial.startup is not None]
    servers = [sum(phase.seconds for phase in startup.phases if phase.phase == "server_start" and phase.epoch == 0) for startup in startups]
    return mean(servers) if servers else 0.0


def _sampler_s(context: Context, setting: SettingResult) -> float:
    """Returns the seconds that the sampler works before the first batch: it does so in each epoch, whoever starts workers."""
    known = [trial.sampler.first_batch_s for trial in context.trials_of(setting) if trial.sampler is not None]
    return mean(known) if known else 0.0


def _culprit(context: Context, setting: SettingResult) -> Culprit | None:
    culprits = [
        trial.startup.culprit
        for trial in context.trials_of(setting)
        if trial.startup and trial.startup.culprit and trial.startup.culprit.phase != "server_start"
    ]
    return max(culprits, key=lambda culprit: culprit.seconds, default=None)
