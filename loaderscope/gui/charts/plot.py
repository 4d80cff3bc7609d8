"""One pyqtgraph plot in the look of this program: what the screen, the report and exported figures show alike.

The `draw` function of a chart puts axes, lines, bars and notes into a `Plot`; the plot places them, finds what lies under the mouse
and hides what its legend switches off. All coordinates are those of the data; on a logarithmic axis the plot takes logarithms itself.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
import shiboken6
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen, QPicture
from PySide6.QtWidgets import QGraphicsPathItem, QGraphicsSimpleTextItem, QMenu

from loaderscope.gui.charts.legend import LegendEntry, line_pen, place_legend
from loaderscope.gui.charts.plot_items import Grid, TextAxis, label_box
from loaderscope.gui.charts.plot_parts import Axis, Bar, LineStyle, PlotState, Row, Target
from loaderscope.gui.style.palette import Palette

pg.setConfigOptions(antialias=True)

LINE_PX = 2.0
MARK_PX = 8.0
REACH_PX = 9.0
"""The mouse finds a point from this distance."""

_INTERVAL_PX = 1.4
_RING_PX = 15.0
_FAINT_PX = 4.0
_BARS_SHARE, _MOST_BARS_PX, _MOST_BAR_PX = 0.7, 26.0, 14.0
"""What bars take of a row's height; at most so much, and so much for each bar that has a text."""
_LEAST_TEXT_SHARE = 0.7
"""Texts at bars with less room than this part of their height would run into each other, and are left out."""
_LABELS_SHARE, _WORDS_SHARE = 0.42, 0.28
"""The largest parts of the width for what stands left and right of rows."""
_BELOW_LEAST = 1.3
"""A logarithmic axis begins so many times below the smallest value."""
_PADDING_PX = (8.0, 8.0, 10.0, 6.0)  # left, top, right, bottom
_GAP_PX = 6.0
_NOTES_FROM_PX = 110.0
"""A lower chart keeps its room for the lines."""
_OVERLAP_PX = 12
"""The values of an axis may be so much longer than the axis."""
_THIN_SHARE = 0.002
"""Bars narrower than this part of the axis get an outline, so that they can be seen."""

Floats = npt.NDArray[np.float64]


