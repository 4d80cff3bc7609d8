"""Limits and counts the batches that a loader's index sampler gives."""

from __future__ import annotations

import itertools
from typing import Any, Iterator, Optional


class CountingSampler:
    """Wraps the sampler or batch sampler of one of our loaders and ends after `limit` batches.

    The loader then ends by itself: no prefetched batch is left over for the next epoch. An iterable dataset has such a sampler,
    too (torch's endless dummy), so the same limit holds for it and its workers end with the epoch.

    Attributes:
        sample_count: samples whose indices it gave, in all epochs.
        epoch_batch_count: batches whose indices it gave in the newest epoch.
    """

    def __init__(self, inner: Any, limit: Optional[int], in_batches: bool) -> None:
        """Wraps `inner`, which gives lists of indices if `in_batches`, else single ones, each a batch of its own."""
        self._inner = inner
        self._limit = limit
        self._in_batches = in_batches
        self.sample_count = 0
        self.epoch_batch_count = 0

    def __iter__(self) -> Iterator[Any]:
        self.epoch_batch_count = 0
        for indices in itertools.islice(iter(self._inner), self._limit):
            self.epoch_batch_count += 1
            try:
                self.sample_count += len(indices) if self._in_batches else 1
            except TypeError:  # a batch sampler may give anything that its dataset understands
                self.sample_count += 1
            yield indices

    def __len__(self) -> int:
        length = len(self._inner)
        return length if self._limit is None else min(length, self._limit)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling look up these before there is an inner sampler
            raise AttributeError(name)
        return getattr(self._inner, name)
