"""Finds a loader that is iterated anew for each batch: its workers start again, and what they have prefetched is thrown away."""

from __future__ import annotations

import statistics

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.per_batch import cores_of, gain_per_batch, places_of, training_seconds
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.training import batch_seconds_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import count_text, duration_text, mean_count_text, share_text

CODE = "loader-remade"

MIN_EPOCHS = 5
"""Fewer epochs that are left early are no habit of a training."""
FEW_BATCHES = 2
"""An epoch left after so many is no epoch of a training."""
MIN_LENGTH_FACTOR = 5
"""A loader that has so many times as many batches was left early."""
MIN_START_SHARE = 0.5
"""Part of the time to the first batch that a kept iterator spares, from which on it is worth a finding."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the loader of a training that was recorded, or measured, or whose source shows it."""
    for setting in sorted(context.settings, key=lambda setting: setting is not context.subject):
        for trial in context.trials_of(setting):
            if is_remade(trial) and (found := _about_epochs(context, setting, trial)) is not None:
                return [found]
    found = _about_source(context)
    return [] if found is None else [found]


def is_remade(trial: TrialResult) -> bool:
    """Whether the training left most epochs of a loader after a batch or two."""
    length = trial.loader.length if trial.loader is not None else trial.loader_batches
    counts = [epoch.batches for epoch in trial.epochs]
    if length is None or len(counts) < MIN_EPOCHS:
        return False
    usual = statistics.median(counts)
    return 0 < usual <= FEW_BATCHES and length >= MIN_LENGTH_FACTOR * usual


def _about_epochs(context: Context, setting: SettingResult, trial: TrialResult) -> Finding | None:
    firsts_s = [epoch.first_batch_s for epoch in trial.epochs if epoch.first_batch_s is not None]
    kept_s = _made_in_seconds(context, setting, trial)
    if not firsts_s or kept_s is None or mean(firsts_s) - kept_s < MIN_START_SHARE * mean(firsts_s):
        return None
    use, batches = trial.loader, sum(epoch.batches for epoch in trial.epochs)
    if use is not None:
        gain_s: Estimate | None = Estimate(sum(firsts_s) - len(firsts_s) * kept_s)
    else:
        epoch_s = trial.epoch_s.value if trial.epoch_s is not None else mean(firsts_s)
        gain_s = context.gain_of_share(setting, min(1.0, (mean(firsts_s) - kept_s) / epoch_s))
    length = use.length if use is not None else trial.loader_batches
    where = f" at {use.iterated}" if use is not None and use.iterated is not None else ""
    return Finding(
        code=CODE,
        severity=context.severity_of_gain(setting, gain_s),
        trials=[trial.id],
        message=(
            f"The script iterates the loader anew{where} for nearly each batch: {count_text(len(trial.epochs), 'iterator')} gave "
            f"{count_text(batches, 'batch')}, though the loader has {mean_count_text(length)}. Each time {_lost_text(setting)}: "
            f"{duration_text(mean(firsts_s))} until a batch comes, instead of about {duration_text(kept_s)}."
        ),
        evidence={
            "iterators": len(trial.epochs),
            "batches": batches,
            "length": length,
            "first_batch_s": mean(firsts_s),
            "kept_batch_s": kept_s,
            "most_batches": FEW_BATCHES,
            "least_iterators": MIN_EPOCHS,
        },
        advice=_ADVICE,
        gain_s=gain_s,
        places=places_of([(trial, trial.iterators)]),
        change=_CHANGE,
    )


def _made_in_seconds(context: Context, setting: SettingResult, trial: TrialResult) -> float | None:
    """Returns the seconds in which the loader makes a batch once it runs."""
    signs, workers = trial.signs, setting.config.num_workers
    if signs is None or signs.fetch_s is None:
        return None
    return (signs.fetch_s + (signs.collate_s or 0.0)) / max(1, min(workers, cores_of(context)))


def _about_source(context: Context) -> Finding | None:
    """Returns a finding of a loop that calls next(iter(loader)), with what a sweep has measured of starts and batches."""
    setting = context.subject
    if context.remade_at is None or setting is None or setting.first_batch_s is None:
        return None
    seconds = [batch_s for trial in context.trials_of(setting) if (batch_s := batch_seconds_of(trial)) is not None]
    if not seconds or setting.first_batch_s - mean(seconds) < MIN_START_SHARE * setting.first_batch_s:
        return None
    kept_s = mean(seconds)
    gain_s = gain_per_batch(context, setting, setting.first_batch_s - kept_s)
    after_s = training_seconds(context, setting)
    share = None if gain_s is None or after_s is None else gain_s.value / (gain_s.value + after_s)
    saves = "" if share is None else f" That is {share_text(share)} of the training."
    return Finding(
        code=CODE,
        severity=context.severity_of(setting) if share is None or share >= NOTABLE_SHARE else "info",
        trials=setting.trials,
        message=(
            f"The script calls next(iter(loader)) in a loop ({context.remade_at}): the loader is iterated anew for each batch. Each time "
            f"{_lost_text(setting)}: with {context.name_of(setting.config)} {duration_text(setting.first_batch_s)} until a batch comes, "
            f"instead of {duration_text(kept_s)}.{saves}"
        ),
        evidence={"iterated": context.remade_at, "first_batch_s": setting.first_batch_s, "kept_batch_s": kept_s},
        advice=_ADVICE,
        gain_s=gain_s,
        places=places_of([(trial, trial.iterators) for trial in context.trials_of(setting)]),
        change=_CHANGE,
    )


def _lost_text(setting: SettingResult) -> str:
    if not setting.config.num_workers:
        return "the sampler begins a new order"
    persistent = "the workers go back to the start, and their batches are lost"
    return persistent if setting.config.persistent_workers else "its workers start again"


_ADVICE = "Keep one iterator, and make a new one only when it has ended."
_CHANGE = """batches = iter(loader)  # before the loop
batch = next(batches, None)  # in the loop, in place of next(iter(loader))
if batch is None:  # an epoch has ended
    batches = iter(loader)
    batch = next(batches)"""
