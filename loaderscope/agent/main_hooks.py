"""Records the main process at a loader: making the iterator, waiting in next, handing out indices, shutdown, pinning."""

from __future__ import annotations

import contextlib
import time
import weakref
from typing import Any, Callable

from . import made_loaders, recorder, sampler_hooks, unsent, worker_hooks
from . import torch_internals as internals
from .fetch_hooks import thread_time_ns
from .layout import PIN_THREAD, THREAD_CPU_UNKNOWN, State, batch_and_bytes
from .patches import Patches, hide_frame
from .user_frames import is_of_signal_handler

_ITERATOR_BEGIN, _ITERATOR_END = recorder.kinds(State.ITERATOR)
_WAIT_BEGIN, _WAIT_END = recorder.kinds(State.WAIT)
_RECEIVE = recorder.complete_kind(State.RECEIVE)
_DESERIALISE = recorder.complete_kind(State.DESERIALISE)
_SHUTDOWN_BEGIN, _SHUTDOWN_END = recorder.kinds(State.SHUTDOWN)
_PIN_BEGIN, _PIN_END = recorder.kinds(State.PIN)
_INDEX_PUT = recorder.instant_kind(State.INDEX_PUT)
_ARRIVE = recorder.instant_kind(State.ARRIVE)

Function = Callable[..., Any]


class _IteratorNotes:
    """The hooks' notes about one of torch's iterators. They never refer to the iterator, so that it ends when it would without us."""

    __slots__ = ("building", "bytes_ns", "epoch", "last_arrived", "receive_ns", "recording", "watched")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.recording = recorder.threads.activity.recording  # the loader's own, in a recorded training
        self.last_arrived = -1
        self.building = False  # inside __init__ or _reset
        self.receive_ns = 0  # when main began to wait for a message; 0 while it does not wait
        self.bytes_ns = 0  # when that message's bytes had arrived; 0 until then
        self.watched = False  # whether the result queue notes when bytes have arrived


def _notes(iterator: Any) -> _IteratorNotes:
    """The notes of an iterator; an iterator made before recording began belongs to the newest epoch."""
    notes = iterator.__dict__.get("_loaderscope")
    if notes is None:
        recording = recorder.threads.activity.recording
        newest = recorder.epoch if recording is None else recording.epoch
        notes = iterator.__dict__["_loaderscope"] = _IteratorNotes(max(newest, 0))
    return notes  # type: ignore[no-any-return]


def _is_of_other_loader(iterator: Any) -> bool:
    """Whether an iterator is of a loader that is not recorded, beside the only one that is."""
    recording = recorder.threads.activity.recording
    return recording is not None and recording.is_alone and "_loaderscope" not in iterator.__dict__


def install(patches: Patches) -> None:
    """Hooks torch's iterators and its pin thread; torch.utils.data must be imported."""
    sampler_hooks.install(patches)
    for point, make_wrapper in (
        (internals.NEXT, _wrap_next),
        (internals.SINGLE_INIT, _wrap_init),
        (internals.PIN_LOOP, _wrap_pin_loop),
    ):
        place = internals.find(point)
        if place is not None:
            patches.wrap(place.owner, place.name, make_wrapper)
    for point, make_wrapper in (
        (internals.MULTI_INIT, _wrap_init),
        (internals.MULTI_RESET, _wrap_reset),
        (internals.GET_DATA, _wrap_get_data),
        (internals.PUT_INDEX, _wrap_try_put_index),
        (internals.SHUTDOWN, _wrap_shutdown),
    ):
        place = internals.find(point)
        if place is not None:
            patches.wrap(place.owner, place.name, make_wrapper)


def install_stateful(patches: Patches, module: Any) -> None:
    """Hooks torchdata's iterators: other classes than torch's, with methods of the same names."""
    single = getattr(module, internals.STATEFUL_SINGLE_ITERATOR, None)
    if single is not None and "__init__" in single.__dict__:
        patches.wrap(single, "__init__", _wrap_init)
    iterator = getattr(module, internals.STATEFUL_ITERATOR, None)
    if iterator is None:
        return
    for name, make_wrapper in (
        ("__init__", _wrap_init),
        ("_reset", _wrap_reset),
        ("_get_data", _wrap_get_data),
        ("_try_put_index", _wrap_try_put_index),
        ("_shutdown_workers", _wrap_shutdown),
    ):
        if name in iterator.__dict__:
            patches.wrap(iterator, name, make_wrapper)


def _wrap_init(original: Function) -> Function:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - takes that method's place
        if recorder.own_way_loader is not None and args and args[0] is recorder.own_way_loader:
            recorder.adopt_thread()
        if not recorder.in_main():
            original(self, *args, **kwargs)
            return
        activity = recorder.threads.activity
        if activity.recording is not None and args and _is_made_unrecorded(args[0], activity.recording):
            activity.in_users_code = True  # so that nothing of it is recorded with the loader that was iterated last
            try:
                original(self, *args, **kwargs)
            finally:
                activity.in_users_code = False
            return
        with _iterator_span(self):
            start_ns = time.perf_counter_ns()
            try:
                original(self, *args, **kwargs)
            except BaseException as error:
                hide_frame(error)
                raise
            if args:
                sampler_hooks.record_init(self, args[0], start_ns)

    return __init__


