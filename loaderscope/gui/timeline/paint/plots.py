"""Paints sampled series: one plot for a group, with the lines of all processes on one scale."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from loaderscope.facts.lanes import QUEUE_DEPTH, plot_of
from loaderscope.gui.timeline.data import time_axis
from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints
from loaderscope.gui.timeline.data.plot_rows import series_name
from loaderscope.gui.timeline.data.row_layout import PlacedRow
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.throttle_plot import THROTTLE_PLOT, paint_throttling, throttling_at, throttling_between

_MANY_LINES = 9
"""With more lines than this, the workers' lines are pale and of one colour."""

_SCALE_FROM_PX = 22
"""A plot lower than this has no room for its scale."""

LIMIT_SUFFIX = "/power_limit"
"""End of the key of a series that is a limit and no measured quantity; its line is muted."""

_NOT_SUMMED = (LIMIT_SUFFIX, "/memory_clock")
"""Ends of the keys of series that the summary of their plot leaves out."""

_SEPARATE_WINDOWS = frozenset(("gpu_pcie",))
"""Groups whose values are means over windows far apart; between the windows the values are unknown."""


def paint_plot(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints all series of a plot."""
    if placed.row.key == THROTTLE_PLOT:
        paint_throttling(canvas, placed)
        return
    top, height = canvas.top + placed.bar_y, placed.bar_height
    scale = canvas.scene.plot_scale(placed.row)
    canvas.line(canvas.left + canvas.x0, top + height - 1, canvas.left + canvas.x1, top + height - 1, canvas.palette.grid)
    for number, key in enumerate(placed.row.series):
        info = canvas.scene.series_info(key)
        crowded = len(placed.row.series) > _MANY_LINES and info.process != "main"
        value = line_colour(canvas, info.group, info.process, number, crowded=crowded)
        canvas.painter.setOpacity(0.4 if crowded else 1.0)
        times, values = _rows_to_paint(canvas, *canvas.scene.series_values(key), info.window_ns)
        if not len(times):
            continue
        y = top + height - 1 - np.clip(values / scale, 0.0, 1.0) * (height - 3)
        if plot_of(info.group) is QUEUE_DEPTH:
            _paint_steps(canvas, times, y, top + height - 1, canvas.palette.ready)
        elif info.window_ns and len(placed.row.series) > 1 and info.group not in _SEPARATE_WINDOWS:
            _paint_window_line(canvas, times, y, info.window_ns, value)
        elif info.window_ns:
            _paint_windows(canvas, times, y, info.window_ns, value)
        elif key.endswith(LIMIT_SUFFIX):
            _paint_line(canvas, times, y, canvas.palette.muted, is_limit=True)
        else:
            _paint_line(canvas, times, y, value)
    canvas.painter.setOpacity(1.0)


def paint_scale(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints the value at the top of a plot, at the left, away from the newest values. Its background is transparent for lines below it.

    A pan does not move it, so it is no part of `paint_plot`.
    """
    if placed.bar_height < _SCALE_FROM_PX or placed.row.key == THROTTLE_PLOT:
        return
    if not any(canvas.scene.series_peak(key) for key in placed.row.series):
        return  # a plot of zeros needs no scale
    text = time_axis.quantity(round(canvas.scene.plot_scale(placed.row), 1), placed.row.unit)
    advance = canvas.small_font.advance(text)
    box = QRectF(canvas.left, canvas.top + placed.bar_y, advance + 8, canvas.small_font.height)
    ground = QColor(colour(canvas.palette.base))
    ground.setAlphaF(0.82)
    canvas.painter.fillRect(box, ground)
    canvas.text(box.adjusted(4, 0, 0, 0), text, canvas.palette.muted, canvas.small_font)


def line_colour(canvas: Canvas, group: str, process: str | None, number: int, *, crowded: bool = False) -> str:
    """Returns the colour of a line: for main that of its step, for the first device one by quantity, else the line colours in turn."""
    palette = canvas.palette
    role = plot_of(group).role
    if role and number == 0:
        return palette.role(role)
    if process == "main":
        return palette.step
    return palette.fetch if crowded else palette.lines[number % len(palette.lines)]


def summary(canvas: Canvas, placed: PlacedRow) -> str:
    """Returns the second line of a plot's label, which sums up the visible range."""
    row = placed.row
    if row.key == THROTTLE_PLOT:
        return throttling_between(canvas, placed)
    first, last = canvas.view_ns
    if plot_of(row.key) is QUEUE_DEPTH:
        times, values = canvas.scene.series_values(row.series[0])
        return f"mean {mean_over_time(times, values, first, last):.1f}" if len(times) else ""
    means, lasts, grown = [], [], []
    for key in row.series:
        if key.endswith(_NOT_SUMMED):
            continue
        times, values = canvas.scene.series_values(key)
        low, high = int(np.searchsorted(times, np.int64(first))), int(np.searchsorted(times, np.int64(last), "right"))
        inside = values[max(low - 1, 0) : high]
        inside = inside[np.isfinite(inside)]
        if len(inside):
            means.append(float(inside.mean()))
            lasts.append(float(inside[-1]))
            grown.append(float(inside[-1] - inside[0]))
    if not means:
        return ""
    if row.key == "cpu" and len(means) > 1:
        return f"{time_axis.quantity(round(sum(means)), row.unit)} in all"
    if plot_of(row.key).is_counter:
        return f"{time_axis.quantity(sum(grown), row.unit)} in view"
    if row.unit == "bytes":
        return f"last {time_axis.quantity(sum(lasts), row.unit)}{' in all' if len(lasts) > 1 else ''}"  # "last", because the peak is higher
    return f"mean {time_axis.quantity(round(sum(means) / len(means), 1), row.unit)}"


def mean_over_time(times_ns: Ints, values: Floats, first_ns: float, last_ns: float) -> float:
    """Returns the mean in a range of values that each hold until the next; 0 where the range has none."""
    low = max(int(np.searchsorted(times_ns, np.int64(first_ns), "right")) - 1, 0)
    high = int(np.searchsorted(times_ns, np.int64(last_ns)))
    edges_ns = np.clip(times_ns[low : high + 1], np.int64(first_ns), np.int64(last_ns))
    if high == len(times_ns):  # the last value ends the series
        high -= 1
    durations_ns = np.diff(edges_ns)
    total_ns = int(durations_ns.sum())
    return float((values[low:high] * durations_ns).sum() / total_ns) if total_ns else 0.0


@dataclasses.dataclass(frozen=True)
class Readings:
    """The values of a plot at one moment: dots as colour and y, and a text."""

    dots: tuple[tuple[str, float], ...]
    text: str


def readings(canvas: Canvas, placed: PlacedRow, moment_ns: int) -> Readings | None:
    """Returns the values of a plot at a moment; None if nothing was sampled there."""
    if placed.row.key == THROTTLE_PLOT:
        return Readings((), throttling_at(canvas, placed, moment_ns))
    top, height = canvas.top + placed.bar_y, placed.bar_height
    scale = canvas.scene.plot_scale(placed.row)
    dots, values = [], []
    infos = [canvas.scene.series_info(key) for key in placed.row.series]
    for number, key in enumerate(placed.row.series):
        info = canvas.scene.series_info(key)
        times, column = canvas.scene.series_values(key)
        # a mean over a window holds for the time before its stamp
        moment = np.int64(moment_ns)
        at = int(np.searchsorted(times, moment)) if info.window_ns else int(np.searchsorted(times, moment, "right")) - 1
        if not 0 <= at < len(column) or not np.isfinite(column[at]):
            continue
        if info.group in _SEPARATE_WINDOWS and moment < times[at] - info.window_ns:
            continue
        value = float(column[at])
        values.append((series_name(info, infos), value))
        y = top + height - 1 - min(max(value / scale, 0.0), 1.0) * (height - 3)
        dots.append((line_colour(canvas, info.group, info.process, number), y))
    if not values:
        return None
    unit = placed.row.unit
    if len(values) == 1:
        return Readings(tuple(dots), time_axis.quantity(round(values[0][1], 1), unit))
    if len(values) <= 5:
        return Readings(tuple(dots), "   ".join(f"{name} {time_axis.quantity(round(value, 1), unit)}" for name, value in values))
    most = max(values, key=lambda pair: pair[1])
    total = time_axis.quantity(round(sum(value for _, value in values), 1), unit)
    return Readings(tuple(dots), f"{total} in all   most: {most[0]} {time_axis.quantity(round(most[1], 1), unit)}")


def _rows_to_paint(canvas: Canvas, times: Ints, values: Floats, window_ns: int) -> tuple[Ints, Floats]:
    """Returns times and values that touch the columns to paint, and one more on either side. Thins out many values to least and largest."""
    first, last = canvas.part_ns
    low = max(int(np.searchsorted(times, np.int64(first))) - 1, 0)
    high = int(np.searchsorted(times, np.int64(last + window_ns), "right")) + 1
    in_sight = int(np.diff(np.searchsorted(times, np.array(canvas.view_ns, np.int64)))[0])
    if in_sight <= 4 * canvas.layout.plot_width:
        return times[low:high], np.nan_to_num(values[low:high])
    # least and largest value of each bucket; buckets count from the first row, so that a part of the view has the same ones as the whole
    bucket = 1 << math.ceil(math.log2(in_sight / (2 * canvas.layout.plot_width)))
    low, high = max(low // bucket - 1, 0) * bucket, (high // bucket + 1) * bucket
    times, values = times[low:high], np.nan_to_num(values[low:high])
    buckets = np.arange(0, len(times), bucket)
    least, most = np.minimum.reduceat(values, buckets), np.maximum.reduceat(values, buckets)
    return np.repeat(times[buckets], 2), np.stack([least, most], axis=1).reshape(-1)


def _polygon(x: Floats, y: Floats) -> QPolygonF:
    polygon = QPolygonF()
    for pair in zip(x.tolist(), y.tolist(), strict=True):
        polygon.append(QPointF(*pair))
    return polygon


def _clipped(canvas: Canvas, x: Floats) -> Floats:
    return np.clip(x, canvas.left + canvas.x0 - 4000.0, canvas.left + canvas.x1 + 4000.0)


def _steps(canvas: Canvas, times: Ints, y: Floats) -> tuple[Floats, Floats]:
    """Returns the corners of a step function: a value holds until the next one, the last value until the newest record."""
    x = _clipped(
        canvas, np.append(canvas.x_of(times), canvas.x_of(np.array([max(canvas.scene.trace.newest_ns, int(times[-1]))], np.int64)))
    )
    return np.repeat(x, 2)[1:-1], np.repeat(y, 2)


def _paint_steps(canvas: Canvas, times: Ints, y: Floats, bottom: float, value: str) -> None:
    x, y = _steps(canvas, times, canvas.snap(y))
    polygon = _polygon(np.concatenate(([x[0]], x, [x[-1]])), np.concatenate(([bottom], y, [bottom])))
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    canvas.painter.setBrush(colour(value))
    canvas.painter.drawPolygon(polygon)


def _paint_window_line(canvas: Canvas, times: Ints, y: Floats, window_ns: int, value: str) -> None:
    """Paints windows of one of several processes: a line that is level over each window and joins it to the next."""
    right = _clipped(canvas, canvas.x_of(times))
    first = _clipped(canvas, canvas.x_of(times[:1] - np.int64(window_ns)))
    x = np.repeat(np.concatenate((first, right)), 2)[1:-1]
    canvas.painter.save()
    canvas.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    canvas.painter.setPen(QPen(colour(value), 1.2))
    canvas.painter.drawPolyline(_polygon(x, np.repeat(y, 2)))
    canvas.painter.restore()


def _paint_line(canvas: Canvas, times: Ints, y: Floats, value: str, *, is_limit: bool = False) -> None:
    canvas.painter.save()
    canvas.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    canvas.painter.setPen(QPen(colour(value), 1.0, Qt.PenStyle.DashLine) if is_limit else QPen(colour(value), 1.4))
    if len(times) == 1:
        x = _clipped(canvas, canvas.x_of(times))[0]
        canvas.painter.drawLine(QPointF(x - 2, y[0]), QPointF(x + 2, y[0]))
    else:
        canvas.painter.drawPolyline(_polygon(_clipped(canvas, canvas.x_of(times)), y))
    canvas.painter.restore()


def _paint_windows(canvas: Canvas, times: Ints, y: Floats, window_ns: int, value: str) -> None:
    """Paints each mean over a window as a bar over that window, never as a point."""
    right = _clipped(canvas, canvas.x_of(times))
    left = _clipped(canvas, canvas.x_of(times - np.int64(window_ns)))
    # cuts overlapping windows: a window begins at the end of the one before
    left = np.maximum(left, np.concatenate(([left[0]], right[:-1])))
    glow = QColor(colour(value))
    glow.setAlphaF(0.25)
    boxes = [(x, top, max(end - x, 1.0)) for x, top, end in zip(left.tolist(), y.tolist(), right.tolist(), strict=True)]
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    canvas.painter.setBrush(glow)
    canvas.painter.drawRects([QRectF(x, top - 2, width, 4) for x, top, width in boxes])
    canvas.painter.setBrush(colour(value))
    canvas.painter.drawRects([QRectF(x, top - 0.75, width, 1.5) for x, top, width in boxes])
