"""Runs a training as it is and records its loaders: the script is started as without us, its environment alone asks for the recording."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Any

from loaderscope.agent import record_bounds
from loaderscope.agent.loader_description import LOADER_FILE
from loaderscope.agent.messages import Target, TrialOrder
from loaderscope.agent.notebook import NOTEBOOK_SUFFIX
from loaderscope.agent.training_record import LINES_VARIABLE, VARIABLE
from loaderscope.agent.watched_children import HOOK_FOLDER
from loaderscope.analysis.exposed_time import with_exposed_time
from loaderscope.analysis.trial import TrialEnd, analyse_or_log, without_waits
from loaderscope.facts.request import MODULE_OPTION, Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import TRAINING_TARGET, LogLine, Run, Sink
from loaderscope.sweep.inspect_script import machine_environment
from loaderscope.sweep.pool import LIVE_READ_INTERVAL_S
from loaderscope.sweep.processes import script_process
from loaderscope.sweep.processes.agent_environment import default_python, interpreter_environment
from loaderscope.sweep.processes.script_process import ScriptOutput
from loaderscope.sweep.processes.temporary_folders import temporary_folder
from loaderscope.sweep.recorded_loader import RecordedLoader, named_processes
from loaderscope.sweep.training_end import TrainingEnd
from loaderscope.sweep.trial_run import trial_end
from loaderscope.telemetry.sampled_value import append_samples
from loaderscope.telemetry.sampler import Sampler
from loaderscope.trace.model import Trace

NOTEBOOK_RUNNER = os.path.join(os.path.dirname(HOOK_FOLDER), "notebook_start.py")
READ_INTERVAL_S = 0.25


@dataclasses.dataclass(frozen=True)
class RecordingBounds:
    """What is recorded of a training.

    Attributes:
        skip_s: nothing is recorded before, counted from the start of the script.
        seconds: the recording ends so long after it began; None: with the script.
        batches: the recording of a process ends after so many batches of its loaders together; None: without such a limit.
        then_stop: ends the training with the recording.
    """

    skip_s: float = 0.0
    seconds: float | None = None
    batches: int | None = None
    then_stop: bool = False

    @property
    def are_any(self) -> bool:
        return self.skip_s > 0 or self.seconds is not None or self.batches is not None


class TrainingRun:
    """One run of a training; `run` blocks until the script has ended.

    Other threads may call `interrupt`, `kill` and `detach`.

    Attributes:
        process: the script's process, once it is started.
    """

    def __init__(
        self,
        request: Request,
        sink: Sink[Trace],
        stdout: IO[bytes] | int | None = None,
        bounds: RecordingBounds | None = None,
        typed_script: str | None = None,
        *,
        in_window: bool = False,
    ) -> None:
        """Starts nothing yet.

        Args:
            request: names the script, its arguments and its interpreter.
            sink: gets a trial for each loader, when it is iterated first within the bounds.
            stdout: replaces the script's standard output; None: it has that of this process.
            bounds: of the recording; None: the whole training.
            typed_script: the path of the script as its user typed it, which it may see in `sys.argv`; None: that of the request.
            in_window: whether the script has no terminal. Then it gets no input, the sink gets what it prints, and a Ctrl+C in the
                terminal of this process does not reach it.
        """
        self._in_window = in_window
        self._output: ScriptOutput | None = None
        self._is_detached = threading.Event()
        self._script = typed_script or request.script
        self._request, self._sink, self._stdout = request, sink, stdout
        self._bounds = bounds or RecordingBounds()
        self._from_ns, self._until_ns = 0, 0  # 0 where there is no such bound
        self._ended_ns: dict[int, int] = {}  # when the recording of a process ended at a bound, by pid
        self._loaders: list[RecordedLoader] = []
        self._run: Run | None = None
        self._has_stopped_reading = False
        self.process: subprocess.Popen[bytes] | None = None
        self._process_lock = threading.Lock()  # held while the script starts, and while it is sent Ctrl+C
        self._is_interrupted = False

    @property
    def met_loaders(self) -> bool:
        """Whether the script iterated a loader as far as is known; perhaps nothing of it could be recorded."""
        return bool(self._loaders)

    def interrupt(self) -> None:
        """Sends the script what Ctrl+C in a terminal sends it. If it has not started, it gets that as soon as it has."""
        with self._process_lock:
            self._is_interrupted = True
            if self.process is not None:
                script_process.interrupt(self.process)

    def kill(self) -> None:
        """Kills the script and all processes that it started."""
        if self.process is not None:
            script_process.kill_tree(self.process)

    def detach(self) -> None:
        """Ends the recording soon; the training goes on."""
        self._is_detached.set()

    def last_lines(self) -> list[str]:
        """Returns the last lines of a script without a terminal: those on its standard error, or else on its standard output."""
        return self._output.tail() if self._output is not None else []

    def run(self) -> int | None:
        """Runs the script to its end.

        Returns:
            Its exit status as `subprocess` gives it; None if it goes on without us.

        Raises:
            OSError: the interpreter cannot be started.
        """
        sampler = Sampler(self._request.pcie)
        try:
            with temporary_folder() as folder:
                return self._record(folder, sampler)
        finally:
            sampler.close()
            if self._run is not None:
                self._sink.run_finished(False)

    def _record(self, folder: Path, sampler: Sampler) -> int | None:
        began_ns, cpu_before_s = time.perf_counter_ns(), time.process_time()
        self._from_ns = began_ns + round(self._bounds.skip_s * 1e9) if self._bounds.are_any else 0
        self._until_ns = self._from_ns + round(self._bounds.seconds * 1e9) if self._bounds.seconds is not None else 0
        with self._process_lock:
            process = self.process = self._start(folder)
            if self._is_interrupted:
                script_process.interrupt(process)
        sampler.watch(self._live_processes, folder)
        status = self._read_to_end(process, folder, sampler)
        if self._output is not None and status is not None:
            self._output.finish()
        self._pass_on_output()
        ended_ns = time.perf_counter_ns()
        training_s = (ended_ns - began_ns) / 1e9
        self._read_or_stop(folder, sampler)
        sampling = sampler.stop_watching()
        app_cpu_share = (time.process_time() - cpu_before_s) / training_s
        end = trial_end("ok", None, None, training_s, app_cpu_share, sampling, folder)
        for loader in self._loaders:
            loader.reader.finish()
            self._report_stops(loader)
            loader.read_description()
        shown = [loader for loader in self._loaders if loader.is_shown]
        results = [self._result(loader, end, training_s, status, ended_ns) for loader in shown]
        traces = [loader.trace for loader in shown]
        recorded_from_ns, skips = max(began_ns, self._from_ns), self._bounds.skip_s > 0
        results = with_exposed_time(results, traces, recorded_from_ns, self._log, skips_start=skips)
        for result, trace in zip(results, traces, strict=True):
            self._sink.trial_finished(result, trace)
        return status

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        streams: dict[str, Any] = {"stdout": self._stdout}
        if self._in_window:
            self._output = ScriptOutput(self._command()[0])
            streams = self._output.popen_options()
        try:
            return subprocess.Popen(self._command(), cwd=self._request.cwd, env=self._environment(folder), **streams)
        finally:
            if self._output is not None:
                self._output.script_started()

    def _read_to_end(self, process: subprocess.Popen[bytes], folder: Path, sampler: Sampler) -> int | None:
        """Reads what is recorded until the script has ended, and returns its exit status; None once it goes on without us."""
        training_end: TrainingEnd | None = None
        while not self._is_detached.is_set():
            try:
                return process.wait(LIVE_READ_INTERVAL_S if self._in_window else READ_INTERVAL_S)
            except subprocess.TimeoutExpired:
                self._read_or_stop(folder, sampler)
                self._pass_on_output()
                self._sink.progress(0, 0, None)  # writes the user's marks; nobody knows how far the script is
            if training_end is not None:
                training_end.go_on()
            elif self._bounds.then_stop and self._has_ended():
                self._log("The recording has ended, and so the training is ended now, with Ctrl+C.")
                training_end = TrainingEnd(process)
        return process.poll()

    def _pass_on_output(self) -> None:
        for line in self._output.drain() if self._output is not None else ():
            self._sink.log_line(LogLine(line.time_ns, line.stream, line.text))

    def _report_stops(self, loader: RecordedLoader) -> None:
        for reason in loader.reader.stop_reasons():
            self._log(f"The recording of the loader {loader.name} ended early. {reason}")

    def _has_ended(self) -> bool:
        """Whether the recording has ended at a bound, in any process: those that train together give their batches together."""
        return bool(self._ended_ns) or 0 < self._until_ns <= time.perf_counter_ns()

    def _end_of_recording_ns(self, pid: int) -> int | None:
        """When the recording of a process ends at a bound, as far as that is known."""
        ends_ns = [end_ns for end_ns in (self._until_ns, self._ended_ns.get(pid, 0)) if end_ns]
        return min(ends_ns, default=None)

    def _recorded_s(self, pid: int, ended_ns: int) -> float | None:
        if not self._bounds.are_any:
            return None
        until_ns = self._end_of_recording_ns(pid)
        return max(0, (ended_ns if until_ns is None else min(until_ns, ended_ns)) - self._from_ns) / 1e9

    def _command(self) -> list[str]:
        request = self._request
        python = request.python or default_python() or "python3"
        if request.module is not None:
            return [python, MODULE_OPTION, request.module, *request.script_args]
        runner = [NOTEBOOK_RUNNER] if request.script.endswith(NOTEBOOK_SUFFIX) else []
        return [python, *runner, self._script, *request.script_args]

    def _environment(self, folder: Path) -> dict[str, str]:
        environment = interpreter_environment(self._request.python or default_python() or "python3")
        environment |= self._request.environment_variables
        paths = [HOOK_FOLDER, environment.get("PYTHONPATH", "")]
        environment |= {
            VARIABLE: str(folder),
            record_bounds.APP_VARIABLE: str(os.getpid()),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }
        if self._in_window:
            environment[LINES_VARIABLE] = "1"
        if self._bounds.are_any:
            environment[record_bounds.VARIABLE] = record_bounds.text_of(self._from_ns, self._until_ns, self._bounds.batches or 0)
        return environment

    def _live_processes(self) -> list[tuple[str, int]]:
        return named_processes(list(self._loaders), self.process.pid) if self.process is not None else []

    def _read_or_stop(self, folder: Path, sampler: Sampler) -> None:
        """Reads what was recorded. A fault of ours ends that, and not the training, for whose end this process waits."""
        if self._has_stopped_reading:
            return
        try:
            self._read(folder, sampler)
        except Exception as error:
            self._has_stopped_reading = True
            text = f"The recording ended early by a fault of Loaderscope: {type(error).__name__}: {error}"
            self._sink.log_line(LogLine(time.perf_counter_ns(), "loaderscope", text))

    def _read(self, folder: Path, sampler: Sampler) -> None:
        """Finds loaders that are new, and reads what was recorded of all."""
        known = {loader.folder for loader in self._loaders}
        for path in sorted(folder.glob(f"*/{LOADER_FILE}"), key=lambda path: path.stat().st_mtime_ns):
            if path.parent not in known:
                self._loaders.append(RecordedLoader(path.parent))
        self._read_ends(folder)
        samples = [sample for sample in sampler.drain() if self._from_ns <= sample.time_ns <= (self._until_ns or sample.time_ns)]
        for loader in self._loaders:
            loader.reader.from_ns = self._from_ns
            until_ns = self._end_of_recording_ns(loader.pid)
            if until_ns is not None:
                loader.reader.until_ns = until_ns
            grew = loader.reader.poll()
            if not loader.is_shown and (loader.trace.span_count if self._from_ns else loader.trace.record_count):
                self._show(loader)
            if loader.is_shown and loader.trial.id == 0:  # samples of processes belong to no loader; they are shown once
                grew = append_samples(loader.trace, samples, 0) or grew
            if grew and loader.is_shown:
                self._sink.trace_grew(loader.trial, loader.trace)

    def _read_ends(self, folder: Path) -> None:
        for path in folder.glob(f"*{record_bounds.ENDED_SUFFIX}"):
            self._ended_ns.setdefault(int(path.stem), int(path.read_text(encoding="ascii")))

    def _show(self, loader: RecordedLoader) -> None:
        """Passes a loader on to the sink."""
        if self._run is None:
            environment = machine_environment(dict(loader.description["environment"]))
            target = Target(TRAINING_TARGET, "captured", loader.description["class"], "captured")
            self._run = Run(self._request, environment, target, self._request.script, None, [])
            self._sink.run_started(self._run)
        number = sum(other.is_shown for other in self._loaders)
        loader.trial, loader.is_shown = dataclasses.replace(loader.trial, id=number), True
        self._sink.trial_started(loader.trial, loader.trace)

    def _result(self, loader: RecordedLoader, end: TrialEnd, training_s: float, status: int | None, ended_ns: int) -> TrialResult:
        order = TrialOrder(loader.trial.id, str(loader.folder), loader.trial.config, batches=None)
        result = analyse_or_log(loader.trace, loader.trial, order, end, self._log, dataset_length=loader.description["samples"])
        use = loader.use(training_s, status, self._recorded_s(loader.pid, ended_ns))
        if use.wait_s is None:  # the waits are those of a thread that reads ahead, which main hardly feels
            result = without_waits(result)
        return dataclasses.replace(result, loader=use)

    def _log(self, text: str) -> None:
        self._sink.log_line(LogLine(time.perf_counter_ns(), "loaderscope", text))
