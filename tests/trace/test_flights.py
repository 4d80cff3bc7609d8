"""Batches on their way, from hand-made spans."""

import numpy as np
import pytest

from loaderscope.agent.layout import State
from loaderscope.trace.batch_flight import FlightTracker
from loaderscope.trace.model import Trace, batch_id

EPOCH = batch_id(1, 0)


def spans(flights, *rows):
    """Spans as (state, end, batch)."""
    state, end_ns, batch = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    flights.add_spans(state, end_ns, batch, np.zeros(len(rows), np.int64))


@pytest.mark.parametrize("horizons", [(1000,), (25, 45, 1000)], ids=["read at once", "read as it grows"])
def test_the_ends_of_an_iterable_dataset_are_no_ready_batches(horizons):
    trace = Trace()
    flights = FlightTracker(trace)
    for first, epoch in ((0, 0), (100, EPOCH)):
        # two workers send a batch each, and then that their part of the dataset is at its end
        spans(flights, *((State.TRANSMIT, first + 10 * (number + 1), epoch + number) for number in range(4)))
        spans(flights, (State.WAIT, first + 12, epoch), (State.WAIT, first + 22, epoch + 1), (State.WAIT, first + 50, -1))
        flights.add_points(*(np.array([value], np.int64) for value in (State.ARRIVE, first + 31, epoch + 2)))
    for horizon_ns in horizons:
        flights.advance(horizon_ns)
    columns = trace.series["queue_depth"][1].view()
    depth = dict(zip(columns["time_ns"].tolist(), columns["value"].tolist(), strict=True))
    assert depth[12] == depth[22] == 0
    assert depth[50] == depth[150] == 0
    assert min(depth.values()) == 0 and max(depth.values()) <= 2


@pytest.mark.parametrize("horizons", [(1000,), (21, 1000)], ids=["read at once", "read as it grows"])
def test_a_batch_that_main_had_before_its_worker_noted_the_sending_does_not_stay_ready(horizons):
    trace = Trace()
    flights = FlightTracker(trace)
    flights.add_points(*(np.array(column, np.int64) for column in ([State.INDEX_PUT] * 3, [1, 2, 3], [0, 1, 2])))
    spans(flights, (State.TRANSMIT, 10, 0), (State.TRANSMIT, 22, 1), (State.TRANSMIT, 30, 2))
    spans(flights, (State.WAIT, 12, 0), (State.WAIT, 20, 1), (State.WAIT, 40, 2))
    for horizon_ns in horizons:
        flights.advance(horizon_ns)
    assert depths(trace)[40] == 0
    assert max(depths(trace).values()) == 1


@pytest.mark.parametrize("horizons", [(1000,), (35, 115, 1000)], ids=["read at once", "read as it grows"])
def test_batches_of_an_epoch_that_main_left_do_not_stay_ready(horizons):
    trace = Trace()
    flights = FlightTracker(trace)
    spans(flights, *((State.TRANSMIT, 10 * (number + 1), number) for number in range(3)), (State.WAIT, 12, 0))
    spans(flights, (State.TRANSMIT, 110, EPOCH), (State.WAIT, 112, EPOCH), (State.TRANSMIT, 120, EPOCH + 1))
    for horizon_ns in horizons:
        flights.advance(horizon_ns)
    assert depths(trace)[30] == 2
    assert depths(trace)[112] == 0
    assert depths(trace)[120] == 1


def depths(trace):
    """How many batches lay ready, by time."""
    columns = trace.series["queue_depth"][1].view()
    return dict(zip(columns["time_ns"].tolist(), columns["value"].tolist(), strict=True))
