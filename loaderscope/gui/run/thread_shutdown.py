"""Threads that do not end in the time that the window waits for them."""

from __future__ import annotations

from PySide6.QtCore import QThread

_late: set[QThread] = set()


def keep_until_ended(thread: QThread) -> None:
    """Holds a thread that still runs, whatever becomes of its owner: Qt ends the program where one is destroyed that runs."""
    if not thread.isRunning():
        return
    thread.setParent(None)
    _late.add(thread)
    thread.finished.connect(lambda: _late.discard(thread))
    if thread.isFinished():  # meanwhile, so that it may not be told any more
        _late.discard(thread)
