"""Samples per second over num_workers, one line for each setting of the other axes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.measures import THROUGHPUT
from loaderscope.facts.results import Recommendation, SettingResult
from loaderscope.facts.settings import SETTINGS, same_but, setting_text, value_text, varying_fields
from loaderscope.gui.charts.drawing import (
    Frame,
    Hit,
    axis_end,
    axis_hits,
    bottom_margin,
    draw_bottom_axis,
    draw_empty,
    draw_left_axis,
    left_margin,
    ticks,
)
from loaderscope.gui.charts.legend import Entry, draw_lines_legend
from loaderscope.gui.charts.line_styles import LineStyle, line_styles
from loaderscope.gui.style.palette import Palette

VALUE_TIP = (
    "Steady throughput in samples a second: without start-up, the first prefetched batches and the end of the epoch.\n"
    "The upright bars are 95 % intervals."
)
WORKERS_TIP = "num_workers: worker processes of the loader; with 0 the main process loads the batches itself"
EMPTY = "Samples per second by number of workers.\nA point appears as soon as a trial is measured."


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting: workers, samples a second with its 95 % interval, and the trial to show for it."""

    workers: int
    value: float
    ci95: tuple[float, float] | None
    config: TrialConfig
    trial: int


@dataclasses.dataclass(frozen=True)
class ThroughputData:
    """`lines`: (name, points by workers). `marker`: the rule of thumb, in workers."""

    lines: tuple[tuple[str, tuple[Point, ...]], ...] = ()
    best: TrialConfig | None = None
    best_label: str = ""
    marker: int | None = None


def throughput_data(settings: Sequence[SettingResult], recommendation: Recommendation | None) -> ThroughputData:
    """Lines for all axes but the workers; a setting without workers begins every line it fits to."""
    measured = [setting for setting in settings if setting.samples_per_second is not None and setting.trials]
    groups: dict[TrialConfig, list[Point]] = {}
    alone: list[tuple[TrialConfig, Point]] = []
    for setting in measured:
        estimate = setting.samples_per_second
        assert estimate is not None
        point = Point(setting.config.num_workers, estimate.value, estimate.ci95, setting.config, setting.trials[-1])
        if setting.config.num_workers == 0:
            alone.append((setting.config, point))
        else:
            groups.setdefault(dataclasses.replace(setting.config, num_workers=1), []).append(point)
    for config, point in alone:
        fitting = [key for key in groups if same_but("num_workers", key, config)]
        for key in fitting:
            groups[key].append(point)
        if not fitting:
            groups[config] = [point]
    differing = varying_fields(groups) - {"num_workers"}
    lines = tuple(
        (_name(key, differing), tuple(sorted(points, key=lambda point: point.workers)))
        for key, points in sorted(groups.items(), key=lambda item: str(item[0]))
    )
    if recommendation is None:
        return ThroughputData(lines)
    workers = recommendation.config.num_workers
    ties = sorted({tie.num_workers for tie in recommendation.ties} - {workers})
    label = f"{workers}: " + ("best" if recommendation.config == recommendation.fastest or not ties else "best value")
    if ties:
        label += ", ties with " + ", ".join(str(tie) for tie in ties)
    return ThroughputData(lines, recommendation.config, label, recommendation.rule_of_thumb)


def _name(config: TrialConfig, differing: Collection[str]) -> str:
    """What tells a line from the others, also where it is what goes without saying elsewhere."""
    told = [setting for setting in SETTINGS if setting.field in differing and setting.of(config) is not None]
    words = [setting.word(setting.of(config)) or f"{setting.label} {value_text(setting.of(config))}" for setting in told]
    return " · ".join(words) or "all settings"


def told_throughput(data: ThroughputData) -> str:
    """The chart in words."""
    points = {point.config: point for _, line in data.lines for point in line}
    return "; ".join(f"{setting_text(point.config)}: {THROUGHPUT.with_unit(point.value)}" for point in points.values()) + "."


