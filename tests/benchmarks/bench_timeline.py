"""Frame times of the timeline, beside their budgets. Run: pytest -m benchmark tests/benchmarks/bench_timeline.py -s

A frame is what one step of zooming or panning costs the window's thread, offscreen with the raster engine at 1920 x 1080.
Spans are random, so that every pixel column differs. Beside the time on the clock stands the CPU time of the thread, which on a
machine with other work is nearer to what the frame costs. Two ways in which one would draw spans without a timeline of one's own
are measured in the same run on the same spans. At last a session of ten million spans is opened, searched, zoomed and exported in
the real window, where the longest time that its event loop was away is what counts.
"""

import time
import tracemalloc

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QTransform
from PySide6.QtWidgets import QApplication, QGraphicsScene, QGraphicsView
from support_session import config_of, make_run, result_of

from loaderscope.agent.layout import State
from loaderscope.facts.run import PlannedTrial
from loaderscope.gui.style.palette import DARK
from loaderscope.gui.style.theme import apply_theme
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.session.file import SessionWriter
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

LANES = 16
ZOOM_BUDGET_MS, PAN_BUDGET_MS, LIVE_BUDGET_MS, OPEN_BUDGET_S, GAP_BUDGET_MS = 16, 4, 16, 2, 100
LIVE_FRAMES = 300
MAIN_STATES = (State.WAIT, State.TRANSFER, State.STEP)
WORKER_STATES = (State.FETCH, State.COLLATE, State.SEND)


def add_spans(trace, lane, states, count, random, start_ns, mean_ns=2_000_000, batches=(0, 1)):
    """`count` spans after one another, three a batch from `batches` = (first, step) on; returns the end of the last."""
    durations = random.exponential(mean_ns, count).astype(np.int64) + 1000
    gaps = random.exponential(mean_ns / 6, count).astype(np.int64)
    end = start_ns + np.cumsum(durations + gaps)
    state = np.resize(np.array(states, np.uint16), count)
    batch = batches[0] + np.arange(count) // 3 * batches[1]
    trace.track(lane, 0).append(start_ns=end - durations, end_ns=end, state=state, batch=batch, value=np.zeros(count, np.int64))
    return int(end[-1])


def big_trace(spans):
    trace, random = Trace(), np.random.default_rng(1)
    trace.origin_ns = 10**15
    for number in range(LANES):
        lane, states = (lane_table.MAIN_LANE, MAIN_STATES) if number == 0 else (lane_table.worker_lane(number - 1), WORKER_STATES)
        batches = (0, 1) if number == 0 else (number - 1, LANES - 1)  # each batch is made by one worker
        end_ns = add_spans(trace, lane, states, spans // LANES, random, trace.origin_ns, batches=batches)
        trace.newest_ns = max(trace.newest_ns, end_ns)
    trace.version = 1
    return trace


def frame_ms(widget, action):
    """Wall time and CPU time of one frame."""
    begin, cpu_begin = time.perf_counter(), time.thread_time()
    action()
    widget.repaint()
    return (time.perf_counter() - begin) * 1e3, (time.thread_time() - cpu_begin) * 1e3


def report(what, frames, budget=None):
    wall, cpu = np.array(frames).T
    p50, p95 = np.percentile(wall, [50, 95])
    beside = f"budget p95 {budget} ms" if budget else ""
    print(f"  {what:44s} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   CPU p95 {np.percentile(cpu, 95):6.1f} ms   {beside}")


def hover_ms(widget, x):
    """The same of moving the mouse: only what changed is painted."""
    begin, cpu_begin = time.perf_counter(), time.thread_time()
    widget.hover(x, 300.0)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.UpdateRequest)
    return (time.perf_counter() - begin) * 1e3, (time.thread_time() - cpu_begin) * 1e3


def zoom_frames(frame):
    """Frames of zooming in thirty steps and out again; `frame` gets the factor of a step."""
    return [frame(0.8) for _ in range(30)] + [frame(1.25) for _ in range(30)]


