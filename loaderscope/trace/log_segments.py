"""Reads one process's event log, a chain of segment files, while the process still writes it.

A record's sequence word is written last, so it is read first: one read finds how many records are there, a second one
takes them. A record that is missing between others is a hole: of a thread that is about to write it, or that died. Holes
are waited for a while and then left out.
"""

from __future__ import annotations

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
"""Polls for which a hole is waited for. A thread can lose the GIL between taking its slot and filling it."""

_FIRST_READ_RECORDS = 512
_WEAK_MEMORY = platform.machine().lower() in ("arm64", "aarch64")


class Chain:
    """The log of one process.

    Attributes:
        header: the newest segment's header, empty until one can be read.
        holes: records that were left out.
    """

    def __init__(self, folder: pathlib.Path, stem: str) -> None:
        self.stem = stem
        self.header: dict[str, Any] = {}
        self.holes = 0
        self._folder = folder
        self._segment = 0
        self._position = 0  # in the segment
        self._file: _SegmentFile | None = None
        self._hole_polls = 0
        self._provisional = -1

    @property
    def length(self) -> int:
        """Slots passed so far, holes among them."""
        return self._segment * layout.SEGMENT_RECORDS + self._position

    def read_header(self) -> bool:
        """Reads the header again; False while there is none that can be understood."""
        if self._file is None and not self._open(self._segment):
            return False
        assert self._file is not None
        text = self._file.read(0, layout.HEADER_BYTES).rstrip(b"\0")
        try:
            header = json.loads(text)
        except ValueError:  # being written at this moment
            return bool(self.header)
        if isinstance(header, dict):
            self.header = header
        return bool(self.header)

    def stopped(self) -> str | None:
        """Why recording ended early, one sentence; None where it did not. It is written into the first segment's header."""
        try:
            with self._path(0).open("rb") as file:
                reason = json.loads(file.read(layout.HEADER_BYTES).rstrip(b"\0")).get(layout.Header.STOPPED)
            return reason if isinstance(reason, str) else None
        except (OSError, ValueError, AttributeError):
            return None

    def names(self) -> list[str]:
        """The texts that belong to the log, by line; an unfinished last line is left out."""
        try:
            lines = (self._folder / (self.stem + layout.NAMES_SUFFIX)).read_bytes().split(b"\n")[:-1]
            return [str(json.loads(line)) for line in lines]
        except (OSError, ValueError):
            return []

    def read(self, final: bool = False) -> list[Records]:
        """The records written since the last call; with `final`, what can be read behind holes too."""
        found: list[Records] = []
        wanted = _FIRST_READ_RECORDS
        while self._file is not None or self._open(self._segment):
            room = layout.SEGMENT_RECORDS - self._position
            if not room:
                if not self._next_segment():
                    break
                continue
            records, more = self._read_some(min(room, wanted), final)
            if len(records):
                found.append(records)
            if not more:
                break
            wanted = min(wanted * 2, layout.SEGMENT_RECORDS)
        return found

    def close(self) -> None:
        """Lets go of the file; reading opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_some(self, wanted: int, final: bool) -> tuple[Records, bool]:
        """Reads up to `wanted` slots; also says whether there may be more."""
        assert self._file is not None
        offset = layout.HEADER_BYTES + self._position * RECORD_DTYPE.itemsize
        sequences = _as_records(self._file.read(offset, wanted * RECORD_DTYPE.itemsize))["sequence"]
        there = sequences == self._sequences(len(sequences))
        filled = int(there.nonzero()[0][-1]) + 1 if there.any() else 0
        if not filled:
            return _NO_RECORDS, self._pass_empty_rest(final)
        more = filled == wanted
        if not there[:filled].all() and not final and self._hole_polls < HOLE_POLLS:
            self._hole_polls += 1
            filled, more = int(there[:filled].argmin()), False
        elif filled:
            self._hole_polls = 0
        if _WEAK_MEMORY and filled and not more and not final and self._provisional != self.length + filled:
            self._provisional = self.length + filled  # its other words may not have arrived yet: taken at the next poll
            filled -= 1
        records = _as_records(self._file.read(offset, filled * RECORD_DTYPE.itemsize))
        self._position += filled
        if there[:filled].all():
            return records, more
        self.holes += filled - int(there[:filled].sum())
        return records[there[:filled]], more

    def _sequences(self, count: int) -> npt.NDArray[np.uint32]:
        first = self.length + 1
        return np.arange(first, first + count, dtype=np.int64).astype(np.uint32)

    def _pass_empty_rest(self, final: bool) -> bool:
        """At slots with nothing in them: whether the chain goes on in the next segment and these are holes."""
        following = self._path(self._segment + 1)
        if not following.exists():
            return False
        ahead = _SegmentFile(following)
        try:
            first = _as_records(ahead.read(layout.HEADER_BYTES, RECORD_DTYPE.itemsize))
        finally:
            ahead.close()
        if not len(first) or not first["sequence"][0]:
            return False  # made in advance
        if not final and self._hole_polls < HOLE_POLLS:
            self._hole_polls += 1
            return False
        self._hole_polls = 0
        self.holes += layout.SEGMENT_RECORDS - self._position
        return self._next_segment()

    def _path(self, segment: int) -> pathlib.Path:
        return self._folder / f"{self.stem}.{segment:04d}{layout.SUFFIX}"

    def _next_segment(self) -> bool:
        if not self._path(self._segment + 1).exists():
            return False
        self.close()
        self._segment, self._position = self._segment + 1, 0
        return self._open(self._segment)

    def _open(self, segment: int) -> bool:
        try:
            self._file = _SegmentFile(self._path(segment))
        except (OSError, ValueError):  # not there yet, or still empty
            return False
        return True


class _SegmentFile:
    """Bytes of a file that another process has mapped and writes to."""

    def __init__(self, path: pathlib.Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._map: mmap.mmap | None = None
        if sys.platform == "win32":  # reads of a file are not coherent with mappings of it there
            try:
                self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError):
                os.close(self._descriptor)
                raise

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer where the file is shorter."""
        if self._map is not None:
            return self._map[offset : offset + size]
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
        os.close(self._descriptor)


def _as_records(data: bytes) -> Records:
    whole = len(data) - len(data) % RECORD_DTYPE.itemsize  # a torn tail is not there yet
    return np.frombuffer(data[:whole], RECORD_DTYPE)


_NO_RECORDS: Records = np.empty(0, RECORD_DTYPE)
