"""When the recording of a process begins and ends: its bounds in time and batches, and the end of the app that records."""

from __future__ import annotations

import os
import time
from typing import Optional

VARIABLE = "LOADERSCOPE_RECORD_BOUNDS"
"""`FROM_NS:UNTIL_NS:BATCHES`, times of `perf_counter_ns`; 0 where there is no such bound."""

ENDED_SUFFIX = ".ended"
"""A process whose recording has ended at a bound writes the time (ns) into the file PID.ended, in the folder of the recording."""

APP_VARIABLE = "LOADERSCOPE_RECORD_APP"
"""The process id of the app that records."""


class RecordBounds:
    """The bounds for this process.

    Attributes:
        until_ns: 0 without a limit in time.
    """

    def __init__(self, from_ns: int, until_ns: int, batch_limit: int) -> None:
        self._from_ns, self.until_ns, self._batch_limit = from_ns, until_ns, batch_limit
        self._batch_count = 0

    def count_batch(self) -> None:
        """Counts a batch that a loader of this process has given, unless the recording has not begun yet."""
        if self._batch_limit and time.perf_counter_ns() >= self._from_ns:
            self._batch_count += 1

    def are_reached(self) -> bool:
        """Whether the recording of this process is to end now."""
        if self._batch_limit and self._batch_count >= self._batch_limit:
            return True
        return bool(self.until_ns) and time.perf_counter_ns() >= self.until_ns


def text_of(from_ns: int, until_ns: int, batch_limit: int) -> str:
    """Returns the value of `VARIABLE`."""
    return "%d:%d:%d" % (from_ns, until_ns, batch_limit)


def bounds_of_process() -> Optional[RecordBounds]:
    """Returns the bounds that the environment names; None if it names none."""
    text = os.environ.get(VARIABLE)
    return None if not text else RecordBounds(*map(int, text.split(":")))


def note_end(folder: str) -> None:
    """Lets the app know that the recording of this process ends now.

    Raises:
        OSError: the file cannot be written.
    """
    path = os.path.join(folder, "%d%s" % (os.getpid(), ENDED_SUFFIX))
    with open(path + ".part", "w", encoding="ascii") as file:
        file.write("%d" % time.perf_counter_ns())
    os.replace(path + ".part", path)


def app_is_gone() -> bool:
    """Whether the app that records has ended; False where that is unknown."""
    pid = os.environ.get(APP_VARIABLE, "")
    if os.name == "nt" or not pid.isdigit():  # there `os.kill` would end it
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
