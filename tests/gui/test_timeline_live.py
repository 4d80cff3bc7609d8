"""A timeline that follows a trial which runs."""

import pytest
from PySide6.QtGui import QColor
from synthetic import MS
from timeline_actions import HEIGHT, WIDTH, Key, press

from loaderscope.agent.layout import State
from loaderscope.gui.style.theme import current_palette
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace import lane_table
from loaderscope.trace.model import OpenSpan, SeriesInfo, Trace


def grow(trace, number, now_ns):
    """One more batch of worker 0, as the reader would add it."""
    columns = trace.track(lane_table.worker_lane(0), 0)
    columns.append(start_ns=now_ns - 9 * MS, end_ns=now_ns, state=State.FETCH, batch=number, value=0)
    trace.newest_ns = now_ns
    trace.version += 1


@pytest.fixture
def live(qtbot):
    trace = Trace()
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.set_trace(trace, "running")
    timeline.set_live(True)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline, trace


def test_a_trial_that_starts_empty_is_followed_as_it_grows(live):
    timeline, trace = live
    timeline.repaint()
    trace.origin_ns = 10**15
    for number in range(1, 30):
        grow(trace, number, 10**15 + number * 1000 * MS)
        timeline.refresh()
    timeline.repaint()
    low, high = timeline.visible_range_ns()
    assert low < trace.newest_ns <= high
    assert high - low < 15e9


def test_panning_pauses_following_and_end_resumes_it(live, qtbot):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 40_000 * MS)
    timeline.refresh()
    with qtbot.waitSignal(timeline.followingChanged) as paused:
        press(timeline, Key.Key_A)
    assert paused.args == [False]
    before = timeline.visible_range_ns()
    grow(trace, 1, 10**15 + 60_000 * MS)
    timeline.refresh()
    assert timeline.visible_range_ns() == before
    press(timeline, Key.Key_End)
    assert timeline.navigator.following
    assert timeline.visible_range_ns()[1] >= trace.newest_ns


def test_new_data_is_painted_once_per_refresh(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 500 * MS)
    timeline.refresh()
    timeline.repaint()
    paints, parts = timeline.backing.paints, timeline.backing.parts
    grow(trace, 1, 10**15 + 600 * MS)
    timeline.refresh()
    timeline.repaint()
    timeline.repaint()
    assert timeline.backing.paints + timeline.backing.parts == paints + parts + 1


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_painted_of_new_data_looks_like_all_of_it_painted_anew(live, sampled):
    """Late, long and open spans included: each step is compared with a full painting."""
    timeline, trace = live
    trace.origin_ns = 10**15
    info = SeriesInfo("cpu/main", "cpu", "CPU of main", "%", "main", 100 * MS)
    now_ns, parts = 10**15 + 12_000 * MS, 0
    trace.track(lane_table.worker_lane(1), 0)
    for number in range(12):
        grow(trace, number, now_ns)
        if number % 4 == 3:
            begin = now_ns - 2_500 * MS
            trace.track(lane_table.MAIN_LANE, 0).append(start_ns=begin, end_ns=now_ns - MS, state=State.WAIT, batch=number, value=0)
        trace.open_spans = (OpenSpan("worker-1", 0, State.COLLATE, now_ns - 120 * MS, number),)
        if sampled:
            trace.series_of(info).append(time_ns=now_ns, value=50.0 + number)
        timeline.refresh()
        timeline.repaint()
        partly = timeline.backing.picture()
        timeline.backing.invalidate()
        timeline.repaint()
        whole = timeline.backing.picture()
        top = timeline.lane_layout.header_height
        rows, columns = range(top, HEIGHT, 3), range(0, WIDTH - 12, 2)
        different = [(x, y) for x in columns for y in rows if partly.pixel(x, y) != whole.pixel(x, y)]
        assert len(different) < 20, different[:10]
        parts = timeline.backing.parts
        now_ns += 300 * MS
    assert parts > 5


