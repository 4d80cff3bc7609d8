"""Moves a batch to a device, however its tensors are nested."""

from __future__ import annotations

from typing import Any, Mapping


def to_device(batch: Any, device: Any, non_blocking: bool) -> Any:
    """The batch with its tensors on `device`; what is no tensor and has no `to` of its own stays as it is.

    Containers keep their types, as in torch's own pinning (torch/utils/data/_utils/pin_memory.py).
    """
    move = getattr(batch, "to", None)
    if callable(move):
        try:
            return move(device, non_blocking=non_blocking)
        except TypeError:  # an object whose `to` takes a device alone, such as a BatchEncoding of transformers
            return move(device)
    if isinstance(batch, Mapping):
        moved = {key: to_device(value, device, non_blocking) for key, value in batch.items()}
        return _like(batch, moved)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device, non_blocking) for value in batch))
    if isinstance(batch, (list, tuple)):
        return _like(batch, [to_device(value, device, non_blocking) for value in batch])
    return batch


def _like(original: Any, moved: Any) -> Any:
    try:
        return type(original)(moved)
    except TypeError:
        return moved
