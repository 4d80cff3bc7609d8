"""One pyqtgraph plot in the look of this program: what the screen, the report and exported figures show alike.

The `draw` function of a chart puts axes, lines, bars and notes into a `Plot`; the plot places them, finds what lies under the mouse
and hides what its legend switches off. All coordinates are those of the data; on a logarithmic axis the plot takes logarithms itself.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
import shiboken6
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen, QPicture
from PySide6.QtWidgets import QGraphicsPathItem, QGraphicsSimpleTextItem, QMenu

from loaderscope.gui.charts.bar_rows import BarRows
from loaderscope.gui.charts.legend import LegendEntry, line_pen, place_legend
from loaderscope.gui.charts.plot_items import OVERLAP_PX, Crosshair, Grid, TextAxis, label_box
from loaderscope.gui.charts.plot_parts import Axis, LineStyle, PlotState, Row, Target
from loaderscope.gui.style.palette import Palette

pg.setConfigOptions(antialias=True)

LINE_PX = 2.0
MARK_PX = 8.0
REACH_PX = 9.0
"""The mouse finds a point from this distance."""

_INTERVAL_PX = 1.4
_RING_PX = 15.0
_FAINT_PX = 4.0
_BELOW_LEAST = 1.3
"""A logarithmic axis begins so many times below the smallest value."""
_PADDING_PX = (8.0, 8.0, 10.0, 6.0)  # left, top, right, bottom
_NOTES_FROM_PX = 110.0
"""A lower chart keeps its room for the lines."""

Floats = npt.NDArray[np.float64]


class Plot:
    """A plot with its legend and notes in a view of its own.

    Attributes:
        view: the widget; it paints without being shown, too.
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
        self._points: list[Target] = []
        self._point_places: tuple[Floats, Floats] | None = None  # of `_points`, on both axes of the view
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
        self._rows: BarRows | None = None
        self._x = self._y = Axis("", 0.0, 1.0, str)
        self._near: list[tuple[Any, float, float]] = []  # labels, and the points beside which they stand
        self._strokes: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self._upright_words: list[Any] = []
        self._crosshair: Crosshair | None = None
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
            shown = self._axes[side]
            shown.show_as(axis, self._font, self.palette, self.pen(self.palette.border, 1.0), is_log=side == "left" and self.is_log)
            if axis.has_grid:
                self.item.addItem(Grid(shown, self.box, self.pen(self.palette.grid, 1.0)), ignoreBounds=True)
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
        self.add_targets(dataclasses.replace(target, name=name) for line in lines for target in line)

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
        self.add_targets(dataclasses.replace(target, name=name) for target in targets)

    def add_targets(self, targets: Iterable[Target]) -> None:
        """Lets points answer the mouse."""
        self._points += targets
        self._point_places = None

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

    def add_level(self, y: float, label: str) -> None:
        """A dashed level line with its meaning above its right end, or below it at the top of the chart."""
        line = pg.InfiniteLine(self._scaled_one(y), angle=0, pen=self.pen(self.palette.muted, 1.0, Qt.PenStyle.DashLine))
        below = y > (self._y.low + self._y.high) / 2
        anchor = (1, 0) if below else (1, 1)
        words = pg.InfLineLabel(line, label, position=0.98, color=self.palette.muted, movable=False, anchors=[anchor, anchor])
        words.setFont(self._font)
        self._upright_words.append(words)
        self.item.addItem(line, ignoreBounds=True)

    def set_rows(self, rows: Sequence[Row], bottom: Axis) -> None:
        """Shows rows of bars from top to bottom on the bottom axis, the axis of values, which never is logarithmic."""
        self.set_axes(bottom, Axis("", 0.0, float(len(rows)), lambda _value: "", has_grid=False))
        self.box.invertY(True)
        self.box.setMouseEnabled(x=True, y=False)
        self._rows = BarRows(rows, self.item, self._axes, self._font, self.palette, self.pen)

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
        return dataclasses.replace(self.state, x_range=x_range, y_range=None if self._rows is not None else y_range)

    def zoom(self, factor: float) -> None:
        """Shows `factor` times the range around the middle."""
        self.box.scaleBy(x=factor, y=None if self._rows is not None else factor)

    def pan(self, x_share: float, y_share: float) -> None:
        """Moves by shares of the range in sight."""
        (x0, x1), (y0, y1) = self.box.viewRange()
        self.box.translateBy(x=x_share * (x1 - x0), y=None if self._rows is not None else y_share * (y1 - y0))

    @property
    def targets(self) -> list[Target]:
        """What answers the mouse, later ones above earlier ones."""
        return self._points if self._rows is None else self._rows.targets

    def find(self, at: QPointF) -> Target | None:
        """What answers the mouse at a position of the view: the nearest point within reach, or the topmost bar, else the row."""
        if not self.item.sceneBoundingRect().contains(at):
            return None
        place = self.box.mapSceneToView(at)
        if self._rows is not None:
            return self._rows.find(place.x(), place.y())
        return self._find_point(place) if self.box.sceneBoundingRect().contains(at) else None

    def _find_point(self, place: QPointF) -> Target | None:
        if self._point_places is None:
            x = np.array([target.x[0] for target in self._points])
            self._point_places = x, self._scaled([target.y[0] for target in self._points])
        x, y = self._point_places
        pixel_x, pixel_y = self.box.viewPixelSize()
        distance_px = np.hypot((x - place.x()) / pixel_x, (y - place.y()) / pixel_y)
        near = np.flatnonzero(distance_px <= REACH_PX)[::-1]
        by_distance = near[np.argsort(distance_px[near], kind="stable")].tolist()
        return next((self._points[number] for number in by_distance if self._points[number].name not in self.state.hidden), None)

    def read_off(self, at: QPointF) -> tuple[QPointF, str] | None:
        """Data coordinates of a position of the view, and the values there in words; None: it lies outside the axes."""
        if not self.box.sceneBoundingRect().contains(at):
            return None
        place = self.box.mapSceneToView(at)
        words = [f"{self._x.text(place.x())} {self._x.unit}"]
        if self._rows is None:
            words.append(f"{self._y.text(10 ** place.y() if self.is_log else place.y())} {self._y.unit}")
        if not self.is_whole:
            words.append("double click: all")
        return place, " · ".join(word.strip() for word in words)

    def show_crosshair(self, at: QPointF | None) -> None:
        """Lays lines through a position of the view, with the values there in a corner; None: takes them away."""
        found = self.read_off(at) if at is not None else None
        if found is None:
            if self._crosshair is not None:
                self._crosshair.hide()
            return
        if self._crosshair is None:
            self._crosshair = Crosshair(self.item, self._font, self.palette, self.pen, has_level=self._rows is None)
        (_, right), (low, high) = self.box.viewRange()
        place, words = found
        self._crosshair.show(place, words, QPointF(right, high if self._rows is None else low))

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
        elif self._rows is None:
            rest.adjust(0, line_px / 2, 0, 0)  # the highest value of the axis reaches above it
        if self._rows is not None:
            self._rows.place_labels(rest.width())
        half_px = self._metrics.horizontalAdvance(self._x.text(self._x.high)) / 2 + 1 if self._x.ticks is None else 0.0
        self._axes["bottom"].setStyle(hideOverlappingLabels=max(round(half_px), OVERLAP_PX))
        if self._rows is None or not self._rows.has_words:
            rest.adjust(0, 0, min(right - half_px, 0.0), 0)  # so that the last value is not cut off
        self.item.setGeometry(rest)
        self.item.layout.activate()
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
        ends = () if self._rows is None else self._rows.ends_of_texts(self._x.low, float(self.box.width()))
        return (self._x.low, max(self._x.high, self._x.low, *ends)), (low, high)

    def _apply_range(self) -> None:
        x, y = self._whole()
        self.box.setLimits(xMin=x[0], xMax=x[1], yMin=y[0], yMax=y[1])
        self.box.setRange(xRange=self.state.x_range or x, yRange=self.state.y_range or y, padding=0)

    def _text_item(self, text: str, colour: str, tip: str) -> QGraphicsSimpleTextItem:
        item = QGraphicsSimpleTextItem(text)
        item.setFont(self._font)
        item.setBrush(QColor(colour))
        item.setToolTip(tip)
        self.view.addItem(item)
        return item

    def _follow_box(self) -> None:
        """Covers all around the axes, and places labels; again whenever an axis takes more room for longer values."""
        room = 0.96 * self.box.width()
        for words in self._upright_words:
            is_wide = self._metrics.horizontalAdvance(words.textItem.toPlainText()) > room
            words.setTextWidth(room if is_wide else -1)
        for label, x, y in self._near:
            self._place_near(label, x, y)
        around = QPainterPath()
        around.addRect(self.item.mapRectFromScene(self.view.sceneRect()))
        around.addRect(self.box.geometry())
        self._frame.setPath(around)

    def _draw_bars(self) -> None:
        if self._rows is not None:
            self._rows.draw(float(self.box.height()), self._x.high - self._x.low, self.state.hidden)

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
