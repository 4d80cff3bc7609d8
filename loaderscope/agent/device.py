"""Measures when the device was busy, by events around transfer and step; the loop never waits for the device."""

from __future__ import annotations

import collections
import time
from typing import Any, Callable, Deque, List, NamedTuple, Optional, Sequence, Tuple

from . import instrument
from .device_choice import device_of_trial, side_stream
from .layout import DEVICE_PERIODS, State

_ANCHOR_PERIOD_NS = 1_000_000_000
"""Spans are placed between two anchors, so they appear at most this much later while anchors are good."""

_MAX_ANCHOR_GAP_NS = 10_000_000_000
"""After this time the best attempt becomes an anchor: elapsed_time, a float32 of milliseconds, is exact to 1 µs up to here."""

_MIN_SPIN_NS = 30_000
"""How long the loop polls whether the device has passed a new anchor; after that it polls again a batch later."""

_SPIN_BRACKETS, _MAX_SPIN_NS = 8, 500_000
"""Or this multiple of half the narrowest bracket: some drivers (Windows' WDDM) are slow. Once a second that costs 0.05 %."""

_GOOD_BRACKET_RATIO = 2
"""An anchor is good if its bracket is at most this multiple of the narrowest one before."""

_ALWAYS_GOOD_NS = 5_000
"""Half of a bracket that is always good, so that one lucky anchor does not rule out all later ones."""

_RESOLUTION_NS = 500
"""Resolution of events (CUDA Runtime API, cudaEventElapsedTime)."""

_FLOAT32_STEP = 2.0**-23
"""Rounding changes a float32 by half of this part of it; a place between two anchors rests on two of them."""

_WAITED_ANCHOR_TRIES = 8

_MAX_WAITED_ANCHOR_NS = 1_000_000_000
"""No further try begins after this time: a device may be slow to show that it has passed an event."""

_POOL_STREAMS = 32
"""How many streams torch hands out in turn for each priority of a device (kStreamsPerPool in c10/cuda/CUDAStream.cpp)."""

_MOST_STEP_STREAMS = 8
"""Each of them costs two events a batch, about 5 µs."""

_BATCHES_WITH_FULL_LOOK = 3
"""After so many batches all streams are looked at once, after each later one only the next in turn: a look takes about 1 µs."""

_UNSEEN_WORK_NS = 5_000_000
"""If the device works on for longer when all known streams are done, then other streams work, too."""

_BATCHES_PER_POLL = 4
"""How many batches one call places, so that no batch bears the cost of many."""


class _Anchor(NamedTuple):
    """An event whose time is known on both clocks. `since_ms`: device time since the previous anchor."""

    event: Any
    host_ns: int
    half_ns: int
    since_ms: float = 0.0


class Period(NamedTuple):
    """The events before and after work on a stream, and when the host had issued all of it and the event after it."""

    before: Any
    after: Any
    issued_ns: int


class _Batch(NamedTuple):
    """The periods of a batch. `others`: what its step does on other streams than the current one."""

    batch: int
    transfer: Optional[Period]
    step: Optional[Period]
    others: Sequence[Period]

    def periods(self) -> List[Tuple[State, Period]]:
        """Returns them with their states, in this order."""
        own = ((State.DEVICE_TRANSFER, self.transfer), (State.DEVICE_STEP, self.step))
        return [(state, period) for state, period in own if period is not None] + [(State.DEVICE_STREAM, period) for period in self.others]


