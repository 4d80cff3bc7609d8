"""What the window shows: one run, live or opened from a session file, as plain data without Qt."""

from __future__ import annotations

import dataclasses
import threading
from collections import deque
from typing import Protocol

from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.facts.statuses import RUNNING
from loaderscope.gui.run.trace_cache import TraceCache
from loaderscope.trace.model import Trace

LOG_LINES_KEPT = 20_000


class StoredTraces(Protocol):
    """Where traces can be read: a session file."""

    def trace(self, trial: int) -> Trace: ...

    def row_count(self, trial: int) -> int: ...


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A consistent look at a run, without its traces and its log."""

    version: int
    run: Run | None
    results: tuple[TrialResult, ...]
    current: PlannedTrial | None
    done: int
    total: int
    seconds_left: float | None
    finished: bool
    cancelled: bool


@dataclasses.dataclass
class SettingRow:
    """One row of the results table: a setting with all its trials. `status` is the worst of its trials, or running."""

    config: TrialConfig
    trials: list[TrialResult]
    setting: SettingResult | None
    status: str
    planned_id: int

    @property
    def trial_id(self) -> int:
        """The trial whose timeline stands for the setting: its last good one, else its last."""
        good = [trial.id for trial in self.trials if trial.status == "ok"]
        if good:
            return good[-1]
        return self.planned_id if self.status == RUNNING.key or not self.trials else self.trials[-1].id

    @property
    def reason(self) -> str:
        """The sentence that says why the row has no figures, or what they lack."""
        for trial in self.trials:
            if trial.status != "ok" and trial.error is not None:
                return trial.error.message
        for trial in self.trials:
            if trial.samples_per_second_reason:
                return trial.samples_per_second_reason
        return ""

    @property
    def incomparable(self) -> str:
        """Why the batches of threads are not those of worker processes, if they are not."""
        generators = sorted({name for trial in self.trials for name in trial.shared_generators or ()})
        told = f"it draws random numbers from generators that all threads share ({', '.join(generators)})"
        return f"The dataset gives other batches than in worker processes: {told}." if generators else ""


class RunState:
    """A run as it grows, a sink: the pool's thread adds to it under a lock, the window polls `version` and reads."""

    def __init__(self, stored: StoredTraces | None = None) -> None:
        """`stored` reads the traces of the trials that are marked as stored; without it all stay in memory."""
        self._stored = stored
        self._lock = threading.Lock()
        self._version = 0
        self._run: Run | None = None
        self._results: list[TrialResult] = []
        self._traces = TraceCache()
        self._current: PlannedTrial | None = None
        self._progress: tuple[int, int, float | None] = (0, 0, None)
        self._finished = False
        self._cancelled = False
        self._log: deque[LogLine] = deque(maxlen=LOG_LINES_KEPT)
        self._log_count = 0

    @property
    def version(self) -> int:
        """Grows with every change but those inside a trace, which has a version of its own."""
        return self._version

    def snapshot(self) -> Snapshot:
        """All but traces and log, as of now."""
        with self._lock:
            done, total, seconds_left = self._progress
            return Snapshot(
                self._version, self._run, tuple(self._results), self._current, done, total, seconds_left, self._finished, self._cancelled
            )

    def trace(self, trial_id: int) -> Trace | None:
        """The trace of a trial, while it runs or afterwards; read anew where it is not at hand any more."""
        with self._lock:
            trace, is_stored = self._traces.find(trial_id), self._traces.is_stored(trial_id)
        if trace is None and is_stored and self._stored is not None:
            trace = self._stored.trace(trial_id)
            with self._lock:
                self._traces.keep(trial_id, trace)
        return trace

    def rows_to_read(self, trial_id: int) -> int:
        """How much `trace` would read from a file."""
        with self._lock:
            is_read = trial_id not in self._traces and self._traces.is_stored(trial_id)
        return self._stored.row_count(trial_id) if is_read and self._stored is not None else 0

    def mark_stored(self, trial_id: int) -> None:
        """The whole trace of this trial can be read from a file from now on, so it need not stay in memory."""
        if self._stored is not None:
            with self._lock:
                self._traces.mark_stored(trial_id)

    def log_since(self, count: int) -> tuple[int, list[LogLine]]:
        """The lines after the first `count` ever written that are still kept, and how many were ever written."""
        with self._lock:
            missing = self._log_count - count
            if missing <= 0:
                return self._log_count, []
            kept = len(self._log)
            return self._log_count, [self._log[index] for index in range(max(0, kept - missing), kept)]

    def run_started(self, run: Run) -> None:
        with self._lock:
            self._run = run
            self._progress = (0, sum(trial.skip is None for trial in run.plan), None)
            self._version += 1

    def trial_started(self, trial: PlannedTrial, trace: Trace) -> None:
        with self._lock:
            self._current = trial
            self._traces.keep(trial.id, trace)
            self._version += 1

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        """Nothing: whoever shows a trace looks at its own version."""

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        """Takes what became of a trial; the traceback of one that failed stands in the log."""
        with self._lock:
            self._results.append(result)
            if trace is not None:
                self._traces.keep(result.id, trace)
            self._current = None
            self._version += 1
        if result.error is not None:
            self.add_traceback(result.error, result.id)

    def add_traceback(self, error: ErrorInfo, trial_id: int | None = None) -> None:
        """Puts the traceback of an error into the log, where it has one."""
        for text in (error.traceback or "").splitlines():
            self.log_line(LogLine(0, "stderr", text, trial_id))

    def log_line(self, line: LogLine) -> None:
        with self._lock:
            self._log.append(line)
            self._log_count += 1
            self._version += 1

    def progress(self, done: int, total: int, seconds_left: float | None) -> None:
        with self._lock:
            self._progress = (done, total, seconds_left)
            self._version += 1

    def run_finished(self, cancelled: bool) -> None:
        with self._lock:
            self._finished = True
            self._cancelled = cancelled
            self._current = None
            self._version += 1


def rows_of(snapshot: Snapshot, settings: tuple[SettingResult, ...]) -> list[SettingRow]:
    """One row a setting, in the order in which the settings first came up."""
    by_config = {setting.config: setting for setting in settings}
    rows: dict[TrialConfig, SettingRow] = {}
    for result in snapshot.results:
        row = rows.setdefault(result.config, SettingRow(result.config, [], by_config.get(result.config), "ok", result.id))
        row.trials.append(result)
        if result.status != "ok":
            row.status = result.status
    if snapshot.current is not None:
        planned = snapshot.current
        row = rows.setdefault(planned.config, SettingRow(planned.config, [], by_config.get(planned.config), RUNNING.key, planned.id))
        row.status = RUNNING.key
    return list(rows.values())
