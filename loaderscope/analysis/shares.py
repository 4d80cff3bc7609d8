"""How the main process spent its time in steady state, and what the device did meanwhile."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.epochs import MAIN, device_spans
from loaderscope.analysis.span_lookup import SpanColumns, complement, covered_ns, intersection, spans_of
from loaderscope.analysis.steady import Steady
from loaderscope.facts.consumers import kind_of
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class Shares:
    """Shares of the steady state: wait + transfer + step + other = 1, and gpu_busy + data_stall + gpu_other_idle = 1.

    The GPU's shares are None if no device reported its busy periods, and cover the time for which it did. `data_stall`: the device
    idles while main waits; `gpu_busy` is an upper bound, because gaps between the kernels of a step count as busy.
    """

    wait: float
    transfer: float
    step: float
    other: float
    gpu_busy: float | None
    data_stall: float | None
    gpu_other_idle: float | None


def find_shares(trace: Trace, steady: Steady) -> Shares | None:
    """Returns the shares over the steady windows, or None without such a window."""
    bounds = [window.host_bounds_ns for window in steady.windows]
    total_ns = sum(high - low for low, high in bounds)
    if total_ns <= 0:
        return None
    waits = spans_of(trace, MAIN, State.WAIT)
    transfers = spans_of(trace, MAIN, State.TRANSFER)
    steps = spans_of(trace, MAIN, State.STEP)
    wait, transfer, step = (
        sum(covered_ns(spans.start_ns, spans.end_ns, low, high) for low, high in bounds) / total_ns for spans in (waits, transfers, steps)
    )
    busy = device_spans(trace)
    gpu_busy = data_stall = other_idle = None
    bounds_with_device = [] if busy is None else _device_bounds(steady, busy)
    device_ns = sum(high - low for low, high in bounds_with_device)
    if busy is not None and device_ns > 0:
        gpu_busy = sum(covered_ns(busy.start_ns, busy.end_ns, low, high) for low, high in bounds_with_device) / device_ns
        stalled_ns = 0
        for low, high in bounds_with_device:
            idle = complement(busy.start_ns, busy.end_ns, low, high)
            starts, ends = intersection(idle, (waits.start_ns, waits.end_ns))
            stalled_ns += int(np.sum(ends - starts))
        data_stall = stalled_ns / device_ns
        other_idle = max(0.0, 1.0 - gpu_busy - data_stall)
    return Shares(wait, transfer, step, max(0.0, 1.0 - wait - transfer - step), gpu_busy, data_stall, other_idle)


def _device_bounds(steady: Steady, busy: SpanColumns) -> list[tuple[int, int]]:
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
    total_ns = sum(high - low for low, high in (window.host_bounds_ns for window in steady.windows))
    if not kind_of(consumer).is_simulated or not consumer.ms or total_ns <= 0:
        return None
    return min(1.0, steady.batches * consumer.ms * 1e6 / total_ns)
