"""What a perfect loader would gain: the rate of a consumer whose batches are always ready is the ceiling of any loader."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from loaderscope.agent.messages import Consumer
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.recommend import UNKNOWN_NOISE_SHARE
from loaderscope.analysis.training import Training
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import COMPUTED, MEASURED, Ceiling, Recommendation, SettingResult, TrialResult
from loaderscope.facts.text import duration_text, share_text

LITTLE_SHARE = 0.15
"""Where a perfect loader saves less, the loader is not what makes the training slow."""

NOTHING_SHARE = 0.005
"""A smaller share of the time is nothing that anybody could gain."""

EXPLAINED_BY_WAITS = 0.1
"""What a perfect loader saves is the waiting for data if the two shares differ by no more. Workers may also slow the step down."""


def perfect_rows(trials: Sequence[TrialResult], settings: Sequence[SettingResult], training: Training) -> list[SettingResult]:
    """Returns one row for each setting of the perfect loader, with the rate of the ceiling alone: other figures include the serving.

    Args:
        trials: of the run.
        settings: of the run; where one is surely faster, the row has no rate.
        training: of the run.
    """
    rows = []
    for served in combine([trial for trial in trials if trial.perfect_loader], training):
        row = of_step_alone(served)
        rate = row.rate
        if rate is None or any(_is_surely_above(setting, rate) for setting in settings if _is_alike(row, setting)):
            rows.append(SettingResult(row.config, row.trials))  # no loader can be above: something slowed the perfect one down
        else:
            rows.append(SettingResult(row.config, row.trials, row.samples_per_second, row.batches_per_second))
    return rows


def find_ceiling(
    trials: Sequence[TrialResult],
    settings: Sequence[SettingResult],
    rows: Sequence[SettingResult],
    consumer: Consumer | None,
    recommendation: Recommendation | None,
) -> Ceiling | None:
    """Returns the ceiling for the recommended setting, or for the fastest one without a recommendation; None if unknown.

    Args:
        trials: of the run.
        settings: of the run.
        rows: those of the perfect loader.
        consumer: of the run.
        recommendation: of the run.
    """
    reference = _reference(settings, recommendation)
    if reference is None or reference.rate is None:
        return None
    if kind_of(consumer).is_simulated and consumer is not None and consumer.ms:
        return _computed(trials, reference, consumer.ms / 1000.0)
    row = next((row for row in rows if _is_alike(row, reference) and row.rate is not None), None)
    if row is None or row.rate is None or (row.samples_per_second is None) != (reference.samples_per_second is None):
        return None
    saves = _saved(reference.rate, row.rate)
    return Ceiling(row.samples_per_second, saves.value, row.trials[0], MEASURED, row.batches_per_second, saves.ci95)


def _is_surely_above(setting: SettingResult, ceiling: Estimate) -> bool:
    """Whether a setting is faster than a ceiling by more than the noise of single runs."""
    rate = setting.rate
    if rate is None:
        return False
    least, most = (rate.value if rate.ci95 is None else rate.ci95[0]), (ceiling.value if ceiling.ci95 is None else ceiling.ci95[1])
    return least > (1 + UNKNOWN_NOISE_SHARE) * most


def _is_alike(row: SettingResult, reference: SettingResult) -> bool:
    """Whether a perfect loader gave the consumer the same batches, and the same means, as a setting."""
    one, other = row.config, reference.config
    return (one.batch_size, one.pin_memory, one.threads) == (other.batch_size, other.pin_memory, other.threads)


def _waiting_share(setting: SettingResult | TrialResult) -> float | None:
    """Returns the share of the time in which the consumer waits for data: the device, where that is known, else main."""
    return setting.data_stall_share if setting.data_stall_share is not None else setting.wait_share


RowT = TypeVar("RowT", SettingResult, TrialResult)


def of_step_alone(row: RowT) -> RowT:
    """Returns a perfect loader's row with the rate of the ceiling: a perfect loader takes no time, but serving a batch from memory does."""
    samples, batches = _of_step_alone(row.samples_per_second, row), _of_step_alone(row.batches_per_second, row)
    return dataclasses.replace(row, samples_per_second=samples, batches_per_second=batches)


