"""Combines the repeats of each setting into one row, and projects the seconds of the user's training."""

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
    """Returns one row for each setting that was run, in the order of the first trials; figures come from the successful trials."""
    by_config: dict[TrialConfig, list[TrialResult]] = {}
    for trial in sorted(trials, key=lambda trial: trial.id):
        if status_of(trial.status).was_tried:
            by_config.setdefault(trial.config, []).append(trial)
    epoch_samples = common_epoch_samples(trials)
    return [_combine_one(config, members, train_epochs, epoch_samples) for config, members in by_config.items()]


def train_seconds(trial: TrialResult, train_epochs: int, epoch_samples: float | None = None) -> float | None:
    """Returns the projected seconds of a training with this trial's setting, or None if the trial does not show them.

    The first epoch costs the measured start-up. A later epoch costs it again, without the start of the forkserver, which happens
    once; with persistent workers it costs only the time from the first fetch on. If the trial measured several epochs, the later
    ones count as measured.

    Args:
        trial: a successful trial.
        train_epochs: epochs of the training.
        epoch_samples: samples in an epoch, for trials with an unknown full epoch; see `common_epoch_samples`.
    """
    finished = [times for times in trial.epochs if times.first_batch_s is not None and times.end_s is not None]
    if trial.status != "ok" or not finished:
        return None
    first_s = [times.first_batch_s or 0.0 for times in finished]
    end_s = mean([times.end_s or 0.0 for times in finished])
    if trial.epoch_s is not None:
        steady_s = trial.epoch_s.value - mean(first_s) - end_s
    elif epoch_samples is not None and trial.samples_per_second is not None and trial.samples is not None:
        missing_samples = epoch_samples - trial.samples / len(trial.epochs)
        steady_s = mean([times.steady_s or 0.0 for times in finished]) + missing_samples / trial.samples_per_second.value
    else:
        return None
    later_s = mean(first_s[1:]) if len(first_s) > 1 else _later_first_batch_s(trial, first_s[0])
    return first_s[0] + (train_epochs - 1) * later_s + train_epochs * (max(0.0, steady_s) + end_s)


def common_epoch_samples(trials: Sequence[TrialResult]) -> float | None:
    """Returns the samples in the longest measured epoch, by which settings are compared if the dataset has no length."""
    measured = [trial.samples / len(trial.epochs) for trial in trials if trial.status == "ok" and trial.samples and trial.epochs]
    return max(measured, default=None)


def _later_first_batch_s(trial: TrialResult, first_batch_s: float) -> float:
    """Returns the seconds to the first batch of a later epoch, if the trial measured only the first."""
    if not trial.config.num_workers or trial.startup is None:
        return first_batch_s
    phases = [phase for phase in trial.startup.phases if phase.epoch == 0]
    if not trial.config.persistent_workers:
        return max(0.0, first_batch_s - sum(phase.seconds for phase in phases if phase.phase == "server_start"))
    fetches = [phase.start_s for phase in phases if phase.phase == "first_fetch"]
    return max(0.0, first_batch_s - min(fetches)) if fetches else first_batch_s


def _combine_one(config: TrialConfig, members: list[TrialResult], train_epochs: int, epoch_samples: float | None) -> SettingResult:
    getters: dict[str, Callable[[TrialResult], Any]] = {
        "train_s": lambda trial: train_seconds(trial, train_epochs, epoch_samples),
        "end_s": _mean_end_s,
        "peak_total_bytes": lambda trial: trial.memory.peak_total_bytes if trial.memory is not None else None,
    }
    figures: dict[str, Any] = {}
    for measure in MEASURES:
        name = measure.field
        values = [getters[name](trial) if name in getters else getattr(trial, name) for trial in members if trial.status == "ok"]
        known = [value for value in values if value is not None]
        figures[name] = _COMBINED[measure.repeats](known) if known else None
    return SettingResult(config=config, trials=[trial.id for trial in members], **figures)


def _mean_end_s(trial: TrialResult) -> float | None:
    known = [times.end_s for times in trial.epochs if times.end_s is not None]
    return mean(known) if known else None


def _estimate(known: Sequence[Estimate]) -> Estimate:
    """Returns the mean of the repeats. From three repeats on the interval is that of the mean; with fewer it spans their own."""
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
