"""Figures of charts: what is in sight, within its axes, equally thick at every scale, with real text, and the same bytes each time."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree
import zlib

import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QRectF, QSize
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from support_session import config_of

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import SettingResult
from loaderscope.gui.charts.chart import PlotChart
from loaderscope.gui.charts.chart_figure import CHART_SIZE, chart_figure
from loaderscope.gui.charts.memory_chart import MEMORY, Line, MemoryData
from loaderscope.gui.charts.plot import Plot
from loaderscope.gui.charts.plot_parts import PlotState
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, throughput_data
from loaderscope.gui.style.figures import font_of
from loaderscope.gui.style.palette import LIGHT

pytestmark = pytest.mark.usefixtures("qapp")

ZOOMED = PlotState(x_range=(2.0, 3.0), y_range=(150.0, 250.0))

PAINT_THREE = """
import pathlib, sys
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.startup_results import Phase, Startup
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.memory_chart import MEMORY, Line, MemoryData
from loaderscope.gui.charts.startup_chart import STARTUP, startup_data
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, throughput_data
from support_session import config_of

settings = [
    SettingResult(config_of(workers, start_method=method), [workers], Estimate(workers * 9.5, (workers * 9.0, workers * 10.0)))
    for workers in (1, 2)
    for method in ("fork", "spawn")
]
phases = [Phase(0, "worker-0", "main_import", 0.0, 1.0), Phase(0, "worker-0", "first_fetch", 1.1, 0.4)]
results = [TrialResult(n, 0, "ok", config_of(n + 1), first_batch_s=1.6, startup=Startup(1.0, None, phases)) for n in range(3)]
charts = {
    "throughput": (THROUGHPUT_CHART, throughput_data(settings, None)),
    "startup": (STARTUP, startup_data(results)),
    "memory": (MEMORY, MemoryData((Line("main", "pss", (0.0, 1.0, 2.0), (1e8, 2e8, 1.5e8)),))),
}
for name, (kind, data) in charts.items():
    figure = chart_figure(kind, data, title=name, caption="A caption.")
    for suffix in ("png", "svg"):
        figure.write(pathlib.Path(sys.argv[1]) / f"{name}.{suffix}")
"""

OPEN_WINDOW = """
import sys
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication
application = QApplication([])
from loaderscope.gui.window.main_window import MainWindow
window = MainWindow(QSettings(sys.argv[1], QSettings.Format.IniFormat))
window.show()
application.processEvents()
for dock in window.views.docks.values():
    dock.raise_()
    application.processEvents()