def _of_step_alone(rate: Estimate | None, row: SettingResult | TrialResult) -> Estimate | None:
    """Returns the rate of steps that follow one another at once.

    Where a device works on, only its own idle time counts, while main waits. What is neither wait nor step is our own recording between
    two batches. It takes about as long again inside each step, so the interval reaches up to a rate without it.
    """
    waiting = _waiting_share(row)
    if rate is None or waiting is None:
        return rate
    own = (row.other_share or 0.0) if row.data_stall_share is None else 0.0
    busy = 1.0 - waiting - own
    share, least_share = max(busy, 1e-6), max(busy - own, 1e-6)
    return Estimate(rate.value / share, None if rate.ci95 is None else (rate.ci95[0] / share, rate.ci95[1] / least_share))


def _reference(settings: Sequence[SettingResult], recommendation: Recommendation | None) -> SettingResult | None:
    if recommendation is not None:
        return next((setting for setting in settings if setting.config == recommendation.config), None)
    rated = [setting for setting in settings if setting.rate is not None]
    return max(rated, key=lambda setting: setting.rate.value if setting.rate is not None else 0.0, default=None)


def _computed(trials: Sequence[TrialResult], reference: SettingResult, step_s: float) -> Ceiling | None:
    """Returns the rate of steps that follow one another without a wait: it needs no trial."""
    assert reference.rate is not None
    if reference.samples_per_second is None:
        rate = Estimate(1.0 / step_s)
        saves = _saved(reference.rate, _exact(rate))
        return Ceiling(None, saves.value, None, COMPUTED, rate, saves.ci95)
    trial = next((trial for trial in trials if trial.id in reference.trials and trial.samples and trial.batches), None)
    if trial is None or not trial.samples:
        return None
    rate = Estimate((reference.config.batch_size or trial.samples / trial.batches) / step_s)
    saves = _saved(reference.rate, _exact(rate))
    return Ceiling(rate, saves.value, None, COMPUTED, None, saves.ci95)


def _exact(rate: Estimate) -> Estimate:
    return Estimate(rate.value, (rate.value, rate.value))


def _saved(rate: Estimate, ceiling: Estimate) -> Estimate:
    """Returns the share of the time of a batch that the ceiling saves; its interval if both rates have one."""
    value = max(0.0, 1.0 - rate.value / ceiling.value)
    if rate.ci95 is None or ceiling.ci95 is None:
        return Estimate(value)
    (low, high), (ceiling_low, ceiling_high) = rate.ci95, ceiling.ci95
    least = 1.0 - high / ceiling_low if ceiling_low > 0 else 0.0
    return Estimate(value, (max(0.0, least), max(0.0, 1.0 - low / ceiling_high)))


def ceiling_sentence(ceiling: Ceiling, setting: SettingResult) -> str:
    """Returns what the ceiling means for the user; empty where the noise hides it.

    Args:
        ceiling: for the recommended setting.
        setting: the recommended one.
    """
    if ceiling.saves_share is None or ceiling.saves_ci95 is None:
        return ""
    least, most = ceiling.saves_ci95
    train_s, waiting = setting.train_s, _waiting_share(setting)
    known = " (computed from the step's time)" if ceiling.source == COMPUTED else ""
    if most < NOTHING_SHARE:
        return f"No loader can be faster than this setting, within the noise{known}: look elsewhere."
    if most < LITTLE_SHARE:
        of_training = "" if train_s is None else f" ({duration_text(most * train_s)} of {duration_text(train_s)})"
        return f"A perfect loader would save at most {share_text(most)} of the time{of_training}{known}: look elsewhere."
    if least < LITTLE_SHARE:
        return ""
    of_training = "" if train_s is None else f", {duration_text(ceiling.saves_share * train_s)} of {duration_text(train_s)}"
    saved = f"{share_text(ceiling.saves_share)} of the time"
    if waiting is None or abs(waiting - ceiling.saves_share) > EXPLAINED_BY_WAITS:
        return f"A perfect loader would save {saved}{of_training}{known}."
    return f"{saved} is still spent waiting for data{of_training}: a perfect loader would save that{known}."
