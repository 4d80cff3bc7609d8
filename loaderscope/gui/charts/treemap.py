"""What each worker is sent, as areas."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QToolTip, QWidget

from loaderscope.facts.startup_results import SentPart
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.gui.charts.chart import Chart, small_font
from loaderscope.gui.charts.chart_figure import titled_figure
from loaderscope.gui.style.figures import Figure, font_of
from loaderscope.gui.style.palette import LIGHT, Palette, text_on
from loaderscope.gui.style.theme import current_palette

EMPTY = "What each worker is sent when it starts was not weighed in this run."
NOTHING = "Nothing that each worker is sent weighs anything."

OWNERS: dict[str, tuple[str, str]] = {
    "dataset": ("fetch", "dataset"),
    "sampler": ("collate", "sampler"),
    "collate_fn": ("step", "collate_fn"),
    "worker_init_fn": ("pin", "worker_init_fn"),
    "other": ("own", "other"),
}
"""Colour role and name of what an attribute belongs to."""

_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_SWATCH_PX = 9.0
_FONT_PX = 11

Rect = tuple[float, float, float, float]
"""Left, top, width, height."""


@dataclasses.dataclass(frozen=True)
class SentData:
    """The parts, largest first; None: they were not weighed."""

    parts: tuple[SentPart, ...] | None = None


def sent_data(sent: Sequence[SentPart] | None) -> SentData:
    """What the tree map shows."""
    if sent is None:
        return SentData()
    return SentData(tuple(sorted((part for part in sent if part.bytes > 0), key=lambda part: -part.bytes)))


def squarify(sizes: Sequence[float], area: Rect) -> list[Rect]:
    """Rectangles with areas in proportion to sizes, as near to squares as rows of them allow.

    Source: Bruls, Huizing and van Wijk, "Squarified treemaps" (2000).

    Args:
        sizes: above 0, largest first.
        area: all of which is filled.
    """
    total, found, at = sum(sizes), [], 0
    left, top, width, height = area
    scale = width * height / total if total > 0 else 0.0
    while at < len(sizes):
        side = min(width, height)
        count = 1
        while at + count < len(sizes) and _worst(sizes[at : at + count + 1], side, scale) <= _worst(sizes[at : at + count], side, scale):
            count += 1
        row = sizes[at : at + count]
        thickness = sum(row) * scale / side if side > 0 else 0.0
        offset = 0.0
        for size in row:
            length = size * scale / thickness if thickness > 0 else 0.0
            upright = width >= height
            found.append((left, top + offset, thickness, length) if upright else (left + offset, top, length, thickness))
            offset += length
        if width >= height:
            left, width = left + thickness, max(0.0, width - thickness)
        else:
            top, height = top + thickness, max(0.0, height - thickness)
        at += count
    return found


def _worst(row: Sequence[float], side: float, scale: float) -> float:
    """The largest ratio of sides in a row of sizes along a side."""
    whole = sum(row) * scale
    if whole <= 0 or side <= 0:
        return float("inf")
    return max(side * side * max(row) * scale / whole**2, whole**2 / (side * side * min(row) * scale))


@dataclasses.dataclass(frozen=True)
class Area:
    """A part of the map that answers the mouse."""

    box: QRectF
    text: str


def paint_sent(painter: QPainter, area: QRectF, data: SentData, palette: Palette) -> list[Area]:
    """Draws the parts as areas and says what each is."""
    if not data.parts:
        painter.setPen(QColor(palette.muted))
        centred = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(area.adjusted(16, 8, -16, -8), centred, EMPTY if data.parts is None else NOTHING)
        return []
    place = area.adjusted(0, _paint_legend(painter, area, data, palette), 0, 0)
    total = sum(part.bytes for part in data.parts)
    metrics = QFontMetricsF(painter.font())
    areas = []
    rects = squarify([float(part.bytes) for part in data.parts], (place.left(), place.top(), place.width(), place.height()))
    for part, rect in zip(data.parts, rects, strict=True):
        box = QRectF(*rect)
        colour = palette.role(OWNERS.get(part.owner, OWNERS["other"])[0])
        inner = box.adjusted(0.5, 0.5, -0.5, -0.5) if min(box.width(), box.height()) > 3 else box
        painter.fillRect(inner, QColor(colour))
        lines = [part.attribute, part.type_name, f"{bytes_text(part.bytes)} · {share_text(part.bytes / total)}"]
        room = int((box.height() - 6) // metrics.height())
        if room >= 1 and box.width() > 36:
            painter.setPen(QColor(text_on(colour)))
            shown = lines if room >= 3 else [lines[0], lines[2]][:room]
            for index, line in enumerate(shown):
                row = QRectF(box.left() + 5, box.top() + 3 + index * metrics.height(), box.width() - 10, metrics.height())
                painter.drawText(row, _LEFT, metrics.elidedText(line, Qt.TextElideMode.ElideRight, row.width()))
        lines.append(f"pickle {duration_text(part.pickle_s)}, unpickle {duration_text(part.unpickle_s)}")
        areas.append(Area(box, "\n".join([*lines, part.error] if part.error else lines)))
    return areas


def _paint_legend(painter: QPainter, area: QRectF, data: SentData, palette: Palette) -> float:
    """Names the colours in one line; returns the height that it takes."""
    metrics, x = QFontMetricsF(painter.font()), area.left()
    owners = {part.owner for part in data.parts or ()}
    for key, (role, name) in OWNERS.items():
        if key in owners:
            painter.fillRect(
                QRectF(x, area.top() + (metrics.height() - _SWATCH_PX) / 2, _SWATCH_PX, _SWATCH_PX), QColor(palette.role(role))
            )
            painter.setPen(QColor(palette.muted))
            painter.drawText(QPointF(x + _SWATCH_PX + 5, area.top() + metrics.ascent()), name)
            x += _SWATCH_PX + 17 + metrics.horizontalAdvance(name)
    return metrics.height() + 6


class TreeMap(Chart):
    """Shows what each worker is sent as areas, which say what they are."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._data = SentData()
        self._areas: list[Area] = []
        self.setMouseTracking(True)

    @property
    def data(self) -> SentData:
        return self._data

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see but a text that says what will be."""
        return not self._data.parts

    def set_data(self, data: SentData) -> None:
        """Shows other parts."""
        if data != self._data:
            self._data = data
            self.update()

    def figure(self, caption: str) -> Figure:
        """The whole map."""
        return sent_figure(self._data, title=self.accessibleName(), caption=caption, size=self._figure_size)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, palette, area = QPainter(self), current_palette(), QRectF(self.rect())
        painter.fillRect(area, QColor(palette.base))
        painter.setFont(small_font(self))
        self._areas = paint_sent(painter, area.adjusted(8, 8, -10, -6), self._data, palette)
        if self.hasFocus():
            painter.setPen(QColor(palette.accent))
            painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            found = next((area.text for area in self._areas if area.box.contains(event.pos().toPointF())), "")
            QToolTip.showText(event.globalPos(), found, self)
            return True
        return super().event(event)


def sent_figure(data: SentData, *, title: str = "", caption: str = "", size: tuple[int, int]) -> Figure:
    """The map as a figure."""

    def paint(painter: QPainter) -> None:
        painter.setFont(font_of(_FONT_PX))
        paint_sent(painter, QRectF(8, 8, size[0] - 18, size[1] - 14), data, LIGHT)

    return titled_figure(paint, title=title, caption=caption, size=size)
