"""Where spans are drawn."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF

from loaderscope.gui.timeline.data.row_layout import slot_px
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.paint.canvas import Canvas


def span_box(canvas: Canvas, span: SpanRef) -> QRectF | None:
    """Where a span is drawn, or None where its lane has no row."""
    for placed in canvas.layout.rows:
        if span.lane not in placed.row.lanes or canvas.layout.is_covered(placed, canvas.scroll_y):
            continue
        left, right = canvas.x_of(np.array([span.start_ns, span.end_ns], np.int64)).tolist()
        left, right = max(left, canvas.left - 50.0), min(right, canvas.left + canvas.layout.plot_width + 50.0)
        top, height = float(canvas.top + placed.bar_y), float(placed.bar_height)
        if placed.row.kind == "flight":
            height = slot_px(placed)
            top += placed.row.lanes.index(span.lane) * height
        return QRectF(left, top, right - left, height) if right >= left else None
    return None
