"""Traces of a session are read where they do not hold up the window."""

import threading

import pytest
from PySide6.QtCore import QObject

from loaderscope.gui.run.trace_loader import ROWS_AT_ONCE, TraceLoader


class _Session:
    """Trials with so many rows, the reading of which waits for an event."""

    def __init__(self, rows):
        self._rows = rows
        self.read, self.go_on = [], threading.Event()

    def rows_to_read(self, trial_id):
        return self._rows[trial_id]

    def trace(self, trial_id):
        self.read.append((trial_id, threading.current_thread() is threading.main_thread()))
        assert self._rows[trial_id] <= ROWS_AT_ONCE or self.go_on.wait(10)


def test_a_long_trace_that_nobody_waits_for_any_more_is_not_read(qtbot, qapp):
    session, taken, owner = _Session({1: ROWS_AT_ONCE + 1, 2: ROWS_AT_ONCE + 1, 3: 10}), [], QObject()
    reading = TraceLoader(lambda read: taken.append(read.trial_id), owner)
    assert [reading.read(session, trial_id) for trial_id in (1, 2, 3)] == [True, True, False]
    assert taken == [3]
    session.go_on.set()
    qtbot.waitUntil(lambda: not reading._work.busy, timeout=10_000)
    assert sorted(session.read) == [(1, False), (3, True)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_while_a_long_trace_is_read_is_told(qtbot, qapp):
    class Broken(_Session):
        def trace(self, trial_id):
            raise ZeroDivisionError

    session, taken, owner = Broken({4: ROWS_AT_ONCE + 1}), [], QObject()
    reading = TraceLoader(taken.append, owner)
    assert reading.read(session, 4)
    qtbot.waitUntil(lambda: bool(taken), timeout=10_000)
    assert (taken[0].state, taken[0].trial_id, taken[0].trace) == (session, 4, None)
    assert taken[0].problem == "Trial 4 could not be read; the terminal tells why."
