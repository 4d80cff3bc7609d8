"""Painting of spans that are too many to tell apart: each pixel column as a stack of the exact shares of its states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QPointF, QRectF, Qt

from loaderscope.gui.timeline.canvas import Canvas, colour, indexed_image, pixel_of
from loaderscope.gui.timeline.lod import stack_heights
from loaderscope.gui.timeline.states import STYLES
from loaderscope.gui.timeline.strips import Strip

_NOTCH_WIDTH, _NOTCH_ABOVE, _NOTCH_INSIDE = 2, 2, 1
"""Pixels of the mark of a column that hides an outlier."""

_COLUMNS_A_NOTCH = 32
"""On average no more than one column in so many is marked, the one with the longest span: what is common needs no mark."""

_SEEN_COLUMNS = 3.0
"""A span of this many columns is seen without a mark."""


def paint_columns(canvas: Canvas, strips: Sequence[Strip]) -> None:
    """Paints strips over the columns x0 to x1 of a canvas, all of them in one pass."""
    ratio = canvas.ratio if canvas.is_raster else 1.0
    columns = max(round((canvas.x1 - canvas.x0) * ratio), 1)
    edges_ns = canvas.edges(columns)
    busy = [strip.index.busy_ns(edges_ns, strip.states) for strip in strips]
    shares = np.zeros((max((len(each) for each in busy), default=0), len(strips), columns), np.float32)
    for number, each in enumerate(busy):
        for level, time_ns in enumerate(each.values()):
            shares[level, number] = time_ns
    shares /= np.maximum(np.diff(edges_ns), 1).astype(np.float32)
    tall = np.array([max(round(strip.height * ratio), 1) for strip in strips], np.int32)
    heights = stack_heights(shares, tall[:, None])
    for number in range(len(strips)) if not canvas.is_raster else ():
        _paint_rectangles(canvas, strips[number], tuple(busy[number]), heights[:, number])
    for height in np.flatnonzero(np.bincount(tall)).tolist() if canvas.is_raster else ():
        alike = [number for number in np.flatnonzero(tall == height).tolist() if busy[number]]
        if alike:
            _paint_pixels(canvas, [(strips[number], tuple(busy[number])) for number in alike], heights[:, alike], height)


def _notches(canvas: Canvas, strip: Strip) -> npt.NDArray[np.float64]:
    """Widget x of the columns that hide a span much longer than its state usually takes."""
    if not strip.is_marked:
        return np.empty(0, np.float64)
    column_ns = canvas.viewport.span / canvas.layout.plot_width
    first_ns, last_ns = canvas.part_ns
    first_ns -= round(2 * _NOTCH_WIDTH * column_ns)  # whose notch reaches into what is painted
    rare_ns = strip.index.rare_ns(strip.states, _COLUMNS_A_NOTCH * column_ns)
    rows = strip.index.outliers(strip.states, first_ns, last_ns, longer_than_ns=rare_ns, most_ns=_SEEN_COLUMNS * column_ns)
    return canvas.x_of(strip.index.start_ns[rows]) if len(rows) else np.empty(0, np.float64)


def _paint_pixels(canvas: Canvas, found: Sequence[tuple[Strip, tuple[int, ...]]], heights: npt.NDArray[np.int32], tall: int) -> None:
    """As one image for each strip, all of one height: numbers from the bottom up, nothing, the same hatched, the notch."""
    nothing, _, columns = heights.shape
    above, inside = round(_NOTCH_ABOVE * canvas.ratio), round(_NOTCH_INSIDE * canvas.ratio)
    pixels = np.empty((len(found), above + tall, columns), np.uint8)
    pixels[:, :above] = nothing
    stacks = pixels[:, above:]
    stacks[:] = 0
    from_bottom = np.arange(tall, dtype=np.int16)[::-1, None]
    for top in np.cumsum(heights, axis=0, dtype=np.int16):
        stacks += (from_bottom >= top[:, None]).view(np.uint8)
    line, notch = pixel_of(canvas.palette.waiting_hatch), pixel_of(canvas.palette.text)
    for (strip, states), picture, stack in zip(found, pixels, stacks, strict=True):
        if any(STYLES[state].hatched for state in states):
            is_hatched = np.array([STYLES[state].hatched for state in states] + [False] * (nothing + 1 - len(states)))
            stack[:] += (canvas.hatching(columns, tall) & is_hatched[stack]).view(np.uint8) * np.uint8(nothing + 1)
        notches = _notches(canvas, strip)
        if len(notches):
            first = np.rint((notches - canvas.left - canvas.x0) * canvas.ratio).astype(np.int64)
            for at in range(round(_NOTCH_WIDTH * canvas.ratio)):
                picture[: above + inside, (first + at)[(first + at >= 0) & (first + at < columns)]] = 2 * (nothing + 1)
        fills = [pixel_of(canvas.palette.role(STYLES[state].role)) for state in states]
        table = [*fills, *[0] * (nothing + 1 - len(fills)), *[line] * (nothing + 1), notch]
        canvas.painter.drawImage(
            QPointF(canvas.left + canvas.x0, strip.y - above / canvas.ratio), indexed_image(picture, table, canvas.ratio)
        )


def _paint_rectangles(canvas: Canvas, strip: Strip, states: tuple[int, ...], heights: npt.NDArray[np.int32]) -> None:
    """For vector formats: neighbouring columns of equal height become one rectangle."""
    low = np.zeros(heights.shape[1], np.int64)
    x, bottom = canvas.left + canvas.x0, strip.y + strip.height
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    for state, part in zip(states, heights, strict=False):
        high = low + part
        changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
        starts = np.concatenate(([0], changes))
        ends = np.concatenate((changes, [len(low)]))
        style = STYLES[state]
        boxes = [
            QRectF(x + start, bottom - high[start], end - start, part[start])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            if part[start]
        ]
        canvas.painter.setBrush(colour(canvas.palette.role(style.role)))
        canvas.painter.drawRects(boxes)
        if style.hatched:
            canvas.hatch([box for box in boxes if box.width() >= 2], canvas.palette.waiting_hatch)
            canvas.painter.setPen(Qt.PenStyle.NoPen)
        low = high
    canvas.painter.setBrush(colour(canvas.palette.text))
    places = np.unique(_notches(canvas, strip)).tolist()
    canvas.painter.drawRects([QRectF(x, strip.y - _NOTCH_ABOVE, _NOTCH_WIDTH, _NOTCH_ABOVE + _NOTCH_INSIDE) for x in places])
