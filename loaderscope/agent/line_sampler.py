"""Measures which lines of the script's own top level take long while a worker imports it again.

A thread reads the current line of the module's frame every few milliseconds. C code that holds the interpreter's lock makes the
thread wait, too; the thread then finds the line that held it up, because that line's call has only just returned.
"""

from __future__ import annotations

import _thread
import sys
import time
from types import FrameType
from typing import Dict, List, NamedTuple, Optional, Tuple

from .import_timer import ImportTimer
from .notebook_shell import cell_number

_PERIOD_S = 0.005
_PERIOD_SHARE = 0.01
"""The period grows to this share of the elapsed time: a start of ten seconds needs no sample every few milliseconds."""
_JOIN_TIMEOUT_S = 1.0
"""How long to wait for the end of the thread: a child that the script's top level forks lacks the thread."""
_MIN_REPORTED_NS = 10_000_000
_MAX_LINES = 20
_MAX_TEXT_CHARACTERS = 160


class Line(NamedTuple):
    """A line, and the time spent on it (or in what it calls) outside of imports and in imports."""

    number: int
    text: str
    plain_ns: int
    import_ns: int


class LineSampler:
    """Use it as a context around the import of a module; it samples the thread that enters it.

    Attributes:
        own_ns: time that the sampling itself took.
    """

    def __init__(self, module: str, imports: ImportTimer) -> None:
        """Prepares the sampling of a module.

        Args:
            module: `__name__` of the module.
            imports: knows whether an import is under way.
        """
        self.own_ns = 0
        self._module = module
        self._imports = imports
        self._thread = _thread.get_ident()
        self._frame: Optional[FrameType] = None
        self._spent_ns: Dict[Tuple[str, int], List[int]] = {}  # by file and number: the module of a notebook has a file for each cell
        self._stop = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()
        self._began_ns = self._sampled_ns = 0

    def __enter__(self) -> "LineSampler":
        self._stop.acquire()
        self._ended.acquire()
        self._began_ns = self._sampled_ns = time.perf_counter_ns()
        try:
            _thread.start_new_thread(self._sample_until_stopped, ())
        except RuntimeError:  # a limit on threads: then there are no lines
            self._ended.release()
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends the thread, and waits for its end."""
        self._stop.release()
        self._ended.acquire(timeout=_JOIN_TIMEOUT_S)
        self._sample()  # the time since the last sample

    def lines(self) -> List[Line]:
        """Returns the lines that took longest, by number; call it once, after the import."""
        if self._frame is None:
            return []
        import linecache

        namespace = self._frame.f_globals
        self._frame = None  # it would keep objects alive that the module has deleted
        long = [(sum(spent_ns), key) for key, spent_ns in self._spent_ns.items() if sum(spent_ns) >= _MIN_REPORTED_NS]
        lines = []
        for file, number in sorted(key for _, key in sorted(long, reverse=True)[:_MAX_LINES]):
            text, cell = linecache.getline(file, number, namespace).strip()[:_MAX_TEXT_CHARACTERS], cell_number(file)
            lines.append(Line(number, text if cell is None else "%s (cell %d)" % (text, cell), *self._spent_ns[file, number]))
        return lines

    def _sample_until_stopped(self) -> None:
        try:
            while not self._stop.acquire(timeout=max(_PERIOD_S, _PERIOD_SHARE * (time.perf_counter_ns() - self._began_ns) / 1e9)):
                self._sample()
        finally:
            self._ended.release()

    def _sample(self) -> None:
        now_ns = time.perf_counter_ns()
        frame = self._frame = self._find_frame() or self._frame
        if frame is not None:
            spent_ns = self._spent_ns.setdefault((frame.f_code.co_filename, frame.f_lineno or 0), [0, 0])
            spent_ns[1 if self._imports.depth else 0] += now_ns - self._sampled_ns
        self._sampled_ns = now_ns
        self.own_ns += time.perf_counter_ns() - now_ns

    def _find_frame(self) -> Optional[FrameType]:
        """The frame that executes the module, or the cell of a notebook; None before it starts and after its end."""
        frame = sys._current_frames().get(self._thread)
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == self._module:
                return frame
            frame = frame.f_back
        return None
