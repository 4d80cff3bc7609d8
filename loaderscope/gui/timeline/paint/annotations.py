"""Paints notes on the timeline: flags of marks, optimizer steps, hits of a search, and the start of the profiler."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPen

from loaderscope.facts.lanes import OPTIMIZER_STEP
from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.data.row_layout import PlacedRow
from loaderscope.gui.timeline.data.span_search import Search
from loaderscope.gui.timeline.paint.canvas import Canvas, colour

_FLAG_PX = 15.0
_LEAST_FLAG_PX = 9.0
_MOST_FLAG_PX = 170.0
PROFILER_STARTS = ("torch.profiler starts: what follows is the exact window", "torch.profiler starts", "profiler")
"""Texts for the gap before an exact window, longest first; the painter takes the first that fits."""

_TICK_PX, _TICK_HEIGHT_PX = 1.0, 6.0
"""Width and height of the line of an optimizer step; its seam is as wide as the line."""

THINNED = "thinned: sums only"
"""Names a range of time of which the session keeps exact sums in place of single spans."""

IN_FILE = "in the session file only"
"""Names the oldest part of a long recording that goes on, which is no longer in memory."""

_SHORT_PX = 8.0

_HIT_RISE_PX = 3.0
"""Height of the line over columns with a hit."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """A mark in sight, with the box of its flag on the axis. The left edge of the box is at the time of the mark."""

    mark: Mark
    box: QRectF


def flags(canvas: Canvas, marks: Sequence[Mark]) -> list[Flag]:
    """Returns the flags of the marks in sight, each as wide as its text unless the next flag is in the way."""
    in_sight: list[Flag] = []
    layout = canvas.layout
    places = canvas.x_of(np.array([mark.time_ns for mark in marks], np.int64)).tolist() if marks else []
    end = float(layout.width)
    for mark, x in zip(reversed(marks), reversed(places), strict=True):
        if canvas.left - 0.5 <= x <= canvas.left + layout.plot_width:
            text_px = canvas.small_font.advance(mark.text) + 10 if mark.text else _LEAST_FLAG_PX
            width = max(min(text_px, _MOST_FLAG_PX, end - x - 1), _LEAST_FLAG_PX)
            in_sight.append(Flag(mark, QRectF(x, layout.header_height - _FLAG_PX - 1, width, _FLAG_PX)))
        end = x
    return in_sight[::-1]


def paint_marks(canvas: Canvas, marks: Sequence[Mark], current: Mark | None) -> None:
    """Paints a line through all lanes and a flag with a text for each mark."""
    layout, palette = canvas.layout, canvas.palette
    for flag in flags(canvas, marks):
        ground = palette.accent if flag.mark == current else palette.text
        line = QColor(colour(ground))
        line.setAlphaF(0.75)
        canvas.painter.fillRect(QRectF(flag.box.left(), layout.header_height - 1, 1, layout.height - layout.header_height + 1), line)
        canvas.painter.fillRect(flag.box, colour(ground))
        room = flag.box.adjusted(5, 0, -4, 0)
        if flag.mark.text and room.width() > 8:
            canvas.text(room, flag.mark.text, palette.accent_text if flag.mark == current else palette.base, canvas.small_font)


def paint_profiler_start(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints an explanation of the gap between the measured epochs and the exact window on the lane of main."""
    gap_ns = canvas.scene.profiler_start_ns()
    if gap_ns is None:
        return
    left, right = canvas.x_of(np.array(gap_ns, np.int64)).tolist()
    if right < canvas.left + canvas.x0 or left > canvas.left + canvas.x1 or right - left < 1:
        return
    y = canvas.top + placed.bar_y
    low, high = max(left, canvas.left + canvas.sight[0] - 20.0), min(right, canvas.left + canvas.sight[1] + 20.0)
    ground = QColor(colour(canvas.palette.own))
    ground.setAlphaF(0.22)
    canvas.painter.fillRect(QRectF(low, y, high - low, placed.bar_height), ground)
    text = next((text for text in PROFILER_STARTS if canvas.small_font.advance(text) + 12 <= right - left), "")
    if text:
        # at the begin of the gap, not of its visible part, so that it moves along with a pan
        canvas.text(QRectF(left + 6, y, right - left - 6, placed.bar_height), text, canvas.palette.text, canvas.small_font)