def test_the_end_of_a_trial_shows_all_of_it(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 60_000 * MS)
    timeline.refresh()
    timeline.set_live(False)
    low, high = timeline.visible_range_ns()
    assert low <= trace.origin_ns
    assert high >= trace.newest_ns
    assert not timeline.navigator.following


def marked(timeline):
    """The columns of the minimap whose upper edge has the colour that marks what the lanes show."""
    picture, layout = timeline.grab().toImage(), timeline.lane_layout
    accent = QColor(current_palette().accent).rgb()
    columns = range(layout.label_width, layout.label_width + layout.plot_width)
    return [x for x in columns if picture.pixel(x, layout.minimap_y + 1) == accent]


def last_busy(timeline):
    """Where the bars of the minimap end, and where the last span of worker 0 does, from the left edge of the plots."""
    scene, width = timeline.scene, timeline.lane_layout.plot_width
    bars = scene.overview(width // 3)
    return (bars.nonzero()[0][-1] + 1) * width / len(bars), timeline.viewport.x_of(scene.total_ns, width)


def test_the_minimap_stands_above_the_lanes_while_they_show_all_of_a_running_trial(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    for number, now_ms in enumerate((300, 700, 1300, 2100, 4900)):
        grow(trace, number, trace.origin_ns + now_ms * MS)
        timeline.refresh()
        bars, lanes_end = last_busy(timeline)
        assert bars == pytest.approx(lanes_end, abs=4)
        assert not marked(timeline)


def test_the_minimap_marks_what_the_lanes_show_of_a_running_trial_that_is_longer(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, trace.origin_ns + 14_000 * MS)
    timeline.refresh()
    seen, extent = timeline.viewport, timeline.scene.extent
    edges = [timeline.lane_layout.label_width + extent.x_of(time, timeline.lane_layout.plot_width) for time in (seen.start, seen.end)]
    found = marked(timeline)
    assert [found[0], found[-1]] == pytest.approx(edges, abs=2)
    grow(trace, 1, trace.origin_ns + 15_000 * MS)
    timeline.refresh()
    assert timeline.scene.extent == extent  # only what is marked has moved
    assert marked(timeline)[0] > found[0]


def test_at_the_end_of_a_trial_its_minimap_fills_the_width_as_the_lanes_do(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, trace.origin_ns + 11_000 * MS)
    timeline.refresh()
    timeline.set_live(False)
    bars, lanes_end = last_busy(timeline)
    assert bars == pytest.approx(lanes_end, abs=4)
    assert bars > 0.98 * timeline.lane_layout.plot_width
    assert not marked(timeline)


def test_the_gap_in_which_the_profiler_starts_is_told_as_soon_as_it_has_ended(live):
    timeline, trace = live
    origin_ns = trace.origin_ns = 10**15
    main = trace.track(lane_table.MAIN_LANE, 0)

    def wait(begin_ms, end_ms):
        main.append(start_ns=origin_ns + begin_ms * MS, end_ns=origin_ns + end_ms * MS, state=State.WAIT, batch=0, value=0)
        trace.newest_ns = origin_ns + end_ms * MS
        trace.version += 1

    def in_gap():
        timeline.refresh()
        timeline.repaint()
        row = next(placed for placed in timeline.lane_layout.rows if placed.row.key == "main")
        x, y = round(timeline.x_of(origin_ns + 850 * MS)), timeline.lane_layout.header_height + row.bar_y + 3
        return QColor(timeline.backing.picture().pixel(x, y)).name()

    wait(0, 510)
    trace.points_of(lane_table.MAIN_LANE).append(time_ns=origin_ns + 520 * MS, state=State.EXACT_WINDOW, batch=-1, value=4)
    trace.version += 1
    assert in_gap() == current_palette().base
    wait(900, 990)
    assert in_gap() != current_palette().base
    assert timeline.scene.profiler_start_ns() == (origin_ns + 520 * MS, origin_ns + 900 * MS)


def test_trials_without_an_exact_window_have_no_gap(live):
    timeline, trace = live
    trace.origin_ns = 10**15
    grow(trace, 0, 10**15 + 500 * MS)
    timeline.refresh()
    assert timeline.scene.profiler_start_ns() is None
