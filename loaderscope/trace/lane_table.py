"""The lanes a trace can have, and on which nesting depth of its lane each state is kept.

The depth of a span follows from its state alone, not from what happened to be open when it began: so a track holds the
same states in every trace, and a lost record cannot shift what comes after it.
"""

from __future__ import annotations

import functools

from loaderscope.agent.layout import State
from loaderscope.facts import lanes as facts
from loaderscope.facts.lanes import LaneFact
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


def lane_of(fact: LaneFact, number: int = 0) -> Lane:
    """A lane of the table, or one of a series of lanes."""
    return Lane(fact.key.format(number=number), fact.kind, fact.title.format(number=number), fact.order + number)


@functools.cache
def flight_lane(slot: int) -> Lane:
    """Batches between a worker and the consumer, one lane a queue slot."""
    return lane_of(facts.FLIGHT, slot)


@functools.cache
def worker_lane(worker: int) -> Lane:
    """A worker, process or thread, over all epochs."""
    return lane_of(facts.WORKER, worker)


DEVICE_STEP_LANE = lane_of(facts.DEVICE_STEP)
DEVICE_TRANSFER_LANE = lane_of(facts.DEVICE_TRANSFER)
DEVICE_EXACT_LANE = lane_of(facts.DEVICE_EXACT)
MAIN_LANE = lane_of(facts.MAIN)
PIN_LANE = lane_of(facts.PIN)
SERVER_LANE = lane_of(facts.SERVER)
