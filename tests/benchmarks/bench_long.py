"""Long recordings, beside their budgets. Run: pytest -m benchmark tests/benchmarks/bench_long.py -s

Files of ten and a hundred million spans are made once and kept in the folder for temporary files. Each is opened in the real window, in
a process of its own, whose greatest memory counts. A frame is what one step of zooming or panning costs the window's thread, offscreen
with the raster engine at 1920 x 1080; between frames the event loop takes in the rows that another thread has read meanwhile.

Then five hours of a training that records 20,000 spans a second are written as fast as they can be, as the recorder writes them. The
size of the file and the greatest memory of the process count.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parent.parent
sys.path += [str(TESTS), str(Path(__file__).parent)] if __name__ == "__main__" else []

from support_session import config_of, make_run, result_of  # noqa: E402

from loaderscope.agent.layout import State  # noqa: E402
from loaderscope.facts.run import PlannedTrial  # noqa: E402
from loaderscope.session import session_writer  # noqa: E402
from loaderscope.session.file import SessionFile, SessionWriter  # noqa: E402
from loaderscope.trace import lane_table  # noqa: E402
from loaderscope.trace.model import Trace  # noqa: E402

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

WORKERS = 15
SPANS_A_SECOND = 20_000
TRAINING_S = 5 * 3600
KEPT_BYTES = 2 << 30
RECORDING_BUDGET_MB = 600
OPEN_BUDGET_S, ZOOM_BUDGET_MS, PAN_BUDGET_MS = 2, 16, 4
MEMORY_BUDGET_MB = {10_000_000: 600, 100_000_000: 1500}
MAIN_STATES = (State.WAIT, State.TRANSFER, State.STEP)
WORKER_STATES = (State.FETCH, State.COLLATE, State.SEND)
SECOND_NS = 10**9
ORIGIN_NS = 10**15


def record(path, spans, keep_bytes, slice_s=2.0):
    """Records a training of so many spans as the recorder does, slice by slice; returns the result of its trial."""
    session_writer.COMMIT_EVERY_S = 0.0
    trace, run, planned = Trace(), make_run(workers=(WORKERS,)), PlannedTrial(0, 0, config_of(WORKERS))
    trace.origin_ns = trace.newest_ns = ORIGIN_NS
    random = np.random.default_rng(1)
    writer = SessionWriter(path, force=True, keep_bytes=keep_bytes)
    writer.run_started(run)
    writer.trial_started(planned, trace)
    lanes = [(lane_table.MAIN_LANE, MAIN_STATES), *((lane_table.worker_lane(number), WORKER_STATES) for number in range(WORKERS))]
    each = int(SPANS_A_SECOND * slice_s) // len(lanes)
    ends_ns, batches = [ORIGIN_NS] * len(lanes), 0
    for _ in range(spans // (each * len(lanes))):
        for number, (lane, states) in enumerate(lanes):
            lengths_ns = random.exponential(slice_s * SECOND_NS / each, each)
            edges_ns = ends_ns[number] + np.cumsum(lengths_ns).astype(np.int64) + np.arange(each)
            start_ns = np.append(ends_ns[number], edges_ns[:-1])
            busy_ns = ((edges_ns - start_ns) * 0.9).astype(np.int64)
            batch = batches + np.arange(each) // len(states)
            state = np.resize(np.array(states, np.uint16), each)
            columns = {"start_ns": start_ns, "end_ns": start_ns + busy_ns, "state": state, "batch": batch, "value": busy_ns}
            trace.track(lane, 0).append(**columns)
            ends_ns[number] = int(edges_ns[-1])
        batches += each // 3
        trace.newest_ns = max(ends_ns)
        trace.version += 1
        writer.trace_grew(planned, trace)
    result = result_of(planned, trace, run)
    writer.trial_finished(result, trace)
    writer.run_finished(False)
    writer.close()


def file_of(spans):
    """A session of so many spans, made at the first call."""
    path = Path(tempfile.gettempdir()) / "loaderscope-benchmarks" / f"{spans}.loaderscope"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        part = path.with_suffix(".part.loaderscope")
        subprocess.run([sys.executable, __file__, "record", str(part), str(spans), str(1 << 50)], check=True)
        part.rename(path)
    return path


def greatest_memory_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / (1024 if sys.platform == "darwin" else 1)


def show(path):
    """Opens a session in the window and prints what that costs."""
    from bench_timeline import frame_ms, zoom_frames
    from PySide6.QtCore import QSettings
    from PySide6.QtWidgets import QApplication

    from loaderscope.gui.style.theme import apply_theme
    from loaderscope.gui.window.main_window import MainWindow

    application = QApplication([])
    apply_theme(application, "dark")
    window = MainWindow(QSettings(str(path) + ".ini", QSettings.Format.IniFormat))
    window.dialogs.unsaved = lambda running, has_results: "discard"
    window.resize(1920, 1080)
    window.show()
    timeline = window.views.timeline
    print(f"before {greatest_memory_mb():.0f}")

    def settle(seconds):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            application.processEvents()
            time.sleep(0.001)

    began = time.perf_counter()
    window.open_session(str(path))
    while timeline.scene is None:
        application.processEvents()
        assert time.perf_counter() - began < 120, timeline.preparing
        time.sleep(0.001)
    timeline.repaint()
    print(f"open {time.perf_counter() - began:.3f}")
    settle(3)
    print(f"opened {greatest_memory_mb():.0f}")

    def frame(action, pause_s=0.02):
        figures = frame_ms(timeline, action)
        settle(pause_s)
        return figures

    print("zoom", *(f"{wall:.2f}:{cpu:.2f}" for wall, cpu in zoom_frames(lambda factor: frame(lambda: timeline.zoom_at(factor, 1012)))))
    print("zoom", *(f"{wall:.2f}:{cpu:.2f}" for wall, cpu in zoom_frames(lambda factor: frame(lambda: timeline.zoom_at(factor, 700), 0.2))))
    pans = []
    for _ in range(4):
        for _ in range(6):
            timeline.zoom_in()
        settle(0.5)
        timeline.repaint()
        pans += [frame(lambda: timeline.pan_px(12)) for _ in range(40)]
    print("pan", *(f"{wall:.2f}:{cpu:.2f}" for wall, cpu in pans))
    print(f"memory {greatest_memory_mb():.0f}")
    window.discard_and_close()


@pytest.mark.parametrize("spans", [10_000_000, 100_000_000])
def test_a_long_session_in_the_window(spans):
    path = file_of(spans)
    output = subprocess.run([sys.executable, __file__, "show", str(path)], check=True, capture_output=True, text=True).stdout
    lines = [line.split() for line in output.splitlines()]
    opened_s, memory_mb = (float(next(line[1] for line in lines if line[0] == name)) for name in ("open", "memory"))
    print(f"\n{spans:,} spans, {path.stat().st_size / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}")
    print(f"  open and first frame {opened_s:6.2f} s   budget {OPEN_BUDGET_S} s")
    for name, budget in (("zoom", ZOOM_BUDGET_MS), ("pan", PAN_BUDGET_MS)):
        frames = np.array([[float(figure) for figure in pair.split(":")] for line in lines if line[0] == name for pair in line[1:]])
        (p50, p95), cpu = np.percentile(frames[:, 0], [50, 95]), np.percentile(frames[:, 1], 95)
        print(f"  {name:4s} p50 {p50:5.1f} ms   p95 {p95:5.1f} ms   CPU p95 {cpu:5.1f} ms   budget p95 {budget} ms")
    print(f"  greatest memory {memory_mb:6.0f} MB   budget {MEMORY_BUDGET_MB[spans]} MB")
    assert memory_mb <= MEMORY_BUDGET_MB[spans]


def test_five_hours_of_recording(tmp_path):
    path, spans = tmp_path / "long.loaderscope", SPANS_A_SECOND * TRAINING_S
    began = time.perf_counter()
    command = [sys.executable, __file__, "record", str(path), str(spans), str(KEPT_BYTES)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, size, memory_mb = time.perf_counter() - began, path.stat().st_size, float(output.split()[-1])
    with SessionFile.open(path) as session:
        trace = session.trace(0)
        thinned_s = sum(end_ns - start_ns for start_ns, end_ns in trace.thinned_ns) / 1e9
        print(f"\n{spans:,} spans of {TRAINING_S / 3600:.0f} h recorded in {seconds:.0f} s, load {os.getloadavg()[0]:.1f}")
        print(f"  {trace.span_count:,} spans are left whole; {thinned_s / 3600:.2f} h are thinned to sums")
    print(f"  file            {size / 2**30:6.2f} GiB   budget {KEPT_BYTES / 2**30:.0f} GiB")
    print(f"  greatest memory {memory_mb:6.0f} MB    budget {RECORDING_BUDGET_MB} MB")
    assert size <= 1.01 * KEPT_BYTES
    assert memory_mb <= RECORDING_BUDGET_MB


if __name__ == "__main__":
    if sys.argv[1] == "show":
        show(Path(sys.argv[2]))
    else:
        record(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
        print("memory", greatest_memory_mb())
