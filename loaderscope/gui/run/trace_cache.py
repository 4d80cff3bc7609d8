"""The traces at hand: those that were recorded or read last. What can be read again gives way once there is too much of it."""

from __future__ import annotations

import weakref

from loaderscope.trace.model import Trace

KEPT_BYTES = 256 << 20
"""So much is kept beyond what is shown: eight million spans."""


class TraceCache:
    """Traces by trial. Whatever something still shows, or the sweep still fills, is found as well, however much is kept."""

    def __init__(self) -> None:
        self._kept: dict[int, Trace] = {}  # the one that was wanted last is the last
        self._used: weakref.WeakValueDictionary[int, Trace] = weakref.WeakValueDictionary()
        self._stored: set[int] = set()

    def __contains__(self, trial: int) -> bool:
        return trial in self._used

    def find(self, trial: int) -> Trace | None:
        """The trace of a trial, which is kept longest from now on; None where it is not at hand."""
        trace = self._used.get(trial)
        if trace is not None:
            self.keep(trial, trace)
        return trace

    def keep(self, trial: int, trace: Trace) -> None:
        """Takes the trace of a trial, which is kept longest from now on."""
        self._kept.pop(trial, None)
        self._kept[trial] = self._used[trial] = trace
        self._let_go()

    def mark_stored(self, trial: int) -> None:
        """The trace of this trial can be read from the session file from now on."""
        self._stored.add(trial)
        self._let_go()

    def is_stored(self, trial: int) -> bool:
        """Whether the trace of this trial can be read again."""
        return trial in self._stored

    def _let_go(self) -> None:
        """Of too many, those that were wanted longest ago."""
        held_bytes = sum(trace.byte_count for trace in self._kept.values())
        for trial in list(self._kept)[:-1]:
            if held_bytes <= KEPT_BYTES:
                return
            if trial in self._stored:
                held_bytes -= self._kept.pop(trial).byte_count
