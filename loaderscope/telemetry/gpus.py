"""Samples the GPUs that one trial uses; the agent names them, and their UUIDs lead to NVML's handles.

An index does not identify a GPU: torch counts the GPUs that CUDA_VISIBLE_DEVICES leaves, fastest first; NVML counts all of them by their
place on the bus.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from loaderscope.telemetry.nvml import Device, Nvml
from loaderscope.telemetry.sampled_value import Sample
from loaderscope.trace.model import NO_GPU_USED
from loaderscope.trace.used_devices import UsedDevice, UsedDevices, read_used_devices

SLOW_INTERVAL_S = 1.0
PCIE_INTERVAL_S = 2.0
_UUID_PREFIXES = ("GPU-", "MIG-")


class GpuSampler:
    """Samples the GPUs of one trial. All calls come from one thread; readings of the PCIe throughput have a thread of their own.

    The agent reports the trial's GPUs after the first step. Until then the sampler reads all GPUs and holds the samples back; then it
    drops the samples of the GPUs that the trial does not use.

    Attributes:
        unavailable: key -> reason, as in `Nvml`, for this trial; `NO_GPU_USED` if the trial uses no GPU, so that all GPUs are shown.
    """

    def __init__(self, nvml: Nvml, log_dir: Path, put_pcie: Callable[[list[Sample]], None] | None = None) -> None:
        """Begins with all GPUs.

        Args:
            nvml: finds and reads the GPUs.
            log_dir: the trial's logs; the agent writes the list of its devices there.
            put_pcie: takes samples of the PCIe throughput, from a thread of its own; None: it is not read.
        """
        self._nvml = nvml
        self._log_dir = log_dir
        self._devices = nvml.devices
        self._held_samples: list[Sample] | None = []  # None once the trial's GPUs are known
        self._next_slow_s = 0.0
        self._seconds_before = nvml.seconds
        self._pcie = _PcieThread(nvml, put_pcie) if put_pcie is not None else None
        self._own_unavailable: dict[str, str] = {}

    @property
    def unavailable(self) -> dict[str, str]:
        is_settled = self._held_samples is None and not self._own_unavailable.get("gpu")
        keys = {device.key for device in self._devices} if is_settled else set()
        of_nvml = {key: reason for key, reason in list(self._nvml.unavailable.items()) if "/" not in key or key.partition("/")[0] in keys}
        return of_nvml | self._own_unavailable

    @property
    def seconds(self) -> float | None:
        """Time spent within NVML for this trial; None without a GPU."""
        return self._nvml.seconds - self._seconds_before if self._nvml.gpus else None

    def sample(self) -> list[Sample]:
        """Reads the metrics that are due; returns the samples that belong to the trial."""
        if not self._devices:
            return []
        samples = self._nvml.read_fast(self._devices, time.perf_counter_ns())
        now_s = time.monotonic()
        if now_s >= self._next_slow_s:
            self._next_slow_s = now_s + SLOW_INTERVAL_S
            samples += self._nvml.read_slow(self._devices, time.perf_counter_ns())
        return self._samples_of_the_trial(samples)

    def finish(self) -> list[Sample]:
        """Ends the sampling; returns a last reading of the slow metrics (for the energy counter) and any samples still held back."""
        if self._pcie is not None:
            self._pcie.stop()
        samples = self._samples_of_the_trial(self._nvml.read_slow(self._devices, time.perf_counter_ns())) if self._devices else []
        if self._held_samples is not None:  # the trial ended before its first step
            self._select_devices(UsedDevices())
            samples, self._held_samples = self._held_samples, None
        return samples

    def _samples_of_the_trial(self, samples: list[Sample]) -> list[Sample]:
        """Returns the samples of the trial's GPUs, or holds all samples back until these GPUs are known."""
        if self._held_samples is None:
            return samples
        self._held_samples += samples
        used = read_used_devices(self._log_dir)
        if used is None:
            return []
        self._select_devices(used)
        keys = {device.key for device in self._devices}
        kept, self._held_samples = [sample for sample in self._held_samples if sample.info.key.partition("/")[0] in keys], None
        if self._pcie is not None and self._devices:
            self._pcie.start(self._devices)
        return kept

    def _select_devices(self, used: UsedDevices) -> None:
        """From now on samples only the GPUs that the trial uses, or all whole GPUs if it uses none."""
        all_devices = self._nvml.devices
        whole = [device for device in all_devices if device.part is None]
        if not whole:  # `Nvml` gives the reason
            return
        if not used.devices:
            self._devices = whole
            count = f"all {len(whole)} GPUs" if len(whole) > 1 else "the GPU"
            self._own_unavailable[NO_GPU_USED] = (
                f"a GPU of the trial's own: it uses none; what NVML says is of {count} of this machine, whoever uses it"
            )
            return
        same_model = len({device.name for device in whole}) == 1
        uuids = [device.uuid for device in all_devices]
        numbers = {device.name: find_device(device, used, uuids, same_model) for device in used.devices}
        self._devices = [all_devices[number] for number in dict.fromkeys(numbers.values()) if number is not None]
        missing = [name for name, number in numbers.items() if number is None]
        if missing:
            key = "gpu_unknown" if self._devices else "gpu"
            self._own_unavailable[key] = f"which of NVML's GPUs {' and '.join(missing)} of the trial is cannot be told"


class _PcieThread:
    """Reads the PCIe throughput at a low rate, in a thread of its own because each direction blocks for 20 ms."""

    def __init__(self, nvml: Nvml, put: Callable[[list[Sample]], None]) -> None:
        self._nvml, self._put = nvml, put
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, devices: list[Device]) -> None:
        self._thread = threading.Thread(target=self._run, args=(devices,), name="pcie sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; no more samples come after this returns."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, devices: list[Device]) -> None:
        while not self._ended.is_set():
            for device in devices:
                self._put(self._nvml.read_pcie([device]))
            self._ended.wait(PCIE_INTERVAL_S)


def find_device(device: UsedDevice, used: UsedDevices, uuids: Sequence[str], same_model: bool) -> int | None:
    """The position in `uuids` of a device of torch; None if it is missing there, or if nothing identifies it.

    Args:
        device: the device of torch.
        used: all that the agent reported.
        uuids: UUIDs of the whole GPUs in the order of NVML's index, then of parts of GPUs (MIG).
        same_model: all GPUs are alike, so that CUDA, which counts the fastest first, counts as NVML does.
    """
    if device.uuid is not None:
        bare = _without_prefix(device.uuid)
        return next((number for number, uuid in enumerate(uuids) if _without_prefix(uuid) == bare), None)
    if not device.name.startswith("cuda:"):  # NVML and the variables of CUDA do not count it
        return None
    entry = str(device.index)
    if used.visible is not None:
        entries = [part.strip() for part in used.visible.split(",")]
        if device.index >= len(entries):
            return None
        entry = entries[device.index]
    if entry.startswith(_UUID_PREFIXES):  # CUDA also accepts the first digits of a UUID if only one GPU has them
        matches = [number for number, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())]
        return matches[0] if len(matches) == 1 else None
    whole = sum(uuid.startswith("GPU-") for uuid in uuids)
    return int(entry) if entry.isdigit() and int(entry) < whole and (used.by_bus or same_model) else None


def _without_prefix(uuid: str) -> str:
    return uuid.removeprefix("GPU-").removeprefix("MIG-").lower()
