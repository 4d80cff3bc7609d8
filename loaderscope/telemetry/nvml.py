"""What NVML tells about the GPUs. Every number that it does not give has a reason in words, never a 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pynvml

from loaderscope.telemetry.samples import Sample
from loaderscope.trace.model import SeriesInfo

UTILISATION_WINDOW_NS = 1_000_000_000 // 6
"""NVML averages over 1/6 to 1 s depending on the product (nvml.h, nvmlUtilization_t); the shorter claims less."""

POWER_WINDOW_NS = 1_000_000_000
"""Power is an average over 1 s on Ampere and newer."""

_THROTTLING = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""nvml.h, nvmlClocksEventReasons; 0x04, the software power cap, is how every busy GPU runs and is no throttling."""


class _Metric(NamedTuple):
    name: str
    group: str
    unit: str
    read: Callable[[Any], float]
    window_ns: int = 0


_FAST = (
    _Metric("utilisation", "gpu_utilisation", "%", lambda gpu: pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu, UTILISATION_WINDOW_NS),
    _Metric("memory", "gpu_memory", "bytes", lambda gpu: pynvml.nvmlDeviceGetMemoryInfo(gpu).used),
)
_SLOW = (
    _Metric("power", "gpu_power", "W", lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000, POWER_WINDOW_NS),
    _Metric("temperature", "gpu_temperature", "°C", lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
    _Metric("sm_clock", "gpu_clock", "MHz", lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)),
    _Metric("memory_clock", "gpu_clock", "MHz", lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM)),
    # the older of the two names of one call, which every driver has
    _Metric("throttle", "gpu_throttle", "reasons", lambda gpu: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu) & sum(_THROTTLING)),
)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """A GPU by its UUID: the index follows CUDA_VISIBLE_DEVICES in torch, but not in NVML."""

    index: int  # NVML's
    uuid: str
    name: str
    memory_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """An entry of the environment's `gpus`."""
        return dataclasses.asdict(self)


class Nvml:
    """NVML while it is in use.

    Attributes:
        gpus: what was found.
        unavailable: group -> reason for what cannot be measured; `gpu` when there is nothing at all.
    """

    def __init__(self) -> None:
        self.gpus: list[Gpu] = []
        self.unavailable: dict[str, str] = {}
        self._handles: list[Any] = []
        self._open = False
        try:
            pynvml.nvmlInit()
            self._open = True
            for index in range(pynvml.nvmlDeviceGetCount()):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                self.gpus.append(_describe(index, handle))
                self._handles.append(handle)
        except pynvml.NVMLError as error:
            self.unavailable["gpu"] = _reason(error)
        if not self.gpus:
            self.unavailable.setdefault("gpu", "NVML reports no GPU on this machine")

    def fast(self, now_ns: int) -> list[Sample]:
        """Utilisation and memory: microseconds a call, good for 5 to 10 Hz."""
        return self._read(_FAST, now_ns)

    def slow(self, now_ns: int) -> list[Sample]:
        """Power, temperature, clocks and throttling: once a second."""
        return self._read(_SLOW, now_ns)

    def close(self) -> None:
        if self._open:
            self._open = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError:
                pass

    def _read(self, metrics: tuple[_Metric, ...], now_ns: int) -> list[Sample]:
        samples = []
        for gpu, handle in zip(self.gpus, self._handles, strict=True):
            for metric in metrics:
                key = f"gpu-{gpu.index}/{metric.name}"
                if key in self.unavailable:
                    continue  # what a GPU does not support it will not support a second later
                try:
                    value = float(metric.read(handle))
                except pynvml.NVMLError as error:
                    self.unavailable[key] = _reason(error)
                    continue
                label = f"{metric.name.replace('_', ' ')} of GPU {gpu.index} ({gpu.name})"
                samples.append(Sample(SeriesInfo(key, metric.group, label, metric.unit, None, metric.window_ns), now_ns, value))
        return samples


def throttling_in_words(reasons: int) -> list[str]:
    """The names of the throttle reasons in a value of `gpu-N/throttle`."""
    return [text for bit, text in _THROTTLING.items() if reasons & bit]


def _describe(index: int, handle: Any) -> Gpu:
    try:
        memory: int | None = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    except pynvml.NVMLError:
        memory = None
    return Gpu(index, _text(pynvml.nvmlDeviceGetUUID(handle)), _text(pynvml.nvmlDeviceGetName(handle)), memory)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _reason(error: pynvml.NVMLError) -> str:
    """A sentence for an error of NVML."""
    sentences = {
        "NVMLError_LibraryNotFound": "no NVIDIA driver: its library NVML (libnvidia-ml) was not found",
        "NVMLError_DriverNotLoaded": "NVML was found, but the NVIDIA driver is not loaded",
        "NVMLError_NotSupported": "this GPU does not report it",
        "NVMLError_FunctionNotFound": "this driver's NVML does not have the call",
        "NVMLError_NoPermission": "NVML does not allow this user to read it",
        "NVMLError_LibRmVersionMismatch": "the NVIDIA driver was updated and the machine has not been restarted since",
        "NVMLError_GpuIsLost": "the GPU fell off the bus",
    }
    return sentences.get(type(error).__name__, f"NVML says: {error}")
