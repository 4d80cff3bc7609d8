"""The run that the window shows, live or opened from a session file, with the traces at hand; plain data without Qt."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections import deque
from collections.abc import Hashable
from typing import Protocol

from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.analysis.disturbance import mark_replaced
from loaderscope.analysis.recorded_training import process_of_results
from loaderscope.analysis.verdict import Verdict
from loaderscope.facts.findings import Remedy
from loaderscope.facts.purposes import PERFECT_LOADER, SETTING, Purpose
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run
from loaderscope.facts.statuses import RUNNING
from loaderscope.gui.run.training_trace import ALL_LOADERS, TrainingTrace
from loaderscope.trace.model import Trace

LOG_LINES_KEPT = 20_000
KEPT_TRACE_BYTES = 256 << 20
"""Traces of up to this size stay in memory beyond those that are shown: eight million spans."""


class StoredTraces(Protocol):
    """A session file from which traces can be read."""

    def trace(self, trial: int) -> Trace: ...

    def row_count(self, trial: int) -> int: ...


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state of a run at one moment, without its traces and its log.

    Attributes:
        running: the trials that run: at most one of a sweep, all loaders of a training.
        is_training: whether the run records a training as it is.
    """

    version: int
    run: Run | None
    results: tuple[TrialResult, ...]
    running: tuple[PlannedTrial, ...]
    done: int
    total: int
    seconds_left: float | None
    finished: bool
    cancelled: bool
    is_training: bool

    @property
    def current(self) -> int | None:
        """What runs: a trial, or all loaders of a training; None if nothing does."""
        if not self.running:
            return None
        return ALL_LOADERS if self.is_training else self.running[-1].id

    @property
    def trials(self) -> list[int]:
        """The trials that have a timeline, or may get one."""
        return [*(result.id for result in self.results), *(trial.id for trial in self.running)]


@dataclasses.dataclass
class SettingRow:
    """One row of the results table: a setting with all its trials.

    Attributes:
        status: of its last trial that did not succeed; running while one runs, else `ok`.
        planned_id: the id of its first trial, or of the one that runs.
        loader: the name of the loader of a recorded training; empty for a sweep.
        purpose: what its trials are run for.
        remedy: that they test.
    """

    config: TrialConfig
    trials: list[TrialResult]
    setting: SettingResult | None
    status: str
    planned_id: int
    loader: str = ""
    purpose: Purpose = SETTING
    remedy: Remedy | None = None

    def is_of(self, config: TrialConfig | None) -> bool:
        """Whether the row is that of a setting."""
        return self.purpose.is_of_setting and self.config == config

    @property
    def shows_ceiling(self) -> bool:
        """Whether it is the row of a perfect loader whose rate is known."""
        return self.purpose is PERFECT_LOADER and self.setting is not None and self.setting.rate is not None

    @property
    def counted(self) -> list[TrialResult]:
        """Its trials without disturbed ones that were replaced."""
        return [trial for trial in self.trials if trial.replaced_by is None]

    @property
    def trial_id(self) -> int:
        """The trial whose timeline represents the setting: the last good one, else the last one."""
        good = [trial.id for trial in self.counted if trial.status == "ok"]
        if good:
            return good[-1]
        return self.planned_id if self.status == RUNNING.key or not self.trials else self.trials[-1].id

    @property
    def reason(self) -> str:
        """The sentence that says why the row has no figures, or which figure is missing and why."""
        for trial in self.trials:
            if trial.status != "ok" and trial.error is not None:
                return trial.error.message
        for trial in self.counted:
            if trial.samples_per_second_reason:
                return trial.samples_per_second_reason
        return ""

    @property
    def incomparable_reason(self) -> str:
        """Why threads give other batches than worker processes; empty if they give the same."""
        generators = sorted({name for trial in self.trials for name in trial.shared_generators or ()})
        reason = f"it draws random numbers from generators that all threads share ({', '.join(generators)})"
        return f"The dataset gives other batches than in worker processes: {reason}." if generators else ""


