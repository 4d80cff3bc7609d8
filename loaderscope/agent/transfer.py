"""Moves a batch to a device, however its tensors are nested."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Optional

from . import instrument
from .device_choice import current_index, side_stream
from .error_sentences import UNSUPPORTED, AgentError
from .layout import State


class Transfer:
    """Moves batches as a training loop does.

    Blocking or not, copies go to the stream of the step, one after the other. Overlapped, they go to a stream of their own, one batch
    ahead of the step: the copy of a batch is issued before the step of the batch before it, so that it runs beside that step even
    if the step waits for the device (the pattern of prefetchers; https://pytorch.org/docs/stable/notes/cuda.html#cuda-streams).

    Attributes:
        stream: the stream of overlapped copies; None: copies go to the current stream.
    """

    def __init__(self, device: str, h2d: str) -> None:
        """Prepares copies to `device`; `h2d` is blocking, non_blocking or overlapped.

        Raises:
            AgentError: the device has no second stream for overlapped copies.
        """
        self._device = device
        self._non_blocking = h2d != "blocking"
        self.stream: Optional[Any] = _copy_stream(device) if h2d == "overlapped" else None
        self._wait: Optional[Callable[[], Any]] = _wait_for(device) if h2d == "blocking" else None
        self._device_type = device.partition(":")[0]
        self._must_wait = False  # for the newest batch

    def issue(self, batch: Any) -> Any:
        """Issues the copy of a batch and returns the moved batch; a copy that blocks has then to be waited for.

        torch's own `to` does the same at once. Apart, the two say when the host had issued the copy, and when it was done.
        """
        if self.stream is not None:
            return self._copy_on_own_stream(batch)
        if self._wait is not None:  # torch's `to` does not wait for the device either if a tensor is there already
            self._must_wait = {tensor.device.type for tensor in _tensors(batch)} != {self._device_type}
        return to_device(batch, self._device, self._non_blocking or self._wait is not None)

    def wait(self, number: int) -> None:
        """Waits for the copy of a batch, its number within the epoch, if copies block and there is something to copy."""
        if self._wait is not None and self._must_wait:
            instrument.begin(State.DEVICE_WAIT, number)
            self._wait()
            instrument.end(State.DEVICE_WAIT, number)

    def hand_over(self, moved: Any) -> None:
        """Lets the step's stream wait for all copies that were issued. Call it when the step before has been issued."""
        if self.stream is None:
            return
        import torch

        stream = torch.accelerator.current_stream(self.stream.device)
        stream.wait_stream(self.stream)
        for tensor in _tensors(moved):
            if tensor.device == self.stream.device:  # an object's `to` may leave some of its tensors where they were
                tensor.record_stream(stream)  # else the next copy could reuse its memory while the step still reads it

    def _copy_on_own_stream(self, batch: Any) -> Any:
        import torch

        index, stream = current_index(), torch.accelerator.current_stream(self.stream.device)  # type: ignore[union-attr]
        torch.accelerator.set_stream(self.stream)  # makes its device the current one, too
        try:
            return to_device(batch, self._device, True)
        finally:
            torch.accelerator.set_stream(stream)
            if index != stream.device.index:
                _set_index(index)


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


def _wait_for(device: str) -> Optional[Callable[[], Any]]:
    """Returns a function that waits for the current stream of a device; None where torch cannot, so that its copies must block."""
    import torch

    accelerator, chosen = getattr(torch, "accelerator", None), torch.device(device)
    current = accelerator.current_accelerator() if accelerator is not None and accelerator.device_count() else None
    if current is None or current.type != chosen.type:
        return None

    def wait() -> None:
        torch.accelerator.current_stream(chosen).synchronize()

    try:
        wait()
    except RuntimeError:  # MPS has one stream, for which torch (up to 2.14) cannot wait
        return None
    return wait
