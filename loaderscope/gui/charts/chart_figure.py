"""A chart as a figure for a report: PNG, SVG or PDF of what the screen shows."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPicture

from loaderscope.gui.charts.chart_kind import ChartKind, Data
from loaderscope.gui.charts.plot_parts import PlotState
from loaderscope.gui.style.figures import Figure, ensure_application, font_of
from loaderscope.gui.style.palette import LIGHT, Palette

CHART_SIZE = (760, 340)

_FONT_PX = 11
_TITLE_FONT_PX = 12
_TITLE_PX = 26


def chart_figure(
    kind: ChartKind[Data],
    data: Data,
    *,
    title: str = "",
    caption: str = "",
    size: tuple[int, int] = CHART_SIZE,
    palette: Palette = LIGHT,
    state: PlotState = PlotState(),  # noqa: B008
) -> Figure:
    """A chart of `size` logical pixels below its title, if it has one. It may be painted in the thread of the application only."""

    def paint(painter: QPainter) -> None:
        picture = _record(kind, data, size, palette, state, painter.deviceTransform().m11())
        factor = picture.logicalDpiX() / painter.device().logicalDpiX()  # a picture grows with the resolution of what it is played on
        painter.scale(factor, factor)
        picture.play(painter)

    return titled_figure(paint, title=title, caption=caption, size=size, palette=palette)


def titled_figure(
    paint: Callable[[QPainter], object], *, title: str = "", caption: str = "", size: tuple[int, int] = CHART_SIZE, palette: Palette = LIGHT
) -> Figure:
    """What `paint` paints into `size` logical pixels, below its title, if it has one."""
    ensure_application(with_widgets=True)
    width, height = size
    top = _TITLE_PX if title else 0

    def paint_body(painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, width, top + height), QColor(palette.base))
        painter.setFont(font_of(_TITLE_FONT_PX))
        painter.setPen(QColor(palette.text))
        painter.drawText(QRectF(10, 0, width - 20, top), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, title)
        painter.translate(0, top)
        paint(painter)

    return Figure(title, paint_body, width, top + height, caption, palette)


def _record(kind: ChartKind[Data], data: Data, size: tuple[int, int], palette: Palette, state: PlotState, scale: float) -> QPicture:  # noqa: PLR0917
    from loaderscope.gui.charts.plot import Plot

    plot = Plot(palette, font_of(_FONT_PX), state, pen_scale=scale, vector=True)
    kind.draw(plot, data)
    picture = plot.record(QSize(*size))
    plot.close()
    QCoreApplication.sendPostedEvents(plot.view, QEvent.Type.DeferredDelete)
    return picture
