"""Runs a loader's workers as threads: torch's own iterator, given a multiprocessing context whose processes are threads.

So sampler, order, prefetch window, persistent workers, pinning and end are torch's own, whatever its version. Only the worker's
loop differs: torch's loop installs signal handlers, seeds the generators and sets the worker info of the whole process. A thread
runs that loop without these parts (torch/utils/data/_utils/worker.py, `_worker_loop`).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any, Callable, List

from . import recorder
from . import torch_internals as internals
from .error_sentences import UNSUPPORTED, AgentError
from .layout import THREAD_WORKER_BASE, State

_INDEX_BEGIN, _INDEX_END = recorder.kinds(State.INDEX_WAIT)
_LOOP_BEGIN, _LOOP_END = recorder.kinds(State.LOOP_ENTRY)
_CREATE = recorder.complete_kind(State.CREATE)
_SEND = recorder.complete_kind(State.SEND)


def use_threads(loader: Any) -> List[str]:
    """Makes the workers of a loader threads of this process; bypasses the setter, which accepts Python's own contexts only.

    Returns:
        Sentences about differences from worker processes.

    Raises:
        AgentError: this torch keeps the loader's context elsewhere.
    """
    if internals.CONTEXT_ATTRIBUTE not in vars(loader) or internals.find(internals.WORKER_LOOP) is None:
        raise AgentError(UNSUPPORTED, "workers cannot be run as threads with this version of torch")
    import torch

    torch.get_num_threads()  # fixes the number for this thread before each worker sets its own
    vars(loader)[internals.CONTEXT_ATTRIBUTE] = _Context(loader)
    notes = ["The workers are threads of the main process: they share its memory, and get_worker_info() is None in them."]
    if loader.worker_init_fn is not None:
        notes.append("worker_init_fn was not called: what it sets up for a process of its own would be shared by all threads.")
    return notes


class _Context:
    """Stands in for a multiprocessing context: has what torch's iterator uses of one."""

    def __init__(self, loader: Any) -> None:
        self._class_name = type(loader).__name__
        parts = (loader._dataset_kind, loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)

        def make_fetcher() -> Any:
            place = internals.find(internals.CREATE_FETCHER)  # hooked by now if the trial is recorded
            return getattr(place.owner, place.name)(*parts)  # type: ignore[union-attr]

        self._make_fetcher = make_fetcher

    def Queue(self) -> _Queue:  # noqa: N802 - the context's name for it
        return _Queue()

    def Event(self) -> threading.Event:  # noqa: N802 - the context's name for it
        return threading.Event()

    def Process(self, target: Any, args: Any) -> _Worker:  # noqa: N802 - the context's name for it
        place = internals.find(internals.WORKER_LOOP)
        if place is None or getattr(place.owner, place.name) is not target:
            sentence = "a %s runs a loop of its own in its workers, which cannot be run in threads" % self._class_name
            raise AgentError(UNSUPPORTED, sentence)
        queues = (internals.loop_argument(target, args, name) for name in ("index_queue", "data_queue", "done_event"))
        return _Worker(internals.worker_number(target, args), self._make_fetcher, *queues)


class _Queue(queue.SimpleQueue):  # type: ignore[type-arg]
    """A queue within the process, with the methods that torch calls at the end of a queue between processes."""

    def cancel_join_thread(self) -> None:
        """Does nothing: there is no thread to join."""

    def close(self) -> None:
        """Does nothing: there is nothing to close."""


class _Worker(threading.Thread):
    """A worker thread with the interface of a process. It must not refer to the iterator, whose end must end it."""

    exitcode = None

    def __init__(self, number: int, make_fetcher: Callable[[], Any], index_queue: Any, data_queue: Any, done_event: Any) -> None:
        super().__init__(name="worker-%d" % number)
        self.pid = os.getpid()
        self._number = number
        self._make_fetcher = make_fetcher
        self._index_queue, self._data_queue, self._done_event = index_queue, data_queue, done_event
        self._requested_ns = 0

    def start(self) -> None:
        self._requested_ns = time.perf_counter_ns()
        recorder.begin(State.START_WORKER, self._number)
        try:
            super().start()
        finally:
            recorder.end(State.START_WORKER, self._number, self.pid)

    def terminate(self) -> None:
        """Does nothing: a thread cannot be ended from outside, so one that hangs ends with the agent."""

    def run(self) -> None:
        thread = recorder.threads.activity.thread = THREAD_WORKER_BASE + self._number
        recorder.write_since(self._requested_ns, _CREATE, 0, thread)
        recorder.write(_LOOP_BEGIN, 0, 0, thread)
        import torch
        from torch.utils.data._utils.worker import _ResumeIteration

        torch.set_num_threads(1)  # as torch does in a worker process
        fetcher: Any = None  # made at the first fetch, so that its making fails in the same way as a fetch
        recorder.write(_LOOP_END, 0, 0, thread)
        while True:
            recorder.write(_INDEX_BEGIN, 0, 0, thread)
            message = self._index_queue.get()
            number = message[0] if isinstance(message, tuple) else -1
            recorder.write(_INDEX_END, number, 0, thread)
            if message is None:
                return
            if isinstance(message, _ResumeIteration):  # another epoch of persistent workers
                self._data_queue.put((message, None))
                fetcher = None
                continue
            if self._done_event.is_set():  # the consumer left the epoch early
                continue
            recorder.threads.activity.batch = number
            try:
                if fetcher is None:
                    fetcher = self._make_fetcher()
                data = fetcher.fetch(message[1])
            except BaseException:  # the border of the thread: main raises again what the user's code raises
                data = torch._utils.ExceptionWrapper(where="in DataLoader worker thread %d" % self._number)
            # Recorded first: main may have the batch before this thread runs again.
            recorder.write_since(time.perf_counter_ns(), _SEND, number, thread)
            self._data_queue.put((number, data))
            del message, data
