"""Work in other threads: the window stays usable meanwhile, and only the newest answer reaches it."""

from __future__ import annotations

import dataclasses
import threading
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

import shiboken6
from PySide6.QtCore import QObject, Qt, QThread, QTimer, Signal

Answer = TypeVar("Answer")

_late_threads: set[QThread] = set()


@dataclasses.dataclass(frozen=True)
class Fault:
    """An exception of a job, as text: its type with its message, and its traceback."""

    message: str
    traceback: str


class Job(QThread):
    """One call in a thread of its own; afterwards `result` holds what it returned, or a `Fault`."""

    def __init__(self, call: Callable[[], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._call = call
        self.result: object = None

    def run(self) -> None:
        try:
            self.result = self._call()
        except Exception as error:  # a thread's border: whatever went wrong must reach the user
            self.result = Fault(f"{type(error).__name__}: {error}", traceback.format_exc())


class Jobs(QObject):
    """Runs jobs by name, several at once. A newer job of the same name makes the answer of the older one unwanted.

    Signals:
        answered: the name of a job, and its result.
    """

    answered = Signal(str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._newest: dict[str, Job] = {}
        self._running: set[Job] = set()

    def start(self, name: str, call: Callable[[], object]) -> None:
        """Runs a call; emits `answered` with its result, unless the same name is started or dropped before."""
        job = Job(call, self)
        self._newest[name] = job
        self._running.add(job)
        job.finished.connect(lambda: self._job_finished(name, job))
        job.start()

    def drop(self, name: str) -> None:
        """Ignores the answer of the job that runs under this name."""
        self._newest.pop(name, None)

    def wait_all(self, milliseconds: int) -> bool:
        """Waits for every job and drops its answer. Late jobs go on without an owner.

        Args:
            milliseconds: how long to wait for each job.

        Returns:
            Whether all jobs ended in time.
        """
        self._newest.clear()
        late = [job for job in list(self._running) if not job.wait(milliseconds)]
        for job in late:
            keep_until_ended(job)
        return not late

    def _job_finished(self, name: str, job: Job) -> None:
        self._running.discard(job)
        job.deleteLater()
        if self._newest.get(name) is job:
            del self._newest[name]
            self.answered.emit(name, job.result)


def keep_until_ended(thread: QThread) -> None:
    """Keeps a running thread alive although its owner goes: Qt aborts the program when a running thread is destroyed."""
    if not thread.isRunning():
        return
    thread.setParent(None)
    _late_threads.add(thread)
    thread.finished.connect(lambda: _late_threads.discard(thread))
    if thread.isFinished():  # it may have ended before the connection was made
        _late_threads.discard(thread)


class _AnswerSignal(QObject):
    """Carries answers to the window's thread. It has no parent, so that it lives as long as a thread may emit it."""

    answered = Signal(object)


class NewestOnly(Generic[Answer]):
    """Does one piece of work at a time. While it is busy, a new request replaces the request that waits.

    The work must not read anything that the window's thread changes.
    """

    def __init__(self, on_answer: Callable[[Answer], object], owner: QObject, on_failure: Callable[[], object] = lambda: None) -> None:
        """Both functions are called in the thread that made this object, and never after `owner` was deleted.

        Args:
            on_answer: gets each answer.
            owner: the object that needs the answers.
            on_failure: called when the work failed and no other request waits.
        """
        self._on_answer, self._owner, self._on_failure = on_answer, owner, on_failure
        self._signal = _AnswerSignal()
        self._signal.answered.connect(self._finish, Qt.ConnectionType.QueuedConnection)
        self._busy = False
        self._next_work: Callable[[], Answer] | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._busy

    def ask(self, work: Callable[[], Answer]) -> None:
        """Does this work as soon as the current work is done."""
        if self._busy:
            self._next_work = work
            return
        self._busy = True
        thread = threading.Thread(target=_run_and_emit, args=(work, self._signal), name="loaderscope-latest", daemon=True)
        # starts when the window is idle again: the interpreter runs only one of both threads at a time
        QTimer.singleShot(0, self._signal, thread.start)

    def forget(self) -> None:
        """Forgets the request that waits. Work that has begun goes on, and its answer still comes."""
        self._next_work = None

    def _finish(self, answers: tuple[Answer, ...]) -> None:
        self._busy = False
        work, self._next_work = self._next_work, None
        if not shiboken6.isValid(self._owner):
            return
        if work is not None:
            self.ask(work)
        elif not answers:
            self._on_failure()
        for answer in answers:
            self._on_answer(answer)


def _run_and_emit(work: Callable[[], object], signal: _AnswerSignal) -> None:
    """Emits one answer, or none if the work failed; Python then reports the exception of the thread."""
    answers: tuple[object, ...] = ()
    try:
        answers = (work(),)
    finally:
        signal.answered.emit(answers)
