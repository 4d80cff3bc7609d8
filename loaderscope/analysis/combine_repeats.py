"""Combines the repeats of each setting into one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.disturbance import without_interval
from loaderscope.analysis.intervals import half_width, mean
from loaderscope.analysis.training import Training, train_seconds
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Remedy
from loaderscope.facts.measures import MEASURES, Repeats
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.statuses import status_of

MIN_REPEATS_INTERVAL = 3


def combine(trials: Sequence[TrialResult], training: Training) -> list[SettingResult]:
    """Returns one row for each setting that was run, and for each remedy with it, in the order of the first trials.

    Figures come from the successful trials.
    """
    rows: dict[tuple[TrialConfig, Remedy | None], list[TrialResult]] = {}
    for trial in sorted(trials, key=lambda trial: trial.id):
        if status_of(trial.status).was_tried:
            rows.setdefault((trial.config, trial.remedy), []).append(trial)
    return [_combine_one(config, remedy, members, training) for (config, remedy), members in rows.items()]


def _combine_one(config: TrialConfig, remedy: Remedy | None, members: list[TrialResult], training: Training) -> SettingResult:
    getters: dict[str, Callable[[TrialResult], Any]] = {
        "train_s": lambda trial: train_seconds(trial, training),
        "end_s": _mean_end_s,
        "peak_total_bytes": lambda trial: trial.memory.peak_total_bytes if trial.memory is not None else None,
    }
    figures: dict[str, Any] = {}
    for measure in MEASURES:
        name = measure.field
        values = [getters[name](trial) if name in getters else getattr(trial, name) for trial in members if trial.status == "ok"]
        known = [value for value in values if value is not None]
        figures[name] = _COMBINED[measure.repeats](known) if known else None
        if measure.repeats is Repeats.ESTIMATE and any(trial.is_disturbed for trial in members):
            figures[name] = without_interval(figures[name])
    return SettingResult(config=config, trials=[trial.id for trial in members], remedy=remedy, **figures)


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
