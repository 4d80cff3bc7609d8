"""Rows, places, ticks, navigation and questions about spans: everything of the timeline that needs no Qt."""

import itertools
import pkgutil
import subprocess
import sys

import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import MS, SECOND

from loaderscope.agent.layout import State
from loaderscope.facts.lanes import WAITING_FOR_EARLIER
from loaderscope.facts.text import duration_ns_text
from loaderscope.gui.timeline import data
from loaderscope.gui.timeline.data import hover_card, span_query, time_axis
from loaderscope.gui.timeline.data.navigation import FOLLOW_SPAN_NS, Navigator
from loaderscope.gui.timeline.data.range_statistics import survey
from loaderscope.gui.timeline.data.row_layout import HEADER_PX, place_rows
from loaderscope.gui.timeline.data.scene import Scene, busy_share
from loaderscope.gui.timeline.data.viewport import LEAST_SPAN_NS, Viewport, fitted
from loaderscope.trace.model import Lane, OpenSpan, SeriesInfo, Trace, batch_id

MODULES = [module.name for module in pkgutil.iter_modules(data.__path__, data.__name__ + ".")]


def scene(**parameters):
    return Scene(synthetic.make_trace(**parameters), "a trial")


def series(trace, key, group, unit, process=None, values=(1.0,)):
    columns = trace.series_of(SeriesInfo(key, group, key, unit, process))
    for number, value in enumerate(values):
        columns.append(time_ns=trace.origin_ns + number * MS, value=value)


# rows


def test_rows_stand_in_the_order_of_the_pipeline():
    rows = [row for row in scene(num_workers=2, device_ns=1 * MS, pin_ns=1 * MS).rows if not row.is_optional]
    assert [row.key for row in rows] == ["device-step", "main", "worker-0", "worker-1", "pin", "flight", "queue_depth"]
    assert [row.kind for row in rows][-2:] == ["flight", "plot"]


def test_workers_are_ordered_by_number():
    lanes = [row.key for row in scene(num_workers=12, batches=24).rows if row.lane_kind == "worker"]
    assert lanes == [f"worker-{number}" for number in range(12)]


def test_one_plot_holds_all_processes_of_a_group_main_first():
    trace = synthetic.make_trace(num_workers=2)
    for process in ("worker-10", "worker-2", "main"):
        series(trace, f"cpu/{process}", "cpu", "%", process)
    row = next(row for row in Scene(trace).rows if row.key == "cpu")
    assert row.series == ("cpu/main", "cpu/worker-2", "cpu/worker-10")


def test_of_several_memory_figures_the_one_that_counts_shared_pages_once_is_drawn():
    trace = synthetic.make_trace(num_workers=1)
    for kind in ("rss", "uss", "pss"):
        series(trace, f"{kind}/main", "memory", "bytes", "main")
    row = next(row for row in Scene(trace).rows if row.key == "memory")
    assert row.series == ("pss/main",)
    assert row.label == "memory (PSS)"


def test_what_could_not_be_measured_gives_its_reason_in_the_lanes_place():
    trace = synthetic.make_trace(num_workers=1)
    trace.unavailable["gpu"] = "no NVIDIA driver was found."
    trace.unavailable["memory"] = "this system does not tell."
    rows = Scene(trace).rows
    assert (rows[0].kind, rows[0].label, rows[0].text) == ("reason", "GPU", "no NVIDIA driver was found.")
    assert (rows[-1].label, rows[-1].text) == ("memory", "this system does not tell.")


def test_an_empty_trace_has_no_rows_and_grows():
    trace = Trace()
    empty = Scene(trace)
    assert empty.is_empty
    assert empty.rows == ()
    full = synthetic.make_trace(num_workers=1)
    trace.__dict__.update(full.__dict__)
    assert empty.update()
    assert not empty.is_empty
    assert empty.rows
    assert not empty.update()


def test_the_overview_is_the_mean_share_of_the_workers():
    made = scene(num_workers=2, batches=40, fetch_ns=10 * MS, collate_ns=0, send_ns=0, step_ns=1 * MS)
    bars = made.overview(10)
    assert bars[5] > 0.95  # in the steady state both workers fetch all the time
    assert len(made.overview(7)) == 7


