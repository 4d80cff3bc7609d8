"""Which of the machine's GPUs a trial uses: told by the agent, found among what NVML knows by their UUIDs.

An index would not do: torch counts what CUDA_VISIBLE_DEVICES leaves, fastest first; NVML counts everything by its place on the bus.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from loaderscope.agent.layout import DEVICES_FILE

_PREFIXES = ("GPU-", "MIG-")


@dataclasses.dataclass(frozen=True)
class UsedDevice:
    """A device as torch sees it. `uuid` is None where torch (before 2.5) does not tell it."""

    name: str  # cuda:0
    index: int
    uuid: str | None


@dataclasses.dataclass(frozen=True)
class UsedDevices:
    """What the agent said. `visible`: CUDA_VISIBLE_DEVICES of its environment; `by_bus`: CUDA counts as NVML does."""

    devices: tuple[UsedDevice, ...] = ()
    visible: str | None = None
    by_bus: bool = False


def read_used_devices(log_dir: Path) -> UsedDevices | None:
    """What the agent has said of the trial whose logs lie there; None as long as it has not."""
    try:
        data = json.loads((log_dir / DEVICES_FILE).read_text(encoding="utf-8"))
        devices = tuple(
            UsedDevice(str(item["name"]), int(item["index"]), None if item["uuid"] is None else str(item["uuid"]))
            for item in data["devices"]
        )
        visible = data["visible"]
        return UsedDevices(devices, None if visible is None else str(visible), data["order"] == "PCI_BUS_ID")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_device(device: UsedDevice, used: UsedDevices, uuids: Sequence[str], same_model: bool) -> int | None:
    """Which of NVML's UUIDs is a device of torch; None where none is, or where it cannot be told.

    Args:
        device: which one.
        used: everything that the agent said.
        uuids: of the whole GPUs in the order of NVML's index, then those of parts of GPUs (MIG).
        same_model: all GPUs are alike, so that counting the fastest first counts as NVML does.
    """
    if device.uuid is not None:
        wanted = _bare(device.uuid)
        return next((number for number, uuid in enumerate(uuids) if _bare(uuid) == wanted), None)
    entry = str(device.index)
    if used.visible is not None:
        entries = [part.strip() for part in used.visible.split(",")]
        if device.index >= len(entries):
            return None
        entry = entries[device.index]
    if entry.startswith(_PREFIXES):  # CUDA takes the first digits of a UUID, too, where they are clear
        found = [number for number, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())]
        return found[0] if len(found) == 1 else None
    whole = sum(uuid.startswith("GPU-") for uuid in uuids)
    return int(entry) if entry.isdigit() and int(entry) < whole and (used.by_bus or same_model) else None


def _bare(uuid: str) -> str:
    return uuid.removeprefix("GPU-").removeprefix("MIG-").lower()
