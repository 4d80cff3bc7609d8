"""How the lines of a chart are told apart: by colour, and where there are more lines than colours by dashes and marks, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from loaderscope.gui.style.palette import Palette

LINE_PX = 2.0
MARK_PX = 4.0
"""From the middle of a mark to its edge."""

_DASHES = ((), (4.0, 2.0), (1.0, 1.5), (4.0, 1.5, 1.0, 1.5))
"""Dashes and gaps in widths of the line, for each turn through the colours; none is a solid line."""

_DIAMOND = ((0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0))
_TRIANGLE = ((0.0, -1.25), (1.2, 0.95), (-1.2, 0.95))
_SQUARE = ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9))
_CORNERS: tuple[Sequence[tuple[float, float]], ...] = ((), _SQUARE, _DIAMOND, _TRIANGLE)
"""Corners of the marks, for each turn through the colours; none is a circle."""


@dataclasses.dataclass(frozen=True)
class LineStyle:
    """How one line looks. `turn` counts how often all colours were given out before."""

    colour: str
    turn: int = 0

    def pen(self) -> QPen:
        """For the line itself."""
        pen = QPen(QColor(self.colour), LINE_PX)
        dashes = _DASHES[self.turn % len(_DASHES)]
        if dashes:
            pen.setDashPattern(dashes)
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        return pen

    def draw_mark(self, painter: QPainter, at: QPointF, ground: str, size_px: float = MARK_PX) -> None:
        """A mark at a point of the line, set off from what it lies on."""
        painter.setPen(QPen(QColor(ground), 1))
        painter.setBrush(QColor(self.colour))
        corners = _CORNERS[self.turn % len(_CORNERS)]
        if corners:
            painter.drawPolygon(QPolygonF([QPointF(at.x() + x * size_px, at.y() + y * size_px) for x, y in corners]))
        else:
            painter.drawEllipse(at, size_px, size_px)
        painter.setBrush(Qt.BrushStyle.NoBrush)

    def draw_sample(self, painter: QPainter, box: QRectF, ground: str) -> None:
        """The line with a mark, for a legend."""
        middle = QPointF(box.center().x(), round(box.center().y()))
        painter.setPen(self.pen())
        painter.drawLine(QPointF(box.left(), middle.y()), QPointF(box.right(), middle.y()))
        self.draw_mark(painter, middle, ground, MARK_PX - 0.5)


def line_styles(count: int, palette: Palette) -> list[LineStyle]:
    """Styles of so many lines, no two of them alike up to four times the number of colours."""
    return [LineStyle(palette.lines[number % len(palette.lines)], number // len(palette.lines)) for number in range(count)]
