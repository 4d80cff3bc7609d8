"""Sends main an exception in the place of a batch, or of a batch's indices, that cannot be pickled.

Queues of multiprocessing pickle in a thread of their own. That thread prints a traceback on stderr for a message that it cannot
pickle, and leaves the message out; main would wait for that batch for ever. This module sends main the exception instead,
wrapped as torch wraps exceptions of workers, so that `next` raises it.
"""

from __future__ import annotations

import sys
from typing import Any, Optional

from . import recorder
from . import torch_internals as internals

_SEARCH_S = 1.0
_ERROR_CHARACTERS = 100


class NamedError:
    """Replaces an exception class that cannot be pickled in torch's wrapper: has its name, and makes a RuntimeError."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, message: str) -> RuntimeError:
        return RuntimeError(message)


def put_batch_error(queue: Any, message: Any, error: Exception, indices: Any, worker: int, stateful: bool) -> None:  # noqa: PLR0917
    """Puts an error in the place of a worker's message, before the messages behind it; the queue's own thread calls this.

    Args:
        queue: the worker's queue of batches.
        message: the message that could not be pickled.
        error: the exception that pickling raised.
        indices: indices of the samples in that batch; None where they are unknown.
        worker: the worker's number.
        stateful: whether the loader is torchdata's.
    """
    wrapper_class = _wrapper_class()
    number, batch = message[0], internals.payload(message, stateful)
    if isinstance(batch, wrapper_class):  # an error already, of a class that cannot be pickled
        wrapped = batch
    else:
        batch_text = ", ".join(part for part in ("worker %d" % worker, "batch %d" % number, _samples(indices)) if part)
        where = recorder.where_in_worker()
        _write_reason(batch, error, batch_text, where)
        wrapped = _wrap(error, where)
    queue._sem.acquire(False)  # its thread has released the slot of the message that it left out
    queue._buffer.appendleft(internals.failure_message(number, worker, _sendable(wrapped), stateful))


def watch_indices(index_queue: Any, result_queue: Any, worker: int, stateful: bool) -> None:
    """Lets main raise the exception where indices for a worker cannot be pickled; call it before the first are sent."""
    plain_on_error = index_queue._on_queue_feeder_error

    def on_feeder_error(error: Exception, message: Any) -> None:
        plain_on_error(error, message)
        if type(message) is tuple and len(message) == 2 and type(message[0]) is int:
            number, indices = message[0], internals.payload(message, stateful)
            where = "when the indices of batch %d were sent to worker %d" % (number, worker)
            batch_text = "batch %d, for worker %d" % (number, worker)
            _write_reason(indices, error, batch_text, where, to_main=False)
            wrapped = _wrap(error, where)
            result_queue.put(internals.failure_message(number, worker, _sendable(wrapped), stateful))

    index_queue._on_queue_feeder_error = on_feeder_error


def _write_reason(value: Any, error: Exception, batch_text: str, where: str, to_main: bool = True) -> None:
    """Writes down which part of a value could not be pickled, unless the system failed and no part is to blame."""
    if isinstance(error, (OSError, MemoryError)):
        return
    try:
        from . import reasons, unpicklable  # their imports must not delay the start of a worker
        from .error_sentences import NOT_PICKLABLE, headline

        name, route = ("the batch", unpicklable.TO_MAIN) if to_main else ("the indices", unpicklable.INDICES_TO_WORKER)
        sentence = unpicklable.explain(unpicklable.Part(name, value), error, _SEARCH_S, route)
        if sentence is None and "pickle" in str(error):  # the search found no part in time, or it does not fail again
            sentence = "%s %s: %s" % (name, route.refused, route.other)
        if sentence is not None:
            close = "" if str(error) and str(error).splitlines()[0] in sentence else "; %s" % headline(error, _ERROR_CHARACTERS)
            reasons.write(error, "%s (%s%s)" % (sentence, batch_text, close), NOT_PICKLABLE, where, route.name)
    except Exception:  # the user's objects may raise anything when looked at; main gets the exception in any case
        return


def _wrapper_class() -> Any:
    return sys.modules["torch"]._utils.ExceptionWrapper


def _wrap(error: Exception, where: str) -> Any:
    return _wrapper_class()((type(error), error, error.__traceback__), where)


def _sendable(wrapped: Any) -> Any:
    """The wrapper, with a `NamedError` where its class of exceptions cannot be pickled (a function defined it, say)."""
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler.dumps(wrapped.exc_type)
    except Exception:  # a metaclass of the user's may raise anything
        wrapped.exc_type = NamedError(wrapped.exc_type.__name__)
    return wrapped


def _samples(indices: Any) -> Optional[str]:
    """The indices of a batch in a few words; None unless they are integers."""
    if type(indices) is int:
        return "sample %d" % indices
    if type(indices) is not list or not indices or not all(type(index) is int for index in indices):
        return None
    first, last = indices[0], indices[-1]
    if len(indices) == 1:
        return "sample %d" % first
    if indices == list(range(first, last + 1)):
        return "samples %d to %d" % (first, last)
    return "samples %s%s" % (", ".join(str(index) for index in indices[:4]), " …" if len(indices) > 4 else "")
