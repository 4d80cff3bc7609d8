"""What the batches that workers send hold."""

import pytest
import synthetic
from rows import config_of, measure_trace

from loaderscope.agent.layout import State, tensors_and_bytes
from loaderscope.trace.model import batch_id

BATCHES = 40


def contents(values, workers=2, batches=BATCHES):
    """The figures of a trial in which batches held these (tensors, bytes), by number."""
    trace = synthetic.make_trace(batches=batches, num_workers=workers)
    for number, (tensors, size) in values.items():
        trace.points_of(trace.lanes[f"worker-{number % workers}"]).append(
            time_ns=[trace.newest_ns], state=[int(State.CONTENTS)], batch=[batch_id(0, number)], value=[tensors_and_bytes(tensors, size)]
        )
    row = measure_trace(trace, config_of(workers), batches)
    return row.batch_tensors, row.batch_bytes


def test_a_smaller_last_batch_does_not_count():
    assert contents(dict.fromkeys(range(BATCHES - 1), (3, 1000)) | {BATCHES - 1: (1, 10)}) == (3.0, 1000.0)


def test_batches_that_differ_give_a_mean():
    tensors, size = contents({number: (number % 2, 100 + number % 2) for number in range(BATCHES)})
    assert (tensors, size) == (pytest.approx(0.5), pytest.approx(100.5))


def test_without_a_steady_state_all_batches_count():
    assert contents({0: (1, 10), 1: (2, 30)}, batches=2) == (1.5, 20.0)


def test_what_was_sent_and_never_delivered_does_not_count():
    assert contents({0: (1, 10), 1: (1, 10), 2: (9, 999)}, batches=2) == (1.0, 10.0)


def test_nothing_is_told_where_nothing_was_recorded():
    assert contents({}) == (None, None)
    assert contents({}, workers=0) == (None, None)


def test_large_batches_keep_their_sizes():
    assert contents(dict.fromkeys(range(BATCHES), (4000000, 1 << 39))) == (4_000_000.0, float(1 << 39))
