"""Runs a training as it is and records its loaders: the script is started as without us, its environment alone asks for the recording."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from loaderscope.agent.loader_description import LOADER_FILE
from loaderscope.agent.messages import Target, TrialConfig, TrialOrder
from loaderscope.agent.training_record import VARIABLE
from loaderscope.agent.watched_children import HOOK_FOLDER
from loaderscope.analysis.exposed_time import with_exposed_time
from loaderscope.analysis.recorded_training import wait_seconds
from loaderscope.analysis.trial import TrialEnd, analyse_or_log
from loaderscope.facts.request import MODULE_OPTION, Request
from loaderscope.facts.results import LoaderUse, TrialResult
from loaderscope.facts.run import LogLine, PlannedTrial, Run, Sink
from loaderscope.sweep.inspect_script import machine_environment
from loaderscope.sweep.processes.agent_environment import default_python, interpreter_environment
from loaderscope.sweep.processes.temporary_folders import temporary_folder
from loaderscope.sweep.trial_run import trial_end
from loaderscope.telemetry.sampled_value import append_samples
from loaderscope.telemetry.sampler import Sampler
from loaderscope.trace.model import Trace
from loaderscope.trace.reader import TraceReader

READ_INTERVAL_S = 0.25


class _Loader:
    """A loader of the training: its trial, its trace, and the reader of its logs."""

    def __init__(self, number: int, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder = folder
        self.description = description
        self.trial = PlannedTrial(number, 0, TrialConfig.from_json(description["config"]))
        self.trace = Trace()
        self.reader = TraceReader(folder, self.trace, self.trial.config.num_workers)

    def read_description(self) -> None:
        """Reads the description again, which changes once another thread than the main thread iterates the loader."""
        with contextlib.suppress(OSError, ValueError):
            self.description = _read_description(self.folder)

    def use(self, training_s: float, exit_status: int) -> LoaderUse:
        return LoaderUse(
            made=self.description["made"],
            iterated=self.description["iterated"],
            class_name=self.description["class"],
            dataset=self.description["dataset"],
            length=self.description["length"],
            pid=self.description["pid"],
            wait_s=wait_seconds(self.trace, self.description["reads_ahead"]) if self.description["in_main_thread"] else None,
            training_s=training_s,
            exit_status=exit_status,
        )


def _read_description(folder: Path) -> dict[str, Any]:
    description: dict[str, Any] = json.loads((folder / LOADER_FILE).read_text(encoding="utf-8"))
    return description


class TrainingRun:
    """One run of a training; `run` blocks until the script has ended.

    Attributes:
        process: the script's process, once it is started.
    """

    def __init__(self, request: Request, sink: Sink[Trace], stdout: IO[bytes] | int | None = None) -> None:
        """Starts nothing yet.

        Args:
            request: names the script, its arguments and its interpreter.
            sink: gets a trial for each loader, when it is iterated first.
            stdout: replaces the script's standard output; None: it has that of this process.
        """
        self._request, self._sink, self._stdout = request, sink, stdout
        self._loaders: list[_Loader] = []
        self._run: Run | None = None
        self._has_stopped_reading = False
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Runs the script to its end, and returns its exit status as `subprocess` gives it.

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

    def _record(self, folder: Path, sampler: Sampler) -> int:
        began_s, cpu_before_s = time.perf_counter(), time.process_time()
        process = self.process = subprocess.Popen(
            self._command(), cwd=self._request.cwd, env=self._environment(folder), stdout=self._stdout
        )
        sampler.watch(self._live_processes, folder)
        while True:
            try:
                status = process.wait(READ_INTERVAL_S)
                break
            except subprocess.TimeoutExpired:
                self._read_or_stop(folder, sampler)
        training_s = time.perf_counter() - began_s
        self._read_or_stop(folder, sampler)
        sampling = sampler.stop_watching()
        app_cpu_share = (time.process_time() - cpu_before_s) / training_s
        end = trial_end("ok", None, None, training_s, app_cpu_share, sampling, folder)
        for loader in self._loaders:
            loader.reader.finish()
            loader.read_description()
        traces, results = [loader.trace for loader in self._loaders], [self._result(one, end, training_s, status) for one in self._loaders]
        for result, trace in zip(with_exposed_time(results, traces, round(began_s * 1e9), self._log), traces, strict=True):
            self._sink.trial_finished(result, trace)
        return status

    def _command(self) -> list[str]:
        request = self._request
        python = request.python or default_python() or "python3"
        script = [MODULE_OPTION, request.module] if request.module is not None else [request.script]
        return [python, *script, *request.script_args]

    def _environment(self, folder: Path) -> dict[str, str]:
        environment = interpreter_environment(self._request.python or default_python() or "python3")
        environment |= self._request.environment_variables
        paths = [HOOK_FOLDER, environment.get("PYTHONPATH", "")]
        return environment | {VARIABLE: str(folder), "PYTHONPATH": os.pathsep.join(path for path in paths if path)}

    def _live_processes(self) -> list[tuple[str, int]]:
        processes = [process for loader in self._loaders for process in list(loader.trace.processes) if process.ended_ns is None]
        named = {process.pid: process.name for process in reversed(processes)}
        return [(name, pid) for pid, name in named.items()] or ([("main", self.process.pid)] if self.process is not None else [])

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
                self._add_loader(path)
        samples = sampler.drain()
        for number, loader in enumerate(self._loaders):
            grew = loader.reader.poll()
            if number == 0:  # samples of processes belong to no loader; they are shown once
                grew = append_samples(loader.trace, samples, 0) or grew
            if grew:
                self._sink.trace_grew(loader.trial, loader.trace)

    def _add_loader(self, path: Path) -> None:
        loader = _Loader(len(self._loaders), path.parent, _read_description(path.parent))
        if self._run is None:
            environment = machine_environment(dict(loader.description["environment"]))
            target = Target("training", "captured", loader.description["class"], "captured")
            self._run = Run(self._request, environment, target, self._request.script, None, [])
            self._sink.run_started(self._run)
        self._loaders.append(loader)
        self._sink.trial_started(loader.trial, loader.trace)

    def _result(self, loader: _Loader, end: TrialEnd, training_s: float, status: int) -> TrialResult:
        order = TrialOrder(loader.trial.id, str(loader.folder), loader.trial.config, batches=None)
        result = analyse_or_log(loader.trace, loader.trial, order, end, self._log, dataset_length=loader.description["samples"])
        return dataclasses.replace(result, loader=loader.use(training_s, status))

    def _log(self, text: str) -> None:
        self._sink.log_line(LogLine(time.perf_counter_ns(), "loaderscope", text))