def _wrap_reset(original: Function) -> Function:
    def _reset(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.in_main():
            return original(self, *args, **kwargs)
        _watch_result_queue(self)
        _watch_index_queues(self)
        restarts = not _notes(self).building  # persistent workers start another epoch
        with _iterator_span(self) if restarts else contextlib.nullcontext():
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:
                hide_frame(error)
                raise

    return _reset


def _is_made_unrecorded(loader: Any, recording: Any) -> bool:
    """Whether a loader's constructor makes this iterator, and the thread's recording is that of another loader."""
    return made_loaders.keeps_iterator(loader) and recording.loader() is not loader


class _iterator_span:  # noqa: N801 - used like a function
    """A context around the making or restart of an iterator: it begins a new epoch."""

    def __init__(self, iterator: Any) -> None:
        self._activity = recorder.threads.activity
        self._thread = recorder.loader_thread
        recorder.handed_on.clear()  # what was read ahead of an epoch that is left
        self._notes = _notes(iterator)
        self._notes.epoch, self._notes.building = recorder.begin_epoch(), True
        if self._notes.recording is not None:
            self._notes.recording.iterator = weakref.ref(iterator)

    def __enter__(self) -> None:
        self._activity.in_loader = True
        recorder.write(_ITERATOR_BEGIN, self._notes.epoch, 0, self._thread)

    def __exit__(self, *_error: Any) -> None:
        self._notes.building = False
        recorder.write(_ITERATOR_END, self._notes.epoch, 0, self._thread)
        self._activity.in_loader = False
        self._activity.loader_calls += 1


def _watch_result_queue(iterator: Any) -> None:
    """Makes the queue of this iterator note when a message's bytes have arrived, to tell waiting from deserialising.

    Call it once the workers have started: they get the queue without this (pickling leaves it out, a fork resets it). A pin
    thread reads the queue itself, so this does nothing then.
    """
    notes = _notes(iterator)
    queue = getattr(iterator, "_worker_result_queue", None)
    recv_bytes = getattr(queue, "_recv_bytes", None)
    if notes.watched or recv_bytes is None or internals.pins_in_thread(iterator):
        return
    notes.watched = True
    clock = time.perf_counter_ns

    def watched_recv_bytes(*args: Any, **kwargs: Any) -> Any:
        data = recv_bytes(*args, **kwargs)
        receive_ns = notes.receive_ns
        if receive_ns and not notes.bytes_ns:
            notes.bytes_ns = bytes_ns = clock()
            recorder.write_at(receive_ns, _RECEIVE, batch_and_bytes(-1, len(data)), bytes_ns - receive_ns, recorder.loader_thread)
        return data

    queue._recv_bytes = watched_recv_bytes  # type: ignore[union-attr]


def _watch_index_queues(iterator: Any) -> None:
    """Lets main raise where indices cannot be pickled. Call it before the first are sent: the queues' threads read the handler then."""
    result_queue = getattr(iterator, "_worker_result_queue", None)
    stateful = internals.is_stateful(type(iterator).__module__)
    for worker, queue in enumerate(getattr(iterator, "_index_queues", ())):
        if hasattr(queue, "_on_queue_feeder_error") and "_on_queue_feeder_error" not in vars(queue):  # persistent workers keep theirs
            unsent.watch_indices(queue, result_queue, worker, stateful)


def _wrap_get_data(original: Function) -> Function:
    clock = time.perf_counter_ns

    def _get_data(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.in_main():
            return original(self, *args, **kwargs)
        notes = _notes(self)
        notes.receive_ns, notes.bytes_ns = clock(), 0
        number = -1
        try:
            message = original(self, *args, **kwargs)
            number, is_batch = _read_message(message)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            if notes.bytes_ns:
                recorder.write_since(notes.bytes_ns, _DESERIALISE, number, recorder.loader_thread)
            else:
                recorder.write_since(notes.receive_ns, _RECEIVE, batch_and_bytes(-1, 0), recorder.loader_thread)
            notes.receive_ns = 0
        if is_batch:
            notes.last_arrived = number
            recorder.write(_ARRIVE, number, internals.worker_of_batch(self, number))
        return message

    return _get_data


def _read_message(message: Any) -> "tuple[int, bool]":
    """The batch number in a worker's message (-1: none), and whether it holds a batch, not the end of an iterable's part."""
    if type(message) is tuple and len(message) >= 2 and type(message[0]) is int:
        return message[0], not internals.is_end_of_iterable(message[1])
    return -1, False


def _wrap_next(original: Function) -> Function:
    def __next__(self: Any) -> Any:  # noqa: N807 - takes that method's place
        notes = self.__dict__.get("_loaderscope")
        if notes is not None:
            if recorder.own_way_loader is not None:
                recorder.adopt_thread()
            if notes.recording is not None:
                recorder.activate(notes.recording)
        elif _is_of_other_loader(self):
            recorder.activate(None)
        if not recorder.in_main():
            return original(self)
        notes, is_end, got_batch = _notes(self), False, False
        try:
            _begin_wait(self, notes)
        except Exception as error:
            _give_up(notes.recording, error)
        try:
            data = original(self)
            got_batch = True
            return data
        except BaseException as error:
            is_end = isinstance(error, StopIteration)
            hide_frame(error)
            raise
        finally:
            try:
                _end_wait(self, notes, got_batch, is_end)
            except Exception as error:
                _give_up(notes.recording, error)

    return __next__


def _give_up(recording: Any, error: Exception) -> None:
    """Ends the recording of a training by a fault of ours; in a trial, or if it is no fault of ours, it raises the error."""
    if recording is None or is_of_signal_handler(error):
        raise error
    recording.give_up(error)


def _begin_wait(iterator: Any, notes: _IteratorNotes) -> None:
    activity = recorder.threads.activity
    if notes.recording is not None:
        notes.recording.end_step()
    activity.in_loader = True
    activity.batch = iterator._num_yielded  # the batch that is fetched now, if there are no workers
    recorder.write(_WAIT_BEGIN, notes.epoch, 0, recorder.loader_thread)


def _end_wait(iterator: Any, notes: _IteratorNotes, got_batch: bool, is_end: bool) -> None:
    number = -1
    if got_batch:
        recorder.delivered_batch = number = internals.delivered_batch(iterator, notes.last_arrived)
        if recorder.own_way_loader is not None:
            recorder.handed_on.append(number)
    recorder.write(_WAIT_END, number, internals.outstanding_batches(iterator), recorder.loader_thread)
    activity = recorder.threads.activity
    activity.in_loader = False
    activity.loader_calls += 1
    if notes.recording is not None and is_end:
        notes.recording.end_epoch()
    elif notes.recording is not None:
        notes.recording.begin_step(number)


def _wrap_try_put_index(original: Function) -> Function:
    def _try_put_index(self: Any, *args: Any, **kwargs: Any) -> Any:
        number = getattr(self, "_send_idx", -1)
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            hide_frame(error)
            raise
        if recorder.in_main() and getattr(self, "_send_idx", -1) != number:
            recorder.write(_INDEX_PUT, number, internals.worker_of_batch(self, number))
        return result

    return _try_put_index


def _wrap_shutdown(original: Function) -> Function:
    def _shutdown_workers(self: Any) -> Any:
        # Called from __del__ too, perhaps while the interpreter takes its modules apart.
        if recorder is None or not recorder.in_main() or getattr(self, "_shutdown", True) or _is_of_other_loader(self):
            try:
                return original(self)
            except BaseException as error:
                if hide_frame is not None:
                    hide_frame(error)
                raise
        notes, thread, activity = _notes(self), recorder.loader_thread, recorder.threads.activity
        # not `activate`: a garbage collection may call this at any time, in a thread that iterates another loader
        before, activity.recording = activity.recording, notes.recording
        recorder.write(_SHUTDOWN_BEGIN, notes.epoch, 0, thread)
        try:
            return original(self)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            recorder.write(_SHUTDOWN_END, notes.epoch, 0, thread)
            activity.recording = before

    return _shutdown_workers


class _PinQueue:
    """One of the pin thread's two queues: a batch that comes in begins a PIN span, one that goes out ends it."""

    def __init__(self, queue: Any, open_batches: "list[int]") -> None:
        self._queue = queue
        self._open_batches = open_batches
        self._cpu_ns = 0  # the thread's CPU time when it put the previous batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        message = self._queue.get(*args, **kwargs)
        number, is_batch = _read_message(message)
        if is_batch:
            self._open_batches.append(number)
            recorder.write(_PIN_BEGIN, number, 0, PIN_THREAD)
        return message

    def put(self, *args: Any, **kwargs: Any) -> Any:
        if self._open_batches:  # torch repeats a put that found the queue full: the first try ends the span
            now_ns = thread_time_ns()
            spent_ns = THREAD_CPU_UNKNOWN if now_ns == THREAD_CPU_UNKNOWN else now_ns - self._cpu_ns
            self._cpu_ns = now_ns
            recorder.write(_PIN_END, self._open_batches.pop(), spent_ns, PIN_THREAD)
        return self._queue.put(*args, **kwargs)


def _wrap_pin_loop(original: Function) -> Function:
    def _pin_memory_loop(in_queue: Any, out_queue: Any, *args: Any, **kwargs: Any) -> Any:
        open_batches: "list[int]" = []
        recorder.threads.activity.recording = worker_hooks.recording_of_queue(in_queue)
        return original(_PinQueue(in_queue, open_batches), _PinQueue(out_queue, open_batches), *args, **kwargs)

    return _pin_memory_loop
