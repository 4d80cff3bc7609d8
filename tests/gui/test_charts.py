"""What the charts and the report are made of."""

from __future__ import annotations

import dataclasses
import html
import itertools
import re

import pytest
import shiboken6
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QLabel

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import MEASURED, Ceiling, Memory, Recommendation, SettingResult, TrialResult, WorkerMemory
from loaderscope.facts.startup_results import Phase, Startup
from loaderscope.gui.charts.chart import PlotChart
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.legend import LegendEntry, place_legend
from loaderscope.gui.charts.memory_chart import MEMORY, MemoryData, memory_data, notes
from loaderscope.gui.charts.plot import Plot
from loaderscope.gui.charts.plot_items import label_box
from loaderscope.gui.charts.plot_parts import axis_end, line_styles
from loaderscope.gui.charts.startup_chart import STARTUP, StartupData, startup_data
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, ThroughputData, throughput_data, told_throughput
from loaderscope.gui.style.figures import font_of
from loaderscope.gui.style.palette import DARK, LIGHT
from loaderscope.trace.model import SeriesInfo, Trace

pytestmark = pytest.mark.usefixtures("qapp")


def setting(workers, value, **changes):
    config = TrialConfig(workers, 32) if not workers else TrialConfig(workers, 32, 2, False, False, "fork", True, "process")
    config = dataclasses.replace(config, **changes)
    return SettingResult(config, [workers], Estimate(value, (value - 5, value + 5)))


def sampled(factor):
    trace = Trace()
    trace.origin_ns = 0
    info = SeriesInfo("pss/main", "memory", "main", "bytes", "main")
    trace.series_of(info).append(time_ns=[0, int(6e9 * factor)], value=[2e8 * factor, 2.2e8 * factor])
    return memory_data(trace)


def started(factor):
    config = setting(1, 1).config
    phases = [Phase(0, "worker-0", "main_import", 0.0, 2.2 * factor)]
    return startup_data([TrialResult(0, 0, "ok", config, first_batch_s=2.2 * factor, startup=Startup(1.0, None, phases))])


KINDS_WITH_DATA = {
    THROUGHPUT_CHART: lambda factor: throughput_data([setting(0, 80 * factor), setting(2, 110 * factor)], None),
    MEMORY: sampled,
    STARTUP: started,
}
"""Each kind of chart with what makes data a little smaller or larger."""


plots: list[Plot] = []
"""Those of a test; they go when it ends."""


@pytest.fixture(autouse=True)
def end_plots():
    yield
    while plots:
        shiboken6.delete(plots.pop().view)


def plot_of(kind, data, palette=LIGHT, size=(500, 300)):
    """A plot, laid out."""
    plot = Plot(palette, font_of(11))
    plots.append(plot)
    kind.draw(plot, data)
    plot.record(QSize(*size))
    return plot


def image_of(kind, data, palette=LIGHT, size=(500, 300)):
    return chart_figure(kind, data, size=size, palette=palette).image(1.0)


def spots_of(plot):
    """Where the points lie that answer the mouse, in pixels, by trial."""
    return {target.trial: plot.box.mapViewToScene(QPointF(target.x[0], target.y[0])) for target in plot.targets}


def legend_of(plot):
    """Entries of the legend that are in sight, from top to bottom and from left to right."""
    shown = [item for item in plot.view.scene().items() if isinstance(item, LegendEntry) and item.isVisible()]
    return sorted(shown, key=lambda entry: (entry.pos().y(), entry.pos().x()))


def texts_in(figure, folder):
    """All texts of a figure, as an SVG holds them."""
    drawing = figure.write(folder / "texts.svg").read_text(encoding="utf-8")
    return [html.unescape(text.strip()) for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawing)]


def is_near(colour, other, reach=40):
    """Whether two colours look alike."""
    one, two = QColor(colour), QColor(other)
    return all(abs(a - b) <= reach for a, b in zip(one.getRgb(), two.getRgb(), strict=True))


def colours_of(image):
    return {image.pixelColor(x, y).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}


