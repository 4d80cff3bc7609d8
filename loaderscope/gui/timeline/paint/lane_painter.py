"""Paints lanes: few visible spans as exact rectangles with names, many as stacks of exact shares."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QRectF

from loaderscope.gui.timeline.data.level_of_detail import TrackIndex
from loaderscope.gui.timeline.data.row_layout import PlacedRow
from loaderscope.gui.timeline.data.state_styles import LEVEL_PARTS, STYLES, nesting_level
from loaderscope.gui.timeline.data.strips import Strip, drawn_spans, level_px, strips
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.exact_spans import paint_exact
from loaderscope.gui.timeline.paint.share_columns import paint_columns
from loaderscope.gui.timeline.paint.span_names import paint_names

EXACT_SPANS = 5_000
"""About as many rectangles can be painted within a frame."""

_LEAST_EXACT = 60
"""Each strip may have this many rectangles, however many strips there are."""


def paint_spans(canvas: Canvas, rows: Sequence[PlacedRow]) -> list[bool]:
    """Paints the spans of rows with lanes, in one pass for each nesting level.

    Returns:
        For each strip whether its spans were painted one by one. The order depends on the rows alone.
    """
    # spans per strip that can be painted one by one within a frame; the whole view decides, so that a part looks like the whole
    most = max(EXACT_SPANS // max(sum(len(placed.row.lanes) for placed in rows), 1), _LEAST_EXACT)
    first_ns, last_ns = canvas.view_ns
    # a span that ends within a pixel of the edge may reach over it, as slivers are a pixel wide
    pixel_ns = math.ceil(canvas.viewport.span / canvas.layout.plot_width)
    part_ns, is_beside = canvas.part_ns, canvas.sight != (0, canvas.layout.plot_width)
    exact: dict[int, list[tuple[Strip, tuple[int, int]]]] = {}
    many: dict[int, list[Strip]] = {}
    are_exact = []
    for strip in strips(canvas.scene, rows, canvas.top):
        in_sight = strip.index.count_between(first_ns - pixel_ns, last_ns + pixel_ns)
        beside_ns = (min(first_ns, part_ns[0]), max(last_ns, part_ns[1])) if is_beside else (first_ns, last_ns)
        to_draw_ns = beside_ns[0] - pixel_ns, beside_ns[1] + pixel_ns
        are_exact.append(_is_exact(strip.index, in_sight, last_ns - first_ns, most) and strip.index.is_at_hand(*to_draw_ns))
        if not are_exact[-1]:
            many.setdefault(strip.level, []).append(strip)
            continue
        between = strip.index.rows_between(*to_draw_ns)
        if between[1] > between[0]:
            exact.setdefault(strip.level, []).append((strip, between))
    with_names = []
    for level in range(len(LEVEL_PARTS)):
        if level in many:
            paint_columns(canvas, many[level])
        if level in exact:
            level_strips = [strip for strip, _ in exact[level]]
            spans = drawn_spans(level_strips, [between for _, between in exact[level]])
            paint_exact(canvas, level_strips, spans)
            with_names.append((level_strips, spans))
    for placed in rows:
        if placed.row.kind == "lane":
            _paint_open(canvas, placed)
    # names come last: nested spans would cover them
    for level_strips, spans in with_names:
        paint_names(canvas, level_strips, spans)
    return are_exact


def _is_exact(index: TrackIndex, in_sight: int, view_ns: int, most: int) -> bool:
    """Returns whether to paint spans one by one.

    The usual number of spans in a view this long decides, so that a lane does not change during a pan. The number in sight decides
    only if it is small or very large.
    """
    if not most // 2 < in_sight <= 2 * most:
        return in_sight <= most // 2
    start_ns, end_ns = index.extent_ns
    return len(index) * view_ns <= most * (end_ns - start_ns)


def _paint_open(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints open spans up to the newest record; paler, because their end is unknown."""
    newest = canvas.scene.trace.newest_ns
    y, height = canvas.top + placed.bar_y, placed.bar_height
    for span in canvas.scene.open_spans(placed.row.lanes[0]):
        level = nesting_level(placed.row.lane_kind, span.state)
        if level is None:
            continue
        low, high = canvas.x_of(np.array([span.start_ns, max(newest, span.start_ns)], np.int64)).tolist()
        low, high = max(low, canvas.left + canvas.sight[0] - 20.0), min(high, canvas.left + canvas.sight[1] + 20.0)
        if high - low < 1 / canvas.ratio:
            continue
        part = level_px(height, level)
        box = QRectF(low, y + height - part, high - low, part)
        style = STYLES[span.state]
        canvas.painter.setOpacity(0.55)
        canvas.painter.fillRect(box, colour(canvas.palette.role(style.role)))
        canvas.painter.setOpacity(1.0)
        if style.is_hatched:
            canvas.hatch([box], canvas.palette.waiting_hatch)
