"""What the charts share: round ticks, axes, hatching and the text for an empty chart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from loaderscope.gui.style.palette import Palette
from loaderscope.gui.timeline.paint.canvas import hatch_lines

_ENDS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
"""Ends of axes: with fewer of them more runs have the same axes, with more of them less room is left empty."""


_HATCH_PX = 4.0

_OVERHANG_PX = 12.0
"""So far the last value of the bottom axis may reach beyond the area."""


@dataclasses.dataclass(frozen=True)
class Hit:
    """A part of a chart that answers the mouse: what it says, and the trial it stands for."""

    area: QRectF
    text: str
    trial: int | None = None


@dataclasses.dataclass(frozen=True)
class Frame:
    """A plotting area with linear axes."""

    area: QRectF
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.area.left() + (value - low) / (high - low) * self.area.width()

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.area.bottom() - (value - low) / (high - low) * self.area.height()

    def point(self, x: float, y: float) -> QPointF:
        return QPointF(self.x(x), self.y(y))


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round values within [low, high], in steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def axis_end(value: float) -> float:
    """The round end of an axis from 0 that shows a value, of either sign: the same one for most runs that are much alike."""
    if not value:
        return 0.0
    power = 10.0 ** math.floor(math.log10(abs(value)))
    return math.copysign(next(power * factor for factor in _ENDS if abs(value) <= power * factor * (1 + 1e-9)), value)


def small_font(painter: QPainter) -> QFont:
    """The painter's font a little smaller, for axes."""
    font = QFont(painter.font())
    if font.pointSizeF() > 0:
        font.setPointSizeF(font.pointSizeF() * 0.9)
    else:
        font.setPixelSize(max(8, round(font.pixelSize() * 0.9)))
    return font


def draw_left_axis(painter: QPainter, frame: Frame, values: Sequence[float], text: Callable[[float], str], palette: Palette) -> None:
    """Grid lines with their values left of the area."""
    metrics = QFontMetricsF(painter.font())
    for value in values:
        y = round(frame.y(value)) + 0.5
        painter.setPen(QColor(palette.grid))
        painter.drawLine(QPointF(frame.area.left(), y), QPointF(frame.area.right(), y))
        painter.setPen(QColor(palette.muted))
        box = QRectF(0, y - metrics.height() / 2, frame.area.left() - 6, metrics.height())
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text(value))


def draw_bottom_axis(
    painter: QPainter,
    frame: Frame,
    values: Sequence[float],
    text: Callable[[float], str],
    palette: Palette,
    *,
    title: str,
    grid: bool = True,
) -> None:
    """Values and a title under the area; values that would run into each other are left out."""
    metrics = QFontMetricsF(painter.font())
    painter.setPen(QColor(palette.border))
    painter.drawLine(frame.area.bottomLeft(), frame.area.bottomRight())
    taken = -math.inf
    for value in values:
        x = frame.x(value)
        if grid:
            painter.setPen(QColor(palette.grid))
            painter.drawLine(QPointF(x, frame.area.top()), QPointF(x, frame.area.bottom()))
        label = text(value)
        width = metrics.horizontalAdvance(label)
        left = min(x - width / 2, frame.area.right() + _OVERHANG_PX - width)
        if left < taken + 6:
            continue
        taken = left + width
        painter.setPen(QColor(palette.muted))
        painter.drawText(QPointF(left, frame.area.bottom() + metrics.ascent() + 4), label)
    box = QRectF(frame.area.left(), frame.area.bottom() + metrics.height() + 5, frame.area.width(), metrics.height())
    painter.drawText(box, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter, elided(painter, title, box.width()))


def axis_hits(frame: Frame, left: str, bottom: str) -> list[Hit]:
    """What the axes are, for the mouse over their values and titles."""
    area = frame.area
    return [
        Hit(QRectF(0, area.top() - 16, area.left(), area.height() + 16), left),
        Hit(QRectF(area.left(), area.bottom(), area.width(), 40), bottom),
    ]


def bottom_margin(painter: QPainter) -> float:
    """Height that values and title of the bottom axis need."""
    return 2 * QFontMetricsF(painter.font()).height() + 10


def left_margin(painter: QPainter, labels: Sequence[str]) -> float:
    """Width that the values of the left axis need."""
    metrics = QFontMetricsF(painter.font())
    return max((metrics.horizontalAdvance(label) for label in labels), default=0) + 12


def draw_hatched(painter: QPainter, box: QRectF, colour: str) -> None:
    """A framed box of diagonal lines; a pattern of Qt's would have the pixels of the device, and SVG does not clip."""
    painter.setPen(QPen(QColor(colour), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawLines(hatch_lines(box, box.left(), box.right(), _HATCH_PX))
    painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))


def draw_empty(painter: QPainter, area: QRectF, text: str, palette: Palette) -> None:
    """What will be here, in the middle of the area."""
    painter.setPen(QPen(QColor(palette.muted)))
    inner = area.adjusted(16, 8, -16, -8)
    painter.drawText(inner, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)


def elided(painter: QPainter, text: str, width: float) -> str:
    """The text cut with an ellipsis where it is wider than `width`."""
    return QFontMetricsF(painter.font()).elidedText(text, Qt.TextElideMode.ElideRight, width)
