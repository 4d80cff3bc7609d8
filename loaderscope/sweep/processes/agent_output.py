"""Reads the output of an agent: a thread for each pipe cuts its bytes into lines and keeps a bounded amount, whatever the script prints."""

from __future__ import annotations

import collections
import sys
import threading
import time
from typing import IO, NamedTuple

from loaderscope.facts.text import bytes_text

CHUNK_BYTES = 64 * 1024
LINE_BYTES = 8 * 1024
"""A longer line is cut into pieces of this size."""
MOST_WAITING_BYTES = 512 * 1024
"""This much output may wait for `drain`; more is dropped and counted, so that a script that prints fast neither blocks nor eats memory."""
MOST_TOTAL_BYTES = 4 * 1024 * 1024
"""`drain` returns this much of one stream in all; from then on only the stream's tail is kept, for messages about errors."""
TAIL_LINES = 60

_EMPTY_LOOKS = 3  # a moment passes between the reading of bytes and the lines made of them
_LOOK_EVERY_S = 0.001

if sys.platform == "win32":
    import _winapi
    import msvcrt

    def _pipe_has_bytes(descriptor: int) -> bool:
        return bool(_winapi.PeekNamedPipe(msvcrt.get_osfhandle(descriptor), 0)[0])
else:
    import select

    def _pipe_has_bytes(descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))


class OutputLine(NamedTuple):
    """One line of output, or a sentence in the place of dropped output.

    Attributes:
        time_ns: perf_counter_ns when it was read.
        dropped_bytes: size of the output that the sentence replaces; 0 for a real line.
    """

    time_ns: int
    stream: str  # stdout | stderr
    text: str
    dropped_bytes: int = 0


class OutputReader:
    """Reads one pipe to its end in a thread of its own."""

    def __init__(self, pipe: IO[bytes], stream: str) -> None:
        self._pipe = pipe
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: list[OutputLine] = []
        self._waiting_bytes = 0
        self._total_bytes = 0
        self._dropped_bytes = 0
        self._tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
        self._thread = threading.Thread(target=self._read, name=f"agent {stream}", daemon=True)
        self._thread.start()

    def drain(self) -> list[OutputLine]:
        """The lines since the last call; a last line says how much was dropped, if anything was."""
        with self._lock:
            lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if self._dropped_bytes and (not lines or self._total_bytes < MOST_TOTAL_BYTES or not self._thread.is_alive()):
                text = f"[{bytes_text(self._dropped_bytes)} of output left out here]"
                lines.append(OutputLine(time.perf_counter_ns(), self._stream, text, self._dropped_bytes))
                self._dropped_bytes = 0
            return lines

    def settle(self, timeout_s: float) -> None:
        """Waits until the pipe has been empty for a moment, so that `drain` returns all that was printed so far."""
        deadline, empty = time.monotonic() + timeout_s, 0
        while empty < _EMPTY_LOOKS and time.monotonic() < deadline:
            empty = 0 if self._has_unread_bytes() else empty + 1
            time.sleep(_LOOK_EVERY_S)

    def _has_unread_bytes(self) -> bool:
        try:
            return _pipe_has_bytes(self._pipe.fileno())
        except (OSError, ValueError):  # `_read` closes the pipe at its end
            return False

    def tail(self) -> list[str]:
        """The last lines, dropped ones included."""
        with self._lock:
            return list(self._tail)

    def join(self, timeout_s: float) -> None:
        """Waits for the end of the pipe, when no process holds its other end any more."""
        self._thread.join(timeout_s)

    def _read(self) -> None:
        rest = b""
        try:
            while chunk := self._pipe.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
                *lines, rest = (rest + chunk).split(b"\n")
                while len(rest) > LINE_BYTES:
                    lines.append(rest[:LINE_BYTES])
                    rest = rest[LINE_BYTES:]
                self._add_lines(lines)
        except (OSError, ValueError):  # the pipe was closed during a read, at the end
            pass
        if rest:
            self._add_lines([rest])
        self._pipe.close()

    def _add_lines(self, lines: list[bytes]) -> None:
        now_ns = time.perf_counter_ns()
        with self._lock:
            for whole in lines:
                # a progress bar redraws its line after a carriage return: keep the text that stays visible
                line = whole.rstrip(b"\r").rpartition(b"\r")[2]
                for start in range(0, max(1, len(line)), LINE_BYTES):
                    self._add_line(now_ns, line[start : start + LINE_BYTES])

    def _add_line(self, now_ns: int, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace")
        self._tail.append(text)
        size = len(line) + 1
        if self._waiting_bytes + size > MOST_WAITING_BYTES or self._total_bytes + size > MOST_TOTAL_BYTES:
            self._dropped_bytes += size
            return
        self._waiting_bytes += size
        self._total_bytes += size
        self._waiting.append(OutputLine(now_ns, self._stream, text))
