"""Arithmetic on sets of intervals, against counting every single point."""

import numpy as np
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import complement, covered_ns, intersection, spans_of, union, worker_lanes

intervals = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=8).map(
    lambda pairs: (np.array([start for start, _ in pairs], np.int64), np.array([start + length for start, length in pairs], np.int64))
)


def points(starts, ends):
    return {point for start, end in zip(starts.tolist(), ends.tolist(), strict=True) for point in range(start, end)}


@given(intervals)
def test_a_union_has_the_same_points_once(pair):
    starts, ends = union(*pair)
    assert points(starts, ends) == points(*pair)
    assert (starts[1:] > ends[:-1]).all()


@given(intervals, intervals)
def test_an_intersection_has_the_points_of_both(first, second):
    starts, ends = intersection(first, second)
    assert points(starts, ends) == points(*first) & points(*second)
    assert (ends - starts).sum() == len(points(starts, ends))


@given(intervals, st.integers(0, 20), st.integers(0, 20))
def test_what_is_covered_and_what_is_free_make_up_the_window(pair, low, length):
    window = set(range(low, low + length))
    assert points(*complement(*pair, low, low + length)) == window - points(*pair)
    assert covered_ns(*pair, low, low + length) == len(window & points(*pair))


def test_spans_are_found_by_state_whatever_their_depth():
    trace = synthetic.make_trace(num_workers=2, batches=10)
    spans = spans_of(trace, "main", State.EPOCH, State.WAIT, State.DESERIALISE)
    assert sorted(set(spans.state.tolist())) == [State.WAIT, State.DESERIALISE, State.EPOCH]
    assert (np.diff(spans.start_ns) >= 0).all()
    assert not spans_of(trace, "main", State.PIN)
    assert not spans_of(trace, "nothing")


def test_workers_are_in_the_order_of_their_numbers():
    trace = synthetic.make_trace(num_workers=12, batches=30)
    assert list(worker_lanes(trace)) == list(range(12))
