"""Records a worker: its start-up phases, waiting for indices, sending batches. Fetch and collate are in `fetch_hooks`.

The hooks go on the worker's own copies of the loop's arguments, in `Process.run`: under fork, `_bootstrap` resets the queues and
so drops all that was set on them before.
"""

from __future__ import annotations

import _thread
import time
from typing import Any, Callable, Dict, Optional

from . import fetch_hooks, recorder, sent_tensors, unsent
from . import torch_internals as internals
from .layout import FEEDER_THREAD, Role, State, batch_and_bytes, tensors_and_bytes
from .patches import Patches, hide_frame

_LOOP_BEGIN, _LOOP_END = recorder.kinds(State.LOOP_ENTRY)
_INIT_BEGIN, _INIT_END = recorder.kinds(State.WORKER_INIT)
_INDEX_BEGIN, _INDEX_END = recorder.kinds(State.INDEX_WAIT)
_SEND = recorder.complete_kind(State.SEND)
_SERIALISE = recorder.complete_kind(State.SERIALISE)
_TRANSMIT = recorder.complete_kind(State.TRANSMIT)
_CONTENTS = recorder.instant_kind(State.CONTENTS)

Function = Callable[..., Any]

_torch_patches: Optional[Patches] = None


def install(patches: Patches, torch_comes_later: bool) -> None:
    """Hooks `Process.run`: in main for workers that will be forked, in a spawned worker for itself.

    Args:
        patches: keeps the hook, to undo it.
        torch_comes_later: whether fetchers are hooked only when the loop starts (a spawned worker has no torch before).
    """
    global _torch_patches
    from multiprocessing.process import BaseProcess

    _torch_patches = patches if torch_comes_later else None
    patches.wrap(BaseProcess, "run", _wrap_run)


def start_in_forked_worker(process: Any, requested_ns: int) -> None:
    """Opens a forked worker's own log, before anything else, and records how long the fork took."""
    if recorder.plan is None:
        return
    recorder.open_log(recorder.plan, Role.WORKER, internals.worker_number(process._target, process._args))
    recorder.complete(State.CREATE, requested_ns, recorder.forked_ns - requested_ns)


_RECORDING = "_loaderscope_recording"


def note_recording(process: Any) -> None:
    """Notes at the result queue of a worker, in main, to which loader's log the thread that pins its batches writes."""
    recording = recorder.threads.activity.recording
    if recording is not None:
        _index_queue, data_queue = _queues(process._target, list(process._args))
        if data_queue is not None:
            setattr(data_queue, _RECORDING, recording)  # pickling leaves it out


def recording_of_queue(queue: Any) -> Any:
    """The recording that `note_recording` noted at a queue; None in a trial."""
    return getattr(queue, _RECORDING, None)


def _wrap_run(original: Function) -> Function:
    def run(self: Any) -> Any:
        if recorder.log is None or recorder.role != Role.WORKER or not internals.is_worker_loop(getattr(self, "_target", None)):
            return original(self)
        _observe_loop(self)
        try:
            return original(self)
        except BaseException as error:
            hide_frame(error)
            raise

    return run


def _observe_loop(process: Any) -> None:
    """Hooks the queues and the init function that this worker's loop gets."""
    if recorder.forked_ns:  # the interpreter's and torch's work in a fresh child
        recorder.complete(State.BOOT, recorder.forked_ns, time.perf_counter_ns() - recorder.forked_ns)
    recorder.write(_LOOP_BEGIN)
    if _torch_patches is not None:
        fetch_hooks.install(_torch_patches)
    if recorder.plan is not None and recorder.plan.sharing_strategy is not None:
        from . import process_settings  # its imports must not delay the start of a worker

        process_settings.set_sharing_strategy(recorder.plan.sharing_strategy)
    arguments = list(process._args)
    index_queue, data_queue = _queues(process._target, arguments)
    requests: Dict[int, Any] = {}
    if index_queue is not None:
        _observe_index_queue(index_queue, requests)
    if data_queue is not None:
        _observe_data_queue(data_queue, requests)
        _send_errors_for_unsent(data_queue, process, requests)
    init_position = internals.parameter_index(process._target, internals.INIT_FUNCTION)
    if init_position is not None and init_position < len(arguments) and arguments[init_position] is not None:
        if recorder.plan is not None and recorder.plan.looks_closer:
            from . import worker_look

            worker_look.note_init(arguments[init_position])
        arguments[init_position] = _observed_init(arguments[init_position])
        process._args = tuple(arguments)


def _queues(target: Any, arguments: "list[Any]") -> "tuple[Any, Any]":
    """The queue of indices and the queue of batches: the first two queues among the arguments."""
    from multiprocessing.queues import Queue

    queues = [argument for argument in arguments if isinstance(argument, Queue)]
    return (queues[0], queues[1]) if len(queues) >= 2 else (None, None)


