"""Moves a batch to a device, however its tensors are nested."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional

from .device import current_index, side_stream
from .error_sentences import UNSUPPORTED, AgentError


class Transfer:
    """Moves batches as a training loop does.

    Blocking or not, copies go to the stream of the step, one after the other. Overlapped, they go to a stream of their own, and
    the step's stream waits for it: the copy of a batch runs while the device still executes the previous step (the pattern of
    prefetchers; https://pytorch.org/docs/stable/notes/cuda.html#cuda-streams).

    Attributes:
        stream: the stream of the copies; None for the current one.
    """

    def __init__(self, device: str, h2d: str) -> None:
        """Prepares copies to `device`; `h2d` is blocking, non_blocking or overlapped.

        Raises:
            AgentError: the device has no second stream for overlapped copies.
        """
        self._device = device
        self._non_blocking = h2d != "blocking"
        self.stream: Optional[Any] = _copy_stream(device) if h2d == "overlapped" else None

    def __call__(self, batch: Any) -> Any:
        """Moves a batch to the device and returns it."""
        if self.stream is None:
            return to_device(batch, self._device, self._non_blocking)
        import torch

        index, stream = current_index(), torch.accelerator.current_stream(self.stream.device)
        torch.accelerator.set_stream(self.stream)  # makes its device the current one, too
        try:
            moved = to_device(batch, self._device, True)
        finally:
            torch.accelerator.set_stream(stream)
            if index != self.stream.device.index:
                _set_index(index)
        stream.wait_stream(self.stream)
        for tensor in _tensors(moved):
            if tensor.device == self.stream.device:  # an object's `to` may leave some of its tensors where they were
                tensor.record_stream(stream)  # else the next copy could reuse its memory while the step still reads it
        return moved


def _set_index(index: int) -> None:
    import torch

    set_index = getattr(torch.accelerator, "set_device_index", None) or torch.accelerator.set_device_idx  # the name in torch 2.6
    set_index(index)


def to_device(batch: Any, device: Any, non_blocking: bool) -> Any:
    """Returns the batch with its tensors on `device`; objects that are no tensors and have no `to` stay as they are.

    Containers keep their types, as in torch's own pinning (torch/utils/data/_utils/pin_memory.py).
    """
    move = getattr(batch, "to", None)
    if callable(move):
        try:
            return move(device, non_blocking=non_blocking)
        except TypeError:  # its `to` takes a device only, as that of BatchEncoding of transformers
            return move(device)
    if isinstance(batch, Mapping):
        moved = {key: to_device(value, device, non_blocking) for key, value in batch.items()}
        return _in_type_of(batch, moved)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device, non_blocking) for value in batch))
    if isinstance(batch, (list, tuple)):
        return _in_type_of(batch, [to_device(value, device, non_blocking) for value in batch])
    return batch


def _in_type_of(original: Any, moved: Any) -> Any:
    try:
        return type(original)(moved)
    except TypeError:
        return moved


def _tensors(batch: Any) -> Iterator[Any]:
    """The tensors of a batch, also those in attributes of objects."""
    unvisited, seen = [batch], set()
    while unvisited:
        part = unvisited.pop()
        if isinstance(part, (str, bytes)) or id(part) in seen:
            continue
        seen.add(id(part))
        if callable(getattr(part, "record_stream", None)):
            yield part
        elif isinstance(part, Mapping):
            unvisited.extend(part.values())
        elif isinstance(part, (list, tuple)):
            unvisited.extend(part)
        elif hasattr(part, "__dict__") and callable(getattr(part, "to", None)):
            unvisited.extend(vars(part).values())


def _copy_stream(device: str) -> Any:
    import torch

    if not hasattr(torch, "accelerator"):
        raise AgentError(UNSUPPORTED, "copies cannot overlap the step: torch %s has no torch.accelerator" % torch.__version__)
    chosen = torch.device(device)
    try:
        stream = side_stream(chosen) if chosen.type != "cpu" else None
    except RuntimeError:  # a backend that has no streams at all
        stream = None
    if stream is None:
        raise AgentError(UNSUPPORTED, "copies cannot overlap the step: %s has no second stream" % device)
    return stream
