"""Counts the tensors of a batch while it is pickled, and the memory that they occupy.

The pickler calls `reducer_override` with each object that it meets. So it finds tensors wherever they lie, counts each once
however often the batch holds it, and calls no code of the user's.
"""

from __future__ import annotations

from typing import Any, List, Tuple

from . import torch_internals as internals

TENSORS, BYTES = 0, 1
"""Indices into the counts."""


def counting_pickler(plain: Any) -> Tuple[Any, List[int]]:
    """Returns a subclass of `plain` (a `ForkingPickler`) that pickles in the same way, and the counts that it adds to.

    It counts the bytes of storages: torch puts a whole storage into shared memory, once for all tensors that view it, and
    pickles the handle. Storages of a device are not pickled, so they add nothing.
    """
    counts = [0, 0]
    tensor, storage = internals.tensor_classes()
    bytes_of = storage.nbytes
    plain_override = getattr(plain, "reducer_override", None)

    class CountingPickler(plain):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if issubclass(kind, tensor):
                counts[TENSORS] += 1
            elif issubclass(kind, storage):
                counts[BYTES] += bytes_of(obj)
            return NotImplemented if plain_override is None else plain_override(self, obj)

    return CountingPickler, counts
