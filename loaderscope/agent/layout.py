"""Defines the layout of an event log: records, states and files. No other module knows it.

A process writes its events into a chain of preallocated, memory-mapped segment files

    {pid}-{opened_ns}.{segment:04d}.events

in the trial's log folder. A segment is a header of `HEADER_BYTES` (UTF-8 JSON, padded with NUL: see `Header`) followed by
`SEGMENT_RECORDS` records of `RECORD.size` bytes. Records are never overwritten. The sequence word is written last and is
the record's index in the chain plus one, so a reader can tell a finished record from a hole (a thread that died half way).

A segment whose file is shorter than `SEGMENT_BYTES`, or whose header is still empty, is not finished: read it again later. The
writer rewrites the header of segment 0 at most once, when recording stops for good (`Header.STOPPED`); a reader that meets it
half written finds no JSON, and reads it again later.

A record has one of four forms, in the low two bits of `kind`; the other bits are a `State`:

* BEGIN and END bracket a span. Spans of one thread nest strictly; spans of the same state do not nest in each other.
* INSTANT marks a point in time.
* COMPLETE is a whole span in one record: `time_ns` is its start, `b` its duration in nanoseconds. Hooks use it where the start
  lies in the past (an import, a device period), and where saving a record matters more than knowing that a span is open: a
  BEGIN shows what a process was doing (waiting, fetching, collating) when it hung or died.

Each state says what `a` and `b` mean. All times are `time.perf_counter_ns()`.
"""

from __future__ import annotations

import enum
import struct
from typing import Any

RECORD = struct.Struct("<QqqHHI")
"""time_ns u64, a i64, b i64, kind u16, thread u16, sequence u32."""

HEADER_BYTES = 4096
SEGMENT_RECORDS = 1 << 15
SEGMENT_BYTES = HEADER_BYTES + SEGMENT_RECORDS * RECORD.size
SUFFIX = ".events"


def own_mapped_bytes(record_count: int) -> int:
    """Memory that a process holds for its own log after `record_count` records: mapped and touched pages.

    They count as USS, PSS and RSS of the process, so code that shows its memory subtracts them.
    """
    in_newest = (record_count - 1) % SEGMENT_RECORDS + 1 if record_count else 0  # only that segment is mapped
    return HEADER_BYTES + in_newest * RECORD.size


BEGIN, END, INSTANT, COMPLETE = 0, 1, 2, 3
FORM_BITS = 2
FORM_MASK = 3

MAIN_THREAD, PIN_THREAD, FEEDER_THREAD, INNER_LOADER = 0, 1, 2, 3
"""Values of a record's `thread`; workers of the thread backend use `THREAD_WORKER_BASE` + worker.

FEEDER_THREAD is the thread of a worker's result queue that serialises and sends: it overlaps the worker's next batch. INNER_LOADER
is torch's iterator within a loader that iterates in its own way: it may run in another thread, and ahead of the consumer."""
THREAD_WORKER_BASE = 16


class Role:
    """Values of a header's `role`."""

    MAIN = "main"
    WORKER = "worker"
    SERVER = "forkserver"


