"""Rows of bars in a plot: a label at the left of each, its bars and their values, and words at the right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPen

from loaderscope.gui.charts.plot_parts import Bar, Row, Target
from loaderscope.gui.style.palette import Palette

_BARS_SHARE, _MOST_BARS_PX, _MOST_BAR_PX = 0.7, 26.0, 14.0
"""What bars take of a row's height; at most so much, and so much for each bar that has a text."""
_LEAST_TEXT_SHARE = 0.7
"""Texts at bars with less room than this part of their height would run into each other, and are left out."""
_LABELS_SHARE, _WORDS_SHARE = 0.42, 0.28
"""The largest parts of the width for what stands left and right of rows."""
_GAP_PX = 6.0
_THIN_SHARE = 0.002
"""Bars narrower than this part of the axis get an outline, so that they can be seen."""

Pen = Callable[..., QPen]


class BarRows:
    """Draws rows into a plot from top to bottom; a row is 1 high on the left axis.

    Attributes:
        has_words: whether words stand at the right of the rows.
    """

    def __init__(self, rows: Sequence[Row], item: Any, axes: Mapping[str, Any], font: QFont, palette: Palette, pen: Pen) -> None:  # noqa: PLR0917
        """Prepares both upright axes for texts; draws nothing before `draw`.

        Args:
            rows: from top to bottom.
            item: the plot of pyqtgraph.
            axes: its axes by side.
            font: of all texts.
            palette: its colours.
            pen: makes pens of a colour, a width in pixels and a style.
        """
        self._rows, self._item, self._axes, self._font, self._palette, self._pen = rows, item, axes, font, palette, pen
        self._metrics = QFontMetricsF(font)
        self._drawn: list[Any] = []
        self._bars_share = _BARS_SHARE
        self._bar_targets: list[Target] = []
        self._row_targets = [Target((-math.inf, math.inf), (at, at + 1), row.tip or row.label, row.trial) for at, row in enumerate(rows)]
        self.has_words = any(row.words for row in rows)
        item.showAxis("right", self.has_words)
        axes["right"].setStyle(tickLength=0, tickAlpha=0)
        axes["right"].setPen(None)
        for side, colour in (("left", palette.text), ("right", palette.muted)):
            axes[side].setTextPen(colour)
            axes[side].setTickFont(font)
        item.addItem(pg.InfiniteLine(0.0, angle=90, pen=pen(palette.border, 1.0)), ignoreBounds=True)

    @property
    def targets(self) -> list[Target]:
        """What answers the mouse, bars above rows."""
        return [*self._row_targets, *self._bar_targets]

    def find(self, x: float, y: float) -> Target | None:
        """Returns the topmost bar at a place of both axes, else the row."""
        hit = (target for target in reversed(self.targets) if target.x[0] <= x <= target.x[1] and target.y[0] <= y <= target.y[1])
        return next(hit, None)

    def place_labels(self, width_px: float) -> None:
        """Gives labels and words at most their share of the width of the plot, and cuts what is longer."""
        labels = [row.label for row in self._rows]
        if max(map(self._metrics.horizontalAdvance, labels)) > width_px * _LABELS_SHARE:
            labels = [row.short_label or row.label for row in self._rows]
        for side, texts, share in (("left", labels, _LABELS_SHARE), ("right", [row.words for row in self._rows], _WORDS_SHARE)):
            room_px = min(width_px * share, max(map(self._metrics.horizontalAdvance, texts)) + 1)
            cut = [self._metrics.elidedText(text, Qt.TextElideMode.ElideRight, room_px) for text in texts]
            self._axes[side].setTicks([[(number + 0.5, text) for number, text in enumerate(cut)]])
            self._axes[side].setWidth(room_px + _GAP_PX + 2)

    def ends_of_texts(self, low: float, width_px: float) -> Iterator[float]:
        """Where an axis from `low` on must end for each text after a bar to have room."""
        for row in self._rows:
            for text in row.values:
                share = min((self._metrics.horizontalAdvance(text.text) + _GAP_PX) / max(width_px, 1.0), 0.5)
                yield low + (text.at - low) / (1 - share)

    def draw(self, height_px: float, axis_span: float, hidden: frozenset[str]) -> None:
        """Draws the bars that are not hidden, in place of those drawn before.

        Args:
            height_px: of all rows together.
            axis_span: from begin to end of the bottom axis.
            hidden: names of bars to leave out.
        """
        row_px = max(height_px / len(self._rows), 1.0)
        most_px = max(_MOST_BARS_PX, _MOST_BAR_PX * max(len(row.values) for row in self._rows))
        self._bars_share = min(_BARS_SHARE, most_px / row_px)
        for item in self._drawn:
            self._item.removeItem(item)
        shown = [(number, bar) for number, row in enumerate(self._rows) for bar in row.bars if bar.name not in hidden]
        self._drawn = self._bar_items(shown, _THIN_SHARE * axis_span)
        for number, row in enumerate(self._rows):
            if row.mark_at is not None:
                ends = [self._height(number, -0.15), self._height(number, 1.15)]
                self._drawn.append(pg.PlotCurveItem([row.mark_at] * 2, ends, pen=self._pen(self._palette.text, 1.5)))
            if self._bars_share * row_px / max(1, len(row.values)) >= _LEAST_TEXT_SHARE * self._metrics.height():
                self._drawn += [self._text_item(one.text, one.at, self._height(number, one.part)) for one in row.values]
        for item in self._drawn:
            self._item.addItem(item, ignoreBounds=True)
        self._bar_targets = []
        for number, bar in shown:
            x = min(bar.begin, bar.end), max(bar.begin, bar.end)
            self._bar_targets.append(Target(x, self._heights(number, bar), bar.tip, self._rows[number].trial, bar.name))

    def _bar_items(self, shown: Sequence[tuple[int, Bar]], thin: float) -> list[Any]:
        if not shown:
            return []
        no_pen, open_pen = pg.mkPen(None), self._pen(self._palette.muted, 1.0, Qt.PenStyle.DashLine)

        def pen(bar: Bar) -> QPen:
            if not bar.colour:
                return open_pen
            return self._pen(bar.colour, 1.0) if abs(bar.end - bar.begin) < thin else no_pen

        heights = [self._heights(number, bar) for number, bar in shown]
        bars = pg.BarGraphItem(
            x0=[bar.begin for _, bar in shown],
            x1=[bar.end for _, bar in shown],
            y0=[top for top, _ in heights],
            y1=[bottom for _, bottom in heights],
            pens=[pen(bar) for _, bar in shown],
            brushes=[pg.mkBrush(bar.colour or None) for _, bar in shown],
        )
        return [bars]

    def _heights(self, number: int, bar: Bar) -> tuple[float, float]:
        return self._height(number, bar.part[0]), self._height(number, bar.part[1])

    def _height(self, number: int, part: float) -> float:
        """A part of the height of a row's bars, on the left axis."""
        return number + 0.5 + (part - 0.5) * self._bars_share

    def _text_item(self, text: str, x: float, y: float) -> Any:
        item = pg.TextItem(text, color=self._palette.muted, anchor=(0, 0.5))
        item.setFont(self._font)
        item.setPos(x, y)
        return item