def paint_optimizer_steps(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints a short line on the lane of main for each moment at which an optimizer updated the parameters of its model."""
    times_ns = canvas.scene.optimizer_steps_ns(placed.row.lanes[0])
    beside_ns = round(2 * _TICK_PX * canvas.viewport.span / canvas.layout.plot_width)
    first_ns, last_ns = canvas.part_ns
    low, high = times_ns.searchsorted(np.array([first_ns - beside_ns, last_ns + beside_ns], np.int64)).tolist()
    if low == high:
        return
    y, tall = float(canvas.top + placed.bar_y), min(_TICK_HEIGHT_PX, placed.bar_height / 2)
    places = np.unique(np.floor(canvas.x_of(times_ns[low:high]) + 0.5)).tolist()
    canvas.fill_boxes([QRectF(x - _TICK_PX, y, 3 * _TICK_PX, tall + _TICK_PX) for x in places], canvas.palette.base)
    canvas.fill_boxes([QRectF(x, y, _TICK_PX, tall) for x in places], canvas.palette.role(OPTIMIZER_STEP.role))


def paint_thinned(canvas: Canvas) -> None:
    """Paints a ground under all lanes where spans were thinned."""
    ground = QColor(colour(canvas.palette.muted))
    ground.setAlphaF(0.16)
    top = canvas.layout.header_height
    for left, right in _thinned_in_sight(canvas):
        canvas.painter.fillRect(QRectF(left, top, right - left, canvas.layout.height - top), ground)


def paint_thinned_names(canvas: Canvas, placed: PlacedRow) -> None:
    """Names the ranges in which spans were thinned, on the lane of main. Short parts between them that stayed whole do not part a name."""
    name = THINNED if canvas.scene.forgotten_until_ns() is None else IN_FILE
    width, tall = canvas.small_font.advance(name) + 8, min(13.0, placed.bar_height)
    named: list[tuple[float, float]] = []
    for first, last in _thinned_in_sight(canvas):
        left, right = max(first, float(canvas.left)), min(last, float(canvas.left + canvas.layout.plot_width))
        if named and left - named[-1][1] < _SHORT_PX:
            named[-1] = named[-1][0], right
        else:
            named.append((left, right))
    for left, right in named:
        if right - left >= width:
            box = QRectF(left + 2, canvas.top + placed.bar_y + (placed.bar_height - tall) / 2, width, tall)
            canvas.painter.fillRect(box, colour(canvas.palette.base))
            canvas.text(box.adjusted(4, 0, 0, 0), name, canvas.palette.muted, canvas.small_font)


def _thinned_in_sight(canvas: Canvas) -> list[tuple[float, float]]:
    first, last = canvas.left + canvas.sight[0] - 200.0, canvas.left + canvas.sight[1] + 200.0
    scene = canvas.scene
    forgotten_ns = scene.forgotten_until_ns()
    # a running trial draws no sums: what it has forgotten shows when its session is opened
    ranges_ns = scene.trace.thinned_ns if forgotten_ns is None else ((scene.origin_ns, forgotten_ns),)
    ranges = canvas.x_of(np.array(ranges_ns, np.int64).reshape(-1)).reshape(-1, 2).tolist()
    return [(max(left, first), min(right, last)) for left, right in ranges if right > first and left < last]


def paint_hits(canvas: Canvas, search: Search) -> None:
    """Paints outlines around hits, or a line above the columns with hits if a lane has too many."""
    painter, layout = canvas.painter, canvas.layout
    edges_ns = canvas.column_edges_ns(layout.plot_width)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(colour(canvas.palette.text), 1, Qt.PenStyle.DotLine))
    for placed in layout.rows:
        top = canvas.top + placed.bar_y
        if placed.row.kind not in ("lane", "flight") or not -placed.height < top - layout.header_height < layout.height:
            continue
        for lane in placed.row.lanes:
            for span, columns in search.hits_in_sight(lane, edges_ns):
                if span is not None:
                    box = canvas.span_box(span)
                    if box is not None:
                        painter.drawRect(box.adjusted(-0.5, -0.5, 0.5 if box.width() > 3 else 1.5, 0.5))
                    continue
                change = np.flatnonzero(np.diff(np.concatenate(([False], columns, [False])).view(np.int8)))
                for begin, end in change.reshape(-1, 2).tolist():
                    painter.fillRect(
                        QRectF(canvas.left + begin, top - _HIT_RISE_PX, end - begin, _HIT_RISE_PX - 1), colour(canvas.palette.text)
                    )
