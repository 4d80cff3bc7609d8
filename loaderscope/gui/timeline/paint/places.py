"""Paints the places at which a finding shows: a quiet band over their lanes and times, in the colour of its severity."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPen

from loaderscope.facts.findings import Place
from loaderscope.gui.timeline.paint.canvas import Canvas, colour

_LEAST_PX = 4.0
"""Width of a place that is too short to be seen."""
_RISE_PX = 2.0
"""A band is this much taller than the bar of its lane, above and below."""
_TAG_PX = 15.0


@dataclasses.dataclass(frozen=True)
class ShownPlaces:
    """The places of a finding on one timeline.

    Attributes:
        title: of the finding.
        role: of their colour.
        places: all on that timeline.
    """

    title: str
    role: str
    places: tuple[Place, ...]


def paint_places(canvas: Canvas, shown: ShownPlaces) -> None:
    """Paints a band for each place in sight, and the title of the finding on the axis above the first."""
    boxes = [box for box, _ in place_boxes(canvas, shown)]
    if not boxes:
        return
    painter, edge = canvas.painter, colour(canvas.palette.role(shown.role))
    ground = QColor(edge)
    ground.setAlphaF(0.16)
    painter.setPen(QPen(edge, 1.5))
    painter.setBrush(ground)
    painter.drawRects(boxes)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    _paint_tag(canvas, shown, min(box.left() for box in boxes))


def _paint_tag(canvas: Canvas, shown: ShownPlaces, left: float) -> None:
    layout, width = canvas.layout, canvas.small_font.advance(shown.title) + 10
    if not layout.axis_px:
        return
    at = min(max(left, float(canvas.left)), max(canvas.left + layout.plot_width - width, float(canvas.left)))
    box = QRectF(at, layout.axis_y + 1, width, _TAG_PX)
    canvas.painter.fillRect(box, colour(canvas.palette.role(shown.role)))
    canvas.text(box.adjusted(5, 0, -5, 0), shown.title, canvas.palette.base, canvas.small_font)


def place_boxes(canvas: Canvas, shown: ShownPlaces) -> Iterator[tuple[QRectF, Place]]:
    """Yields the boxes of the places in sight, in widget coordinates."""
    layout, origin_ns = canvas.layout, canvas.scene.origin_ns
    right = float(canvas.left + layout.plot_width)
    for placed in layout.visible_rows(canvas.scroll_y):
        if placed.row.kind not in ("lane", "group"):
            continue
        for place in shown.places:
            if place.lane not in placed.row.lanes:
                continue
            start_ns = origin_ns + round(place.start_s * 1e9)
            first, last = canvas.x_of(np.array([start_ns, start_ns + round(place.seconds * 1e9)], np.int64)).tolist()
            low, high = max(first, float(canvas.left)), min(max(last, first + _LEAST_PX), right)
            if high > low:
                top = canvas.top + placed.bar_y - _RISE_PX
                yield QRectF(QPointF(low, top), QPointF(high, top + placed.bar_height + 2 * _RISE_PX)), place
