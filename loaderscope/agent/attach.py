"""Attaches a target: resolves it, describes it, and reads one sample of it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Dict, Mapping, Optional, Tuple

from . import loaders, made_loaders, samples, shared_handles, targets
from .capture import Captured
from .error_sentences import UNSUPPORTED, AgentError
from .messages import Target
from .script import Script
from .trials import Feed

_REREAD_BELOW_S = 1.0


def attach(script: Script, captured: Optional[Captured], name: str, argument_texts: Mapping[str, str]) -> Tuple[Target, Feed]:
    """Resolves a target and checks that it can feed a loader.

    Raises:
        AgentError: there is no such target, or it has no samples.
    """
    source = targets.resolve(script, captured, name, argument_texts)
    feed = Feed(source, script.namespace)
    if name.startswith(targets.CAPTURED_PREFIX) and captured is not None:
        target = targets.captured_target(captured)
    else:
        origin = (
            "class" if isinstance(script.namespace.get(name), type) else "variable" if source is script.namespace.get(name) else "function"
        )
        target = targets.object_target(name, source, "loader" if loaders.is_loader(source) else "dataset", origin=origin)
        if captured is not None:
            target = dataclasses.replace(target, note=targets.place_note(captured))
    if target.dataset_kind == "map" and target.length == 0:
        raise AgentError(UNSUPPORTED, "%s has no samples: its length is 0" % name, script.path)
    return target, feed


def attached_answer(target: Target, feed: Feed) -> Dict[str, Any]:
    """The message `attached` without its type."""
    notes = [target.note] if target.note else []
    if loaders.is_loader(feed.source) and loaders.batch_size_of(feed.source) is None:
        what = "has a batch_sampler of its own" if feed.source.batch_sampler is not None else "does not batch (batch_size=None)"
        notes.append("the loader %s, so batch sizes cannot be swept" % what)
    for name in feed.extras:
        notes.append("the script's %s is used" % name)
    return {
        "target": target.to_json(),
        "length": target.length,
        "current": None if target.current is None else target.current.to_json(),
        "fingerprint": samples.fingerprint(feed.dataset),
        "number_in_constructors": made_loaders.number_in_constructors(feed.source) if loaders.is_loader(feed.source) else None,
        "notes": notes,
        "handles": [handle.to_json() for handle in shared_handles.find(feed.dataset, _collate_fn_of(feed))],
    }


def _collate_fn_of(feed: Feed) -> Any:
    return getattr(feed.source, "collate_fn", None) if loaders.is_loader(feed.source) else feed.extras.get("collate_fn")


def probe(feed: Feed) -> Tuple[Dict[str, Any], float]:
    """Returns the structure of one sample, and the seconds that reading one takes once everything is imported and open.

    Raises:
        AgentError: the dataset gives no sample.
    """
    dataset, index = feed.dataset, None
    start_ns = time.perf_counter_ns()
    if loaders.dataset_kind(dataset) == "iterable":
        try:
            sample = next(iter(dataset))
        except StopIteration:
            raise AgentError(UNSUPPORTED, "the dataset ended before it gave a sample") from None
    else:
        index = _first_index(feed)
        start_ns = time.perf_counter_ns()
        sample = dataset[index]
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    if index is not None and seconds < _REREAD_BELOW_S:
        # the first read also imports and opens files; the forecast would count that for every sample
        start_ns = time.perf_counter_ns()
        dataset[index]
        seconds = (time.perf_counter_ns() - start_ns) / 1e9
    return samples.describe(sample), seconds


def _first_index(feed: Feed) -> Any:
    """The index that the user's own loader would read first; a dataset's indices need not be numbers."""
    if not loaders.is_loader(feed.source):
        return 0
    source = feed.source
    own_batches = source.batch_size is None and source.batch_sampler is not None
    sampler: Any = source.batch_sampler if own_batches else source.sampler
    indices = next(iter(sampler), 0)
    feed.reset(0)  # a sampler draws from the user's generators
    if own_batches:
        return next(iter(indices), 0) if hasattr(indices, "__iter__") else indices
    return indices
