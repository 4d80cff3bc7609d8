"""The strip of exposed loading time: it agrees with the analysis, and grows with the trace."""

import numpy as np
import pytest
import synthetic
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.gui.run.training_trace import TrainingTrace
from loaderscope.gui.timeline.data.exposed_strip import ExposedBins
from loaderscope.gui.timeline.data.row_layout import EXPOSED_PX, MINIMAP_PX
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget


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
