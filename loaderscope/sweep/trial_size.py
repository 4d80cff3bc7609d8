"""How much of the data one trial of a sweep reads."""

from __future__ import annotations

from loaderscope.agent.epoch_count import goes_on
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.steady import batches_for_rate
from loaderscope.facts.request import DEFAULT_BATCHES, Request


def batch_limit(request: Request, config: TrialConfig) -> int | None:
    """Returns the batches of each epoch at most; None for all.

    The default is raised for a setting with so many workers that it would show no rate.
    """
    if request.startup or request.batches != DEFAULT_BATCHES:
        return request.batches
    return max(DEFAULT_BATCHES, batches_for_rate(config))


def enough_batches(request: Request, config: TrialConfig) -> int | None:
    """Returns the batches of one epoch that show a rate; None where no rate is wanted."""
    return None if request.startup else batches_for_rate(config)


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
