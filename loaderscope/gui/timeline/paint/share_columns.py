"""Paints many spans as pixel columns: each column is a stack of the exact shares of its states.

A notch marks a column that hides an outlier, a span many times longer than usual for its state. If outliers are common, only the
longest get a notch. So one stall among millions of spans is visible at any zoom. (Marking the longest span of each column would mark
every column.)
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
from loaderscope.gui.timeline.paint.strip_images import Pictures, group_alike, strip_height_px

_NOTCH_WIDTH, _NOTCH_ABOVE, _NOTCH_INSIDE = 2, 2, 1
"""Size of a notch, pixels."""

_COLUMNS_A_NOTCH = 32
"""On average at most one of this many columns gets a notch, the one with the longest span: common spans need no mark."""

_SEEN_COLUMNS = 3.0
"""A span wider than this many columns is visible without a notch."""

_FEW_SPANS, _COLUMNS_A_SPAN = 1024, 4
"""With fewer spans than 1024 plus one for every fourth column, a pass over all spans is faster than a search for every column."""

Filled = tuple[list[int], npt.NDArray[np.float32]]
"""The state indexes that occur, and the time that each of them fills in each strip and column."""

Begins = tuple[Ints, Ints]
"""For each of some spans: the position of its strip, and its start."""


@dataclasses.dataclass
class _Notches:
    """For each notch: the position of its strip, and its x in the widget."""

    strip: Ints
    x: Floats


def paint_columns(canvas: Canvas, strips: Sequence[Strip]) -> None:
    """Paints strips over the columns x0 to x1 of a canvas in one pass."""
    ratio = canvas.ratio if canvas.is_raster else 1.0
    columns = canvas.columns if canvas.is_raster else canvas.x1 - canvas.x0
    edges_ns = canvas.column_edges_ns(columns, ratio)
    column_ns = canvas.viewport.span / canvas.layout.plot_width
    # a notch of a span just outside may reach into the columns to paint
    beyond_ns = 2 * _NOTCH_WIDTH * column_ns
    first_ns, last_ns = int(edges_ns[0] - beyond_ns), int(edges_ns[-1] + beyond_ns)
    most = columns // _COLUMNS_A_SPAN + _FEW_SPANS
    is_few = [strip.index.count_between(first_ns, last_ns) < most and strip.index.is_at_hand(first_ns, last_ns) for strip in strips]
    spans = drawn_spans(
        strips, [strip.index.rows_between(first_ns, last_ns) if few else (0, 0) for strip, few in zip(strips, is_few, strict=True)]
    )
    many = [place for place, few in enumerate(is_few) if not few]
    state_indexes, filled = _time_filled(strips, spans, many, edges_ns)
    marked = [
        _hidden_outliers(strips, spans, column_ns),
        *(_hidden_outliers_of_strip(strips, place, first_ns, last_ns, column_ns) for place in many),
    ]
    notches = _Notches(np.concatenate([places for places, _ in marked]), canvas.x_of(np.concatenate([times_ns for _, times_ns in marked])))
    filled /= np.maximum(np.diff(edges_ns), 1).astype(np.float32)
    heights = stack_heights(filled, np.array([[strip_height_px(strip, ratio)] for strip in strips], np.float32))
    if canvas.is_raster:
        for pictures in group_alike(canvas, strips, round(_NOTCH_ABOVE * ratio)):
            pictures.paint(canvas, _pixel_numbers(canvas, pictures, state_indexes, heights, notches))
        return
    for number, strip in enumerate(strips):
        _paint_rectangles(canvas, strip, state_indexes, heights[:, number], notches.x[notches.strip == number])


def _time_filled(strips: Sequence[Strip], spans: StripSpans, many: Sequence[int], edges_ns: Ints) -> Filled:
    """Returns the time that states of strips fill: from `spans`; for the strips `many`, from cumulative times, at a cost by columns."""
    indexes_of_spans, time_of_spans = filled_ns(spans, len(strips), edges_ns)
    busy = {place: strips[place].index.busy_ns(edges_ns, strips[place].states) for place in many}
    state_indexes = sorted({*indexes_of_spans, *(strips[place].states.index(state) for place, times in busy.items() for state in times)})
    filled = np.zeros((len(state_indexes), len(strips), len(edges_ns) - 1), np.float32)
    filled[[state_indexes.index(state_index) for state_index in indexes_of_spans]] = time_of_spans
    for place, times in busy.items():
        for state, time_ns in times.items():
            filled[state_indexes.index(strips[place].states.index(state)), place] = time_ns
    return state_indexes, filled


def _hidden_outliers(strips: Sequence[Strip], spans: StripSpans, column_ns: float) -> Begins:
    """Returns the outliers among spans that are narrow enough for columns to hide them."""
    longest_ns = spans.end_ns - spans.start_ns
    limits_ns = np.full((len(strips), max((len(strip.states) for strip in strips), default=0)), np.inf)
    for place in np.flatnonzero(np.bincount(spans.strip)).tolist():
        if (strip := strips[place]).is_marked:
            limits_ns[place, : len(strip.states)] = strip.index.limits_ns(strip.states, _COLUMNS_A_NOTCH * column_ns)
    rows = np.flatnonzero((longest_ns <= _SEEN_COLUMNS * column_ns) & (longest_ns > limits_ns[spans.strip, spans.state_index]))
    return spans.strip[rows], spans.start_ns[rows]


def _hidden_outliers_of_strip(strips: Sequence[Strip], place: int, first_ns: int, last_ns: int, column_ns: float) -> Begins:
    """Returns the hidden outliers of one strip without looking at every span."""
    strip = strips[place]
    if not strip.is_marked:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rare_duration_ns = strip.index.rare_duration_ns(strip.states, _COLUMNS_A_NOTCH * column_ns)
    rows = strip.index.outliers(strip.states, first_ns, last_ns, longer_than_ns=rare_duration_ns, most_ns=_SEEN_COLUMNS * column_ns)
    return np.full(len(rows), place), strip.index.outlier_starts_ns(rows)


def _pixel_numbers(
    canvas: Canvas, pictures: Pictures, state_indexes: Sequence[int], heights: npt.NDArray[np.int32], notches: _Notches
) -> npt.NDArray[np.uint8]:
    """Returns the pixels of strips that are alike: states from the bottom up, nothing above them, hatching and notches."""
    columns = heights.shape[2]
    numbers = np.empty((len(pictures.places), pictures.above + pictures.tall, columns), np.uint8)
    numbers[:, : pictures.above] = pictures.nothing
    stacks = numbers[:, pictures.above :]
    own_ranks = [rank for rank, state_index in enumerate(state_indexes) if state_index < pictures.nothing]
    # a small type makes comparisons of all pixels several times faster
    dtype = np.uint8 if pictures.tall < 256 else np.int32
    parts = heights.take(pictures.places, axis=1).astype(dtype)
    top = np.zeros(parts.shape[1:], dtype)
    from_bottom = np.arange(pictures.tall, dtype=dtype)[::-1, None]
    steps = np.diff([*(state_indexes[rank] for rank in own_ranks), pictures.nothing]).astype(np.uint8)
    stacks[:] = state_indexes[own_ranks[0]] if own_ranks else pictures.nothing
    for rank, step in zip(own_ranks, steps, strict=True):
        top += parts[rank]
        above = (from_bottom >= top[:, None]).view(np.uint8)
        stacks += above if step == 1 else above * step
    hatched = [
        state_index for state_index, state in enumerate(pictures.states) if STYLES[state].is_hatched and state_index in state_indexes
    ]
    if hatched:
        lines = canvas.hatching(columns, pictures.tall)
        for state_index in hatched:
            stacks += (lines & (stacks == state_index)).view(np.uint8) * np.uint8(pictures.hatch)
    line_of = np.full(heights.shape[1], -1)
    line_of[pictures.places] = np.arange(len(pictures.places))
    line = line_of[notches.strip]
    first = np.rint((notches.x - canvas.left - canvas.x0) * canvas.ratio).astype(np.int64)
    inside = pictures.above + round(_NOTCH_INSIDE * canvas.ratio)
    for at in range(round(_NOTCH_WIDTH * canvas.ratio)):
        seen = (line >= 0) & (first + at >= 0) & (first + at < columns)
        numbers[line[seen], :inside, first[seen] + at] = pictures.mark
    return numbers


def _paint_rectangles(canvas: Canvas, strip: Strip, state_indexes: Sequence[int], heights: npt.NDArray[np.int32], notches: Floats) -> None:
    """Paints rectangles for vector formats; joins neighbouring columns of equal height."""
    low = np.zeros(heights.shape[1], np.int64)
    x, bottom = canvas.left + canvas.x0, strip.y + strip.height
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    for state_index, part in zip(state_indexes, heights, strict=True):
        if state_index >= len(strip.states):
            continue
        high = low + part
        changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
        starts = np.concatenate(([0], changes))
        ends = np.concatenate((changes, [len(low)]))
        style = STYLES[strip.states[state_index]]
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
