"""What is painted where, and the same as a figure file."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.gui.style.figures import FORMATS, FigureError
from loaderscope.gui.style.palette import DARK, LIGHT
from loaderscope.gui.timeline.data.row_layout import HEADER_PX, place_rows
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.gui.timeline.paint.timeline_painter import paint, viewport_of
from loaderscope.trace import lane_table
from loaderscope.trace.model import OpenSpan, SeriesInfo, Trace

WIDTH, HEIGHT = 1000, 460


def painted(trace, palette=DARK, scale=1, range_ns=None):
    """The image, and a function from lane and absolute time to its colour there."""
    scene = Scene(trace, "a trial")
    layout = place_rows(scene.rows, WIDTH, HEIGHT)
    view = viewport_of(scene, *(range_ns or (None, None)))
    image = QImage(WIDTH * scale, HEIGHT * scale, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    painter = QPainter(image)
    paint(painter, scene, view, layout, palette)
    painter.end()

    def at(lane, time_ns, down=0.9):
        placed = next(one for one in layout.rows if lane in one.row.lanes)
        x = layout.label_width + view.x_of(time_ns - scene.origin_ns, layout.plot_width)
        y = layout.header_height + placed.bar_y + placed.bar_height * down
        return image.pixelColor(round(x * scale), int(y * scale)).name()

    return image, at


def one_lane(states, each_ns=10 * MS, repeat=1):
    trace = Trace()
    trace.origin_ns = 10**15
    lane = lane_table.worker_lane(0)
    states = list(states) * repeat
    start = trace.origin_ns + np.arange(len(states)) * each_ns
    trace.track(lane, 0).append(
        start_ns=start, end_ns=start + each_ns, state=states, batch=np.arange(len(states)), value=np.zeros(len(states), np.int64)
    )
    trace.newest_ns = int(start[-1]) + each_ns
    trace.version = 1
    return trace


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)
@pytest.mark.parametrize("scale", [1, 2])
def test_spans_have_the_colour_of_their_state(palette, scale):
    trace = one_lane([State.FETCH, State.COLLATE, State.SEND, State.INDEX_WAIT])
    _, at = painted(trace, palette, scale)
    middles = [trace.origin_ns + int((number + 0.45) * 10 * MS) for number in range(4)]
    assert [at("worker-0", middle) for middle in middles] == [palette.fetch, palette.collate, palette.send, palette.base]


@pytest.mark.usefixtures("qapp")
def test_columns_are_stacks_of_shares():
    """100,000 spans, of which half the time is fetch and half collate: the lower half of the bar is blue, the upper orange."""
    trace = one_lane([State.FETCH, State.COLLATE], each_ns=1000, repeat=50_000)
    _, at = painted(trace)
    for share in (0.1, 0.5, 0.9):
        time_ns = trace.origin_ns + int(share * 1e8)
        assert at("worker-0", time_ns, 0.8) == DARK.fetch
        assert at("worker-0", time_ns, 0.2) == DARK.collate


@pytest.mark.usefixtures("qapp")
def test_a_wait_is_hatched_exact_and_in_columns():
    for each_ns, repeat in ((10 * MS, 1), (1000, 30_000)):
        trace = Trace()
        trace.origin_ns = 10**15
        start = trace.origin_ns + np.arange(repeat) * each_ns
        trace.track(lane_table.MAIN_LANE, 0).append(
            start_ns=start, end_ns=start + each_ns, state=[State.WAIT] * repeat, batch=[-1] * repeat, value=[0] * repeat
        )
        trace.newest_ns = int(start[-1]) + each_ns
        trace.version = 1
        image, _ = painted(trace)
        colours = {image.pixelColor(x, y).name() for x in range(500, 560) for y in range(75, 100)}
        assert DARK.waiting in colours
        assert len(colours) > 1


@pytest.mark.usefixtures("qapp")
def test_a_rare_state_does_not_vanish_when_zoomed_out():
    """What takes 1 % of the time still colours a pixel of every column."""
    trace = Trace()
    trace.origin_ns = 10**15
    count = 20_000
    times = trace.origin_ns + np.arange(count) * 10_000
    both_start = np.stack([times, times + 9_900], axis=1).reshape(-1)
    both_end = np.stack([times + 9_900, times + 10_000], axis=1).reshape(-1)
    both_state = np.tile([State.FETCH, State.SEND], count)
    trace.track(lane_table.worker_lane(0), 0).append(
        start_ns=both_start, end_ns=both_end, state=both_state, batch=np.zeros(2 * count), value=np.zeros(2 * count)
    )
    trace.newest_ns = int(both_end[-1])
    trace.version = 1
    image, _ = painted(trace)
    for x in (300, 500, 800):
        assert DARK.send in {image.pixelColor(x, y).name() for y in range(70, 120)}


@pytest.mark.usefixtures("qapp")
def test_with_no_workers_fetching_is_drawn_inside_the_wait():
    trace = synthetic.make_trace(num_workers=0, batches=4, fetch_ns=20 * MS, collate_ns=5 * MS)
    _, at = painted(trace)
    fetching = trace.origin_ns + 8 * MS
    assert at("main", fetching, 0.9) == DARK.fetch
    assert at("main", fetching, 0.1) != DARK.fetch


@pytest.mark.usefixtures("qapp")
def test_an_open_span_reaches_to_the_newest_record():
    trace = one_lane([State.FETCH])
    trace.open_spans = (OpenSpan("worker-0", 0, State.COLLATE, trace.newest_ns, 1),)
    trace.newest_ns += 20 * MS
    _, at = painted(trace)
    colour = QColor(at("worker-0", trace.newest_ns - 5 * MS))
    assert colour.name() != DARK.base
    assert abs(colour.hue() - QColor(DARK.collate).hue()) < 15


@pytest.mark.usefixtures("qapp")
def test_the_reason_stands_in_the_place_of_a_lane():
    trace = one_lane([State.FETCH])
    without, _ = painted(trace)
    trace.unavailable["gpu"] = "no NVIDIA driver was found."
    trace.version += 1
    image, _ = painted(trace)
    assert image != without


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("window_ns", [0, 100 * MS])
def test_a_sampled_series_is_drawn_at_its_height(window_ns):
    trace = one_lane([State.FETCH], each_ns=1000 * MS)
    columns = trace.series_of(SeriesInfo("gpu-0/utilisation", "gpu_utilisation", "GPU", "%", window_ns=window_ns))
    for number in range(1, 11):
        columns.append(time_ns=trace.origin_ns + number * 100 * MS, value=50.0)
    scene = Scene(trace)
    layout = place_rows(scene.rows, WIDTH, HEIGHT)
    placed = next(one for one in layout.rows if one.row.kind == "plot")
    image, _ = painted(trace)
    column = [image.pixelColor(600, layout.header_height + placed.bar_y + y) for y in range(placed.bar_height)]
    drawn = [y for y, colour in enumerate(column) if colour.saturation() > 90]
    assert drawn
    assert abs(np.mean(drawn) / placed.bar_height - 0.5) < 0.08


@pytest.mark.usefixtures("qapp")
def test_painting_is_the_same_every_time():
    trace = synthetic.make_trace(num_workers=3, batches=30)
    assert painted(trace)[0] == painted(trace)[0]


# figures


@pytest.fixture
def trace():
    return synthetic.make_trace(num_workers=2, batches=20, fetch_ns=20 * MS)


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_png_has_the_scale_that_was_asked_for(trace, tmp_path, scale):
    path = timeline_figure(trace, title="a trial", caption="4 workers", width=800).write(tmp_path / "figure.png", scale)
    image = QImage(str(path))
    assert image.width() == 800 * scale
    assert image.pixelColor(2, 2).name() == LIGHT.base
    assert image.dotsPerMeterX() == pytest.approx(96 * scale / 0.0254, abs=1)


@pytest.mark.usefixtures("qapp")
def test_an_svg_looks_like_the_png_and_holds_its_caption(trace, tmp_path):
    png = QImage(str(timeline_figure(trace, title="a trial", caption="num_workers=2").write(tmp_path / "f.png", 1)))
    path = timeline_figure(trace, title="a trial", caption="num_workers=2").write(tmp_path / "f.svg")
    assert "num_workers=2" in path.read_text("utf-8")
    assert "<image" not in path.read_text("utf-8")
    renderer = QSvgRenderer(str(path))
    drawn = QImage(png.size(), QImage.Format.Format_RGB32)
    painter = QPainter(drawn)
    renderer.render(painter, QRectF(0, 0, png.width(), png.height()))
    painter.end()
    alike = sum(
        abs(png.pixelColor(x, y).lightness() - drawn.pixelColor(x, y).lightness()) < 40
        for x in range(0, png.width(), 7)
        for y in range(0, png.height(), 5)
    )
    assert alike > 0.93 * len(range(0, png.width(), 7)) * len(range(0, png.height(), 5))


@pytest.mark.usefixtures("qapp")
def test_a_zoomed_svg_leaves_the_label_column_free(trace, tmp_path):
    middle = (trace.origin_ns + trace.end_ns) // 2
    path = timeline_figure(trace, range_ns=(middle, middle + 30 * MS)).write(tmp_path / "f.svg")
    renderer = QSvgRenderer(str(path))
    image = QImage(renderer.defaultSize(), QImage.Format.Format_RGB32)
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    states = {LIGHT.fetch, LIGHT.step, LIGHT.collate}
    assert not {image.pixelColor(100, y).name() for y in range(70, image.height())} & states


@pytest.mark.usefixtures("qapp")
def test_many_spans_stay_vectors_of_a_sensible_size(tmp_path):
    trace = one_lane([State.FETCH, State.COLLATE], each_ns=1000, repeat=100_000)
    path = timeline_figure(trace).write(tmp_path / "f.svg")
    assert path.stat().st_size < 2_000_000
    renderer = QSvgRenderer(str(path))
    image = QImage(renderer.defaultSize(), QImage.Format.Format_RGB32)
    painter = QPainter(image)
    renderer.render(painter)
    painter.end()
    column = [image.pixelColor(image.width() // 2, y).name() for y in range(HEADER_PX, image.height())]
    assert 5 < column.count(LIGHT.fetch) <= column.count(LIGHT.collate) + 3 < 30
    assert column.index(LIGHT.collate) < column.index(LIGHT.fetch)


@pytest.mark.usefixtures("qapp")
def test_a_pdf_is_one(trace, tmp_path):
    path = timeline_figure(trace, title="a trial", caption="c").write(tmp_path / "f.pdf")
    assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("qapp")
def test_an_unknown_format_and_an_unwritable_place_say_so(trace, tmp_path):
    with pytest.raises(FigureError, match=r"png, \.svg, \.pdf"):
        timeline_figure(trace).write(tmp_path / "f.gif")
    for suffix in FORMATS:
        with pytest.raises(FigureError, match="could not be written"):
            timeline_figure(trace).write(tmp_path / "missing" / f"f{suffix}")


def test_a_figure_needs_neither_window_nor_display(tmp_path):
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); os.environ.pop('DISPLAY', None); os.environ.pop('QT_QPA_PLATFORM', None)\n"
        "import synthetic\nfrom loaderscope.gui.timeline.paint.timeline_figure import timeline_figure\n"
        "timeline_figure(synthetic.make_trace(num_workers=1, batches=5)).write(sys.argv[1])\n"
        "sys.exit('PySide6.QtWidgets' in sys.modules)"
    )
    target = tmp_path / "f.png"
    folder = str(pathlib.Path(synthetic.__file__).parent)
    run = subprocess.run([sys.executable, "-c", code, str(target), folder], timeout=60, check=False)
    assert run.returncode == 0
    assert target.stat().st_size > 1000


@pytest.mark.usefixtures("qapp")
def test_a_plot_says_what_its_top_stands_for():
    """At its left, above a line that is near the bottom."""
    trace = one_lane([State.FETCH])
    info = SeriesInfo("cpu/main", "cpu", "CPU of main", "%", "main")
    trace.series_of(info).append(time_ns=[trace.origin_ns, trace.newest_ns], value=[1.0, 2.0])
    image, _ = painted(trace)
    layout = place_rows(Scene(trace).rows, WIDTH, HEIGHT)
    placed = next(one for one in layout.rows if one.row.kind == "plot")
    top, left = layout.header_height + placed.bar_y, layout.label_width + 2

    def inks(columns):
        return {image.pixelColor(x, y).name() for x in columns for y in range(top, top + 14)} - {DARK.base, DARK.grid}

    assert len(inks(range(left, left + 36))) > 5
    assert not inks(range(left + 60, left + 80))
