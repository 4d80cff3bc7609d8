"""The pool: runs the trials of a sweep in agents, one at a time, and reports to its sink."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from loaderscope.agent.layout import Role
from loaderscope.agent.messages import ErrorInfo, TrialOrder
from loaderscope.analysis.disturbance import mark_replaced, taken_text
from loaderscope.analysis.trial import TrialEnd, analyse_or_log
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.purposes import PROBE
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run, Sink
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import count_text, enumerated
from loaderscope.sweep import machine_limits, space
from loaderscope.sweep.changed_files import MOST_NAMED, FolderState, changed_files, look_at
from loaderscope.sweep.experiment.beside_trials import beside_trials
from loaderscope.sweep.failure_circumstances import with_circumstances
from loaderscope.sweep.forecast import data_cost, facts_of
from loaderscope.sweep.kept_agent import KeptAgent, may_be_kept
from loaderscope.sweep.learn_target import learn_target
from loaderscope.sweep.machine import read_machine
from loaderscope.sweep.processes import reaper
from loaderscope.sweep.processes.agent_output import OutputLine
from loaderscope.sweep.processes.stack_request import ask_for_places
from loaderscope.sweep.processes.temporary_folders import temporary_folder
from loaderscope.sweep.ready_agent import SweepError
from loaderscope.sweep.script_warnings import TrialStderr
from loaderscope.sweep.trial_run import StoppedError, TrialRun, order_of
from loaderscope.telemetry.sampler import Sampler
from loaderscope.trace.model import Trace
from loaderscope.trace.process_places import ProcessPlace

__all__ = ["Pool", "SweepError"]

READ_INTERVAL_S = 0.25
"""Each look for new records costs some milliseconds, which a trial on few cores feels."""
LIVE_READ_INTERVAL_S = 0.1
"""The same where somebody watches the timeline grow."""

_PROGRESS_INTERVAL_S = 0.5
WHERE_TIMEOUT_S = 1.0
"""A process that has a core answers within milliseconds."""

ConfirmChanges = Callable[[list[str]], bool]

MAX_VAIN_REPEATS = 3
"""After so many repeats in a row that were disturbed as well, the machine stays busy, and further ones would only take time."""


class Pool:
    """One sweep. `run` blocks in the thread that calls it; `cancel` and `where` may be called from any other."""

    def __init__(
        self,
        request: Request,
        sink: Sink[Trace],
        app_python: str | None = None,
        read_interval_s: float = READ_INTERVAL_S,
        confirm_changes: ConfirmChanges | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            request: what to run.
            sink: its methods are called in the thread that calls `run`.
            app_python: the interpreter if the request names none; None: the one that runs the app.
            read_interval_s: seconds between two looks for new records of a trial.
            confirm_changes: gets the files that the first trial of a training has changed; False ends the sweep.
        """
        self._request = dataclasses.replace(request, python=request.python or app_python)
        self._sink = sink
        self._read_interval_s = read_interval_s
        self._cancelled = threading.Event()
        self._agent = KeptAgent(self._tick, self._log_output)
        self._beside = beside_trials(self._request, self._tick, self._log)
        self._began_s = 0.0
        self._progress_at_s = 0.0
        self._run: Run | None = None  # None until the plan is known
        self._results: list[TrialResult] = []
        self._confirm_changes = confirm_changes
        self._folder_before: FolderState | None = None  # until it is compared with the folder after the first trial of the training
        self._trial_id: int | None = None  # of the running trial
        self._stderr: TrialStderr | None = None  # of the running trial, once its script is loaded
        self._recorded: tuple[Path, Trace] | None = None  # the logs and the trace of the running trial

    def cancel(self) -> None:
        """Ends the sweep within moments; finished trials stay."""
        self._cancelled.set()

    def where(self, timeout_s: float = WHERE_TIMEOUT_S) -> list[ProcessPlace]:
        """Asks the processes of the running trial where they stand; the trial goes on.

        Args:
            timeout_s: how long to wait for their answers.

        Returns:
            The place of each process that answered, main first; empty while no trial records, and on Windows.
        """
        recorded = self._recorded
        if recorded is None:
            return []
        log_dir, trace = recorded
        pids = [process.pid for process in list(trace.processes) if process.ended_ns is None and process.name != Role.SERVER]
        return ask_for_places(log_dir, pids, self._request.script, timeout_s)

    def run(self) -> None:
        """Runs the sweep to its end. The sink's `run_finished` is called whatever happens.

        Raises:
            SweepError: the request or the script is wrong, so that no trial could be started.
        """
        self._began_s = time.monotonic()
        cancelled = False
        try:
            reaper.kill_leftovers()
            try:
                self._sweep()
            finally:
                self._agent.close(at_once=True)
        except StoppedError as stopped:
            cancelled = stopped.info is None
        finally:
            self._sink.run_finished(cancelled or self._cancelled.is_set())

    def _sweep(self) -> None:
        if kind_of(self._request.consumer).is_training:
            self._folder_before = look_at(self._folder)  # to learn the target, too, the script runs up to its loader
        run, length = learn_target(self._request, self._agent, self._tick, self._log_output, self._log)
        if not self._budget_used():
            run = dataclasses.replace(run, controls=self._beside.before_first(run))
        self._run = run
        # later agents must attach the same target, even if the request names none
        self._request = dataclasses.replace(run.request, target=run.target.name)
        self._sink.run_started(run)
        import numpy.ma  # noqa: F401  np.unique imports it at its first call, which must not be within a trial

        sampler = Sampler(self._request.pcie)
        try:
            for trial in run.plan:
                self._stop_if_asked()
                if trial.skip is not None:
                    self._finish(_skipped(trial, *trial.skip), None)
                elif (reason := self._why_not_now(trial, run)) is not None:
                    self._skip(trial, reason)
                else:
                    self._run_trial(trial, run, sampler, length)
                self._report_progress(run)
            self._repeat_disturbed(run, sampler, length)
        finally:
            sampler.close()

    @property
    def _folder(self) -> str:
        """The folder in which the script runs."""
        return self._request.cwd or os.getcwd()

    def _tell_changes(self) -> None:
        """Before the second trial of a training: tells which files the first has changed, and ends the sweep if the user wants that.

        Raises:
            StoppedError: the user wants that.
        """
        if self._folder_before is None or not any(status_of(result.status).was_tried for result in self._results):
            return
        changed, self._folder_before = changed_files(self._folder_before, look_at(self._folder)), None
        if changed is None:
            self._log(f"{self._folder} has too many files to tell which of them the first trial changed.")
        if not changed:
            return
        self._log(f"The first trial changed {count_text(len(changed), 'file')} in {self._folder}: {enumerated(changed, MOST_NAMED)}.")
        if self._confirm_changes is not None and not self._confirm_changes(changed):
            raise StoppedError(None)

    def _repeat_disturbed(self, run: Run, sampler: Sampler, length: int | None) -> None:
        """Measures disturbed trials again, after all others, as a program that disturbed them may have ended by then.

        A trial that failed has no figures that could be better.
        """
        vain = 0  # repeats in a row that were disturbed, too
        for _ in range(self._request.repeat_disturbed):
            counted = [result for result in mark_replaced(self._results) if result.replaced_by is None]
            measured = [result for result in counted if result.status == "ok" and result.purpose is not PROBE]
            for result in [result for result in measured if result.is_disturbed]:
                if not self._has_time_for(result):
                    self._log("Disturbed trials are not measured again: the budget (--max-seconds) does not allow it.")
                    return
                if vain == MAX_VAIN_REPEATS:
                    self._log("Other programs go on: the remaining disturbed trials are not measured again.")
                    return
                replaced = result.id if result.replaces is None else result.replaces
                number = max(one.id for one in run.plan) + 1
                trial = PlannedTrial(
                    number,
                    result.repeat,
                    result.config,
                    replaces=replaced,
                    perfect_loader=result.perfect_loader,
                    remedy=result.remedy,
                )
                self._run = run = dataclasses.replace(run, plan=[*run.plan, trial])
                if result.disturbance is not None:
                    taken = taken_text(result.disturbance)
                    self._log(f"Trial {result.id} was disturbed: {taken}. It is measured again as trial {trial.id}.")
                self._stop_if_asked()
                self._run_trial(trial, run, sampler, length)
                self._report_progress(run)
                vain = vain + 1 if self._results[-1].is_disturbed else 0

    def _has_time_for(self, result: TrialResult) -> bool:
        budget = self._request.max_seconds
        return budget is None or time.monotonic() - self._began_s + (result.seconds or 0.0) < budget

    def _run_trial(self, trial: PlannedTrial, run: Run, sampler: Sampler, length: int | None) -> None:
        self._tell_changes()
        trace = Trace()
        self._trial_id = trial.id
        self._sink.trial_started(trial, trace)
        try:
            with temporary_folder() as folder:
                order = order_of(trial, run.request, str(folder))
                self._recorded = Path(folder), trace
                end, stderr = self._run_in_agent(order, trace, sampler, trial)
                self._agent.forward_output()
                if space.pins_nothing(trial.config, facts_of(run.environment)) and end.outcome is not None and not end.outcome.pinned:
                    trace.notes.append(space.NOTHING_PINNED)
                result = analyse_or_log(trace, trial, order, end, self._log, dataset_length=length, sent=run.sent)
                warnings = stderr.warnings(trace.warned, end.error, in_main=not trial.config.num_workers)
                self._finish(self._beside.with_measurements(dataclasses.replace(result, warnings=warnings)), trace)
        finally:
            self._trial_id = self._recorded = None

    def _run_in_agent(self, order: TrialOrder, trace: Trace, sampler: Sampler, trial: PlannedTrial) -> tuple[TrialEnd, TrialStderr]:
        """Runs the trial in an agent; returns how it ended, and the lines that it printed to stderr."""
        environment = dict(trial.remedy.environment) if trial.remedy is not None else {}
        request = self._request
        if environment:  # a process reads it when it starts
            self._agent.close(at_once=True)
            request = dataclasses.replace(request, environment_variables={**request.environment_variables, **environment})
        try:
            agent, attached = self._agent.ready_agent(request, order)
            self._beside.before_each(trial)
        except SweepError as error:
            self._agent.close(at_once=True)
            return TrialEnd("killed" if error.info.kind == "agent-died" else "failed", error.info, None, 0.0, 0.0), TrialStderr()
        except StoppedError as stopped:
            self._agent.close(at_once=True)
            return TrialEnd("cancelled", stopped.info, None, 0.0, 0.0), TrialStderr()

        def tick(grew: bool) -> None:
            if grew:
                self._sink.trace_grew(trial, trace)
            self._tick()

        self._agent.forward_all_output()  # the script may have printed while it was loaded
        stderr = self._stderr = TrialStderr(agent.clock.offset_ns)
        try:
            end = TrialRun(agent, order, trace, sampler, self._request.script, self._read_interval_s).run(tick)
            self._agent.forward_all_output()
        finally:
            self._stderr = None  # later output, as of a resource tracker, does not belong to the trial
        if environment or not may_be_kept(self._request.isolate, order, end, attached.fingerprint):
            self._agent.close(at_once=end.status != "ok")
        if end.error is not None:
            sample = self._run.sample if self._run is not None else None
            end = dataclasses.replace(end, error=with_circumstances(end.error, order.config, attached.handles, sample, self._results))
        return end, stderr

    def _finish(self, result: TrialResult, trace: Trace | None) -> None:
        self._results.append(result)
        self._sink.trial_finished(result, trace)

    def _skip(self, trial: PlannedTrial, sentence: str) -> None:
        """Adds one row for a setting that never ran; skipped repeats of a setting with a row get none."""
        row = trial.config, trial.purpose, trial.remedy
        if all((result.config, result.purpose, result.remedy) != row for result in self._results):
            self._finish(_skipped(trial, "limit", sentence), None)

    def _why_not_now(self, trial: PlannedTrial, run: Run) -> str | None:
        """Says why a planned trial must not run now: no time is left, or the trials before showed that memory is short. None: it may."""
        if self._budget_used():
            return f"The budget of {self._request.max_seconds:g} s (--max-seconds) was used up before this setting's turn."
        if self._request.force or any(result.config == trial.config and result.status == "ok" for result in self._results):
            return None
        return machine_limits.limit_reason(trial.config, machine_limits.corrected(data_cost(run.sample), self._results), read_machine())

    def _budget_used(self) -> bool:
        budget = self._request.max_seconds
        return budget is not None and time.monotonic() - self._began_s > budget

    def _stop_if_asked(self) -> None:
        if self._cancelled.is_set():
            raise StoppedError(None)

    def _tick(self) -> None:
        """Does what must happen about ten times a second during every wait: output, cancelling, budget, progress."""
        self._agent.forward_output()
        self._stop_if_asked()
        if self._trial_id is not None and self._budget_used():
            sentence = f"The budget of {self._request.max_seconds:g} s (--max-seconds) was used up during this trial."
            raise StoppedError(ErrorInfo("limit", sentence))
        if self._run is not None and time.monotonic() - self._progress_at_s > _PROGRESS_INTERVAL_S:
            self._report_progress(self._run)

    def _report_progress(self, run: Run) -> None:
        self._progress_at_s = time.monotonic()
        elapsed_s = self._progress_at_s - self._began_s
        left_s = machine_limits.seconds_left(run.plan, self._results, elapsed_s, self._request.max_seconds)
        self._sink.progress(len(self._results), len(run.plan), left_s)

    def _log_output(self, line: OutputLine) -> None:
        if self._stderr is not None:
            self._stderr.add(line)
        self._sink.log_line(LogLine(line.time_ns, line.stream, line.text, self._trial_id))

    def _log(self, sentence: str) -> None:
        self._sink.log_line(LogLine(time.perf_counter_ns(), "loaderscope", sentence, self._trial_id))


def _skipped(trial: PlannedTrial, kind: str, sentence: str) -> TrialResult:
    return dataclasses.replace(trial.result("skipped", ErrorInfo(kind, sentence)), repeat=None, replaces=None)
