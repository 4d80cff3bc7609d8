"""Writes one process's event log: a chain of preallocated, memory-mapped segments (the format is in `layout`).

A record costs a clock reading and one `pack_into`, and is in the page cache at once: it survives a SIGKILL of the process. Any
thread may write: an iterator over a segment's offsets atomically gives each record its own. Errors (a full disk) arise when a
segment is made, never at a store into mapped memory, because every segment's blocks are allocated before it is mapped.

A sample of the user's clears this code from the processor's caches, so each look-up makes a record dearer: the functions that
write have few variables, in cells of their own, and use neither attributes nor global names.
"""

from __future__ import annotations

import _thread
import mmap
import operator
import os
import struct
import time
from typing import Any, Callable, Iterator, List, Optional, Tuple

try:
    from _json import encode_basestring_ascii as quoted  # json itself would come before the user's own imports
except ImportError:
    from json.encoder import py_encode_basestring_ascii as quoted

from .layout import (
    HEADER_BYTES,
    LAYOUT_VERSION,
    NAMES_SUFFIX,
    NO_NAME,
    REASONS_SUFFIX,
    RECORD,
    SEGMENT_BYTES,
    SEGMENT_RECORDS,
    STACKS_SUFFIX,
    SUFFIX,
)

_RECORD_SHIFT = RECORD.size.bit_length() - 1
_SEQUENCE_MASK = 0xFFFFFFFF
_NEVER_NS = (1 << 63) - 1
_LOCK_TIMEOUT_S = 1.0

Write = Callable[..., None]

_Place = Tuple[Optional[mmap.mmap], Iterator[int], int]
"""Where records go: the newest segment, its remaining offsets, and a base to compute a record's sequence word from its offset.

A writer reads the three together, as a tuple: a thread that is overtaken at a segment's end still writes into the right one."""