print("pyqtgraph" in sys.modules)
window.open_path(sys.argv[2])
application.processEvents()
print("pyqtgraph" in sys.modules)
window.discard_and_close()
"""


def in_a_process(*arguments, **environment):
    """Runs Python as a user does, without a display."""
    folders = [str(pathlib.Path(__file__).parents[2]), str(pathlib.Path(__file__).parents[1])]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": os.pathsep.join(folders), **environment}
    done = subprocess.run([sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def line_data(values=((1, 100.0), (2, 200.0), (4, 400.0))):
    return throughput_data([SettingResult(config_of(workers), [workers], Estimate(value)) for workers, value in values], None)


def flat_memory():
    return MemoryData((Line("main", "pss", (0.0, 10.0), (1e8, 1e8)),))


def drawn_svg(figure, folder):
    """The SVG, painted as a viewer that obeys it would, and its texts."""
    path = figure.write(folder / "figure.svg")
    image = QImage(figure.width, figure.height, QImage.Format.Format_RGB32)
    image.fill(QColor("#ffffff"))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(str(path)).render(painter, QRectF(image.rect()))
    painter.end()
    return image, texts_in(path)


def texts_in(drawing):
    """All texts of an SVG."""
    elements = xml.etree.ElementTree.parse(drawing).iter()
    return ["".join(element.itertext()).strip() for element in elements if element.tag.endswith("}text")]


def coloured(image, colour):
    """Pixels that look like a colour."""
    wanted = QColor(colour).getRgb()[:3]
    return [
        (x, y)
        for x in range(image.width())
        for y in range(image.height())
        if all(abs(a - b) < 60 for a, b in zip(image.pixelColor(x, y).getRgb(), wanted, strict=False))
    ]


def test_a_figure_of_a_zoomed_chart_shows_the_same_range(qtbot, tmp_path):
    chart = PlotChart(THROUGHPUT_CHART, line_data(), "A chart")
    qtbot.addWidget(chart)
    chart.resize(600, 360)
    chart.show()
    chart.plot.zoom(0.5)
    (x0, x1), (y0, y1) = chart.plot.box.viewRange()
    _, texts = drawn_svg(chart.figure(""), tmp_path)
    numbers = [float(text) for text in texts if re.fullmatch(r"[\d.]+", text)]
    rates = [number for number in numbers if number > 10]
    workers = [number for number in numbers if number < 10]
    assert workers == [count for count in (1, 2, 4) if x0 <= count <= x1]
    assert len(rates) >= 2 and all(y0 <= rate <= y1 for rate in rates)


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_figure_of_a_zoomed_chart_draws_nothing_outside_of_its_axes(tmp_path, kind):
    figure = chart_figure(THROUGHPUT_CHART, line_data(), state=ZOOMED)
    image = figure.image(1.0) if kind == "png" else drawn_svg(figure, tmp_path)[0]
    plot = Plot(LIGHT, font_of(11), ZOOMED)
    THROUGHPUT_CHART.draw(plot, line_data())
    plot.record(QSize(*CHART_SIZE))
    axes = plot.box.sceneBoundingRect()
    shiboken6.delete(plot.view)
    found = coloured(image, LIGHT.lines[0])
    assert len(found) > 200
    assert [at for at in found if not axes.adjusted(-1, -1, 1, 1).contains(*at)] == []
    assert min(y for _, y in found) < axes.top() + 2, "it leaves the axes at the top"


def test_a_figure_leaves_out_what_the_legend_hides(tmp_path):
    settings = [
        SettingResult(config_of(workers, start_method=method), [workers], Estimate(100.0 * workers + len(method)))
        for workers in (1, 2)
        for method in ("fork", "spawn")
    ]
    figures = [
        chart_figure(THROUGHPUT_CHART, throughput_data(settings, None), state=PlotState(hidden=frozenset(hidden)))
        for hidden in ((), ("fork",))
    ]
    counts = [[len(coloured(figure.image(1.0), colour)) for colour in LIGHT.lines[:2]] for figure in figures]
    assert counts[1][0] < 0.3 * counts[0][0] and counts[1][1] >= 0.9 * counts[0][1]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_lines_of_a_picture_are_as_thick_at_every_scale(scale):
    image = chart_figure(MEMORY, flat_memory()).image(scale)
    base, line = (QColor(colour).red() for colour in (LIGHT.base, LIGHT.lines[0]))
    x = image.width() // 2 + 3 * scale
    column = [image.pixelColor(x, y) for y in range(round(0.8 * image.height()))]  # without the words below the axis
    covered = sum((base - colour.red()) / (base - line) for colour in column if colour.blue() - colour.red() > 20)
    assert covered / scale == pytest.approx(1.8, abs=0.3)


def test_a_drawing_has_its_words_as_text(tmp_path):
    _, texts = drawn_svg(chart_figure(THROUGHPUT_CHART, line_data(), title="A title", caption="A caption."), tmp_path)
    assert {"num_workers", "samples/s", "A title", "A caption.", "0", "400"} <= set(texts)


def test_a_document_has_its_words_as_text_of_a_font(tmp_path):
    path = chart_figure(THROUGHPUT_CHART, line_data(), title="A title").write(tmp_path / "figure.pdf")
    content = path.read_bytes()
    streams = [_inflated(found) for found in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)]
    words = sum(stream.count(b" Tj") + stream.count(b" TJ") for stream in streams)
    assert words >= 8 and b"/FontFile" in content
    assert b"/Subtype /Image" not in content, "nothing of it is pixels"


def _inflated(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return stream


def test_the_same_data_make_the_same_bytes_in_two_processes(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        in_a_process("-c", PAINT_THREE, folder, PYTHONHASHSEED=str(seed))
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert len(first) == 6 and first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_figure_is_the_same_whatever_was_drawn_before():
    figure = chart_figure(THROUGHPUT_CHART, line_data())
    image = figure.image(2.0)
    chart_figure(THROUGHPUT_CHART, line_data(), state=ZOOMED, size=(300, 200)).image(1.0)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert figure.image(2.0) == image


def test_the_window_starts_without_pyqtgraph_until_there_is_something_to_draw(tmp_path, session):
    told = in_a_process("-c", OPEN_WINDOW, tmp_path / "settings.ini", session)
    assert told.split() == ["False", "True"]


@pytest.mark.parametrize("suffix", ["html", "svg", "pdf"])
def test_the_report_command_ends_well_and_has_charts(tmp_path, session, suffix):
    page = tmp_path / f"report.{suffix}"
    in_a_process("-m", "loaderscope", "report", session, "-o", page)
    if suffix == "svg":
        assert {"num_workers", "samples/s"} <= set(texts_in(page))
    elif suffix == "html":
        assert "Steady throughput by number of workers" in page.read_text("utf-8")
    else:
        assert page.stat().st_size > 20_000
