"""Start-up of workers that is paid again every epoch, and slow starts of spawned workers."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.quantities import share_text
from loaderscope.analysis.recommend import duration
from loaderscope.analysis.results import Culprit, Finding, SettingResult

MIN_FIRST_BATCH_S = 1.0
MIN_TRAIN_PART = 0.05
MIN_END_S = 0.2
NEW_INTERPRETERS = ("spawn", "forkserver")


def find(context: Context) -> list[Finding]:
    """One finding for each setting whose start-ups take a part of the training worth mentioning."""
    return [finding for setting in context.settings if (finding := _about(context, setting)) is not None]


def _about(context: Context, setting: SettingResult) -> Finding | None:
    config, first_batch_s, train_s = setting.config, setting.first_batch_s, setting.train_s
    if not config.num_workers or config.persistent_workers or first_batch_s is None or not train_s:
        return None
    persistent_s = _first_batch_when_persistent(context, setting)
    end_s = setting.end_s or 0.0
    once_s = _paid_once(context, setting)
    first_batch_s -= once_s
    paid_s = context.train_epochs * (first_batch_s + end_s)
    saved_s = (context.train_epochs - 1) * max(0.0, first_batch_s - persistent_s + end_s)
    if first_batch_s < MIN_FIRST_BATCH_S or saved_s < MIN_TRAIN_PART * train_s:
        return None
    culprit = _culprit(context, setting)
    ends = f" and ends with {duration(end_s)} until its workers are gone" if end_s >= MIN_END_S else ""
    message = (
        f"With {context.name_of(config)} every epoch begins with {duration(first_batch_s)} until its first batch{ends}, "
        f"{duration(paid_s)} of {context.train_epochs} epochs ({share_text(min(1.0, paid_s / train_s))} of the training)."
    )
    if culprit is not None:
        message += f" Most of it: {culprit.detail}."
    advice = f"persistent_workers=True starts the workers once and saves about {duration(saved_s)}."
    if config.start_method == "forkserver" and not config.forkserver_preload:
        advice += " Preloading torch in the fork server (--forkserver-preload torch) makes each start cheap."
    elif config.start_method in NEW_INTERPRETERS:
        advice += " Imports that only the training needs can move from the top of the script to where they are used."
    return Finding(
        code="start-up-every-epoch",
        severity=context.severity_of(setting),
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


def _first_batch_when_persistent(context: Context, setting: SettingResult) -> float:
    """From the first fetch on: what an epoch of workers that already run would wait for its first batch."""
    waits = []
    for trial in context.trials_of(setting):
        if trial.startup is None or trial.first_batch_s is None:
            continue
        fetches = [phase.start_s for phase in trial.startup.phases if phase.phase == "first_fetch" and phase.epoch == 0]
        if fetches:
            waits.append(max(0.0, trial.first_batch_s - min(fetches)))
    return mean(waits) if waits else 0.0


def _paid_once(context: Context, setting: SettingResult) -> float:
    """Seconds of the first start-up that later epochs do not pay: the start of the fork server."""
    startups = [trial.startup for trial in context.trials_of(setting) if trial.startup is not None]
    servers = [sum(phase.seconds for phase in startup.phases if phase.phase == "server_start" and phase.epoch == 0) for startup in startups]
    return mean(servers) if servers else 0.0


def _culprit(context: Context, setting: SettingResult) -> Culprit | None:
    culprits = [
        trial.startup.culprit
        for trial in context.trials_of(setting)
        if trial.startup and trial.startup.culprit and trial.startup.culprit.phase != "server_start"
    ]
    return max(culprits, key=lambda culprit: culprit.seconds, default=None)
