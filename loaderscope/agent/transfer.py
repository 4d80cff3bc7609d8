"""Moves a batch to a device, however its tensors are nested."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional

from .device import current_index, side_stream
from .error_sentences import UNSUPPORTED, AgentError


class Transfer:
    """Moves batches as a training loop does.

    Blocking or not, copies go to the stream that the step runs on, one after the other. Overlapped, they go to a stream of
    their own, for which the step's stream waits: the copy of a batch runs while the device is still at the step before (the
    pattern of prefetchers; https://pytorch.org/docs/stable/notes/cuda.html#cuda-streams).

    Attributes:
        stream: the stream of the copies; None: the current one.
    """

    def __init__(self, device: str, h2d: str) -> None:
        """Takes how batches are moved: blocking, non_blocking or overlapped.

        Raises:
            AgentError: the device has no streams to overlap.
        """
        self._device = device
        self._non_blocking = h2d != "blocking"
        self.stream: Optional[Any] = _copy_stream(device) if h2d == "overlapped" else None

    def __call__(self, batch: Any) -> Any:
        """The batch on the device."""
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
            if tensor.device == self.stream.device:  # an object may have left some of its tensors behind
                tensor.record_stream(stream)  # or its memory would be given to the next copy while the step still reads it
        return moved


def _set_index(index: int) -> None:
    import torch

    choose = getattr(torch.accelerator, "set_device_index", None) or torch.accelerator.set_device_idx  # the name in torch 2.6
    choose(index)


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


def _tensors(batch: Any) -> Iterator[Any]:
    """The tensors of a batch, also those that objects hold as attributes."""
    left, seen = [batch], set()
    while left:
        part = left.pop()
        if isinstance(part, (str, bytes)) or id(part) in seen:
            continue
        seen.add(id(part))
        if callable(getattr(part, "record_stream", None)):
            yield part
        elif isinstance(part, Mapping):
            left.extend(part.values())
        elif isinstance(part, (list, tuple)):
            left.extend(part)
        elif hasattr(part, "__dict__") and callable(getattr(part, "to", None)):
            left.extend(vars(part).values())


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
