"""Finds out whether a loader's samples depend on random generators that the whole process shares."""

from __future__ import annotations

import random
import sys
from typing import Any, Callable, Dict, List, Optional

from . import torch_internals as internals

_SAMPLES_READ = 4
"""Enough samples to show whether reading one draws numbers, and few enough to be read quickly."""


def generators_drawn_from(loader: Any) -> Optional[List[str]]:
    """Which process-wide generators (`random`, `numpy`, `torch`) reading a few samples draws from; None if that is unknown.

    Reads the samples in the caller's thread while nothing else runs: during a trial the sampler and the consumer draw, too. It
    reads the user's data and advances the generators, so no other trial may follow in this process.
    """
    place = internals.find(internals.CREATE_FETCHER)
    if place is None:
        return None
    try:
        indices = next(iter(loader._index_sampler))
        if loader._auto_collation and isinstance(indices, list):
            indices = indices[:_SAMPLES_READ]
        make_fetcher: Callable[..., Any] = getattr(place.owner, place.name)
        fetcher = make_fetcher(loader._dataset_kind, loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)
        before = _generator_states()
        fetcher.fetch(indices)
    except Exception:  # whatever the user's code raises; the trial itself went well
        return None
    after = _generator_states()
    return [name for name, state in after.items() if before.get(name) != state]


def _generator_states() -> Dict[str, Any]:
    import torch

    states: Dict[str, Any] = {"random": random.getstate()}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _, keys, *rest = numpy.random.get_state()
        states["numpy"] = (keys.tobytes(), *rest)
    states["torch"] = tuple(torch.get_rng_state().tolist())
    return states
