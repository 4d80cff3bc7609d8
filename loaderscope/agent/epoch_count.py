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


def epoch_numbers(order: TrialOrder, finished: Sequence[Any], clock: Callable[[], float] = time.perf_counter) -> Iterator[int]:
    """Yields the number of each epoch that the trial is to run.

    Args:
        order: the trial.
        finished: the epochs that have run, with their `batches`; the caller adds each.
        clock: returns seconds.
    """
    began_s = clock()
    while goes_on(order.epochs, order.enough_batches, len(finished), max((one.batches for one in finished), default=0), clock() - began_s):
        yield len(finished)


def goes_on(epochs: Optional[int], enough_batches: Optional[int], done: int, batches: int, seconds: float) -> bool:
    """Whether another epoch follows.

    Args:
        epochs: the epochs that the user asked for; None leaves the number open.
        enough_batches: batches of one epoch that give a steady state; None: any number does.
        done: epochs that have run.
        batches: batches of the longest of them.
        seconds: that they took together.
    """
    if epochs is not None:
        return done < epochs
    if done == 0 or (done == 1 and seconds < SHORT_EPOCH_S):
        return True
    if not batches or enough_batches is None or batches >= enough_batches:
        return False
    if done < EPOCHS_FOR_RATE:
        return seconds * EPOCHS_FOR_RATE / done <= LONGEST_FOR_RATE_S
    return done < EPOCHS_FOR_INTERVAL and seconds < SHORT_EPOCH_S
