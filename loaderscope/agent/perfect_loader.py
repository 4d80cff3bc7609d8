"""Serves batches from memory, again and again: the rate of their consumer is the ceiling of any loader."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, List, Optional

from .batch_copies import UncopyableError, copy_batch, leaves_of
from .error_sentences import headline

MOST_BATCHES = 64
"""So many are fetched at most."""


class NoCeilingError(Exception):
    """The batches cannot be served from memory: no fault of the script. The message is a sentence that says why."""


class PerfectBatches:
    """Batches in memory.

    Each serving is a copy, which the consumer may change as it likes: a change may be of a kind that nobody notices, or come when the
    batch is already served again.
    """

    def __init__(self, memory_bytes: int) -> None:
        """Holds nothing yet; `memory_bytes`: the batches take no more, but for the first."""
        self._memory_bytes = memory_bytes
        self._full_note = ""  # why no more batches were fetched, if the loader had more and there is room for more
        self._batches: List[Any] = []  # copies, too: a dataset may use the memory of its batches again
        self._served_count = 0
        self._copy_ns = 0

    def __len__(self) -> int:
        return len(self._batches)

    def fetch(self, next_batch: Callable[[], Any], longest_s: float, clock: Callable[[], float] = time.perf_counter) -> bool:
        """Takes batches until there are enough; returns whether the loader ended before that.

        Args:
            next_batch: returns the next batch of the loader, or raises StopIteration.
            longest_s: after so many seconds, the batches that there are have to do.
            clock: returns seconds.

        Raises:
            NoCeilingError: a batch cannot be served.
        """
        ended, total_bytes, began_s = False, 0, clock()
        while len(self._batches) < MOST_BATCHES:
            if self._batches and clock() - began_s >= longest_s:
                self._full_note = "more would take over %.3g s" % longest_s
                break
            try:
                batch = next_batch()
            except StopIteration:
                ended = True
                break
            copy = _copy_of(batch)
            total_bytes += copy.byte_count
            if self._batches and total_bytes > self._memory_bytes:
                self._full_note = "more would take over %.3g MB" % (self._memory_bytes / 1e6)
                break
            self._batches.append(copy.batch)
        if ended and len(self._batches) > 1 and _length(self._batches[-1]) < _length(self._batches[0]):
            del self._batches[-1]  # a short last batch has another rate
        return ended

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.next()

    def next(self) -> Any:
        """Returns the next batch, round and round.

        Raises:
            NoCeilingError: it cannot be copied now, as when memory has run out.
        """
        start_ns = time.perf_counter_ns()
        batch = _copy_of(self._batches[self._served_count % len(self._batches)]).batch
        self._served_count += 1
        self._copy_ns += time.perf_counter_ns() - start_ns
        return batch

    def notes(self, batch_s: Optional[float]) -> List[str]:
        """Sentences on what the rate includes, and on how many batches there were.

        Args:
            batch_s: seconds from batch to batch; None if unknown.
        """
        notes = []
        if self._full_note:
            count = "one batch was" if len(self) == 1 else "%d batches were" % len(self)
            notes.append("For the perfect loader %s fetched: %s." % (count, self._full_note))
        if self._served_count:
            of_batch = "" if batch_s is None else " of %.3g ms a batch" % (batch_s * 1e3)
            notes.append(
                "The perfect loader copies each batch, as its consumer may change it in place: %.2g ms%s, which the ceiling leaves out."
                % (self._copy_ns / 1e6 / self._served_count, of_batch)
            )
        return notes


def _copy_of(batch: Any) -> Any:
    try:
        return copy_batch(batch)
    except UncopyableError as error:
        raise NoCeilingError("no ceiling: a copy of the batch might differ from it, as it has %s." % error) from error
    except Exception as error:  # a class of the user's, torch, or memory: whatever it is, it is no error of the script
        raise NoCeilingError("no ceiling: a batch could not be copied (%s)." % headline(error)) from error


def _length(batch: Any) -> int:
    """The longest first dimension of the tensors of a batch; 0 without any."""
    return max((leaf.shape[0] for leaf in leaves_of(batch) if leaf.ndim), default=0)
