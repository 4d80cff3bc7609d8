"""Whether a loader's samples depend on random generators that the whole process shares."""

from __future__ import annotations

import random
import sys
from typing import Any, Callable, Dict, List, Optional

from . import torch_internals as internals

_SAMPLES = 4
"""Enough to see a draw, and read quickly."""


def drawn_from(loader: Any) -> Optional[List[str]]:
    """The process-wide generators that reading a few samples draws from: of `random`, `numpy`, `torch`; None if that cannot be told.

    Reads them in the caller's thread while nothing else runs: during a trial the sampler and the consumer draw too. It reads
    the user's data and moves the generators on, so no other trial may follow in this process.
    """
    place = internals.find(internals.CREATE_FETCHER)
    if place is None:
        return None
    try:
        indices = next(iter(loader._index_sampler))
        if loader._auto_collation and isinstance(indices, list):
            indices = indices[:_SAMPLES]
        make_fetcher: Callable[..., Any] = getattr(place.owner, place.name)
        fetcher = make_fetcher(loader._dataset_kind, loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)
        before = _states()
        fetcher.fetch(indices)
    except Exception:  # whatever the user's code raises; the trial itself went well
        return None
    after = _states()
    return [name for name, state in after.items() if before.get(name) != state]


def _states() -> Dict[str, Any]:
    import torch

    states: Dict[str, Any] = {"random": random.getstate()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _, keys, *rest = numpy.random.get_state()
        states["numpy"] = (keys.tobytes(), *rest)
    states["torch"] = tuple(torch.get_rng_state().tolist())
    return states
