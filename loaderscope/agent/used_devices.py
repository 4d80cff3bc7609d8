"""Writes down for the app which devices a trial uses, by identifiers that also hold outside of torch."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Optional

from .layout import DEVICES_FILE
from .messages import DEVICE_CONSUMERS, TrialOrder


def may_use_device(order: TrialOrder) -> bool:
    """Whether a trial can use an accelerator: it names a device, pins memory, or its step could use a device."""
    device = order.device
    return order.consumer.kind in DEVICE_CONSUMERS or order.config.pin_memory or (device is not None and device != "cpu")


def write_devices(order: TrialOrder) -> None:
    """Writes the devices in use by now (name, index and uuid), CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER to `DEVICES_FILE`.

    Call it after the first step, when models are on their devices. It starts no device: workers could not be forked then.
    """
    devices = cuda_devices(order) if may_use_device(order) else []
    text = json.dumps({"devices": devices, "visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "order": os.environ.get("CUDA_DEVICE_ORDER")})
    path = os.path.join(order.log_dir, DEVICES_FILE)
    try:
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".part", path)
    except OSError:  # a full disk: then the app shows all GPUs
        pass


def cuda_devices(order: TrialOrder) -> List[Dict[str, Any]]:
    """Name, index and UUID of the CUDA devices that hold memory of the trial, and of the one to which its batches go."""
    import torch

    if not torch.cuda.is_initialized():  # is_available() would keep workers forked later from using CUDA
        return []
    indices = {index for index in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(index)}
    if order.device is not None and torch.device(order.device).type == "cuda":
        chosen = torch.device(order.device).index
        indices.add(torch.cuda.current_device() if chosen is None else chosen)
    return [{"name": "cuda:%d" % index, "index": index, "uuid": _uuid(index)} for index in sorted(indices)]


def _uuid(index: int) -> Optional[str]:
    """The UUID of a device; None before torch 2.5."""
    import torch

    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return None if uuid is None else str(uuid)
