"""A long recording stays within its size: older spans become exact sums, and what matters stays whole."""

import sqlite3

import numpy as np
import pytest
from support_session import config_of, make_run, result_of

from loaderscope.agent.layout import State
from loaderscope.facts.run import PlannedTrial
from loaderscope.session import schema, session_writer, sums_table, thinning, trace_store
from loaderscope.session.file import SessionFile, SessionWriter
from loaderscope.session.thinning import merge_intervals
from loaderscope.trace import lane_table
from loaderscope.trace.batch_flight import QUEUE_DEPTH
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS, Trace, TrackKey
from loaderscope.trace.span_sums import TrackSpans, sums_within

SECOND = 10**9
ORIGIN = 5_000 * SECOND
SHIFT = 24
SECONDS, RATE = 240, 1_000
KEPT_BYTES = 2_500_000
"""Main and a worker have 8 spans in a row of their sums: enough to thin them, too few for sums beside the spans."""
SLOW_S, MARK_S = 60, 120
MAIN, WORKER, SPARSE = TrackKey("main", 0), TrackKey("worker-0", 0), TrackKey("main", lane_table.BRACKET_DEPTH)


@pytest.fixture(scope="module", autouse=True)
def short_cells():
    """Cells of 17 s, so that minutes are a long recording, and a commit at each growth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "THIN_SHIFT", SHIFT)
        patch.setattr(thinning, "CELL_SHIFT", SHIFT + thinning.BLOCK_SHIFT)
        patch.setattr(thinning, "NEWEST_NS", SECOND)
        patch.setattr(thinning, "SLOWEST", 2)
        patch.setattr(session_writer, "COMMIT_EVERY_S", 0.0)
        yield


class Feed:
    """Makes a second of spans of main and a worker at a time, and remembers all of them."""

    def __init__(self, trace):
        self.trace, self.random = trace, np.random.default_rng(1)
        self.all = {MAIN: Columns(SPAN_COLUMNS), WORKER: Columns(SPAN_COLUMNS)}
        trace.origin_ns = ORIGIN

    def second(self, number):
        lanes = ((MAIN, lane_table.MAIN_LANE, (State.WAIT, State.STEP)), (WORKER, lane_table.worker_lane(0), (State.FETCH, State.COLLATE)))
        for key, lane, states in lanes:
            lengths = self.random.exponential(1.0, RATE)
            edges = ORIGIN + number * SECOND + np.append(0, np.cumsum(lengths) / lengths.sum() * SECOND).astype(np.int64)
            start_ns, end_ns, state = edges[:-1], edges[1:] - 1000, np.resize(np.array(states), RATE)
            if number == SLOW_S:
                start_ns, end_ns, state = (np.array([value]) for value in (edges[0], edges[-1] - 1000, states[0]))
            columns = {"start_ns": start_ns, "end_ns": np.maximum(start_ns, end_ns), "state": state, "value": np.zeros(len(state))}
            columns["batch"] = number * RATE + np.arange(len(state))
            for track in (self.trace.track(lane, 0), self.all[key]):
                track.append(**columns)
            self.trace.points_of(lane).append(time_ns=start_ns, state=np.full(len(state), State.SAMPLE), batch=start_ns, value=start_ns)
        self.trace.series_of(QUEUE_DEPTH).append(time_ns=start_ns, value=np.zeros(len(start_ns)))
        if number % 10 == 0:
            begin_ns = ORIGIN + number * SECOND
            self.trace.track(lane_table.MAIN_LANE, lane_table.BRACKET_DEPTH).append(
                start_ns=[begin_ns], end_ns=[begin_ns + 10 * SECOND], state=[State.EPOCH], batch=[-1], value=[RATE]
            )
        self.trace.newest_ns = ORIGIN + (number + 1) * SECOND
        self.trace.version += 1


def record(path, keep_bytes, *, trials=1):
    run = make_run(workers=(1,) * trials)
    writer = SessionWriter(path, keep_bytes=keep_bytes)
    writer.run_started(run)
    feeds, planned = [], []
    for number in range(trials):
        feeds.append(Feed(Trace()))
        planned.append(PlannedTrial(number, 0, config_of(1)))
        writer.trial_started(planned[number], feeds[number].trace)
    writer.set_marks(0, [(ORIGIN + MARK_S * SECOND, "here")])
    for second in range(SECONDS):
        for trial, feed in zip(planned, feeds, strict=True):
            if trial.id == 0 or second < 40:
                feed.second(second)
                writer.trace_grew(trial, feed.trace)
            elif second == 40:
                writer.trial_finished(result_of(trial, feed.trace, run), feed.trace)
                feed.thinned_when_finished = feed.trace.thinned_ns
    writer.trial_finished(result_of(planned[0], feeds[0].trace, run), feeds[0].trace)
    writer.run_finished(False)
    writer.close()
    assert writer.problem is None
    return feeds


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, short_cells):
    path = tmp_path_factory.mktemp("long") / "long.loaderscope"
    (feed,) = record(path, KEPT_BYTES)
    with SessionFile.open(path) as session:
        yield session, session.trace(0), feed


def second_of(time_ns):
    return (time_ns - ORIGIN) / SECOND


def test_the_file_stays_within_its_size(tmp_path, recorded):
    path = tmp_path / "whole.loaderscope"
    record(path, 1 << 40)
    assert recorded[0].path.stat().st_size < 1.2 * KEPT_BYTES
    assert path.stat().st_size > 2 * KEPT_BYTES


def test_sums_are_those_of_the_spans_that_were_recorded(recorded):
    session, _, feed = recorded
    for key, columns in feed.all.items():
        view = columns.view()
        expected = sums_within(TrackSpans(view["start_ns"], view["end_ns"], view["state"]), SHIFT, ORIGIN, ORIGIN + SECONDS * SECOND)
        sums = session.sums(0, key, shift=SHIFT, from_ns=ORIGIN, until_ns=ORIGIN + SECONDS * SECOND)
        for name, column in expected.items():
            assert (sums[name] == column).all(), (key, name)


def test_the_thinned_ranges_are_told_and_only_they_lost_spans(recorded):
    _, trace, feed = recorded
    assert trace.thinned_ns
    assert any("--keep" in note for note in trace.notes)
    for key, columns in feed.all.items():
        start_ns = columns.view()["start_ns"]
        is_thinned = np.zeros(len(start_ns), bool)
        for first_ns, last_ns in trace.thinned_ns:
            is_thinned |= (start_ns >= first_ns) & (start_ns < last_ns)
        assert is_thinned.mean() > 0.3
        assert np.isin(start_ns[~is_thinned], trace.tracks[key].view()["start_ns"]).all()
        assert np.isin(start_ns[is_thinned], trace.tracks[key].view()["start_ns"]).mean() < 0.1


def test_the_oldest_part_is_thinned_first_and_the_newest_stays(recorded):
    thinned_ns = recorded[1].thinned_ns
    assert second_of(thinned_ns[0][0]) < 17.2
    assert second_of(thinned_ns[-1][1]) < SECONDS - 17


@pytest.mark.parametrize("second", [SLOW_S - 0.5, SLOW_S + 1.5, MARK_S - 4, MARK_S + 4])
def test_surroundings_of_slow_spans_and_marks_stay_whole(recorded, second):
    _, trace, _ = recorded
    moment_ns = ORIGIN + round(second * SECOND)
    assert trace.thinned_ns[-1][1] > ORIGIN + (MARK_S + 5) * SECOND
    assert not any(first_ns <= moment_ns < last_ns for first_ns, last_ns in trace.thinned_ns)


def test_points_and_values_of_the_queue_go_with_the_spans_and_short_tracks_stay(recorded):
    _, trace, feed = recorded
    assert len(trace.tracks[SPARSE]) == SECONDS // 10
    recorded_points = sum(len(columns) for columns in feed.all.values())
    assert sum(len(points) for points in trace.points.values()) < 0.7 * recorded_points
    assert len(trace.series[QUEUE_DEPTH.key][1]) < 0.7 * len(feed.all[WORKER])


def test_a_trial_that_finished_is_thinned_too(tmp_path):
    path = tmp_path / "two.loaderscope"
    _, finished = record(path, 4_500_000, trials=2)
    assert not finished.thinned_when_finished
    with SessionFile.open(path) as session:
        trace = session.trace(1)
        assert trace.thinned_ns
        assert any("--keep" in note for note in trace.notes)
        assert len(trace.tracks[WORKER]) < 0.7 * 40 * RATE


def test_memory_keeps_the_newest_rows_and_counts_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(session_writer, "ROWS_IN_MEMORY", 200_000)
    path = tmp_path / "long.loaderscope"
    (feed,) = record(path, 1 << 40)
    trace = feed.trace
    assert sum(map(len, trace.tracks.values())) + sum(map(len, trace.points.values())) < 240_000
    assert len(trace.tracks[SPARSE]) == SECONDS // 10
    for key, columns in feed.all.items():
        all_rows, rows = columns.view(), trace.tracks[key].view()
        assert rows["start_ns"][-1] == all_rows["start_ns"][-1]
        for state in np.unique(all_rows["state"]).tolist():
            all_ns = (all_rows["end_ns"] - all_rows["start_ns"])[all_rows["state"] == state]
            kept_ns = (rows["end_ns"] - rows["start_ns"])[rows["state"] == state]
            forgotten = trace.forgotten_spans(key.lane, state)
            assert (forgotten.spans, forgotten.time_ns) == (len(all_ns) - len(kept_ns), all_ns.sum() - kept_ns.sum())
    with SessionFile.open(path) as session, monkeypatch.context() as patch:
        patch.setattr(trace_store, "ROWS_IN_MEMORY", 10**9)
        for key, columns in feed.all.items():
            for name, column in columns.view().items():
                assert (session.trace(0).tracks[key].view()[name] == column).all()


def test_main_is_remembered_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(session_writer, "ROWS_IN_MEMORY", 2 * SECONDS * RATE + 100_000)
    (feed,) = record(tmp_path / "long.loaderscope", 1 << 40)
    main, worker = feed.trace.tracks[MAIN], feed.trace.tracks[WORKER]
    assert len(worker) < len(main)


def test_rows_that_are_not_summed_yet_stay_in_memory(tmp_path):
    trace = Trace()
    feed = Feed(trace)
    feed.second(0)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(connection)
    writer = trace_store.TraceWriter(connection, 0, trace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace_store, "ROWS_NEVER_FORGOTTEN", 10)
        writer.write()
        writer.forget_stored_rows(100)
        assert (len(trace.tracks[WORKER]), trace.tracks[WORKER].first_row) == (RATE, 0)
        writer.write(final=True)
        writer.forget_stored_rows(100)
        assert 0 < len(trace.tracks[WORKER]) < 100
    connection.close()


def test_sums_of_a_thinned_cell_are_stored_again_when_all_its_spans_are_known():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(connection)
    start_ns = ORIGIN + np.arange(3) * SECOND
    spans = {"start_ns": start_ns, "end_ns": start_ns + 1000, "state": np.zeros(3, np.uint16)}
    early = sums_within(TrackSpans(start_ns[:1], start_ns[:1] + 1000, spans["state"][:1]), SHIFT, ORIGIN, ORIGIN + SECOND)
    cell = ORIGIN >> SHIFT >> thinning.BLOCK_SHIFT
    sums_table.replace_sums(connection, 0, 1, 0, SHIFT, cell, early)
    sums_table.SumWriter(connection, 0).write(1, 0, spans, forgotten=0, final=True)
    rows = connection.execute("SELECT shift, block, row_count FROM lane_sum").fetchall()
    assert rows == [(SHIFT, cell, 3)]  # but none of other cells: they are not worth their bytes
    connection.close()


def test_a_recording_without_a_size_keeps_all_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(session_writer, "ROWS_IN_MEMORY", 1_000)
    (feed,) = record(tmp_path / "short.loaderscope", None)
    assert not feed.trace.forgotten
    assert not feed.trace.thinned_ns


def test_intervals_that_touch_are_merged():
    assert merge_intervals([(5, 7), (1, 3), (3, 4), (6, 9)]) == ((1, 4), (5, 9))
