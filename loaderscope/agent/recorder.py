"""The state that all hooks of this process share, and the functions with which they write records.

Hooks call `recorder.write(...)` through the module: starting and stopping then takes effect everywhere at once, and hooks cost
nothing while nothing is recorded. A forked child never writes into its parent's log: it starts without one.
"""

from __future__ import annotations

import _thread
import collections
import os
import sys
import time
from typing import Any, Deque, NamedTuple, Optional

from .eventlog import EventLog, Write, drop_record
from .layout import BEGIN, COMPLETE, END, FORM_BITS, INNER_LOADER, INSTANT, MAIN_THREAD, THREAD_WORKER_BASE, Role, State
from .stackdump import StackDump


class Plan(NamedTuple):
    """The settings of a recording, which a process hands on to its workers."""

    log_dir: str
    timeout_s: float  # 0 for no stacks of a process that hangs
    thin_samples: bool
    sharing_strategy: Optional[str] = None  # a spawned worker cannot inherit the trial's, nor how main's streams are buffered
    prints_lines: bool = False
    until_ns: int = 0  # when the recording ends; 0: with the process
    looks_closer: bool = False  # workers look at their dataset, see `worker_look`


write: Write = drop_record
"""write(kind, a=0, b=0, thread=0)"""
write_at: Write = drop_record
"""write_at(time_ns, kind, a=0, b=0, thread=0)"""

write_since: Write = drop_record
"""write_since(start_ns, kind, a=0, thread=0)"""

plan: Optional[Plan] = None
"""Set while this process records, and in a forked child whose parent did."""
log: Optional[EventLog] = None
role: Optional[str] = None
stacks: Optional[StackDump] = None

epoch = -1
"""Number of the newest iterator over a loader, counted from 0 since recording began."""
delivered_batch = -1
"""The batch that `next` returned last; with `in_order=False` it differs from the number of batches before it."""
own_way_loader: Any = None
"""The measured loader, if it iterates in its own way: then the consumer's loop records its own waits, and another thread may read."""
loader_thread = MAIN_THREAD
"""`thread` of the records of torch's iterator: INNER_LOADER within such a loader."""
handed_on: Deque[int] = collections.deque()
"""Numbers of the batches that torch's iterator has given to such a loader, and that the consumer has not got yet."""
forked_ns = 0
"""When this process was forked; 0 if it was not."""


NO_THREAD = -1


class ThreadActivity:
    """What a thread does now: the main thread of main or of a worker process, or a worker that is itself a thread.

    Attributes:
        thread: the value of its records' `thread`; NO_THREAD in other threads of the user's, whose loaders are not measured.
        batch: the batch that it fetches now, or fetched last.
        in_users_code: whether it runs the user's dataset or step: a loader used there must not be taken for the measured one.
        recording: of the loader to which its records go (`loader_recording.LoaderRecording`), in a recorded training; None in a trial.
        worker_start: the start of a worker that is under way in this thread (`process_hooks`).
        in_loader: whether it is inside a loader: makes an iterator, or waits for a batch.
        loader_calls: how often it has come out of one.
    """

    __slots__ = ("batch", "in_loader", "in_users_code", "loader_calls", "recording", "thread", "worker_start")

    def __init__(self) -> None:
        self.thread = NO_THREAD
        self.batch = -1
        self.in_users_code = False
        self.recording: Any = None
        self.worker_start: Any = None
        self.in_loader = False
        self.loader_calls = 0


class _Threads(_thread._local):
    """Holds the `activity` of each thread. Its look-up takes as long as reading the clock, so hooks do it once a call."""

    def __init__(self) -> None:
        self.activity = ThreadActivity()


threads = _Threads()


def activate(recording: Any) -> None:
    """Sends the records of this thread from now on to a loader of a recorded training, or, with None, nowhere.

    Two threads may iterate two loaders at once. To the log of a loader, the thread that iterates it is the main thread.
    """
    activity = threads.activity
    if activity.recording is recording or activity.in_users_code:
        return
    if recording is None or recording.has_ended:
        activity.recording, activity.thread = None, NO_THREAD
        return
    activity.recording, activity.thread = recording, MAIN_THREAD
    recording.note_thread()


