"""What the charts and the report are made of."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from loaderscope.gui.charts.drawing import Frame, axis_end, ticks
from loaderscope.gui.charts.line_styles import line_styles
from PySide6.QtCore import QLineF, QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.results import Estimate, Memory, Phase, Recommendation, SettingResult, Startup, TrialResult, WorkerMemory
from loaderscope.gui.charts.chart import paint_chart
from loaderscope.gui.charts.legend import Entry, draw_lines_legend
from loaderscope.gui.charts.memory_chart import MemoryData, memory_data, notes, paint_memory
from loaderscope.gui.charts.startup_chart import StartupData, paint_startup, startup_data
from loaderscope.gui.charts.throughput_chart import ThroughputData, label_box, paint_throughput, throughput_data
from loaderscope.gui.style.palette import DARK, LIGHT
from loaderscope.trace.model import SeriesInfo, Trace

pytestmark = pytest.mark.usefixtures("qapp")


def setting(workers, value, **changes):
    config = TrialConfig(workers, 32) if not workers else TrialConfig(workers, 32, 2, False, False, "fork", True, "process")
    config = dataclasses.replace(config, **changes)
    return SettingResult(config, [workers], Estimate(value, (value - 5, value + 5)))


def painted(paint, data, palette=LIGHT, size=(500, 300)):
    image = QImage(*size, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    hits = paint_chart(painter, QRectF(0, 0, *size), paint, data, palette)
    painter.end()
    return image, hits


def colours_of(image):
    return {image.pixelColor(x, y).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}


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
    image, hits = painted(paint_throughput, data)
    assert [hit.trial for hit in hits if hit.trial is not None] == [0, 2, 4]
    assert LIGHT.lines[0] in colours_of(image)


def many_settings():
    """Sixteen lines: more than there are colours."""
    methods, batches, prefetches, persistence = ("fork", "spawn"), (32, 64), (2, 4), (False, True)
    axes = ("start_method", "batch_size", "prefetch_factor", "persistent_workers")
    combined = itertools.product(methods, batches, prefetches, persistence)
    return [
        setting(workers, 100 * workers + number, **dict(zip(axes, values, strict=True)))
        for number, values in enumerate(combined)
        for workers in (1, 2, 4)
    ]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_that_share_a_colour_differ_in_dashes_and_marks(palette):
    styles = line_styles(4 * len(palette.lines), palette)
    assert len(set(styles)) == len(styles)
    shown = set()
    for style in styles[:: len(palette.lines)]:
        image = QImage(60, 12, QImage.Format.Format_RGB32)
        image.fill(QColor(palette.base))
        painter = QPainter(image)
        style.draw_sample(painter, QRectF(2, 0, 56, 12), palette.base)
        painter.end()
        shown.add(image.constBits().tobytes())
    assert len(shown) == 4


@pytest.mark.parametrize("size", [(395, 205), (900, 420)])
def test_a_legend_of_many_lines_leaves_most_of_the_chart_to_them(size):
    data = throughput_data(many_settings(), None)
    assert len(data.lines) == 16
    _, hits = painted(paint_throughput, data, size=size)
    spots = [hit.area.center() for hit in hits if hit.trial is not None]
    axis = next(hit.area for hit in hits if hit.text.startswith("num_workers"))
    assert len(spots) == 48
    assert axis.width() > 0.55 * size[0]
    assert 0 < min(spot.y() for spot in spots) < max(spot.y() for spot in spots) < axis.top() < size[1] - 30
    assert max(spot.y() for spot in spots) - min(spot.y() for spot in spots) > 0.25 * size[1]


def test_a_legend_without_room_tells_the_mouse_the_slowest_lines_that_it_leaves_out():
    data = throughput_data(many_settings(), None)
    _, hits = painted(paint_throughput, data, size=(395, 205))
    left_out = next(hit.text.split("\n") for hit in hits if hit.trial is None and "fork · batch" in hit.text)
    by_peak = sorted(data.lines, key=lambda line: line[1][-1].value, reverse=True)
    assert left_out == [name for name, _ in by_peak][-len(left_out) :]
    assert 1 < len(left_out) < 16


def test_a_legend_with_room_leaves_nothing_out_and_stands_within_its_area():
    image = QImage(600, 300, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    entries = [Entry(style.colour, f"setting {number}", style) for number, style in enumerate(line_styles(9, LIGHT))]
    area = QRectF(8, 8, 580, 280)
    rest, hits = draw_lines_legend(painter, entries, area, LIGHT)
    painter.end()
    assert not hits
    assert area.contains(rest)
    assert rest.height() > 0.7 * area.height()


def test_what_is_unexplained_looks_the_same_in_the_legend_as_in_the_bars():
    phases = [Phase(0, "main", "iterator", 0.0, 0.5), Phase(0, "worker-0", "first_fetch", 1.5, 0.5)]
    result = TrialResult(1, 0, "ok", setting(1, 1).config, first_batch_s=2.0, startup=Startup(0.5, None, phases))
    image, hits = painted(paint_startup, startup_data([result]))
    gap = next(hit.area for hit in hits if "unexplained" in hit.text).toRect().adjusted(2, 2, -2, -2)
    inside = [QColor(image.pixel(x, y)).name() for x in range(gap.left(), gap.right()) for y in range(gap.top(), gap.bottom())]
    assert LIGHT.base in inside  # hatched
    assert len(set(inside)) > 2
    muted = {(x, y) for x in range(image.width()) for y in range(image.height()) if QColor(image.pixel(x, y)).name() == LIGHT.muted}
    filled = [(x, y) for x, y in muted if all((x + dx, y + dy) in muted for dx in range(7) for dy in range(7))]
    assert not filled  # a plain square in the legend would be


def test_a_label_lies_beside_the_lines_where_there_is_room():
    frame = Frame(QRectF(0, 0, 400, 200), (0, 4), (0, 100))
    spot = frame.point(2, 50)
    steep = [QLineF(frame.point(1, 0), spot), QLineF(spot, frame.point(3, 100))]
    for strokes in ([], steep, [QLineF(frame.point(0, 30), frame.point(4, 30))]):
        box = label_box(frame, spot, (80, 14), strokes)
        assert frame.area.contains(box) and not box.contains(spot)
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
    image, hits = painted(paint_startup, data)
    bars = [hit for hit in hits if "import" in hit.text or "fetch" in hit.text]
    assert bars[0].area.width() == pytest.approx(2 * bars[1].area.width(), rel=0.01)
    assert bars[1].area.left() == pytest.approx(bars[0].area.right(), abs=0.6)
    assert {LIGHT.startup, LIGHT.fetch} <= colours_of(image)


def test_memory_shows_every_process_and_says_why_it_cannot():
    trace = Trace()
    trace.origin_ns = 1000
    for process, size in (("main", 3e8), ("worker-0", 2e8)):
        info = SeriesInfo(f"pss/{process}", "memory", process, "bytes", process)
        trace.series_of(info).append(time_ns=[1000, 10**9], value=[size / 2, size])
    data = memory_data(trace)
    assert [line.process for line in data.lines] == ["main", "worker-0"]
    assert data.lines[0].bytes == (1.5e8, 3e8)
    assert {DARK.lines[0], DARK.lines[1]} <= colours_of(painted(paint_memory, data, DARK)[0])
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
    hits = painted(paint_memory, data, LIGHT)[1]
    assert any("+54.4 MB" in hit.text for hit in hits if "at the end" in hit.text)
    assert any("copy-on-write" in hit.text for hit in hits if "USS grows" in hit.text)
    level = dataclasses.replace(memory, growth_bytes_per_1000_batches=Estimate(-1e6, (-2e6, 3e6)), growth_kind=None)
    assert notes(memory_data(trace, level))[0][0] == "no sure growth: −1 MB for 1,000 batches (−2 MB to +3 MB)"
    short = Memory(400_000_000, workers, None, "too short")
    assert notes(memory_data(trace, short))[0][0] == "growth: not available, too short"


@pytest.mark.parametrize(
    ("paint", "data"), [(paint_throughput, ThroughputData()), (paint_startup, StartupData()), (paint_memory, MemoryData())]
)
def test_an_empty_chart_explains_itself(paint, data):
    image, hits = painted(paint, data)
    assert hits == [] and QColor(LIGHT.muted).name() in colours_of(image)


@pytest.mark.parametrize("size", [(60, 40), (160, 110), (3000, 1200)])
def test_charts_can_be_painted_at_any_size(size):
    painted(paint_throughput, throughput_data([setting(0, 50), setting(2, 110)], None), size=size)


def test_ticks_are_round_and_inside():
    assert ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert ticks(0, 0.7, 3) == [0, 0.5]
    assert ticks(3, 3, 5) == [3]


def test_axes_end_at_round_numbers_with_little_room_left_empty():
    assert [axis_end(value) for value in (0.0, 1.0, 1.01, 85.0, 103.0, 710.0, 0.0031, -4.1)] == [0, 1, 1.5, 100, 150, 1000, 0.005, -5]
    assert all(value <= axis_end(value) <= 1.67 * value for value in (10 ** (step / 50) for step in range(-100, 100)))


def test_charts_of_similar_runs_have_the_same_axes():
    """So that two reports can be laid side by side: all that is not the data is painted alike."""

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

    for paint, make in (
        (paint_throughput, lambda factor: throughput_data([setting(0, 80 * factor), setting(2, 110 * factor)], None)),
        (paint_memory, sampled),
        (paint_startup, started),
    ):
        images = [painted(paint, make(factor))[0] for factor in (1.0, 1.06)]
        labels = [image.copy(0, image.height() - 34, image.width(), 34) for image in images]  # those below the plot
        sides = [image.copy(0, 0, 40, image.height()) for image in images]
        assert images[0] != images[1] and labels[0] == labels[1] and sides[0] == sides[1], paint


def test_the_last_value_of_an_axis_is_not_cut_off():
    config = setting(1, 1).config
    phases = [Phase(0, "worker-0", "main_import", 0.0, 0.17)]
    data = startup_data([TrialResult(0, 0, "ok", config, first_batch_s=0.17, startup=Startup(1.0, None, phases))])
    image, _ = painted(paint_startup, data)
    lines = range(image.height() - 34, image.height())
    inked = [x for x in range(image.width()) if any(image.pixelColor(x, y).lightness() < 160 for y in lines)]
    assert image.width() - 30 < max(inked) < image.width() - 2


def test_growth_that_nobody_gave_a_reason_for_is_only_not_available():
    memory = Memory(100, [WorkerMemory(0, 10, 10, 10)])
    assert next(sentence for sentence, _ in notes(MemoryData(memory=memory))) == "growth: not available"
