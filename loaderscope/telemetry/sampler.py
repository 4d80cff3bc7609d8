"""The thread of the app that samples the processes and GPUs of a trial while it runs."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from loaderscope.telemetry.gpus import GpuSampler
from loaderscope.telemetry.nvml import Gpu, Nvml
from loaderscope.telemetry.other_programs import OtherPrograms, UseByOthers
from loaderscope.telemetry.processes import ProcessSampler
from loaderscope.telemetry.sampled_value import Sample

INTERVAL_S = 0.2
PROCESS_INTERVAL_S = 0.25
"""For up to `PROCESSES_AT_FULL_RATE` processes; more are sampled less often, so that the app's own cost stays the same."""
PROCESSES_AT_FULL_RATE = 8
WAITS_INTERVAL_S = 0.05
"""Between two looks at what the processes wait for, likewise; a look at one takes about 15 µs."""
SHORT_TRIAL_S = 1.0
"""In the first second of a trial the sampler looks for new processes more often: a trial may end before its memory was sampled."""
FIRST_LOOKS_INTERVAL_S = 0.05
"""Between two looks for new processes in that second."""

ListProcesses = Callable[[], list[tuple[str, int]]]
"""Returns name and pid of the trial's processes so far."""


class TrialSampling(NamedTuple):
    """What the sampling of a trial cost in the app's process, and which programs ran beside the trial.

    Attributes:
        nvml_s: time within NVML; None without a GPU. Readings of the PCIe throughput do not count: they only wait.
        processes_s: time for sampling the processes.
    """

    nvml_s: float | None = None
    processes_s: float = 0.0
    others: UseByOthers = UseByOthers()


@dataclasses.dataclass
class _WatchedTrial:
    list_processes: ListProcesses
    processes: ProcessSampler
    others: OtherPrograms
    gpus: GpuSampler
    processes_s: float = 0.0

    def sample_waits(self, named_pids: list[tuple[str, int]]) -> list[Sample]:
        began_s = time.perf_counter()
        samples = self.processes.sample_waits(named_pids)
        self.processes_s += time.perf_counter() - began_s
        return samples

    def sample_processes(self, named_pids: list[tuple[str, int]], memory_now: bool = False) -> list[Sample]:
        began_s = time.perf_counter()
        samples = self.processes.sample(named_pids, memory_now) + self.others.sample_if_due(named_pids)
        self.processes_s += time.perf_counter() - began_s
        return samples


class Sampler:
    """Samples one trial after another until it is closed; between trials its thread waits.

    Samples go into a queue, because only the thread that owns a trace may append to it.
    """

    def __init__(self, pcie: bool = False) -> None:
        """Looks for GPUs and starts the thread.

        Args:
            pcie: whether to read the PCIe throughput too; each reading waits for 20 ms, in a thread of its own.
        """
        self._nvml = Nvml()
        self._reads_pcie = pcie
        self._samples: queue.SimpleQueue[Sample] = queue.SimpleQueue()
        self._condition = threading.Condition()
        self._watched: _WatchedTrial | None = None
        self._ended: _WatchedTrial | None = None  # the trial that ended last
        self._closed = False
        self._watching_since_s = 0.0
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    @property
    def gpus(self) -> list[Gpu]:
        return list(self._nvml.gpus)

    def watch(self, list_processes: ListProcesses, log_dir: Path) -> None:
        """Starts to sample a trial.

        Args:
            list_processes: the sampler's thread calls it.
            log_dir: the trial's event logs, whose mapped pages are not the user's memory.
        """
        with self._condition:
            self.drain()  # drops late samples of the trial before
            gpus = GpuSampler(self._nvml, log_dir, self._put if self._reads_pcie else None)
            self._watched = _WatchedTrial(list_processes, ProcessSampler(log_dir), OtherPrograms(list_processes()), gpus)
            self._watching_since_s = time.monotonic()
            self._condition.notify()

    def stop_watching(self) -> TrialSampling:
        """Stops to sample the trial; no more samples of the trial come after this returns.

        The processes of a short trial are sampled once more.
        """
        with self._condition:
            trial, self._watched = self._watched, None
            if trial is None:
                return TrialSampling()
            if time.monotonic() - self._watching_since_s < SHORT_TRIAL_S:
                self._put(trial.sample_processes(trial.list_processes(), memory_now=True))
            self._put(trial.gpus.finish())
            samples, others = trial.others.finish(trial.list_processes())
            self._put(samples)
            self._ended = trial
            return TrialSampling(trial.gpus.seconds, trial.processes_s, others)

    def drain(self) -> list[Sample]:
        """The samples since the last call."""
        samples = []
        while True:
            try:
                samples.append(self._samples.get_nowait())
            except queue.Empty:
                return samples

    def unavailable(self) -> dict[str, str]:
        """Reasons by key of what cannot be measured in this trial or, between trials, could not be in the last one."""
        trial = self._watched or self._ended
        return {} if trial is None else {**trial.gpus.unavailable, **trial.processes.unavailable}

    def close(self) -> None:
        """Ends the thread and closes NVML."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout=5)
        self._nvml.close()

    def _run(self) -> None:
        next_gpus_s = next_processes_s = next_waits_s = 0.0
        sampled_pids: list[tuple[str, int]] = []
        with self._condition:
            while not self._closed:
                trial = self._watched
                if trial is None:
                    next_gpus_s = next_processes_s = next_waits_s = 0.0
                    self._condition.wait()
                    continue
                now_s = time.monotonic()
                is_new = now_s - self._watching_since_s < SHORT_TRIAL_S
                if now_s >= next_gpus_s:
                    next_gpus_s = now_s + (FIRST_LOOKS_INTERVAL_S if is_new else INTERVAL_S)
                    self._put(trial.gpus.sample())
                named_pids = trial.list_processes()
                crowd = max(1.0, len(named_pids) / PROCESSES_AT_FULL_RATE)
                if now_s >= next_waits_s:
                    next_waits_s = now_s + WAITS_INTERVAL_S * crowd
                    self._put(trial.sample_waits(named_pids))
                if now_s >= next_processes_s or named_pids != sampled_pids:
                    sampled_pids = named_pids
                    next_processes_s = now_s + PROCESS_INTERVAL_S * crowd
                    self._put(trial.sample_processes(named_pids))
                next_s = min(next_processes_s, next_waits_s, *((next_gpus_s,) if self._nvml.gpus else ()))
                pause_s = max(0.01, next_s - time.monotonic())
                self._condition.wait(min(pause_s, FIRST_LOOKS_INTERVAL_S) if is_new else pause_s)

    def _put(self, samples: list[Sample]) -> None:
        for sample in samples:
            self._samples.put(sample)
