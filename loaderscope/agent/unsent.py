"""What takes the place of a batch that cannot be pickled on its way from a worker, or of its indices on their way there.

Queues of multiprocessing pickle in a thread of their own. What that thread cannot pickle it leaves out, after a traceback on
stderr, and main would wait for that batch for ever. Here main gets the exception in its place, wrapped as torch wraps what
is raised in a worker, so that `next` raises it.
"""

from __future__ import annotations

import sys
from typing import Any, Optional

from . import recorder
from . import torch_internals as internals

_SEARCH_S = 1.0
_ERROR_CHARACTERS = 100


class NamedError:
    """In torch's wrapper, in the place of an exception class that cannot be pickled: tells its name, and raises a RuntimeError."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, message: str) -> RuntimeError:
        return RuntimeError(message)


def put_batch_error(queue: Any, message: Any, error: Exception, indices: Any, worker: int, stateful: bool) -> None:  # noqa: PLR0917
    """Puts an error where a worker's message was, before those that wait behind it; called by the queue's own thread.

    Args:
        queue: the worker's queue of batches.
        message: what could not be pickled.
        error: what pickling raised.
        indices: of the samples in that batch; None where they are unknown.
        worker: its number.
        stateful: whether the loader is torchdata's.
    """
    wrapper_class = _wrapper_class()
    number, batch = message[0], internals.payload(message, stateful)
    if isinstance(batch, wrapper_class):  # an error already, of a class that cannot be pickled
        wrapped = batch
    else:
        which = ", ".join(part for part in ("worker %d" % worker, "batch %d" % number, _samples(indices)) if part)
        where = recorder.where_in_worker()
        _tell(batch, error, which, where)
        wrapped = _wrap(error, where)
    queue._sem.acquire(False)  # its thread gave back the place of what it left out
    queue._buffer.appendleft(internals.failure_message(number, worker, _sendable(wrapped), stateful))


def watch_indices(index_queue: Any, result_queue: Any, worker: int, stateful: bool) -> None:
    """Lets main raise what pickling raises of the indices that it sends a worker; before the first of them is sent."""
    plain = index_queue._on_queue_feeder_error

    def on_feeder_error(error: Exception, message: Any) -> None:
        plain(error, message)
        if type(message) is tuple and len(message) == 2 and type(message[0]) is int:
            number, indices = message[0], internals.payload(message, stateful)
            where = "when the indices of batch %d were sent to worker %d" % (number, worker)
            which = "batch %d, for worker %d" % (number, worker)
            _tell(indices, error, which, where, to_main=False)
            wrapped = _wrap(error, where)
            result_queue.put(internals.failure_message(number, worker, _sendable(wrapped), stateful))

    index_queue._on_queue_feeder_error = on_feeder_error


def _tell(value: Any, error: Exception, which: str, where: str, to_main: bool = True) -> None:
    """Notes which part of a value could not be pickled, unless that is no matter of a part but of the system."""
    if isinstance(error, (OSError, MemoryError)):
        return
    try:
        from . import reasons, unpicklable  # what they import must not delay the start of a worker
        from .error_sentences import NOT_PICKLABLE, headline

        name, route = ("the batch", unpicklable.TO_MAIN) if to_main else ("the indices", unpicklable.INDICES_TO_WORKER)
        sentence = unpicklable.explain(unpicklable.Part(name, value), error, _SEARCH_S, route)
        if sentence is None and "pickle" in str(error):  # its part was not found in time, or does not fail again
            sentence = "%s %s: %s" % (name, route.refused, route.other)
        if sentence is not None:
            close = "" if str(error) and str(error).splitlines()[0] in sentence else "; %s" % headline(error, _ERROR_CHARACTERS)
            reasons.tell(error, "%s (%s%s)" % (sentence, which, close), NOT_PICKLABLE, where, route.name)
    except Exception:  # looking at objects of the user's may raise anything; main gets the exception in any case
        return


def _wrapper_class() -> Any:
    return sys.modules["torch"]._utils.ExceptionWrapper


def _wrap(error: Exception, where: str) -> Any:
    return _wrapper_class()((type(error), error, error.__traceback__), where)


def _sendable(wrapped: Any) -> Any:
    """The wrapper, with another class of exception where its own cannot be pickled (it was made in a function, say)."""
    from multiprocessing.reduction import ForkingPickler

    try:
        ForkingPickler.dumps(wrapped.exc_type)
    except Exception:  # what a metaclass of the user's raises
        wrapped.exc_type = NamedError(wrapped.exc_type.__name__)
    return wrapped


def _samples(indices: Any) -> Optional[str]:
    """The indices of a batch in a few words; None where it has none that are numbers."""
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
