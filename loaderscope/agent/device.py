"""When the device was busy: events around transfer and step, read without ever waiting for the device in the loop."""

from __future__ import annotations

import collections
import time
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Tuple

from . import instrument
from .layout import State

_TRY_EVERY_NS = 1_000_000_000
"""Spans are placed between two anchors, so they are shown that much later at most while anchors come out well."""

_APART_AT_MOST_NS = 10_000_000_000
"""After so long the best of the attempts must do: elapsed_time is a float32 of milliseconds, 1 µs exact at this distance."""

_LOOK_FOR_NS = 30_000
"""So long the loop looks whether an anchor has been passed at once; after that only when it comes by again, a batch later."""

_LOOK_BY, _LOOK_AT_MOST_NS = 8, 500_000
"""Or so many times half of the narrowest bracket: some drivers (Windows' WDDM) take their time. Once a second this is 0.05 %."""

_GOOD_BY = 2
"""An anchor is good whose bracket is at most that many times the narrowest of those before."""

_NARROW_NS = 5_000
"""Half of a bracket that is always good, so that one lucky anchor does not rule out all that follow."""

_RESOLUTION_NS = 500
"""Of events (CUDA Runtime API, cudaEventElapsedTime)."""

_FLOAT32_STEP = 2.0**-23
"""A float32 is rounded by half of that part of itself; a place between two anchors rests on two of them."""

_WAITED_TRIES = 8
_PLACED_A_POLL = 4
"""Batches that one call places, so that no batch bears the cost of many."""


class _Anchor(NamedTuple):
    """An event whose time is known on both clocks. `since_ms`: device time since the anchor before."""

    event: Any
    host_ns: int
    half_ns: int
    since_ms: float = 0.0


class _Batch(NamedTuple):
    batch: int
    transfer: Optional[Tuple[Any, Any]]
    step: Optional[Tuple[Any, Any]]


