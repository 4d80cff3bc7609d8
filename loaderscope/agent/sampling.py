"""Limits and counts the batches that a loader's index sampler gives."""

from __future__ import annotations

import itertools
from typing import Any, Iterator, List, Optional


class CountingSampler:
    """Wraps the sampler or batch sampler of one of our loaders and ends after `limit` batches.

    The loader then ends by itself: no prefetched batch is left over for the next epoch. An iterable dataset has such a sampler,
    too (torch's endless dummy), so the same limit holds for it and its workers end with the epoch.

    Attributes:
        epoch_batch_count: batches whose indices it gave in the newest epoch.
    """

    def __init__(self, inner: Any, limit: Optional[int], in_batches: bool) -> None:
        """Wraps `inner`, which gives lists of indices if `in_batches`, else what the dataset takes: one index, or a list of them."""
        self._inner = inner
        self._limit = limit
        self._in_batches = in_batches
        self._batch_lengths: List[Optional[int]] = []

    @property
    def epoch_batch_count(self) -> int:
        return len(self._batch_lengths)

    def sample_count(self, batches: int) -> Optional[int]:
        """Samples in the first batches of the newest epoch; None where an index may stand for several samples."""
        lengths = self._batch_lengths[:batches]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) == batches else None

    def __iter__(self) -> Iterator[Any]:
        lengths = self._batch_lengths = []  # an iterator of an earlier epoch may still run
        for indices in itertools.islice(iter(self._inner), self._limit):
            lengths.append(_length(indices, self._in_batches))
            yield indices

    def __len__(self) -> int:
        length = len(self._inner)
        return length if self._limit is None else min(length, self._limit)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling look up these before there is an inner sampler
            raise AttributeError(name)
        return getattr(self._inner, name)


def _length(indices: Any, in_batches: bool) -> Optional[int]:
    """How many samples one entry of a sampler stands for; None for a single index where the dataset may make whole batches."""
    if not in_batches and not isinstance(indices, list) and not getattr(indices, "shape", ()):
        return None
    try:
        return len(indices)
    except TypeError:  # a batch sampler may give anything that its dataset understands
        return 1