class Plot:
    """A plot with its legend and notes in a view of its own.

    Attributes:
        view: the widget; it paints without being shown, too.
        targets: what answers the mouse, later ones above earlier ones.
        state: what the user has changed.
    """

    def __init__(self, palette: Palette, font: QFont, state: PlotState = PlotState(), pen_scale: float = 1.0, vector: bool = False) -> None:  # noqa: B008
        """Makes an empty plot.

        Args:
            palette: its colours.
            font: of all its text.
            state: what the user has changed.
            pen_scale: device pixels of a logical one, by which pens get wider: they do not grow with the painter.
            vector: whether marks are drawn as shapes, not as cached pixels.
        """
        self.palette, self.state = palette, state
        self.targets: list[Target] = []
        self._font, self._metrics = font, QFontMetricsF(font)
        self._pen_scale, self._vector = pen_scale, vector
        self.view = pg.GraphicsView(background=palette.base)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self._axes = {side: TextAxis(side) for side in ("left", "bottom", "right")}
        self.item = pg.PlotItem(enableMenu=False, axisItems=dict(self._axes))
        self.item.hideButtons()
        self.view.destroyed.connect(functools.partial(_delete, self.item.ctrlMenu))
        self.box = self.item.getViewBox()
        self.box.setDefaultPadding(0)
        self.box.disableAutoRange()
        self.box.sigResized.connect(lambda _box: self._follow_box())
        self.view.addItem(self.item)
        self._more = LegendEntry("", "", font, palette, None)
        self.view.addItem(self._more)
        self._entries: list[LegendEntry] = []
        self._notes: list[tuple[str, str, QGraphicsSimpleTextItem]] = []
        self._items: list[tuple[frozenset[str], Any]] = []  # with the legend's entries of which one must be switched on
        self._rows: Sequence[Row] = ()
        self._bars: list[Any] = []
        self._bars_share = _BARS_SHARE
        self._x = self._y = Axis("", 0.0, 1.0, str)
        self._near: list[tuple[Any, float, float]] = []  # labels, and the points beside which they stand
        self._strokes: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self._upright_words: list[Any] = []
        self._crosshair: list[Any] = []
        self._unit: QGraphicsSimpleTextItem | None = None
        self._frame = QGraphicsPathItem()
        self._frame.setPen(QPen(Qt.PenStyle.NoPen))
        self._frame.setBrush(QColor(palette.base))
        self._frame.setParentItem(self.item)
        self._frame.setZValue(-50)  # above the data, below the axes: an SVG generator does not clip
        self.box.setZValue(-100)

    # What charts put in

    def set_axes(self, bottom: Axis, left: Axis) -> None:
        """Sets both axes; the left one is that of values, and its unit stands above it."""
        self._x, self._y = bottom, left
        if left.least is None:
            self.state = dataclasses.replace(self.state, is_log=False)
        for side, axis in (("bottom", bottom), ("left", left)):
            self._style_axis(side, axis, is_log=side == "left" and self.is_log)
        if left.unit:
            self._unit = self._text_item(left.unit, self.palette.muted, left.tip)
        self.item.hideAxis("right")
        self._apply_range()

    @property
    def is_log(self) -> bool:
        """Whether the axis of values is logarithmic."""
        return self.state.is_log

    @property
    def can_be_log(self) -> bool:
        """Whether the axis of values has a logarithmic form."""
        return self._y.least is not None

    def add_line(self, name: str, style: LineStyle, x: Sequence[float], y: Sequence[float], *, width_px: float = LINE_PX) -> None:
        """Adds a line without marks."""
        curve = pg.PlotCurveItem(np.asarray(x, np.float64), self._scaled(y), pen=self._line_pen(style, width_px), connect="finite")
        self._add(frozenset({name}), curve)

    def add_faint_points(self, name: str, lines: Sequence[Sequence[Target]]) -> None:
        """Adds many lines that are not told apart, behind the others; their points answer the mouse."""
        gap = [math.nan]
        x = np.array([value for line in lines for value in [*(target.x[0] for target in line), *gap]])
        y = self._scaled([value for line in lines for value in [*(target.y[0] for target in line), *gap]])
        self._add(frozenset({name}), pg.PlotCurveItem(x, y, pen=self.pen(self.palette.waiting_hatch, 1.0), connect="finite"))
        known = np.isfinite(y)
        pen, brush = pg.mkPen(None), self.palette.waiting_hatch
        self._add(
            frozenset({name}),
            pg.ScatterPlotItem(x[known], y[known], symbol="o", size=_FAINT_PX, pen=pen, brush=brush, useCache=not self._vector),
        )
        self.targets += [dataclasses.replace(target, name=name) for line in lines for target in line]

    def add_points(
        self, name: str, style: LineStyle, targets: Sequence[Target], intervals: Sequence[tuple[float, float] | None] = ()
    ) -> None:
        """Adds a line through points with marks that answer the mouse, and with their intervals as upright bars."""
        x = np.array([target.x[0] for target in targets])
        y = self._scaled([target.y[0] for target in targets])
        self._strokes += list(zip(zip(x, y, strict=True), list(zip(x, y, strict=True))[1:], strict=False))
        self.add_line(name, style, x.tolist(), [target.y[0] for target in targets])
        known = [(at, middle, self._scaled(one)) for at, middle, one in zip(x, y, intervals, strict=False) if one is not None]
        if known:
            at, middle, ends = (np.array(part) for part in zip(*known, strict=True))
            beam = 0.012 * (self._x.high - self._x.low)
            pen = self.pen(style.colour, _INTERVAL_PX)
            self._add(
                frozenset({name}), pg.ErrorBarItem(x=at, y=middle, bottom=middle - ends[:, 0], top=ends[:, 1] - middle, beam=beam, pen=pen)
            )
            self._strokes += [((a, low), (a, high)) for a, (low, high) in zip(at, ends, strict=True)]
        options = {"symbol": style.symbol, "size": MARK_PX, "brush": style.colour, "pen": self.pen(self.palette.base, 1.0)}
        self._add(frozenset({name}), pg.ScatterPlotItem(x, y, useCache=not self._vector, **options))
        self.targets += [dataclasses.replace(target, name=name) for target in targets]

    def add_target(self, target: Target) -> None:
        """Lets a part of the plot answer the mouse."""
        self.targets.append(target)

    def add_rings(self, names: frozenset[str], points: Sequence[tuple[float, float]], *, is_dotted: bool = False) -> None:
        """Rings points, as long as the legend shows one of the names."""
        if points:
            x, y = np.array(points, np.float64).T
            pen = self.pen(self.palette.good, 1.3, Qt.PenStyle.DotLine) if is_dotted else self.pen(self.palette.good, 2.0)
            options = {"symbol": "o", "size": _RING_PX, "pen": pen, "brush": None, "useCache": not self._vector}
            self._add(names, pg.ScatterPlotItem(x, self._scaled(y.tolist()), **options))

    def add_label(self, names: frozenset[str], x: float, y: float, text: str) -> None:
        """Names a point beside the lines, where there is room, as long as the legend shows one of the names."""
        ground = QColor(self.palette.base)
        ground.setAlpha(225)
        label = pg.TextItem(text, color=self.palette.text, fill=ground, anchor=(0, 0))
        label.setFont(self._font)
        label.setZValue(20)
        self._add(names, label)
        self._near.append((label, x, self._scaled_one(y)))

    def add_upright(self, x: float, label: str) -> None:
        """A dotted upright line with its meaning at the bottom."""
        line = pg.InfiniteLine(x, angle=90, pen=self.pen(self.palette.muted, 1.0, Qt.PenStyle.DotLine))
        options = {"position": 0.06, "color": self.palette.muted, "movable": False, "anchors": [(0, 0.5), (0, 0.5)]}
        if x > (self._x.low + self._x.high) / 2:
            options["anchors"] = [(1, 0.5), (1, 0.5)]
        words = pg.InfLineLabel(line, label, **options)
        words.setFont(self._font)
        self._upright_words.append(words)
        self.item.addItem(line, ignoreBounds=True)

    def set_rows(self, rows: Sequence[Row], bottom: Axis) -> None:
        """Shows rows of bars from top to bottom on the bottom axis, the axis of values, which never is logarithmic."""
        self._rows = rows
        self.set_axes(bottom, Axis("", 0.0, float(len(rows)), lambda _value: "", has_grid=False))
        self.box.invertY(True)
        self.box.setMouseEnabled(x=True, y=False)
        self.item.showAxis("right", any(row.words for row in rows))
        right = self._axes["right"]
        right.setStyle(tickLength=0, tickAlpha=0)
        right.setPen(None)
        for axis, colour in ((self._axes["left"], self.palette.text), (right, self.palette.muted)):
            axis.setTextPen(colour)
            axis.setTickFont(self._font)
        zero = pg.InfiniteLine(0.0, angle=90, pen=self.pen(self.palette.border, 1.0))
        self.item.addItem(zero, ignoreBounds=True)
        for number, row in enumerate(rows):
            self.targets.append(Target((-math.inf, math.inf), (number, number + 1), row.tip or row.label, row.trial))
        self._draw_bars()

    def set_legend(self, entries: Iterable[tuple[str, LineStyle | str]]) -> None:
        """Names lines by their style and bars by their colour, the most important first."""
        for name, key in entries:
            entry = LegendEntry(name, key, self._font, self.palette, functools.partial(self.toggle, name))
            entry.set_hidden(name in self.state.hidden)
            self.view.addItem(entry)
            self._entries.append(entry)

    def add_note(self, sentence: str, tip: str) -> None:
        """Puts a sentence above the plot, where there is room; `tip` explains it."""
        self._notes.append((sentence, tip, self._text_item(sentence, self.palette.text, tip)))

    def pen(self, colour: str, width_px: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
        """A pen that is as wide on every scale of the axes."""
        pen = QPen(QColor(colour), width_px * self._pen_scale, style)
        pen.setCosmetic(True)
        return pen

    # What the user does

    def toggle(self, name: str) -> None:
        """Hides what belongs to an entry of the legend, or shows it again."""
        self.state = dataclasses.replace(self.state, hidden=self.state.hidden ^ {name})
        for entry in self._entries:
            entry.set_hidden(entry.name in self.state.hidden)
        for names, item in self._items:
            item.setVisible(bool(names - self.state.hidden))
        if self._rows:
            self._draw_bars()

    def reset(self) -> None:
        """Shows the whole range of both axes."""
        self.state = dataclasses.replace(self.state, x_range=None, y_range=None)
        self._apply_range()

    @property
    def is_whole(self) -> bool:
        """Whether all of both axes is in sight."""
        seen = self.box.viewRange()
        return all(
            math.isclose(a, b, abs_tol=1e-9, rel_tol=1e-6)
            for one, other in zip(seen, self._whole(), strict=True)
            for a, b in zip(one, other, strict=True)
        )

    def seen_state(self) -> PlotState:
        """The state with the part of the axes that is in sight."""
        if self.is_whole:
            return dataclasses.replace(self.state, x_range=None, y_range=None)
        x_range, y_range = (tuple(part) for part in self.box.viewRange())
        return dataclasses.replace(self.state, x_range=x_range, y_range=None if self._rows else y_range)

    def zoom(self, factor: float) -> None:
        """Shows `factor` times the range around the middle."""
        self.box.scaleBy(x=factor, y=None if self._rows else factor)

    def pan(self, x_share: float, y_share: float) -> None:
        """Moves by shares of the range in sight."""
        (x0, x1), (y0, y1) = self.box.viewRange()
        self.box.translateBy(x=x_share * (x1 - x0), y=None if self._rows else y_share * (y1 - y0))

    def find(self, at: QPointF) -> Target | None:
        """What answers the mouse at a position of the view: the nearest point within reach, else the topmost bar, else a row."""
        if not self.targets or not self.item.sceneBoundingRect().contains(at):
            return None
        place = self.box.mapSceneToView(at)
        pixel_x, pixel_y = self.box.viewPixelSize()
        in_box = self.box.sceneBoundingRect().contains(at)
        nearest: tuple[float, Target] | None = None
        for target in reversed(self.targets):
            if target.name in self.state.hidden:
                continue
            low, high = (self._scaled_one(value) for value in target.y) if not self._rows else target.y
            if not self._rows and low == high and target.x[0] == target.x[1]:
                distance = math.hypot((place.x() - target.x[0]) / pixel_x, (place.y() - low) / pixel_y)
                if in_box and distance <= REACH_PX and (nearest is None or distance < nearest[0]):
                    nearest = distance, target
            elif low <= place.y() <= high and target.x[0] <= place.x() <= target.x[1]:
                return target
        return nearest[1] if nearest is not None else None

    def read_off(self, at: QPointF) -> tuple[QPointF, str] | None:
        """Data coordinates of a position of the view, and the values there in words; None: it lies outside the axes."""
        if not self.box.sceneBoundingRect().contains(at):
            return None
        place = self.box.mapSceneToView(at)
        words = [f"{self._x.text(place.x())} {self._x.unit}"]
        if not self._rows:
            words.append(f"{self._y.text(10 ** place.y() if self.is_log else place.y())} {self._y.unit}")
        if not self.is_whole:
            words.append("double click: all")
        return place, " · ".join(word.strip() for word in words)

    def show_crosshair(self, at: QPointF | None) -> None:
        """Lays lines through a position of the view, with the values there in a corner; None: takes them away."""
        found = self.read_off(at) if at is not None else None
        for item in self._crosshair:
            item.setVisible(found is not None)
        if found is None:
            return
        if not self._crosshair:
            pen = self.pen(self.palette.crosshair, 1.0, Qt.PenStyle.DashLine)
            text = pg.TextItem("", color=self.palette.text, fill=self.palette.card, border=self.palette.border, anchor=(1, 0))
            text.setFont(self._font)
            self._crosshair = [text, pg.InfiniteLine(angle=90, pen=pen), *([] if self._rows else [pg.InfiniteLine(angle=0, pen=pen)])]
            for item in self._crosshair:
                item.setZValue(30)
                self.item.addItem(item, ignoreBounds=True)
        place, words = found
        text, upright, *level = self._crosshair
        text.setText(words)
        (_, right), (low, high) = self.box.viewRange()
        text.setPos(right, low if self._rows else high)
        upright.setPos(place.x())
        for line in level:
            line.setPos(place.y())

    # Places

    def place(self, size: QSize) -> None:
        """Lays everything out within a size in logical pixels."""
        self.view.setRange(QRectF(0, 0, size.width(), size.height()), padding=0, disableAutoPixel=False)
        left, top, right, bottom = _PADDING_PX
        line_px = self._metrics.height() + 2
        area = QRectF(0, 0, size.width(), size.height()).adjusted(left, top, -right, -bottom)
        rest = place_legend(self._entries, self._more, area, line_px)
        has_room = rest.height() >= _NOTES_FROM_PX + len(self._notes) * line_px
        for sentence, tip, item in self._notes:
            item.setVisible(has_room)
            if has_room:
                shown = self._metrics.elidedText(sentence, Qt.TextElideMode.ElideRight, rest.width())
                item.setText(shown)
                item.setToolTip(tip if shown == sentence else f"{sentence}\n\n{tip}")
                item.setPos(rest.topLeft())
                rest.adjust(0, line_px, 0, 0)
        if self._unit is not None:
            self._unit.setPos(rest.left(), rest.top() - 3)
            rest.adjust(0, line_px, 0, 0)
        elif not self._rows:
            rest.adjust(0, line_px / 2, 0, 0)  # the highest value of the axis reaches above it
        if self._rows:
            self._place_rows(rest)
        half_px = self._metrics.horizontalAdvance(self._x.text(self._x.high)) / 2 + 1 if self._x.ticks is None else 0.0
        self._axes["bottom"].setStyle(hideOverlappingLabels=max(round(half_px), _OVERLAP_PX))
        if not any(row.words for row in self._rows):
            rest.adjust(0, 0, min(right - half_px, 0.0), 0)  # so that the last value is not cut off
        self.item.setGeometry(rest)
        self.item.layout.activate()
        if self._rows:
            most_px = max(_MOST_BARS_PX, _MOST_BAR_PX * max(len(row.values) for row in self._rows))
            self._bars_share = min(_BARS_SHARE, most_px / self._row_px)
            self._draw_bars()
        self._axes["left"].picture = self._axes["bottom"].picture = None
        self._apply_range()
        self._follow_box()

    def record(self, size: QSize) -> QPicture:
        """All that is painted, at one unit a logical pixel."""
        for _ in range(2):  # axes take their room when their ticks are known
            self.place(size)
            self.view.scene().prepareForPaint()
            for axis in self._axes.values():
                axis.generate()
        picture, area = QPicture(), QRectF(0, 0, size.width(), size.height())
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.view.scene().render(painter, area, area)
        painter.end()
        return picture

    def close(self) -> None:
        """Ends the view; nothing may be asked of the plot after this."""
        self.view.hide()
        self.view.deleteLater()

    # Inside

    def _add(self, names: frozenset[str], item: Any) -> None:
        """Adds an item that is shown as long as the legend shows one of the names."""
        self.item.addItem(item, ignoreBounds=True)
        self._items.append((names, item))
        item.setVisible(bool(names - self.state.hidden))

    def _line_pen(self, style: LineStyle, width_px: float) -> QPen:
        pen = line_pen(style, width_px * self._pen_scale)
        pen.setCosmetic(True)
        return pen

    def _scaled(self, values: Sequence[float]) -> Floats:
        """Values on the left axis, as logarithms where that is logarithmic."""
        plain = np.asarray(values, np.float64)
        if not self.is_log:
            return plain
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(plain > 0, np.log10(plain), np.nan)

    def _scaled_one(self, value: float) -> float:
        return float(self._scaled([value])[0])

    def _whole(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ranges of both axes, in coordinates of the view."""
        low, high = self._y.low, self._y.high
        if self.is_log and self._y.least is not None:
            low, high = math.log10(self._y.least / _BELOW_LEAST), math.log10(high)
        return (self._x.low, max(self._x.high, *self._ends_of_texts(), self._x.low)), (low, high)

    def _ends_of_texts(self) -> Iterator[float]:
        """Where the bottom axis must end for each text after a bar to have room."""
        width_px = max(float(self.box.width()), 1.0)
        for row in self._rows:
            for text in row.values:
                share = min((self._metrics.horizontalAdvance(text.text) + _GAP_PX) / width_px, 0.5)
                yield self._x.low + (text.at - self._x.low) / (1 - share)

    def _apply_range(self) -> None:
        x, y = self._whole()
        self.box.setLimits(xMin=x[0], xMax=x[1], yMin=y[0], yMax=y[1])
        self.box.setRange(xRange=self.state.x_range or x, yRange=self.state.y_range or y, padding=0)

    def _style_axis(self, side: str, axis: Axis, *, is_log: bool) -> None:
        shown = self._axes[side]
        shown.text = axis.text
        shown.setLogMode(x=False, y=is_log)
        shown.enableAutoSIPrefix(False)
        shown.setTickFont(self._font)
        shown.setPen(self.pen(self.palette.border, 1.0) if side == "bottom" else None)
        shown.setTextPen(self.palette.muted)
        # ticks of no length would still be dots
        shown.setStyle(tickLength=0, tickAlpha=0, maxTickLevel=0, maxTextLevel=0, hideOverlappingLabels=_OVERLAP_PX)
        shown.setStyle(tickTextOffset=6 if side == "left" else 4)
        shown.setToolTip(axis.tip)
        shown.setZValue(10)
        if axis.ticks is not None:
            shown.setTicks([[(value, axis.text(value)) for value in axis.ticks]])
        if axis.title:
            shown.setLabel(axis.title, **{"font-size": f"{self._font.pixelSize()}px", "color": self.palette.muted})
            shown.label.setFont(self._font)
        if side == "bottom":
            shown.setHeight(round((2 if axis.title else 1) * self._metrics.height() + 7))
        if axis.has_grid:
            self.item.addItem(Grid(shown, self.box, self.pen(self.palette.grid, 1.0)), ignoreBounds=True)

    def _text_item(self, text: str, colour: str, tip: str) -> QGraphicsSimpleTextItem:
        item = QGraphicsSimpleTextItem(text)
        item.setFont(self._font)
        item.setBrush(QColor(colour))
        item.setToolTip(tip)
        self.view.addItem(item)
        return item

    def _follow_box(self) -> None:
        """Covers all around the axes, and places labels; again whenever an axis takes more room for longer values."""
        for label, x, y in self._near:
            self._place_near(label, x, y)
        around = QPainterPath()
        around.addRect(self.item.mapRectFromScene(self.view.sceneRect()))
        around.addRect(self.box.geometry())
        self._frame.setPath(around)

    def _place_rows(self, area: QRectF) -> None:
        """Gives labels and words at most their share of the width, and cuts what is longer."""
        labels = [row.label for row in self._rows]
        if max(map(self._metrics.horizontalAdvance, labels)) > area.width() * _LABELS_SHARE:
            labels = [row.short_label or row.label for row in self._rows]
        for side, texts, share in (("left", labels, _LABELS_SHARE), ("right", [row.words for row in self._rows], _WORDS_SHARE)):
            room = min(area.width() * share, max(map(self._metrics.horizontalAdvance, texts)) + 1)
            cut = [self._metrics.elidedText(text, Qt.TextElideMode.ElideRight, room) for text in texts]
            self._axes[side].setTicks([[(number + 0.5, text) for number, text in enumerate(cut)]])
            self._axes[side].setWidth(room + _GAP_PX + 2)

    def _draw_bars(self) -> None:
        """Draws the bars of the rows without those that are hidden."""
        for item in self._bars:
            self.item.removeItem(item)
        self._bars = []
        self.targets = self.targets[: len(self._rows)]
        shown = list(self._bar_boxes())
        thin = _THIN_SHARE * (self._x.high - self._x.low)
        if shown:
            none = pg.mkPen(None)
            open_pen = self.pen(self.palette.muted, 1.0, Qt.PenStyle.DashLine)
            pens = [
                open_pen if not bar.colour else self.pen(bar.colour, 1.0) if abs(bar.end - bar.begin) < thin else none for bar, _ in shown
            ]
            brushes = [pg.mkBrush(bar.colour or None) for bar, _ in shown]
            x0, x1 = ([getattr(bar, end) for bar, _ in shown] for end in ("begin", "end"))
            y0, y1 = ([box[end] for _, box in shown] for end in (0, 1))
            self._bars.append(pg.BarGraphItem(x0=x0, x1=x1, y0=y0, y1=y1, pens=pens, brushes=brushes))
        for number, row in enumerate(self._rows):
            if row.mark_at is not None:
                low, high = self._height_in_row(number, -0.15), self._height_in_row(number, 1.15)
                self._bars.append(pg.PlotCurveItem([row.mark_at] * 2, [low, high], pen=self.pen(self.palette.text, 1.5)))
            text_px = self._bars_share * self._row_px / max(1, len(row.values))
            if text_px >= _LEAST_TEXT_SHARE * self._metrics.height():
                self._bars += [self._bar_text(one.text, one.at, self._height_in_row(number, one.part)) for one in row.values]
        for item in self._bars:
            self.item.addItem(item, ignoreBounds=True)
        for bar, box in shown:
            trial = self._rows[int(box[0])].trial
            x = min(bar.begin, bar.end), max(bar.begin, bar.end)
            self.targets.append(Target(x, box, bar.tip, trial, bar.name))

    @property
    def _row_px(self) -> float:
        return max(float(self.box.height()) / len(self._rows), 1.0)

    def _bar_boxes(self) -> Iterator[tuple[Bar, tuple[float, float]]]:
        """Bars that are not hidden, each with its place on the left axis."""
        for number, row in enumerate(self._rows):
            for bar in row.bars:
                if bar.name not in self.state.hidden:
                    yield bar, (self._height_in_row(number, bar.part[0]), self._height_in_row(number, bar.part[1]))

    def _height_in_row(self, number: int, part: float) -> float:
        """A part of the height of a row's bars, on the left axis."""
        return number + 0.5 + (part - 0.5) * self._bars_share

    def _bar_text(self, text: str, x: float, y: float) -> Any:
        item = pg.TextItem(text, color=self.palette.muted, anchor=(0, 0.5))
        item.setFont(self._font)
        item.setPos(x, y)
        return item

    def _place_near(self, label: Any, x: float, y: float) -> None:
        """Puts a label beside its point, inside the axes and over as few lines as can be; the first such place wins."""
        label.setPos(x, y)
        inside, spot = self.box.sceneBoundingRect(), self.box.mapViewToScene(QPointF(x, y))
        if not inside.contains(spot):
            return
        strokes = [QLineF(*(self.box.mapViewToScene(QPointF(*end)) for end in stroke)) for stroke in self._strokes]
        for words in self._upright_words:
            area = words.mapRectToScene(words.boundingRect())
            strokes += [QLineF(area.topLeft(), area.topRight()), QLineF(area.bottomLeft(), area.bottomRight())]
        size = label.textItem.boundingRect()
        box = label_box(inside, spot, (size.width(), size.height()), strokes)
        label.setAnchor(((spot.x() - box.left()) / box.width(), (spot.y() - box.top()) / box.height()))  # it moves with its point


def _delete(menu: QMenu) -> None:
    """Deletes a menu without a parent: Python would free it at any time, also while Qt goes through all widgets, and that crashes."""
    if shiboken6.isValid(menu):  # it is not where the program ends
        shiboken6.delete(menu)
