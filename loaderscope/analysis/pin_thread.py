"""How much the pin-memory thread slows the step: both run in one process, and Python's lock (GIL) lets one of them run at a time.

The thread computes while it unpickles a batch and copies it into pinned memory. Nothing outside shows when it holds the lock, but
the steps that it overlaps can be compared with the others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.span_lookup import SpanColumns, spans_of
from loaderscope.analysis.startup.first_batch import PIN_LANE
from loaderscope.analysis.steady import Steady
from loaderscope.trace.model import Trace

MIN_STEPS = 10
"""Fewest overlapped steps, and fewest free ones, whose medians are compared."""

_OVERLAPPED_FROM_SHARE, _FREE_UP_TO_SHARE = 0.5, 0.1
"""A step is overlapped if the pin thread computes in at least the first share of it, and free if in at most the second."""


class PinCost(NamedTuple):
    """`step_share`: pin thread's processor time over the time of steps; `slowdown`: median overlapped over median free step, or None."""

    step_share: float
    slowdown: float | None


def find_pin_cost(trace: Trace, steady: Steady) -> PinCost | None:
    """Compares the pin thread's processor time with the steps of the steady state; None if there are no steps or no pinned batches."""
    bounds = steady.host_bounds_ns
    pins = spans_of(trace, PIN_LANE, State.PIN)
    pins = pins.pick(pins.value > 0)
    steps = spans_of(trace, MAIN, State.STEP)
    inside = np.zeros(steps.size, np.bool_)
    for low, high in bounds:
        inside |= (steps.start_ns >= low) & (steps.end_ns <= high)
    steps = steps.pick(inside)
    duration_ns = steps.end_ns - steps.start_ns
    if not pins or not steps or not duration_ns.sum():
        return None
    overlap_ns = _computing_ns(pins, steps)
    share = overlap_ns / np.maximum(duration_ns, 1)
    overlapped, free = duration_ns[share >= _OVERLAPPED_FROM_SHARE], duration_ns[share <= _FREE_UP_TO_SHARE]
    enough = min(len(overlapped), len(free)) >= MIN_STEPS
    slowdown = float(np.median(overlapped) / max(float(np.median(free)), 1.0)) if enough else None
    return PinCost(float(min(1.0, overlap_ns.sum() / duration_ns.sum())), slowdown)


def _computing_ns(pins: SpanColumns, steps: SpanColumns) -> npt.NDArray[np.float64]:
    """Returns the pin thread's processor time within each step. It unpickles before its span, so part of the time lies before it."""
    end_ns = pins.end_ns
    start_ns = np.minimum(pins.start_ns, end_ns - pins.value)
    start_ns = np.maximum(start_ns, np.concatenate((start_ns[:1], end_ns[:-1])))  # one batch after another
    length_ns = np.maximum(end_ns - start_ns, 1)
    # computed time grows evenly within a batch, and not at all between two batches
    edges = np.stack([start_ns, end_ns], axis=1).reshape(-1)
    done = np.cumsum(np.minimum(pins.value, length_ns)).astype(np.float64)
    computed = np.stack([np.concatenate(([0.0], done[:-1])), done], axis=1).reshape(-1)
    origin = int(edges[0])
    within: npt.NDArray[np.float64] = np.diff(
        [np.interp(times - origin, edges - origin, computed) for times in (steps.start_ns, steps.end_ns)], axis=0
    )[0]
    return within