def test_the_legend_names_only_what_occurs():
    words = [word for word, _, _ in scene(num_workers=0).legend()]
    assert "fetch" in words
    assert "ready" not in words
    assert "transfer" not in words


# places


@given(st.integers(0, 64), st.integers(200, 2000))
@settings(max_examples=30, deadline=None)
def test_rows_never_overlap_and_the_rest_can_be_scrolled_to(workers, height):
    rows = ROWS_64[: 1 + workers] + ROWS_64[-2:]
    placed = place_rows(rows, 1000, height)
    ends = [0, *(one.y + one.height for one in placed.rows)]
    assert all(one.y >= end for one, end in zip(placed.rows, ends, strict=False))
    assert all(one.y <= one.bar_y and one.bar_y + one.bar_height <= one.y + one.height for one in placed.rows)
    assert placed.scroll_range == max(placed.content_height - (height - HEADER_PX), 0)


ROWS_64 = scene(num_workers=64, batches=64).rows


def test_a_place_finds_its_row_and_its_queue_slot():
    placed = place_rows(scene(num_workers=4, batches=20).rows, 1000, 600)
    row = next(one for one in placed.rows if one.row.key == "worker-2")
    assert placed.row_at(HEADER_PX + row.y + 5, 0) is row
    assert placed.row_at(HEADER_PX + row.y + 5 - 30, 30) is row
    assert placed.row_at(10, 0) is None
    flight = next(one for one in placed.rows if one.row.kind == "flight")
    assert placed.flight_lane_at(flight, HEADER_PX + flight.bar_y + 1, 0) == "flight-0"


# ticks and words


@given(st.floats(0, 1e15), st.floats(1e3, 1e14), st.integers(200, 3000))
@settings(max_examples=300, deadline=None)
def test_ticks_are_inside_evenly_spaced_and_not_crowded(start, span, width):
    found = time_axis.ticks(start, span, width)
    times = [tick.time for tick in found.major]
    assert all(start - 1e-6 * span - 1 <= time <= start + span * (1 + 1e-6) + 1 for time in times)
    steps = [b - a for a, b in itertools.pairwise(times)]
    if steps:
        assert max(steps) - min(steps) <= 1e-9 * max(times) + 1
        assert min(steps) / span * width >= 70
    labels = [tick.label for tick in found.major]
    assert len(set(labels)) == len(labels)


def test_far_into_a_trace_labels_count_from_a_base():
    found = time_axis.ticks(12.345678e9, 20_000, 1000)
    assert found.base is not None
    assert found.base.label == "12.345 s"
    assert found.major[0].label == "+678 µs"
    assert all(tick.label.startswith("+") for tick in found.major)


def test_bytes_are_written_as_in_every_other_panel():
    assert [time_axis.quantity(value, "bytes") for value in (588_100, 1.64e6, 400e6, 1.5e9)] == ["588 kB", "1.6 MB", "400 MB", "1.5 GB"]
    assert time_axis.quantity(2e6, "bytes/s") == "2 MB/s"
    assert time_axis.quantity(312, "W") == "312 W"


# navigation


