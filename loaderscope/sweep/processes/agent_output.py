"""The output of an agent: pipes read by threads as bytes, cut into lines, bounded in memory whatever the script prints."""

from __future__ import annotations

import collections
import sys
import threading
import time
from typing import IO, NamedTuple

from loaderscope.facts.text import bytes_text

CHUNK_BYTES = 64 * 1024
LINE_BYTES = 8 * 1024
"""A longer line is handed on in pieces of this size."""
WAITING_BYTES = 512 * 1024
"""What may wait for `drain`; more is dropped and counted, so that a script that prints fast neither blocks nor eats memory."""
TOTAL_BYTES = 4 * 1024 * 1024
"""What one stream may hand on in all; from then on only its tail is kept, for the last words."""
TAIL_LINES = 60

_EMPTY_LOOKS = 3  # between the reading of bytes and the lines of them lies a moment
_LOOK_EVERY_S = 0.001

if sys.platform == "win32":
    import _winapi
    import msvcrt

    def _waits_in(descriptor: int) -> bool:
        return bool(_winapi.PeekNamedPipe(msvcrt.get_osfhandle(descriptor), 0)[0])
else:
    import select

    def _waits_in(descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))


class OutputLine(NamedTuple):
    """One line of output, or a sentence in the place of what was dropped; `time_ns` is perf_counter_ns of its reading."""

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
        """The lines since the last call, with a sentence about what was dropped between them."""
        with self._lock:
            lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if self._dropped_bytes and (not lines or self._total_bytes < TOTAL_BYTES or not self._thread.is_alive()):
                text = f"[{bytes_text(self._dropped_bytes)} of output left out here]"
                lines.append(OutputLine(time.perf_counter_ns(), self._stream, text, self._dropped_bytes))
                self._dropped_bytes = 0
            return lines

    def settle(self, timeout_s: float) -> None:
        """Waits until all that was printed so far is here, as far as the pipe tells."""
        deadline, empty = time.monotonic() + timeout_s, 0
        while empty < _EMPTY_LOOKS and time.monotonic() < deadline:
            empty = 0 if self._holds_more() else empty + 1
            time.sleep(_LOOK_EVERY_S)

    def _holds_more(self) -> bool:
        try:
            return _waits_in(self._pipe.fileno())
        except (OSError, ValueError):  # at its end it is closed
            return False

    def tail(self) -> list[str]:
        """The last lines, dropped ones included."""
        with self._lock:
            return list(self._tail)

    def join(self, timeout_s: float) -> None:
        """Waits for the end of the pipe: every process that holds its other end is gone."""
        self._thread.join(timeout_s)

    def _read(self) -> None:
        rest = b""
        try:
            while chunk := self._pipe.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
                *lines, rest = (rest + chunk).split(b"\n")
                while len(rest) > LINE_BYTES:
                    lines.append(rest[:LINE_BYTES])
                    rest = rest[LINE_BYTES:]
                self._take(lines)
        except (OSError, ValueError):  # the pipe was closed under us at the end
            pass
        if rest:
            self._take([rest])
        self._pipe.close()

    def _take(self, lines: list[bytes]) -> None:
        now_ns = time.perf_counter_ns()
        with self._lock:
            for whole in lines:
                # a progress bar redraws its line after a carriage return: keep what stays visible
                line = whole.rstrip(b"\r").rpartition(b"\r")[2]
                for start in range(0, max(1, len(line)), LINE_BYTES):
                    self._keep(now_ns, line[start : start + LINE_BYTES])

    def _keep(self, now_ns: int, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace")
        self._tail.append(text)
        size = len(line) + 1
        if self._waiting_bytes + size > WAITING_BYTES or self._total_bytes + size > TOTAL_BYTES:
            self._dropped_bytes += size
            return
        self._waiting_bytes += size
        self._total_bytes += size
        self._waiting.append(OutputLine(now_ns, self._stream, text))
