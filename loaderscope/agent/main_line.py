"""Records where main stands in long steps and outside of loaders: in which line of the user's code, at a checkpoint or in an evaluation.

A thread looks ten times a second, and walks main's stack only where main has been outside of its loaders for a while. It is no thread
of `threading`: the script does not see it, and it keeps no process from ending. It never runs during a fork.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
import time
from typing import Any, Callable, Dict, Optional, Tuple

from . import recorder
from .error_sentences import is_user_file
from .layout import MAIN_THREAD, State
from .user_frames import callers

_PERIOD_S = 0.1
_QUIET_NS = 500_000_000
"""Main must have been outside of its loaders for so long: short steps are not sampled."""
_LONGEST_NS = 60_000_000_000
"""A longer stay in one line is recorded in parts, so that a killed process keeps the earlier ones."""
_SAMPLES_BEFORE_LOOK = 50
"""After so many samples the thread looks whether the recording is over."""
_JOIN_TIMEOUT_S = 1.0
_EXIT_POLL_S = 0.0001
_EXIT_POLLS = 100

_MAIN_LINE = recorder.complete_kind(State.MAIN_LINE)


class _Sampler:
    """Samples the thread that makes it."""

    def __init__(self, give_up: Callable[[Exception], None], is_over: Callable[[], bool]) -> None:
        self._give_up, self._is_over = give_up, is_over
        self._activity = recorder.threads.activity
        self._main_thread = _thread.get_ident()
        self._stop = self._ended = _thread.allocate_lock()
        self._own_thread = self._native_thread = 0
        self._is_running = False
        self._calls = -1
        self._quiet_since_ns = 0
        self._line: Optional[Tuple[Any, str]] = None  # the recording and the line of the stay that is not written yet
        self._first_ns = self._last_ns = 0
        self._numbers: Dict[Tuple[int, str], int] = {}  # of names in a recording's log
        self._is_users: Dict[str, bool] = {}

    def start(self) -> None:
        """Starts the thread; under a limit on threads there are no lines."""
        self._stop, self._ended = _thread.allocate_lock(), _thread.allocate_lock()
        self._stop.acquire()
        self._ended.acquire()
        try:
            self._own_thread = _thread.start_new_thread(self._run, (self._stop, self._ended))
            self._is_running = True
        except RuntimeError:
            pass

    def stop(self) -> None:
        """Ends the thread, and waits until the system has none: Python warns of a fork of a process with threads."""
        if not self._is_running or _thread.get_ident() == self._own_thread:
            return
        self._is_running = False
        self._stop.release()
        if self._ended.acquire(timeout=_JOIN_TIMEOUT_S):
            polls = 0
            while polls < _EXIT_POLLS and os.path.exists("/proc/self/task/%d" % self._native_thread):
                polls += 1
                time.sleep(_EXIT_POLL_S)

    def write_line(self) -> None:
        """Writes the stay in a line that was seen last."""
        if self._line is None:
            return
        (recording, name), self._line = self._line, None
        key = (id(recording), name)
        if key not in self._numbers:
            self._numbers[key] = recording.log.add_name(name)
            recording.log.flush_names()
        recording.write_at(self._first_ns, _MAIN_LINE, self._numbers[key], self._last_ns - self._first_ns, MAIN_THREAD)

    def _run(self, stop: Any, ended: Any) -> None:
        try:
            self._native_thread = _thread.get_native_id()
            samples = 0
            while not stop.acquire(timeout=_PERIOD_S):
                self._sample()
                samples += 1
                if samples % _SAMPLES_BEFORE_LOOK == 0 and self._is_over():
                    break
        except Exception as error:
            self._give_up(error)
        finally:
            ended.release()

    def _sample(self) -> None:
        now_ns, activity = time.perf_counter_ns(), self._activity
        if activity.in_loader or activity.loader_calls != self._calls:
            self._calls, self._quiet_since_ns = activity.loader_calls, now_ns
            self.write_line()
        elif now_ns - self._quiet_since_ns >= _QUIET_NS:
            recording, name = activity.recording, self._line_of_main()
            line = None if recording is None or name is None else (recording, name)
            if line != self._line or now_ns - self._first_ns > _LONGEST_NS:
                self.write_line()
                self._line, self._first_ns = line, now_ns
            self._last_ns = now_ns

    def _line_of_main(self) -> Optional[str]:
        """The innermost line of the user's code in main, as "FILE:LINE in FUNCTION"."""
        for frame in callers(sys._current_frames().get(self._main_thread)):
            file = frame.f_code.co_filename
            if file not in self._is_users:
                self._is_users[file] = is_user_file(file)
            if self._is_users[file]:
                return "%s:%d in %s" % (os.path.abspath(file), frame.f_lineno or 0, frame.f_code.co_name)
        return None


_sampler: Optional[_Sampler] = None
_is_watched = False


def start(give_up: Callable[[Exception], None], is_over: Callable[[], bool]) -> None:
    """Samples this thread, the main thread, from now on; does nothing where it is sampled already.

    Args:
        give_up: gets a fault of the sampling.
        is_over: called from time to time; ends the recording where it is over, and returns whether it is.
    """
    global _sampler, _is_watched
    if _sampler is not None:
        return
    _sampler = _Sampler(give_up, is_over)
    if not _is_watched:
        _is_watched = True
        atexit.register(stop)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
    _sampler.start()


def stop() -> None:
    """Ends the sampling, and writes what was seen last."""
    global _sampler
    sampler, _sampler = _sampler, None
    if sampler is not None:
        sampler.stop()
        sampler.write_line()


def _before_fork() -> None:
    if _sampler is not None:
        _sampler.stop()


def _after_fork_in_parent() -> None:
    if _sampler is not None:
        _sampler.start()


def _after_fork_in_child() -> None:
    global _sampler
    _sampler = None
