"""Paints few spans one by one, as rectangles with crisp edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, Qt

from loaderscope.gui.timeline.data.level_of_detail import Ints
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.data.strips import Strip, StripSpans
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.strip_images import Pictures, group_alike

_GAP_FROM_PX = 5
"""Wider spans leave a pixel free behind them, which separates neighbours."""

_HATCHED_FROM_PX = 2


def paint_exact(canvas: Canvas, strips: Sequence[Strip], spans: StripSpans) -> None:
    """Paints the spans of strips over the columns x0 to x1 of a canvas."""
    if not len(spans):
        return
    first, last = canvas.pixels_of(spans.start_ns), canvas.pixels_of(spans.end_ns)
    last = np.maximum(last, first + 1)
    last[last - first > _GAP_FROM_PX * canvas.ratio] -= max(np.ceil(canvas.ratio - 0.5), 1)
    if canvas.is_raster:
        for pictures in group_alike(canvas, strips, 0):
            pictures.paint(canvas, _pixel_numbers(canvas, pictures, spans, first, last))
    else:
        _paint_rectangles(canvas, strips, spans, first / canvas.ratio, last / canvas.ratio)


def _pixel_numbers(
    canvas: Canvas, pictures: Pictures, spans: StripSpans, first: npt.NDArray[np.float64], last: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Returns the pixels of strips that are alike. Without hatching, all rows of pixels of a strip are equal."""
    columns = canvas.columns
    line_of = np.full(int(spans.strip.max()) + 1, -1, np.int64)
    places = [place for place in pictures.places if place < len(line_of)]
    line_of[places] = np.arange(len(places))
    left = round(canvas.x0 * canvas.ratio)
    rows = np.flatnonzero((line_of[spans.strip] >= 0) & (last > left) & (first < left + columns))
    state_index, line = spans.state_index[rows], line_of[spans.strip[rows]]
    wide = last[rows] - first[rows] >= _HATCHED_FROM_PX * canvas.ratio
    begin = np.maximum(first[rows] - left, 0).astype(np.int64) + line * (columns + 1)
    end = np.minimum(last[rows] - left, columns).astype(np.int64) + line * (columns + 1)
    shape = (len(pictures.places), columns + 1)
    flat = np.full(shape, pictures.nothing, np.uint8)
    hatched = np.zeros(shape, bool)
    for number in np.flatnonzero(np.bincount(state_index)).tolist():
        of_state = state_index == number
        covered = _covered(begin[of_state], end[of_state], shape)
        flat[covered] = number
        if pictures.is_hatched[number]:
            of_state &= wide
            hatched |= _covered(begin[of_state], end[of_state], shape)
        else:
            hatched &= ~covered
    flat, hatched = flat[:, None, :columns], hatched[:, None, :columns]
    numbers = np.repeat(flat, pictures.tall, axis=1)
    if hatched.any():
        numbers += (canvas.hatching(columns, pictures.tall) & hatched).view(np.uint8) * np.uint8(pictures.hatch)
    return numbers


def _covered(begin: Ints, end: Ints, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Returns a mask of the pixels inside any of ranges; begins and ends count through all lines, one after another."""
    size = shape[0] * shape[1]
    count = np.bincount(begin, minlength=size)
    count -= np.bincount(end, minlength=size)
    return (np.cumsum(count, out=count) > 0).reshape(shape)


def _paint_rectangles(
    canvas: Canvas, strips: Sequence[Strip], spans: StripSpans, first: npt.NDArray[np.float64], last: npt.NDArray[np.float64]
) -> None:
    """Paints rectangles for vector formats, colour by colour."""
    # the SVG generator does not clip
    left, right = np.maximum(first, canvas.x0) + canvas.left, np.minimum(last, canvas.x1) + canvas.left
    y = np.array([strip.y for strip in strips], float)[spans.strip]
    height = np.array([strip.height for strip in strips], float)[spans.strip]
    for state in np.flatnonzero(np.bincount(spans.state)).tolist():
        style = STYLES[state]
        rows = np.flatnonzero((spans.state == state) & (right > left))
        width = (right - left)[rows]
        boxes = list(map(QRectF, left[rows].tolist(), y[rows].tolist(), width.tolist(), height[rows].tolist()))
        canvas.painter.setPen(Qt.PenStyle.NoPen)
        canvas.painter.setBrush(colour(canvas.palette.role(style.role)))
        canvas.painter.drawRects(boxes)
        if style.is_hatched:
            canvas.hatch([boxes[at] for at in np.flatnonzero(width >= _HATCHED_FROM_PX).tolist()], canvas.palette.waiting_hatch)
