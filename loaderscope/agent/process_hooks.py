"""Records how the main process starts workers (start call, pickling, forkserver), and gives the workers their hooks.

A forked worker inherits the hooks. A spawned one, or one from the forkserver, gets a probe as the first entry of its preparation
data (see `spawn_probe`). Only the start of a loader's worker is changed; other processes of the user start as always.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from typing import Any, Callable, Iterator, Optional

from . import recorder, worker_hooks
from . import torch_internals as internals
from .layout import State
from .patches import Patches, hide_frame
from .spawn_probe import PREPARATION_KEY, SpawnProbe, stamp_statement

Function = Callable[..., Any]

own_thread_count = 0
"""Threads that this tool started in main, without the timer of the stacks; `instrument.declare_own_threads` sets it."""


class _WorkerStart:
    """A worker's start that is under way."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.requested_ns = time.perf_counter_ns()
        self.server_started = False


def _start() -> "Optional[_WorkerStart]":
    """The start of a worker that is under way in this thread, or None."""
    start: Optional[_WorkerStart] = recorder.threads.activity.worker_start
    return start


def install(patches: Patches) -> None:
    """Hooks multiprocessing in the main process."""
    import multiprocessing
    import multiprocessing.process
    import multiprocessing.reduction
    import multiprocessing.spawn

    patches.wrap(multiprocessing.process.BaseProcess, "start", _wrap_start)
    patches.wrap(multiprocessing.process.BaseProcess, "_bootstrap", _wrap_bootstrap)
    patches.wrap(multiprocessing.reduction, "dump", _wrap_dump)
    patches.wrap(multiprocessing.spawn, "get_command_line", _wrap_get_command_line)
    if "forkserver" in multiprocessing.get_all_start_methods():
        import multiprocessing.forkserver

        patches.wrap(multiprocessing.forkserver.ForkServer, "ensure_running", _wrap_ensure_running)
    worker_hooks.install(patches, torch_comes_later=False)


def _wrap_start(original: Function) -> Function:
    def start(self: Any) -> Any:
        if not recorder.in_main() or not internals.is_worker_loop(getattr(self, "_target", None)):
            return original(self)
        number = internals.worker_number(self._target, self._args)
        recorder.begin(State.START_WORKER, number, 0, recorder.loader_thread)
        activity = recorder.threads.activity
        under_way = activity.worker_start = _WorkerStart(number)
        worker_hooks.note_recording(self)
        try:
            with _no_warning_for_our_threads(self):
                return original(self)
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            if under_way.server_started:
                recorder.end(State.SERVER_START, 0, 0, recorder.loader_thread)
            recorder.end(State.START_WORKER, number, self.pid or 0, recorder.loader_thread)
            activity.worker_start = None

    return start


@contextlib.contextmanager
def _no_warning_for_our_threads(process: Any) -> Iterator[None]:
    """Hides the warning of Python 3.12 and later about a fork in a process with threads where all those threads are ours."""
    method = getattr(process, "_start_method", None)
    if method is None:
        import multiprocessing

        method = multiprocessing.get_start_method()
    if sys.version_info < (3, 12) or method != "fork" or own_thread_count == 0 or _thread_count() > 1 + own_thread_count:
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        yield


def _thread_count() -> int:
    """Threads of this process; on Linux also those that C libraries started."""
    if recorder.stacks is not None:
        recorder.stacks.disarm()  # the fork will do that anyway
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        import threading

        return threading.active_count() + own_thread_count


def _wrap_bootstrap(original: Function) -> Function:
    def _bootstrap(self: Any, *args: Any, **kwargs: Any) -> Any:
        under_way = _start()
        if under_way is not None and recorder.forked_ns and internals.is_worker_loop(getattr(self, "_target", None)):
            recorder.threads.activity.worker_start = None
            worker_hooks.start_in_forked_worker(self, under_way.requested_ns)
        return original(self, *args, **kwargs)

    return _bootstrap


def _wrap_dump(original: Function) -> Function:
    def dump(obj: Any, file: Any, *args: Any, **kwargs: Any) -> Any:
        from multiprocessing.process import BaseProcess

        under_way, plan = _start(), recorder.plan_for_workers()
        if under_way is None or plan is None:
            return original(obj, file, *args, **kwargs)
        if type(obj) is dict and "authkey" in obj:
            return original({PREPARATION_KEY: SpawnProbe(plan, under_way.worker), **obj}, file, *args, **kwargs)
        if not isinstance(obj, BaseProcess):
            return original(obj, file, *args, **kwargs)
        size = -1
        recorder.begin(State.PICKLE, under_way.worker, 0, recorder.loader_thread)
        try:
            bytes_before = _written_bytes(file)
            result = original(obj, file, *args, **kwargs)
            size = _written_bytes(file) - bytes_before
            return result
        except BaseException as error:
            hide_frame(error)
            raise
        finally:
            recorder.end(State.PICKLE, under_way.worker, size, recorder.loader_thread)

    return dump


def _written_bytes(file: Any) -> int:
    """Bytes written so far; 0 for the pipe into which Windows pickles."""
    try:
        return int(file.tell())
    except (OSError, AttributeError, ValueError):
        return 0


def _wrap_get_command_line(original: Function) -> Function:
    def get_command_line(**kwargs: Any) -> Any:
        command = original(**kwargs)
        if _start() is not None and "-c" in command[:-1]:  # a frozen program has none
            position = command.index("-c") + 1
            command[position] = stamp_statement() + command[position]
        return command

    return get_command_line


def _wrap_ensure_running(original: Function) -> Function:
    def ensure_running(self: Any) -> Any:
        under_way = _start()
        if under_way is not None and getattr(self, "_forkserver_pid", None) is None:
            # The server's start ends when it answers with the pid of its first child: at the end of this start call.
            under_way.server_started = True
            recorder.begin(State.SERVER_START, 0, 0, recorder.loader_thread)
        return original(self)

    return ensure_running
