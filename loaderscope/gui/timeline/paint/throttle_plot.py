"""Paints the plot of what slowed each GPU down: spans with their reasons in words."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor

from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints
from loaderscope.gui.timeline.data.plot_rows import gpu_name
from loaderscope.gui.timeline.data.row_layout import PlacedRow
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.telemetry.throttle import throttling_in_words

THROTTLE_PLOT = "gpu_throttle"
_TEXT_FROM_PX = 12
_NEVER = "no throttling"


def throttled_spans(times: Ints, values: Floats) -> tuple[Ints, Ints, Ints]:
    """Returns starts, ends and reasons of the spans in which the same reasons slowed a GPU down. A reading holds until the next one."""
    if not len(times):
        return times, times, times
    reasons = values.astype(np.int64)
    begins = np.flatnonzero(np.concatenate(([True], reasons[1:] != reasons[:-1])))
    starts = times[begins]
    ends = np.append(times[begins[1:]], times[-1])
    slowed = reasons[begins] > 0
    return starts[slowed], ends[slowed], reasons[begins][slowed]


def paint_throttling(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints a band for each GPU, with a box for each throttled span."""
    height = placed.bar_height / max(len(placed.row.series), 1)
    bottom = canvas.top + placed.bar_y + placed.bar_height - 1
    canvas.line(canvas.left + canvas.x0, bottom, canvas.left + canvas.x1, bottom, canvas.palette.grid)
    fill = QColor(colour(canvas.palette.error))
    fill.setAlphaF(0.3)
    for number, key in enumerate(placed.row.series):
        y = canvas.top + placed.bar_y + number * height
        starts, ends, reasons = throttled_spans(*canvas.scene.series_values(key))
        # clipped around the whole view, so that boxes and texts are the same in every part of it
        left, right = (np.clip(canvas.x_of(edges), canvas.left - 4000.0, canvas.left + 20_000.0) for edges in (starts, ends))
        for x, end, reason in zip(left.tolist(), right.tolist(), reasons.tolist(), strict=True):
            if end < canvas.left + canvas.x0 or x > canvas.left + canvas.x1:
                continue
            box = QRectF(x, y + 1, max(end - x, 2.0), height - 2)
            canvas.painter.setPen(Qt.PenStyle.NoPen)
            canvas.painter.setBrush(fill)
            canvas.painter.drawRect(box)
            text = _reasons_text(reason)
            if height >= _TEXT_FROM_PX and box.width() > canvas.small_font.advance(text) + 8:
                canvas.text(box.adjusted(4, 0, 0, 0), text, canvas.palette.text, canvas.small_font)


def throttling_at(canvas: Canvas, placed: PlacedRow, moment_ns: int) -> str:
    """Says what slows each GPU down at a moment."""
    parts = []
    for key in placed.row.series:
        times, values = canvas.scene.series_values(key)
        row = int(np.searchsorted(times, np.int64(moment_ns), "right")) - 1
        if row >= 0 and values[row] > 0:
            parts.append((key, _reasons_text(int(values[row]))))
    return _joined(placed, parts)


def throttling_between(canvas: Canvas, placed: PlacedRow) -> str:
    """Says what slowed each GPU down within the visible range."""
    first, last = canvas.view_ns
    parts = []
    for key in placed.row.series:
        starts, ends, reasons = throttled_spans(*canvas.scene.series_values(key))
        inside = reasons[(ends >= first) & (starts <= last)]
        if len(inside):
            parts.append((key, _reasons_text(int(np.bitwise_or.reduce(inside)))))
    return _joined(placed, parts)


def _joined(placed: PlacedRow, parts: list[tuple[str, str]]) -> str:
    if len(placed.row.series) == 1:
        return parts[0][1] if parts else _NEVER
    return "   ".join(f"{gpu_name(key)} {words}" for key, words in parts) or _NEVER


def _reasons_text(reasons: int) -> str:
    return ", ".join(throttling_in_words(reasons))
