"""Runs one trial in an agent: reads the trace as it grows, samples processes and GPUs, and ends a trial that hangs."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from pathlib import Path

from loaderscope.agent.epoch_count import LONGEST_ABSENCE_S
from loaderscope.agent.error_sentences import DISK, limit_in_text
from loaderscope.agent.layout import Role, State
from loaderscope.agent.messages import Consumer, ErrorInfo, TrialOrder, TrialOutcome
from loaderscope.analysis.trial import TrialEnd
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.lanes import CPU_STEP, LaneFact
from loaderscope.facts.request import Request
from loaderscope.facts.run import PlannedTrial
from loaderscope.sweep.machine import read_machine, usable_cpus
from loaderscope.sweep.processes import worker_tracebacks
from loaderscope.sweep.processes.agent_process import AgentDiedError, AgentError, AgentProcess
from loaderscope.sweep.processes.last_activity import activity_at_death, last_words, longest_activity
from loaderscope.sweep.processes.processor_use import ProcessorUse
from loaderscope.sweep.processes.temporary_folders import base_folder
from loaderscope.sweep.ready_agent import error_info
from loaderscope.sweep.trial_size import batches_of, enough_batches, epochs_asked_for
from loaderscope.telemetry.sampled_value import append_samples
from loaderscope.telemetry.sampler import Sampler, TrialSampling
from loaderscope.trace.model import Trace
from loaderscope.trace.process_places import most_telling, process_places, with_source_lines
from loaderscope.trace.reader import TraceReader, read_stacks
from loaderscope.trace.used_devices import read_used_devices
from loaderscope.trace.worker_looks import read_looks

_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)(: .*)?$")
"""Matches the last line of a traceback."""


PERFECT_LOADER_PART = 4
"""The batches of a perfect loader take at most one part in so many of the memory that is free."""

_QUESTION_INTERVAL_S = 1.0

_PROCESSOR_LOOK_S = 1.0
"""After so long without a record it is looked whether a training's own code uses the processor."""


def step_lane(order: TrialOrder) -> LaneFact | None:
    """The lane that shows the step in place of the device, whose busy periods are not measured; None if there is none."""
    lane = kind_of(order.consumer).lane
    return lane if lane is not CPU_STEP or order.device in (None, "cpu") else None


def order_of(trial: PlannedTrial, request: Request, log_dir: str) -> TrialOrder:
    """Makes the order for the agent.

    Args:
        trial: a trial of the plan.
        request: the run's request, with its consumer.
        log_dir: the processes of the trial write their records there.
    """
    return TrialOrder(
        trial=trial.id,
        log_dir=log_dir,
        config=trial.config,
        batches=batches_of(request, trial),
        epochs=epochs_asked_for(request, trial),
        enough_batches=enough_batches(request, trial.config),
        shuffle=request.shuffle,
        seed=request.seed,
        consumer=(None if trial.probe else request.consumer) or Consumer("none"),
        device=None if trial.probe else request.device,
        h2d=request.h2d,
        timeout_s=request.timeout_s,
        gpu_window=request.gpu_window if trial.purpose.is_of_setting and not trial.repeat else None,
        samples_of=request.samples_of,
        perfect_loader_bytes=read_machine().memory_available_bytes // PERFECT_LOADER_PART if trial.perfect_loader else None,
        probe=trial.probe,
    )


def _temporary_folder_text() -> str:
    """Returns the folder on whose disk a trial needs room, and how the user changes it."""
    return f"{base_folder()} (TMPDIR names another folder)"


def trial_end(  # noqa: PLR0917
    status: str,
    error: ErrorInfo | None,
    outcome: TrialOutcome | None,
    seconds: float,
    app_cpu_share: float,
    sampling: TrialSampling,
    log_dir: Path,
) -> TrialEnd:
    """Puts together how a trial ended: the first five as in `TrialEnd`, what was sampled meanwhile, and where its devices are told."""
    used = read_used_devices(log_dir)
    return TrialEnd(
        status=status,
        error=error,
        outcome=outcome,
        seconds=seconds,
        app_cpu_share=app_cpu_share,
        nvml_seconds=sampling.nvml_s,
        processes_seconds=sampling.processes_s,
        usable_cores=usable_cpus(),
        other_programs=sampling.others.programs,
        devices=used.models if used is not None else (),
        heat_throttles=sampling.others.heat_throttles,
        looks=read_looks(log_dir),
    )


