"""How the main process spent its time in steady state, and what the device did meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from loaderscope.agent.layout import DEVICE_PERIODS, State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.epochs import MAIN, clock_error_s, device_spans
from loaderscope.analysis.span_lookup import Int64Array, SpanColumns, complement, covered_ns, intersection, spans_of, spans_of_lanes
from loaderscope.analysis.steady import Steady
from loaderscope.facts.consumers import kind_of
from loaderscope.trace.model import Trace

Bounds = list[tuple[int, int]]
Intervals = tuple[Int64Array, Int64Array]


@dataclasses.dataclass(frozen=True)
class DeviceShares:
    """What a device did in the steady state, as far as it reported its busy periods; the truth lies between low and high.

    Attributes:
        busy_low, busy_high: it works; None for `busy_high`: it also works on streams that nothing reports.
        stall, stall_low, stall_high: it idles while main waits for data; None with `busy_high`.
        other_idle: it idles otherwise, at least: busy_high + stall + other_idle = 1, or more by the doubt that a rough clock leaves.
        copy_overlap: share of the time of its copies for which it also works on a step; None without copies or steps.
    """

    busy_low: float
    busy_high: float | None
    stall: float | None
    stall_low: float | None
    stall_high: float | None
    other_idle: float | None
    copy_overlap: float | None


@dataclasses.dataclass(frozen=True)
class Shares:
    """Shares of the steady state: wait + transfer + step + other = 1. `device` is None if no device reported its busy periods."""

    wait: float
    transfer: float
    step: float
    other: float
    device: DeviceShares | None


def find_shares(trace: Trace, steady: Steady, works_unseen: bool = False) -> Shares | None:
    """Returns the shares over the steady windows, or None without such a window.

    Args:
        trace: of the trial.
        steady: its steady state.
        works_unseen: whether the device also worked on streams that nothing reports.
    """
    bounds = steady.host_bounds_ns
    total_ns = _length_ns(bounds)
    if total_ns <= 0:
        return None
    waits = spans_of(trace, MAIN, State.WAIT)
    transfers = spans_of(trace, MAIN, State.TRANSFER)
    steps = spans_of(trace, MAIN, State.STEP)
    wait, transfer, step = (_covered_ns(bounds, (spans.start_ns, spans.end_ns)) / total_ns for spans in (waits, transfers, steps))
    return Shares(wait, transfer, step, max(0.0, 1.0 - wait - transfer - step), _device_shares(trace, steady, waits, works_unseen))


def _device_shares(trace: Trace, steady: Steady, waits: SpanColumns, works_unseen: bool) -> DeviceShares | None:
    """Returns what a device did, between two bounds.

    Events say when a stream passed them, not whether it worked between them. While the host is still issuing, a stream may run dry.
    Once everything is issued, it works without a pause until the event after the work. So a device works at most from the event before
    to the one after, and at least from the end of the issuing on.
    """
    work = device_spans(trace)
    bounds = _device_bounds(steady, work) if work is not None else []
    total_ns = _length_ns(bounds)
    if work is None or total_ns <= 0:
        return None
    error_ns = round((clock_error_s(trace) or 0.0) * 1e9)
    at_most = (work.start_ns, work.end_ns)
    at_least = _joined(_without(_of_device(trace, state), _of_device(trace, issue)) for state, issue in DEVICE_PERIODS.items())
    doubt = 2 * error_ns * (_anchor_count(trace, bounds) + len(bounds)) / total_ns
    busy_low = max(0.0, _covered_ns(bounds, at_least) / total_ns - doubt)
    overlap = _copy_overlap(trace, bounds)
    if works_unseen:
        return DeviceShares(busy_low, None, None, None, None, None, overlap)
    in_waits = (waits.start_ns, waits.end_ns)
    stall, stall_low, stall_high = (
        _idle_ns(bounds, busy, in_waits) / total_ns
        for busy in (at_most, _moved_apart(at_most, error_ns), _moved_apart(at_least, -error_ns))
    )
    busy_high = min(1.0 - stall_low, _covered_ns(bounds, at_most) / total_ns + doubt)
    return DeviceShares(busy_low, busy_high, stall, stall_low, stall_high, max(0.0, 1.0 - busy_high - stall), overlap)


def _of_device(trace: Trace, state: State) -> Intervals:
    spans = spans_of_lanes(trace, [key for key, lane in list(trace.lanes.items()) if lane.kind == "device"], state)
    return spans.start_ns, spans.end_ns


def _without(intervals: Intervals, removed: Intervals) -> Intervals:
    """Returns the intervals without the parts that others cover."""
    if not len(intervals[0]):
        return intervals
    return intersection(intervals, complement(*removed, int(intervals[0].min()), int(intervals[1].max())))


def _joined(sets: Iterable[Intervals]) -> Intervals:
    starts, ends = zip(*sets, strict=True)
    return np.concatenate(starts), np.concatenate(ends)


def _anchor_count(trace: Trace, bounds: Bounds) -> int:
    """Returns at how many anchors of the device's clock within the bounds its error may change.

    The error of a device time changes linearly from anchor to anchor, each with its own error of at most the bound. So it lengthens or
    shortens the work between two anchors by at most twice the bound.
    """
    points = trace.points.get(MAIN)
    if points is None:
        return 0
    view = points.view()
    times_ns = view["time_ns"][view["state"] == int(State.DEVICE_ANCHOR)]
    return sum(int(((times_ns > low) & (times_ns < high)).sum()) for low, high in bounds)


def _copy_overlap(trace: Trace, bounds: Bounds) -> float | None:
    copied_ns = _covered_ns(bounds, _of_device(trace, State.DEVICE_TRANSFER))
    if not copied_ns or not len(_of_device(trace, State.DEVICE_STEP)[0]):
        return None
    return _covered_ns(bounds, _of_device(trace, State.DEVICE_OVERLAP)) / copied_ns


def _moved_apart(intervals: Intervals, by_ns: int) -> Intervals:
    """Returns intervals that begin earlier and end later by some time; the other way round if it is negative."""
    return intervals[0] - by_ns, intervals[1] + by_ns


def _idle_ns(bounds: Bounds, busy: Intervals, waits: Intervals) -> int:
    """Returns for how long of the waits the device idled."""
    idle = [intersection(complement(*busy, low, high), waits) for low, high in bounds]
    return sum(int((ends - starts).sum()) for starts, ends in idle)


def _covered_ns(bounds: Bounds, intervals: Intervals) -> int:
    return sum(covered_ns(*intervals, low, high) for low, high in bounds)


def _length_ns(bounds: Bounds) -> int:
    return sum(high - low for low, high in bounds)


def _device_bounds(steady: Steady, busy: SpanColumns) -> Bounds:
    """Returns the windows up to the last batch with device times: the newest batches of a trial cut short have none yet."""
    found = []
    for window in steady.windows:
        has_device_times = np.isin(window.epoch.batch[window.first : window.last], busy.batch)
        count = len(has_device_times) if has_device_times.all() else int(np.argmin(has_device_times))
        if count:
            found.append((window.host_bounds_ns[0], int(window.epoch.host_done_ns[window.first + count - 1])))
    return found


def accelerator_share(steady: Steady, consumer: Consumer) -> float | None:
    """Returns the share of the steady state for which an accelerator that takes the simulated step's time for a batch would be busy.

    This is what MLPerf Storage calls accelerator utilisation (https://mlcommons.org/benchmarks/storage/). None without a
    simulated step.
    """
    total_ns = sum(high - low for low, high in steady.host_bounds_ns)
    if not kind_of(consumer).is_simulated or not consumer.ms or total_ns <= 0:
        return None
    return min(1.0, steady.batches * consumer.ms * 1e6 / total_ns)
