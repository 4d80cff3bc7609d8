"""Sums of spans in buckets of time are those that a slow reference counts, in whatever pieces the spans come."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaderscope.trace.span_sums import (
    BLOCK_BUCKETS,
    BLOCK_SHIFT,
    SHIFTS,
    SUM_COLUMNS,
    SumLadder,
    TrackSpans,
    coarser,
    is_worth_bytes,
    merged,
    sums_within,
)

FINEST = SHIFTS[0]


@dataclasses.dataclass
class Burst:
    """Spans of a few states in turn, at equal distances."""

    count: int
    pause_ns: int
    duration_ns: int
    gap_ns: int
    states: list[int]


MANY = st.builds(
    Burst,
    st.integers(1, 600),
    st.integers(0, 2**26),
    st.integers(0, 2**22),
    st.integers(0, 2**18),
    st.lists(st.sampled_from([0, 3, 40, 101]), min_size=1, max_size=3),
)
LONG = st.builds(Burst, st.integers(1, 3), st.integers(0, 2**36), st.integers(2**20, 2**37), st.just(0), st.sampled_from([[3], [7, 3]]))
EXACT = st.builds(Burst, st.integers(1, 40), st.just(0), st.sampled_from([2**FINEST, 2 ** (FINEST + 4)]), st.just(0), st.just([3]))


def spans_of(bursts, start_ns):
    """Sorted spans that do not overlap."""
    rows, now = [], start_ns
    for burst in bursts:
        now += burst.pause_ns
        for number in range(burst.count):
            rows.append((now, now + burst.duration_ns, burst.states[number % len(burst.states)]))
            now += burst.duration_ns + burst.gap_ns
    start, end, state = zip(*rows, strict=True)
    return TrackSpans(np.array(start, np.int64), np.array(end, np.int64), np.array(state, np.uint16))


TRACKS = st.builds(
    spans_of, st.lists(st.one_of(MANY, LONG, EXACT), min_size=1, max_size=5), st.sampled_from([0, 2**FINEST, 12_345_678_901])
)


def slow_sums(spans, shift):
    """(bucket, state) to [busy ns, spans that begin], one bucket after another."""
    width, found = 1 << shift, collections.defaultdict(lambda: [0, 0])
    for start, end, state in zip(*(column.tolist() for column in spans), strict=True):
        found[start // width, state][1] += 1
        bucket = start // width
        while bucket * width < end:
            found[bucket, state][0] += min(end, (bucket + 1) * width) - max(start, bucket * width)
            bucket += 1
    return dict(found)


def as_dict(sums):
    assert {name: column.dtype for name, column in sums.items()} == {name: np.dtype(dtype) for name, dtype in SUM_COLUMNS.items()}
    keys = list(zip(sums["bucket"].tolist(), sums["state"].tolist(), strict=True))
    assert keys == sorted(set(keys))
    return dict(zip(keys, map(list, zip(sums["busy_ns"].tolist(), sums["begun"].tolist(), strict=True)), strict=True))


def parts_of(spans, cuts):
    edges = [0, *sorted({cut % len(spans.start_ns) for cut in cuts} - {0}), len(spans.start_ns)]
    return [TrackSpans(*(column[begin:end] for column in spans)) for begin, end in itertools.pairwise(edges)]


def blocks_of(spans, cuts=()):
    ladder, blocks = SumLadder(), []
    for part in parts_of(spans, cuts):
        blocks += ladder.add(part)
    blocks += ladder.finish()
    found = {(block.shift, block.number): as_dict(block.rows) for block in blocks}
    assert len(found) == len(blocks)
    return found


@settings(max_examples=120, deadline=None)
@given(TRACKS, st.sampled_from(SHIFTS), st.data())
def test_sums_over_any_aligned_range_are_the_sums_of_the_spans(spans, shift, data):
    expected = slow_sums(spans, shift)
    last = int(spans.end_ns[-1]) >> shift
    begin, end = sorted(data.draw(st.tuples(st.integers(0, last + 2), st.integers(0, last + 2))))
    found = as_dict(sums_within(spans, shift, begin << shift, end << shift))
    assert found == {key: row for key, row in expected.items() if begin <= key[0] < end}


@settings(max_examples=60, deadline=None)
@given(TRACKS, st.sampled_from(SHIFTS), st.lists(st.integers(0, 2**40), max_size=4))
def test_ranges_cut_anywhere_add_up_to_the_whole(spans, shift, cuts):
    edges = [0, *sorted(cuts), int(spans.end_ns[-1]) + 1]
    parts = [sums_within(spans, shift, begin, end) for begin, end in itertools.pairwise(edges) if begin < end]
    assert as_dict(merged(parts)) == slow_sums(spans, shift)


@settings(max_examples=120, deadline=None)
@given(TRACKS, st.lists(st.integers(0, 3000), max_size=6))
def test_blocks_hold_the_sums_of_the_spans_in_whatever_pieces_they_come(spans, cuts):
    expected = collections.defaultdict(dict)
    for shift in SHIFTS:
        for (bucket, state), row in slow_sums(spans, shift).items():
            expected[shift, bucket // BLOCK_BUCKETS][bucket, state] = row
    expected = {place: rows for place, rows in expected.items() if any(begun for _, begun in rows.values())}
    assert blocks_of(spans, cuts) == expected


@settings(max_examples=60, deadline=None)
@given(TRACKS, st.integers(0, 12))
def test_coarser_buckets_hold_what_the_finer_ones_do(spans, by):
    sums = sums_within(spans, FINEST, 0, int(spans.end_ns[-1]) + 1)
    assert as_dict(coarser(sums, by)) == slow_sums(spans, FINEST + by)


def test_a_block_is_given_as_soon_as_no_later_span_reaches_into_it():
    width = 1 << FINEST << BLOCK_SHIFT
    ladder = SumLadder()
    assert ladder.add(TrackSpans(*np.array([[5], [width + 9], [3]]))) == []
    (block,) = ladder.add(TrackSpans(*np.array([[width + 9], [width + 10], [3]])))
    assert (block.shift, block.number, block.rows["busy_ns"].sum()) == (FINEST, 0, width - 5)
    assert [(block.shift, block.number) for block in ladder.finish()] == [(FINEST, 1), *((shift, 0) for shift in SHIFTS[1:])]


@pytest.mark.parametrize(("duration_ns", "is_kept"), [(100_000, True), (100_000_000, False)])
def test_a_block_pays_where_its_rows_merge_many_spans(duration_ns, is_kept):
    spans = spans_of([Burst(2000, 0, duration_ns, 0, [3])], 0)
    ladder = SumLadder()
    finest = [block for block in ladder.add(spans) + ladder.finish() if block.shift == FINEST]
    assert {is_worth_bytes(block.rows) for block in finest} == {is_kept}