@pytest.mark.parametrize(("rate", "is_above"), [(150.0, False), (15_000.0, True)])
def test_a_perfect_loader_is_a_level_of_its_own_which_is_named_also_if_it_lies_above_the_chart(tmp_path, rate, is_above):
    settings = [setting(0, 80), setting(2, 110)]
    data = throughput_data(settings, None, Ceiling(Estimate(rate), 0.5, 9, MEASURED))
    assert [point.config for _, line in data.lines for point in line] == [each.config for each in settings]
    (label,) = [text for text in texts_in(chart_figure(THROUGHPUT_CHART, data), tmp_path) if "perfect loader" in text]
    assert data.measure.with_unit(rate) in label and ("above" in label) == is_above
    assert data.measure.with_unit(rate) in told_throughput(data)
    top = plot_of(THROUGHPUT_CHART, data).box.viewRange()[1][1]
    assert (rate > top) == is_above  # settings would lie at the bottom of a chart that reached so far


def test_the_name_of_a_perfect_loader_stays_inside_a_narrow_chart():
    data = throughput_data([setting(0, 80), setting(2, 110)], None, Ceiling(Estimate(15_000.0), 0.5, 9, MEASURED))
    plot = plot_of(THROUGHPUT_CHART, data, size=(240, 300))
    (words,) = plot._upright_words
    assert plot.box.sceneBoundingRect().adjusted(-1, -1, 1, 1).contains(words.mapRectToScene(words.boundingRect()))


def test_throughput_has_a_line_for_each_start_method_that_begins_without_workers():
    settings = [
        setting(0, 50),
        setting(1, 60),
        setting(2, 110),
        setting(1, 55, start_method="spawn"),
        setting(2, 100, start_method="spawn"),
    ]
    data = throughput_data(settings, None)
    lines = {name: [point.workers for point in points] for name, points in data.lines}
    assert lines == {"fork": [0, 1, 2], "spawn": [0, 1, 2]}


def test_the_best_setting_and_its_ties_are_named():
    settings = [setting(0, 50), setting(2, 110), setting(4, 112)]
    best = settings[1].config
    recommendation = Recommendation(best, settings[2].config, [settings[2].config], None, None, 4, 8, "because")
    data = throughput_data(settings, recommendation)
    assert data.best_label == "2: best value, ties with 4"
    assert data.marker == 4
    plot = plot_of(THROUGHPUT_CHART, data)
    assert [target.trial for target in plot.targets] == [0, 2, 4]
    assert [target.text.endswith("\nrecommended") for target in plot.targets] == [False, True, False]
    assert "as fast as the recommended" in plot.targets[2].text
    image = image_of(THROUGHPUT_CHART, data)
    assert LIGHT.lines[0] in colours_of(image)
    assert [bool(pixels_beside(image, spot, LIGHT.good)) for spot in spots_of(plot).values()] == [False, True, True]


def pixels_beside(image, spot, colour):
    """Pixels of a colour in the ring around a point."""
    x, y = round(spot.x()), round(spot.y())
    around = [(x + dx, y + dy) for dx in range(-10, 11) for dy in range(-10, 11) if 25 < dx * dx + dy * dy < 100]
    return [at for at in around if image.rect().contains(*at) and is_near(image.pixelColor(*at), colour, 20)]


def many_settings(batches=(32, 64)):
    """Eight lines for each size of batches."""
    methods, prefetches, persistence = ("fork", "spawn"), (2, 4), (False, True)
    axes = ("start_method", "batch_size", "prefetch_factor", "persistent_workers")
    combined = itertools.product(methods, batches, prefetches, persistence)
    return [
        setting(workers, 100 * workers + 3 * number, **dict(zip(axes, values, strict=True)))
        for number, values in enumerate(combined)
        for workers in (1, 2, 4)
    ]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_that_share_a_colour_differ_in_dashes_and_marks(palette):
    styles = line_styles(4 * len(palette.lines), palette)
    assert len(set(styles)) == len(styles)
    shown = set()
    for style in styles[:: len(palette.lines)]:
        entry = LegendEntry("", style, font_of(11), palette, lambda: None)
        entry.set_width(56)
        image = QImage(60, 20, QImage.Format.Format_RGB32)
        image.fill(QColor(palette.base))
        painter = QPainter(image)
        entry.paint(painter, None)
        painter.end()
        shown.add(image.constBits().tobytes())
    assert len(shown) == 4


