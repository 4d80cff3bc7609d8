"""Writes one process's event log: a chain of preallocated, memory-mapped segments (the format is in `layout`).

A record costs a clock reading and one `pack_into`, and is in the page cache at once: it outlives a SIGKILL of the process.
Any thread may write: `itertools.count` hands each record its slot atomically. What can fail (a full disk) fails when a
segment is made, never at a store into mapped memory, because every segment's blocks are allocated before it is mapped.
"""

from __future__ import annotations

import _thread
import itertools
import mmap
import os
import struct
import time
from typing import Any, Callable, List, Optional

try:
    from _json import encode_basestring_ascii as quoted  # json itself would come before the user's own imports
except ImportError:
    from json.encoder import py_encode_basestring_ascii as quoted

from .layout import HEADER_BYTES, KEPT_SEGMENTS, LAYOUT_VERSION, NAMES_SUFFIX, RECORD, SEGMENT_BYTES, SEGMENT_RECORDS, STACKS_SUFFIX, SUFFIX

_SLOT_SHIFT = SEGMENT_RECORDS.bit_length() - 1
_SLOT_MASK = SEGMENT_RECORDS - 1
_RECORD_SHIFT = RECORD.size.bit_length() - 1
_SEQUENCE_MASK = 0xFFFFFFFF
_NEVER_NS = (1 << 63) - 1

Write = Callable[..., None]


