"""Computes samples per second and seconds per epoch, with intervals, from the steady part of a trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from loaderscope.agent.epoch_count import EPOCHS_FOR_INTERVAL
from loaderscope.agent.messages import TrialConfig, TrialOutcome
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.intervals import half_width, mean
from loaderscope.analysis.steady import MIN_BLOCKS_INTERVAL, MIN_BLOCKS_VALUE, Steady
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import EpochTimes
from loaderscope.facts.text import count_text

NS = 1e-9


def samples_per_batch(config: TrialConfig, outcome: TrialOutcome | None) -> float | None:
    """Returns the samples in a full batch; the mean if the loader's batches have no fixed size."""
    mean_size = outcome.samples / outcome.batches if outcome and outcome.samples is not None and outcome.batches else None
    size = config.batch_size
    if size is None or mean_size is None:
        return size or mean_size
    # Each epoch may end with one smaller batch, an iterable dataset's with one for each worker. If more samples are missing, the
    # loader does not use the requested batch size.
    smaller_batches = max(1, len(outcome.epoch_batches) if outcome else 1) * max(1, config.num_workers)
    missing_samples = size * outcome.batches - (outcome.samples or 0) if outcome else 0
    return size if 0 <= missing_samples < size * smaller_batches else mean_size


def batch_seconds(steady: Steady) -> Estimate | None:
    """Returns the seconds from one batch to the next in steady state, at a pace that workers and main can both sustain."""
    drained = sum(steady.drained)
    if steady.blocks < MIN_BLOCKS_VALUE or drained >= steady.batches:
        return None
    sustained_share = 1 - drained / steady.batches
    seconds = [float(block) * NS / (steady.block_batches * sustained_share) for block in steady.block_ns]
    return _mean_with_interval(seconds)


def batch_seconds_of_epochs(epochs: Sequence[EpochRun]) -> Estimate | None:
    """Returns the seconds per batch over whole epochs, starts and ends of workers included.

    This is the rate of a loader whose epochs are too short for a steady state. The first epoch is left out, as caches fill in it.
    """
    seconds = [(epoch.end_ns - epoch.start_ns) * NS / epoch.batches for epoch in epochs[1:] if epoch.complete and epoch.batches]
    return _mean_with_interval(seconds) if len(seconds) >= MIN_BLOCKS_VALUE else None


def short_epochs_reason(epochs: Sequence[EpochRun], gave_all: bool = False) -> str | None:
    """Returns why the rate over whole epochs has no value or no interval, in one sentence, or None.

    Args:
        epochs: all epochs of the trial.
        gave_all: whether the script gave no more of them, so that it is no use to ask for more.
    """
    later = len(epochs) - 1
    if later >= MIN_BLOCKS_INTERVAL:
        return None
    missing = "no throughput" if later < MIN_BLOCKS_VALUE else "no interval"
    longest = max((epoch.batches for epoch in epochs), default=0)
    advice = "the script gave no more" if gave_all else f"--epochs {EPOCHS_FOR_INTERVAL} are enough"
    return (
        f"{missing}: an epoch has only {count_text(longest, 'batch')}, too few for a steady state, and {count_text(len(epochs), 'epoch')} "
        f"{'was' if len(epochs) == 1 else 'were'} measured; {advice}."
    )


def _mean_with_interval(seconds: Sequence[float]) -> Estimate | None:
    """Returns the mean, with an interval if there are enough values; None unless it is above 0."""
    value = mean(seconds)
    if value <= 0:
        return None
    if len(seconds) < MIN_BLOCKS_INTERVAL:
        return Estimate(value)
    half = half_width(seconds)
    return Estimate(value, (max(0.0, value - half), value + half))


def samples_per_second(per_batch: Estimate | None, batch_samples: float | None) -> Estimate | None:
    """Returns the throughput from the seconds per batch, without an interval if that would reach infinity.

    With 1 for `batch_samples` it is in batches.
    """
    if per_batch is None or batch_samples is None:
        return None
    interval = None
    if per_batch.ci95 is not None and per_batch.ci95[0] > 0:
        interval = (batch_samples / per_batch.ci95[1], batch_samples / per_batch.ci95[0])
    return Estimate(batch_samples / per_batch.value, interval)


def epoch_times(epoch: EpochRun) -> EpochTimes:
    """Returns the parts of an epoch, which add up to its whole time."""
    if not epoch.batches:
        return EpochTimes(None, None, None, 0)
    last_done = max(int(epoch.done_ns[-1]), int(epoch.host_done_ns[-1]))
    return EpochTimes(
        first_batch_s=(int(epoch.wait_end_ns[0]) - epoch.start_ns) * NS,
        steady_s=(last_done - int(epoch.wait_end_ns[0])) * NS,
        end_s=max(0, epoch.end_ns - last_done) * NS if epoch.complete else None,
        batches=epoch.batches,
    )


def full_epoch_batches(
    dataset_length: int | None,
    batch_samples: float | None,
    measured: Sequence[EpochTimes],
    is_whole: Sequence[bool],
    by_loader: int | None = None,
) -> int | None:
    """Returns the batches in a full epoch of the user's data, or None if that is unknown.

    Args:
        dataset_length: samples in the dataset, if known. A stream may end before it has given so many.
        batch_samples: samples in a batch, if known.
        measured: the epochs.
        is_whole: for each epoch, whether it is known that no limit cut it short.
        by_loader: what the loader says, if it does.
    """
    whole = [times.batches for times, one_is_whole in zip(measured, is_whole, strict=False) if one_is_whole and times.end_s is not None]
    if whole:
        return max(whole)
    if by_loader is not None:
        return by_loader
    if dataset_length is None or not batch_samples:
        return None
    return math.ceil(dataset_length / batch_samples - 1e-9)


def project_epoch(times: EpochTimes, full_batches: int, per_batch: Estimate | None) -> Estimate | None:
    """Returns the seconds of an epoch of `full_batches`: the measured part as it was, the rest at the steady pace."""
    if times.first_batch_s is None or times.steady_s is None:
        return None
    further_batches = full_batches - times.batches
    if further_batches and per_batch is None:
        return None
    value = times.first_batch_s + times.steady_s + (times.end_s or 0.0)
    if per_batch is None:
        return Estimate(value)
    value = max(0.0, value + further_batches * per_batch.value)
    if per_batch.ci95 is None:
        return Estimate(value)
    half = (per_batch.ci95[1] - per_batch.ci95[0]) / 2 * full_batches
    return Estimate(value, (max(0.0, value - half), value + half))