class TraceCache:
    """The traces in memory, by trial. Beyond `KEPT_TRACE_BYTES` it drops the longest unused of those that can be read again.

    It still finds a dropped trace while something else holds it, as a view or the running sweep does.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Trace] = {}  # the one used last is the last
        self._alive: weakref.WeakValueDictionary[int, Trace] = weakref.WeakValueDictionary()
        self._stored: set[int] = set()

    def __contains__(self, trial: int) -> bool:
        return trial in self._alive

    def find(self, trial: int) -> Trace | None:
        """Returns the trace of a trial and counts as its latest use; None if it is not in memory."""
        trace = self._alive.get(trial)
        if trace is not None:
            self.keep(trial, trace)
        return trace

    def keep(self, trial: int, trace: Trace) -> None:
        """Adds the trace of a trial, as the one used last."""
        self._kept.pop(trial, None)
        self._kept[trial] = self._alive[trial] = trace
        self._drop_longest_unused()

    def mark_stored(self, trial: int) -> None:
        """From now on the trace of this trial can be read from the session file."""
        self._stored.add(trial)
        trace = self._alive.get(trial)
        if trace is not None and trace.forgotten:  # the file has more of it
            self._kept.pop(trial, None)
            del self._alive[trial]
        self._drop_longest_unused()

    def is_stored(self, trial: int) -> bool:
        """Returns whether the trace of this trial can be read again."""
        return trial in self._stored

    def _drop_longest_unused(self) -> None:
        kept_bytes = sum(trace.byte_count for trace in self._kept.values())
        for trial in list(self._kept)[:-1]:
            if kept_bytes <= KEPT_TRACE_BYTES:
                return
            if trial in self._stored:
                kept_bytes -= self._kept.pop(trial).byte_count


class RunState:
    """A run as it grows; a sink of the sweep. The pool's thread adds to it under a lock; the window polls `version` and reads."""

    def __init__(self, stored: StoredTraces | None = None, is_training: bool = False) -> None:
        """Begins with no trial.

        Args:
            stored: reads the traces of trials that are marked as stored; without it all traces stay in memory.
            is_training: whether a training is about to be recorded; its run is known only once it iterates a loader.
        """
        self._stored = stored
        self._awaits_training = is_training
        self._lock = threading.Lock()
        self._version = 0
        self._run: Run | None = None
        self._results: list[TrialResult] = []
        self._traces = TraceCache()
        self._running: dict[int, PlannedTrial] = {}
        self._all_loaders: weakref.ref[TrainingTrace] | None = None
        self._progress: tuple[int, int, float | None] = (0, 0, None)
        self._finished = False
        self._cancelled = False
        self._log: deque[LogLine] = deque(maxlen=LOG_LINES_KEPT)
        self._log_count = 0

    @property
    def version(self) -> int:
        """Grows with every change except those inside a trace, which has a version of its own."""
        return self._version

    def snapshot(self) -> Snapshot:
        """Returns the present state, without traces and log."""
        with self._lock:
            done, total, seconds_left = self._progress
            results = tuple(mark_replaced(self._results))
            running = tuple(self._running.values())
            is_training = self._run.is_training if self._run is not None else self._awaits_training and not self._finished
            return Snapshot(
                self._version, self._run, results, running, done, total, seconds_left, self._finished, self._cancelled, is_training
            )

    def trace(self, trial_id: int) -> Trace | None:
        """Returns the trace of a trial, running or finished; reads it from the file if it is no longer in memory.

        For `ALL_LOADERS` it returns those of all loaders as one; call `refresh` while they grow.
        """
        if trial_id == ALL_LOADERS:
            return self._trace_of_all_loaders()
        with self._lock:
            trace, is_stored = self._traces.find(trial_id), self._traces.is_stored(trial_id)
        if trace is None and is_stored and self._stored is not None:
            trace = self._stored.trace(trial_id)
            with self._lock:
                self._traces.keep(trial_id, trace)
        return trace

    def _trace_of_all_loaders(self) -> TrainingTrace:
        merged = TrainingTrace()
        self._all_loaders = weakref.ref(merged)
        self._add_loaders(merged)
        merged.process_use = process_of_results(self.snapshot().results)
        return merged

    def refresh(self) -> None:
        """Takes new loaders, and what all loaders recorded since, into the trace that `trace` made of all loaders."""
        merged = self._all_loaders() if self._all_loaders is not None else None
        if merged is not None:
            self._add_loaders(merged)

    def _add_loaders(self, merged: TrainingTrace) -> None:
        snapshot = self.snapshot()
        for trial in snapshot.running:
            if trial.id not in merged.trials and (trace := self.trace(trial.id)) is not None:
                merged.add(trial.id, trial.loader or "", trace)
        for result in snapshot.results:
            if result.id not in merged.trials and (trace := self.trace(result.id)) is not None:
                merged.add(result.id, _loader_name(snapshot.run, result), trace)
        merged.refresh()

    def rows_to_read(self, trial_id: int) -> int:
        """Returns how many rows `trace` would read from a file; 0 if the trace is in memory."""
        if trial_id == ALL_LOADERS:
            return sum(map(self.rows_to_read, self.snapshot().trials))
        with self._lock:
            is_read = trial_id not in self._traces and self._traces.is_stored(trial_id)
        return self._stored.row_count(trial_id) if is_read and self._stored is not None else 0

    def mark_stored(self, trial_id: int) -> None:
        """From now on the whole trace of this trial can be read from a file, so it need not stay in memory."""
        if self._stored is not None:
            with self._lock:
                self._traces.mark_stored(trial_id)

    def log_since(self, count: int) -> tuple[int, list[LogLine]]:
        """Returns how many lines were ever written, and those after the first `count` that are still kept."""
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
            self._running[trial.id] = trial
            self._traces.keep(trial.id, trace)
            self._version += 1

    def trace_grew(self, trial: PlannedTrial, trace: Trace) -> None:
        """Does nothing: the views of a trace poll the version of the trace itself."""

    def trial_finished(self, result: TrialResult, trace: Trace | None) -> None:
        """Adds the result of a trial, and the traceback of a failed one to the log."""
        with self._lock:
            self._results.append(result)
            if trace is not None:
                self._traces.keep(result.id, trace)
            self._running.pop(result.id, None)
            self._version += 1
        if result.error is not None:
            self.add_traceback(result.error, result.id)

    def add_traceback(self, error: ErrorInfo, trial_id: int | None = None) -> None:
        """Adds the traceback of an error, if it has one, to the log."""
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
            self._running.clear()
            self._version += 1


