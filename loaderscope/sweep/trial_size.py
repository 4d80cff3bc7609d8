"""How much of the data one trial of a sweep reads."""

from __future__ import annotations

from loaderscope.agent.epoch_count import goes_on
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.steady import batches_for_rate
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import DEFAULT_BATCHES, Request
from loaderscope.facts.run import PlannedTrial


def batch_limit(request: Request, config: TrialConfig) -> int | None:
    """Returns the batches of each epoch at most; None for all.

    The default is raised for a setting with so many workers that it would show no rate. A training takes more, to warm up.
    """
    warm_up = kind_of(request.consumer).warm_up_batches
    if request.startup or request.batches is None:
        return request.batches
    if request.batches != DEFAULT_BATCHES:
        return request.batches + warm_up
    return max(DEFAULT_BATCHES + warm_up, batches_for_rate(config, warm_up))


PROBE_EPOCHS = 2
"""The second one shows what workers lose between epochs."""
PROBE_BATCHES = (4, 16)
"""Fewest and most batches of an epoch that each worker of a probe gives."""
PROBE_SAMPLES = 32
"""A probe reads so many samples for each worker if its bounds of batches allow it."""


def batches_of(request: Request, trial: PlannedTrial) -> int | None:
    """Returns the batches of each epoch of a trial at most; None for all. A probe takes few."""
    limit, config = batch_limit(request, trial.config), trial.config
    if not trial.probe:
        return limit
    fewest, most = PROBE_BATCHES
    of_worker = most if config.batch_size is None else min(max(fewest, -(-PROBE_SAMPLES // max(1, config.batch_size))), most)
    wanted = of_worker * config.num_workers
    return wanted if request.batches is None or request.batches == DEFAULT_BATCHES else min(wanted, request.batches)


def enough_batches(request: Request, config: TrialConfig) -> int | None:
    """Returns the batches of one epoch that show a rate; None where no rate is wanted."""
    return None if request.startup else batches_for_rate(config, kind_of(request.consumer).warm_up_batches)


def epochs_asked_for(request: Request, trial: PlannedTrial) -> int | None:
    """Returns the epochs of a trial; None leaves them open. One shows the rate of a perfect loader; a training takes those it has."""
    if trial.probe:
        return PROBE_EPOCHS
    is_one = trial.perfect_loader and not kind_of(request.consumer).is_training
    return 1 if is_one else request.epochs


def expected_epochs(request: Request, config: TrialConfig, batches: int, is_whole: bool, epoch_s: float) -> int:
    """Returns how many epochs a trial will run.

    Args:
        request: of the sweep.
        config: the setting of the trial.
        batches: of each epoch.
        is_whole: whether that is all of the data.
        epoch_s: seconds of each epoch.
    """
    enough, done = enough_batches(request, config), 0
    are_short = is_whole and enough is not None and batches < enough
    while goes_on(request.epochs, done, done * epoch_s, are_short):
        done += 1
    return done
