"""Writes the stacks of a process that makes no progress to a file: a timer does so unless new records restart it.

`faulthandler` dumps from a C thread, so it works while C code holds the GIL, and on Windows. One process has one such timer;
a script that uses `faulthandler.dump_traceback_later` itself loses its own while it is recorded.
"""

from __future__ import annotations

import faulthandler
from typing import IO, Optional

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

    def open(self, path: str) -> None:
        """Opens the file; where that fails (a full disk), and with a time of 0, the timer never dumps."""
        if not self._after_s:
            return
        try:
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - it stays open for the timer
        except OSError:
            self._file = None

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
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        """Closes the parent's file in a forked child. `disarm` ran before the fork, so the child inherited no timer."""
        self._armed = False
        if self._file is not None:
            self._file.close()
            self._file = None