class DeviceClock:
    """Places device work on the host's clock, between anchors, so that a drift of the clocks does no harm.

    An anchor is an event on a stream that has nothing else to do. It lies between a reading of the host's clock before it was
    recorded and one after it was seen to have passed; half their distance bounds the error. The first and the last are waited
    for, outside of the measured path; the others are looked for while the loop runs, about once a second, and only narrow ones
    are kept.

    Attributes:
        device: the device, with its index.
        note: what is different on this device, one sentence or "".
        trouble: why there are no times from some moment on, one sentence or "". A clock that fails does not fail the trial.
    """

    def __init__(self, device: Any) -> None:
        """Sets the first anchor; waits for the device, so not to be called in the measured path.

        Raises:
            RuntimeError, ValueError: the device has no events that are timed.
        """
        import torch

        self.device = device
        self._make: Callable[[], Any] = lambda: torch.Event(device, enable_timing=True)
        self._current_stream: Callable[[], Any] = lambda: torch.accelerator.current_stream(device)
        self._synchronize: Callable[[], Any] = lambda: torch.accelerator.synchronize(device)
        self._side = side_stream(device)
        self.note = self.trouble = ""
        if self._side is None:
            self.note = (
                "Device times are shown when the trial has ended: %s has no second stream, so the clocks are compared "
                "before and after it only." % device.type
            )
        self._pending: Deque[_Batch] = collections.deque()
        self._anchors: List[_Anchor] = []
        self._best: Optional[_Anchor] = None  # of the attempts since the newest anchor
        self._asked: Optional[Any] = None  # an anchor that had not been passed yet
        self._asked_ns = 0
        self._narrowest_ns = 1 << 62
        self._waits_for_anchor = False  # the first batch that is pending lies after the newest one
        first = self._waited_anchor()
        first.event.elapsed_time(self._waited_anchor().event)  # where events are not timed it is this that fails, so not in the loop
        self._accept(first)
        self._next_try_ns = time.perf_counter_ns() + _TRY_EVERY_NS

    def mark(self, stream: Optional[Any] = None) -> Any:
        """An event recorded now, on the device's current stream unless another is given."""
        event = self._make()
        event.record(self._current_stream() if stream is None else stream)
        return event

    def add(self, batch: int, transfer: Optional[Tuple[Any, Any]], step: Optional[Tuple[Any, Any]]) -> None:
        """Takes note of a batch; the later ones of a stream are added later.

        Args:
            batch: its number and its epoch, see `layout.batch_of_epoch`.
            transfer: the events before and after it, or None.
            step: likewise.
        """
        if transfer is not None or step is not None:
            self._pending.append(_Batch(batch, transfer, step))

    def poll(self) -> None:
        """Looks for a new anchor and records batches that lie before the newest; never waits for the device."""
        if self.trouble:
            return
        try:
            self._try_anchor()
            for _ in range(_PLACED_A_POLL):
                if not self._place_first(False):
                    return
        except (RuntimeError, ValueError) as error:
            self._give_up(error)

    def finish(self) -> None:
        """Waits for the device and records what is left; outside of the measured path.

        Raises:
            RuntimeError: work of the trial failed on the device.
        """
        self._synchronize()
        if self.trouble:
            return
        try:
            self._asked = self._best = None
            self._accept(self._waited_anchor())
            while self._place_first(True):
                pass
        except (RuntimeError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """From now on there are no times. What failed on the device for the trial's sake fails the trial at its own next call."""
        self._pending.clear()
        self.trouble = "device times end early: %s" % str(error).splitlines()[0]

    def _waited_anchor(self) -> _Anchor:
        self._synchronize()
        found = []
        for _ in range(_WAITED_TRIES):
            event = self._make()
            before_ns = time.perf_counter_ns()
            event.record(self._current_stream() if self._side is None else self._side)
            event.synchronize()
            found.append(_between(event, before_ns, time.perf_counter_ns()))
        return min(found, key=lambda anchor: anchor.half_ns)

    def _try_anchor(self) -> None:
        """Records an anchor when it is time for one, and sees whether it has been passed."""
        if self._side is None:
            return
        now_ns = time.perf_counter_ns()
        until_ns = now_ns
        if self._asked is None:
            if now_ns < self._next_try_ns:
                return
            self._asked = self._make()
            self._asked_ns = time.perf_counter_ns()
            self._asked.record(self._side)
            until_ns = self._asked_ns + max(_LOOK_FOR_NS, min(_LOOK_BY * self._narrowest_ns, _LOOK_AT_MOST_NS))
        while not self._asked.query():
            if time.perf_counter_ns() >= until_ns:
                return
        attempt = _between(self._asked, self._asked_ns, time.perf_counter_ns())
        self._asked = None
        self._next_try_ns = self._asked_ns + _TRY_EVERY_NS
        if self._best is None or attempt.half_ns < self._best.half_ns:
            self._best = attempt
        is_late = attempt.host_ns - self._anchors[-1].host_ns >= _APART_AT_MOST_NS - _TRY_EVERY_NS
        if is_late or self._best.half_ns <= max(_NARROW_NS, _GOOD_BY * self._narrowest_ns):
            self._accept(self._best)
            self._best = None

    def _accept(self, anchor: _Anchor) -> None:
        since_ms = self._anchors[-1].event.elapsed_time(anchor.event) if self._anchors else 0.0
        self._anchors.append(anchor._replace(since_ms=since_ms))
        self._waits_for_anchor = False
        self._narrowest_ns = min(self._narrowest_ns, anchor.half_ns)
        rounded_ns = int(since_ms * 1e6 * _FLOAT32_STEP) + 1
        instrument.instant(State.DEVICE_ANCHOR, anchor.half_ns + _RESOLUTION_NS + rounded_ns)

    def _place_first(self, is_last: bool) -> bool:
        """Records the first batch that waits for it; says whether it could. `is_last`: no later anchor will come."""
        if not self._pending or self._waits_for_anchor:
            return False
        done = self._pending[0]
        # All of them, the last first: a step that changes the current stream ends on another one than it began on.
        if not all(event.query() for pair in (done.step, done.transfer) if pair is not None for event in reversed(pair)):
            return False
        end_ns = self._host_ns((done.step or done.transfer)[1], is_last)  # type: ignore[index]
        if end_ns is None:
            self._waits_for_anchor = True
            return False
        self._pending.popleft()
        if done.step is not None:
            start_ns = self._host_ns(done.step[0], True)
            instrument.complete(State.DEVICE_STEP, start_ns, max(0, end_ns - start_ns), done.batch)
        if done.transfer is not None:
            start_ns = self._host_ns(done.transfer[0], True)
            moved_ns = end_ns if done.step is None else self._host_ns(done.transfer[1], True)
            instrument.complete(State.DEVICE_TRANSFER, start_ns, max(0, moved_ns - start_ns), done.batch)
        self._forget_before(start_ns)
        return True

    def _host_ns(self, event: Any, is_last: bool) -> Any:
        """When an event that has passed was passed, on the host's clock; None while it lies after the newest anchor.

        Args:
            event: it lies after the first anchor that is kept.
            is_last: whether an event that seems to lie after the newest anchor lies there by rounding only.
        """
        for number in range(1, len(self._anchors)):
            low, high = self._anchors[number - 1], self._anchors[number]
            ms = low.event.elapsed_time(event)
            if ms <= high.since_ms or (is_last and number == len(self._anchors) - 1):
                return low.host_ns + (round(ms / high.since_ms * (high.host_ns - low.host_ns)) if high.since_ms else 0)
        return None

    def _forget_before(self, time_ns: int) -> None:
        """Lets go of anchors that no later batch needs: batches begin one after another."""
        while len(self._anchors) > 2 and self._anchors[1].host_ns <= time_ns:
            del self._anchors[0]


def _between(event: Any, before_ns: int, after_ns: int) -> _Anchor:
    return _Anchor(event, (before_ns + after_ns) // 2, (after_ns - before_ns + 1) // 2)


def side_stream(device: Any) -> Optional[Any]:
    """A stream of its own on the device; None where there is but one (MPS)."""
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

    A device that the trial does not use is not started for this: that would be the end of fork for a dataset's own use of it.

    Args:
        name: what the user named; None: the current device if torch holds memory on it, else the one on which it holds most.
    """
    import torch

    accelerator = getattr(torch, "accelerator", None)
    if accelerator is None or not hasattr(torch, "Event"):
        return None, "torch %s has no torch.accelerator (2.6 and newer have)" % torch.__version__
    current = accelerator.current_accelerator()
    if current is None or not accelerator.device_count():
        return None, "torch sees no accelerator"
    chosen = torch.device(name) if name is not None else current
    if chosen.type != current.type:
        return None, "the batches stay on the CPU" if chosen.type == "cpu" else "torch's accelerator is %s" % current.type
    if name is not None:
        return chosen if chosen.index is not None else torch.device(chosen.type, current_index()), ""
    held = _held_bytes(chosen.type)
    if held is not None and not any(held):
        return None, "the script had nothing on a device before its first step"
    index = current_index()
    return torch.device(chosen.type, index if held is None or held[index] else held.index(max(held))), ""


def _held_bytes(kind: str) -> Optional[List[int]]:
    """What torch holds on each device of a kind; None where it does not tell."""
    import torch

    module: Any = getattr(torch, kind, None)
    is_started = getattr(module, "is_initialized", None)
    if is_started is not None and not is_started():
        return []
    if hasattr(module, "memory_reserved") and hasattr(module, "device_count"):
        return [module.memory_reserved(index) for index in range(module.device_count())]
    return [module.current_allocated_memory()] if hasattr(module, "current_allocated_memory") else None  # MPS


def device_clock(device: Optional[str], uses_device: bool) -> Tuple[Optional[DeviceClock], str]:
    """A clock for the device that the trial uses, or None with the reason in one sentence.

    Args:
        device: what the user named; None for the device that the script uses.
        uses_device: whether anything of the trial can run on a device.
    """
    if not uses_device:
        return None, ""
    chosen, reason = device_of_trial(device)
    if chosen is None:
        return None, "device times are not available: %s" % reason
    try:
        clock = DeviceClock(chosen)  # events of two devices cannot be compared, should the script change the current one
    except (RuntimeError, ValueError) as error:  # a backend without timed events
        return None, "device times are not available: %s" % str(error).splitlines()[0]
    return clock, clock.note
