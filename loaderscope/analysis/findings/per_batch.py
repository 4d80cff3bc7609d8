"""Predictions that findings share: what a training saves if each of its batches takes less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.intervals import mean
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import LaneSpan
from loaderscope.facts.findings import Place
from loaderscope.facts.results import SettingResult, TrialResult

T = TypeVar("T")

MOST_PLACES = 5
"""A finding shows so many places on the timelines at most."""


def cores_of(context: Context) -> int:
    """Returns the cores that the loader may use; 1 if unknown."""
    known = (context.usable_cpus, context.environment.get("usable_cpus"), context.environment.get("cpu_count"))
    return next((int(count) for count in known if count), 1)


def worker_cores(context: Context, setting: SettingResult) -> int:
    """Returns how many batches a setting makes at the same time, as far as the cores allow."""
    return max(1, min(setting.config.num_workers, cores_of(context)))


def own_or_worst(
    context: Context, measured: Sequence[tuple[SettingResult, T]], badness: Callable[[T], Any]
) -> tuple[SettingResult, T] | None:
    """Returns the subject with what was measured of it, else the setting that is worst; None without any."""
    own = next((pair for pair in measured if pair[0] is context.subject), None)
    return own or max(measured, key=lambda pair: badness(pair[1]), default=None)


def training_seconds(context: Context, setting: SettingResult) -> float | None:
    """Returns the seconds of the user's training with a setting, projected or recorded; None if unknown."""
    return setting.train_s if context.recorded is None else context.recorded.use.measured_s


def batches_of_training(context: Context, setting: SettingResult) -> float | None:
    """Returns the batches that the user's training reads with a setting; None if unknown."""
    trials = context.trials_of(setting)
    if context.recorded is not None:
        return float(sum(trial.batches for trial in trials))
    counts = [_batches(context, trial) for trial in trials]
    known = [count for count in counts if count is not None]
    return mean(known) if known else None


def _batches(context: Context, trial: TrialResult) -> float | None:
    asked = context.training.batches_of(trial.config)
    if asked is not None or trial.epoch_batches is None:
        return asked
    return context.training.epochs_of(trial) * trial.epoch_batches


def gain_per_batch(context: Context, setting: SettingResult, saved_s: float) -> Estimate | None:
    """Returns the seconds of the user's training that are saved if each batch takes so much less; None if its length is unknown."""
    batches = batches_of_training(context, setting)
    return None if batches is None else Estimate(batches * saved_s)


def severity_of(context: Context, setting: SettingResult, gain_s: Estimate | None, share: float) -> str:
    """Returns the severity by the gain; where that is unknown, by the share of the time, if it is notable."""
    if gain_s is not None and training_seconds(context, setting) is not None:
        return context.severity_of_gain(setting, gain_s)
    return context.severity_of_wait(setting) if share >= _NOTABLE_WITHOUT_GAIN else "info"


_NOTABLE_WITHOUT_GAIN = 0.20
"""Where nobody knows how long the training is, so much of the time is a warning."""


def places_of(spans: Sequence[tuple[TrialResult, Sequence[LaneSpan]]]) -> list[Place]:
    """Returns the longest of the spans of some trials as places."""
    places = [Place(trial.id, span.lane, span.start_s, span.seconds) for trial, own in spans for span in own]
    return sorted(places, key=lambda place: -place.seconds)[:MOST_PLACES]
