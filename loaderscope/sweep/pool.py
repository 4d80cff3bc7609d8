"""The pool: runs the trials of a sweep in agents, one at a time, and tells its sink what happens."""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from typing import Any

from loaderscope.agent.messages import Consumer, ErrorInfo, Target, TrialConfig, TrialOrder
from loaderscope.analysis.preloading import fork_server, script_imports_of
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.request import Request
from loaderscope.facts.results import Control, SentPart, TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run, Sink
from loaderscope.facts.text import enumerated
from loaderscope.sweep import limits, reaper, space
from loaderscope.sweep.agent_process import AgentProcess, default_python
from loaderscope.sweep.attachment import Attached, Loaded, NotReachedError, SweepError, attach, load, start_agent
from loaderscope.sweep.controls import measure_controls, measure_preload
from loaderscope.sweep.forecast import data_cost, facts_of
from loaderscope.sweep.inspect import load_and_attach, machine_environment, probe_target
from loaderscope.sweep.output import OutputLine
from loaderscope.sweep.scratch import temporary_folder
from loaderscope.sweep.script_warnings import TrialStderr
from loaderscope.sweep.startup_plan import as_experiment
from loaderscope.sweep.system import read_machine
from loaderscope.sweep.trial_run import StoppedError, TrialRun
from loaderscope.telemetry.sampler import Sampler
from loaderscope.trace.model import Trace

__all__ = ["Pool", "SweepError"]

_PROGRESS_S = 0.5


