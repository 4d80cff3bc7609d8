"""Memory of every process over one trial."""

from __future__ import annotations

import dataclasses

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from loaderscope.analysis.memory_peaks import forecast_bytes
from loaderscope.facts.results import Estimate, Memory
from loaderscope.facts.text import bytes_text
from loaderscope.gui.charts.drawing import (
    Frame,
    Hit,
    axis_end,
    axis_hits,
    bottom_margin,
    draw_bottom_axis,
    draw_empty,
    draw_left_axis,
    elided,
    left_margin,
    ticks,
)
from loaderscope.gui.charts.legend import Entry, draw_lines_legend
from loaderscope.gui.style.palette import Palette
from loaderscope.trace.model import Trace

EMPTY = "Memory of the main process and of each worker over the trial.\nPSS counts shared pages by share, USS only a process's own pages."
SIZE_TIP = (
    "PSS: memory of a process with shared pages counted by share, so that processes can be added up.\n"
    "USS: pages that belong to this process alone, what ending it would free."
)
TIME_TIP = "Time since the trial began"
GROWTH_TIP = (
    "Growth of the workers' own pages (USS; private bytes on Windows) over the longest epoch, with its 95 % interval.\n"
    "After a fork workers share all pages with the main process; reading Python objects changes their reference counts,\n"
    "and each page that is written becomes the worker's own (copy-on-write): USS grows, RSS stays, shared pages shrink."
)
FORECAST_TIP = "The largest sum of this trial, and for each further worker what one of the measured workers had of its own at most."
KINDS_OF_GROWTH = {"copy-on-write": "copy-on-write growth", "new": "growth by new memory"}
_NOTES_FROM_PX = 110
"""A lower chart keeps its room for the lines."""
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
    """What the chart shows.

    Attributes:
        lines: solid.
        dashed: the pages of a process alone (USS).
        reason: why there are none.
        memory: what the analysis of the trial found, once it has ended.
        machine_bytes: memory of the machine.
    """

    lines: tuple[Line, ...] = ()
    dashed: tuple[Line, ...] = ()
    reason: str = ""
    memory: Memory | None = None
    machine_bytes: int | None = None


def memory_data(trace: Trace | None, memory: Memory | None = None, machine_bytes: int | None = None) -> MemoryData:
    """The memory series of a trace, PSS where it could be read, and what was found about them."""
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
    return MemoryData(tuple(solid), tuple(dashed), memory=memory, machine_bytes=machine_bytes)


def growth_text(growth: Estimate) -> str:
    """Growth in words, with its interval: +54 MB for 1,000 batches (+53 MB to +55 MB)."""
    text = f"{_signed(growth.value)} for 1,000 batches"
    return text if growth.ci95 is None else f"{text} ({_signed(growth.ci95[0])} to {_signed(growth.ci95[1])})"


def _signed(size: float) -> str:
    text = bytes_text(size)
    return f"+{text}" if size > 0 and text != "0 B" else text.replace("-", "−").replace("−0 B", "0 B")


def notes(data: MemoryData) -> list[tuple[str, str]]:
    """What stands above the lines: pairs of a sentence and its explanation."""
    memory = data.memory
    if memory is None or not memory.workers:
        return []
    growth = memory.growth_bytes_per_1000_batches
    if growth is None:
        found = [(", ".join(filter(None, ("growth: not available", memory.growth_reason))), GROWTH_TIP)]
    else:
        unsure = growth.ci95 is not None and growth.ci95[0] <= 0 <= growth.ci95[1]
        kind = "no sure growth" if unsure else KINDS_OF_GROWTH.get(memory.growth_kind or "", "growth")
        found = [(f"{kind}: {growth_text(growth)}", GROWTH_TIP)]
    measured = len(memory.workers)
    counts = [count for count in (2, 4, 8, 16, 32, 64, 128, 256) if count > measured][:3]
    forecasts = [(count, forecast_bytes(memory, count)) for count in counts]
    texts = [f"{count} workers: ≈ {bytes_text(size)}" for count, size in forecasts if size is not None]
    if texts:
        machine = f"\nThis machine has {bytes_text(data.machine_bytes)}." if data.machine_bytes else ""
        found.append((" · ".join(texts), FORECAST_TIP + machine))
    return found