def setting_rows(snapshot: Snapshot, verdict: Verdict) -> list[SettingRow]:
    """Returns one row for each setting, or for each loader of a recorded training, in the order in which they were first tried."""
    rated = (*verdict.settings, *verdict.perfect_loaders, *verdict.remedies)
    by_trial = {trial: setting for setting in rated for trial in setting.trials}
    rows: dict[Hashable, SettingRow] = {}
    for result in snapshot.results:
        loader = _loader_name(snapshot.run, result)
        row = SettingRow(result.config, [], None, "ok", result.id, loader, result.purpose, result.remedy)
        row = rows.setdefault((result.config, result.purpose, result.remedy, result.id if snapshot.is_training else None), row)
        row.trials.append(result)
        row.setting = row.setting or by_trial.get(result.id)  # a disturbed trial that was replaced has none
        if result.status != "ok":
            row.status = result.status
    for planned in snapshot.running:
        row = SettingRow(planned.config, [], None, RUNNING.key, planned.id, planned.loader or "", planned.purpose, planned.remedy)
        row = rows.setdefault((planned.config, planned.purpose, planned.remedy, planned.id if snapshot.is_training else None), row)
        row.status = RUNNING.key
    return list(rows.values())


def _loader_name(run: Run | None, result: TrialResult) -> str:
    """Returns the name of the loader of a recorded training, also where its recording did not come to its end; empty for a sweep."""
    if result.loader is not None:
        return result.loader.name
    return next((trial.loader or "" for trial in (run.plan if run is not None else ()) if trial.id == result.id), "")