def _batch_number(message: Any) -> int:
    return message[0] if type(message) is tuple and message and type(message[0]) is int else -1


def _observe_index_queue(queue: Any, requests: Dict[int, Any]) -> None:
    """Hooks the waiting for indices; `requests` keeps the message that asked for a batch until that batch is sent."""
    plain_get, activity = queue.get, recorder.threads.activity
    entered = waiting = False
    looks = recorder.plan is not None and recorder.plan.looks_closer

    def end_look() -> None:
        """A message without a batch ends the epoch: the worker starts another one, or goes."""
        if looks:
            from . import worker_look

            worker_look.end()

    def get(*args: Any, **kwargs: Any) -> Any:
        nonlocal entered, waiting
        if not waiting:  # while there is no message the loop asks again every few seconds: still one wait
            if not entered:
                entered = True
                recorder.write(_LOOP_END)
            waiting = True
            recorder.write(_INDEX_BEGIN)
        message = plain_get(*args, **kwargs)
        waiting = False
        number = _batch_number(message)
        if number >= 0:
            activity.batch = number
            requests[number] = message
        else:
            end_look()
        recorder.write(_INDEX_END, number)
        return message

    queue.get = get


def _observe_data_queue(queue: Any, requests: Dict[int, Any]) -> None:
    """Hooks the put of batches, and the serialising and writing in the queue's feeder thread."""
    from multiprocessing import queues

    plain_put, plain_send_bytes, plain_pickler = queue.put, queue._send_bytes, queues._ForkingPickler  # type: ignore[attr-defined]
    counting, counts = sent_tensors.counting_pickler(plain_pickler)
    clock, get_ident = time.perf_counter_ns, _thread.get_ident
    feeder = 0  # the id of the queue's thread; 0 until it is known
    sent = 0  # `batch_and_bytes` of the message that it handles now

    def put(message: Any, *args: Any, **kwargs: Any) -> Any:
        start_ns = clock()
        try:
            return plain_put(message, *args, **kwargs)
        finally:
            recorder.write_since(start_ns, _SEND, _batch_number(message))

    class Pickler(plain_pickler):  # type: ignore[misc, valid-type]
        @classmethod
        def dumps(cls, obj: Any, protocol: Any = None) -> Any:
            nonlocal feeder, sent
            if get_ident() != feeder:
                if queue._thread is None or queue._thread.ident != get_ident():  # a queue of the user's
                    return plain_pickler.dumps(obj, protocol)
                feeder = get_ident()
            start_ns, size = clock(), 0
            counts[:] = 0, 0
            try:
                data = counting.dumps(obj, protocol)
                size = len(data)
                requests.pop(_batch_number(obj), None)
                return data
            except BaseException as error:
                hide_frame(error)
                if isinstance(error, IndexError):  # that thread would take it for the end of its buffer
                    queue._on_queue_feeder_error(error, obj)
                elif not isinstance(error, Exception):  # it would end that thread, and main would wait for ever
                    raise RuntimeError("%s was raised while the batch was pickled" % type(error).__name__) from error
                raise
            finally:
                number = _batch_number(obj)
                sent = batch_and_bytes(number, size)
                recorder.write_since(start_ns, _SERIALISE, sent, FEEDER_THREAD)
                if size and number >= 0:
                    tensors, occupied = counts
                    recorder.write(_CONTENTS, number, tensors_and_bytes(tensors, occupied + size), FEEDER_THREAD)

    def send_bytes(data: Any) -> None:
        start_ns = clock()
        try:
            plain_send_bytes(data)
        finally:
            recorder.write_since(start_ns, _TRANSMIT, sent, FEEDER_THREAD)

    queue.put, queue._send_bytes = put, send_bytes
    queues._ForkingPickler = Pickler  # type: ignore[attr-defined]


def _send_errors_for_unsent(queue: Any, process: Any, requests: Dict[int, Any]) -> None:
    """Sends main an error in the place of a batch that the queue's feeder thread cannot pickle and so would leave out."""
    worker = internals.worker_number(process._target, process._args)
    stateful = internals.is_stateful(process._target.__module__)
    plain_on_error = queue._on_queue_feeder_error

    def on_feeder_error(error: Exception, message: Any) -> None:
        plain_on_error(error, message)
        number = _batch_number(message)
        if number >= 0:
            indices = internals.payload(requests[number], stateful) if number in requests else None
            unsent.put_batch_error(queue, message, error, indices, worker, stateful)

    queue._on_queue_feeder_error = on_feeder_error  # the thread reads this attribute when it starts, with the first batch


def _observed_init(init_fn: Function) -> Function:
    def observed_init_fn(worker_id: int) -> Any:
        recorder.write(_LOOP_END)
        recorder.write(_INIT_BEGIN, worker_id)
        try:
            return init_fn(worker_id)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            recorder.write(_INIT_END, worker_id)
            recorder.write(_LOOP_BEGIN)

    return observed_init_fn
