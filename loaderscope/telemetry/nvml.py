"""Reads the GPUs through NVML. Each number that NVML does not give has a reason in words, never a 0."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pynvml

from loaderscope.telemetry.sampled_value import Sample
from loaderscope.telemetry.throttle import ALL_REASONS
from loaderscope.trace.model import SeriesInfo

UTILISATION_WINDOW_NS = 1_000_000_000 // 6
"""NVML averages over 1/6 to 1 s depending on the product (nvml.h, nvmlUtilization_t); the shorter window claims less."""

POWER_WINDOW_NS = 1_000_000_000
"""Power is an average over 1 s on Ampere and newer."""

PCIE_WINDOW_NS = 20_000_000
"""A reading of the throughput measures, and blocks, for this time (nvml.h, nvmlDeviceGetPcieThroughput)."""

_MOST_FAILURES = 3
"""After this many failed readings in a row a metric is given up, even if the reason might pass."""


class _Metric(NamedTuple):
    name: str
    group: str
    unit: str
    read: Callable[[Any], float]
    window_ns: int = 0
    has_part_value: bool = False  # NVML also gives it for a part of a GPU (MIG)


_FAST = (
    _Metric("utilisation", "gpu_utilisation", "%", lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu, UTILISATION_WINDOW_NS),
    _Metric("memory", "gpu_memory", "bytes", lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used, has_part_value=True),
)
_SLOW = (
    _Metric("power", "gpu_power", "W", lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000, POWER_WINDOW_NS),
    _Metric("power_limit", "gpu_power", "W", lambda gpu: pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000),
    _Metric("temperature", "gpu_temperature", "°C", lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
    _Metric("sm_clock", "gpu_clock", "MHz", lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
    _Metric("memory_clock", "gpu_clock", "MHz", lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM)),
    # the older of the call's two names: every driver has it
    _Metric("throttle", "gpu_throttle", "", lambda gpu: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu) & ALL_REASONS),
    _Metric("energy", "gpu_energy", "J", lambda gpu: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000),
)
_PCIE = (  # NVML gives KB/s; the directions are the GPU's
    _Metric(
        "pcie_received",
        "gpu_pcie",
        "bytes/s",
        lambda gpu: pynvml.nvmlDeviceGetPcieThroughput(gpu, pynvml.NVML_PCIE_UTIL_RX_BYTES) * 1000,
        PCIE_WINDOW_NS,
    ),
    _Metric(
        "pcie_sent",
        "gpu_pcie",
        "bytes/s",
        lambda gpu: pynvml.nvmlDeviceGetPcieThroughput(gpu, pynvml.NVML_PCIE_UTIL_TX_BYTES) * 1000,
        PCIE_WINDOW_NS,
    ),
)

_LABELS = {"utilisation": "utilisation", "memory": "memory in use (all processes)", "power_limit": "enforced power limit"} | {
    "sm_clock": "SM clock",
    "throttle": "throttling",
    "energy": "energy counter",
    "pcie_received": "received over PCIe by",
    "pcie_sent": "sent over PCIe by",
}


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU. Its UUID identifies it; torch's index follows CUDA_VISIBLE_DEVICES, NVML's does not."""

    index: int  # in NVML
    uuid: str
    name: str
    memory_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """An entry of the environment's `gpus`."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Device:
    """A GPU, or a part of one (a MIG instance), for which NVML has fewer metrics.

    Attributes:
        key: the keys of its series begin with it.
        whole: NVML's handle of the GPU.
        part: NVML's handle of the instance; None for a whole GPU.
        is_partitioned: whether the GPU is divided into instances.
    """

    key: str
    label: str
    uuid: str
    name: str
    whole: Any
    part: Any | None = None
    is_partitioned: bool = False


class Nvml:
    """The NVML library, open from the constructor to `close`.

    Attributes:
        gpus: the GPUs of this machine.
        devices: the GPUs, in the order of their index, then the instances into which some are divided.
        unavailable: key -> why it cannot be measured; the key is `gpu` for everything, `gpu-0` for a GPU, `gpu-0/power` for one of
            its metrics.
        seconds: time spent within NVML by `read_fast` and `read_slow`.
    """

    def __init__(self) -> None:
        self.gpus: list[Gpu] = []
        self.devices: list[Device] = []
        self.unavailable: dict[str, str] = {}
        self.seconds = 0.0
        self._failures: dict[str, int] = {}
        self._open = False
        try:
            pynvml.nvmlInit()
            self._open = True
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            self.unavailable["gpu"] = _reason(error)
            return
        for index in range(count):
            self._add_devices(index)
        self.devices.sort(key=lambda device: device.part is not None)
        if not count:
            self.unavailable["gpu"] = "NVML reports no GPU on this machine"

    def read_fast(self, devices: Iterable[Device], now_ns: int) -> list[Sample]:
        """Reads utilisation and memory: microseconds a call, so 5 to 10 times a second are fine."""
        return self._timed(_FAST, devices, now_ns)

    def read_slow(self, devices: Iterable[Device], now_ns: int) -> list[Sample]:
        """Reads power, temperature, clocks, throttling and the energy counter; meant for once a second."""
        return self._timed(_SLOW, devices, now_ns)

    def read_pcie(self, devices: Iterable[Device]) -> list[Sample]:
        """Reads the PCIe throughput; needs a thread of its own, as it blocks 20 ms for each direction of each GPU."""
        return [sample for device in devices for metric in _PCIE for sample in self._read((metric,), (device,), None)]

    def close(self) -> None:
        """Shuts NVML down."""
        if self._open:
            self._open = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError:
                pass

    def _add_devices(self, index: int) -> None:
        """Adds the GPU at NVML's `index` and its MIG instances."""
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpu = _describe(index, handle)
        except pynvml.NVMLError as error:  # a dead GPU must not hide the others
            self.unavailable[f"gpu-{index}"] = _reason(error)
            return
        self.gpus.append(gpu)
        instances = _instances(handle)
        label = f"GPU {index} ({gpu.name})"
        self.devices.append(Device(f"gpu-{index}", label, gpu.uuid, gpu.name, handle, is_partitioned=instances is not None))
        for number, part in (instances or {}).items():
            try:
                uuid, name = _text(pynvml.nvmlDeviceGetUUID(part)), _text(pynvml.nvmlDeviceGetName(part))
            except pynvml.NVMLError:
                continue
            key = f"gpu-{index}-mig-{number}"
            self.devices.append(Device(key, f"GPU {index}, MIG {number} ({name})", uuid, name, handle, part, True))

    def _timed(self, metrics: tuple[_Metric, ...], devices: Iterable[Device], now_ns: int) -> list[Sample]:
        began = time.perf_counter()
        samples = self._read(metrics, devices, now_ns)
        self.seconds += time.perf_counter() - began
        return samples

    def _read(self, metrics: tuple[_Metric, ...], devices: Iterable[Device], now_ns: int | None) -> list[Sample]:
        """Samples stamped with `now_ns`, or with the end of each call if that is None."""
        samples: list[Sample] = []
        for device in devices:
            for metric in metrics:
                key = f"{device.key}/{metric.name}"
                if self.unavailable.keys() & {"gpu", device.key, key}:
                    continue  # a GPU does not learn to support a metric
                if device.is_partitioned and metric.name == "utilisation":
                    self.unavailable[key] = "NVML tells no utilisation of a GPU that is partitioned (MIG)"
                    continue
                try:
                    value = float(metric.read(device.part if metric.has_part_value and device.part is not None else device.whole))
                except pynvml.NVMLError as error:
                    self._note_failure(device, key, error)
                    continue
                except AttributeError:  # nvidia-ml-py drops calls that NVIDIA has deprecated
                    self.unavailable[key] = "the installed nvidia-ml-py no longer has the call"
                    continue
                self._failures.pop(key, None)
                info = SeriesInfo(key, metric.group, _label(metric, device), metric.unit, None, metric.window_ns)
                samples.append(Sample(info, time.perf_counter_ns() if now_ns is None else now_ns, value))
        return samples

    def _note_failure(self, device: Device, key: str, error: pynvml.NVMLError) -> None:
        """Notes why a reading failed, under the key that the error concerns; an error that may pass counts only if it repeats."""
        kind = type(error).__name__
        if kind in _LIBRARY_ERRORS:
            self.unavailable["gpu"] = f"the NVIDIA driver stopped answering: {_reason(error)}"
        elif kind in _GPU_ERRORS:
            self.unavailable[device.key] = f"{_reason(error)} while it was being watched"
        elif kind in _LASTING_ERRORS:
            self.unavailable[key] = _reason(error)
        else:
            self._failures[key] = self._failures.get(key, 0) + 1
            if self._failures[key] >= _MOST_FAILURES:
                self.unavailable[key] = _reason(error)


