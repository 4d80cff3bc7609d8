"""The strip of exposed loading time: it agrees with the analysis, and grows with the trace."""

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import QEvent, QPoint
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import QApplication, QToolTip
from recorded_loaders import traces_and_results, train_and_test
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.facts.recorded_use import ProcessUse
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.run.training_trace import ALL_LOADERS, TrainingTrace
from loaderscope.gui.timeline.data.exposed_strip import ExposedBins, exposed_of_process
from loaderscope.gui.timeline.data.row_layout import EXPOSED_PX, MINIMAP_PX
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.paint.timeline_painter import OVERVIEW_STALE_SHARE, overview_columns
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace


def intervals(*pairs):
    return np.array([start for start, _ in pairs], np.int64) * MS, np.array([end for _, end in pairs], np.int64) * MS


NONE = intervals()


def test_waiting_counts_where_no_device_works():
    bins = ExposedBins()
    bins.add(intervals((0, 40), (60, 100)), intervals((20, 80)), 200 * MS)
    exposed = bins.exposed()
    assert exposed.seconds == pytest.approx(0.04)
    assert exposed.shares_between(np.array([0, 20, 80, 100, 200]) * MS) == pytest.approx([1.0, 0.0, 1.0, 0.0])


def test_waits_of_two_loaders_at_once_count_once():
    bins = ExposedBins()
    bins.add(intervals((0, 40), (20, 60)), NONE, 100 * MS)
    assert bins.exposed().seconds == pytest.approx(0.06)


def test_what_is_added_in_parts_is_the_same_also_when_bins_grow_wider():
    chance = np.random.default_rng(5)
    edges = np.cumsum(chance.integers(1, 400, 2000)) * MS
    starts, ends = edges[::2], edges[1::2]
    parts, whole, until = ExposedBins(), ExposedBins(), int(edges[-1])
    whole.add((starts, ends), NONE, until)
    for low in range(0, until, 50_000 * MS):
        high = min(low + 50_000 * MS, until)
        touched = (ends > low) & (starts < high)
        parts.add((np.clip(starts[touched], low, high), np.clip(ends[touched], low, high)), NONE, high)
    assert parts.exposed().seconds == pytest.approx(whole.exposed().seconds) == pytest.approx((ends - starts).sum() / 1e9)
    assert parts.exposed().shares == pytest.approx(whole.exposed().shares)


def merged():
    trace = TrainingTrace()
    trace.add(0, "train.py:12", synthetic.make_trace(num_workers=0, batches=20, fetch_ns=20 * MS, step_ns=4 * MS))
    trace.refresh()
    return trace


def test_a_training_on_the_processor_is_exposed_while_main_waits():
    trace = merged()
    scene = Scene(trace)
    waits = spans_of(trace, "0/main", State.WAIT, State.ITERATOR)
    expected_s = (waits.end_ns - waits.start_ns).sum() / 1e9
    assert scene.exposed().seconds == pytest.approx(expected_s)


def test_only_a_training_has_the_strip(qtbot):
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(900, 500)
    timeline.set_trace(synthetic.make_trace(num_workers=1), "trial")
    assert timeline.lane_layout.minimap_px == MINIMAP_PX
    assert timeline.scene.exposed() is None
    timeline.set_trace(merged(), "all loaders")
    assert timeline.lane_layout.minimap_px == MINIMAP_PX + EXPOSED_PX
    assert timeline.lane_layout.axis_y == timeline.lane_layout.minimap_y + MINIMAP_PX + EXPOSED_PX


SECOND = 1_000 * MS


def add_span(trace, lane, state, start_ns, end_ns):
    trace.track(lane, 0).append(start_ns=start_ns, end_ns=end_ns, state=state, batch=0, value=0)
    trace.newest_ns = max(trace.newest_ns, end_ns)
    trace.version += 1


def add_optimizer_step(trace, time_ns):
    trace.points_of(lane_table.MAIN_LANE).append(time_ns=time_ns, state=State.OPTIMIZER_STEP, batch=-1, value=0)
    trace.version += 1


@pytest.fixture
def running():
    """The trace of a training that has waited for its first second."""
    trace = Trace()
    trace.origin_ns = 0
    add_span(trace, lane_table.MAIN_LANE, State.WAIT, 0, SECOND)
    add_optimizer_step(trace, SECOND)
    return trace


@pytest.fixture
def timeline(qtbot, running):
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(900, 500)
    timeline.set_trace(running, "running")
    timeline.set_live(True)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline


def test_a_wait_that_is_read_after_later_records_of_a_worker_counts(running):
    scene = Scene(running)
    scene.is_live = True
    add_span(running, lane_table.worker_lane(0), State.FETCH, 2 * SECOND, 10 * SECOND)
    scene.update()
    assert scene.exposed().seconds == pytest.approx(1.0)
    add_span(running, lane_table.MAIN_LANE, State.WAIT, 9 * SECOND, 10 * SECOND)
    scene.is_live = False
    scene.update()
    assert scene.exposed().seconds == pytest.approx(2.0)


