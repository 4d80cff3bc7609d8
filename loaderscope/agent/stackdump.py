"""Writes the stacks of a process to a file: when it makes no progress, by a timer that new records restart, and when it is asked.

`faulthandler` dumps from a C thread, so it works while C code holds the GIL, and on Windows. One process has one such timer;
a script that uses `faulthandler.dump_traceback_later` itself loses its own while it is recorded.

The app asks by `ASK_SIGNAL`. No code of the user's runs for it, and system calls that it meets are restarted.
"""

from __future__ import annotations

import faulthandler
import signal
from typing import IO, Optional

ASK_SIGNAL: Optional[int] = getattr(signal, "SIGURG", None) if hasattr(faulthandler, "register") else None
"""A process that gets it writes its stacks; None on Windows, which has no such signal.

The system ignores it where nobody handles it, so a process that cannot answer goes on."""

_SHARE_OF_TIMEOUT = 0.7
"""The dump must be on disk before the app gives up the trial."""
_REARM_SHARE = 0.2
"""Share of its time after which a record restarts the timer; it so dumps when there was no record for 80 to 100 % of its time.

A restart ends one thread and starts another. That takes about 150 µs, but milliseconds where all cores are busy: the recorded
thread then waits for the old one's turn, and holds the GIL."""


class StackDump:
    """The timer of this process, and the file to which it dumps."""

    def __init__(self, timeout_s: float) -> None:
        self._after_s = _SHARE_OF_TIMEOUT * timeout_s
        self._rearm_every_ns = int(_REARM_SHARE * self._after_s * 1e9)
        self._file: Optional[IO[bytes]] = None
        self._armed = False
        self._answers = False

    def open(self, path: str) -> None:
        """Opens the file; where that fails (a full disk), and with a time of 0, the timer never dumps."""
        if not self._after_s:
            return
        try:
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - it stays open for the timer
        except OSError:
            return
        self._start_answering(self._file)

    def _start_answering(self, file: IO[bytes]) -> None:
        """Dumps at `ASK_SIGNAL` from now on, unless the script handles that signal itself."""
        if ASK_SIGNAL is not None and signal.getsignal(ASK_SIGNAL) in (signal.SIG_DFL, signal.SIG_IGN):
            faulthandler.register(ASK_SIGNAL, file, all_threads=True, chain=False)
            self._answers = True

    def _stop_answering(self) -> None:
        if self._answers and ASK_SIGNAL is not None:
            self._answers = False
            faulthandler.unregister(ASK_SIGNAL)

    def rearm(self, now_ns: int) -> int:
        """Restarts the timer, and returns the time (ns) from which it is to be restarted again."""
        if self._file is not None:
            faulthandler.dump_traceback_later(self._after_s, exit=False, file=self._file)
            self._armed = True
        return now_ns + self._rearm_every_ns

    def disarm(self) -> None:
        """Stops the timer until `rearm`."""
        if self._armed:
            self._armed = False
            faulthandler.cancel_dump_traceback_later()

    def close(self) -> None:
        """Stops the timer for good."""
        self.disarm()
        self._stop_answering()
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        """Closes the parent's file in a forked child. `disarm` ran before the fork, so the child inherited no timer."""
        self._armed = False
        self._stop_answering()
        if self._file is not None:
            self._file.close()
            self._file = None
