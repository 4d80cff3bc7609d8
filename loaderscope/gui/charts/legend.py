"""Legends of charts: what colours, patterns and lines mean, in no more room than the chart can spare."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter

from loaderscope.gui.charts.drawing import Hit, draw_hatched, elided
from loaderscope.gui.charts.line_styles import LineStyle
from loaderscope.gui.style.palette import Palette

SWATCH_PX = 9.0
_SWATCH_GAP_PX = 5.0
_SAMPLE_PX = 22.0
_SAMPLE_GAP_PX = 6.0
_BETWEEN_PX = 12.0

_MOST_ABOVE = 0.25
"""Of a chart's height, for a legend above it."""

_MOST_BESIDE = 0.36
"""Of a chart's width, for a legend beside it."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one colour stands for.

    Attributes:
        line: it is that of a line, of which the legend shows a piece.
        is_hatched: it is that of hatching.
    """

    colour: str
    name: str
    line: LineStyle | None = None
    is_hatched: bool = False

    @property
    def key_px(self) -> float:
        """Room for what stands before the name."""
        if not self.colour:
            return 0.0
        return SWATCH_PX + _SWATCH_GAP_PX if self.line is None else _SAMPLE_PX + _SAMPLE_GAP_PX

    def width_px(self, metrics: QFontMetricsF) -> float:
        return metrics.horizontalAdvance(self.name) + self.key_px

    def draw(self, painter: QPainter, box: QRectF, palette: Palette) -> None:
        """Draws it at the left of a box, in the middle of its height."""
        top = box.top() + (box.height() - SWATCH_PX) / 2
        swatch = QRectF(box.left(), top, SWATCH_PX, SWATCH_PX)
        if self.line is not None:
            self.line.draw_sample(painter, QRectF(box.left(), box.top(), _SAMPLE_PX, box.height()), palette.base)
        elif self.is_hatched:
            draw_hatched(painter, swatch, self.colour)
        elif self.colour:
            painter.fillRect(swatch, QColor(self.colour))
        painter.setPen(QColor(palette.muted))
        words = box.adjusted(self.key_px, 0, 0, 0)
        text = elided(painter, self.name, words.width() + 1)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)


def draw_legend(painter: QPainter, entries: Sequence[Entry], area: QRectF, palette: Palette) -> float:
    """Entries in lines from the top left of the area; returns the height used."""
    if not entries:
        return 0
    metrics = QFontMetricsF(painter.font())
    x, y, line = area.left(), area.top(), metrics.height() + 2
    for entry in entries:
        width = entry.width_px(metrics)
        if x + width > area.right() and x > area.left():
            x, y = area.left(), y + line
        entry.draw(painter, QRectF(x, y, min(width, area.width()), metrics.height()), palette)
        x += width + _BETWEEN_PX
    return y + line - area.top() + 4


def draw_legend_beside(painter: QPainter, entries: Sequence[Entry], area: QRectF, palette: Palette) -> float:
    """Entries under each other at the right of the area; returns the width used."""
    if not entries:
        return 0
    metrics = QFontMetricsF(painter.font())
    width = max(entry.width_px(metrics) for entry in entries)
    line = min(metrics.height() + 2, area.height() / len(entries))
    for number, entry in enumerate(entries):
        entry.draw(painter, QRectF(area.right() - width, area.top() + number * line, width, line), palette)
    return width + 14


def draw_lines_legend(painter: QPainter, entries: Sequence[Entry], area: QRectF, palette: Palette) -> tuple[QRectF, list[Hit]]:
    """The legend of many lines: in columns above the chart, or beside it where that is wide. It may leave the last entries out.

    Returns:
        What it leaves of the area, and what the mouse is told of entries that are left out.
    """
    metrics = QFontMetricsF(painter.font())
    line = metrics.height() + 2
    widths = [entry.width_px(metrics) + _BETWEEN_PX for entry in entries]
    beside = max(widths, default=0.0)
    if sum(widths) > area.width() + _BETWEEN_PX and beside <= _MOST_BESIDE * area.width():
        shown, hidden = _fitting(entries, max(int(area.height() // line), 1))
        left = area.right() - beside + _BETWEEN_PX
        boxes = [QRectF(left, area.top() + number * line, area.right() - left, line) for number in range(len(shown))]
        rest = area.adjusted(0, 0, -beside - 4, 0)
    else:
        most = max(int(_MOST_ABOVE * area.height() // line), 1)
        shown, hidden, boxes = _in_columns(entries, area, metrics, most)
        rest = area.adjusted(0, len({box.top() for box in boxes}) * line + 4 if boxes else 0, 0, 0)
    for entry, box in zip(shown, boxes, strict=True):
        entry.draw(painter, box, palette)
    return rest, [Hit(boxes[-1], "\n".join(entry.name for entry in hidden))] if hidden else []


def _fitting(entries: Sequence[Entry], most: int) -> tuple[list[Entry], list[Entry]]:
    """Those of which there is room for `most`, the last saying how many are left out, and those that are."""
    if len(entries) <= most:
        return list(entries), []
    kept = max(most - 1, 0)
    return [*entries[:kept], Entry("", f"and {len(entries) - kept} more")], list(entries[kept:])


def _in_columns(
    entries: Sequence[Entry], area: QRectF, metrics: QFontMetricsF, most_rows: int
) -> tuple[list[Entry], list[Entry], list[QRectF]]:
    """As many entries as there is room for in so many rows, from top to bottom in as many columns as fit; and their boxes."""
    line = metrics.height() + 2
    for most in range(len(entries), 0, -1):
        shown, hidden = _fitting(entries, most)
        widths = [entry.width_px(metrics) for entry in shown]
        for rows in range(1, most_rows + 1):
            columns = [max(widths[first : first + rows]) for first in range(0, len(shown), rows)]
            if most > 1 and sum(columns) + _BETWEEN_PX * (len(columns) - 1) > area.width():
                continue
            lefts = list(itertools.accumulate((width + _BETWEEN_PX for width in columns), initial=area.left()))
            places = [(lefts[number // rows], area.top() + number % rows * line) for number in range(len(shown))]
            boxes = [QRectF(*place, min(width, area.width()), metrics.height()) for place, width in zip(places, widths, strict=True)]
            return shown, hidden, boxes
    return [], [], []
