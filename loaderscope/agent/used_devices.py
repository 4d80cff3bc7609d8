"""Writes down for the app which devices a trial uses, by identifiers that also hold outside of torch."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Optional

from .layout import DEVICES_FILE
from .messages import DEVICE_CONSUMERS, TrialOrder

_KINDS = ("cuda", "xpu")
"""Kinds of devices of torch itself. One more may come from an extension (privateuse1)."""

_CALLS = ("is_initialized", "device_count", "current_device", "memory_reserved", "get_device_properties")
"""What torch's module of a kind must have. `is_initialized` is asked first: other calls start CUDA, and then workers that are forked later
cannot use it."""


def may_use_device(order: TrialOrder) -> bool:
    """Whether a trial can use an accelerator: it names a device, pins memory, or its step could use a device."""
    device = order.device
    return order.consumer.kind in DEVICE_CONSUMERS or order.config.pin_memory or (device is not None and device != "cpu")


def write_devices(order: TrialOrder) -> None:
    """Writes the devices in use by now (see `devices_in_use`), CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER to `DEVICES_FILE`.

    Call it after the first step, when models are on their devices. It starts no device: workers could not be forked then.
    """
    devices = devices_in_use(order) if may_use_device(order) else []
    text = json.dumps({"devices": devices, "visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "order": os.environ.get("CUDA_DEVICE_ORDER")})
    path = os.path.join(order.log_dir, DEVICES_FILE)
    try:
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".part", path)
    except OSError:  # a full disk: then the app shows all GPUs
        pass


def devices_in_use(order: TrialOrder) -> List[Dict[str, Any]]:
    """Name, index, UUID and model of the devices that hold memory of the trial, and of the one to which its batches go.

    Devices of CUDA, and of other accelerators that say how much memory torch has reserved.
    """
    import torch

    kinds = (*_KINDS, torch._C._get_privateuse1_backend_name())
    return [device for kind in kinds for device in _devices_of_kind(kind, getattr(torch, kind, None), order.device)]


def _devices_of_kind(kind: str, module: Any, device_of_batches: Optional[str]) -> List[Dict[str, Any]]:
    """The devices in use of one kind.

    Args:
        kind: as in torch.device.
        module: torch's module of that kind; None if torch has none.
        device_of_batches: the device to which batches are moved.
    """
    import torch

    if not all(hasattr(module, name) for name in _CALLS) or not module.is_initialized():
        return []
    indices = {index for index in range(module.device_count()) if module.memory_reserved(index)}
    if device_of_batches is not None and torch.device(device_of_batches).type == kind:
        chosen = torch.device(device_of_batches).index
        indices.add(module.current_device() if chosen is None else chosen)
    return [_describe("%s:%d" % (kind, index), index, module.get_device_properties(index)) for index in sorted(indices)]


def _describe(name: str, index: int, properties: Any) -> Dict[str, Any]:
    """An entry of `DEVICES_FILE`. `uuid` is None where torch does not report it (before 2.5)."""
    uuid = getattr(properties, "uuid", None)
    return {"name": name, "index": index, "uuid": None if uuid is None else str(uuid), "model": getattr(properties, "name", None)}
