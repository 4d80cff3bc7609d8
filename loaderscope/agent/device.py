"""When the device was busy: events around transfer and step, read without ever waiting for the device in the loop."""

from __future__ import annotations

import collections
import time
from typing import Any, Callable, Deque, NamedTuple, Optional, Tuple

from . import instrument
from .layout import State

_REBASE_MS = 5_000.0
"""elapsed_time is a float32 of milliseconds; from a reference this near it is exact to about a microsecond."""


class _Batch(NamedTuple):
    batch: int
    start: Any
    between: Any
    end: Any


class DeviceClock:
    """Places device work on the host's clock.

    The anchor is an event that is waited for before the loop starts, between two readings of the host's clock; half their
    distance bounds the error of the alignment. Later events are measured from a reference that moves along with them.
    """

    def __init__(self, device: Any) -> None:
        """Anchors the clock; waits for the device, so not to be called in the measured path."""
        import torch

        self._make: Callable[[], Any] = lambda: torch.Event(device, enable_timing=True)
        self._synchronize: Callable[[], Any] = lambda: torch.accelerator.synchronize(device)
        self._pending: Deque[_Batch] = collections.deque()
        self._synchronize()
        before_ns = time.perf_counter_ns()
        self._reference = self.mark()
        self._reference.synchronize()
        after_ns = time.perf_counter_ns()
        self._reference_ns = (before_ns + after_ns) // 2
        instrument.instant(State.DEVICE_ANCHOR, (after_ns - before_ns) // 2)

    def mark(self) -> Any:
        """An event recorded on the current stream now."""
        event = self._make()
        event.record()
        return event

    def add(self, batch: int, start: Any, between: Any, end: Any) -> None:
        """The three events of a batch: before the transfer, between it and the step, after the step."""
        self._pending.append(_Batch(batch, start, between, end))

    def poll(self) -> None:
        """Records the batches that the device has finished; never waits."""
        while self._pending and self._pending[0].end.query():
            self._record(self._pending.popleft())

    def finish(self) -> None:
        """Waits for the device and records what is left; outside of the measured path."""
        self._synchronize()
        self.poll()

    def _record(self, done: _Batch) -> None:
        start_ms = self._reference.elapsed_time(done.start)
        transfer_ns = round(done.start.elapsed_time(done.between) * 1e6)
        step_ns = round(done.between.elapsed_time(done.end) * 1e6)
        start_ns = self._reference_ns + round(start_ms * 1e6)
        instrument.complete(State.DEVICE_TRANSFER, start_ns, transfer_ns, done.batch)
        instrument.complete(State.DEVICE_STEP, start_ns + transfer_ns, step_ns, done.batch)
        if start_ms > _REBASE_MS:
            self._reference, self._reference_ns = done.start, start_ns


def device_clock(device: Optional[str], uses_device: bool) -> Tuple[Optional[DeviceClock], str]:
    """A clock for the device that the trial uses, or None with the reason in one sentence.

    Args:
        device: what the user named; None for the current accelerator.
        uses_device: whether anything of the trial can run on a device.
    """
    if not uses_device:
        return None, ""
    import torch

    accelerator = getattr(torch, "accelerator", None)
    if accelerator is None or not hasattr(torch, "Event"):
        return None, "device times are not available: torch %s has no torch.accelerator (2.6 and newer have)" % torch.__version__
    if not accelerator.is_available():
        return None, "device times are not available: torch sees no accelerator"
    chosen = torch.device(device) if device is not None else accelerator.current_accelerator()
    if chosen is None or chosen.type == "cpu":
        return None, "device times are not available: the step runs on the CPU"
    if device is None and chosen.type == "cuda" and not torch.cuda.is_initialized():
        return None, "device times are not available: the script had not used the device before its first step"
    try:
        return DeviceClock(chosen), ""
    except (RuntimeError, NotImplementedError) as error:  # a backend without timed events
        return None, "device times are not available: %s" % str(error).splitlines()[0]
