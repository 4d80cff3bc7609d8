"""The devices that a trial uses, as its agent reports them (`agent/used_devices.py`)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from loaderscope.agent.layout import DEVICES_FILE


@dataclasses.dataclass(frozen=True)
class UsedDevice:
    """A device as torch sees it.

    Attributes:
        name: kind and index, as in `cuda:0`.
        index: among the devices of its kind.
        uuid: None where torch (before 2.5) does not report it.
        model: what the device is called; None where torch does not say it.
    """

    name: str
    index: int
    uuid: str | None
    model: str | None = None


@dataclasses.dataclass(frozen=True)
class UsedDevices:
    """The devices that the agent reports for a trial.

    Attributes:
        visible: CUDA_VISIBLE_DEVICES in the agent's environment.
        by_bus: CUDA counts by the place on the bus (CUDA_DEVICE_ORDER), as NVML does.
    """

    devices: tuple[UsedDevice, ...] = ()
    visible: str | None = None
    by_bus: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the devices, each once, as far as torch says them."""
        return tuple(dict.fromkeys(device.model for device in self.devices if device.model is not None))


def read_used_devices(log_dir: Path) -> UsedDevices | None:
    """The devices that the agent has reported for the trial whose logs lie in `log_dir`; None until it has reported them."""
    try:
        data = json.loads((log_dir / DEVICES_FILE).read_text(encoding="utf-8"))
        devices = tuple(
            UsedDevice(str(item["name"]), int(item["index"]), _text(item["uuid"]), _text(item.get("model"))) for item in data["devices"]
        )
        return UsedDevices(devices, _text(data["visible"]), data["order"] == "PCI_BUS_ID")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
