"""What every part of the painter needs: the painter itself, where things stand, colours, fonts and pixel snapping."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPaintEngine, QPainter, QPen

from loaderscope.gui.palette import Palette, text_on
from loaderscope.gui.timeline.layout import Layout
from loaderscope.gui.timeline.lod import Floats, Ints
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.viewport import Viewport

LABEL_FONT_PX = 11
SMALL_FONT_PX = 10
HATCH_PX = 6.0


@functools.lru_cache(maxsize=256)
def colour(value: str) -> QColor:
    """A colour by `#rrggbb`, made once."""
    return QColor(value)


@functools.lru_cache(maxsize=256)
def ink(value: str) -> QColor:
    """The colour of text on a colour."""
    return QColor(text_on(value))


@dataclasses.dataclass
class Canvas:
    """One painting of the timeline, or of the columns [x0, x1) of its plot area.

    Attributes:
        scroll_y: how far the rows are scrolled, logical pixels.
        x0, x1: the part of the plot area to paint, pixels from its left edge.
    """

    painter: QPainter
    scene: Scene
    viewport: Viewport
    layout: Layout
    palette: Palette
    scroll_y: int = 0
    x0: int = 0
    x1: int = 0

    def __post_init__(self) -> None:
        self.x1 = self.x1 or self.layout.plot_width
        device = self.painter.device()
        self.is_raster = self.painter.paintEngine().type() == QPaintEngine.Type.Raster
        # vector formats get a grid of quarters of a pixel, which no printer or screen resolves
        self.ratio = device.devicePixelRatioF() * self.painter.transform().m11() if self.is_raster else 4.0
        self._edges: Ints | None = None
        self.label_font = self._font(LABEL_FONT_PX)
        self.small_font = self._font(SMALL_FONT_PX)
        self.label_metrics = QFontMetricsF(self.label_font)
        self.small_metrics = QFontMetricsF(self.small_font)
        self.bold_font = QFont(self.label_font)
        self.bold_font.setBold(True)
        self.bold_metrics = QFontMetricsF(self.bold_font)

    @property
    def left(self) -> int:
        """Left edge of the plot area."""
        return self.layout.label_width

    @property
    def top(self) -> int:
        """Where y = 0 of the rows is."""
        return self.layout.header_height - self.scroll_y

    @property
    def view_ns(self) -> tuple[int, int]:
        """The visible range in absolute time."""
        origin = self.scene.origin_ns
        return origin + round(self.viewport.start), origin + round(self.viewport.end)

    @property
    def part_ns(self) -> tuple[int, int]:
        """The range of the columns to paint in absolute time, rounded outwards."""
        width = self.layout.plot_width
        origin = self.scene.origin_ns
        first, last = self.viewport.time_at(self.x0, width), self.viewport.time_at(self.x1, width)
        return origin + int(np.floor(first)), origin + int(np.ceil(last))

    def edges(self, columns: int) -> Ints:
        """Edges of equal columns over what is painted, absolute."""
        if self._edges is None or len(self._edges) != columns + 1:
            first, last = (self.viewport.time_at(x, self.layout.plot_width) for x in (self.x0, self.x1))
            self._edges = Viewport(first, last - first).edges_ns(columns, self.scene.origin_ns)
        return self._edges

    def x_of(self, times_ns: np.ndarray) -> Floats:
        """Widget x of absolute times, on whole device pixels."""
        offset = (times_ns - np.int64(self.scene.origin_ns)).astype(np.float64)
        x = (offset - self.viewport.start) * (self.layout.plot_width / self.viewport.span)
        return self.left + self.snap(x)

    def snap(self, x: Floats) -> Floats:
        """The nearest device pixels."""
        return np.rint(x * self.ratio) / self.ratio

    def set_text(self, value: str, font: QFont) -> None:
        self.painter.setFont(font)
        self.painter.setPen(colour(value))

    def text(self, box: QRectF, text: str, value: str, font: QFont, flags: Qt.AlignmentFlag | None = None) -> None:
        """Text in a box, shortened to fit."""
        metrics = self.small_metrics if font is self.small_font else self.bold_metrics if font is self.bold_font else self.label_metrics
        self.set_text(value, font)
        align = flags if flags is not None else Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        self.painter.drawText(
            box, int(align) | int(Qt.TextFlag.TextSingleLine), metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.width())
        )

    def fill(self, x: float, y: float, width: float, height: float, value: str) -> None:
        self.painter.fillRect(QRectF(x, y, width, height), colour(value))

    def line(self, x1: float, y1: float, x2: float, y2: float, value: str) -> None:
        """A crisp line of one logical pixel, along an axis."""
        if x1 == x2:
            self.fill(x1, min(y1, y2), 1, abs(y2 - y1), value)
        else:
            self.fill(min(x1, x2), y1, abs(x2 - x1), 1, value)

    def hatch(self, boxes: list[QRectF], value: str) -> None:
        """Diagonal lines inside boxes. They begin at each box, so they move with it."""
        lines = []
        low, high = float(self.left + self.x0), float(self.left + self.x1)
        for box in boxes:
            top, bottom, height = box.top(), box.bottom(), box.height()
            left, right = max(box.left(), low), min(box.right(), high)
            begin = box.left() + HATCH_PX * np.floor((left - box.left()) / HATCH_PX)
            for foot in np.arange(begin, right + height, HATCH_PX):
                # from (foot, top) down to the left
                rise, fall = max(0.0, foot - right), min(height, foot - left)
                if fall > rise:
                    lines.append(QLineF(foot - rise, top + rise, foot - fall, bottom - (height - fall)))
        if lines:
            self.painter.save()
            self.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.painter.setPen(QPen(colour(value), 1.2))
            self.painter.drawLines(lines)
            self.painter.restore()

    def _font(self, pixels: int) -> QFont:
        font = QFont(self.painter.font())
        font.setPixelSize(pixels)
        return font
