"""Painting of spans that are too many to tell apart: each pixel column as a stack of the exact shares of its states.

Beside the shares, columns that hide a span that stands out are marked. Every column has a longest span, so marking each would point at
nothing: marked are those with a span many times longer than its state usually takes, the longest first, so that one stall among
millions of spans is seen at any zoom.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, Qt

from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints, stack_heights
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.data.strips import Strip, StripSpans, drawn_spans, filled_ns
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.strip_images import Pictures, alike, tall_px

_NOTCH_WIDTH, _NOTCH_ABOVE, _NOTCH_INSIDE = 2, 2, 1
"""Pixels of the mark of a column that hides an outlier."""

_COLUMNS_A_NOTCH = 32
"""On average no more than one column in so many is marked, the one with the longest span: what is common needs no mark."""

_SEEN_COLUMNS = 3.0
"""A span of this many columns is seen without a mark."""

_FEW_SPANS, _COLUMNS_A_SPAN = 1024, 4
"""With no more spans than these and one for every fourth column, it is quicker to look at each than to search for every column."""

Filled = tuple[list[int], npt.NDArray[np.float32]]
"""The levels that occur, and the time that each of them fills in each strip and column."""

Begins = tuple[Ints, Ints]
"""The places of strips, and when spans of them begin."""


@dataclasses.dataclass
class _Notches:
    """Marks: the place of the strip of each, and its x in the widget."""

    strip: Ints
    x: Floats


def paint_columns(canvas: Canvas, strips: Sequence[Strip]) -> None:
    """Paints strips over the columns x0 to x1 of a canvas, all of them in one pass."""
    ratio = canvas.ratio if canvas.is_raster else 1.0
    columns = canvas.columns if canvas.is_raster else canvas.x1 - canvas.x0
    edges_ns = canvas.edges(columns, ratio)
    column_ns = canvas.viewport.span / canvas.layout.plot_width
    # spans just outside may have a notch that reaches into what is painted
    beyond_ns = 2 * _NOTCH_WIDTH * column_ns
    first_ns, last_ns = int(edges_ns[0] - beyond_ns), int(edges_ns[-1] + beyond_ns)
    between = [strip.index.rows_between(first_ns, last_ns) for strip in strips]
    is_few = [last - first < columns // _COLUMNS_A_SPAN + _FEW_SPANS for first, last in between]
    spans = drawn_spans(strips, [rows if few else (0, 0) for rows, few in zip(between, is_few, strict=True)])
    many = [place for place, few in enumerate(is_few) if not few]
    levels, filled = _filled(strips, spans, many, edges_ns)
    marked = [_outliers(strips, spans, column_ns), *(_outliers_between(strips, place, first_ns, last_ns, column_ns) for place in many)]
    notches = _Notches(np.concatenate([places for places, _ in marked]), canvas.x_of(np.concatenate([times_ns for _, times_ns in marked])))
    filled /= np.maximum(np.diff(edges_ns), 1).astype(np.float32)
    heights = stack_heights(filled, np.array([[tall_px(strip, ratio)] for strip in strips], np.float32))
    if canvas.is_raster:
        for pictures in alike(canvas, strips, round(_NOTCH_ABOVE * ratio)):
            pictures.paint(canvas, _numbers(canvas, pictures, levels, heights, notches))
        return
    for number, strip in enumerate(strips):
        _paint_rectangles(canvas, strip, levels, heights[:, number], notches.x[notches.strip == number])


def _filled(strips: Sequence[Strip], spans: StripSpans, many: Sequence[int], edges_ns: Ints) -> Filled:
    """Time that strips fill: as spans say, and for those with many spans as their cumulative times do, at a cost by columns only."""
    levels_of_spans, times = filled_ns(spans, len(strips), edges_ns)
    busy = {place: strips[place].index.busy_ns(edges_ns, strips[place].states) for place in many}
    levels = sorted({*levels_of_spans, *(strips[place].states.index(state) for place, found in busy.items() for state in found)})
    filled = np.zeros((len(levels), len(strips), len(edges_ns) - 1), np.float32)
    filled[[levels.index(level) for level in levels_of_spans]] = times
    for place, found in busy.items():
        for state, time_ns in found.items():
            filled[levels.index(strips[place].states.index(state)), place] = time_ns
    return levels, filled


def _outliers(strips: Sequence[Strip], spans: StripSpans, column_ns: float) -> Begins:
    """Those among spans that a column hides and that are much longer than their state usually takes."""
    longest_ns = spans.end_ns - spans.start_ns
    limits_ns = np.full((len(strips), max((len(strip.states) for strip in strips), default=0)), np.inf)
    for place in np.flatnonzero(np.bincount(spans.strip)).tolist():
        if (strip := strips[place]).is_marked:
            limits_ns[place, : len(strip.states)] = strip.index.limits_ns(strip.states, _COLUMNS_A_NOTCH * column_ns)
    found = np.flatnonzero((longest_ns <= _SEEN_COLUMNS * column_ns) & (longest_ns > limits_ns[spans.strip, spans.level]))
    return spans.strip[found], spans.start_ns[found]


def _outliers_between(strips: Sequence[Strip], place: int, first_ns: int, last_ns: int, column_ns: float) -> Begins:
    """The same of one strip, without looking at every span."""
    strip = strips[place]
    if not strip.is_marked:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rare_ns = strip.index.rare_ns(strip.states, _COLUMNS_A_NOTCH * column_ns)
    rows = strip.index.outliers(strip.states, first_ns, last_ns, longer_than_ns=rare_ns, most_ns=_SEEN_COLUMNS * column_ns)
    return np.full(len(rows), place), strip.index.start_ns[rows]


def _numbers(
    canvas: Canvas, pictures: Pictures, levels: Sequence[int], heights: npt.NDArray[np.int32], notches: _Notches
) -> npt.NDArray[np.uint8]:
    """Pixels of alike strips: states from the bottom up, then nothing, the same hatched, the notches."""
    columns = heights.shape[2]
    numbers = np.empty((len(pictures.places), pictures.above + pictures.tall, columns), np.uint8)
    numbers[:, : pictures.above] = pictures.nothing
    stacks = numbers[:, pictures.above :]
    mine = [rank for rank, level in enumerate(levels) if level < pictures.nothing]
    # a small type makes comparing all pixels several times quicker
    dtype = np.uint8 if pictures.tall < 256 else np.int32
    parts = heights.take(pictures.places, axis=1).astype(dtype)
    top = np.zeros(parts.shape[1:], dtype)
    from_bottom = np.arange(pictures.tall, dtype=dtype)[::-1, None]
    steps = np.diff([*(levels[rank] for rank in mine), pictures.nothing]).astype(np.uint8)
    stacks[:] = levels[mine[0]] if mine else pictures.nothing
    for rank, step in zip(mine, steps, strict=True):
        top += parts[rank]
        above = (from_bottom >= top[:, None]).view(np.uint8)
        stacks += above if step == 1 else above * step
    hatched = [level for level, state in enumerate(pictures.states) if STYLES[state].is_hatched and level in levels]
    if hatched:
        lines = canvas.hatching(columns, pictures.tall)
        for level in hatched:
            stacks += (lines & (stacks == level)).view(np.uint8) * np.uint8(pictures.hatch)
    line_of = np.full(heights.shape[1], -1)
    line_of[pictures.places] = np.arange(len(pictures.places))
    line = line_of[notches.strip]
    first = np.rint((notches.x - canvas.left - canvas.x0) * canvas.ratio).astype(np.int64)
    inside = pictures.above + round(_NOTCH_INSIDE * canvas.ratio)
    for at in range(round(_NOTCH_WIDTH * canvas.ratio)):
        seen = (line >= 0) & (first + at >= 0) & (first + at < columns)
        numbers[line[seen], :inside, first[seen] + at] = pictures.mark
    return numbers


def _paint_rectangles(canvas: Canvas, strip: Strip, levels: Sequence[int], heights: npt.NDArray[np.int32], notches: Floats) -> None:
    """For vector formats: neighbouring columns of equal height become one rectangle."""
    low = np.zeros(heights.shape[1], np.int64)
    x, bottom = canvas.left + canvas.x0, strip.y + strip.height
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    for level, part in zip(levels, heights, strict=True):
        if level >= len(strip.states):
            continue
        high = low + part
        changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
        starts = np.concatenate(([0], changes))
        ends = np.concatenate((changes, [len(low)]))
        style = STYLES[strip.states[level]]
        boxes = [
            QRectF(x + start, bottom - high[start], end - start, part[start])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            if part[start]
        ]
        canvas.painter.setBrush(colour(canvas.palette.role(style.role)))
        canvas.painter.drawRects(boxes)
        if style.is_hatched:
            canvas.hatch([box for box in boxes if box.width() >= 2], canvas.palette.waiting_hatch)
            canvas.painter.setPen(Qt.PenStyle.NoPen)
        low = high
    canvas.painter.setBrush(colour(canvas.palette.text))
    places = np.unique(notches).tolist()
    canvas.painter.drawRects([QRectF(x, strip.y - _NOTCH_ABOVE, _NOTCH_WIDTH, _NOTCH_ABOVE + _NOTCH_INSIDE) for x in places])