class DeviceClock:
    """Places device work on the host's clock, between anchors, so that a drift of the clocks does no harm.

    An anchor is an event on an otherwise idle stream. It lies between two readings of the host's clock: one before it was recorded,
    one after the device was seen to have passed it; half their distance bounds the error. The clock waits for the first and the
    last anchor outside of the measured path. It tries others about once a second while the loop runs, and keeps narrow ones only.

    A step may work on streams of its own, of which its end on the current stream says nothing. So the clock looks at the streams that
    torch hands out, and follows those on which something is pending when a step has been issued.

    Attributes:
        device: the device, with its index.
        note: a sentence about limits of this device, or "".
        failure: why times end early, one sentence, or "". A clock that fails does not fail the trial.
    """

    def __init__(self, device: Any, copies: Optional[Any] = None, waits: bool = True) -> None:
        """Sets the first anchor; waits for the device unless told not to, so never call it in the measured path.

        Args:
            device: the device, with its index.
            copies: the stream of the transfers, if it is not the current one.
            waits: whether it may wait for the device. If not, `poll` sets the first anchor, too, and work before that has no times.

        Raises:
            RuntimeError, ValueError: the device has no timed events.
        """
        import torch

        self.device = device
        self._make: Callable[[], Any] = lambda: torch.Event(device, enable_timing=True)
        self._current_stream: Callable[[], Any] = lambda: torch.accelerator.current_stream(device)
        self._synchronize: Callable[[], Any] = lambda: torch.accelerator.synchronize(device)
        self._side = side_stream(device)
        self.note = self.failure = ""
        self._lower_bound_reason: Optional[str] = None
        if self._side is None:
            self.note = (
                "Device times are shown when the trial has ended: %s has no second stream, so the clocks are compared "
                "before and after it only." % device.type
            )
        self._pending: Deque[_Batch] = collections.deque()
        self._anchors: List[_Anchor] = []
        self._best_attempt: Optional[_Anchor] = None  # the best attempt since the newest anchor
        self._open_event: Optional[Any] = None  # an attempt that the device has not passed yet
        self._open_event_ns = 0
        self._narrowest_ns = 1 << 62
        self._waits_for_anchor = False  # the first pending batch lies after the newest anchor
        self._other_streams = self._pool_streams(copies)  # on which nothing was pending after a step so far
        self._step_streams: List[Any] = []
        self._looks = self._others_done_ns = self._error_ns = 0
        self._copies_overlap = copies is not None
        self._steps: Deque[Tuple[int, int]] = collections.deque()  # that may overlap later copies
        self._next_try_ns = 0
        if not waits:
            return
        if self._side is not None:
            self._side.synchronize()  # what a backend cannot do fails here, not at the end
        first = self._waited_anchor()
        later = self.mark()
        later.synchronize()
        first.event.elapsed_time(later)  # fails here, not in the loop, where events are not timed
        self._accept(first)
        self._next_try_ns = time.perf_counter_ns() + _ANCHOR_PERIOD_NS

    @property
    def has_anchor(self) -> bool:
        """Whether work that is marked from now on will get times."""
        return bool(self._anchors) and not self.failure

    def mark(self, stream: Optional[Any] = None) -> Any:
        """Records an event now, on `stream` or else on the device's current stream, and returns it."""
        event = self._make()
        event.record(self._current_stream() if stream is None else stream)
        return event

    def since(self, before: Any, stream: Optional[Any] = None) -> Period:
        """Returns the period from an event to now, when the host has issued all its work."""
        after = self.mark(stream)
        # read last: only an event that is passed after this time says that the device was still at work
        return Period(before, after, time.perf_counter_ns())

    def mark_step_streams(self) -> List[Any]:
        """Records an event now on each stream besides the current one on which steps work, and returns them."""
        return [self.mark(stream) for stream in self._step_streams]

    def since_on_step_streams(self, before: Any, befores: List[Any]) -> List[Period]:
        """Returns the periods of a step on other streams than the current one; call it when the step has been issued.

        Args:
            before: the event before the step on the current stream: it stands for streams that are found only now.
            befores: what `mark_step_streams` returned before the step.
        """
        self._find_step_streams()
        return [
            self.since(befores[number] if number < len(befores) else before, stream) for number, stream in enumerate(self._step_streams)
        ]

    def _find_step_streams(self) -> None:
        """Follows further streams if something is pending on them."""
        if self.failure or not self._other_streams:
            return
        self._looks += 1
        if self._looks <= _BATCHES_WITH_FULL_LOOK:
            looked_at = list(self._other_streams)
        else:
            looked_at = [self._other_streams[self._looks % len(self._other_streams)]]
        current = self._current_stream().stream_id
        try:
            found = [stream for stream in looked_at if stream.stream_id != current and not stream.query()]
        except RuntimeError as error:
            self._give_up(error)
            return
        for stream in found:
            self._other_streams.remove(stream)
            if len(self._step_streams) < _MOST_STEP_STREAMS:
                self._step_streams.append(stream)
            else:
                self._lower_bound_reason = "the step works on more than %d streams" % _MOST_STEP_STREAMS

    def add(self, batch: int, transfer: Optional[Period], step: Optional[Period], others: Sequence[Period] = ()) -> None:
        """Adds a batch; add the batches of a stream in its order.

        Args:
            batch: its number and epoch, see `layout.batch_of_epoch`.
            transfer: the events before and after it, or None.
            step: likewise.
            others: the periods of its step on other streams than the current one.
        """
        if not self.failure and (transfer is not None or step is not None):
            self._pending.append(_Batch(batch, transfer, step, others))

    def poll(self) -> None:
        """Tries a new anchor and records batches that lie before the newest; never waits for the device."""
        if self.failure:
            return
        try:
            self._try_anchor()
            for _ in range(_BATCHES_PER_POLL):
                if not self._place_first(False):
                    return
        except (RuntimeError, ValueError) as error:
            self._give_up(error)

    def finish(self) -> None:
        """Waits for the device and records the remaining batches; call it outside of the measured path.

        Raises:
            RuntimeError: work of the trial failed on the device.
        """
        instrument.begin(State.DEVICE_WAIT, -1)
        try:
            self._wait_for_all_work()
        finally:
            instrument.end(State.DEVICE_WAIT, -1)
        if self.failure:
            return
        try:
            self._open_event = self._best_attempt = None
            self._accept(self._waited_anchor())
            while self._place_first(True):
                pass
        except (RuntimeError, ValueError) as error:
            self._give_up(error)

    def _wait_for_all_work(self) -> None:
        """Waits for the device, and finds out whether it works on when all streams are done that the clock knows."""
        if self._side is None:  # its one stream is all that there is, and torch may be unable to wait for a stream
            self._synchronize()
            return
        for stream in (self._current_stream(), *self._step_streams):
            stream.synchronize()
        waits_ns = []
        for _ in range(2):
            before_ns = time.perf_counter_ns()
            self._synchronize()
            waits_ns.append(time.perf_counter_ns() - before_ns)
        # the second wait finds an idle device: it takes as long as the host needs to go on, for instance to get the GIL back
        if self._lower_bound_reason is None and waits_ns[0] - waits_ns[1] > _UNSEEN_WORK_NS:
            self._lower_bound_reason = "the device also works on streams that torch does not name"

    @property
    def lower_bound_note(self) -> str:
        """A sentence if busy periods are missing, so that the busy share is a lower bound; else ""."""
        return "GPU busy is a lower bound: %s." % self._lower_bound_reason if self._lower_bound_reason else ""

    def _give_up(self, error: Exception) -> None:
        """Ends the recording of times. If the trial's own work failed on the device, the trial fails at its next call."""
        self._pending.clear()
        self.failure = "device times end early: %s" % str(error).splitlines()[0]

    def _waited_anchor(self) -> _Anchor:
        """Waits for the device, and returns the narrowest of several anchors."""
        anchors: List[_Anchor] = []
        instrument.begin(State.DEVICE_WAIT, -1)
        try:
            self._synchronize()
            began_ns = time.perf_counter_ns()
            while len(anchors) < _WAITED_ANCHOR_TRIES:
                event = self._make()
                before_ns = time.perf_counter_ns()
                event.record(self._current_stream() if self._side is None else self._side)
                event.synchronize()
                after_ns = time.perf_counter_ns()
                anchors.append(_anchor_between(event, before_ns, after_ns))
                if after_ns - began_ns > _MAX_WAITED_ANCHOR_NS:
                    break
        finally:
            instrument.end(State.DEVICE_WAIT, -1)
        return min(anchors, key=lambda anchor: anchor.half_ns)

    def _pool_streams(self, copies: Optional[Any]) -> List[Any]:
        """The streams that torch hands out to scripts, without our own.

        It asks for as many as torch hands out in turn, so the script's next stream is the one that it would have been.
        """
        if self._side is None:
            return []
        import torch

        self._side.query()  # what a backend cannot do fails here, not in the loop
        own = {stream.stream_id for stream in (self._side, copies) if stream is not None}
        streams = [self._current_stream()] + [
            torch.Stream(self.device, priority=priority) for priority in (0, -1) for _ in range(_POOL_STREAMS)
        ]
        return list({stream.stream_id: stream for stream in streams if stream.stream_id not in own}.values())

    def _try_anchor(self) -> None:
        """Records an attempt when one is due, and checks whether the device has passed it."""
        if self._side is None:
            return
        now_ns = time.perf_counter_ns()
        until_ns = now_ns
        if self._open_event is None:
            if now_ns < self._next_try_ns:
                return
            self._open_event = self._make()
            self._open_event_ns = time.perf_counter_ns()
            self._open_event.record(self._side)
            until_ns = self._open_event_ns + max(_MIN_SPIN_NS, min(_SPIN_BRACKETS * self._narrowest_ns, _MAX_SPIN_NS))
        while not self._open_event.query():
            if time.perf_counter_ns() >= until_ns:
                return
        attempt = _anchor_between(self._open_event, self._open_event_ns, time.perf_counter_ns())
        self._open_event = None
        self._next_try_ns = self._open_event_ns + _ANCHOR_PERIOD_NS
        if self._best_attempt is None or attempt.half_ns < self._best_attempt.half_ns:
            self._best_attempt = attempt
        is_late = bool(self._anchors) and attempt.host_ns - self._anchors[-1].host_ns >= _MAX_ANCHOR_GAP_NS - _ANCHOR_PERIOD_NS
        if is_late or self._best_attempt.half_ns <= max(_ALWAYS_GOOD_NS, _GOOD_BRACKET_RATIO * self._narrowest_ns):
            self._accept(self._best_attempt)
            self._best_attempt = None

    def _accept(self, anchor: _Anchor) -> None:
        since_ms = self._anchors[-1].event.elapsed_time(anchor.event) if self._anchors else 0.0
        self._anchors.append(anchor._replace(since_ms=since_ms))
        self._waits_for_anchor = False
        self._narrowest_ns = min(self._narrowest_ns, anchor.half_ns)
        rounded_ns = int(since_ms * 1e6 * _FLOAT32_STEP) + 1
        error_ns = anchor.half_ns + _RESOLUTION_NS + rounded_ns
        self._error_ns = max(self._error_ns, error_ns)
        instrument.instant(State.DEVICE_ANCHOR, error_ns)

    def _place_first(self, is_last: bool) -> bool:
        """Records the first pending batch, and returns whether it could. `is_last`: no later anchor will come."""
        if not self._pending or self._waits_for_anchor:
            return False
        done = self._pending[0]
        # Query all events, the last first: a step that changes the current stream ends on another stream than it began on.
        periods = done.periods()
        if not all(event.query() for _, period in reversed(periods) for event in (period.after, period.before)):
            return False
        ends_ns = [self._host_ns(period.after, is_last) for _, period in periods]
        if None in ends_ns:
            self._waits_for_anchor = True
            return False
        self._pending.popleft()
        # A step often begins with the event that ends its copy. It is placed once: on MPS a second elapsed_time up to the same event
        # never returns (waitForCpuSync in aten/src/ATen/mps/MPSEvent.mm).
        placed_ns = {id(period.after): end_ns for (_, period), end_ns in zip(periods, ends_ns)}  # noqa: B905 - Python 3.9
        starts_ns = [
            placed_ns[id(period.before)] if id(period.before) in placed_ns else self._host_ns(period.before, True) for _, period in periods
        ]
        for number, (state, period) in enumerate(periods):
            self._record(state, starts_ns[number], ends_ns[number], period.issued_ns, done.batch)
        self._forget_before(min(starts_ns))
        return True

    def _record(self, state: State, start_ns: int, end_ns: int, issued_ns: int, batch: int) -> None:
        """Records a period, the part of it in which its work was still being issued, and where a copy overlaps steps."""
        end_ns = max(start_ns, end_ns)
        if state is State.DEVICE_STREAM:  # several streams share a lane, whose spans do not overlap
            if end_ns <= self._others_done_ns:
                return
            start_ns = max(start_ns, self._others_done_ns)
            self._others_done_ns = end_ns
        instrument.complete(state, start_ns, end_ns - start_ns, batch)
        if issued_ns > start_ns:
            unsure_until_ns = issued_ns if end_ns - issued_ns > self._error_ns else end_ns
            instrument.complete(DEVICE_PERIODS[state], start_ns, unsure_until_ns - start_ns, batch)
        if not self._copies_overlap:
            return
        if state is not State.DEVICE_TRANSFER:
            self._steps.append((max(start_ns, self._steps[-1][1]) if self._steps else start_ns, end_ns))
            return
        while self._steps and self._steps[0][1] <= start_ns:
            self._steps.popleft()
        for step_start_ns, step_end_ns in self._steps:
            overlap_ns = min(end_ns, step_end_ns) - max(start_ns, step_start_ns)
            if overlap_ns > 0:
                instrument.complete(State.DEVICE_OVERLAP, max(start_ns, step_start_ns), overlap_ns, batch)

    def _host_ns(self, event: Any, is_last: bool) -> Any:
        """When the device passed an event, on the host's clock; None while the event lies after the newest anchor.

        Args:
            event: an event that the device has passed, later than the first kept anchor.
            is_last: whether an event seems to lie after the newest anchor by rounding only.
        """
        for number in range(1, len(self._anchors)):
            low, high = self._anchors[number - 1], self._anchors[number]
            ms = low.event.elapsed_time(event)
            if ms <= high.since_ms or (is_last and number == len(self._anchors) - 1):
                return low.host_ns + (round(ms / high.since_ms * (high.host_ns - low.host_ns)) if high.since_ms else 0)
        return None

    def _forget_before(self, time_ns: int) -> None:
        """Drops anchors that no later batch needs: batches begin one after another."""
        while len(self._anchors) > 2 and self._anchors[1].host_ns <= time_ns:
            del self._anchors[0]


def _anchor_between(event: Any, before_ns: int, after_ns: int) -> _Anchor:
    return _Anchor(event, (before_ns + after_ns) // 2, (after_ns - before_ns + 1) // 2)


def device_clock(device: Optional[str], uses_device: bool, copies: Optional[Any] = None) -> Tuple[Optional[DeviceClock], str]:
    """Returns a clock for the device that the trial uses and its note, or None and the reason in one sentence.

    Args:
        device: the device that the user named; None for the device that the script uses.
        uses_device: whether anything of the trial can run on a device.
        copies: the stream of the transfers, if they have one of their own.
    """
    if not uses_device:
        return None, ""
    chosen, reason = device_of_trial(device)
    if chosen is None:
        return None, "device times are not available: %s" % reason
    try:
        # with its index: the script may change the current device, and events of two devices cannot be compared
        clock = DeviceClock(chosen, copies)
    except (RuntimeError, ValueError) as error:  # a backend without timed events
        return None, "device times are not available: %s" % str(error).splitlines()[0]
    return clock, clock.note
