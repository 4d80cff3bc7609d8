"""Samples the GPUs that one trial uses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from loaderscope.telemetry.nvml import Device, Nvml
from loaderscope.telemetry.sampled_value import Sample
from loaderscope.telemetry.used_gpus import UsedDevices, find_device, read_used_devices
from loaderscope.trace.model import NO_GPU_USED

SLOW_INTERVAL_S = 1.0
PCIE_INTERVAL_S = 2.0


class GpuSampler:
    """Samples the GPUs of one trial; all calls come from one thread, but for the readings over PCIe, which have their own.

    Which GPUs a trial uses is clear after its first step. What was read of all of them until then is held back, and what does
    not belong to the trial is dropped.

    Attributes:
        unavailable: key -> reason, as in `Nvml`, for this trial; `NO_GPU_USED` where it uses none, so that all are shown.
    """

    def __init__(self, nvml: Nvml, log_dir: Path, pcie: Callable[[list[Sample]], None] | None = None) -> None:
        """Begins with all GPUs.

        Args:
            nvml: where they are.
            log_dir: the trial's logs, beside which the agent says what it uses.
            pcie: takes the throughput over PCIe, from a thread of its own; None: it is not read.
        """
        self._nvml = nvml
        self._log_dir = log_dir
        self._devices = nvml.devices
        self._held: list[Sample] | None = []
        self._next_slow_s = 0.0
        self._seconds_before = nvml.seconds
        self._pcie = _PcieThread(nvml, pcie) if pcie is not None else None
        self._own: dict[str, str] = {}

    @property
    def unavailable(self) -> dict[str, str]:
        keys = {device.key for device in self._devices} if self._held is None and not self._own.get("gpu") else set()
        known = {key: reason for key, reason in list(self._nvml.unavailable.items()) if "/" not in key or key.partition("/")[0] in keys}
        return known | self._own

    @property
    def seconds(self) -> float | None:
        """Time spent within NVML for this trial; None without a GPU."""
        return self._nvml.seconds - self._seconds_before if self._nvml.gpus else None

    def sample(self) -> list[Sample]:
        """The samples that are due."""
        if not self._devices:
            return []
        samples = self._nvml.fast(self._devices, time.perf_counter_ns())
        now_s = time.monotonic()
        if now_s >= self._next_slow_s:
            self._next_slow_s = now_s + SLOW_INTERVAL_S
            samples += self._nvml.slow(self._devices, time.perf_counter_ns())
        return self._let_through(samples)

    def finish(self) -> list[Sample]:
        """Ends with the trial: a last look at the energy counter, and what was held back."""
        if self._pcie is not None:
            self._pcie.stop()
        samples = self._let_through(self._nvml.slow(self._devices, time.perf_counter_ns())) if self._devices else []
        if self._held is not None:  # it ended before its first step
            self._settle(UsedDevices())
            samples, self._held = self._held, None
        return samples

    def _let_through(self, samples: list[Sample]) -> list[Sample]:
        if self._held is None:
            return samples
        self._held += samples
        used = read_used_devices(self._log_dir)
        if used is None:
            return []
        self._settle(used)
        keys = {device.key for device in self._devices}
        passed, self._held = [sample for sample in self._held if sample.info.key.partition("/")[0] in keys], None
        if self._pcie is not None and self._devices:
            self._pcie.start(self._devices)
        return passed

    def _settle(self, used: UsedDevices) -> None:
        """Goes on with what the trial uses."""
        everything = self._nvml.devices
        whole = [device for device in everything if device.part is None]
        if not whole:  # of which `Nvml` tells the reason
            return
        if not used.devices:
            self._devices = whole
            count = f"all {len(whole)} GPUs" if len(whole) > 1 else "the GPU"
            self._own[NO_GPU_USED] = (
                f"a GPU of the trial's own: it uses none; what NVML says is of {count} of this machine, whoever uses it"
            )
            return
        same_model = len({device.name for device in whole}) == 1
        uuids = [device.uuid for device in everything]
        found = {device.name: find_device(device, used, uuids, same_model) for device in used.devices}
        self._devices = [everything[number] for number in dict.fromkeys(found.values()) if number is not None]
        missing = [name for name, number in found.items() if number is None]
        if missing:
            key = "gpu_unknown" if self._devices else "gpu"
            self._own[key] = f"which of NVML's GPUs {' and '.join(missing)} of the trial is cannot be told"


class _PcieThread:
    """Reads the throughput over PCIe at a low rate; it blocks for 20 ms a direction, so nothing else waits for it."""

    def __init__(self, nvml: Nvml, put: Callable[[list[Sample]], None]) -> None:
        self._nvml, self._put = nvml, put
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, devices: list[Device]) -> None:
        self._thread = threading.Thread(target=self._run, args=(devices,), name="pcie sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """When this returns no more samples come."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, devices: list[Device]) -> None:
        while not self._ended.is_set():
            for device in devices:
                self._put(self._nvml.pcie([device]))
            self._ended.wait(PCIE_INTERVAL_S)