@pytest.mark.parametrize("size", [(395, 205), (900, 420)])
def test_a_legend_of_many_lines_leaves_most_of_the_chart_to_them(size):
    data = throughput_data(many_settings(), None)
    assert len(data.lines) == 16
    plot = plot_of(THROUGHPUT_CHART, data, size=size)
    lines, area = plot.box.sceneBoundingRect(), QRectF(0, 0, *size)
    spots = [plot.box.mapViewToScene(QPointF(target.x[0], target.y[0])) for target in plot.targets]
    assert len(spots) == 48
    assert area.contains(lines) and all(lines.contains(spot) for spot in spots)
    assert lines.width() > 0.55 * size[0]
    assert max(spot.y() for spot in spots) - min(spot.y() for spot in spots) > 0.25 * size[1]
    assert all(area.contains(entry.sceneBoundingRect()) for entry in legend_of(plot))
    assert not any(lines.intersects(entry.sceneBoundingRect()) for entry in legend_of(plot))


def test_a_legend_without_room_tells_the_mouse_the_slowest_lines_that_it_leaves_out():
    data = throughput_data(many_settings(), None)
    entries = legend_of(plot_of(THROUGHPUT_CHART, data, size=(395, 205)))
    (more,) = [entry for entry in entries if entry.name not in dict(data.lines)]
    left_out = more.toolTip().split("\n")
    assert more.name == f"and {len(left_out)} more" and len(entries) - 1 + len(left_out) == 16
    by_peak = sorted(data.lines, key=lambda line: line[1][-1].value, reverse=True)
    assert left_out == [name for name, _ in by_peak][-len(left_out) :]
    assert 1 < len(left_out) < 16


def test_a_legend_with_room_leaves_nothing_out_and_stands_within_its_area():
    styles = enumerate(line_styles(9, LIGHT))
    entries = [LegendEntry(f"setting {number}", style, font_of(11), LIGHT, lambda: None) for number, style in styles]
    more = LegendEntry("", "", font_of(11), LIGHT, None)
    area = QRectF(8, 8, 580, 280)
    rest = place_legend(entries, more, area, 15)
    boxes = [entry.sceneBoundingRect() for entry in entries]
    assert all(entry.isVisible() for entry in entries) and not more.isVisible()
    assert all(area.contains(box) and not box.intersects(rest) for box in boxes)
    assert not any(one.intersects(other) for one, other in itertools.combinations(boxes, 2))
    assert area.contains(rest)
    assert rest.height() > 0.7 * area.height()


def test_of_more_than_twice_as_many_lines_as_colours_the_quickest_and_the_recommended_keep_theirs():
    settings = many_settings(batches=(32, 64, 128))
    slowest = settings[0].config
    fastest = settings[-1].config
    data = throughput_data(settings, Recommendation(slowest, fastest, [], None, None, 4, 8, "because"))
    assert len(data.lines) == 24
    plot = plot_of(THROUGHPUT_CHART, data, size=(900, 420))
    by_peak = [name for name, line in sorted(data.lines, key=lambda line: line[1][-1].value, reverse=True)]
    recommended = next(name for name, line in data.lines if line[0].config == slowest)
    assert [entry.name for entry in legend_of(plot)] == [recommended, *by_peak[:7], "16 other lines"]
    others = [target for target in plot.targets if target.name == "16 other lines"]
    assert len(plot.targets) == 72 and len(others) == 48 and all(target.trial is not None for target in others)
    image = image_of(THROUGHPUT_CHART, data, size=(900, 420))
    colours = {image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())}
    assert {*LIGHT.lines, LIGHT.waiting_hatch} <= colours


def test_what_is_unexplained_looks_the_same_in_the_legend_as_in_the_bars():
    phases = [Phase(0, "main", "iterator", 0.0, 0.5), Phase(0, "worker-0", "first_fetch", 1.5, 0.5)]
    result = TrialResult(1, 0, "ok", setting(1, 1).config, first_batch_s=2.0, startup=Startup(0.5, None, phases))
    data = startup_data([result])
    plot, image = plot_of(STARTUP, data), image_of(STARTUP, data)
    gap = box_of(plot, next(target for target in plot.targets if "unexplained: " in target.text))
    (entry,) = [entry for entry in legend_of(plot) if entry.name == "unexplained"]
    swatch = QRectF(entry.pos(), entry.boundingRect().size()).toRect()
    swatch.setWidth(9)
    for box in (gap, swatch):
        middle = box.center().y()
        inside = [image.pixelColor(x, middle) for x in range(box.left() + 3, box.right() - 2)]
        assert inside and all(is_near(colour, LIGHT.base, 16) for colour in inside), "it is open"
    edge = [
        min(image.pixelColor(x, y).lightness() for y in range(gap.top() - 2, gap.top() + 3)) for x in range(gap.left() + 4, gap.right() - 4)
    ]
    assert min(edge) < 200, "its edge is drawn"
    assert max(edge) > 230, "with gaps"
    muted = {(x, y) for x in range(image.width()) for y in range(image.height()) if QColor(image.pixel(x, y)).name() == LIGHT.muted}
    filled = [(x, y) for x, y in muted if all((x + dx, y + dy) in muted for dx in range(7) for dy in range(7))]
    assert not filled  # a plain square in the legend would be