class State(enum.IntEnum):
    """What a span or point is about, with the meaning of `a` and `b` of its records.

    `batch` is torch's index of the batch within its epoch, counted from 0 (`_send_idx` order); -1 where unknown.
    """

    # main process
    LOAD = 1  # the script's import (begin, end)
    ITERATOR = 2  # the whole of iter(loader); begin a=epoch
    START_WORKER = 3  # Process.start() of one worker; begin a=worker; end a=worker, b=child pid
    PICKLE = 4  # pickling of one worker's process object, inside START_WORKER; begin a=worker; end a=worker, b=bytes
    # the whole of next(iterator), that of the consumer's loop or of INNER_LOADER;
    WAIT = 5  # begin a=epoch; end a=batch (-1: StopIteration), b=batches outstanding
    RECEIVE = 6  # complete: blocked in the result queue until a message's bytes are there, inside WAIT; a=batch_and_bytes(-1, bytes)
    DESERIALISE = 7  # complete: from those bytes to the batch in hand; a=batch
    TRANSFER = 8  # copy to the device as the host sees it; begin, end a=batch
    STEP = 9  # the consumer's step as the host sees it; begin, end a=batch
    SHUTDOWN = 10  # end of epoch: workers joined; begin a=epoch
    INDEX_PUT = 11  # instant: indices of a batch handed to a worker; a=batch, b=worker
    ARRIVE = 12  # instant: a batch left the result queue, in order or not; a=batch, b=worker or -1
    EPOCH = 13  # one whole epoch as the consumer sees it, from iter() to its end; begin a=epoch; end a=epoch, b=batches
    DEVICE_WAIT = 14  # main waits for the device: for a copy that blocks, inside TRANSFER, or around the epochs; begin, end a=batch or -1
    OPTIMIZER_STEP = 15  # instant: an optimizer of torch has updated its parameters, in a recorded training
    # complete: main was seen in one line of the user's code, in a long step or outside loaders; a=index into the log's names
    MAIN_LINE = 16  # ("/home/me/train.py:87 in main"), b=from the first sample there to the last
    # complete: the sampler works, inside ITERATOR or WAIT; a=batch whose indices it draws, -1: its iter(). Very short ones are left out.
    SAMPLER = 17
    SAMPLER_CLASS = 18  # complete, after the first SAMPLER of a log, without duration: a=index into the log's names (`sampler_name`)

    # worker process (FETCH, COLLATE and SAMPLE also in main with 0 workers, inside WAIT)
    CREATE = 20  # complete: process creation until the child's first Python statement
    BOOT = 21  # complete: first Python statement until the preparation data is read
    MAIN_IMPORT = 22  # the worker imports the user's main module again, under spawn and forkserver
    IMPORT = 23  # complete: one imported module; a=index into the log's names (see NAMES_SUFFIX), b=duration
    UNPICKLE = 24  # of the process object (dataset, sampler ...)
    LOOP_ENTRY = 25  # from Process.run until the worker's loop asks for its first index, without WORKER_INIT: two spans around that
    WORKER_INIT = 26  # the user's worker_init_fn; begin a=worker
    INDEX_WAIT = 27  # idle: waiting for indices; end a=batch, or -1 for resume and the end of the epoch
    FETCH = 28  # dataset access for one batch, without collate; begin a=batch, b=samples; end a=batch, b=thread CPU ns
    SAMPLE = 29  # instant: one sample's access begins (it ends at the next record of the thread); a=index or -1, b=batch
    COLLATE = 30  # begin, end a=batch
    SEND = 31  # complete: the put of a batch into the result queue's buffer; a=batch (-1: no batch, but an answer)
    SERIALISE = 32  # complete, by FEEDER_THREAD, after SEND began: batch to bytes; a=batch_and_bytes
    TRANSMIT = 34  # complete, by FEEDER_THREAD: bytes into the pipe, blocked while it is full; a=batch_and_bytes; then main can read
    SERVER_START = 33  # start of the forkserver, in main; begin, end
    # Two sums for each line of the script's own top level that took long within MAIN_IMPORT, recorded after it; a=index into the
    # log's names ("12 model = Model()"), b=the sum. Their starts mean nothing: they follow one after another.
    LINE = 35  # complete: time outside of imports
    LINE_IMPORTS = 36  # complete: time in imports
    CONTENTS = 37  # instant, by FEEDER_THREAD, after SERIALISE: what a batch holds; a=batch, b=tensors_and_bytes
    DROPPED = 38  # instant, after a FETCH of an iterable dataset that gave no batch: drop_last; a=batch, b=samples that were read for it

    # pin thread, in main
    # begin a=batch; end a=batch, b=CPU ns of the thread since it handed on the previous batch (includes unpickling before the span)
    PIN = 40

    # device (written by main when events were polled as done)
    DEVICE_TRANSFER = 50  # complete: a=batch_of_epoch, b=duration
    DEVICE_STEP = 51  # complete: a=batch_of_epoch, b=duration
    DEVICE_ANCHOR = 52  # instant: a=error bound of the clock alignment in ns
    DEVICE_WORK = 53  # complete: the device worked within the exact window, by the profiler; b=duration
    DEVICE_STREAM = 55  # complete: what a step does on another stream than the current one; a=batch_of_epoch, b=duration
    # complete: the first part of such a span, in which the host was still issuing the work, so that the device may have paused
    DEVICE_TRANSFER_ISSUE = 56  # a=batch_of_epoch, b=duration
    DEVICE_STEP_ISSUE = 57  # likewise
    DEVICE_STREAM_ISSUE = 58  # likewise
    DEVICE_OVERLAP = 59  # complete: a copy ran beside a step; a=batch_of_epoch of the copied batch, b=duration
    EXACT_WINDOW = 54  # instant, in main: the measured epochs have ended, the profiled steps begin; b=steps of the window

    # the tool itself
    OWN = 60  # complete: time that our hooks took, where it matters

    # warnings and log messages of the user's code, in any process
    WARNED = 61  # instant: a Python warning, or a log message from WARNING on; a=index into the log's names (`warning_name`), or NO_NAME


SIZED_STATES = (State.RECEIVE, State.SERIALISE, State.TRANSMIT)
"""COMPLETE records of these hold `batch_and_bytes` in `a`, because `b` is their duration."""
BATCH_BITS = 32