class Pool:
    """One sweep. `run` blocks in the thread that calls it; `cancel` may be called from any other."""

    def __init__(self, request: Request, sink: Sink[Trace], app_python: str | None = None) -> None:
        """Nothing is started yet.

        Args:
            request: what to run.
            sink: told everything, from the thread that calls `run`.
            app_python: interpreter used where the request names none; None: the one that runs the app.
        """
        self._request = dataclasses.replace(request, python=request.python or app_python)
        self._sink = sink
        self._cancelled = threading.Event()
        self._agent: AgentProcess | None = None
        self._attached: Attached | None = None
        self._began = 0.0
        self._progress_at = 0.0
        self._plan: list[PlannedTrial] = []
        self._sent: list[SentPart] | None = None
        self._results: list[TrialResult] = []
        self._trial: int | None = None  # the id of the one that runs
        self._stderr: TrialStderr | None = None  # of that one, once its script is loaded
        self._server_folder: str | None = None  # of an experiment: where its fork servers look for modules

    def cancel(self) -> None:
        """Ends the sweep within moments; finished trials stay."""
        self._cancelled.set()

    def run(self) -> None:
        """Runs the sweep to its end. `run_finished` is told whatever happens.

        Raises:
            SweepError: the request or the script is wrong, so that no trial could be started.
        """
        self._began = time.monotonic()
        cancelled = False
        try:
            reaper.kill_leftovers()
            try:
                self._sweep()
            finally:
                self._close_agent(at_once=True)
        except StoppedError as stopped:
            cancelled = stopped.info is None
        finally:
            self._sink.run_finished(cancelled or self._cancelled.is_set())

    def _sweep(self) -> None:
        run, length = self._learn()
        self._plan, self._sent = run.plan, run.sent
        consumer = run.request.consumer or Consumer("none")
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
                    self._run_trial(trial, self._order(trial, consumer, run.target), sampler, length)
                self._tell_progress()
        finally:
            sampler.close()

    def _learn(self) -> tuple[Run, int | None]:
        """What must be known before the first trial: environment, target, one sample, and from these the plan.

        The sample is read in an agent of its own: one that has touched the user's data is not used for a trial.
        """
        self._request = request = as_experiment(self._request) if self._request.startup else self._request
        sample: dict[str, Any] | None = None
        sent: list[SentPart] | None = None
        if request.probe:
            learnt = probe_target(request, self._tick, self._log_output, weighs=True)
            environment, target, current, sample = learnt.environment, learnt.target, learnt.current, learnt.sample
            length, has_step, notes, lines, sent = learnt.length, learnt.has_step, learnt.notes, learnt.log, learnt.sent
            for line in lines:
                self._log_output(line)
        else:
            loaded, attached = self._load_and_keep(request)
            environment = machine_environment(loaded.environment)
            target, current, length, has_step, notes = attached.target, attached.current, attached.length, loaded.has_step, attached.notes
        for note in (*environment.get("torch_assumptions", ()), *notes):
            self._log(note)
        target = dataclasses.replace(target, current=target.current or current, length=length if length is not None else target.length)
        # later agents must find the same target, whatever was left open in the request
        self._request = dataclasses.replace(request, target=target.name)
        if length == 0:
            raise SweepError(
                ErrorInfo("unsupported", f"{target.name} is empty: it has no sample to load.", "", request.script, target.line)
            )
        if request.consumer is not None and request.consumer.kind == "script" and not has_step:
            sentence = f"{request.script} has neither train_step(batch) nor make_train_step(), so there is no step of the script to run."
            raise SweepError(ErrorInfo("unsupported", sentence, "", request.script))
        cost, machine = data_cost(sample, sent or ()), read_machine()
        plan = limits.mark_limits(space.plan(request, target, facts_of(environment)), cost, machine, request.force)
        if (promise := limits.commit_sentence(machine, cost)) is not None:
            self._log(promise)
        for sentence in limits.cannot_be_sent(sent or [], plan):
            self._log(sentence)
        request = dataclasses.replace(request, consumer=request.consumer or Consumer("script" if has_step else "none"))
        controls = self._measure_controls(environment, plan) if request.startup and not self._budget_used() else []
        return Run(request, environment, target, request.script, sample, plan, sent, controls, int(time.time())), length

    def _measure_controls(self, environment: dict[str, Any], plan: list[PlannedTrial]) -> list[Control]:
        """Before the trials: a prediction must not rest on what it is compared with."""
        request, preload = self._request, limits.preloaded(plan)
        what = f", and a fork server that preloads {enumerated(list(preload))}" if preload else ""
        self._log(f"Controls: a bare interpreter and the imports of numpy and torch, each a few times{what}.")
        python = request.python or default_python()
        if python is None:
            return []
        found = measure_controls(python, request.load_timeout_s, self._tick)
        self._server_folder = fork_server(request, script_imports_of(environment), environment.get("python")).folder
        control = self._measure_preload(preload) if preload else None
        return found if control is None else [*found, control]

    def _measure_preload(self, modules: tuple[str, ...]) -> Control | None:
        request, python = self._request, self._request.python or default_python()
        if python is None or self._server_folder is None:
            return None
        return measure_preload(python, modules, self._server_folder, cwd=request.cwd, timeout_s=request.load_timeout_s, tick=self._tick)

    def _load_and_keep(self, request: Request) -> tuple[Loaded, Attached]:
        """Loads the script in the agent that the first trial will use."""
        self._agent = start_agent(request, self._tick)
        try:
            loaded, self._attached = load_and_attach(self._agent, request, self._tick)
        except NotReachedError as unreached:
            self._close_agent(at_once=False)
            return self._load_and_keep(unreached.request)
        return loaded, self._attached

    def _order(self, trial: PlannedTrial, consumer: Consumer, target: Target) -> TrialOrder:
        request = self._request
        return TrialOrder(
            trial=trial.id,
            log_dir="",
            config=trial.config,
            batches=request.batches,
            epochs=request.epochs,
            shuffle=request.shuffle,
            seed=request.seed,
            consumer=consumer,
            device=request.device,
            h2d=request.h2d,
            timeout_s=request.timeout_s,
            gpu_window=request.gpu_window if not trial.repeat else None,
        )

    def _run_trial(self, trial: PlannedTrial, order: TrialOrder, sampler: Sampler, length: int | None) -> None:
        trace = Trace()
        self._trial = trial.id
        self._sink.trial_started(trial, trace)
        try:
            with temporary_folder() as folder:
                end, control, stderr = self._in_agent(dataclasses.replace(order, log_dir=str(folder)), trace, sampler, trial)
                self._take_output()
                result = self._analyse(trace, trial, order, end, length)
                said = stderr.warnings(trace.warned, end.error, in_main=not trial.config.num_workers)
                result = dataclasses.replace(result, warnings=said)
                if result.startup is not None and control is not None:
                    result = dataclasses.replace(result, startup=dataclasses.replace(result.startup, preload_import_s=control.import_s))
                self._finish(result, trace)
        finally:
            self._trial = None

    def _in_agent(
        self, order: TrialOrder, trace: Trace, sampler: Sampler, trial: PlannedTrial
    ) -> tuple[TrialEnd, Control | None, TrialStderr]:
        """How the trial ended, the control of its fork server in an experiment, and what was printed to stderr during it."""
        preload = trial.config.forkserver_preload if self._request.startup else None
        try:
            agent, attached = self._ready_agent()
            # Beside the server's start, as a machine's pace drifts, and not while the trial before is still being written.
            control = self._measure_preload(preload) if preload else None
        except SweepError as error:
            self._close_agent(at_once=True)
            return TrialEnd("killed" if error.info.kind == "agent-died" else "failed", error.info, None, 0.0, 0.0), None, TrialStderr()
        except StoppedError as stopped:
            self._close_agent(at_once=True)
            return TrialEnd("cancelled", stopped.info, None, 0.0, 0.0), None, TrialStderr()

        def tick(grew: bool) -> None:
            if grew:
                self._sink.trace_grew(trial, trace)
            self._tick()

        self._take_all_output(agent)  # what the script printed while it was loaded
        stderr = self._stderr = TrialStderr(agent.clock.offset_ns)
        try:
            end = TrialRun(agent, order, trace, sampler, self._request.script).run(tick)
            self._take_all_output(agent)
        finally:
            self._stderr = None  # what is printed from here on, as by a tracker of resources, is not the trial's
        if not may_be_kept(self._request.isolate, order, end, attached.fingerprint):
            self._close_agent(at_once=end.status != "ok")
        return end, control, stderr

    def _ready_agent(self) -> tuple[AgentProcess, Attached]:
        """The agent of the trial before, or a fresh one."""
        if self._agent is None or self._attached is None or not self._agent.alive:
            self._close_agent(at_once=True)
            self._agent = start_agent(self._request, self._tick)
            load(self._agent, self._request, self._tick)
            self._attached = attach(self._agent, self._request, self._request.target or "", self._tick)
        return self._agent, self._attached

    def _close_agent(self, at_once: bool) -> None:
        agent, self._agent, self._attached = self._agent, None, None
        if agent is not None:
            agent.close(at_once)
            for line in agent.drain_output():
                self._log_output(line)

    def _analyse(self, trace: Trace, trial: PlannedTrial, order: TrialOrder, end: TrialEnd, length: int | None) -> TrialResult:
        """The trial's row. A fault of the analysis costs the numbers of this trial, not the sweep."""
        try:
            return analyse(trace, trial, order, end, dataset_length=length, sent=self._sent)
        except Exception as error:  # the border between what was measured and what is made of it
            self._log(f"Trial {trial.id} could not be analysed: {error}\n{traceback.format_exc()}")
            told = (
                f"The analysis of this trial failed by a fault of Loaderscope ({type(error).__name__}: {error}); its timeline is complete."
            )
            if end.status != "ok":
                return TrialResult(trial.id, trial.repeat, end.status, trial.config, end.error, end.seconds, notes=[told])
            fault = ErrorInfo(type(error).__name__, told, traceback.format_exc())
            return TrialResult(trial.id, trial.repeat, "failed", trial.config, fault, end.seconds)

    def _finish(self, result: TrialResult, trace: Trace | None) -> None:
        self._results.append(result)
        self._sink.trial_finished(result, trace)

    def _skip(self, trial: PlannedTrial, sentence: str) -> None:
        """One row for a setting that never ran; further repeats of one that did are left out."""
        if all(result.config != trial.config for result in self._results):
            self._finish(_skipped(trial, "limit", sentence), None)

    def _why_not_now(self, trial: PlannedTrial, run: Run) -> str | None:
        """Why a trial of the plan is not to be run now after all: no time is left, or the trials before taught that memory is short."""
        if self._budget_used():
            return f"The budget of {self._request.max_seconds:g} s (--max-seconds) was used up before this setting's turn."
        if self._request.force or any(result.config == trial.config and result.status == "ok" for result in self._results):
            return None
        return limits.limit_reason(trial.config, limits.corrected(data_cost(run.sample), self._results), read_machine())

    def _budget_used(self) -> bool:
        budget = self._request.max_seconds
        return budget is not None and time.monotonic() - self._began > budget

    def _stop_if_asked(self) -> None:
        if self._cancelled.is_set():
            raise StoppedError(None)

    def _tick(self) -> None:
        """Everything that has to happen about ten times a second, whatever the pool is waiting for."""
        self._take_output()
        self._stop_if_asked()
        if self._trial is not None and self._budget_used():
            sentence = f"The budget of {self._request.max_seconds:g} s (--max-seconds) was used up during this trial."
            raise StoppedError(ErrorInfo("limit", sentence))
        if self._plan and time.monotonic() - self._progress_at > _PROGRESS_S:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._progress_at = time.monotonic()
        elapsed_s = self._progress_at - self._began
        left_s = limits.seconds_left(self._plan, self._results, elapsed_s, self._request.max_seconds)
        self._sink.progress(len(self._results), len(self._plan), left_s)

    def _take_output(self) -> None:
        if self._agent is not None:
            for line in self._agent.drain_output():
                self._log_output(line)

    def _take_all_output(self, agent: AgentProcess) -> None:
        agent.settle_output()
        self._take_output()

    def _log_output(self, line: OutputLine) -> None:
        if self._stderr is not None:
            self._stderr.add(line)
        self._sink.log_line(LogLine(line.time_ns, line.stream, line.text, self._trial))

    def _log(self, sentence: str) -> None:
        self._sink.log_line(LogLine(time.perf_counter_ns(), "loaderscope", sentence, self._trial))


def may_be_kept(isolate: bool, order: TrialOrder, end: TrialEnd, fingerprint: str | None) -> bool:
    """Whether the agent of this trial may run the next one: only while that cannot matter.

    Not after the user's dataset or step ran inside of it (0 workers, threads, a script's step), a device or the profiler was
    initialised, a forkserver was started (it survives), the trial failed, or the dataset is no longer what it was.
    """
    config, outcome = order.config, end.outcome
    if isolate or end.status != "ok" or outcome is None or outcome.ran_user_code:
        return False
    if not config.num_workers or config.backend == "thread" or config.start_method == "forkserver":
        return False
    if order.consumer.kind in ("script", "cuda") or order.device is not None or config.pin_memory or order.gpu_window is not None:
        return False
    return outcome.fingerprint == fingerprint


def _skipped(trial: PlannedTrial, kind: str, sentence: str) -> TrialResult:
    config: TrialConfig = trial.config
    return TrialResult(trial.id, None, "skipped", config, ErrorInfo(kind, sentence))
