"""Shares per column against a slow reference that looks at every span."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaderscope.gui.timeline.data.level_of_detail import TrackIndex, stack_heights
from loaderscope.gui.timeline.data.outliers import OUTLIER_FACTOR
from loaderscope.gui.timeline.data.strips import Strip, drawn_spans, filled_ns
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS

ORIGIN = 1_700_000_000_000_000_000  # as large as epoch nanoseconds: doubles would be off by hundreds
STATES = (28, 30, 31)


def columns_of(spans):
    columns = Columns(SPAN_COLUMNS)
    append(columns, spans)
    return columns


def append(columns, spans):
    if spans:
        start, end, state = (list(values) for values in zip(*spans, strict=True))
        columns.append(start_ns=start, end_ns=end, state=state, batch=[0] * len(spans), value=[0] * len(spans))


def reference_busy(spans, edges, state):
    return [
        sum(max(0, min(end, high) - max(start, low)) for start, end, kind in spans if kind == state)
        for low, high in itertools.pairwise(edges)
    ]


@st.composite
def span_lists(draw, longest=40):
    parts = draw(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 400), st.sampled_from(STATES)), max_size=longest))
    spans, now = [], ORIGIN
    for gap, length, state in parts:
        now += gap
        spans.append((now, now + length, state))
        now += length
    return spans


@st.composite
def edge_lists(draw):
    steps = draw(st.lists(st.integers(0, 300), min_size=1, max_size=30))
    return np.cumsum([ORIGIN + draw(st.integers(-500, 5000)), *steps], dtype=np.int64)


@given(span_lists(), edge_lists())
@settings(max_examples=250, deadline=None)
def test_busy_time_of_every_column_is_exact(spans, edges):
    index = TrackIndex(columns_of(spans))
    busy = index.busy_ns(edges, STATES)
    for state in STATES:
        expected = reference_busy(spans, edges.tolist(), state)
        assert busy.get(state, np.zeros(len(expected))).tolist() == expected


@given(st.lists(span_lists(12), min_size=2, max_size=5), edge_lists())
@settings(max_examples=80, deadline=None)
def test_a_track_that_grew_answers_like_one_that_was_whole(parts, edges):
    spans, shift = [], 0
    columns = Columns(SPAN_COLUMNS)
    index = TrackIndex(columns)
    for part in parts:
        moved = [(start + shift, end + shift, state) for start, end, state in part]
        append(columns, moved)
        assert index.update() == bool(moved)
        spans += moved
        shift = max([shift, *(end - ORIGIN for _, end, _ in spans)])
    whole = TrackIndex(columns_of(spans))
    for state in STATES:
        zeros = np.zeros(len(edges) - 1, np.int64)
        assert np.array_equal(index.busy_ns(edges, STATES).get(state, zeros), whole.busy_ns(edges, STATES).get(state, zeros))
    assert index.update() is False


@given(span_lists(), st.integers(0, 3000), st.integers(0, 3000))
@settings(max_examples=150, deadline=None)
def test_rows_between_are_those_that_touch_the_range(spans, first, second):
    low, high = ORIGIN + min(first, second), ORIGIN + max(first, second) + 1
    index = TrackIndex(columns_of(spans))
    begin, end = index.rows_between(low, high)
    found = {row for row in range(begin, end) if spans[row][1] > spans[row][0]}
    assert found == {row for row, (a, b, _) in enumerate(spans) if b > a and b > low and a < high}


@given(st.integers(1, 6), st.integers(1, 30), st.data())
@settings(max_examples=200, deadline=None)
def test_stacked_heights_fit_and_show_every_state_that_is_there(count, height, data):
    raw = np.array(data.draw(st.lists(st.lists(st.floats(0, 1), min_size=8, max_size=8), min_size=count, max_size=count)))
    shares = raw / np.maximum(raw.sum(axis=0), 1.0)
    heights = stack_heights(shares, height)
    assert heights.shape == shares.shape
    assert heights.min() >= 0
    assert heights.sum(axis=0).max() <= height
    if count <= height:
        assert (heights[shares >= 0.002] >= 1).all()


def test_several_stacks_at_once_are_each_as_high_as_their_own():
    random = np.random.default_rng(3)
    shares = random.dirichlet([0.05, 1, 1, 1], (5, 40)).transpose(2, 0, 1)[:3]
    tall = np.array([[3], [30], [11], [30], [7]])
    together = stack_heights(shares, tall)
    for number in range(5):
        assert np.array_equal(together[:, number], stack_heights(shares[:, number], int(tall[number, 0])))


def test_full_columns_are_filled_to_the_top():
    assert stack_heights(np.array([[0.5, 1.0], [0.5, 0.0]]), 20).tolist() == [[10, 20], [10, 0]]


@pytest.mark.parametrize("count", [500, 30_000, 400_000])
def test_busy_time_is_exact_on_long_tracks_and_while_they_grow(count):
    """Frequent and rare states, few and many rows between two edges: each is summed in its own way."""
    random = np.random.default_rng(count)
    lengths, gaps = random.integers(0, 5000, (2, count))
    end = ORIGIN + np.cumsum(lengths + gaps)
    state = random.choice([28, 30, 31, 7], count, p=[0.5, 0.3, 0.199, 0.001])
    columns = Columns(SPAN_COLUMNS)
    index = TrackIndex(columns)
    zeros = np.zeros(count, np.int64)
    for part in np.array_split(np.arange(count), 3):
        columns.append(start_ns=(end - lengths)[part], end_ns=end[part], state=state[part], batch=zeros[part], value=zeros[part])
        index.update()
        known = slice(0, part[-1] + 1)
        for low, high, steps in (
            (ORIGIN - 9, end[-1] + 9, 1000),
            (end[count // 5], end[count // 5 + 20], 50),
            (end[count // 4], end[-1], 1),
        ):
            edges = np.linspace(low, high, steps + 1).astype(np.int64)
            busy = index.busy_ns(edges, (28, 30, 31, 7, 99))
            for number in (28, 30, 31, 7):
                mine = state[known] == number
                if not mine.any():
                    assert number not in busy
                    continue
                starts, ends = (end - lengths)[known][mine], end[known][mine]
                # the time before t is that of all spans that began before it, less what of the last one lies behind it
                began = np.searchsorted(starts, edges, "right")
                before = np.concatenate(([0], np.cumsum(ends - starts)))[began]
                before -= np.where(began > 0, np.maximum(ends[np.maximum(began - 1, 0)] - edges, 0), 0)
                assert np.array_equal(busy.get(number, np.zeros(steps)), np.diff(before))
                assert index.busy_between_ns(int(edges[1]), int(edges[-1]), (number,)) == before[-1] - before[1]
            both = sum(int(busy[number].sum()) for number in (28, 30) if number in busy)
            assert index.busy_between_ns(int(edges[0]), int(edges[-1]), (28, 30)) == both
            assert 99 not in busy


def test_one_long_stall_among_many_is_found():
    spans = [(ORIGIN + i * 100, ORIGIN + i * 100 + 90, 28) for i in range(5000)]
    stall = (spans[-1][1], spans[-1][1] + 90 * int(OUTLIER_FACTOR + 1), 28)
    after = [(stall[1] + i * 100, stall[1] + i * 100 + 90, 28) for i in range(5000)]
    index = TrackIndex(columns_of([*spans, stall, *after]))
    whole = (ORIGIN, after[-1][1])
    assert index.outliers((28,), *whole).tolist() == [5000]
    assert index.outliers((28,), ORIGIN, spans[-1][0]).tolist() == []
    assert index.outliers((30,), *whole).tolist() == []
    assert index.outliers((28,), *whole, longer_than_ns=90 * OUTLIER_FACTOR + 90).tolist() == []
    assert index.outliers((28,), *whole, most_ns=90 * OUTLIER_FACTOR).tolist() == []


def test_a_stall_that_comes_later_is_found_too():
    columns = columns_of([(ORIGIN + i * 100, ORIGIN + i * 100 + 90, 28) for i in range(1000)])
    index = TrackIndex(columns)
    assert index.outliers((28,), ORIGIN, ORIGIN + 10**6).tolist() == []
    append(columns, [(ORIGIN + 100_000, ORIGIN + 101_000, 28)])
    index.update()
    assert index.outliers((28,), ORIGIN, ORIGIN + 10**6).tolist() == [1000]


def test_long_spans_that_are_the_rule_are_no_outliers():
    spans = [(ORIGIN + i * 1000, ORIGIN + i * 1000 + (900 if i % 3 == 0 else 10), 28) for i in range(3000)]
    assert TrackIndex(columns_of(spans)).outliers((28,), ORIGIN, spans[-1][1]).tolist() == []


def test_of_many_outliers_the_longest_are_told_apart():
    """One in 200 is long, each of them a little longer than the one before."""
    spans = [(ORIGIN + i * 1000, ORIGIN + i * 1000 + (200 + i // 200 if i % 200 == 0 else 10), 28) for i in range(20_000)]
    index = TrackIndex(columns_of(spans))
    rare_duration_ns = index.rare_duration_ns((28,), every_ns=2_000_000)
    found = index.outliers((28,), ORIGIN, spans[-1][1], longer_than_ns=rare_duration_ns)
    assert 5 <= len(found) <= 12
    assert found.min() > 17_000
    assert index.rare_duration_ns((30,), every_ns=2_000_000) == 0


def test_the_median_is_that_of_the_state():
    index = TrackIndex(columns_of([(0, 10, 28), (10, 30, 28), (30, 1000, 30), (1000, 1070, 28)]))
    assert index.median_ns(28) == 20
    assert index.median_ns(31) is None


def test_searching_does_not_cast_the_columns():
    """A float key would make NumPy copy the whole column for each search."""
    index = TrackIndex(columns_of([(0, 10, 28)]))
    assert index.start_ns.dtype == np.int64
    with pytest.raises(TypeError):
        index.busy_ns(None, (28,))


def strip_of(index, states, level=0):
    return Strip(index, tuple(states), 0.0, 20.0, level, 0.0, 20.0)


@given(st.lists(st.tuples(span_lists(), st.sets(st.sampled_from(STATES), min_size=1)), min_size=1, max_size=4), edge_lists())
@settings(max_examples=250, deadline=None)
def test_time_by_spans_of_several_strips_is_exact(lists, edges):
    """With gaps, spans of no length, equal edges, edges beside all spans, and strips that draw only some of the states."""
    strips = [strip_of(TrackIndex(columns_of(spans)), sorted(states)) for spans, states in lists]
    between = [strip.index.rows_between(int(edges[0]), int(edges[-1])) for strip in strips]
    levels, filled = filled_ns(drawn_spans(strips, between), len(strips), edges)
    for number, (strip, (spans, _)) in enumerate(zip(strips, lists, strict=True)):
        for level, state in enumerate(strip.states):
            expected = reference_busy(spans, edges.tolist(), state)
            found = filled[levels.index(level), number].tolist() if level in levels else [0] * len(expected)
            assert found == expected


@given(st.lists(span_lists(), min_size=1, max_size=3), edge_lists())
@settings(max_examples=100, deadline=None)
def test_nested_levels_and_both_ways_of_summing_agree(lists, edges):
    """Two strips of one track, each with the states of its level; by spans and by the cumulative times."""
    indexes = [TrackIndex(columns_of(spans)) for spans in lists]
    strips = [strip_of(index, states, level) for index in indexes for level, states in enumerate((STATES[:1], STATES[1:]))]
    between = [strip.index.rows_between(int(edges[0]), int(edges[-1])) for strip in strips]
    levels, filled = filled_ns(drawn_spans(strips, between), len(strips), edges)
    for number, strip in enumerate(strips):
        busy = strip.index.busy_ns(edges, strip.states)
        for level, state in enumerate(strip.states):
            expected = busy.get(state, np.zeros(len(edges) - 1, np.int64))
            found = filled[levels.index(level), number] if level in levels else np.zeros(len(edges) - 1)
            assert np.array_equal(found, expected)


def test_what_a_strip_does_not_draw_is_left_out():
    strip = strip_of(TrackIndex(columns_of([(0, 10, 28), (10, 30, 30), (30, 40, 3000), (40, 50, 31)])), (30, 31))
    spans = drawn_spans([strip, strip], [(0, 4), (3, 4)])
    assert spans.row.tolist() == [1, 3, 3]
    assert spans.strip.tolist() == [0, 0, 1]
    assert spans.state_index.tolist() == [0, 1, 1]


def test_the_limits_of_marks_are_those_of_the_outliers():
    """Spans above the limits are the same that a search for outliers finds."""
    random = np.random.default_rng(4)
    lengths = np.where(random.random(5000) < 0.005, random.integers(2000, 9000, 5000), random.integers(50, 150, 5000))
    end = ORIGIN + np.cumsum(lengths + 10)
    index = TrackIndex(columns_of(list(zip((end - lengths).tolist(), end.tolist(), [28, 30] * 2500, strict=True))))
    every_ns = 40_000.0
    limits = index.limits_ns((28, 30), every_ns)
    above = np.flatnonzero(lengths > np.where(index.state == 28, limits[0], limits[1]))
    found = index.outliers((28, 30), ORIGIN, int(end[-1]) + 1, longer_than_ns=index.rare_duration_ns((28, 30), every_ns))
    assert above.tolist() == found.tolist()
    assert 0 < len(above) < 25
