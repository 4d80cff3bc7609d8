"""Memory of every process over one trial."""

from __future__ import annotations

import dataclasses

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from loaderscope.gui.charts.drawing import (
    Frame,
    Hit,
    axis_hits,
    bottom_margin,
    draw_bottom_axis,
    draw_empty,
    draw_left_axis,
    draw_legend,
    left_margin,
    ticks,
)
from loaderscope.gui.palette import Palette
from loaderscope.gui.words import bytes_text
from loaderscope.trace.model import Trace

EMPTY = "Memory of the main process and of each worker over the trial.\nPSS counts shared pages by share, USS only a process's own pages."
SIZE_TIP = (
    "PSS: memory of a process with shared pages counted by share, so that processes can be added up.\n"
    "USS: pages that belong to this process alone, what ending it would free."
)
TIME_TIP = "Time since the trial began"
MOST_POINTS = 800
KINDS = ("pss", "private", "uss", "rss")
"""Prefixes of series keys in the order in which they are preferred for the solid lines."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One process: seconds since the trial's origin and bytes, thinned for drawing."""

    process: str
    kind: str
    times_s: tuple[float, ...]
    bytes: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class MemoryData:
    """`lines` solid, `dashed` the pages of a process alone (USS). `reason`: why there are none."""

    lines: tuple[Line, ...] = ()
    dashed: tuple[Line, ...] = ()
    reason: str = ""


def memory_data(trace: Trace | None) -> MemoryData:
    """The memory series of a trace, PSS where it could be read."""
    if trace is None:
        return MemoryData()
    found: dict[str, list[Line]] = {}
    for key in list(trace.series):
        kind, _, process = key.partition("/")
        if kind in KINDS and process:
            line = _line(trace, key, kind, process)
            if line is not None:
                found.setdefault(kind, []).append(line)
    kinds = [kind for kind in KINDS if kind in found]
    if not kinds:
        return MemoryData(reason=next((trace.unavailable[group] for group in ("memory", *KINDS) if group in trace.unavailable), ""))
    order = {"main": -1}
    solid = sorted(found[kinds[0]], key=lambda line: (order.get(line.process, 0), len(line.process), line.process))
    dashed = found.get("uss", []) if kinds[0] != "uss" else []
    return MemoryData(tuple(solid), tuple(dashed))


def _line(trace: Trace, key: str, kind: str, process: str) -> Line | None:
    view = trace.series[key][1].view()
    times, values = view["time_ns"].astype(np.int64, copy=False), view["value"]
    if not len(times):
        return None
    step = max(1, len(times) // MOST_POINTS)
    origin = trace.origin_ns if trace.origin_ns is not None else int(times[0])
    seconds = (times[::step] - np.int64(origin)) / 1e9
    return Line(process, kind, tuple(seconds.tolist()), tuple(values[::step].tolist()))


def paint_memory(painter: QPainter, area: QRectF, data: MemoryData, palette: Palette) -> list[Hit]:
    """Draws the lines; the last value of each process answers the mouse."""
    if not data.lines:
        draw_empty(painter, area, data.reason or EMPTY, palette)
        return []
    colours = {line.process: palette.lines[index % len(palette.lines)] for index, line in enumerate(data.lines)}
    kind = data.lines[0].kind.upper() if data.lines[0].kind != "private" else "private bytes"
    entries = [(colours[line.process], line.process.replace("-", " ")) for line in data.lines[:12]]
    if len(data.lines) > 12:
        entries.append((palette.muted, f"and {len(data.lines) - 12} more"))
    used = draw_legend(painter, entries, area, palette)
    everything = data.lines + data.dashed
    top = max(max(line.bytes) for line in everything) * 1.1 or 1.0
    last = max(line.times_s[-1] for line in everything)
    values = ticks(0, top, max(2, int((area.height() - used) // 36)))
    margin = left_margin(painter, [bytes_text(value) for value in values])
    plot = area.adjusted(margin, used + 4, -6, -bottom_margin(painter))
    frame = Frame(plot, (min(0.0, *(line.times_s[0] for line in everything)), max(last, 0.1)), (0.0, top))
    draw_left_axis(painter, frame, values, lambda value: bytes_text(value) if value else "0", palette)
    title = f"seconds of the trial · solid {kind}" + (", dashed USS" if data.dashed else "")
    draw_bottom_axis(
        painter, frame, ticks(*frame.x_range, max(2, int(plot.width() // 70))), lambda value: f"{value:g}", palette, title=title
    )
    hits = axis_hits(frame, SIZE_TIP, TIME_TIP)
    for line, style in [(line, Qt.PenStyle.DashLine) for line in data.dashed] + [(line, Qt.PenStyle.SolidLine) for line in data.lines]:
        colour = QColor(colours.get(line.process, palette.muted))
        painter.setPen(QPen(colour, 1.8 if style == Qt.PenStyle.SolidLine else 1.1, style))
        points = [frame.point(x, y) for x, y in zip(line.times_s, line.bytes, strict=True)]
        painter.drawPolyline(QPolygonF(points))
        if style == Qt.PenStyle.SolidLine:
            if len(points) == 1:
                painter.drawEllipse(points[0], 1.5, 1.5)
            name = line.process.replace("-", " ")
            text = f"{name}: {bytes_text(line.bytes[-1])} at the end, {bytes_text(max(line.bytes))} at most ({kind})"
            hits += [Hit(QRectF(point - QPointF(5, 5), point + QPointF(5, 5)), text) for point in points[:: max(1, len(points) // 60)]]
    return hits
