"""What a perfect loader would gain: the rate of a consumer whose batches are always ready is the ceiling of any loader."""

from __future__ import annotations

from collections.abc import Sequence

from loaderscope.agent.messages import Consumer
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.training import Training
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.results import COMPUTED, MEASURED, Ceiling, Estimate, Recommendation, SettingResult, TrialResult
from loaderscope.facts.text import duration_text, share_text

LITTLE_SHARE = 0.15
"""Where a perfect loader saves less, the loader is not what makes the training slow."""


def perfect_rows(trials: Sequence[TrialResult], training: Training) -> list[SettingResult]:
    """Returns one row for each setting of the perfect loader, as `combine` makes them of all others."""
    return combine([trial for trial in trials if trial.perfect_loader], training)


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
    row = next((row for row in rows if row.config.batch_size == reference.config.batch_size and row.rate is not None), None)
    if row is None or row.rate is None or (row.samples_per_second is None) != (reference.samples_per_second is None):
        return None
    samples, batches = _of_step_alone(row.samples_per_second, row), _of_step_alone(row.batches_per_second, row)
    saves = _saved(reference.rate, samples or batches or row.rate)
    return Ceiling(samples, saves.value, row.trials[0], MEASURED, batches, saves.ci95)


def _of_step_alone(rate: Estimate | None, row: SettingResult) -> Estimate | None:
    """Returns the rate of steps that follow one another at once: a perfect loader takes no time, but serving a batch from memory does.

    Where a device works on, only its own idle time counts, while main waits. What is neither wait nor step is our own recording between
    two batches. It takes about as long again inside each step, so the interval reaches up to a rate without it.
    """
    if rate is None:
        return None
    if row.data_stall_share is not None:
        return _scaled(rate, 1.0 - row.data_stall_share, 1.0 - row.data_stall_share)
    if row.wait_share is None:
        return rate
    own = row.other_share or 0.0
    busy = 1.0 - row.wait_share - own
    return _scaled(rate, busy, busy - own)


def _scaled(rate: Estimate, share: float, least_share: float) -> Estimate:
    share, least_share = max(share, 1e-6), max(least_share, 1e-6)
    low, high = rate.ci95 or (rate.value, rate.value)
    is_known = rate.ci95 is not None or least_share < share
    return Estimate(rate.value / share, (low / share, high / least_share) if is_known else None)


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
        saves = _saved(reference.rate, rate)
        return Ceiling(None, saves.value, None, COMPUTED, rate, saves.ci95)
    trial = next((trial for trial in trials if trial.id in reference.trials and trial.samples and trial.batches), None)
    if trial is None or not trial.samples:
        return None
    rate = Estimate((reference.config.batch_size or trial.samples / trial.batches) / step_s)
    saves = _saved(reference.rate, rate)
    return Ceiling(rate, saves.value, None, COMPUTED, None, saves.ci95)


def _saved(rate: Estimate, ceiling: Estimate) -> Estimate:
    """Returns the share of the time of a batch that the ceiling saves; its interval if one of the rates has one."""
    value = max(0.0, 1.0 - rate.value / ceiling.value)
    if rate.ci95 is None and ceiling.ci95 is None:
        return Estimate(value)
    low, high = rate.ci95 or (rate.value, rate.value)
    ceiling_low, ceiling_high = ceiling.ci95 or (ceiling.value, ceiling.value)
    least = 1.0 - high / ceiling_low if ceiling_low > 0 else 0.0
    return Estimate(value, (max(0.0, least), max(0.0, 1.0 - low / ceiling_high)))


def ceiling_sentence(ceiling: Ceiling, train_s: float | None) -> str:
    """Returns what the ceiling means for the user; empty where the noise hides it.

    Args:
        ceiling: for the recommended setting.
        train_s: seconds of the training with that setting; None if unknown.
    """
    if ceiling.saves_share is None:
        return ""
    least, most = ceiling.saves_ci95 or (ceiling.saves_share, ceiling.saves_share)
    known = " (computed from the step's time)" if ceiling.source == COMPUTED else ""
    if most < LITTLE_SHARE:
        of_training = "" if train_s is None else f" ({duration_text(most * train_s)} of {duration_text(train_s)})"
        return f"A perfect loader would save at most {share_text(most)} of the time{of_training}{known}: look elsewhere."
    if least < LITTLE_SHARE:
        return ""
    of_training = "" if train_s is None else f", {duration_text(ceiling.saves_share * train_s)} of {duration_text(train_s)}"
    waiting = f"{share_text(ceiling.saves_share)} of the time is still spent waiting for data{of_training}"
    return f"{waiting}: a perfect loader would save that{known}."
