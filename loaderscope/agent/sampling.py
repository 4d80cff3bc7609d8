"""Limits and counts what a loader's index sampler hands out."""

from __future__ import annotations

import itertools
from typing import Any, Iterator, Optional


class CountingSampler:
    """Stands before the sampler or batch sampler of one of our loaders and ends after `limit` batches.

    The loader ends by itself then: nothing that was prefetched is left over for the next epoch. An iterable dataset has
    such a sampler too (torch's endless dummy), so the same limit holds for it and its workers end with the epoch.
    """

    def __init__(self, inner: Any, limit: Optional[int], in_batches: bool) -> None:
        """Wraps `inner`, which gives lists of indices if `in_batches`, else single ones.

        `samples` counts what was handed out in all epochs, `given` the batches (or single indices) of the newest one.
        """
        self._inner = inner
        self._limit = limit
        self._in_batches = in_batches
        self.samples = 0
        self.given = 0

    def __iter__(self) -> Iterator[Any]:
        self.given = 0
        for indices in itertools.islice(iter(self._inner), self._limit):
            self.given += 1
            try:
                self.samples += len(indices) if self._in_batches else 1
            except TypeError:  # a batch sampler may give anything that its dataset understands
                self.samples += 1
            yield indices

    def __len__(self) -> int:
        length = len(self._inner)
        return length if self._limit is None else min(length, self._limit)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling ask before there is an inner sampler
            raise AttributeError(name)
        return getattr(self._inner, name)
