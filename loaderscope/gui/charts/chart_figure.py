"""A chart as a figure for a report: PNG, SVG or PDF through the paint function of the screen."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter

from loaderscope.gui.charts.chart import Data, Paint, paint_chart
from loaderscope.gui.style.figures import Figure, ensure_application, font_of
from loaderscope.gui.style.palette import LIGHT, Palette

CHART_SIZE = (760, 340)

_FONT_PX = 12
_TITLE_PX = 26


def chart_figure(
    paint: Paint[Data], data: Data, *, title: str = "", caption: str = "", size: tuple[int, int] = CHART_SIZE, palette: Palette = LIGHT
) -> Figure:
    """A chart of `size` logical pixels below its title, if it has one."""
    ensure_application()
    width, height = size
    top = _TITLE_PX if title else 0

    def paint_body(painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, width, top + height), QColor(palette.base))
        painter.setFont(font_of(_FONT_PX))
        painter.setPen(QColor(palette.text))
        painter.drawText(QRectF(10, 0, width - 20, top), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        painter.translate(0, top)
        paint_chart(painter, QRectF(0, 0, width, height), paint, data, palette)

    return Figure(title, paint_body, width, top + height, caption, palette)
