"""The thread in the app's process that samples the processes and GPUs while a trial runs."""

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
from loaderscope.telemetry.processes import ProcessSampler
from loaderscope.telemetry.sampled_value import Sample

INTERVAL_S = 0.2
PROCESS_INTERVAL_S = 0.25
"""For up to 8 processes; more are looked at less often, so that the app's own cost stays the same."""
PROCESSES_AT_FULL_RATE = 8
SHORT_TRIAL_S = 1.0
"""A trial may be over before its memory was looked at: in its first second new processes are looked for more often ..."""
LOOK_S = 0.05
"""... namely so often."""

NamedPids = Callable[[], list[tuple[str, int]]]


class SamplingCost(NamedTuple):
    """Seconds that sampling a trial took, in the app's process. `nvml_s` is None without a GPU; PCIe is waiting and not in it."""

    nvml_s: float | None = None
    processes_s: float = 0.0


@dataclasses.dataclass
class _Job:
    pids: NamedPids
    processes: ProcessSampler
    gpus: GpuSampler
    processes_s: float = 0.0

    def sample_processes(self, named: list[tuple[str, int]], memory_now: bool = False) -> list[Sample]:
        began = time.perf_counter()
        samples = self.processes.sample(named, memory_now)
        self.processes_s += time.perf_counter() - began
        return samples


class Sampler:
    """Samples until it is closed; between trials it only waits.

    The samples go through a queue: only the thread that owns a trace may append to it.
    """

    def __init__(self, pcie: bool = False) -> None:
        """Looks for GPUs.

        Args:
            pcie: whether throughput over PCIe is read, which costs 20 ms of waiting a reading in a thread of its own.
        """
        self._nvml = Nvml()
        self._reads_pcie = pcie
        self._samples: queue.SimpleQueue[Sample] = queue.SimpleQueue()
        self._condition = threading.Condition()
        self._job: _Job | None = None
        self._ended: _Job | None = None
        self._closed = False
        self._watching_since = 0.0
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    @property
    def gpus(self) -> list[Gpu]:
        return list(self._nvml.gpus)

    def watch(self, processes: NamedPids, log_dir: Path) -> None:
        """Begins with a trial.

        Args:
            processes: called from the sampler's thread, gives name and pid of the trial's processes so far.
            log_dir: the trial's event logs, whose mapped pages are not the user's memory.
        """
        with self._condition:
            self._drop_samples()
            gpus = GpuSampler(self._nvml, log_dir, self._put if self._reads_pcie else None)
            self._job = _Job(processes, ProcessSampler(log_dir), gpus)
            self._watching_since = time.monotonic()
            self._condition.notify()

    def stop_watching(self) -> SamplingCost:
        """Ends with a trial and tells what it cost; when this returns, no more samples of it come.

        A trial that was short is looked at once more.
        """
        with self._condition:
            job, self._job = self._job, None
            if job is None:
                return SamplingCost()
            if time.monotonic() - self._watching_since < SHORT_TRIAL_S:
                self._put(job.sample_processes(job.pids(), memory_now=True))
            self._put(job.gpus.finish())
            self._ended = job
            return SamplingCost(job.gpus.seconds, job.processes_s)

    def drain(self) -> list[Sample]:
        """The samples since the last call."""
        samples = []
        while True:
            try:
                samples.append(self._samples.get_nowait())
            except queue.Empty:
                return samples

    def unavailable(self) -> dict[str, str]:
        """What cannot be measured here, or could not be in the trial that ended last, with the reason."""
        job = self._job or self._ended
        return {} if job is None else {**job.gpus.unavailable, **job.processes.unavailable}

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(timeout=5)
        self._nvml.close()

    def _drop_samples(self) -> None:
        self.drain()

    def _run(self) -> None:
        next_process = 0.0
        known: list[tuple[str, int]] = []
        with self._condition:
            while not self._closed:
                job = self._job
                if job is None:
                    next_process = 0.0
                    self._condition.wait()
                    continue
                now = time.monotonic()
                self._put(job.gpus.sample())
                named = job.pids()
                if now >= next_process or named != known:
                    known = named
                    next_process = now + PROCESS_INTERVAL_S * max(1.0, len(named) / PROCESSES_AT_FULL_RATE)
                    self._put(job.sample_processes(named))
                pause_s = INTERVAL_S if self._nvml.gpus else max(0.01, next_process - time.monotonic())
                # processes that have just appeared may soon be gone
                self._condition.wait(min(pause_s, LOOK_S) if now - self._watching_since < SHORT_TRIAL_S else pause_s)

    def _put(self, samples: list[Sample]) -> None:
        for sample in samples:
            self._samples.put(sample)
