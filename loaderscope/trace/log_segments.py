"""Reads one process's event log, a chain of segment files, while the process still writes it.

The process writes the sequence word of a record last, so the reader reads it first: one read counts the finished records, and a
second one takes them. An unfinished record between finished ones is a hole: its thread is about to write it, or died. The reader
waits for a hole during some polls and then leaves it out.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import pathlib
import platform
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from loaderscope.agent import layout

RECORD_DTYPE = np.dtype([("time_ns", "<i8"), ("a", "<i8"), ("b", "<i8"), ("kind", "<u2"), ("thread", "<u2"), ("sequence", "<u4")])
"""`layout.RECORD` for NumPy."""

Records = npt.NDArray[np.void]

HOLE_POLLS = 10
"""Polls during which the reader waits for a hole. A thread can lose the GIL between taking its slot and filling it."""

_FIRST_READ_RECORDS = 512
_WEAK_MEMORY = platform.machine().lower() in ("arm64", "aarch64")


class SegmentChain:
    """The event log of one process.

    Attributes:
        header: the newest segment's header; empty until a header was read.
        holes: number of records that the reader left out.
    """

    def __init__(self, folder: pathlib.Path, stem: str, deletes_read: bool = False) -> None:
        """Opens nothing yet.

        Args:
            folder: of the files.
            stem: of their names.
            deletes_read: deletes segments that it has read: the first with `delete`, because its header may still change.
        """
        self.stem = stem
        self.header: dict[str, Any] = {}
        self.holes = 0
        self._folder = folder
        self._segment = 0
        self._slot = 0  # in the segment
        self._file: _SegmentFile | None = None
        self._hole_polls = 0
        self._provisional_length = -1
        self._deletes_read = deletes_read
        self._last_stop_reason: str | None = None

    @property
    def length(self) -> int:
        """Number of slots read so far, including holes."""
        return self._segment * layout.SEGMENT_RECORDS + self._slot

    def read_header(self) -> bool:
        """Reads the header again; returns whether one was ever read."""
        if self._file is None and not self._open(self._segment):
            return False
        assert self._file is not None
        text = self._file.read(0, layout.HEADER_BYTES).rstrip(b"\0")
        try:
            header = json.loads(text)
        except ValueError:  # the process is writing it at this moment
            return bool(self.header)
        if isinstance(header, dict):
            self.header = header
        return bool(self.header)

    def stop_reason(self) -> str | None:
        """Returns one sentence why recording ended early, from the first segment's header; None if it did not."""
        try:
            with self._path(0).open("rb") as file:
                reason = json.loads(file.read(layout.HEADER_BYTES).rstrip(b"\0")).get(layout.Header.STOPPED)
            return reason if isinstance(reason, str) else None
        except (OSError, ValueError, AttributeError):
            return self._last_stop_reason

    def delete(self) -> None:
        """Deletes the segments of a process that has ended; its names stay."""
        self.close()
        self._last_stop_reason = self.stop_reason()
        for segment in range(self._segment + 1):
            self._path(segment).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Returns the texts that records refer to by line. Leaves out an unfinished last line."""
        try:
            lines = (self._folder / (self.stem + layout.NAMES_SUFFIX)).read_bytes().split(b"\n")[:-1]
            return [str(json.loads(line)) for line in lines]
        except (OSError, ValueError):
            return []

    def read(self, final: bool = False) -> list[Records]:
        """Returns the records since the last call; with `final` also the records behind holes, without waiting for the holes."""
        parts: list[Records] = []
        count = _FIRST_READ_RECORDS
        while self._file is not None or self._open(self._segment):
            room = layout.SEGMENT_RECORDS - self._slot
            if not room:
                if not self._next_segment():
                    break
                continue
            records, more = self._read_slots(min(room, count), final)
            if len(records):
                parts.append(records)
            if not more:
                break
            count = min(count * 2, layout.SEGMENT_RECORDS)
        return parts

    def close(self) -> None:
        """Closes the file; the next read opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_slots(self, count: int, final: bool) -> tuple[Records, bool]:
        """Reads up to `count` slots; returns their records and whether more may follow."""
        assert self._file is not None
        offset = layout.HEADER_BYTES + self._slot * RECORD_DTYPE.itemsize
        sequences = _as_records(self._file.read(offset, count * RECORD_DTYPE.itemsize))["sequence"]
        is_written = sequences == self._expected_sequences(len(sequences))
        filled = int(is_written.nonzero()[0][-1]) + 1 if is_written.any() else 0
        if not filled:
            return _NO_RECORDS, self._skip_empty_rest(final)
        more = filled == count
        if not is_written[:filled].all() and not final and self._hole_polls < HOLE_POLLS:
            self._hole_polls += 1
            filled, more = int(is_written[:filled].argmin()), False
        elif filled:
            self._hole_polls = 0
        if _WEAK_MEMORY and filled and not more and not final and self._provisional_length != self.length + filled:
            self._provisional_length = self.length + filled  # its other words may not be visible yet: the next poll takes it
            filled -= 1
        records = _as_records(self._file.read(offset, filled * RECORD_DTYPE.itemsize))
        self._slot += filled
        if is_written[:filled].all():
            return records, more
        self.holes += filled - int(is_written[:filled].sum())
        return records[is_written[:filled]], more

    def _expected_sequences(self, count: int) -> npt.NDArray[np.uint32]:
        first = self.length + 1
        return np.arange(first, first + count, dtype=np.int64).astype(np.uint32)

    def _skip_empty_rest(self, final: bool) -> bool:
        """Skips empty slots at the end of a segment if the next segment has records; returns whether it did."""
        following = self._path(self._segment + 1)
        if not following.exists():
            return False
        ahead = _SegmentFile(following)
        try:
            first = _as_records(ahead.read(layout.HEADER_BYTES, RECORD_DTYPE.itemsize))
        finally:
            ahead.close()
        if not len(first) or not first["sequence"][0]:
            return False  # the process made this segment in advance
        if not final and self._hole_polls < HOLE_POLLS:
            self._hole_polls += 1
            return False
        self._hole_polls = 0
        self.holes += layout.SEGMENT_RECORDS - self._slot
        return self._next_segment()

    def _path(self, segment: int) -> pathlib.Path:
        return self._folder / f"{self.stem}.{segment:04d}{layout.SUFFIX}"

    def _next_segment(self) -> bool:
        if not self._path(self._segment + 1).exists():
            return False
        self.close()
        read = self._segment
        self._segment, self._slot = self._segment + 1, 0
        if self._deletes_read and read > 0:
            with contextlib.suppress(OSError):  # Windows deletes no file that a process has mapped: then `delete` does
                self._path(read).unlink(missing_ok=True)
        return self._open(self._segment)

    def _open(self, segment: int) -> bool:
        try:
            self._file = _SegmentFile(self._path(segment))
        except (OSError, ValueError):  # not there yet, or still empty
            return False
        return True


class _SegmentFile:
    """A file that another process has mapped into memory and writes to."""

    def __init__(self, path: pathlib.Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._map: mmap.mmap | None = None
        if sys.platform == "win32":  # where reading a file does not see writes through a mapping
            try:
                self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):
                os.close(self._descriptor)
                raise

    def read(self, offset: int, size: int) -> bytes:
        """Returns up to `size` bytes at `offset`; fewer where the file is shorter."""
        if self._map is not None:
            return self._map[offset : offset + size]
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
        os.close(self._descriptor)


def _as_records(data: bytes) -> Records:
    whole = len(data) - len(data) % RECORD_DTYPE.itemsize  # a record that is cut off is not finished yet
    return np.frombuffer(data[:whole], RECORD_DTYPE)


_NO_RECORDS: Records = np.empty(0, RECORD_DTYPE)
