"""All repeats of a setting together, and what they mean for the user's training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.intervals import half_width, mean
from loaderscope.facts.measures import MEASURES, Repeats
from loaderscope.facts.results import Estimate, SettingResult, TrialResult
from loaderscope.facts.statuses import status_of

MIN_REPEATS_INTERVAL = 3


def combine(trials: Sequence[TrialResult], train_epochs: int) -> list[SettingResult]:
    """One row a setting that was run, in the order of their first trials; numbers come from the trials that went well."""
    by_config: dict[TrialConfig, list[TrialResult]] = {}
    for trial in sorted(trials, key=lambda trial: trial.id):
        if status_of(trial.status).was_tried:
            by_config.setdefault(trial.config, []).append(trial)
    epoch_samples = common_epoch_samples(trials)
    return [_combine_one(config, members, train_epochs, epoch_samples) for config, members in by_config.items()]


def train_seconds(trial: TrialResult, train_epochs: int, epoch_samples: float | None = None) -> float | None:
    """Projected seconds of a training of `train_epochs` epochs with this trial's setting, or None where it cannot be told.

    The first epoch pays the start-up that was measured. Later epochs pay it again, less what happens once (the start of the
    forkserver), unless workers persist: then they pay from the first fetch on. Where several epochs were measured, the
    later ones are taken as they were.

    Args:
        trial: a trial that went well.
        train_epochs: epochs of the training.
        epoch_samples: samples in an epoch for trials whose full epoch is not known; see `common_epoch_samples`.
    """
    finished = [times for times in trial.epochs if times.first_batch_s is not None and times.end_s is not None]
    if trial.status != "ok" or not finished:
        return None
    first_s = [times.first_batch_s or 0.0 for times in finished]
    end_s = mean([times.end_s or 0.0 for times in finished])
    if trial.epoch_s is not None:
        steady_s = trial.epoch_s.value - mean(first_s) - end_s
    elif epoch_samples is not None and trial.samples_per_second is not None and trial.samples is not None:
        missing = epoch_samples - trial.samples / len(trial.epochs)
        steady_s = mean([times.steady_s or 0.0 for times in finished]) + missing / trial.samples_per_second.value
    else:
        return None
    later_s = mean(first_s[1:]) if len(first_s) > 1 else _later_first_batch(trial, first_s[0])
    return first_s[0] + (train_epochs - 1) * later_s + train_epochs * (max(0.0, steady_s) + end_s)


def common_epoch_samples(trials: Sequence[TrialResult]) -> float | None:
    """Samples in the longest measured epoch: the yardstick for datasets that do not tell their length."""
    measured = [trial.samples / len(trial.epochs) for trial in trials if trial.status == "ok" and trial.samples and trial.epochs]
    return max(measured, default=None)


def _later_first_batch(trial: TrialResult, first_batch_s: float) -> float:
    """Seconds to the first batch of an epoch after the first, where only the first was measured."""
    if not trial.config.num_workers or trial.startup is None:
        return first_batch_s
    phases = [phase for phase in trial.startup.phases if phase.epoch == 0]
    if not trial.config.persistent_workers:
        return max(0.0, first_batch_s - sum(phase.seconds for phase in phases if phase.phase == "server_start"))
    fetches = [phase.start_s for phase in phases if phase.phase == "first_fetch"]
    return max(0.0, first_batch_s - min(fetches)) if fetches else first_batch_s


def _combine_one(config: TrialConfig, members: list[TrialResult], train_epochs: int, epoch_samples: float | None) -> SettingResult:
    of_trial: dict[str, Callable[[TrialResult], Any]] = {
        "train_s": lambda trial: train_seconds(trial, train_epochs, epoch_samples),
        "end_s": _mean_end,
        "peak_total_bytes": lambda trial: trial.memory.peak_total_bytes if trial.memory is not None else None,
    }
    figures: dict[str, Any] = {}
    for measure in MEASURES:
        name = measure.field
        values = [of_trial[name](trial) if name in of_trial else getattr(trial, name) for trial in members if trial.status == "ok"]
        known = [value for value in values if value is not None]
        figures[name] = _COMBINED[measure.repeats](known) if known else None
    return SettingResult(config=config, trials=[trial.id for trial in members], **figures)


def _mean_end(trial: TrialResult) -> float | None:
    known = [times.end_s for times in trial.epochs if times.end_s is not None]
    return mean(known) if known else None


def _estimate(known: Sequence[Estimate]) -> Estimate:
    """The mean of the repeats. From three on the interval is that of their mean; with two it spans both of theirs."""
    values = [estimate.value for estimate in known]
    value = mean(values)
    if len(known) >= MIN_REPEATS_INTERVAL:
        half = half_width(values)
        return Estimate(value, (max(0.0, value - half), value + half))
    intervals = [estimate.ci95 for estimate in known if estimate.ci95 is not None]
    if len(intervals) < len(known):
        return Estimate(value)
    return Estimate(value, (min(low for low, _ in intervals), max(high for _, high in intervals)))


_COMBINED: dict[Repeats, Callable[[Sequence[Any]], Any]] = {Repeats.MEAN: mean, Repeats.LARGEST: max, Repeats.ESTIMATE: _estimate}