def box_of(plot, target):
    """The pixels of a bar."""
    corners = (QPointF(target.x[0], target.y[0]), QPointF(target.x[1], target.y[1]))
    first, second = (plot.box.mapViewToScene(corner) for corner in corners)
    return QRectF(first, second).normalized().toRect()


def test_a_label_lies_beside_the_lines_where_there_is_room():
    area, spot = QRectF(0, 0, 400, 200), QPointF(200, 100)
    steep = [QLineF(QPointF(100, 200), spot), QLineF(spot, QPointF(300, 0))]
    for strokes in ([], steep, [QLineF(0, 140, 400, 140)]):
        box = label_box(area, spot, (80, 14), strokes)
        assert area.contains(box) and not box.contains(spot)
        for stroke in strokes:
            assert not any(box.contains(stroke.pointAt(step / 100)) for step in range(101))


def test_startup_phases_stand_where_they_happened():
    config = setting(1, 1).config
    phases = [
        Phase(0, "worker-0", "main_import", 0.5, 1.0),
        Phase(0, "worker-0", "first_fetch", 1.5, 0.5),
        Phase(0, "main", "iterator", 0, 0.1),
    ]
    result = TrialResult(3, 0, "ok", config, first_batch_s=2.1, startup=Startup(1.0, None, phases))
    data = startup_data([result])
    assert [phase.phase for phase in data.bars[0].phases] == ["main_import", "first_fetch", "iterator"]
    plot, image = plot_of(STARTUP, data), image_of(STARTUP, data)
    imported, fetched = (box_of(plot, next(one for one in plot.targets if word in one.text)) for word in ("import", "fetch"))
    assert imported.width() == pytest.approx(2 * fetched.width(), rel=0.05)
    assert fetched.left() == pytest.approx(imported.right(), abs=1.5)
    assert image.pixelColor(imported.center()).name() == LIGHT.startup
    assert image.pixelColor(fetched.center()).name() == LIGHT.fetch
    assert all(plot.find(QPointF(box.center())).trial == 3 for box in (imported, fetched))


def test_memory_shows_every_process_and_says_why_it_cannot():
    trace = Trace()
    trace.origin_ns = 1000
    for process, size in (("main", 3e8), ("worker-0", 2e8)):
        info = SeriesInfo(f"pss/{process}", "memory", process, "bytes", process)
        trace.series_of(info).append(time_ns=[1000, 10**9], value=[size / 2, size])
    data = memory_data(trace)
    assert [line.process for line in data.lines] == ["main", "worker-0"]
    assert data.lines[0].bytes == (1.5e8, 3e8)
    assert {DARK.lines[0], DARK.lines[1]} <= colours_of(image_of(MEMORY, data, DARK))
    empty = Trace()
    empty.unavailable["memory"] = "The system forbids it."
    assert memory_data(empty).reason == "The system forbids it."


