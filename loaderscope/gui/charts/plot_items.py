"""What a plot has beside the items of pyqtgraph: axes with our texts, a grid behind the data, a crosshair, and places for labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPen, QPicture

from loaderscope.gui.charts.plot_parts import Axis
from loaderscope.gui.style.palette import Palette

OVERLAP_PX = 12
"""The values of an axis may be so much longer than the axis."""

_FEW_DECADES = 2.5
"""Over fewer powers of ten a logarithmic axis is labelled at their doubles and halves, too."""


def label_box(inside: QRectF, spot: QPointF, size: tuple[float, float], strokes: Sequence[QLineF]) -> QRectF:
    """Where a label of this size near a spot lies inside an area and over as few strokes as can be; the first such place wins."""
    width, height = size
    places = []
    for dx, dy in ((0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1), (1, 2), (-1, -2), (-1, 2), (1, -2)):
        x = spot.x() + dx * (width / 2 + 12) - width / 2
        y = spot.y() + dy * (height / 2 + 11) - height / 2
        x = min(max(x, inside.left() + 2), inside.right() - width)
        y = min(max(y, inside.top() + 2), inside.bottom() - height - 2)
        places.append(QRectF(x, y, width, height))
    ring = QRectF(spot.x() - 8, spot.y() - 8, 16, 16)
    return min(places, key=lambda place: sum(_crosses(place, stroke) for stroke in strokes) + 2 * place.intersects(ring))


def _crosses(box: QRectF, stroke: QLineF) -> bool:
    corners = [box.topLeft(), box.topRight(), box.bottomRight(), box.bottomLeft()]
    sides = [QLineF(first, second) for first, second in zip(corners, corners[1:] + corners[:1], strict=True)]
    inside = box.contains(stroke.p1()) or box.contains(stroke.p2())
    return inside or any(stroke.intersects(side)[0] == QLineF.IntersectionType.BoundedIntersection for side in sides)


class TextAxis(pg.AxisItem):  # type: ignore[misc]
    """An axis whose values read as everywhere in the program."""

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self.text: Callable[[float], str] = str

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """What stands at the ticks."""
        return [self.text(10.0**value if self.logMode else value) for value in values]

    def logTickValues(self, low: float, high: float, *_: object) -> list[tuple[float | None, list[float]]]:
        """Powers of ten, and with few of them their doubles and halves, too."""
        factors = (1, 2, 5) if high - low < _FEW_DECADES else (1,)
        values = [power + math.log10(factor) for power in range(math.floor(low), math.ceil(high) + 1) for factor in factors]
        return [(None, [value for value in values if low <= value <= high])]

    def show_as(self, axis: Axis, font: QFont, palette: Palette, line: QPen, *, is_log: bool) -> None:
        """Shows an axis of a chart; only the bottom one has a line."""
        metrics = QFontMetricsF(font)
        self.text = axis.text
        self.setLogMode(x=False, y=is_log)
        self.enableAutoSIPrefix(False)
        self.setTickFont(font)
        self.setPen(line if self.orientation == "bottom" else None)
        self.setTextPen(palette.muted)
        # ticks of no length would still be dots
        self.setStyle(tickLength=0, tickAlpha=0, maxTickLevel=0, maxTextLevel=0, hideOverlappingLabels=OVERLAP_PX)
        self.setStyle(tickTextOffset=6 if self.orientation == "left" else 4)
        self.setToolTip(axis.tip)
        self.setZValue(10)
        if axis.ticks is not None:
            self.setTicks([[(value, axis.text(value)) for value in axis.ticks]])
        if axis.title:
            self.setLabel(axis.title, **{"font-size": f"{font.pixelSize()}px", "color": palette.muted})
            self.label.setFont(font)
        if self.orientation == "bottom":
            self.setHeight(round((2 if axis.title else 1) * metrics.height() + 7))

    def generate(self) -> None:
        """Lays out the ticks, as painting does, so that the axis takes the room that they need."""
        picture = QPicture()
        painter = QPainter(picture)
        self.picture = None
        self.paint(painter, None, None)
        painter.end()


class Crosshair:
    """Lines through a place of both axes, and the values there in words."""

    def __init__(self, item: Any, font: QFont, palette: Palette, pen: Callable[..., QPen], *, has_level: bool) -> None:
        """Adds it to a plot; `has_level`: whether a level line goes with the upright one."""
        line = pen(palette.crosshair, 1.0, Qt.PenStyle.DashLine)
        self._text = pg.TextItem("", color=palette.text, fill=palette.card, border=palette.border, anchor=(1, 0))
        self._text.setFont(font)
        self._upright = pg.InfiniteLine(angle=90, pen=line)
        self._level = pg.InfiniteLine(angle=0, pen=line) if has_level else None
        self._items = [one for one in (self._text, self._upright, self._level) if one is not None]
        for one in self._items:
            one.setZValue(30)
            item.addItem(one, ignoreBounds=True)

    def show(self, place: QPointF, words: str, corner: QPointF) -> None:
        """Shows it at a place, with the words below and left of a corner."""
        self._text.setText(words)
        self._text.setPos(corner.x(), corner.y())
        self._upright.setPos(place.x())
        if self._level is not None:
            self._level.setPos(place.y())
        for one in self._items:
            one.setVisible(True)

    def hide(self) -> None:
        """Takes it away."""
        for one in self._items:
            one.setVisible(False)


class Grid(pg.GraphicsObject):  # type: ignore[misc]
    """Lines behind the data at the ticks of an axis."""

    def __init__(self, axis: TextAxis, box: Any, pen: QPen) -> None:
        super().__init__()
        self._axis, self._box, self._pen = axis, box, pen
        self.setZValue(-20)

    def boundingRect(self) -> QRectF:
        """All that is in sight."""
        return QRectF(self._box.viewRect())

    def viewRangeChanged(self) -> None:
        """Follows the view."""
        self.prepareGeometryChange()

    def paint(self, painter: QPainter, *_: object) -> None:
        """Draws a line for each labelled tick."""
        (x0, x1), (y0, y1) = self._box.viewRange()
        is_left = self._axis.orientation == "left"
        low, high = (y0, y1) if is_left else (x0, x1)
        size = self._box.height() if is_left else self._box.width()
        levels = self._axis.tickValues(low, high, size) if low < high else []
        painter.setPen(self._pen)
        for value in levels[0][1] if levels else ():
            painter.drawLine(QPointF(x0, value), QPointF(x1, value)) if is_left else painter.drawLine(
                QPointF(value, y0), QPointF(value, y1)
            )