def _allocate(descriptor: int, size: int) -> None:
    """Allocates all blocks of a new file; raises OSError where the disk or a limit has no room."""
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
        write: `write(kind, a=0, b=0, thread=0)` adds a record with the present time.
        write_at: `write_at(time_ns, kind, a=0, b=0, thread=0)` adds a record with the given time.
        write_since: `write_since(start_ns, kind, a=0, thread=0)` adds a COMPLETE record of a span that ends now.
        stopped: why recording ended early, in one sentence; None while it continues. Later records are dropped.
        worker: the worker's number; None in main.
    """

    def __init__(
        self,
        log_dir: str,
        role: str,
        worker: Optional[int] = None,
        on_progress: Optional[Callable[[int], int]] = None,
        until_ns: int = 0,
    ) -> None:
        """Opens the log's first segment.

        Args:
            log_dir: an existing folder.
            role: one of `layout.Role`.
            worker: the worker's number; None in main.
            on_progress: gets the time (ns) of the first record, and returns from which time on a record is to call it again.
            until_ns: closes the log at the first record of `write` from this time on; 0: never. Not together with `on_progress`.

        Raises:
            OSError: the first segment could not be made.
        """
        self.opened_ns = time.perf_counter_ns()
        self.stem = os.path.join(log_dir, "%d-%d" % (os.getpid(), self.opened_ns))
        self.stopped: Optional[str] = None
        self._ended = False
        self._role = role
        self.worker = worker
        self._on_progress = self._close_at(until_ns) if until_ns else on_progress
        self._grow_lock = _thread.allocate_lock()
        self._growing_thread = 0
        self._segment_count = 0
        self._names_lock, self._writing_lock = _thread.allocate_lock(), _thread.allocate_lock()
        self._names: List[str] = []  # not yet on disk
        self._name_count = 0  # on disk
        self._names_failed = False
        self._bind(self._make_place())

    @property
    def stacks_path(self) -> str:
        return self.stem + STACKS_SUFFIX

    @property
    def reasons_path(self) -> str:
        return self.stem + REASONS_SUFFIX

    def progress_due(self) -> None:
        """Makes the next record call `on_progress`."""
        if self._on_progress is not None:
            self._set_progress(0)

    def add_name(self, text: str) -> int:
        """Adds a text to the file of names, and returns its line number there, for a record's `a`.

        Returns NO_NAME where that fails: a finalizer or a signal handler may call this while its own thread is inside of it.
        """
        if not self._names_lock.acquire(True, _LOCK_TIMEOUT_S):
            return NO_NAME
        try:
            number = self._name_count + len(self._names)
            self._names.append(text)
            return NO_NAME if self._names_failed else number
        finally:
            self._names_lock.release()

    def flush_names(self) -> None:
        """Writes the added names; records that refer to them may be on disk earlier.

        One call at a time writes, in order, until none is left, also of names that another thread, or an import that the writing
        causes, adds meanwhile.
        """
        goes_on = True
        while goes_on and self._names and self._writing_lock.acquire(False):
            try:
                goes_on = self._write_names()
            finally:
                self._writing_lock.release()

    def _write_names(self) -> bool:
        """Writes the names that are waiting; False where the lock is not available, see `add_name`."""
        if not self._names_lock.acquire(True, _LOCK_TIMEOUT_S):
            return False
        try:
            names, self._names = self._names, []
            self._name_count += len(names)
        finally:
            self._names_lock.release()
        if not self._names_failed:
            try:
                with open(self.stem + NAMES_SUFFIX, "ab") as file:
                    file.write("".join([quoted(name) + "\n" for name in names]).encode("ascii"))
            except OSError:
                self._names_failed = True  # later names would get their line numbers
        return True

    def close(self) -> int:
        """Ends the log; later records are dropped.

        Returns:
            How many records were written.
        """
        self._on_progress = None
        with self._grow_lock:
            self._ended = True
            _segment, offsets, base = self._place()
            left = operator.length_hint(offsets)
            self._drop()  # for threads that still hold the old `write`
        return ((SEGMENT_BYTES >> _RECORD_SHIFT) - 1 - left + base) & _SEQUENCE_MASK

    def _bind(self, place: _Place) -> None:
        """Makes the hot functions, which keep all that they use in cells, and the functions that change the cells.

        The three repeat their common lines: a call would cost a good part of a record.
        """
        clock, take, shift = time.perf_counter_ns, next, _RECORD_SHIFT
        pack: Any = RECORD.pack_into
        progress_at_ns = _NEVER_NS if self._on_progress is None else 0

        def write(kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
            time_ns = clock()
            if time_ns >= progress_at_ns:
                self._progress(time_ns)
            segment, offsets, base = place
            try:
                offset = take(offsets)
                pack(segment, offset, time_ns, a, b, kind, thread, (offset >> shift) + base)
            except StopIteration:
                self._grow(offsets, (time_ns, kind, a, b, thread))
            except (TypeError, ValueError, struct.error):
                _write_what_fits(segment, offset, (offset >> shift) + base, (time_ns, kind, a, b, thread))

        def write_at(time_ns: int, kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
            segment, offsets, base = place
            try:
                offset = take(offsets)
                pack(segment, offset, time_ns, a, b, kind, thread, (offset >> shift) + base)
            except StopIteration:
                self._grow(offsets, (time_ns, kind, a, b, thread))
            except (TypeError, ValueError, struct.error):
                _write_what_fits(segment, offset, (offset >> shift) + base, (time_ns, kind, a, b, thread))

        def write_since(start_ns: int, kind: int, a: int = 0, thread: int = 0) -> None:
            duration_ns = clock() - start_ns
            segment, offsets, base = place
            try:
                offset = take(offsets)
                pack(segment, offset, start_ns, a, duration_ns, kind, thread, (offset >> shift) + base)
            except StopIteration:
                self._grow(offsets, (start_ns, kind, a, duration_ns, thread))
            except (TypeError, ValueError, struct.error):
                _write_what_fits(segment, offset, (offset >> shift) + base, (start_ns, kind, a, duration_ns, thread))

        def get_place() -> _Place:
            return place

        def set_place(new_place: _Place) -> None:
            nonlocal place
            place = new_place

        def set_progress(at_ns: int) -> None:
            nonlocal progress_at_ns
            progress_at_ns = at_ns

        self.write: Write = write
        self.write_at: Write = write_at
        self.write_since: Write = write_since
        self._place, self._set_place, self._set_progress = get_place, set_place, set_progress

    def _close_at(self, until_ns: int) -> Callable[[int], int]:
        def close_if_due(time_ns: int) -> int:
            if time_ns < until_ns:
                return until_ns
            self.close()
            return _NEVER_NS

        return close_if_due

    def _progress(self, time_ns: int) -> None:
        on_progress = self._on_progress
        self._set_progress(_NEVER_NS)  # other threads need not call it meanwhile
        if on_progress is not None:
            self._set_progress(on_progress(time_ns))

    def _grow(self, full: Iterator[int], record: "tuple[int, int, int, int, int]") -> None:
        """Makes the next segment, unless another thread has, and writes a record that found the last segment full."""
        if self._growing_thread == _thread.get_ident():
            return  # a finalizer or a signal handler that runs inside of this call
        with self._grow_lock:
            self._growing_thread = _thread.get_ident()
            try:
                if self._ended:
                    return
                if self._place()[1] is full:
                    self._set_place(self._make_place())
            except OSError as error:
                self._stop("Recording of this process stopped: %s." % (error.strerror or error))
                return
            finally:
                self._growing_thread = 0
        self.write_at(*record)

    def _make_place(self) -> _Place:
        number = self._segment_count
        segment = self._make_segment(number)
        self._segment_count += 1
        first = (number * SEGMENT_RECORDS) & _SEQUENCE_MASK
        return segment, iter(range(HEADER_BYTES, SEGMENT_BYTES, RECORD.size)), first + 1 - (HEADER_BYTES >> _RECORD_SHIFT)

    def _drop(self) -> None:
        """Drops all records from now on."""
        self._set_progress(_NEVER_NS)
        self._set_place((None, iter(()), self._place()[2]))
        self.write = self.write_at = self.write_since = drop_record

    def _make_segment(self, number: int) -> mmap.mmap:
        path = "%s.%04d%s" % (self.stem, number, SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            _allocate(descriptor, SEGMENT_BYTES)
            segment = mmap.mmap(descriptor, SEGMENT_BYTES)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            os.unlink(path)  # free its blocks
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        os.close(descriptor)
        header = self._header(number)
        segment[: len(header)] = header
        return segment

    def _header(self, number: int, stopped: Optional[str] = None) -> bytes:
        # Formatted by hand: else a worker would import json before the user's code does.
        worker = "null" if self.worker is None else "%d" % self.worker
        text = '{"version": %d, "pid": %d, "parent_pid": %d, "role": "%s", "worker": %s, "opened_ns": %d, "first": %d' % (
            LAYOUT_VERSION, os.getpid(), os.getppid(), self._role, worker, self.opened_ns, number * SEGMENT_RECORDS,
        )  # fmt: skip
        if stopped is not None:
            plain = stopped.encode("ascii", "replace").decode("ascii").replace("\\", "/").replace('"', "'")
            text += ', "stopped": "%s"' % plain
        return text.encode("ascii") + b"}"

    def _stop(self, reason: str) -> None:
        """Drops all records from now on and writes the reason into segment 0, whose blocks exist even on a full disk."""
        self.stopped = reason
        self._ended = True
        header = self._header(0, reason)
        try:
            with open("%s.%04d%s" % (self.stem, 0, SUFFIX), "r+b") as file:
                file.write(header)
        except OSError:
            pass  # then only `stopped` has the reason
        self._drop()


def _write_what_fits(segment: Any, offset: int, sequence: int, record: "tuple[int, int, Any, Any, int]") -> None:
    """Writes a record with -1 (unknown) for values that do not fit their fields."""
    time_ns, kind, a, b, thread = record
    a, b = (value if isinstance(value, int) and -(1 << 63) <= value < 1 << 63 else -1 for value in (a, b))
    RECORD.pack_into(segment, offset, max(time_ns, 0), a, b, kind, thread, sequence & _SEQUENCE_MASK)


def drop_record(*_ignored: int) -> None:
    """Does nothing: replaces `write`, `write_at` and `write_since` while nothing is recorded."""


def record_cost_ns() -> float:
    """Measures the cost of one record on this machine now, on scratch memory (takes about a millisecond)."""
    pack, clock, take, shift = RECORD.pack_into, time.perf_counter_ns, next, _RECORD_SHIFT
    place = bytearray(SEGMENT_BYTES), iter(range(HEADER_BYTES, SEGMENT_BYTES, RECORD.size)), 0
    count = 1000

    def write(kind: int, a: int = 0, b: int = 0, thread: int = 0) -> None:
        segment, offsets, base = place
        offset = take(offsets)
        pack(segment, offset, clock(), a, b, kind, thread, (offset >> shift) + base)

    begin_ns = clock()
    for number in range(count):
        write(4, number)
    return (clock() - begin_ns) / count
