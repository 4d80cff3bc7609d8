"""Explains why a trial failed: the attribute that cannot be pickled, the sample at which the dataset raised."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
import pickle
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import layout, loaders
from .errors import NOT_PICKLABLE, UNEXPECTED, WORKER_DIED, AgentError, describe, with_code
from .messages import ErrorInfo, TrialOrder
from .torch_internals import FAILED_WORKERS
from .trials import Feed

_CULPRIT_DEPTH = 5
_CULPRIT_NODES = 300
_NEWEST_SEGMENTS = 2
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_SAMPLE_KIND = layout.kind_of(layout.State.SAMPLE, layout.INSTANT)
_COLLATE_KIND = layout.kind_of(layout.State.COLLATE, layout.BEGIN)


def explain(error: BaseException, feed: Feed, order: TrialOrder) -> ErrorInfo:
    """What went wrong in a trial, as the app shows it."""
    if isinstance(error, AgentError):
        return error.info
    if _failed_in_pickling(error):
        return _not_picklable(error, feed)
    sample = None
    if feed.failed_batch is not None and order.record and order.config.in_order is not False:
        sample = _failing_sample(order.log_dir, feed.failed_batch)
    info = describe(error, sample)
    codes = _exit_codes(error) if info.kind == WORKER_DIED and info.message.endswith(UNEXPECTED) else []
    return dataclasses.replace(info, message=info.message[: -len(UNEXPECTED)] + with_code(codes[0])) if codes else info


def _exit_codes(error: BaseException) -> List[int]:
    """Exit codes of the workers that torch found dead by itself, when their end had not been told by the system yet."""
    trace, codes = error.__traceback__, []
    while trace is not None:
        codes += [getattr(worker, "exitcode", None) for worker in trace.tb_frame.f_locals.get(FAILED_WORKERS) or ()]
        trace = trace.tb_next
    return [code for code in codes if code is not None]


def _failing_sample(log_dir: str, batch: int) -> Optional[int]:
    """The sample whose access began last in a batch, from the event logs; None where samples were not recorded, or all were read."""
    chains: Dict[str, List[str]] = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(log_dir), "*" + layout.SUFFIX))):
        chains.setdefault(os.path.basename(path).split(".")[0], []).append(path)
    newest: Tuple[int, int] = (0, -1)
    collated_ns = 0
    for path in itertools.chain.from_iterable(paths[-_NEWEST_SEGMENTS:] for paths in chains.values()):
        try:
            with open(path, "rb") as file:
                data = file.read()[layout.HEADER_BYTES :]
        except OSError:
            continue
        whole = len(data) - len(data) % layout.RECORD.size
        for time_ns, index, number, kind, _, sequence in layout.RECORD.iter_unpack(data[:whole]):
            if kind == _SAMPLE_KIND and number == batch and sequence:
                newest = max(newest, (time_ns, index))
            elif kind == _COLLATE_KIND and index == batch and sequence:
                collated_ns = max(collated_ns, time_ns)
    return newest[1] if newest[1] >= 0 and collated_ns < newest[0] else None


def _not_picklable(error: BaseException, feed: Feed) -> ErrorInfo:
    info = describe(error)
    lines = _ADDRESS.sub("", str(error)).strip().splitlines()
    own_text = lines[0] if lines else type(error).__name__
    culprit = _culprit(feed, error)
    if culprit is None:
        message = "the dataset cannot be sent to a worker: %s" % own_text
    else:
        path, value = culprit
        what = "lambda" if getattr(value, "__name__", "") == "<lambda>" else type(value).__name__
        message = "%s cannot be sent to a worker: it is a %s (%s)" % (path, what, own_text)
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
        ForkingPickler(_Nowhere(), pickle.HIGHEST_PROTOCOL).dump(value)
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