class Heartbeat:
    """The longest time for which the event loop did not come round."""

    def __init__(self):
        self.longest_ms, self._last = 0.0, time.perf_counter()
        self._timer = QTimer(interval=1)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self):
        now = time.perf_counter()
        self.longest_ms, self._last = max(self.longest_ms, (now - self._last) * 1e3), now

    def of(self, qtbot, action, until=lambda: True, timeout=60_000):
        """Does something and waits until its consequences are there."""
        qtbot.wait(50)
        self.longest_ms, self._last = 0.0, time.perf_counter()
        begin = time.perf_counter()
        action()
        qtbot.waitUntil(until, timeout=timeout)
        seconds = time.perf_counter() - begin
        qtbot.wait(300)  # what follows from it, such as a view that settles
        return seconds, self.longest_ms


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
def test_zoom_and_pan(widget, qtbot, spans):
    trace = big_trace(spans)
    print(f"\n{spans:,} spans, {LANES} lanes")
    heartbeat = Heartbeat()
    opened_s, longest_ms = heartbeat.of(qtbot, lambda: widget.set_trace(trace, f"{spans} spans"), lambda: widget.scene is not None)
    begin = time.perf_counter()
    widget.repaint()
    opened_s += time.perf_counter() - begin
    print(f"  {'open and first frame':44s} {opened_s:10.2f} s {'':37s} budget {OPEN_BUDGET_S} s")
    print(f"  {'longest gap of the event loop meanwhile':44s} {longest_ms:7.0f} ms {'':39s} budget {GAP_BUDGET_MS} ms")
    columns = sum(array.nbytes for table in trace.tracks.values() for array in table.view().values())
    tracemalloc.start()
    prepared = Scene(trace)
    prepared.prepare()
    to_draw, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"  {'memory a span: recorded, and to draw it':44s} {columns / spans:7.1f} B, {to_draw / spans:.1f} B")
    zooms = zoom_frames(lambda factor: frame_ms(widget, lambda: widget.zoom_at(factor, 1012)))
    report("zoom, whole trial to a few spans and back", zooms, ZOOM_BUDGET_MS)
    pans = []
    for _ in range(4):
        for _ in range(5):
            widget.zoom_in()
        widget.repaint()
        pans += [frame_ms(widget, lambda: widget.pan_px(12)) for _ in range(40)]
    report("pan by 12 px, at four zooms", pans, PAN_BUDGET_MS)
    report("crosshair", [hover_ms(widget, 500.0 + 7 * at) for at in range(60)], PAN_BUDGET_MS)
    assert opened_s < 10 * OPEN_BUDGET_S


def boxes_of(trace):
    """Every span as lane, start and length in seconds, and colour."""
    for number, columns in enumerate(trace.tracks.values()):
        view = columns.view()
        starts = (view["start_ns"] - trace.origin_ns) / 1e9
        lengths = (view["end_ns"] - view["start_ns"]) / 1e9
        yield number, starts, lengths, [DARK.role(STYLES[state].role) for state in view["state"].tolist()]


def bar_item(trace):
    """All spans as one bar item of pyqtgraph, with a brush for each."""
    pyqtgraph = pytest.importorskip("pyqtgraph", reason="pyqtgraph is not installed, and only this benchmark wants it")
    plot = pyqtgraph.PlotWidget()
    x0, width, y0, brushes = [], [], [], []
    known = {}
    for number, starts, lengths, values in boxes_of(trace):
        x0 += starts.tolist()
        width += lengths.tolist()
        y0 += [number] * len(starts)
        brushes += [known.setdefault(value, pyqtgraph.mkBrush(value)) for value in values]
    plot.addItem(pyqtgraph.BarGraphItem(x0=x0, width=width, y0=y0, height=0.8, brushes=brushes, pen=None))
    return plot, lambda factor: plot.getViewBox().scaleBy((factor, 1.0))


def graphics_items(trace):
    """One item of a graphics scene for each span."""
    view = QGraphicsView()
    scene = QGraphicsScene(view)
    for number, starts, lengths, values in boxes_of(trace):
        for start, length, value in zip(starts.tolist(), lengths.tolist(), values, strict=True):
            scene.addRect(QRectF(start, number * 30, length, 24), Qt.PenStyle.NoPen, QColor(value))
    view.setScene(scene)
    view.setTransform(QTransform.fromScale(1800 / scene.sceneRect().width(), 1))
    return view, lambda factor: view.scale(1 / factor, 1.0)