def _draw_notes(painter: QPainter, area: QRectF, data: MemoryData, palette: Palette) -> tuple[float, list[Hit]]:
    """The sentences above the lines, where there is room; returns the height they take."""
    metrics = QFontMetricsF(painter.font())
    found = notes(data)
    if area.height() < _NOTES_FROM_PX + len(found) * metrics.height():
        return 0.0, []
    hits = []
    y = area.top()
    painter.setPen(QColor(palette.text))
    for sentence, tip in found:
        box = QRectF(area.left(), y, area.width(), metrics.height())
        shown = elided(painter, sentence, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, shown)
        hits.append(Hit(box, tip if shown == sentence else f"{sentence}\n\n{tip}"))
        y += metrics.height() + 1
    return (y - area.top() + 3 if found else 0.0), hits


def _line(trace: Trace, key: str, kind: str, process: str) -> Line | None:
    view = trace.series[key][1].view()
    times, values = view["time_ns"].astype(np.int64, copy=False), view["value"]
    if not len(times):
        return None
    step = max(1, len(times) // MOST_POINTS)
    origin = trace.origin_ns if trace.origin_ns is not None else int(times[0])
    seconds = (times[::step] - np.int64(origin)) / 1e9
    return Line(process, kind, tuple(seconds.tolist()), tuple(values[::step].tolist()))


def told_memory(data: MemoryData) -> str:
    """The chart in words."""
    return "; ".join(f"{line.process.replace('-', ' ')}: {bytes_text(max(line.bytes))} at most" for line in data.lines) + "."


def paint_memory(painter: QPainter, area: QRectF, data: MemoryData, palette: Palette) -> list[Hit]:
    """Draws the lines; the last value of each process answers the mouse."""
    if not data.lines:
        draw_empty(painter, area, data.reason or EMPTY, palette)
        return []
    colours = {line.process: palette.lines[index % len(palette.lines)] for index, line in enumerate(data.lines)}
    kind = data.lines[0].kind.upper() if data.lines[0].kind != "private" else "private bytes"
    entries = [Entry(colours[line.process], line.process.replace("-", " ")) for line in data.lines]
    area, hits = draw_lines_legend(painter, entries, area, palette)
    used, told = _draw_notes(painter, area, data, palette)
    hits += told
    everything = data.lines + data.dashed
    top = axis_end(max(max(line.bytes) for line in everything) * 1.02) or 1.0
    last = max(line.times_s[-1] for line in everything)
    values = ticks(0, top, max(2, int((area.height() - used) // 36)))
    margin = left_margin(painter, [bytes_text(value) for value in values])
    plot = area.adjusted(margin, used + 4, -6, -bottom_margin(painter))
    frame = Frame(plot, (min(0.0, *(line.times_s[0] for line in everything)), axis_end(max(last, 0.1))), (0.0, top))
    draw_left_axis(painter, frame, values, lambda value: bytes_text(value) if value else "0", palette)
    title = f"seconds of the trial · solid {kind}" + (", dashed USS" if data.dashed else "")
    draw_bottom_axis(
        painter, frame, ticks(*frame.x_range, max(2, int(plot.width() // 50))), lambda value: f"{value:g}", palette, title=title
    )
    hits += axis_hits(frame, SIZE_TIP, TIME_TIP)
    grown = {f"worker-{row.worker}": row.growth_bytes_per_1000_batches for row in data.memory.workers} if data.memory else {}
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
            growth = grown.get(line.process)
            text += f"\n{growth_text(growth)} of its own pages (USS)" if growth is not None else ""
            hits += [Hit(QRectF(point - QPointF(5, 5), point + QPointF(5, 5)), text) for point in points[:: max(1, len(points) // 60)]]
    return hits
