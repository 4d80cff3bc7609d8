"""Work for another thread of which only the newest answer counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, QTimer, Signal

Answer = TypeVar("Answer")


class _Doorbell(QObject):
    """Without a parent, so that it is there for as long as a thread may ring it."""

    rung = Signal(object)


class NewestOnly(Generic[Answer]):
    """Does one piece of work at a time; what was asked for in the meantime is replaced by what was asked for last.

    The work must look at nothing that the window's thread changes.
    """

    def __init__(self, take: Callable[[Answer], object], owner: QObject, failed: Callable[[], object] = lambda: None) -> None:
        """`take` gets the answers, in the thread that this was made in, and none once `owner` was deleted.

        `failed` is called likewise where there is none, as the work failed, and nothing was asked for in the meantime.
        """
        self._take, self._owner, self._failed = take, owner, failed
        self._bell = _Doorbell()
        self._bell.rung.connect(self._done, Qt.ConnectionType.QueuedConnection)
        self._busy = False
        self._waiting: Callable[[], Answer] | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is to come."""
        return self._busy

    def ask(self, work: Callable[[], Answer]) -> None:
        """Does this as soon as what is being done is done."""
        if self._busy:
            self._waiting = work
            return
        self._busy = True
        thread = threading.Thread(target=_work, args=(work, self._bell), name="loaderscope-latest", daemon=True)
        # once the window has done what it is at: the interpreter runs one of both at a time
        QTimer.singleShot(0, self._bell, thread.start)

    def forget(self) -> None:
        """No answer is wanted any more."""
        self._waiting = None

    def _done(self, answers: tuple[Answer, ...]) -> None:
        self._busy = False
        work, self._waiting = self._waiting, None
        if not shiboken6.isValid(self._owner):
            return
        if work is not None:
            self.ask(work)
        elif not answers:
            self._failed()
        for answer in answers:
            self._take(answer)


def _work(work: Callable[[], object], bell: _Doorbell) -> None:
    """Rings with the answer, or with none where the work failed, which Python then reports for the thread."""
    answers: tuple[object, ...] = ()
    try:
        answers = (work(),)
    finally:
        bell.rung.emit(answers)
