"""What the pin-memory thread takes from the step: both run in one process, and Python's lock (GIL) lets one of them run at a time.

The thread computes while it unpickles a batch and copies it into pinned memory. Which of it holds the lock cannot be seen from
outside; that steps which it overlaps take longer than others can.
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
"""Of each kind, for their medians to be compared."""

_OVERLAPPED, _FREE = 0.5, 0.1
"""Parts of a step in which the pin thread computes, from which on and up to which it counts as overlapped and as free."""


class PinCost(NamedTuple):
    """Shares of the time of steps; `slowdown`: median of overlapped steps over that of free ones, None where one kind is rare."""

    step_share: float
    slowdown: float | None


def find_pin_cost(trace: Trace, steady: Steady) -> PinCost | None:
    """How the pin thread's processor time meets the steps of the steady state; None where nothing was pinned or stepped."""
    bounds = [window.host_bounds_ns for window in steady.windows]
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
    overlapped, free = duration_ns[share >= _OVERLAPPED], duration_ns[share <= _FREE]
    enough = min(len(overlapped), len(free)) >= MIN_STEPS
    slowdown = float(np.median(overlapped) / max(float(np.median(free)), 1.0)) if enough else None
    return PinCost(float(min(1.0, overlap_ns.sum() / duration_ns.sum())), slowdown)


def _computing_ns(pins: SpanColumns, steps: SpanColumns) -> npt.NDArray[np.float64]:
    """Processor time of the pin thread within each step. Its unpickling comes before its span, so that time is laid before it."""
    end_ns = pins.end_ns
    start_ns = np.minimum(pins.start_ns, end_ns - pins.value)
    start_ns = np.maximum(start_ns, np.concatenate((start_ns[:1], end_ns[:-1])))  # one batch after another
    length_ns = np.maximum(end_ns - start_ns, 1)
    # the time that was computed up to each moment grows evenly within a batch, and not at all between two
    edges = np.stack([start_ns, end_ns], axis=1).reshape(-1)
    done = np.cumsum(np.minimum(pins.value, length_ns)).astype(np.float64)
    computed = np.stack([np.concatenate(([0.0], done[:-1])), done], axis=1).reshape(-1)
    origin = int(edges[0])
    within: npt.NDArray[np.float64] = np.diff(
        [np.interp(times - origin, edges - origin, computed) for times in (steps.start_ns, steps.end_ns)], axis=0
    )[0]
    return within