class StoppedError(Exception):
    """The trial must end now. `info` says why: the budget is used up; None: the user cancelled."""

    def __init__(self, info: ErrorInfo | None) -> None:
        super().__init__(info.message if info is not None else "cancelled")
        self.info = info


class _HungError(Exception):
    pass


class TrialRun:
    """One trial; `run` blocks until the trial has ended, in whatever way."""

    def __init__(  # noqa: PLR0917
        self, agent: AgentProcess, order: TrialOrder, trace: Trace, sampler: Sampler, script: str, read_interval_s: float
    ) -> None:
        """Starts nothing yet.

        Args:
            agent: has made the target ready.
            order: the trial.
            trace: gets what is recorded.
            sampler: samples the trial's processes.
            script: its path.
            read_interval_s: seconds between two looks for new records.
        """
        self._agent = agent
        self._script = script
        self._order = order
        self._trace = trace
        self._sampler = sampler
        self._log_dir = Path(order.log_dir)
        self._reader = TraceReader(self._log_dir, trace, order.config.num_workers, step_lane(order))
        self._offset_ns = agent.clock.offset_ns
        self._began_ns = 0
        self._next_question_s = 0.0
        self._watches_for_hangs = order.record
        self._processor_use = ProcessorUse(agent.pid)
        self._read_interval_s = read_interval_s

    def run(self, tick: Callable[[bool], None]) -> TrialEnd:
        """Runs the trial to its end.

        Args:
            tick: called about every 0.1 s, with whether the trace grew; may raise StoppedError to end the trial.
        """
        trace = self._trace
        if self._offset_ns:
            trace.notes.append(f"The agent's clock is {self._offset_ns / 1e6:+.3f} ms from the app's; sampled values were moved by that.")
        self._sampler.watch(self._live_processes, self._log_dir)
        cpu_before_s, began_s = time.process_time(), time.perf_counter()
        self._began_ns = self._now_ns()

        next_read_s = began_s

        def step() -> None:
            nonlocal next_read_s
            grew = False
            if time.perf_counter() >= next_read_s:
                next_read_s = time.perf_counter() + self._read_interval_s
                grew = self._update_trace()
                self._check_for_hang()
            tick(grew)

        try:
            status, error, outcome = self._request_trial(step)
        finally:
            seconds = time.perf_counter() - began_s
            cpu_share = (time.process_time() - cpu_before_s) / max(seconds, 1e-9)
            sampling = self._sampler.stop_watching()
        self._update_trace()
        self._reader.finish()
        if self._reader.stop_reasons():
            trace.notes.append(f"Records are written to {_temporary_folder_text()}.")
        self._agent.reaper.remember(process.pid for process in trace.processes)
        trace.unavailable.update(self._sampler.unavailable())
        trace.version += 1
        if error is not None and error.cause == DISK:
            error = dataclasses.replace(error, message=f"{error.message}; temporary files are written to {_temporary_folder_text()}")
        return trial_end(status, error, outcome, seconds, cpu_share, sampling, self._log_dir)

    def _now_ns(self) -> int:
        """Now on the agent's clock."""
        return time.perf_counter_ns() + self._offset_ns

    def _live_processes(self) -> list[tuple[str, int]]:
        named = [(process.name, process.pid) for process in list(self._trace.processes) if process.ended_ns is None]
        return named or [("main", self._agent.pid)]

    def _request_trial(self, step: Callable[[], None]) -> tuple[str, ErrorInfo | None, TrialOutcome | None]:
        try:
            answer = self._agent.request({"type": "trial", "trial": self._order.to_json()}, None, step)
        except StoppedError as stopped:
            return "cancelled", stopped.info, None
        except _HungError:
            return "timeout", self._hung_info(), None
        except AgentDiedError as error:
            self._update_trace()
            return "killed", self._with_last_words(self._with_activity(error_info(error), {self._agent.pid})), None
        except AgentError as error:
            return "failed", self._with_last_words(error_info(error)), None
        if answer["type"] == "trial_done":
            return "ok", None, TrialOutcome.from_json(answer["outcome"])
        self._update_trace()
        info = ErrorInfo.from_json(answer["error"])
        status = {"worker-died": "killed", "agent-died": "killed", "hung": "timeout"}.get(info.kind, "failed")
        if status == "failed":
            return status, info, None
        if status == "killed" and (cause := worker_tracebacks.explain(self._agent.output_tail(), self._script)) is not None:
            return "failed", self._with_last_words(cause), None
        return status, self._with_last_words(self._with_activity(info, set(info.pids))), None

    def _update_trace(self) -> bool:
        """Appends new records and samples to the trace; returns whether it grew."""
        grew = self._reader.poll()
        reasons = self._sampler.unavailable()
        if reasons.keys() - self._trace.unavailable.keys():
            self._trace.unavailable.update(reasons)
        return append_samples(self._trace, self._sampler.drain(), self._offset_ns) or grew

    def _check_for_hang(self) -> None:
        """Raises if no process of the trial has recorded anything for too long.

        In a training, that is no hang while the script's own code uses the processor: it may evaluate, or save a checkpoint.

        Recording also stops when the disk is full, which says nothing about the trial: then only the user can notice that it hangs.
        """
        newest_ns = max(self._trace.newest_ns, self._began_ns)
        silent_s = (self._now_ns() - newest_ns) / 1e9
        is_in_script = self._is_in_script()
        if is_in_script and silent_s > _PROCESSOR_LOOK_S:
            self._processor_use.idle_s()
        if is_in_script and silent_s > LONGEST_ABSENCE_S:
            self._end_if_left()
        if not self._watches_for_hangs or silent_s < self._order.timeout_s:
            return
        if self._reader.stop_reasons():
            self._watches_for_hangs = False
            self._trace.notes.append("After recording had stopped, a trial that hangs could not be told from one that goes on.")
            return
        if is_in_script and self._processor_use.idle_s() < self._order.timeout_s:
            return
        raise _HungError

    def _end_if_left(self) -> None:
        """Asks the agent, about once a second: no hook of it runs while the script does something else than to train with loaders."""
        if time.perf_counter() >= self._next_question_s:
            self._next_question_s = time.perf_counter() + _QUESTION_INTERVAL_S
            self._agent.end_if_left()

    def _is_in_script(self) -> bool:
        """Whether the script's own code goes on in main, outside of the loader, as far as the records show."""
        if not kind_of(self._order.consumer).is_training:
            return False
        return not any(span.lane == Role.MAIN and span.state in (State.WAIT, State.ITERATOR) for span in self._trace.open_spans)

    def _hung_info(self) -> ErrorInfo:
        doing = longest_activity(self._trace, self._now_ns(), self._order.device)
        sentence = f"No process of the trial did anything for {self._order.timeout_s:g} s (--timeout)" + (f"; {doing}." if doing else ".")
        stacks = with_source_lines(read_stacks(self._log_dir), self._script)
        place = most_telling(process_places(stacks, self._script, {process.name: process.pid for process in self._trace.processes}))
        info = ErrorInfo("hung", sentence, stacks) if place is None else ErrorInfo("hung", sentence, stacks, place.file, place.line)
        return self._with_last_words(info)

    def _with_activity(self, info: ErrorInfo, pids: set[int]) -> ErrorInfo:
        """Adds to the error what the dead process was doing, and the exception that it printed last, if it printed one."""
        doing = activity_at_death(self._trace, pids)
        last = (self._agent.output_tail().splitlines() or [""])[-1].strip()
        clauses = [clause for clause in (doing, f"its last line of output: {last}" if _EXCEPTION.match(last) else "") if clause]
        cause = (limit_in_text(last) if _EXCEPTION.match(last) else None) or info.cause
        return dataclasses.replace(info, message="; ".join([info.message.rstrip("."), *clauses]) + ".", cause=cause)

    def _with_last_words(self, info: ErrorInfo) -> ErrorInfo:
        """Adds to the error's traceback the last records and the last output of the processes."""
        words = last_words(self._trace, self._now_ns())
        parts = [part for part in (info.traceback, words and f"Last records of the processes:\n{words}") if part]
        tail = self._agent.output_tail()
        if tail and tail not in info.traceback:
            parts.append(f"Last lines of output:\n{tail}")
        return dataclasses.replace(info, traceback="\n\n".join(parts))
