"""Finds the device that a trial or a training uses, without starting one, and a second stream of it."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple


def side_stream(device: Any) -> Optional[Any]:
    """A second stream of the device; None where it has only one (MPS)."""
    import torch

    if device.type == "mps":
        return None
    stream = torch.Stream(device)
    return None if stream.stream_id == torch.accelerator.current_stream(device).stream_id else stream


def current_index() -> int:
    """The index of the current accelerator's current device."""
    import torch

    current = getattr(torch.accelerator, "current_device_index", None) or torch.accelerator.current_device_idx  # the name in torch 2.6
    return int(current())


def device_of_trial(name: Optional[str]) -> Tuple[Optional[Any], str]:
    """The device on which a trial works, with its index, or None with the reason.

    It does not start a device that the trial does not use: forked workers of a dataset could then not use it.

    Args:
        name: the device that the user named; None: the current device if torch holds memory on it, else the one with most memory.
    """
    import torch

    accelerator = getattr(torch, "accelerator", None)
    if accelerator is None or not hasattr(torch, "Event"):
        return None, "torch %s has no torch.accelerator (2.6 and newer have)" % torch.__version__
    if not accelerator.device_count():  # asked first: without an accelerator current_accelerator() raises in torch 2.6
        return None, "torch sees no accelerator"
    current = accelerator.current_accelerator()
    chosen = torch.device(name) if name is not None else current
    if chosen.type != current.type:
        return None, "the batches stay on the CPU" if chosen.type == "cpu" else "torch's accelerator is %s" % current.type
    if name is not None:
        return chosen if chosen.index is not None else torch.device(chosen.type, current_index()), ""
    reserved_bytes = _reserved_bytes(chosen.type)
    if reserved_bytes is not None and not any(reserved_bytes):
        return None, "the script had nothing on a device before its first step"
    index = current_index()
    return torch.device(
        chosen.type, index if reserved_bytes is None or reserved_bytes[index] else reserved_bytes.index(max(reserved_bytes))
    ), ""


def _reserved_bytes(kind: str) -> Optional[List[int]]:
    """Bytes that torch holds on each device of a kind; empty before the kind is started, None where torch does not say."""
    import torch

    module: Any = getattr(torch, kind, None)
    is_started = getattr(module, "is_initialized", None)
    if is_started is not None and not is_started():
        return []
    if hasattr(module, "memory_reserved") and hasattr(module, "device_count"):
        return [module.memory_reserved(index) for index in range(module.device_count())]
    return [module.current_allocated_memory()] if hasattr(module, "current_allocated_memory") else None  # MPS
