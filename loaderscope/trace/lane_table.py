"""The lanes a trace can have, and on which nesting depth of its lane each state is kept.

The depth of a span follows from its state alone, not from what happened to be open when it began: so a track holds the
same states in every trace, and a lost record cannot shift what comes after it.
"""

from __future__ import annotations

import functools

from loaderscope.agent.layout import State
from loaderscope.trace.model import Lane

BRACKET_DEPTH = -1
"""Depth of EPOCH spans: they span everything else on the main lane, so timelines that draw depths from 0 leave them out."""

OWN_DEPTH = -2
"""Depth of OWN spans, which overlap the others."""

LINE_DEPTH = LOWEST_DEPTH = -3
"""Depth of the sums for lines of the script, whose starts mean nothing."""

IMPORT_DEPTH = 1
"""Depth of the outermost IMPORT; imports made by an import lie deeper, one by one."""

DEPTHS: dict[State, int] = {
    State.EPOCH: BRACKET_DEPTH,
    # inside ITERATOR
    State.START_WORKER: 1,
    State.PICKLE: 2,
    State.SERVER_START: 2,
    # inside WAIT
    State.RECEIVE: 1,
    State.DESERIALISE: 1,
    State.SHUTDOWN: 1,
    # beside the worker's own work: by the feeder thread of its result queue
    State.SERIALISE: 1,
    State.TRANSMIT: 1,
    State.OWN: OWN_DEPTH,
    State.LINE: LINE_DEPTH,
    State.LINE_IMPORTS: LINE_DEPTH,
}
"""Depths of the states that are not always outermost."""

IN_MAIN_DEPTHS: dict[State, int] = {State.FETCH: 1, State.COLLATE: 1}
"""With 0 workers these lie inside WAIT on the main lane."""


def depth_of(state: State, in_main: bool) -> int:
    """The depth on which spans of a state are kept, on the main lane or on any other."""
    if in_main and state in IN_MAIN_DEPTHS:
        return IN_MAIN_DEPTHS[state]
    return DEPTHS.get(state, 0)


CPU_STEP = "step (CPU)"
"""Label of the step's lane where it is the script's own and no device is known."""


def step_lane(label: str) -> Lane:
    """The consumer's step where no device tells its busy periods: named for what it is, "step (CPU)" or "simulated step"."""
    return Lane("step", "device", label, 2)


@functools.cache
def flight_lane(slot: int) -> Lane:
    """Batches between a worker and the consumer, one lane a queue slot."""
    return Lane(f"flight-{slot}", "flight", f"in flight {slot}", 10_000 + slot)


@functools.cache
def worker_lane(worker: int) -> Lane:
    """A worker, process or thread, over all epochs."""
    return Lane(f"worker-{worker}", "worker", f"worker {worker}", 100 + worker)


DEVICE_STEP_LANE = Lane("device-step", "device", "GPU step", 0)
DEVICE_TRANSFER_LANE = Lane("device-transfer", "device", "GPU transfer", 1)
DEVICE_EXACT_LANE = Lane("device-exact", "device", "GPU (exact window)", 3)
MAIN_LANE = Lane("main", "main", "main", 10)
PIN_LANE = Lane("pin", "pin", "pin memory", 11)
SERVER_LANE = Lane("forkserver", "worker", "forkserver", 90)
