"""A timeline of a trace that stays in its file: sums first, then the rows in sight, as exact as those of a trace in memory."""

import json
import sqlite3

import numpy as np
import pytest
from support_session import make_run, make_trial_trace, record
from timeline_actions import HEIGHT, WIDTH

from loaderscope.agent.layout import State
from loaderscope.facts.recorded_use import ProcessUse
from loaderscope.gui.run.training_trace import TrainingTrace
from loaderscope.gui.timeline.data import rows_at_hand
from loaderscope.gui.timeline.data.range_statistics import survey
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.search_query import parse
from loaderscope.gui.timeline.data.span_query import neighbour, span_at
from loaderscope.gui.timeline.data.span_rows import list_spans
from loaderscope.gui.timeline.data.span_search import BEFORE_ALL, Search
from loaderscope.gui.timeline.data.stored_index import StoredIndex
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.session import trace_store
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS

SECOND = 10**9
LANE = "worker-1"
SPANS = 200_000
STATES = (State.FETCH, State.COLLATE, State.SEND)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.loaderscope"
    trace = make_trial_trace(1)
    duration_ns = np.random.default_rng(1).integers(80_000, 160_000, SPANS)
    end_ns = trace.origin_ns + np.cumsum(duration_ns + 20_000)
    columns = {"start_ns": end_ns - duration_ns, "end_ns": end_ns, "state": np.resize(STATES, SPANS)}
    trace.track(lane_table.worker_lane(1), 0).append(**columns, batch=np.arange(SPANS) // 3, value=np.zeros(SPANS))
    trace.newest_ns = int(end_ns[-1])
    writer = SessionWriter(path)
    record(writer, make_run(workers=(1,)), {0: trace})
    writer.close()
    return path


@pytest.fixture
def session(path):
    with SessionFile.open(path) as session:
        yield session


@pytest.fixture
def whole(session):
    return session.trace(0)


@pytest.fixture
def stored(session, monkeypatch):
    """The same trace, of which a track of 200,000 spans in half a minute stays in the file."""
    monkeypatch.setattr(trace_store, "ROWS_IN_MEMORY", 100_000)
    monkeypatch.setattr(rows_at_hand, "MOST_IN_SIGHT", 30_000)
    monkeypatch.setattr(rows_at_hand, "MOST_AT_HAND", 60_000)
    trace = session.trace(0)
    assert trace.is_stored
    return trace


def dense(scene):
    return scene.tracks(LANE)[-1]


def at_hand(scene, start_ns, end_ns):
    return all(index.is_at_hand(start_ns, end_ns) for index in scene.tracks(LANE))


@pytest.fixture
def timeline(qtbot):
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline


def picture(qtbot, timeline, trace, start_ns, end_ns):
    timeline.set_trace(trace, "a trial")
    qtbot.waitUntil(lambda: timeline.scene is not None)
    timeline.show_range(start_ns, end_ns)
    timeline.repaint()
    qtbot.waitUntil(lambda: at_hand(timeline.scene, start_ns, end_ns))
    return timeline.grab().toImage()


def test_sums_stand_for_spans_that_are_not_at_hand(whole, stored):
    exact, coarse = dense(Scene(whole)), dense(Scene(stored))
    assert isinstance(coarse, StoredIndex)
    assert coarse.states == exact.states
    assert len(coarse) == len(exact)
    edges = np.arange(whole.origin_ns >> 28, (whole.end_ns >> 28) + 2) << 28
    for state in STATES:
        assert coarse.count_of(state) == exact.count_of(state)
        assert (coarse.busy_ns(edges, STATES)[state] == exact.busy_ns(edges, STATES)[state]).all()
        first, last = int(edges[3]), int(edges[9])
        assert coarse.busy_between_ns(first, last, (state,)) == exact.busy_between_ns(first, last, (state,))
    within = np.linspace(edges[0], edges[-1], 300).astype(np.int64)
    difference = np.abs(coarse.busy_ns(within, STATES)[State.FETCH] - exact.busy_ns(within, STATES)[State.FETCH])
    assert difference.max() < 0.1 * np.diff(within).max()


def test_rows_at_hand_answer_as_those_of_a_trace_in_memory(whole, stored):
    low, high = whole.origin_ns + 9 * SECOND, whole.origin_ns + 11 * SECOND
    scene = Scene(stored)
    assert not at_hand(scene, low, high)
    scene.read(low, high)
    assert at_hand(scene, low, high)
    exact, index = dense(Scene(whole)), dense(scene)
    assert index.rows_between(low, high) == exact.rows_between(low, high)
    edges = np.linspace(low, high, 1000).astype(np.int64)
    for state in STATES:
        assert (index.busy_ns(edges, STATES)[state] == exact.busy_ns(edges, STATES)[state]).all()
    for name in ("start_ns", "batch", "value"):
        assert (
            getattr(index.part(*index.rows_between(low, high)), name) == getattr(exact.part(*exact.rows_between(low, high)), name)
        ).all()
    assert index.counts_between(low, high) == exact.counts_between(low, high)


def test_rows_that_are_not_at_hand_are_read_one_by_one(whole, stored):
    exact, index = dense(Scene(whole)), dense(Scene(stored))
    moment_ns = whole.origin_ns + 20 * SECOND
    assert index.row_from(moment_ns) == exact.row_from(moment_ns)
    assert index.rows_of_range(moment_ns, moment_ns + SECOND) == exact.rows_of_range(moment_ns, moment_ns + SECOND)
    assert [column.tolist() for column in index.part(77_000, 77_003)] == [column.tolist() for column in exact.part(77_000, 77_003)]
    assert [column.tolist() for column in index.first_of(State.SEND)] == [column.tolist() for column in exact.first_of(State.SEND)]


def test_outliers_are_those_of_all_spans_once_they_were_searched(path, monkeypatch, session, stored):
    slow = Columns(SPAN_COLUMNS)
    view = session.trace(0).tracks[LANE, 0].view()
    first_ns = int(view["start_ns"][100_001])
    shift_ns = np.where(view["start_ns"] > first_ns, 50 * 10**6, 0)
    slow.append(
        **{
            **view,
            "start_ns": view["start_ns"] + shift_ns,
            "end_ns": view["end_ns"] + np.where(view["start_ns"] >= first_ns, 50 * 10**6, 0),
        }
    )
    trace = session.trace(0)
    trace.tracks[LANE, 0] = slow
    trace.newest_ns += 50 * 10**6
    written = path.with_name("slow.loaderscope")
    writer = SessionWriter(written)
    record(writer, make_run(workers=(1,)), {0: trace})
    writer.close()
    with SessionFile.open(written) as opened:
        scene, in_memory = Scene(opened.trace(0)), Scene(trace)
        index, exact = dense(scene), dense(in_memory)
        whole_range = (STATES, trace.origin_ns, trace.end_ns)
        assert not len(index.outliers(*whole_range))
        scene.search_outliers()
        assert index.outliers(*whole_range).tolist() == exact.outliers(*whole_range).tolist() == [100_001]
        assert index.outlier_starts_ns(np.array([100_001])).tolist() == [first_ns]
        assert index.limits_ns(STATES, 1e9) == pytest.approx(exact.limits_ns(STATES, 1e9), rel=0.05)
        assert index.rare_duration_ns(STATES, 1e9) == exact.rare_duration_ns(STATES, 1e9)


def test_what_to_read_is_the_view_with_room_beside_it_if_it_has_few_rows(stored):
    scene = Scene(stored)
    middle_ns = (stored.origin_ns + stored.end_ns) // 2
    assert scene.range_to_read(stored.origin_ns, stored.end_ns) is None
    low, high = scene.range_to_read(middle_ns, middle_ns + SECOND)
    assert (middle_ns - low, high - middle_ns) == (SECOND, 2 * SECOND)
    scene.read(middle_ns, middle_ns + SECOND)
    assert scene.range_to_read(middle_ns, middle_ns + SECOND) is None
    assert scene.range_to_read(middle_ns + SECOND // 2, middle_ns + 3 * SECOND // 2) is None
    assert scene.range_to_read(middle_ns + SECOND, middle_ns + 2 * SECOND) is not None
    narrow = scene.range_to_read(middle_ns, middle_ns + 4 * SECOND)
    assert rows_at_hand.estimated_rows(stored, *narrow) <= rows_at_hand.MOST_AT_HAND


def test_a_view_looks_as_if_the_trace_were_in_memory(qtbot, timeline, whole, stored):
    for start_ns, end_ns in ((9 * SECOND, 11 * SECOND), (12 * SECOND, 12 * SECOND + 10**7)):
        sight = whole.origin_ns + start_ns, whole.origin_ns + end_ns
        assert picture(qtbot, timeline, stored, *sight) == picture(qtbot, timeline, whole, *sight)


def test_a_figure_reads_what_it_shows(qtbot, whole, stored):
    sight = whole.origin_ns + 9 * SECOND, whole.origin_ns + 11 * SECOND
    from_memory, from_file = (timeline_figure(trace, range_ns=sight).image(1.0) for trace in (whole, stored))
    assert from_file == from_memory


def test_spans_are_pointed_at_and_stepped_through(whole, stored):
    low = whole.origin_ns + 9 * SECOND
    scene, in_memory = Scene(stored), Scene(whole)
    scene.read(low, low + SECOND)
    span = span_at(in_memory, LANE, low + SECOND // 2, 10**6)
    assert span_at(scene, LANE, low + SECOND // 2, 10**6) == span
    for step in (1, -1):
        assert neighbour(scene, span, step) == neighbour(in_memory, span, step)


def test_a_search_finds_the_same_spans(whole, stored):
    query = parse("batch 12345", {}, {})
    searches = [Search(Scene(trace), query) for trace in (whole, stored)]
    for search in searches:
        assert search.advance()
    first = [search.next_hit(BEFORE_ALL) for search in searches]
    assert first[0] is not None
    assert first[0] == first[1]
    assert searches[0].count == searches[1].count
    edges = np.linspace(whole.origin_ns, whole.end_ns, 400).astype(np.int64)
    assert any(columns.any() for _, columns in searches[1].hits_in_sight(LANE, edges))


def test_spans_are_listed_though_they_are_not_at_hand(whole, stored):
    low = whole.origin_ns + 9 * SECOND
    listings = [list_spans(Scene(trace), low, low + SECOND) for trace in (whole, stored)]
    assert len(listings[0]) > 5_000
    for name in ("row", "start_ns", "duration_ns", "state", "batch"):
        assert (getattr(listings[0], name) == getattr(listings[1], name)).all()
    assert listings[1].span(77) == listings[0].span(77)


def test_statistics_of_a_long_range_come_from_the_sums(whole, stored):
    edges = (whole.origin_ns >> 28 << 28, (whole.end_ns >> 28) + 1 << 28)
    of_memory, of_file = ({(one.filled.lane, one.track, one.filled.state): one for one in survey(Scene(trace), *edges).statistics()}
                          for trace in (whole, stored))  # fmt: skip
    assert of_file.keys() == of_memory.keys()
    for key, exact in of_memory.items():
        one = of_file[key]
        assert (one.count, one.filled.total_ns) == (exact.count, exact.filled.total_ns)
        assert one.mean_ns == pytest.approx(exact.mean_ns)
        assert (one.longest is None, one.p95_ns is None) == (key[0] == LANE,) * 2


def damage(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE chunk SET data = zeroblob(99) WHERE owner = (SELECT id FROM lane WHERE key = ?)", (LANE,))
    connection.close()


def test_a_damaged_chunk_is_told_in_place_of_the_timeline(qtbot, timeline, path, stored):
    damage(path)
    timeline.set_trace(stored)
    qtbot.waitUntil(lambda: timeline.scene is not None)
    timeline.show_range(stored.origin_ns + 9 * SECOND, stored.origin_ns + 10 * SECOND)
    qtbot.waitUntil(lambda: "damaged" in timeline.preparing)
    assert timeline.scene is None


def test_a_question_about_damaged_rows_is_answered_by_none(path, stored):
    damage(path)
    scene = Scene(stored)
    assert list_spans(scene, stored.origin_ns + 9 * SECOND, stored.origin_ns + 10 * SECOND).is_whole
    assert "damaged" in scene.problem


@pytest.fixture
def thinned(path, stored):
    """The same trace after its file lost the second of the track's four chunks; its sums are still there."""
    first_ns, last_ns = stored.tracks[LANE, 0].starts_ns[1:3].tolist()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM chunk WHERE id = ?", (int(stored.tracks[LANE, 0].numbers[1]),))
        head = json.loads(connection.execute("SELECT trace FROM trial WHERE id = 0").fetchone()[0])
        head["thinned_ns"] = [[first_ns, last_ns]]
        connection.execute("UPDATE trial SET trace = ? WHERE id = 0", (json.dumps(head),))
    connection.close()
    with SessionFile.open(path) as session:
        yield session.trace(0)


def test_sums_stand_for_thinned_spans_and_the_others_are_exact(whole, thinned):
    scene, exact = Scene(thinned), dense(Scene(whole))
    ((first_ns, last_ns),) = thinned.thinned_ns
    low, high = last_ns - SECOND, last_ns + SECOND
    scene.read(low, high)
    index = dense(scene)
    assert len(index) < len(exact)
    assert index.count_of(State.FETCH) == exact.count_of(State.FETCH)
    assert not index.is_at_hand(low, high)
    assert index.is_at_hand(last_ns, high)
    edges = np.arange(low >> 28, (high >> 28) + 1) << 28
    whole_buckets = exact.busy_ns(edges, STATES)
    for state in STATES:
        assert (index.busy_ns(edges, STATES)[state][:-1] == whole_buckets[state][:-1]).all()
    fine = np.linspace(last_ns, high, 500).astype(np.int64)
    assert (index.busy_ns(fine, STATES)[State.FETCH] == exact.busy_ns(fine, STATES)[State.FETCH]).all()
    assert index.busy_between_ns(first_ns, low, STATES) == pytest.approx(exact.busy_between_ns(first_ns, low, STATES), rel=0.02)


def test_a_thinned_track_with_few_rows_has_its_sums_too(thinned, path, monkeypatch):
    monkeypatch.setattr(trace_store, "ROWS_IN_MEMORY", 10**9)
    with SessionFile.open(path) as session:
        assert isinstance(dense(Scene(session.trace(0))), StoredIndex)


def test_nothing_is_pointed_at_where_spans_were_thinned(thinned):
    scene = Scene(thinned)
    ((first_ns, _),) = thinned.thinned_ns
    scene.read(first_ns + SECOND, first_ns + 2 * SECOND)
    assert span_at(scene, LANE, first_ns + 3 * SECOND // 2, 10**6) is None
    shares = {
        one.filled.state: one for one in survey(scene, first_ns + SECOND, first_ns + 2 * SECOND).statistics() if one.filled.lane == LANE
    }
    assert shares[State.FETCH].count > 1_000
    assert shares[State.FETCH].longest is None


def test_thinned_ranges_have_a_ground_of_their_own(qtbot, timeline, whole):
    sight = whole.origin_ns + SECOND, whole.origin_ns + 3 * SECOND
    plain = picture(qtbot, timeline, whole, *sight)
    whole.thinned_ns = ((whole.origin_ns, whole.origin_ns + 2 * SECOND),)
    thinned = picture(qtbot, timeline, whole, *sight)
    y, left, width = HEIGHT - 3, timeline.lane_layout.label_width, timeline.lane_layout.plot_width
    assert thinned.pixel(left + width // 4, y) != plain.pixel(left + width // 4, y)
    assert thinned.pixel(left + 3 * width // 4, y) == plain.pixel(left + 3 * width // 4, y)


def test_a_growing_track_that_forgot_rows_is_indexed_anew(whole):
    scene = Scene(whole)
    before = dense(scene)
    whole.tracks[LANE, 0].forget(150_000)
    whole.version += 1
    scene.update()
    after = dense(scene)
    assert scene.forgotten_until_ns() == int(before.start_ns[150_000])
    assert len(after) == len(before) - 150_000
    assert after.start_ns[0] == before.start_ns[150_000]


def test_tracks_of_several_loaders_find_their_sums(whole, stored):
    merged = TrainingTrace()
    merged.add(0, "train.py:1", stored)
    merged.refresh()
    index = Scene(merged).tracks(f"0/{LANE}")[-1]
    assert isinstance(index, StoredIndex)
    assert index.count_of(State.FETCH) == dense(Scene(whole)).count_of(State.FETCH)


def test_exposed_loading_time_of_a_training_in_a_file_is_what_its_analysis_found(stored):
    merged = TrainingTrace()
    merged.add(0, "train.py:1", stored)
    merged.refresh()
    scene = Scene(merged)
    assert not scene.tells_exposed and scene.exposed() is None
    merged.process_use = ProcessUse(stored.origin_ns, 3.0, 2.0, 0.5, 1.0, [1.0, 1.0, 0.0])
    assert scene.tells_exposed and scene.exposed().seconds == 2.0