@given(st.floats(0, 1e12), st.floats(1e4, 1e12), st.floats(0.05, 20), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_zooming_keeps_the_moment_under_the_cursor(start, span, factor, where):
    view = Viewport(start, span)
    at = start + span * where
    zoomed = view.zoomed(factor, at)
    assert zoomed.x_of(at, 1000) == pytest.approx(view.x_of(at, 1000), abs=1e-3)


def test_the_view_never_leaves_the_trial():
    total = 10e9
    assert Viewport(-1e12, 1e9).limited(total).end > 0
    assert Viewport(1e12, 1e9).limited(total).start < total
    assert Viewport(0, 1e15).limited(total) == fitted(0, total)
    assert Viewport(5e9, 1).limited(total).span == LEAST_SPAN_NS


def test_back_undoes_a_whole_gesture_of_zooming():
    now = [0.0]
    navigator = Navigator(clock=lambda: now[0])
    navigator.reset(10e9)
    whole = navigator.viewport
    for _ in range(4):
        navigator.zoom(0.5, 2e9)
        now[0] += 0.1
    zoomed = navigator.viewport
    now[0] += 5
    navigator.pan(1e8)
    assert navigator.back()
    assert navigator.viewport == zoomed
    assert navigator.back()
    assert navigator.viewport == whole
    assert not navigator.back()


def test_following_shows_all_at_first_and_then_the_newest():
    navigator = Navigator()
    navigator.reset(0)
    navigator.follow()
    navigator.grow(2e9)
    assert navigator.viewport.start <= 0
    assert navigator.viewport.end >= 2e9
    navigator.grow(60e9)
    assert navigator.viewport.span == FOLLOW_SPAN_NS
    assert navigator.viewport.start < 60e9 < navigator.viewport.end
    navigator.zoom(0.5, 0)
    assert navigator.following
    assert navigator.viewport.span == FOLLOW_SPAN_NS / 2
    navigator.pan(-1e9)
    assert not navigator.following
    assert not navigator.grow(70e9)


# questions


def test_a_moment_finds_the_innermost_span_and_its_batch():
    made = scene(num_workers=0, batches=5, fetch_ns=4 * MS)
    time = made.origin_ns + 1 * MS
    assert span_query.span_at(made, "main", time).state == State.FETCH
    assert span_query.span_at(made, "main", time, depth_share=0.1).state == State.WAIT


def test_a_sliver_can_be_hit_from_beside():
    made = scene(num_workers=1, batches=3, send_ns=10_000)
    send = next(span for span in span_query.spans_of_batch(made, batch_id(0, 1), made.origin_ns) if span.state == State.SEND)
    assert span_query.span_at(made, "worker-0", send.start_ns + 1).state == State.SEND
    assert span_query.span_at(made, "worker-0", made.trace.end_ns + 50) is None
    assert span_query.span_at(made, "worker-0", send.start_ns - 50, slack_ns=100) is not None


def test_a_batch_is_found_in_every_lane_it_passes():
    made = scene(num_workers=2, batches=8, transfer_ns=1 * MS, device_ns=2 * MS)
    spans = span_query.spans_of_batch(made, batch_id(0, 3), made.origin_ns)
    lanes = {span.lane.partition("-")[0] for span in spans}
    assert lanes == {"main", "worker", "flight", "device"}
    states = {span.state for span in spans}
    assert states >= {State.FETCH, State.COLLATE, State.SEND, State.WAIT, State.TRANSFER, State.STEP, State.DEVICE_STEP}


def test_next_and_previous_go_along_the_lane_and_end_there():
    made = scene(num_workers=1, batches=3)
    first = span_query.first_after(made, "worker-0", made.origin_ns)
    spans = [first]
    while (following := span_query.neighbour(made, spans[-1], 1)) is not None:
        spans.append(following)
    assert [span.state for span in spans[-3:]] == [State.FETCH, State.COLLATE, State.SEND]
    assert span_query.neighbour(made, spans[-1], -1) == spans[-2]
    assert span_query.neighbour(made, first, -1) is None


def slow_scene():
    """Batch 5 takes ten times as long as the others and is waiting, not computing."""
    return scene(
        num_workers=2,
        batches=16,
        fetch_ns=lambda batch: 100 * MS if batch == 5 else 10 * MS,
        step_ns=4 * MS,
        fetch_cpu_share=0.1,
        sample_events=True,
        batch_size=4,
    )


def test_the_card_of_a_slow_fetch_tells_why_and_whom_it_held_up():
    made = slow_scene()
    fetch = next(span for span in span_query.spans_of_batch(made, batch_id(0, 5), made.origin_ns) if span.state == State.FETCH)
    card = hover_card.describe(made, fetch)
    assert card.title == "batch 5 · worker 1 · fetch"
    lines = {name: (value, remark) for name, value, remark, _ in card.lines}
    assert lines["duration"] == ("100 ms", "median 10.0 ms")
    assert lines["CPU time"] == ("10.0 ms", "→ waiting, not computing")
    assert lines["slowest sample"] == ("index 20", "25.0 ms")
    assert lines["held up"][0].startswith("batches 6")
    assert "main waited" in lines


def test_the_card_of_a_wait_names_the_worker_that_ended_it():
    made = slow_scene()
    wait = next(span for span in span_query.spans_of_batch(made, batch_id(0, 5), made.origin_ns) if span.state == State.WAIT)
    lines = {name: value for name, value, _, _ in hover_card.describe(made, wait).lines}
    assert lines["waited for"].startswith("worker 1 fetched 86.8")
    assert lines["slowest sample"] == "index 20"
    assert lines["held up"].startswith("batches 6")


def test_the_card_of_a_batch_that_is_ready_tells_for_which_it_waits():
    made = slow_scene()
    held = next(span for span in span_query.spans_of_batch(made, batch_id(0, 6), made.origin_ns) if span.state == WAITING_FOR_EARLIER)
    lines = {name: (value, remark) for name, value, remark, _ in hover_card.describe(made, held).lines}
    assert lines["waits for"][0] == "batch 5"
    assert lines["waits for"][1].startswith("worker 1 fetched 86.8")
    assert lines["ready for"][0] == duration_ns_text(held.duration_ns)


def test_a_quick_fetch_is_not_said_to_hold_anyone_up():
    made = scene(num_workers=2, batches=16, fetch_ns=1 * MS, collate_ns=0, step_ns=10 * MS)
    fetch = next(span for span in span_query.spans_of_batch(made, batch_id(0, 12), made.origin_ns) if span.state == State.FETCH)
    assert not {"held up", "main waited"} & {name for name, _, _, _ in hover_card.describe(made, fetch).lines}


# statistics of a range


def test_statistics_count_whole_spans_but_cut_shares_at_the_edges():
    made = scene(num_workers=1, batches=10, fetch_ns=8 * MS, collate_ns=2 * MS, send_ns=0, step_ns=0)
    fetches = [span for number in range(10) for span in span_query.spans_of_batch(made, batch_id(0, number), made.origin_ns)]
    fetches = [span for span in fetches if span.state == State.FETCH]
    begin, end = fetches[2].start_ns + 4 * MS, fetches[4].end_ns
    found = survey(made, begin, end).statistics()
    fetch = next(item for item in found if item.filled.lane == "worker-0" and item.filled.state == State.FETCH)
    assert fetch.count == 3
    assert fetch.filled.total_ns == 20 * MS
    assert fetch.mean_ns == fetch.p95_ns == 8 * MS
    assert fetch.longest.duration_ns == 8 * MS
    assert fetch.filled.share == pytest.approx(20 * MS / (end - begin))


def test_busy_shares_of_main_follow_from_the_times():
    made = scene(num_workers=1, batches=50, fetch_ns=9 * MS, collate_ns=1 * MS, send_ns=0, deserialise_ns=0, step_ns=2 * MS, other_ns=0)
    start = made.origin_ns + SECOND // 10
    assert busy_share(made, "main", frozenset((State.WAIT,)), start, start + 200 * MS) == pytest.approx(0.8, abs=0.02)


def test_a_wait_that_has_not_ended_counts_up_to_the_newest_record():
    trace = Trace()
    trace.origin_ns, trace.newest_ns, trace.version = SECOND, SECOND + 100 * MS, 1
    trace.track(Lane("main", "main", "main", 0), 0)
    trace.open_spans = (OpenSpan("main", 0, State.WAIT, SECOND + 40 * MS, 0), OpenSpan("worker-0", 0, State.WAIT, SECOND, 0))
    made, waits = Scene(trace), frozenset((State.WAIT,))
    assert busy_share(made, "main", waits, SECOND, SECOND + 100 * MS) == pytest.approx(0.6)
    assert busy_share(made, "main", waits, SECOND + 50 * MS, SECOND + 150 * MS) == pytest.approx(0.5)
    assert busy_share(made, "main", frozenset((State.STEP,)), SECOND, SECOND + 100 * MS) == 0
    trace.open_spans = ()
    assert busy_share(made, "main", waits, SECOND, SECOND + 100 * MS) == 0


def test_the_model_of_the_timeline_needs_no_qt():
    assert len(MODULES) > 15
    names = ", ".join((*MODULES, "loaderscope.gui.style.palette"))
    code = f"import sys, {names}; sys.exit(any(name.startswith('PySide6') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
