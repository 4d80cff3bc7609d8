"""Charts, beside the frame of a screen: `pytest -m benchmark -s tests/benchmarks/bench_charts.py`.

A throughput chart of 324 settings, drawn, panned, zoomed and written; and what the first chart of a program takes.
"""

import dataclasses
import itertools
import statistics
import subprocess
import sys
import time

import pytest
from support_session import config_of

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import Recommendation, SettingResult
from loaderscope.gui.charts.chart import PlotChart
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, throughput_data

pytestmark = pytest.mark.benchmark

FRAME_BUDGET_MS = 33.0  # two frames of a screen: what still looks like one movement
FRAMES = 40

FIRST = """
import time
from PySide6.QtWidgets import QApplication
application = QApplication([])
import numpy
start = time.perf_counter()
import loaderscope.gui.charts.plot
print(time.perf_counter() - start)
"""


def many_settings():
    axes = ("start_method", "batch_size", "prefetch_factor", "persistent_workers")
    values = itertools.product(("fork", "spawn", "forkserver"), (16, 32, 64), (2, 4), (False, True))
    settings = []
    for line, chosen in enumerate(values):
        for workers in (1, 2, 3, 4, 6, 8, 12, 16, 24):
            config = dataclasses.replace(config_of(workers), **dict(zip(axes, chosen, strict=True)))
            value = 100 * workers**0.7 * (1 + line * 0.02)
            settings.append(SettingResult(config, [len(settings)], Estimate(value, (value * 0.95, value * 1.06))))
    best = settings[40].config
    return throughput_data(settings, Recommendation(best, best, [settings[41].config], None, None, 4, 8, "because"))


def frames_ms(chart, change):
    times = []
    for _ in range(FRAMES):
        start = time.perf_counter()
        change()
        chart.grab()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def test_a_chart_of_324_settings(qtbot, tmp_path):
    chart = PlotChart(THROUGHPUT_CHART, many_settings(), "Throughput")
    qtbot.addWidget(chart)
    chart.resize(900, 420)
    chart.show()
    chart.grab()
    print()
    for name, change in (
        ("panned", lambda: chart.plot.pan(0.01, 0.0)),
        ("zoomed", lambda: chart.plot.zoom(0.97)),
    ):
        median, p95 = frames_ms(chart, change)
        print(f"324 settings {name}: median {median:.1f} ms, p95 {p95:.1f} ms (budget {FRAME_BUDGET_MS:.0f} ms)")
    start = time.perf_counter()
    chart_figure(THROUGHPUT_CHART, many_settings(), size=(760, 340)).write(tmp_path / "chart.png")
    print(f"324 settings as a PNG of 2x: {time.perf_counter() - start:.2f} s")


def test_what_the_first_chart_has_to_import():
    seconds = [float(subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True).stdout) for _ in range(5)]
    print(f"\nimport for the first chart, in another thread once the window is painted: {statistics.median(seconds):.2f} s")