@pytest.mark.parametrize("spans", [10_000, 100_000])
@pytest.mark.parametrize("way", [bar_item, graphics_items])
def test_naive_ways(qtbot, way, spans):
    trace = big_trace(spans)
    begin = time.perf_counter()
    shown, zoom = way(trace)
    qtbot.addWidget(shown)
    shown.resize(1920, 1080)
    shown.show()
    QApplication.processEvents()
    print(f"\n{spans:,} spans, {way.__name__}: {way.__doc__}")
    print(f"  {'open and first frame':44s} {time.perf_counter() - begin:10.2f} s")
    painted = getattr(shown, "viewport", lambda: shown)()
    report("zoom, whole trial to a few spans and back", zoom_frames(lambda factor: frame_ms(painted, lambda: zoom(factor))))


@pytest.mark.parametrize("workers", [64])
def test_live(widget, workers):
    """100,000 spans a second, taken in ten times a second, for half a minute: the trial fills the view, then the view follows it."""
    trace, random = Trace(), np.random.default_rng(2)
    trace.origin_ns = trace.newest_ns = 10**15
    widget.set_trace(trace, "live")
    widget.set_live(True)
    each = 100_000 // 10 // (workers + 1)
    ends = dict.fromkeys(range(workers + 1), trace.origin_ns)
    frames = []
    for _ in range(LIVE_FRAMES):
        for number in ends:
            lane, states = (lane_table.MAIN_LANE, MAIN_STATES) if number == 0 else (lane_table.worker_lane(number - 1), WORKER_STATES)
            ends[number] = add_spans(trace, lane, states, each, random, ends[number], mean_ns=100_000_000 // each)
        trace.newest_ns = max(ends.values())
        trace.version += 1
        frames.append(frame_ms(widget, widget.refresh))
    print(f"\n{workers} workers live, 100,000 spans a second, {trace.span_count:,} spans at the end")
    report("refresh and frame", frames, LIVE_BUDGET_MS)
    print(f"  {'longest of them':44s} {max(wall for wall, _ in frames):7.1f} ms")


def test_a_session_in_the_window(qtbot, tmp_path):
    """Ten million spans, opened, searched, zoomed and exported, with no moment above 100 ms."""
    from PySide6.QtCore import QSettings

    from loaderscope.gui.window.figure_export import FigureChoice, Options
    from loaderscope.gui.window.main_window import MainWindow

    path = tmp_path / "big.loaderscope"
    trace, run, planned = big_trace(10_000_000), make_run(workers=(LANES - 1,)), PlannedTrial(0, 0, config_of(LANES - 1))
    writer = SessionWriter(path, force=True)
    writer.run_started(run)
    writer.trial_started(planned, trace)
    writer.trial_finished(result_of(planned, trace, run), trace)
    writer.run_finished(False)
    writer.close()
    del trace
    apply_theme(QApplication.instance(), "dark")
    window = MainWindow(QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat))
    window.dialogs.unsaved = lambda running, has_results: "discard"
    qtbot.addWidget(window, before_close_func=lambda window: window.discard_and_close())
    window.resize(1920, 1080)
    window.show()
    qtbot.waitExposed(window)
    timeline, heartbeat = window.views.timeline, Heartbeat()
    print("\n10,000,000 spans in the window")

    def tell(what, figures):
        seconds, longest_ms = figures
        print(f"  {what:30s} {seconds:6.2f} s   longest gap of the event loop {longest_ms:6.0f} ms   budget {GAP_BUDGET_MS} ms")

    tell("open", heartbeat.of(qtbot, lambda: window.open_session(str(path)), lambda: timeline.scene is not None))
    for what, action in (("zoom in", timeline.zoom_in), ("zoom out", timeline.zoom_out), ("pan", timeline.pan_right)):
        for _ in range(8):
            figures = heartbeat.of(qtbot, action)
        tell(what, figures)
    search_bar = timeline.search_bar
    search_bar.open()
    found = heartbeat.of(
        qtbot, lambda: search_bar.field.setText("batch 12345"), lambda: search_bar.note.text() and "…" not in search_bar.note.text()
    )
    tell(f"search: {search_bar.note.text()}", found)
    window.figures.ask = lambda subjects, current: FigureChoice(subjects[current], Options())
    window.figures.ask_name = lambda *_: str(tmp_path / "f.png")
    tell("export", heartbeat.of(qtbot, window.window_figures.export, (tmp_path / "f.png").exists))