def paint_throughput(painter: QPainter, area: QRectF, data: ThroughputData, palette: Palette) -> list[Hit]:
    """Draws the chart and says where its points are."""
    points = [point for _, line in data.lines for point in line]
    if not points:
        draw_empty(painter, area, EMPTY, palette)
        return []
    styled = list(zip(line_styles(len(data.lines), palette), data.lines, strict=True))
    if len(styled) > len(palette.lines):  # the quickest are told first and lie above the others
        styled.sort(key=lambda one: max(point.value for point in one[1][1]), reverse=True)
    hits: list[Hit] = []
    if len(styled) > 1:
        area, hits = draw_lines_legend(painter, [Entry(style.colour, name, style) for style, (name, _) in styled], area, palette)
    top = axis_end(max(max(point.value, point.ci95[1] if point.ci95 else 0) for point in points) * 1.02) or 1.0
    values = ticks(0, top, max(2, int(area.height() // 36)))
    most = max(*(point.workers for point in points), data.marker or 0)
    margin = left_margin(painter, [_tick_text(value) for value in values])
    plot = area.adjusted(margin, 20, -6, -bottom_margin(painter))
    frame = Frame(plot, (-0.04 * max(1, most), max(1, most) * 1.06), (0.0, top))
    painter.setPen(QColor(palette.muted))
    painter.drawText(QPointF(area.left(), area.top() + QFontMetricsF(painter.font()).ascent() - 3), THROUGHPUT.unit)
    draw_left_axis(painter, frame, values, _tick_text, palette)
    whole = sorted({point.workers for point in points}) if len({point.workers for point in points}) < 9 else ticks(0, most, 8)
    draw_bottom_axis(painter, frame, whole, lambda value: f"{value:g}", palette, title="num_workers", grid=False)
    if data.marker is not None:
        _draw_marker(painter, frame, data.marker, palette)
    hits += axis_hits(frame, VALUE_TIP, WORKERS_TIP)
    for style, (_, line) in reversed(styled):
        hits += _draw_line(painter, frame, line, style, palette)
    best = next((point for point in points if point.config == data.best), None)
    if best is not None:
        _draw_best(painter, frame, best, data, palette)
    return hits


def _tick_text(value: float) -> str:
    return f"{value:g}" if value < 10_000 else f"{value / 1000:g}k"


def _draw_line(painter: QPainter, frame: Frame, line: Sequence[Point], style: LineStyle, palette: Palette) -> list[Hit]:
    painter.setPen(style.pen())
    painter.drawPolyline(QPolygonF([frame.point(point.workers, point.value) for point in line]))
    hits = []
    for point in line:
        spot = frame.point(point.workers, point.value)
        painter.setPen(QPen(QColor(style.colour), 1.4))
        text = f"{setting_text(point.config)}\n{THROUGHPUT.with_unit(point.value)}"
        if point.ci95 is not None:
            low, high = frame.y(point.ci95[0]), frame.y(point.ci95[1])
            painter.drawLine(QPointF(spot.x(), low), QPointF(spot.x(), high))
            for y in (low, high):
                painter.drawLine(QPointF(spot.x() - 3, y), QPointF(spot.x() + 3, y))
            text += f"\n95 % interval {THROUGHPUT.text(point.ci95[0])} to {THROUGHPUT.text(point.ci95[1])}"
        style.draw_mark(painter, spot, palette.base)
        hits.append(Hit(QRectF(spot.x() - 8, spot.y() - 8, 16, 16), text, point.trial))
    return hits


def _draw_marker(painter: QPainter, frame: Frame, workers: int, palette: Palette) -> None:
    x = frame.x(workers)
    painter.setPen(QPen(QColor(palette.muted), 1, Qt.PenStyle.DotLine))
    painter.drawLine(QPointF(x, frame.area.top()), QPointF(x, frame.area.bottom()))
    text = "rule of thumb 4 × GPUs"
    width = QFontMetricsF(painter.font()).horizontalAdvance(text)
    left = x + 5 if x + 5 + width < frame.area.right() else x - 5 - width
    painter.setPen(QColor(palette.muted))
    painter.drawText(QPointF(left, frame.area.bottom() - 8), text)


def _draw_best(painter: QPainter, frame: Frame, best: Point, data: ThroughputData, palette: Palette) -> None:
    spot = frame.point(best.workers, best.value)
    painter.setPen(QPen(QColor(palette.good), 2))
    painter.drawEllipse(spot, 7.5, 7.5)
    metrics = QFontMetricsF(painter.font())
    box = label_box(frame, spot, (metrics.horizontalAdvance(data.best_label) + 6, metrics.height()), _strokes(frame, data))
    background = QColor(palette.base)
    background.setAlpha(225)
    painter.fillRect(box, background)
    painter.setPen(QColor(palette.text))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, data.best_label)


def _strokes(frame: Frame, data: ThroughputData) -> list[QLineF]:
    """The lines and intervals of the chart."""
    strokes = []
    for _, line in data.lines:
        spots = [frame.point(point.workers, point.value) for point in line]
        strokes += [QLineF(first, second) for first, second in itertools.pairwise(spots)]
        for point in line:
            if point.ci95 is not None:
                x = frame.x(point.workers)
                strokes.append(QLineF(x, frame.y(point.ci95[0]), x, frame.y(point.ci95[1])))
    return strokes


def label_box(frame: Frame, spot: QPointF, size: tuple[float, float], strokes: Sequence[QLineF]) -> QRectF:
    """Where a label of this size near a spot lies inside the frame and over as few strokes as can be; the first such place wins."""
    width, height = size
    area = frame.area
    places = []
    for dx, dy in ((0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1), (1, 2), (-1, -2), (-1, 2), (1, -2)):
        x = spot.x() + dx * (width / 2 + 12) - width / 2
        y = spot.y() + dy * (height / 2 + 11) - height / 2
        x = min(max(x, area.left() + 2), area.right() - width)
        y = min(max(y, area.top() - height), area.bottom() - height - 2)
        places.append(QRectF(x, y, width, height))
    ring = QRectF(spot.x() - 8, spot.y() - 8, 16, 16)
    return min(places, key=lambda place: sum(_crosses(place, stroke) for stroke in strokes) + 2 * place.intersects(ring))


def _crosses(box: QRectF, stroke: QLineF) -> bool:
    corners = [box.topLeft(), box.topRight(), box.bottomRight(), box.bottomLeft()]
    sides = [QLineF(first, second) for first, second in zip(corners, corners[1:] + corners[:1], strict=True)]
    inside = box.contains(stroke.p1()) or box.contains(stroke.p2())
    return inside or any(stroke.intersects(side)[0] == QLineF.IntersectionType.BoundedIntersection for side in sides)
