"""Attaches a target: resolves it, tells what is known of it, reads one sample of it, and explains its failures."""

from __future__ import annotations

import itertools
import pickle
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from . import loaders, samples, targets
from .capture import Captured
from .errors import NOT_PICKLABLE, UNSUPPORTED, AgentError, describe
from .messages import ErrorInfo, Target
from .script import Script
from .trials import Feed

_CULPRIT_DEPTH = 5
_CULPRIT_NODES = 300


def attach(script: Script, captured: Optional[Captured], name: str, given: Mapping[str, str]) -> Tuple[Target, Feed]:
    """Resolves a target and checks that it can feed a loader.

    Raises:
        AgentError: there is no such target, or it has no samples.
    """
    source = targets.resolve(script, captured, name, given)
    feed = Feed(source, script.namespace)
    if name.startswith(targets.CAPTURED_PREFIX) and captured is not None:
        target = targets.captured_target(script, captured)
    else:
        origin = (
            "class" if isinstance(script.namespace.get(name), type) else "variable" if source is script.namespace.get(name) else "function"
        )
        target = targets.object_target(name, source, "loader" if loaders.is_loader(source) else "dataset", None, origin)
    if target.dataset_kind == "map" and target.length == 0:
        raise AgentError(UNSUPPORTED, "%s has no samples: its length is 0" % name, script.path)
    return target, feed


def facts(target: Target, feed: Feed) -> Dict[str, Any]:
    """What `attached` says beside its type."""
    notes: List[str] = []
    if loaders.is_loader(feed.source) and feed.source.batch_size is None:
        what = "has a batch_sampler of its own" if feed.source.batch_sampler is not None else "does not batch (batch_size=None)"
        notes.append("the loader %s, so batch sizes cannot be swept" % what)
    for name in feed.extras:
        notes.append("the script's %s is used" % name)
    return {
        "target": target.to_json(),
        "length": target.length,
        "current": None if target.current is None else target.current.to_json(),
        "fingerprint": samples.fingerprint(feed.dataset),
        "notes": notes,
    }


def probe(feed: Feed) -> Tuple[Dict[str, Any], float]:
    """The structure of one sample and the seconds that reading it took.

    Raises:
        AgentError: the dataset gives no sample.
    """
    dataset = feed.dataset
    start_ns = time.perf_counter_ns()
    if loaders.dataset_kind(dataset) == "iterable":
        try:
            sample = next(iter(dataset))
        except StopIteration:
            raise AgentError(UNSUPPORTED, "the dataset ended before it gave a sample") from None
    else:
        sample = dataset[_first_index(feed)]
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    return samples.describe(sample), seconds


def _first_index(feed: Feed) -> Any:
    """The index that the user's own loader would ask for first; datasets need not be indexed by numbers."""
    if not loaders.is_loader(feed.source):
        return 0
    source = feed.source
    own_batches = source.batch_size is None and source.batch_sampler is not None
    indices = next(iter(source.batch_sampler if own_batches else source.sampler), 0)
    feed.reset(0)  # a sampler draws from the user's generators
    if own_batches:
        return next(iter(indices), 0)
    return indices


def describe_failure(error: BaseException, feed: Feed, sample: Optional[int] = None) -> ErrorInfo:
    """What went wrong with an attached target; names the attribute that cannot be pickled."""
    info = describe(error, sample)
    if not _failed_in_pickling(error):
        return info
    own_text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    culprit = _culprit(feed, error)
    if culprit is None:
        message = "the dataset cannot be sent to a worker: %s" % own_text
    else:
        path, value = culprit
        message = "%s cannot be sent to a worker: it holds a %s (%s)" % (path, type(value).__name__, own_text)
    return ErrorInfo(NOT_PICKLABLE, message, info.traceback, info.file, info.line)


def _failed_in_pickling(error: BaseException) -> bool:
    """Whether the error came out of multiprocessing's dump of a worker's process object."""
    if not isinstance(error, (TypeError, AttributeError, ValueError, RuntimeError, pickle.PicklingError, RecursionError)):
        return False
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "dump" and code.co_filename.replace("\\", "/").endswith("multiprocessing/reduction.py"):
            return True
        trace = trace.tb_next
    return False


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


def _fails_alike(value: Any, error: BaseException) -> bool:
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler(_Nowhere(), pickle.HIGHEST_PROTOCOL).dump(value)  # type: ignore[arg-type]
    except Exception as again:  # whatever a __reduce__ of the user's raises
        return type(again) is type(error)
    return False


def _culprit(feed: Feed, error: BaseException) -> Optional[Tuple[str, Any]]:
    """The deepest attribute whose pickling fails in the same way, with its path."""
    loader = feed.source if loaders.is_loader(feed.source) else None
    roots: List[Tuple[str, Any]] = [("the dataset", feed.dataset)]
    for name in ("collate_fn", "worker_init_fn"):
        value = getattr(loader, name, None) if loader is not None else feed.extras.get(name)
        if value is not None:
            roots.append((name, value))
    budget = _CULPRIT_NODES
    for path, value in roots:
        if not _fails_alike(value, error):
            continue
        found: Tuple[str, Any] = (path, value)
        for _ in range(_CULPRIT_DEPTH):
            parts = list(itertools.islice(_parts(*found), budget))
            budget -= len(parts)
            deeper = next((part for part in parts if _fails_alike(part[1], error)), None)
            if deeper is None:
                break
            found = deeper
        return found
    return None


def _parts(path: str, value: Any) -> Iterator[Tuple[str, Any]]:
    shown = "dataset" if path == "the dataset" else path
    if isinstance(value, dict):
        for key, item in list(value.items())[:_CULPRIT_NODES]:
            yield "%s[%r]" % (shown, key), item
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value[:_CULPRIT_NODES]):
            yield "%s[%d]" % (shown, index), item
    elif (
        isinstance(getattr(value, "__dict__", None), dict)
        and not isinstance(value, type)
        and not callable(getattr(value, "__code__", None))
    ):
        for name, item in list(vars(value).items()):
            yield "%s.%s" % (shown, name), item
