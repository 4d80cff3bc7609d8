"""Looking at scripts and interpreters without freezing the window."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable

from PySide6.QtCore import QObject, QThread, Signal

from loaderscope.gui.run.thread_shutdown import keep_until_ended


@dataclasses.dataclass(frozen=True)
class Fault:
    """An exception of a job, as text: what it says, and its traceback."""

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
    """Jobs by name: a newer job of a name makes the answer of an older one unwanted."""

    answered = Signal(str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._newest: dict[str, Job] = {}
        self._running: set[Job] = set()

    def start(self, name: str, call: Callable[[], object]) -> None:
        """Runs a call; `answered` tells its result unless the same name is started again before."""
        job = Job(call, self)
        self._newest[name] = job
        self._running.add(job)
        job.finished.connect(lambda: self._done(name, job))
        job.start()

    def drop(self, name: str) -> None:
        """The answer of this name is no longer wanted."""
        self._newest.pop(name, None)

    def is_busy(self, name: str) -> bool:
        return name in self._newest

    def wait_all(self, milliseconds: int) -> bool:
        """Waits for everything that runs, without telling results; whether all ended in time. What did not goes on by itself."""
        self._newest.clear()
        late = [job for job in list(self._running) if not job.wait(milliseconds)]
        for job in late:
            keep_until_ended(job)
        return not late

    def _done(self, name: str, job: Job) -> None:
        self._running.discard(job)
        job.deleteLater()
        if self._newest.get(name) is job:
            del self._newest[name]
            self.answered.emit(name, job.result)
