"""Traces of a session are read where they do not hold up the window."""

import threading

from PySide6.QtCore import QObject

from loaderscope.gui.trace_reading import ROWS_AT_ONCE, TraceReading


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
    reading = TraceReading(lambda read: taken.append(read.trial_id), owner)
    assert [reading.read(session, trial_id) for trial_id in (1, 2, 3)] == [True, True, False]
    assert taken == [3]
    session.go_on.set()
    qtbot.waitUntil(lambda: not reading._latest.busy, timeout=10_000)
    assert sorted(session.read) == [(1, False), (3, True)]
