"""Which lines of the script's own top level take long while a worker imports it again.

A thread looks every few milliseconds at the line that the module's frame is at. C code that keeps the interpreter's lock
keeps the thread waiting, too: it then finds the line that kept it, because that line's call has only just returned.
"""

from __future__ import annotations

import _thread
import sys
import time
from types import FrameType
from typing import Dict, List, NamedTuple, Optional

from .import_timer import ImportTimer

_PERIOD_S = 0.005
_PERIOD_PART = 0.01
"""The period grows to this part of the time that has passed: a start of ten seconds need not be looked at in milliseconds."""
_PATIENCE_S = 1.0
"""For the end of the thread: a child that the script's top level forks has none."""
_WORTH_TELLING_NS = 10_000_000
_MOST_LINES = 20
_LONGEST_TEXT = 160


class Line(NamedTuple):
    """A line, and the time spent on it (or in what it calls) outside of imports and in imports."""

    number: int
    text: str
    plain_ns: int
    import_ns: int


class LineSampler:
    """Use as a context around the import of a module by the thread that enters it.

    Attributes:
        own_ns: what the looking took.
    """

    def __init__(self, module: str, imports: ImportTimer) -> None:
        """Nothing is looked at yet.

        Args:
            module: `__name__` of the module.
            imports: says whether an import goes on.
        """
        self.own_ns = 0
        self._module = module
        self._imports = imports
        self._thread = _thread.get_ident()
        self._frame: Optional[FrameType] = None
        self._spent: Dict[int, List[int]] = {}
        self._stop = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()
        self._began_ns = self._looked_ns = 0

    def __enter__(self) -> "LineSampler":
        self._stop.acquire()
        self._ended.acquire()
        self._began_ns = self._looked_ns = time.perf_counter_ns()
        try:
            _thread.start_new_thread(self._look_again_and_again, ())
        except RuntimeError:  # a limit on threads: then lines are not told
            self._ended.release()
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends the thread, and waits until it has."""
        self._stop.release()
        self._ended.acquire(timeout=_PATIENCE_S)
        self._look()  # what has passed since the last time

    def lines(self) -> List[Line]:
        """The lines that took longest, by number; to be asked once, afterwards."""
        if self._frame is None:
            return []
        import linecache

        path, namespace = self._frame.f_code.co_filename, self._frame.f_globals
        self._frame = None  # it would keep what the module has deleted
        long = [(sum(spent), number) for number, spent in self._spent.items() if sum(spent) >= _WORTH_TELLING_NS]
        numbers = sorted(number for _, number in sorted(long, reverse=True)[:_MOST_LINES])
        texts = {number: linecache.getline(path, number, namespace).strip()[:_LONGEST_TEXT] for number in numbers}
        return [Line(number, texts[number], *self._spent[number]) for number in numbers]

    def _look_again_and_again(self) -> None:
        try:
            while not self._stop.acquire(timeout=max(_PERIOD_S, _PERIOD_PART * (time.perf_counter_ns() - self._began_ns) / 1e9)):
                self._look()
        finally:
            self._ended.release()

    def _look(self) -> None:
        now_ns = time.perf_counter_ns()
        frame = self._frame = self._frame or self._find_frame()
        if frame is not None:
            spent = self._spent.setdefault(frame.f_lineno or 0, [0, 0])
            spent[1 if self._imports.depth else 0] += now_ns - self._looked_ns
        self._looked_ns = now_ns
        self.own_ns += time.perf_counter_ns() - now_ns

    def _find_frame(self) -> Optional[FrameType]:
        """The frame that executes the module."""
        frame = sys._current_frames().get(self._thread)
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == self._module:
                return frame
            frame = frame.f_back
        return None
