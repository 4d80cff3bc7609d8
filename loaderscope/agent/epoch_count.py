"""Decides how many epochs a trial runs if the user left that open."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, Optional, Sequence

from .messages import TrialOrder

SHORT_EPOCH_S = 5.0
"""A second epoch follows a first one that takes less: it shows what caches and persistent workers save."""
EPOCHS_FOR_RATE = 3
"""Epochs that give a rate where each has too few batches for a steady state: the first one, which differs, and two to compare."""
EPOCHS_FOR_INTERVAL = 7
"""Likewise for a rate with an interval."""
LONGEST_FOR_RATE_S = 60.0
"""Epochs with too few batches are repeated only if those for a rate take no longer together."""

LONGEST_ABSENCE_S = 20.0
"""A trial of the training waits at least so long for the next epoch while the script does something without any loader.

A checkpoint is saved in less as a rule, and a batch of an evaluation takes less.
"""


def epoch_numbers(
    order: TrialOrder, finished: Sequence[Any], are_whole: Sequence[bool], clock: Callable[[], float] = time.perf_counter
) -> Iterator[int]:
    """Yields the number of each epoch that the trial is to run.

    Args:
        order: the trial.
        finished: the epochs that have run, with their `batches`; the caller adds each.
        are_whole: for each of them, whether it ended by itself and not at the limit of batches; the caller adds each.
        clock: returns seconds.
    """
    began_s = clock()
    while goes_on(order.epochs, len(finished), clock() - began_s, _are_short(order, finished, are_whole)):
        yield len(finished)


def _are_short(order: TrialOrder, finished: Sequence[Any], are_whole: Sequence[bool]) -> bool:
    longest = max((epoch.batches for epoch in finished), default=0)
    return order.enough_batches is not None and all(are_whole) and 0 < longest < order.enough_batches


def goes_on(epochs: Optional[int], done: int, seconds: float, are_short: bool) -> bool:
    """Whether another epoch follows.

    Args:
        epochs: the epochs that the user asked for; None leaves the number open.
        done: epochs that have run.
        seconds: that they took together.
        are_short: whether even whole epochs have too few batches for a steady state.
    """
    if epochs is not None:
        return done < epochs
    if done == 0 or (done == 1 and seconds < SHORT_EPOCH_S):
        return True
    if not are_short:
        return False
    if done < EPOCHS_FOR_RATE:
        return seconds * EPOCHS_FOR_RATE / done <= LONGEST_FOR_RATE_S
    return done < EPOCHS_FOR_INTERVAL and seconds < SHORT_EPOCH_S