def _write_of_thread(kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
    recording = threads.activity.recording
    if recording is not None:
        recording.write(kind, a, b, thread)


def _write_at_of_thread(time_ns: int, kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
    recording = threads.activity.recording
    if recording is not None:
        recording.write_at(time_ns, kind, a, b, thread)


def _write_since_of_thread(start_ns: int, kind: int, a: int = 0, thread: int = 0) -> None:
    recording = threads.activity.recording
    if recording is not None:
        recording.write_since(start_ns, kind, a, thread)


def begin_epoch() -> int:
    """Returns the number of a new iterator of the loader that this thread iterates."""
    global epoch
    recording = threads.activity.recording
    if recording is not None:
        return int(recording.begin_iterator())
    epoch += 1
    return epoch


def plan_for_workers() -> Optional[Plan]:
    """The plan for the workers that this thread starts; None if they are not recorded."""
    recording = threads.activity.recording
    return plan if recording is None else recording.plan


def in_main() -> bool:
    """Whether this is the main process, and the loader that this thread iterates now is the recorded one."""
    if role != Role.MAIN or log is None:
        return False
    activity = threads.activity
    return activity.thread in (MAIN_THREAD, INNER_LOADER) and not activity.in_users_code


def adopt_thread() -> None:
    """Marks this thread of the user's as one that iterates the measured loader, unless it has a part already."""
    activity = threads.activity
    if role == Role.MAIN and log is not None and activity.thread == NO_THREAD:
        activity.thread = INNER_LOADER


def measure_own_way(loader: Any) -> None:
    """Records a loader that iterates in its own way, in whatever thread it reads; the consumer's loop records its own waits."""
    global own_way_loader, loader_thread
    own_way_loader, loader_thread = loader, MAIN_THREAD if loader is None else INNER_LOADER


def where_in_worker() -> str:
    """This worker in the words of torch's wrapped exceptions ("in DataLoader worker process 0"); empty in main."""
    thread = threads.activity.thread
    if thread >= THREAD_WORKER_BASE:
        return "in DataLoader worker thread %d" % (thread - THREAD_WORKER_BASE)
    worker = None if log is None else log.worker
    return "" if worker is None else "in DataLoader worker process %d" % worker


def kinds(state: State) -> "tuple[int, int]":
    """The `kind` words of a span's begin and end, for hooks that write many."""
    return (state << FORM_BITS) | BEGIN, (state << FORM_BITS) | END


def instant_kind(state: State) -> int:
    """The `kind` word of a point."""
    return (state << FORM_BITS) | INSTANT


def complete_kind(state: State) -> int:
    """The `kind` word of a span in one record."""
    return (state << FORM_BITS) | COMPLETE


def open_log(new_plan: Plan, new_role: str, worker: Optional[int] = None) -> None:
    """Starts recording in this process. A worker that cannot (a full disk) says so on stderr and runs unrecorded.

    Raises:
        OSError: in main, whose caller can report it.
    """
    global plan, log, role, stacks, write, write_at, write_since, epoch, delivered_batch
    _watch_forks()
    plan, role, epoch, delivered_batch = new_plan, new_role, -1, -1
    measure_own_way(None)
    handed_on.clear()
    activity = threads.activity
    activity.thread, activity.batch, activity.in_users_code, activity.recording = MAIN_THREAD, -1, False, None
    dump = StackDump(new_plan.timeout_s)
    try:
        log = EventLog(new_plan.log_dir, new_role, worker, dump.rearm if new_plan.timeout_s else None, new_plan.until_ns)
    except OSError as error:
        log = None
        if new_role == Role.MAIN:
            plan = role = None
            raise
        sys.stderr.write("loaderscope: worker %s is not recorded: %s\n" % (worker, error))
        return
    dump.open(log.stacks_path)
    stacks, write, write_at, write_since = dump, log.write, log.write_at, log.write_since


def open_loader_log(new_plan: Plan) -> EventLog:
    """Returns a new log of this process for one loader of a training; each thread writes to the loader that it iterates.

    Raises:
        OSError: it cannot be made (a full disk).
    """
    global plan, log, role, stacks, write, write_at, write_since
    _watch_forks()
    dump = StackDump(new_plan.timeout_s)
    loader_log = EventLog(new_plan.log_dir, Role.MAIN, None, dump.rearm if new_plan.timeout_s else None)
    dump.open(loader_log.stacks_path)
    plan, log, role, stacks = new_plan, loader_log, Role.MAIN, dump
    write, write_at, write_since = _write_of_thread, _write_at_of_thread, _write_since_of_thread
    return loader_log


def close_log() -> int:
    """Stops recording in this process and returns the number of its records."""
    global plan, log, role, stacks
    _silence()
    measure_own_way(None)
    record_count = 0 if log is None else log.close()
    if stacks is not None:
        stacks.close()
    plan = log = role = stacks = None
    return record_count


def _silence() -> None:
    global write, write_at, write_since
    write = write_at = write_since = drop_record


_forks_watched = False


def _watch_forks() -> None:
    """Registers the handlers of forks, once. A process cannot unregister them, so they check whether anything is recorded."""
    global _forks_watched
    if _forks_watched or not hasattr(os, "register_at_fork"):
        return
    _forks_watched = True
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _before_fork() -> None:
    # A child would inherit a timer whose thread it lacks, and hang when it first sets that anew. Nor may a thread of ours
    # cause Python's warning about a fork with threads.
    if stacks is not None:
        stacks.disarm()


def _after_fork_in_parent() -> None:
    if log is not None:
        log.progress_due()


def _after_fork_in_child() -> None:
    global plan, log, stacks, forked_ns
    forked_ns = time.perf_counter_ns()
    activity = threads.activity
    if activity.recording is not None:
        plan = activity.recording.plan
        activity.recording, activity.thread = None, NO_THREAD
    _silence()
    if stacks is not None:
        stacks.abandon()
    log = stacks = None


def begin(state: State, a: int = 0, b: int = 0, thread: int = MAIN_THREAD) -> None:
    """Opens a span of this process; does nothing while nothing is recorded."""
    write((state << FORM_BITS) | BEGIN, a, b, thread)


def end(state: State, a: int = 0, b: int = 0, thread: int = MAIN_THREAD) -> None:
    """Closes the span that `begin` opened."""
    write((state << FORM_BITS) | END, a, b, thread)


def instant(state: State, a: int = 0, b: int = 0) -> None:
    """Marks a point in time."""
    write((state << FORM_BITS) | INSTANT, a, b)


def complete(state: State, start_ns: int, duration_ns: int, a: int = 0) -> None:
    """Adds a whole span that has ended."""
    write_at(start_ns, (state << FORM_BITS) | COMPLETE, a, duration_ns)
