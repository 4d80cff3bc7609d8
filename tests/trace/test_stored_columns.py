"""Rows that stay in a file are found and read as those in memory are, by decoding few chunks."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaderscope.trace import stored_columns
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import POINT_COLUMNS, SPAN_COLUMNS
from loaderscope.trace.stored_columns import ChunkCache, StoredColumns


class Rows:
    """A source in memory that counts what it decodes."""

    def __init__(self, columns, cuts):
        self.view = columns.view()
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(columns)}), len(columns)]
        self.parts = list(itertools.pairwise(edges))
        self.read_numbers = []

    def read(self, requests):
        for number, _, _, into in requests:
            self.read_numbers.append(number)
            first, last = self.parts[number]
            for name, column in into.items():
                column[:] = self.view[name][first:last]

    def stored(self, dtypes):
        times = next(iter(self.view.values()))
        chunks = [(number, int(times[first]), last - first) for number, (first, last) in enumerate(self.parts)]
        end_ns = int(self.view["end_ns" if "end_ns" in dtypes else "time_ns"][-1])
        return StoredColumns(dtypes, ("main", 0), chunks, end_ns=end_ns, source=self, cache=ChunkCache())


@st.composite
def span_tables(draw):
    steps = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60))
    columns, now = Columns(SPAN_COLUMNS), 1000
    for number, (gap, length) in enumerate(steps):
        columns.append(start_ns=[now + gap], end_ns=[now + gap + length], state=[number % 3], batch=[number], value=[-number])
        now += gap + length
    return columns


cuts = st.lists(st.integers(1, 60), max_size=6)


@given(span_tables(), cuts, st.integers(990, 1400), st.integers(0, 80), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_rows_of_a_file_are_found_as_rows_in_memory(columns, cuts, start_ns, length_ns, first, last):
    stored = Rows(columns, cuts).stored(SPAN_COLUMNS)
    assert len(stored) == len(columns)
    assert stored.rows_touching(start_ns, start_ns + length_ns) == columns.rows_touching(start_ns, start_ns + length_ns)
    for side in ("left", "right"):
        assert stored.row_from(start_ns, side) == int(columns.view()["start_ns"].searchsorted(start_ns, side))
    for name, column in columns.rows(first, max(first, last)).items():
        assert (stored.rows(first, max(first, last))[name] == column).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), cuts, st.integers(990, 1100), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_points_of_a_file_are_found_as_points_in_memory(steps, cuts, start_ns, length_ns):
    columns = Columns(POINT_COLUMNS)
    columns.append(time_ns=1000 + np.cumsum(steps), state=[1] * len(steps), batch=range(len(steps)), value=[0] * len(steps))
    stored = Rows(columns, cuts).stored(POINT_COLUMNS)
    assert stored.rows_touching(start_ns, start_ns + length_ns) == columns.rows_touching(start_ns, start_ns + length_ns)


def regular(count):
    columns, starts = Columns(SPAN_COLUMNS), np.arange(count) * 10
    columns.append(start_ns=starts, end_ns=starts + 10, state=np.zeros(count), batch=starts, value=starts)
    return columns


def test_a_range_is_found_by_decoding_the_chunks_at_its_edges():
    rows = Rows(regular(1000), range(100, 1000, 100))
    stored = rows.stored(SPAN_COLUMNS)
    assert stored.rows_touching(2005, 7995) == (200, 800)
    assert sorted(rows.read_numbers) == [2, 7]
    stored.rows_touching(2105, 7895)
    assert sorted(rows.read_numbers) == [2, 7]  # they were cached


def test_estimates_decode_nothing_and_are_exact_at_the_starts_of_chunks():
    rows = Rows(regular(1000), range(100, 1000, 100))
    estimated = rows.stored(SPAN_COLUMNS).estimated_rows(np.array([-5, 0, 1000, 1500, 9000, 20_000]))
    assert estimated.tolist() == [0, 0, 100, 150, 900, 1000]
    assert not rows.read_numbers


def test_the_cache_keeps_no_more_than_its_bytes(monkeypatch):
    rows = Rows(regular(1000), range(100, 1000, 100))
    stored = rows.stored(SPAN_COLUMNS)
    monkeypatch.setattr(stored_columns, "CACHE_BYTES", 3 * 100 * 34)
    for row in (0, 100, 200, 300, 200, 100):
        stored.rows(row, row + 1)
    assert rows.read_numbers == [0, 1, 2, 3]
    stored.rows(0, 1)
    assert rows.read_numbers == [0, 1, 2, 3, 0]


def test_rows_in_a_file_do_not_grow():
    with pytest.raises(TypeError):
        Rows(regular(10), []).stored(SPAN_COLUMNS).append(start_ns=[0])


def test_forgotten_rows_leave_earlier_views_alone():
    columns = regular(100)
    before = columns.view()
    columns.forget(60)
    columns.append(start_ns=[1000], end_ns=[1010], state=[0], batch=[0], value=[0])
    first, view = columns.numbered_view()
    assert (first, columns.first_row, len(columns), len(view["start_ns"])) == (60, 60, 41, 41)
    assert view["start_ns"].tolist() == [*range(600, 1000, 10), 1000]
    assert before["start_ns"].tolist() == list(range(0, 1000, 10))