_LIBRARY_ERRORS = ("NVMLError_Uninitialized", "NVMLError_DriverNotLoaded", "NVMLError_LibRmVersionMismatch")
_GPU_ERRORS = ("NVMLError_GpuIsLost", "NVMLError_ResetRequired")
_LASTING_ERRORS = ("NVMLError_NotSupported", "NVMLError_FunctionNotFound", "NVMLError_NoPermission", "NVMLError_InvalidArgument")


def _label(metric: _Metric, device: Device) -> str:
    label = _LABELS.get(metric.name, metric.name.replace("_", " "))
    joined = " " if metric.group == "gpu_pcie" else " of "
    whole = ", all of the GPU" if device.part is not None and not metric.has_part_value else ""
    return f"{label}{joined}{device.label}{whole}"


def _instances(handle: Any) -> dict[int, Any] | None:
    """Handles of the MIG instances of a GPU, by number; None if it is not divided."""
    try:
        if not pynvml.nvmlDeviceGetMigMode(handle)[0]:
            return None
        count = pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except pynvml.NVMLError:  # this GPU or driver has no MIG
        return None
    handles = {}
    for number in range(count):
        try:
            handles[number] = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
        except pynvml.NVMLError:  # no instance has this number
            continue
    return handles


def _describe(index: int, handle: Any) -> Gpu:
    try:
        memory: int | None = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:
        memory = None
    return Gpu(index, _text(pynvml.nvmlDeviceGetUUID(handle)), _text(pynvml.nvmlDeviceGetName(handle)), memory)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _reason(error: pynvml.NVMLError) -> str:
    """Why NVML fails, in words."""
    sentences = {
        "NVMLError_LibraryNotFound": "no NVIDIA driver: its library NVML (libnvidia-ml) was not found",
        "NVMLError_DriverNotLoaded": "NVML was found, but the NVIDIA driver is not loaded",
        "NVMLError_Uninitialized": "NVML is no longer initialised",
        "NVMLError_NotSupported": "this GPU does not report it",
        "NVMLError_FunctionNotFound": "this driver's NVML does not have the call",
        "NVMLError_NoPermission": "NVML does not allow this user to read it",
        "NVMLError_LibRmVersionMismatch": "the NVIDIA driver was updated and the machine has not been restarted since",
        "NVMLError_GpuIsLost": "the GPU fell off the bus",
        "NVMLError_ResetRequired": "the GPU needs a reset",
    }
    return sentences.get(type(error).__name__, f"NVML says: {error}")
