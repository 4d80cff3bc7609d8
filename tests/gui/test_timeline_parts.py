"""What is painted in parts, while the view is moved and the trace grows, is pixel for pixel what painting all of it anew gives.

Two things are left out of that, as they come right when the view has settled: names near the edges, which a pan cuts or makes room
for, and which spans stand out, which is judged by all spans of a state and so changes with the data for what is already painted.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.outliers import Outliers
from loaderscope.gui.timeline.paint import lane_painter as lane_painting
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace import lane_table
from loaderscope.trace.model import SeriesInfo, Trace

ORIGIN = 1_700_000_000_000_000_000
WIDTH, HEIGHT = 1100, 330
_SHADE = 4  # of 255
MS = 1_000_000


@pytest.fixture
def no_late_changes(monkeypatch):
    """No names, and a fixed duration above which spans stand out."""
    monkeypatch.setattr(lane_painting, "paint_names", lambda *_: None)
    monkeypatch.setattr(Outliers, "_limits_of", lambda *_: np.full(max(State) + 1, 9.0 * MS))
    monkeypatch.setattr(Outliers, "rare_duration_ns", lambda *_: 0.0)


TRACKS = (
    (lane_table.MAIN_LANE, 0, (State.WAIT, State.TRANSFER, State.STEP)),
    (lane_table.worker_lane(0), 0, (State.FETCH, State.COLLATE, State.SEND)),
    (lane_table.worker_lane(1), 0, (State.FETCH, State.SEND)),
)


class Recording:
    """A trace that grows by spans with gaps, slivers, nested spans and a sampled line."""

    def __init__(self, seed, mean_ns):
        self.random, self.mean_ns = np.random.default_rng(seed), mean_ns
        self.trace = Trace()
        self.trace.origin_ns = self.trace.newest_ns = ORIGIN
        self.ends = dict.fromkeys(range(len(TRACKS)), ORIGIN)

    def grow(self, count):
        trace = self.trace
        for number, (lane, depth, states) in enumerate(TRACKS):
            lengths = np.where(self.random.random(count) < 0.2, 0, self.random.exponential(self.mean_ns, count)).astype(np.int64)
            end = self.ends[number] + np.cumsum(lengths + self.random.integers(0, self.mean_ns, count))
            self.ends[number] = int(end[-1])
            state, batch = self.random.choice(states, count), np.arange(count) + len(trace.track(lane, depth))
            trace.track(lane, depth).append(start_ns=end - lengths, end_ns=end, state=state, batch=batch, value=batch)
            if lane is lane_table.MAIN_LANE:
                inside = (state == State.WAIT) & (lengths > 4)
                begin, quarter = (end - lengths)[inside], lengths[inside] // 4
                nothing = np.zeros(len(begin), np.int64)
                trace.track(lane, 1).append(
                    start_ns=begin + quarter, end_ns=begin + 3 * quarter, state=nothing + State.DESERIALISE, batch=nothing, value=nothing
                )
        trace.newest_ns = max(self.ends.values())
        cpu = trace.series_of(SeriesInfo("cpu/main", "cpu", "CPU of main", "%", "main"))
        cpu.append(time_ns=trace.newest_ns, value=self.random.uniform(0, 100))
        trace.version += 1


def widget_of(qtbot, recording, ratio):
    widget = type("Scaled", (TimelineWidget,), {"devicePixelRatioF": lambda self: ratio})()
    qtbot.addWidget(widget)
    widget.resize(WIDTH, HEIGHT)
    widget.set_trace(recording.trace)
    widget._settle.setInterval(10**6)
    return widget


def picture(widget):
    """What is painted now, without the labels, which are renewed when the view has settled."""
    layout = widget.lane_layout
    ratio = widget.devicePixelRatioF()
    left = round(layout.label_width * ratio)
    widget._repaint_changes()
    return widget.backing.picture().copy(left, 0, round(layout.plot_width * ratio), round(HEIGHT * ratio))


def different(widget):
    """The part of the pixels that painting all of it anew would change by more than a shade, as smooth lines are cut elsewhere."""
    partly = picture(widget)
    widget.backing.invalidate()
    whole = picture(widget)
    if partly == whole:
        return 0.0
    one, other = (np.frombuffer(bytes(image.constBits()), np.uint8).astype(int).reshape(-1, 4) for image in (partly, whole))
    return float((abs(one - other).max(axis=1) > _SHADE).mean())


moves = st.one_of(
    st.tuples(st.just("pan"), st.integers(-250, 250)),
    st.tuples(st.just("pan"), st.integers(-9, 9)),
    st.tuples(st.just("zoom"), st.sampled_from((0.5, 0.8, 1.3, 2.0))),
    st.tuples(st.just("grow"), st.integers(1, 60)),
    st.tuples(st.just("scroll"), st.integers(-60, 60)),
    st.tuples(st.just("paint"), st.just(0)),
)


@pytest.mark.parametrize("ratio", [1.0, 1.25, 2.0])
@given(seed=st.integers(0, 2**32), count=st.sampled_from((20, 300, 6000)), steps=st.lists(moves, min_size=1, max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_moving_and_growing_looks_like_painting_anew(qtbot, no_late_changes, ratio, seed, count, steps):
    recording = Recording(seed, 2 * MS)
    recording.grow(count)
    widget = widget_of(qtbot, recording, ratio)
    widget.navigator.zoom(0.3, widget.scene.total_ns * 0.6)
    widget._repaint_changes()
    for what, value in steps:
        if what == "pan":
            widget.pan_px(value)
        elif what == "zoom":
            widget.zoom_at(value, WIDTH * 0.6)
        elif what == "grow":
            recording.grow(value)
            widget.refresh()
        elif what == "scroll":
            widget.scroll_by(value)
        widget._repaint_changes()
    # with fractional scaling a line of a plot may touch a pixel a shade differently, as it is cut elsewhere
    assert different(widget) <= (1e-5 if ratio % 1 else 0)
    widget.deleteLater()


@pytest.mark.parametrize("ratio", [1.25, 1.5])
def test_panning_by_single_pixels_only_moves_what_is_painted_with_fractional_scaling(qtbot, no_late_changes, ratio):
    recording = Recording(7, 2 * MS)
    recording.grow(300)
    widget = widget_of(qtbot, recording, ratio)
    widget.navigator.zoom(0.3, widget.scene.total_ns * 0.6)
    widget._repaint_changes()
    paints, before = widget.backing.paints, widget.viewport
    for _ in range(41):
        widget.pan_px(1)
        widget._repaint_changes()
    assert widget.backing.paints == paints
    moved = -widget.viewport.x_of(before.start, widget.lane_layout.plot_width)
    assert moved == pytest.approx(41, abs=4 / 2 + 0.01)
    assert different(widget) <= 1e-5


@pytest.mark.parametrize("count", [30, 300, 6000])
def test_panning_paints_parts_and_they_fit(qtbot, no_late_changes, count):
    recording = Recording(count, 2 * MS)
    recording.grow(count)
    widget = widget_of(qtbot, recording, 1.0)
    widget.navigator.zoom(0.3, widget.scene.total_ns * 0.6)
    widget._repaint_changes()
    parts = widget.backing.parts
    for pixels in (1, 17, -40, 3):
        widget.pan_px(pixels)
        widget._repaint_changes()
    assert widget.backing.parts >= parts + 3
    assert different(widget) == 0


def test_names_come_right_when_the_view_has_settled(qtbot):
    recording = Recording(5, 40 * MS)
    recording.grow(30)
    widget = widget_of(qtbot, recording, 1.0)
    widget.navigator.zoom(0.3, widget.scene.total_ns * 0.6)
    widget._repaint_changes()
    for pixels in (60, -35, 80):
        widget.pan_px(pixels)
        widget._repaint_changes()
    parts, moved = widget.backing.parts, picture(widget)
    widget._settle.start(0)
    qtbot.waitUntil(lambda: not widget._settle.isActive())
    assert picture(widget) != moved
    assert widget.backing.parts == parts
    assert different(widget) == 0


def test_names_stay_right_while_a_running_trial_is_followed(qtbot):
    recording = Recording(6, 40 * MS)
    recording.grow(30)
    widget = widget_of(qtbot, recording, 1.0)
    widget.set_live(True)
    widget._repaint_changes()
    for _ in range(12):
        recording.grow(2)
        widget.refresh()
        widget._repaint_changes()
    assert widget.backing.parts > 3
    assert different(widget) == 0
