"""The lanes that a trace can have, and the nesting depth on which a lane keeps each state.

The depth of a span depends on its state alone, not on which spans were open when it began. So a track holds the same states in
every trace, and a lost record cannot shift the spans after it.
"""

from __future__ import annotations

import functools

from loaderscope.agent.layout import DEVICE_PERIODS, State
from loaderscope.facts import lanes as facts
from loaderscope.facts.lanes import LaneFact
from loaderscope.trace.model import Lane

BRACKET_DEPTH = -1
"""Depth of EPOCH spans: they span everything else on the main lane, so timelines draw depths from 0 and so leave them out."""

OWN_DEPTH = -2
"""Depth of OWN spans, which overlap the others."""

LINE_DEPTH = -3
"""Depth of the sums for lines of the script, whose starts mean nothing."""

MAIN_LINE_DEPTH = -4
"""Depth of the lines in which main was seen; they overlap steps and what lies outside loaders."""

SAMPLER_CLASS_DEPTH = LOWEST_DEPTH = -5
"""Depth of the names of samplers, which last no time."""

IMPORT_DEPTH = 1
"""Depth of the outermost IMPORT. An import inside an import lies one level deeper."""

DEPTHS: dict[State, int] = {
    State.EPOCH: BRACKET_DEPTH,
    # inside ITERATOR
    State.START_WORKER: 1,
    State.PICKLE: 2,
    State.SERVER_START: 2,
    State.DEVICE_WAIT: 1,  # inside TRANSFER
    **dict.fromkeys(DEVICE_PERIODS.values(), 1),
    State.SAMPLER: 1,  # inside ITERATOR or WAIT
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
    State.MAIN_LINE: MAIN_LINE_DEPTH,
    State.SAMPLER_CLASS: SAMPLER_CLASS_DEPTH,
}
"""Depths of the states that are not always outermost."""

IN_MAIN_DEPTHS: dict[State, int] = {State.FETCH: 1, State.COLLATE: 1}
"""With 0 workers main is in these states inside its WAIT."""


def depth_of(state: State, in_main: bool) -> int:
    """Returns the depth for spans of a state, on the lane of a thread of main that iterates the loader, or on another one."""
    if in_main and state in IN_MAIN_DEPTHS:
        return IN_MAIN_DEPTHS[state]
    return DEPTHS.get(state, 0)


def lane_of(fact: LaneFact, number: int = 0) -> Lane:
    """Returns the lane of a row of `facts.lanes`; `number` chooses one where the row stands for a series of lanes."""
    return Lane(fact.key.format(number=number), fact.kind, fact.title.format(number=number), fact.order + number)


@functools.cache
def flight_lane(slot: int) -> Lane:
    """Returns the lane of a queue slot, for batches between a worker and the consumer."""
    return lane_of(facts.FLIGHT, slot)


@functools.cache
def worker_lane(worker: int) -> Lane:
    """Returns the lane of a worker (process or thread) over all epochs."""
    return lane_of(facts.WORKER, worker)


DEVICE_STEP_LANE = lane_of(facts.DEVICE_STEP)
DEVICE_STREAM_LANE = lane_of(facts.DEVICE_STREAM)
DEVICE_OVERLAP_LANE = lane_of(facts.DEVICE_OVERLAP)
DEVICE_TRANSFER_LANE = lane_of(facts.DEVICE_TRANSFER)
DEVICE_EXACT_LANE = lane_of(facts.DEVICE_EXACT)
MAIN_LANE = lane_of(facts.MAIN)
INNER_LANE = lane_of(facts.INNER_LOADER)
PIN_LANE = lane_of(facts.PIN)
SERVER_LANE = lane_of(facts.SERVER)