def _allocate(descriptor: int, size: int) -> None:
    """Gives a new file all its blocks; raises OSError where the disk or a limit has no room for them."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            import errno

            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    zeros = bytes(1 << 16)  # macOS, Windows and file systems that cannot allocate ahead
    left = size
    while left > 0:
        left -= os.write(descriptor, zeros[: min(left, len(zeros))])


class EventLog:
    """The log of this process; a forked child must open one of its own.

    Attributes:
        write: `write(kind, a=0, b=0, thread=0)` adds a record of now.
        write_at: `write_at(time_ns, kind, a=0, b=0, thread=0)` adds a record of another time.
        write_since: `write_since(start_ns, kind, a=0, thread=0)` adds a COMPLETE record of a span that ends now.
        stopped: why recording ended early, in one sentence; None while it goes on. Afterwards records are dropped.
    """

    def __init__(self, log_dir: str, role: str, worker: Optional[int] = None, on_progress: Optional[Callable[[int], int]] = None) -> None:
        """Opens the log's first segment.

        Args:
            log_dir: an existing folder.
            role: one of `layout.Role`.
            worker: the worker's number; None in main.
            on_progress: called with the time when a record is written at or after the time that it last returned; the
                first record calls it.

        Raises:
            OSError: the first segment could not be made.
        """
        self.opened_ns = time.perf_counter_ns()
        self.stem = os.path.join(log_dir, "%d-%d" % (os.getpid(), self.opened_ns))
        self.stopped: Optional[str] = None
        self._ended = False
        self._role = role
        self._worker = worker
        self._on_progress = on_progress
        self._progress_at_ns = _NEVER_NS if on_progress is None else 0
        self._next_slot = itertools.count().__next__
        self._segments: List[Optional[mmap.mmap]] = []
        self._grow_lock = _thread.allocate_lock()
        self._names_lock = _thread.allocate_lock()
        self._names: List[str] = []  # not yet on disk
        self._name_count = 0  # on disk
        self._names_failed = False
        self._segments.append(self._make_segment(0))
        self.write, self.write_at, self.write_since = self._bind()

    @property
    def stacks_path(self) -> str:
        return self.stem + STACKS_SUFFIX

    def progress_due(self) -> None:
        """Makes the next record call `on_progress`."""
        if self._on_progress is not None:
            self._progress_at_ns = 0

    def add_name(self, text: str) -> int:
        """Takes a text that will lie beside the log, and returns its line number there, by which a record tells it in `a`."""
        with self._names_lock:
            self._names.append(text)
            return self._name_count + len(self._names) - 1

    def flush_names(self) -> None:
        """Writes the names that were added; the records that tell them may be there before."""
        with self._names_lock:  # not around what may import something, which would come back here for its name
            names, self._names = self._names, []
            self._name_count += len(names)
        if names and not self._names_failed:
            try:
                with open(self.stem + NAMES_SUFFIX, "ab") as file:
                    file.write("".join(quoted(name) + "\n" for name in names).encode("ascii"))
            except OSError:
                self._names_failed = True  # what came behind them would be taken for them

    def close(self) -> int:
        """Ends the log; later records are dropped.

        Returns:
            How many records were written.
        """
        self._on_progress = None
        self._ended = True
        record_count = self._next_slot()
        self.write = self.write_at = self.write_since = drop_record
        self._segments[:] = [None] * len(self._segments)  # in place: a thread may still hold the old `write`
        return record_count

    def _bind(self) -> "tuple[Write, Write, Write]":
        """The hot functions, with everything that they touch in local cells."""
        next_slot, clock = self._next_slot, time.perf_counter_ns
        pack: Any = RECORD.pack_into
        segments = self._segments

        def write(kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
            time_ns = clock()
            if time_ns >= self._progress_at_ns:
                self._progress(time_ns)
            slot = next_slot()
            offset = HEADER_BYTES + ((slot & _SLOT_MASK) << _RECORD_SHIFT)
            try:
                pack(segments[slot >> _SLOT_SHIFT], offset, time_ns, a, b, kind, thread, (slot + 1) & _SEQUENCE_MASK)
            except (IndexError, TypeError, ValueError, struct.error):
                self._write_slowly(slot, (time_ns, a, b, kind, thread))

        def write_at(time_ns: int, kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
            slot = next_slot()
            offset = HEADER_BYTES + ((slot & _SLOT_MASK) << _RECORD_SHIFT)
            try:
                pack(segments[slot >> _SLOT_SHIFT], offset, time_ns, a, b, kind, thread, (slot + 1) & _SEQUENCE_MASK)
            except (IndexError, TypeError, ValueError, struct.error):
                self._write_slowly(slot, (time_ns, a, b, kind, thread))

        def write_since(start_ns: int, kind: int, a: int = 0, thread: int = 0) -> None:
            duration_ns = clock() - start_ns
            slot = next_slot()
            offset = HEADER_BYTES + ((slot & _SLOT_MASK) << _RECORD_SHIFT)
            try:
                pack(segments[slot >> _SLOT_SHIFT], offset, start_ns, a, duration_ns, kind, thread, (slot + 1) & _SEQUENCE_MASK)
            except (IndexError, TypeError, ValueError, struct.error):
                self._write_slowly(slot, (start_ns, a, duration_ns, kind, thread))

        return write, write_at, write_since

    def _progress(self, time_ns: int) -> None:
        on_progress = self._on_progress
        self._progress_at_ns = _NEVER_NS  # other threads go on while this one is at it
        if on_progress is not None:
            self._progress_at_ns = on_progress(time_ns)

    def _write_slowly(self, slot: int, fields: "tuple[int, int, int, int, int]") -> None:
        """The rare cases: a segment that is not there yet, or a value that does not fit its field."""
        time_ns, a, b, kind, thread = fields
        segment = self._segment(slot >> _SLOT_SHIFT)
        if segment is None:
            return
        a, b = (value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else -1 for value in (a, b))
        offset = HEADER_BYTES + ((slot & _SLOT_MASK) << _RECORD_SHIFT)
        RECORD.pack_into(segment, offset, max(time_ns, 0), a, b, kind, thread, (slot + 1) & _SEQUENCE_MASK)

    def _segment(self, number: int) -> Optional[mmap.mmap]:
        """The segment, made if it is new; None if it was unmapped or recording has stopped."""
        with self._grow_lock:
            while len(self._segments) <= number and not self._ended:
                try:
                    made = self._make_segment(len(self._segments))
                except OSError as error:
                    self._stop("Recording of this process stopped: %s." % (error.strerror or error))
                    break
                if len(self._segments) >= KEPT_SEGMENTS:
                    self._segments[len(self._segments) - KEPT_SEGMENTS] = None
                self._segments.append(made)
            return self._segments[number] if number < len(self._segments) else None

    def _make_segment(self, number: int) -> mmap.mmap:
        path = "%s.%04d%s" % (self.stem, number, SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            _allocate(descriptor, SEGMENT_BYTES)
            segment = mmap.mmap(descriptor, SEGMENT_BYTES)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            os.unlink(path)  # what was allocated of it
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        os.close(descriptor)
        header = self._header(number)
        segment[: len(header)] = header
        return segment

    def _header(self, number: int, stopped: Optional[str] = None) -> bytes:
        # Written by hand: a worker would otherwise import json before the user's code has had its turn.
        worker = "null" if self._worker is None else "%d" % self._worker
        text = '{"version": %d, "pid": %d, "parent_pid": %d, "role": "%s", "worker": %s, "opened_ns": %d, "first": %d' % (
            LAYOUT_VERSION, os.getpid(), os.getppid(), self._role, worker, self.opened_ns, number * SEGMENT_RECORDS,
        )  # fmt: skip
        if stopped is not None:
            plain = stopped.encode("ascii", "replace").decode("ascii").replace("\\", "/").replace('"', "'")
            text += ', "stopped": "%s"' % plain
        return text.encode("ascii") + b"}"

    def _stop(self, reason: str) -> None:
        """Drops all records from now on and says so in segment 0, whose blocks are there even on a full disk."""
        self.stopped = reason
        self._ended = True
        self._progress_at_ns = _NEVER_NS
        header = self._header(0, reason)
        try:
            with open("%s.%04d%s" % (self.stem, 0, SUFFIX), "r+b") as file:
                file.write(header)
        except OSError:
            pass  # then only `stopped` tells
        self.write = self.write_at = self.write_since = drop_record


def drop_record(*_ignored: int) -> None:
    """Takes the place of `write` and `write_at` where nothing is recorded."""


def record_cost_ns() -> float:
    """What one record costs on this machine now, measured on scratch memory (about a millisecond's work)."""
    segment = bytearray(SEGMENT_BYTES)
    pack, clock, take = RECORD.pack_into, time.perf_counter_ns, itertools.count().__next__
    segments = [segment]
    count = 1000

    def write(kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
        slot = take()
        offset = HEADER_BYTES + ((slot & _SLOT_MASK) << _RECORD_SHIFT)
        pack(segments[slot >> _SLOT_SHIFT], offset, clock(), a, b, kind, thread, (slot + 1) & _SEQUENCE_MASK)

    begin_ns = clock()
    for number in range(count):
        write(4, number)
    return (clock() - begin_ns) / count