NAMED_STATES = (State.IMPORT, State.LINE, State.LINE_IMPORTS, State.MAIN_LINE, State.SAMPLER_CLASS)
"""COMPLETE records of these hold the number of a name in `a`."""


def batch_and_bytes(batch: int, size: int) -> int:
    """A batch (-1: unknown) in the low 32 bits and a size in bytes, at most 2 GiB, above it; both signed."""
    return (min(size, 0x7FFFFFFF) << BATCH_BITS) | (batch & 0xFFFFFFFF)


_CONTENTS_BITS = 40
_MOST_TENSORS, _MOST_BYTES = (1 << 22) - 1, (1 << _CONTENTS_BITS) - 1


def tensors_and_bytes(tensors: int, size: int) -> int:
    """The bytes of a batch (storages and pickle, at most 1 TiB) in the low 40 bits, and the number of its tensors above them."""
    return (min(tensors, _MOST_TENSORS) << _CONTENTS_BITS) | min(size, _MOST_BYTES)


def tensors_of_contents(value: Any) -> Any:
    """The tensors in a value, or in an array of values, of `tensors_and_bytes`."""
    return value >> _CONTENTS_BITS


def bytes_of_contents(value: Any) -> Any:
    """The bytes in a value, or in an array of values, of `tensors_and_bytes`."""
    return value & _MOST_BYTES


DEVICE_PERIODS = {
    State.DEVICE_TRANSFER: State.DEVICE_TRANSFER_ISSUE,
    State.DEVICE_STEP: State.DEVICE_STEP_ISSUE,
    State.DEVICE_STREAM: State.DEVICE_STREAM_ISSUE,
}
"""Work of a device, and the part of each in which the host was still issuing it."""

EPOCH_STATES = (*DEVICE_PERIODS, *DEVICE_PERIODS.values(), State.DEVICE_OVERLAP)
"""COMPLETE records of these hold `batch_of_epoch` in `a`: a device may still execute them when the next epoch has begun."""


def batch_of_epoch(epoch: int, batch: int) -> int:
    """A batch (-1: unknown) in the low 32 bits and its epoch above it."""
    return (epoch << BATCH_BITS) | (batch & 0xFFFFFFFF)


THREAD_CPU_UNKNOWN = -1
"""`b` of a FETCH or PIN end where the platform has no thread CPU clock, and of most fetches of very fast samples (`fetch_hooks`)."""

NAMES_SUFFIX = ".names"
"""Texts of a log: one JSON string a line, in the file {pid}-{opened_ns}.names; `a` of `NAMED_STATES` and of WARNED is a line
number."""

NO_NAME = -1
"""Replaces such a number where the text could not be kept."""


REST = ""
"""Text of WARNED records whose own text is not kept: one for each kind and place."""


def warning_name(kind: str, place: str, text: str) -> str:
    """The name of a WARNED record.

    Args:
        kind: the category of a Python warning, or the level of a record of logging.
        place: "file:line" of the code that warned; empty where unknown.
        text: the text of the warning, or REST.
    """
    return "\0".join((kind.replace("\0", " "), place.replace("\0", " "), text))


def sampler_name(class_name: str, place: str) -> str:
    """The name of a SAMPLER_CLASS record.

    Args:
        class_name: of the sampler or batch sampler.
        place: "file:line" of its `__iter__`; empty where it is no code of the user's.
    """
    return "\0".join((class_name, place))


STACKS_SUFFIX = ".stacks"
"""Python stacks of a process that stopped making progress (faulthandler's text), in {pid}-{opened_ns}.stacks."""

REASONS_SUFFIX = ".reasons"
"""Why batches failed in a process, in {pid}-{opened_ns}.reasons: a line is a JSON list of texts, see `agent/reasons.py`."""

LOOKS_SUFFIX = ".looks"
"""What a worker of a probe trial saw of its dataset: a JSON object for each of its epochs, one a line, see `agent/worker_look.py`."""

DEVICES_FILE = "devices.json"
"""The devices that a trial uses; written once into the trial's log folder, see `agent/used_devices.py`."""


def kind_of(state: State, form: int) -> int:
    """The `kind` word of a record."""
    return (state << FORM_BITS) | form


class Header:
    """Keys of a segment's JSON header."""

    VERSION = "version"  # LAYOUT_VERSION
    PID = "pid"
    PARENT_PID = "parent_pid"
    ROLE = "role"  # one of Role
    WORKER = "worker"  # worker number, known when a worker opens its log; null in main
    OPENED_NS = "opened_ns"  # when the log was opened; with the pid it names the chain
    FIRST = "first"  # index of the segment's first record in the chain
    STOPPED = "stopped"  # only where recording ended early (a full disk): the reason, one sentence


LAYOUT_VERSION = 1
