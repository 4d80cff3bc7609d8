"""Frame times of the timeline, beside their budgets. Run: pytest -m benchmark tests/benchmarks/bench_timeline.py -s

A frame is what one step of zooming or panning costs the window's thread, offscreen with the raster engine at 1920 x 1080.
Spans are random, so that every pixel column differs. Beside the time on the clock stands the CPU time of the thread, which on a
machine with other work is nearer to what the frame costs.
"""

import time

import numpy as np
import pytest
from PySide6.QtWidgets import QApplication

from loaderscope.agent.layout import State
from loaderscope.gui.theme import apply_theme
from loaderscope.gui.timeline.view import TimelineWidget
from loaderscope.trace import lanes
from loaderscope.trace.model import Trace

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

LANES = 16
ZOOM_BUDGET_MS, PAN_BUDGET_MS, LIVE_BUDGET_MS, OPEN_BUDGET_S = 16, 4, 16, 2
MAIN_STATES = (State.WAIT, State.TRANSFER, State.STEP)
WORKER_STATES = (State.FETCH, State.COLLATE, State.SEND)


def add_spans(trace, lane, states, count, random, start_ns, mean_ns=2_000_000):
    """`count` spans after one another; returns the end of the last."""
    durations = random.exponential(mean_ns, count).astype(np.int64) + 1000
    gaps = random.exponential(mean_ns / 6, count).astype(np.int64)
    end = start_ns + np.cumsum(durations + gaps)
    state = np.resize(np.array(states, np.uint16), count)
    trace.track(lane, 0).append(
        start_ns=end - durations, end_ns=end, state=state, batch=np.arange(count) // 3, value=np.zeros(count, np.int64)
    )
    return int(end[-1])


def big_trace(spans):
    trace, random = Trace(), np.random.default_rng(1)
    trace.origin_ns = 10**15
    for number in range(LANES):
        lane, states = (lanes.MAIN_LANE, MAIN_STATES) if number == 0 else (lanes.worker_lane(number - 1), WORKER_STATES)
        trace.newest_ns = max(trace.newest_ns, add_spans(trace, lane, states, spans // LANES, random, trace.origin_ns))
    trace.version = 1
    return trace


def frame_ms(widget, action):
    """Wall time and CPU time of one frame."""
    begin, cpu_begin = time.perf_counter(), time.thread_time()
    action()
    widget.repaint()
    return (time.perf_counter() - begin) * 1e3, (time.thread_time() - cpu_begin) * 1e3


def report(what, frames, budget):
    wall, cpu = np.array(frames).T
    p50, p95 = np.percentile(wall, [50, 95])
    print(f"  {what:44s} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   CPU p95 {np.percentile(cpu, 95):6.1f} ms   budget p95 {budget} ms")


@pytest.fixture
def widget(qtbot):
    apply_theme(QApplication.instance(), "dark")
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(1920, 1080)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline


@pytest.mark.parametrize("spans", [10_000, 100_000, 1_000_000, 10_000_000])
def test_zoom_and_pan(widget, spans):
    trace = big_trace(spans)
    begin = time.perf_counter()
    widget.set_trace(trace, f"{spans} spans")
    widget.repaint()
    opened_s = time.perf_counter() - begin
    print(f"\n{spans:,} spans, {LANES} lanes")
    print(f"  {'open and first frame':44s} {opened_s:10.2f} s {'':37s} budget {OPEN_BUDGET_S} s")
    zooms = [frame_ms(widget, widget.zoom_in) for _ in range(30)]
    zooms += [frame_ms(widget, widget.zoom_out) for _ in range(30)]
    report("zoom, whole trial to a few spans and back", zooms, ZOOM_BUDGET_MS)
    pans = []
    for _ in range(4):
        for _ in range(5):
            widget.zoom_in()
        widget.repaint()
        pans += [frame_ms(widget, lambda: widget.pan_px(12)) for _ in range(40)]
    report("pan by 12 px, at four zooms", pans, PAN_BUDGET_MS)
    report("crosshair", [frame_ms(widget, lambda at=at: widget.hover(500.0 + 7 * at, 300.0)) for at in range(60)], PAN_BUDGET_MS)
    assert opened_s < 10 * OPEN_BUDGET_S


@pytest.mark.parametrize("workers", [64])
def test_live(widget, workers):
    """100,000 spans a second, taken in ten times a second."""
    trace, random = Trace(), np.random.default_rng(2)
    trace.origin_ns = trace.newest_ns = 10**15
    widget.set_trace(trace, "live")
    widget.set_live(True)
    each = 100_000 // 10 // (workers + 1)
    ends = dict.fromkeys(range(workers + 1), trace.origin_ns)
    frames = []
    for _ in range(100):
        for number in ends:
            lane, states = (lanes.MAIN_LANE, MAIN_STATES) if number == 0 else (lanes.worker_lane(number - 1), WORKER_STATES)
            ends[number] = add_spans(trace, lane, states, each, random, ends[number], mean_ns=100_000_000 // each)
        trace.newest_ns = max(ends.values())
        trace.version += 1
        frames.append(frame_ms(widget, widget.refresh))
    print(f"\n{workers} workers live, 100,000 spans a second, {trace.span_count:,} spans at the end")
    report("refresh and frame", frames, LIVE_BUDGET_MS)
