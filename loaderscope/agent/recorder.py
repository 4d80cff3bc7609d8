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


active: Any = None
"""The loader of a recorded training (`training_record.LoaderRecording`) to which records go now; None in a trial."""

loader_recordings: "list[Any]" = []
"""All loaders of a recorded training in this process."""

STATE_OF_A_LOADER = ("plan", "log", "role", "stacks", "write", "write_at", "write_since", "epoch", "delivered_batch")
"""The state of this module that belongs to the active loader."""


def activate(loader_recording: Any) -> None:
    """Lets all records from now on go to another loader of a recorded training."""
    global active
    if loader_recording is active:
        return
    state = globals()
    if active is not None:
        active.state = {name: state[name] for name in STATE_OF_A_LOADER}
    active = loader_recording
    if loader_recording is not None:
        state.update(loader_recording.state)


NO_THREAD = -1


class ThreadActivity:
    """What a thread does now: the main thread of main or of a worker process, or a worker that is itself a thread.

    Attributes:
        thread: the value of its records' `thread`; NO_THREAD in other threads of the user's, whose loaders are not measured.
        batch: the batch that it fetches now, or fetched last.
        in_users_code: whether it runs the user's dataset or step: a loader used there must not be taken for the measured one.
    """

    __slots__ = ("batch", "in_users_code", "thread")

    def __init__(self) -> None:
        self.thread = NO_THREAD
        self.batch = -1
        self.in_users_code = False


class _Threads(_thread._local):
    """Holds the `activity` of each thread. Its look-up takes as long as reading the clock, so hooks do it once a call."""

    def __init__(self) -> None:
        self.activity = ThreadActivity()


threads = _Threads()


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
    activity.thread, activity.batch, activity.in_users_code = MAIN_THREAD, -1, False
    dump = StackDump(new_plan.timeout_s)
    try:
        log = EventLog(new_plan.log_dir, new_role, worker, dump.rearm)
    except OSError as error:
        log = None
        if new_role == Role.MAIN:
            plan = role = None
            raise
        sys.stderr.write("loaderscope: worker %s is not recorded: %s\n" % (worker, error))
        return
    dump.open(log.stacks_path)
    stacks, write, write_at, write_since = dump, log.write, log.write_at, log.write_since


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
    global log, stacks, forked_ns, active
    active = None
    for recording in loader_recordings:  # an iterator of the parent's may go on here
        recording.state.update(log=None, stacks=None, write=drop_record, write_at=drop_record, write_since=drop_record)
    del loader_recordings[:]
    forked_ns = time.perf_counter_ns()
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
