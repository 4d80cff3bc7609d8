"""The legend of a plot: entries in columns above it, or beside it where that is wide; a click hides what one stands for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from pyqtgraph.graphicsItems.ScatterPlotItem import drawSymbol
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QGraphicsSceneMouseEvent, QStyleOptionGraphicsItem, QWidget

from loaderscope.gui.charts.plot_parts import LineStyle
from loaderscope.gui.style.palette import Palette

_SWATCH_PX, _LINE_PX = 9.0, 22.0
_KEY_GAP_PX = 6.0
_COLUMN_GAP_PX = 12.0
_HIDDEN_OPACITY = 0.4
_TIGHTER_PX = 3.0
"""So much lower are the lines of a legend beside a low plot."""

_MOST_ABOVE = 0.25
"""The largest part of a plot's height for a legend above it."""

_MOST_BESIDE = 0.36
"""The largest part of its width for a legend beside it."""


class LegendEntry(QGraphicsItem):
    """A sample of a line, or a swatch, and a name. A click calls `toggle`; an entry without `toggle` is only text."""

    def __init__(self, name: str, key: LineStyle | str, font: QFont, palette: Palette, toggle: Callable[[], None] | None) -> None:
        """Takes the style of a line or the colour of a swatch as `key`; an empty colour is an open dashed box, as of what is unknown."""
        super().__init__()
        self.name, self._key, self._font, self._palette, self._toggle = name, key, font, palette, toggle
        self._width_px = 0.0
        self._is_hidden = False
        self.setToolTip(name)
        if toggle is not None:
            self.setToolTip(f"{name}\nClick to hide or show it.")
            self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def natural_width_px(self) -> float:
        """Room for the key and the whole name."""
        return self._key_px + QFontMetricsF(self._font).horizontalAdvance(self.name) + 1

    @property
    def _key_px(self) -> float:
        if self._toggle is None:
            return 0.0
        return (_LINE_PX if isinstance(self._key, LineStyle) else _SWATCH_PX) + _KEY_GAP_PX

    def set_width(self, width_px: float) -> None:
        """Cuts the name where it is wider."""
        self.prepareGeometryChange()
        self._width_px = width_px

    def set_hidden(self, is_hidden: bool) -> None:
        """Fades the entry of what is hidden."""
        self._is_hidden = is_hidden
        self.setOpacity(_HIDDEN_OPACITY if is_hidden else 1.0)

    def boundingRect(self) -> QRectF:
        return QRectF(0, 0, self._width_px, QFontMetricsF(self._font).height())

    def paint(self, painter: QPainter, _option: QStyleOptionGraphicsItem, _widget: QWidget | None = None) -> None:
        box = self.boundingRect()
        middle = round(box.center().y()) + 0.5
        if self._toggle is not None:
            self._paint_key(painter, middle)
        font = QFont(self._font)
        font.setStrikeOut(self._is_hidden)
        painter.setFont(font)
        painter.setPen(QColor(self._palette.muted))
        words = box.adjusted(self._key_px, 0, 0, 0)
        text = QFontMetricsF(self._font).elidedText(self.name, Qt.TextElideMode.ElideRight, words.width() + 1)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_key(self, painter: QPainter, middle: float) -> None:
        swatch = QRectF(0, middle - _SWATCH_PX / 2, _SWATCH_PX, _SWATCH_PX)
        if isinstance(self._key, LineStyle):
            painter.setPen(line_pen(self._key, 2.0))
            painter.drawLine(QPointF(0, middle), QPointF(_LINE_PX, middle))
            painter.save()
            painter.translate(_LINE_PX / 2, middle)
            drawSymbol(painter, self._key.symbol, 7.0, QPen(QColor(self._palette.base), 0), QBrush(QColor(self._key.colour)))
            painter.restore()
        elif self._key:
            painter.fillRect(swatch, QColor(self._key))
        else:
            painter.setPen(QPen(QColor(self._palette.muted), 1, Qt.PenStyle.DashLine))
            painter.drawRect(swatch)

    def mousePressEvent(self, event: QGraphicsSceneMouseEvent) -> None:
        if self._toggle is not None and event.button() == Qt.MouseButton.LeftButton:
            self._toggle()
            event.accept()
        else:
            super().mousePressEvent(event)


def line_pen(style: LineStyle, width_px: float) -> QPen:
    """The pen of a line."""
    pen = QPen(QColor(style.colour), width_px)
    if style.dashes:
        pen.setDashPattern(style.dashes)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    return pen


def place_legend(entries: Sequence[LegendEntry], more: LegendEntry, area: QRectF, line_px: float) -> QRectF:
    """Places as many entries as there is room for; returns what they leave of the area.

    Args:
        entries: what there is to say, the most important first.
        more: stands in for those that are left out, and names them in its tip.
        area: of legend and plot together.
        line_px: the height of an entry.
    """
    for entry in (*entries, more):
        entry.hide()
    if not entries:
        return area
    widths = [entry.natural_width_px for entry in entries]
    beside_px = max(widths)
    if sum(widths) + _COLUMN_GAP_PX * (len(widths) - 1) > area.width() and beside_px <= _MOST_BESIDE * area.width():
        line_px = min(max(area.height() / len(entries), line_px - _TIGHTER_PX), line_px)
        shown = _with_more(entries, more, max(int(area.height() // line_px), 1))
        left = area.right() - beside_px
        _place(shown, [QRectF(left, area.top() + number * line_px, beside_px, line_px) for number in range(len(shown))])
        return area.adjusted(0, 0, -beside_px - _COLUMN_GAP_PX, 0)
    boxes = _in_columns(entries, more, area, line_px)
    return area.adjusted(0, len({box.top() for box in boxes}) * line_px + 4, 0, 0)


def _with_more(entries: Sequence[LegendEntry], more: LegendEntry, most: int) -> list[LegendEntry]:
    """The first entries, and the last one for all others where there is room for `most`."""
    if len(entries) <= most:
        return list(entries)
    kept = max(most - 1, 0)
    more.name = f"and {len(entries) - kept} more"
    more.setToolTip("\n".join(entry.name for entry in entries[kept:]))
    return [*entries[:kept], more]


def _in_columns(entries: Sequence[LegendEntry], more: LegendEntry, area: QRectF, line_px: float) -> list[QRectF]:
    """Places entries from top to bottom in as few rows as possible."""
    most_rows = max(int(_MOST_ABOVE * area.height() // line_px), 1)
    for most in range(len(entries), 0, -1):
        shown = _with_more(entries, more, most)
        widths = [entry.natural_width_px for entry in shown]
        for rows in range(1, most_rows + 1):
            columns = [max(widths[first : first + rows]) for first in range(0, len(shown), rows)]
            if most > 1 and sum(columns) + _COLUMN_GAP_PX * (len(columns) - 1) > area.width():
                continue
            lefts = list(itertools.accumulate((width + _COLUMN_GAP_PX for width in columns), initial=area.left()))
            corners = [(lefts[number // rows], area.top() + number % rows * line_px) for number in range(len(shown))]
            boxes = [QRectF(*corner, min(width, area.width()), line_px) for corner, width in zip(corners, widths, strict=True)]
            _place(shown, boxes)
            return boxes
    return []


def _place(entries: Sequence[LegendEntry], boxes: Sequence[QRectF]) -> None:
    for entry, box in zip(entries, boxes, strict=True):
        entry.set_width(box.width())
        entry.setPos(box.topLeft())
        entry.show()
