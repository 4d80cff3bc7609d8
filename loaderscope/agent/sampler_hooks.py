"""Records the work of the sampler or batch sampler, which torch does in the main process, whatever the number of workers."""

from __future__ import annotations

import time
from typing import Any, Callable, Set, Tuple

from . import recorder
from . import torch_internals as internals
from .error_sentences import is_user_file
from .layout import State, sampler_name
from .patches import Patches, hide_frame

_SAMPLER = recorder.complete_kind(State.SAMPLER)
_SAMPLER_CLASS = recorder.complete_kind(State.SAMPLER_CLASS)

SHORTEST_NS = 20_000
"""Shorter work is not recorded: torch's own samplers take less for a batch, and a record costs up to a microsecond."""

_named_logs: Set[str] = set()
"""The logs in which the sampler's class is recorded."""

Function = Callable[..., Any]


def install(patches: Patches) -> None:
    """Times the functions of torch's iterators that call the sampler; torch.utils.data must be imported."""
    for point, make_wrapper in (
        (internals.BASE_RESET, _wrap_reset),
        (internals.NEXT_INDEX, _wrap_next_index),
    ):
        place = internals.find(point)
        if place is not None:
            patches.wrap(place.owner, place.name, make_wrapper)


def _wrap_reset(original: Function) -> Function:
    clock = time.perf_counter_ns

    def _reset(self: Any, *args: Any, **kwargs: Any) -> Any:
        start_ns = clock()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            hide_frame(error)
            raise
        if clock() - start_ns >= SHORTEST_NS:
            _record(self, start_ns, -1)
        return result

    return _reset


def _wrap_next_index(original: Function) -> Function:
    clock = time.perf_counter_ns

    def _next_index(self: Any) -> Any:
        start_ns = clock()
        try:
            indices = original(self)
        except BaseException as error:
            hide_frame(error)
            raise
        if clock() - start_ns >= SHORTEST_NS:
            _record(self, start_ns, internals.drawn_batch(self))
        return indices

    return _next_index


def record_init(iterator: Any, loader: Any, start_ns: int) -> None:
    """Records the constructor of an iterator that ends now, as far as that is the sampler's iter()."""
    if time.perf_counter_ns() - start_ns >= SHORTEST_NS and internals.starts_sampler_only(iterator, loader):
        _record(iterator, start_ns, -1)


def _record(iterator: Any, start_ns: int, batch: int) -> None:
    """Writes a span that ends now, and once in each log the sampler's class."""
    if not recorder.in_main():
        return
    thread, recording = recorder.loader_thread, recorder.threads.activity.recording
    recorder.write_since(start_ns, _SAMPLER, batch, thread)
    log = recorder.log if recording is None else recording.log
    if log is not None and log.stem not in _named_logs:
        _named_logs.add(log.stem)
        number = log.add_name(sampler_name(*_class_and_place(iterator)))
        log.flush_names()
        recorder.write_at(start_ns, _SAMPLER_CLASS, number, 0, thread)


def _class_and_place(iterator: Any) -> Tuple[str, str]:
    """The class of the sampler that is likely to work, and "file:line" of its `__iter__`; the user's own before those of libraries."""
    plain = ""
    for sampler in internals.samplers_of(iterator):
        kind = type(sampler)
        code = getattr(getattr(kind, "__iter__", None), "__code__", None)
        if code is not None and is_user_file(code.co_filename):
            return kind.__name__, "%s:%d" % (code.co_filename, code.co_firstlineno)
        if not kind.__module__.startswith(__package__) and (not plain or plain == _BATCHES):
            plain = kind.__name__
    return plain or _BATCHES, ""


_BATCHES = "BatchSampler"
"""torch's own batch sampler only groups what another one draws."""
