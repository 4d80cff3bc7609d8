"""Explains why a trial failed: names the attribute that cannot be pickled, or the sample at which the dataset raised."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
import pickle
import re
from typing import Dict, Iterator, List, Optional, Tuple

from . import layout, loaders, reasons, unpicklable
from .error_sentences import GRADIENTS, LIMIT, NOT_PICKLABLE, AgentError, Place, describe, is_user_file
from .messages import ErrorInfo, TrialOrder
from .torch_internals import FAILED_WORKERS
from .trials import Feed

_SEGMENTS_READ = 2
_GRADIENTS_TEXT = "Cowardly refusing to serialize non-leaf tensor"
"""Torch's words for a tensor with a history of gradients (torch/multiprocessing/reductions.py)."""
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_SAMPLE_KIND = layout.kind_of(layout.State.SAMPLE, layout.INSTANT)
_COLLATE_KIND = layout.kind_of(layout.State.COLLATE, layout.BEGIN)


def explain(error: BaseException, feed: Feed, order: TrialOrder) -> ErrorInfo:
    """What went wrong in a trial, as the app shows it."""
    if isinstance(error, AgentError):
        return error.info
    if _comes_from_pickling(error):
        return _not_picklable(error, feed)
    sample = None
    if feed.failed_batch is not None and order.record and order.config.in_order is not False:
        sample = _failing_sample(order.log_dir, feed.failed_batch)
    info = describe(error, sample, next(iter(_exit_codes(error)), None))
    reason = reasons.find(order.log_dir, error) if order.record and info.kind != LIMIT else None
    if reason is None:
        return info
    info = dataclasses.replace(info, kind=reason.kind or info.kind, message=reason.message, route=reason.route, cause=reason.cause)
    return _with_place_of_samples(info, feed) if reason.route == unpicklable.TO_MAIN.name else info


def _with_place_of_samples(info: ErrorInfo, feed: Feed) -> ErrorInfo:
    """Says where the samples of a batch that cannot be sent are made: the thread that sends them has no frame of the user's."""
    if _GRADIENTS_TEXT in info.traceback:
        info = dataclasses.replace(info, cause=GRADIENTS)
    name = "__iter__" if loaders.dataset_kind(feed.dataset) == "iterable" else "__getitem__"
    code = getattr(getattr(type(feed.dataset), name, None), "__code__", None)
    if info.file is not None or code is None or not is_user_file(code.co_filename):
        return info
    place = Place(os.path.abspath(code.co_filename), code.co_firstlineno, name)
    return dataclasses.replace(info, message="%s; the dataset makes it at %s" % (info.message, place), file=place.file, line=place.line)


def _exit_codes(error: BaseException) -> List[int]:
    """Exit codes of the workers that torch found dead by itself, before the system reported their end."""
    trace, codes = error.__traceback__, []
    while trace is not None:
        codes += [getattr(worker, "exitcode", None) for worker in trace.tb_frame.f_locals.get(FAILED_WORKERS) or ()]
        trace = trace.tb_next
    return [code for code in codes if code is not None]


def _failing_sample(log_dir: str, batch: int) -> Optional[int]:
    """The sample whose access began last in a batch, from the event logs; None if samples were not recorded, or all were read."""
    chains: Dict[str, List[str]] = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(log_dir), "*" + layout.SUFFIX))):
        chains.setdefault(os.path.basename(path).split(".")[0], []).append(path)
    newest_access: Tuple[int, int] = (0, -1)
    collated_ns = 0
    for path in itertools.chain.from_iterable(paths[-_SEGMENTS_READ:] for paths in chains.values()):
        try:
            with open(path, "rb") as file:
                data = file.read()[layout.HEADER_BYTES :]
        except OSError:
            continue
        whole = len(data) - len(data) % layout.RECORD.size
        for time_ns, index, number, kind, _, sequence in layout.RECORD.iter_unpack(data[:whole]):
            if kind == _SAMPLE_KIND and number == batch and sequence:
                newest_access = max(newest_access, (time_ns, index))
            elif kind == _COLLATE_KIND and index == batch and sequence:
                collated_ns = max(collated_ns, time_ns)
    return newest_access[1] if newest_access[1] >= 0 and collated_ns < newest_access[0] else None


def _not_picklable(error: BaseException, feed: Feed) -> ErrorInfo:
    info = describe(error)
    sentences = (unpicklable.explain(part, error) for part in _parts_sent_to_workers(feed))
    sentence = next((sentence for sentence in sentences if sentence is not None), None)
    if sentence is None:
        lines = _ADDRESS.sub("", str(error)).strip().splitlines()
        sentence = "the dataset cannot be sent to a worker: %s" % (lines[0] if lines else type(error).__name__)
    return ErrorInfo(NOT_PICKLABLE, sentence, info.traceback, info.file, info.line, route=unpicklable.TO_STARTING_WORKER.name)


def _parts_sent_to_workers(feed: Feed) -> Iterator[unpicklable.Part]:
    """The user's objects that torch sends to each worker, in torch's order."""
    loader = feed.source if loaders.is_loader(feed.source) else None
    yield unpicklable.Part("the dataset", feed.dataset)
    for name in ("collate_fn", "worker_init_fn"):
        value = getattr(loader, name, None) if loader is not None else feed.extras.get(name)
        if value is not None:
            yield unpicklable.Part(name, value)


def _comes_from_pickling(error: BaseException) -> bool:
    """Whether multiprocessing raised the error while it pickled a worker's process object."""
    if not isinstance(error, (TypeError, AttributeError, ValueError, RuntimeError, pickle.PicklingError, RecursionError)):
        return False
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "dump" and code.co_filename.replace("\\", "/").endswith("multiprocessing/reduction.py"):
            return True
        trace = trace.tb_next
    return False