def test_memory_says_how_it_grows_and_what_more_workers_would_take():
    trace = Trace()
    trace.origin_ns = 0
    trace.series_of(SeriesInfo("pss/worker-0", "memory", "", "bytes", "worker-0")).append(time_ns=[0, 10**9], value=[1e8, 2e8])
    growth = Estimate(54.4e6, (54.0e6, -2e6 + 57e6))
    workers = [WorkerMemory(worker, 100_000_000, None, None, 8_000_000, growth) for worker in range(2)]
    memory = Memory(400_000_000, workers, growth, None, "copy-on-write")
    data = memory_data(trace, memory, 16_000_000_000)
    assert [sentence for sentence, _ in notes(data)] == [
        "copy-on-write growth: +54.4 MB for 1,000 batches (+54 MB to +55 MB)",
        "4 workers: ≈ 600 MB · 8 workers: ≈ 1 GB · 16 workers: ≈ 1.8 GB",
    ]
    assert "16 GB" in notes(data)[1][1]
    plot = plot_of(MEMORY, data)
    assert all("at the end" in target.text and "+54.4 MB" in target.text for target in plot.targets)
    assert any("copy-on-write" in item.toolTip() and "USS grows" in item.toolTip() for item in plot.view.scene().items())
    level = dataclasses.replace(memory, growth_bytes_per_1000_batches=Estimate(-1e6, (-2e6, 3e6)), growth_kind=None)
    assert notes(memory_data(trace, level))[0][0] == "no sure growth: −1 MB for 1,000 batches (−2 MB to +3 MB)"
    short = Memory(400_000_000, workers, None, "too short")
    assert notes(memory_data(trace, short))[0][0] == "growth: not available, too short"


@pytest.mark.parametrize(
    ("kind", "data"),
    [(THROUGHPUT_CHART, ThroughputData()), (STARTUP, StartupData()), (MEMORY, MemoryData(reason="The system forbids it."))],
)
def test_an_empty_chart_explains_itself(qtbot, kind, data):
    chart = PlotChart(kind, data, "A chart")
    qtbot.addWidget(chart)
    chart.show()
    assert chart.is_empty and chart.plot is None
    (text,) = [label.text() for label in chart.findChildren(QLabel) if label.isVisible()]
    assert len(text) > 20 and chart.accessibleDescription() == text


@pytest.mark.parametrize("size", [(60, 40), (160, 110), (3000, 1200)])
@pytest.mark.parametrize("kind", KINDS_WITH_DATA)
def test_charts_can_be_painted_at_any_size(kind, size):
    image = image_of(kind, KINDS_WITH_DATA[kind](1.0), size=size)
    assert (image.width(), image.height()) == size


def test_ticks_are_round_and_inside(tmp_path):
    texts = texts_in(chart_figure(THROUGHPUT_CHART, throughput_data([setting(1, 62), setting(3, 85)], None)), tmp_path)
    numbers = [float(text) for text in texts if re.fullmatch(r"[\d.]+", text)]
    assert sorted(number for number in numbers if number <= 3) == [0, 1, 3]  # workers that were measured, and 0 samples a second
    assert sorted(number for number in numbers if number > 3) == [20, 40, 60, 80, 100]


def test_axes_end_at_round_numbers_with_little_room_left_empty():
    assert [axis_end(value) for value in (0.0, 1.0, 1.01, 85.0, 103.0, 710.0, 0.0031, -4.1)] == [0, 1, 1.5, 100, 150, 1000, 0.005, -5]
    assert all(value <= axis_end(value) <= 1.67 * value for value in (10 ** (step / 50) for step in range(-100, 100)))


def test_charts_of_similar_runs_have_the_same_axes():
    """So that two reports can be laid side by side: all that is not the data is painted alike."""

    for kind, make in KINDS_WITH_DATA.items():
        images = [image_of(kind, make(factor)) for factor in (1.0, 1.06)]
        labels = [image.copy(0, image.height() - 34, image.width(), 34) for image in images]  # those below the plot
        sides = [image.copy(0, 0, 40, image.height()) for image in images]
        assert images[0] != images[1] and labels[0] == labels[1] and sides[0] == sides[1], kind


def test_the_last_value_of_an_axis_is_not_cut_off():
    config = setting(1, 1).config
    phases = [Phase(0, "worker-0", "main_import", 0.0, 0.17)]
    data = startup_data([TrialResult(0, 0, "ok", config, first_batch_s=0.17, startup=Startup(1.0, None, phases))])
    image = image_of(STARTUP, data)
    lines = range(image.height() - 34, image.height())
    inked = [x for x in range(image.width()) if any(image.pixelColor(x, y).lightness() < 160 for y in lines)]
    assert image.width() - 30 < max(inked) < image.width() - 2


def test_growth_that_nobody_gave_a_reason_for_is_only_not_available():
    memory = Memory(100, [WorkerMemory(0, 10, 10, 10)])
    assert next(sentence for sentence, _ in notes(MemoryData(memory=memory))) == "growth: not available"
