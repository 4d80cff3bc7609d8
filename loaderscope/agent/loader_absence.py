"""Counts what the script does since it took the last batch of a trial's loader, and says when that loader is awaited no longer.

The script may have left the loader for good, and its training would run to its end. But it may also evaluate between two epochs,
or take a batch of this loader for many of another.
"""

from __future__ import annotations

import time
import weakref
from typing import Any, Callable, List, Optional

from . import loaders
from .epoch_count import LONGEST_ABSENCE_S

LONGEST_ABSENCE_SHARE = 3.0
"""The loader is awaited at most so many times as long as the trial had taken until then, or LONGEST_ABSENCE_S, if that is longer."""


class LoaderAbsence:
    """What the script does without the loader.

    Attributes:
        steps: of optimizers, since the last batch.
    """

    def __init__(self, batches: Optional[int], clock: Callable[[], float] = time.perf_counter) -> None:
        """Begins an absence.

        Args:
            batches: that the trial may take of an epoch; None for all.
            clock: returns seconds.
        """
        self._clock = clock
        self._start_s = clock()
        self._limit = batches or 0
        self._others: List["weakref.ref[Any]"] = []
        self._evaluated_batches = 0  # of all loaders that are iterated without gradients, in one pass over each
        self._longest_other = 0  # batches of the longest of those that are iterated with gradients
        self.begin()

    def begin(self) -> None:
        """Begins anew: the script got a batch, or has ended an epoch."""
        self.steps = self._other_batches = 0
        self._began_s = self._heard_s = self._clock()

    def note_epoch(self, batches: int) -> None:
        """Notes the length of an epoch: as much may follow between this one and the next."""
        self._limit = max(self._limit, batches)
        self.begin()

    def note_other(self, loader: Any, evaluates: bool) -> None:
        """Notes that the script iterates another loader; `evaluates`: without gradients."""
        if any(other() is loader for other in self._others):
            return
        self._others.append(weakref.ref(loader))
        batches = loaders.full_batches_of(loader) or 0
        if evaluates:
            self._evaluated_batches += batches
        else:
            self._longest_other = max(self._longest_other, batches)

    def note_batch_of_other(self) -> None:
        """Notes that the script takes a batch of another loader."""
        self._other_batches += 1
        self._heard_s = self._clock()

    def longest_wait(self, is_over: bool) -> Optional[str]:
        """Returns how long the loader has been awaited ("26 steps of an optimizer"), if that is long enough; None to wait on.

        Args:
            is_over: whether its epoch is: a script that keeps its iterator may do much with each batch.
        """
        now_s = self._clock()
        if self._other_batches > max(self._limit, self._evaluated_batches + self._longest_other):
            return "%d batches of other loaders" % self._other_batches
        if self.steps > self._limit and (is_over or now_s - self._began_s > LONGEST_ABSENCE_S):
            return "%d steps of its optimizers" % self.steps
        longest_s = max(LONGEST_ABSENCE_S, LONGEST_ABSENCE_SHARE * (self._began_s - self._start_s))
        silent_s = now_s - max(self._began_s, self._heard_s)
        return "%.0f s" % silent_s if is_over and silent_s > longest_s else None