def test_waits_that_were_counted_stay_when_a_long_recording_forgets_them(running):
    scene = Scene(running)
    assert scene.exposed().seconds == pytest.approx(1.0)
    add_span(running, lane_table.MAIN_LANE, State.WAIT, 2 * SECOND, 3 * SECOND)
    scene.update()
    running.tracks[(lane_table.MAIN_LANE.key, 0)].forget(1)
    add_span(running, lane_table.MAIN_LANE, State.WAIT, 4 * SECOND, 5 * SECOND)
    assert scene.update()
    assert scene.exposed() is None  # the wait from 2 s on was forgotten before it was counted, or so it may be
    assert not scene.tells_exposed


def test_forgetting_what_was_counted_loses_nothing(running):
    scene = Scene(running)
    add_span(running, lane_table.MAIN_LANE, State.WAIT, 2 * SECOND, 3 * SECOND)
    scene.update()
    assert scene.exposed().seconds == pytest.approx(2.0)
    add_span(running, lane_table.MAIN_LANE, State.WAIT, 4 * SECOND, 5 * SECOND)
    running.tracks[(lane_table.MAIN_LANE.key, 0)].forget(1)
    scene.update()
    assert scene.exposed().seconds == pytest.approx(3.0)


def test_the_strip_appears_with_the_first_step_of_an_optimizer(qtbot, timeline, running):
    running.points.clear()
    timeline.set_trace(running, "running")
    assert timeline.lane_layout.exposed_y is None
    add_optimizer_step(running, SECOND)
    timeline.refresh()
    assert timeline.lane_layout.exposed_y is not None


def test_the_strip_grows_although_the_minimap_stays(timeline, running):
    def strip():
        timeline.repaint()
        layout = timeline.lane_layout
        return timeline.backing.picture().copy(0, layout.exposed_y, layout.width, EXPOSED_PX)

    def overview():
        return timeline.scene.overview(overview_columns(timeline.lane_layout), OVERVIEW_STALE_SHARE)

    add_span(running, lane_table.worker_lane(0), State.FETCH, 2 * SECOND, 9 * SECOND)
    timeline.refresh()
    before, minimap, parts = strip(), overview(), timeline.backing.parts
    add_span(running, lane_table.MAIN_LANE, State.WAIT, 6 * SECOND, 9 * SECOND + 100 * MS)
    timeline.refresh()
    assert strip() != before
    assert timeline.backing.parts > parts  # nothing but the changes was painted
    assert overview() is minimap


def test_a_tip_says_what_exposed_loading_time_is_and_how_much_of_a_moment_it_was(timeline, running):
    timeline.set_live(False)
    add_span(running, lane_table.worker_lane(0), State.FETCH, 2 * SECOND, 4 * SECOND)
    timeline.refresh()
    layout = timeline.lane_layout
    waited, worked = (
        QPoint(layout.label_width + round(timeline.scene.extent.x_of(time_s * SECOND, layout.plot_width)), layout.exposed_y + 4)
        for time_s in (0.5, 3.0)
    )
    QApplication.sendEvent(timeline, QHelpEvent(QEvent.Type.ToolTip, waited, timeline.mapToGlobal(waited)))
    assert "100 %" in QToolTip.text() and "1.00 s" in QToolTip.text()
    assert "0 % of" in timeline.tip_at(worked) and "100 %" not in timeline.tip_at(worked)
    assert timeline.tip_at(QPoint(waited.x(), layout.header_height + 5)) == ""


def test_what_the_analysis_found_is_told_from_when_the_script_began():
    use = ProcessUse(began_ns=5 * SECOND, wait_s=3.0, exposed_s=2.0, first_batch_s=1.0, bin_s=2.0, exposed_shares=[0.0, 1.0, 0.0])
    exposed = exposed_of_process(use, origin_ns=6 * SECOND)
    assert exposed.seconds == 2.0
    assert exposed.shares_between(np.array([0, 1, 2, 3, 5]) * SECOND) == pytest.approx([0.0, 1.0, 1.0, 0.0])


def test_the_strip_and_the_analysis_of_a_training_agree():
    state = RunState()
    for result, trace in traces_and_results(*train_and_test()):
        state.trial_finished(result, trace)
    trace = state.trace(ALL_LOADERS)
    exposed, found = Scene(trace).exposed(), exposed_of_process(trace.process_use, trace.origin_ns)
    assert exposed.seconds == pytest.approx(found.seconds)
    edges_ns = np.arange(0, trace.end_ns - trace.origin_ns, 10 * SECOND)
    assert exposed.shares_between(edges_ns) == pytest.approx(found.shares_between(edges_ns), abs=0.01)
