"""The canvas that every part of the painter uses: places in the widget, colours, fonts and whole pixels."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import threading

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPaintEngine, QPainter, QPen

from loaderscope.gui.style.palette import Palette, text_on
from loaderscope.gui.timeline.data.level_of_detail import Floats, Ints
from loaderscope.gui.timeline.data.row_layout import Layout, slot_px
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.viewport import Viewport

LABEL_FONT_PX = 11
SMALL_FONT_PX = 10
HATCH_PX = 6.0


@functools.lru_cache(maxsize=256)
def colour(value: str) -> QColor:
    """Returns a colour by `#rrggbb`; cached."""
    return QColor(value)


@functools.lru_cache(maxsize=256)
def pixel_of(value: str) -> int:
    """Returns a colour as a pixel of an image."""
    return colour(value).rgba()


@functools.lru_cache(maxsize=256)
def text_colour(value: str) -> QColor:
    """Returns the colour of text on a colour."""
    return QColor(text_on(value))


class TextFont:
    """A font that caches the widths of texts."""

    def __init__(self, family: QFont, pixels: int, *, bold: bool = False) -> None:
        self.font = QFont(family)
        self.font.setPixelSize(pixels)
        self.font.setBold(bold)
        metrics = QFontMetricsF(self.font)
        self.height, self.ascent = metrics.height(), metrics.ascent()
        # wrapped, as asking a method of Qt for its help text, which `lru_cache` copies, loads all signatures of Qt
        self.advance = functools.lru_cache(maxsize=4096)(lambda text: metrics.horizontalAdvance(text))  # noqa: PLW0108
        self.digit_advance = max(self.advance(digit) for digit in "0123456789")
        self._elided = functools.lru_cache(maxsize=4096)(lambda text, mode, width: metrics.elidedText(text, mode, width))  # noqa: PLW0108

    def fitted(self, text: str, width: float) -> str:
        """Returns a text, shortened to a width."""
        return text if self.advance(text) <= width else self._elided(text, Qt.TextElideMode.ElideRight, width)


@functools.lru_cache(maxsize=16)
def _fonts(key: str, _thread: int) -> tuple[TextFont, TextFont, TextFont]:
    """Returns fonts for labels, small text and titles, in the family of a font's key. Cached by thread: only one thread may use a font."""
    family = QFont()
    family.fromString(key)
    return TextFont(family, LABEL_FONT_PX), TextFont(family, SMALL_FONT_PX), TextFont(family, LABEL_FONT_PX, bold=True)


@dataclasses.dataclass
class Canvas:
    """One painting of the timeline, or of the columns [x0, x1) of its plot area.

    Attributes:
        scroll_y: how far the rows are scrolled, logical pixels.
        x0, x1: the columns to paint, logical pixels from the left edge of the plot area; for later pans they may lie beside it.
        names_from, names_to: spans that begin further left or end further right get no name, in the same pixels.
        ratio: device pixels per logical pixel.
    """

    painter: QPainter
    scene: Scene
    viewport: Viewport
    layout: Layout
    palette: Palette
    scroll_y: int = 0
    x0: int = 0
    x1: int = 0
    names_from: float = -math.inf
    names_to: float = math.inf

    def __post_init__(self) -> None:
        self.x1 = self.x1 or self.layout.plot_width
        device = self.painter.device()
        self.is_raster = self.painter.paintEngine().type() == QPaintEngine.Type.Raster
        # vector formats get a grid of quarters of a pixel, which no printer or screen resolves
        self.ratio = device.devicePixelRatioF() * self.painter.transform().m11() if self.is_raster else 4.0
        self.label_font, self.small_font, self.bold_font = _fonts(self.painter.font().toString(), threading.get_ident())

    @property
    def left(self) -> int:
        """Left edge of the plot area."""
        return self.layout.label_width

    @property
    def top(self) -> int:
        """The y in the widget at which the y of rows is 0."""
        return self.layout.header_height - self.scroll_y

    @property
    def view_ns(self) -> tuple[int, int]:
        """The visible range in absolute time."""
        origin = self.scene.origin_ns
        return origin + round(self.viewport.start), origin + round(self.viewport.end)

    @property
    def sight(self) -> tuple[int, int]:
        """First and last column of the view and the columns to paint together."""
        return min(self.x0, 0), max(self.x1, self.layout.plot_width)

    @property
    def part(self) -> tuple[float, float]:
        """The time range of the columns to paint, nanoseconds since the origin."""
        return self.viewport.time_at(self.x0, self.layout.plot_width), self.viewport.time_at(self.x1, self.layout.plot_width)

    @property
    def part_ns(self) -> tuple[int, int]:
        """The time range of the columns to paint in absolute time, rounded outwards."""
        origin, (first, last) = self.scene.origin_ns, self.part
        return origin + math.floor(first), origin + math.ceil(last)

    @property
    def columns(self) -> int:
        """Width of the columns to paint in device pixels; the last device pixel may be cut."""
        return max(math.ceil((self.x1 - self.x0) * self.ratio), 1)

    def column_edges_ns(self, columns: int, ratio: float = 1.0) -> Ints:
        """Returns the absolute times of the edges of columns from x0 on, `ratio` columns per logical pixel."""
        pixel_ns = self.viewport.span / self.layout.plot_width
        return Viewport(self.viewport.start + self.x0 * pixel_ns, columns / ratio * pixel_ns).edges_ns(columns, self.scene.origin_ns)

    def x_of(self, times_ns: np.ndarray) -> Floats:
        """Returns the widget x of absolute times, on whole device pixels."""
        return self.left + self.pixels_of(times_ns) / self.ratio

    def pixels_of(self, times_ns: np.ndarray) -> Floats:
        """Returns whole device pixels of absolute times from the left edge of the plot area."""
        offset = (times_ns - np.int64(self.scene.origin_ns)).astype(np.float64)
        offset -= self.viewport.start
        offset *= self.layout.plot_width / self.viewport.span
        offset *= self.ratio
        return np.rint(offset, out=offset)

    def pixel_at(self, time: float) -> int:
        """Returns the widget x of a time since the origin, on whole logical pixels. Halves round the same way wherever the view is."""
        return self.left + math.floor(self.viewport.x_of(time, self.layout.plot_width) + 0.5)

    def snap(self, x: Floats) -> Floats:
        """Rounds to whole device pixels."""
        return np.rint(x * self.ratio) / self.ratio

    def span_box(self, span: SpanRef) -> QRectF | None:
        """Returns the box of a span in the widget; None if its lane has no visible row."""
        for placed in self.layout.rows:
            if span.lane not in placed.row.lanes or self.layout.is_covered(placed, self.scroll_y):
                continue
            left, right = self.x_of(np.array([span.start_ns, span.end_ns], np.int64)).tolist()
            left, right = max(left, self.left - 50.0), min(right, self.left + self.layout.plot_width + 50.0)
            top, height = float(self.top + placed.bar_y), float(placed.bar_height)
            if placed.row.kind == "flight":
                height = slot_px(placed)
                top += placed.row.lanes.index(span.lane) * height
            return QRectF(left, top, right - left, height) if right >= left else None
        return None

    def text(self, box: QRectF, text: str, value: str, font: TextFont, align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft) -> None:
        """Paints a text in the middle of a box's height, shortened to fit."""
        text = font.fitted(text, box.width())
        room = box.width() - font.advance(text) if align != Qt.AlignmentFlag.AlignLeft else 0.0
        x = box.left() + (room if align == Qt.AlignmentFlag.AlignRight else room / 2)
        self.painter.setFont(font.font)
        self.painter.setPen(colour(value))
        self.write(x, box.top(), box.height(), text, font)

    def write(self, x: float, y: float, height: float, text: str, font: TextFont) -> None:
        """Paints a text with the painter's font and pen in the middle of a height; several times faster than Qt's text in a box."""
        self.painter.drawText(QPointF(x, y + round((height - font.height) / 2 + font.ascent)), text)

    def fill(self, x: float, y: float, width: float, height: float, value: str) -> None:
        self.painter.fillRect(QRectF(x, y, width, height), colour(value))

    def fill_boxes(self, boxes: list[QRectF], value: str) -> None:
        self.painter.setPen(Qt.PenStyle.NoPen)
        self.painter.setBrush(colour(value))
        self.painter.drawRects(boxes)

    def line(self, x1: float, y1: float, x2: float, y2: float, value: str) -> None:
        """Paints a crisp line of one logical pixel, horizontal or vertical."""
        if x1 == x2:
            self.fill(x1, min(y1, y2), 1, abs(y2 - y1), value)
        else:
            self.fill(min(x1, x2), y1, abs(x2 - x1), 1, value)

    def hatch(self, boxes: list[QRectF], value: str) -> None:
        """Paints diagonal lines inside boxes. They move with the time axis."""
        if self.is_raster:
            self._hatch_pixels(boxes, value)
        else:
            self._hatch_lines(boxes, value)

    def hatching(self, columns: int, tall: int) -> npt.NDArray[np.bool_]:
        """Returns a mask of the device pixels on a hatching line, (tall, columns)."""
        pitch = round(HATCH_PX * self.ratio)
        start = self.viewport.start / self.viewport.span * self.layout.plot_width
        first = round((start + self.x0) * self.ratio) % pitch
        # every row is the row above it, moved by a pixel
        along = np.arange(first, first + columns + tall) % pitch < max(round(self.ratio), 1)
        return np.lib.stride_tricks.sliding_window_view(along, columns)[:tall]

    def _hatch_pixels(self, boxes: list[QRectF], value: str) -> None:
        low, columns = self.left + self.x0, self.columns
        for (top, height), mine in itertools.groupby(boxes, key=lambda box: (box.top(), box.height())):
            tall = round(height * self.ratio)
            inside = np.zeros(columns, bool)
            for box in mine:
                inside[max(round((box.left() - low) * self.ratio), 0) : max(round((box.right() - low) * self.ratio), 0)] = True
            if not tall or not inside.any():
                continue
            image = indexed_image((self.hatching(columns, tall) & inside).view(np.uint8), [0, colour(value).rgba()], self.ratio)
            self.painter.drawImage(QPointF(low, top), image)

    def _hatch_lines(self, boxes: list[QRectF], value: str) -> None:
        lines: list[QLineF] = []
        low, high = float(self.left + self.x0), float(self.left + self.x1)
        for box in boxes:
            lines += hatch_lines(box, max(box.left(), low), min(box.right(), high), HATCH_PX)
        if lines:
            self.painter.save()
            self.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.painter.setPen(QPen(colour(value), 1.2))
            self.painter.drawLines(lines)
            self.painter.restore()


def hatch_lines(box: QRectF, left: float, right: float, pitch: float) -> list[QLineF]:
    """Returns the diagonal lines of a box, cut to its part between two x."""
    lines = []
    top, bottom, height = box.top(), box.bottom(), box.height()
    begin = box.left() + pitch * np.floor((left - box.left()) / pitch)
    for foot in np.arange(begin, right + height, pitch).tolist():
        # from (foot, top) down to the left
        rise, fall = max(0.0, foot - right), min(height, foot - left)
        if fall > rise:
            lines.append(QLineF(foot - rise, top + rise, foot - fall, bottom - (height - fall)))
    return lines


def indexed_image(pixels: npt.NDArray[np.uint8], colours: list[int], ratio: float) -> QImage:
    """Returns an image from (height, width) indices into colours."""
    tall, columns = pixels.shape
    indexed = QImage(pixels.data, columns, tall, columns, QImage.Format.Format_Indexed8)
    indexed.setColorTable(colours)
    # drawing an indexed image takes four times as long as converting it and drawing the result
    image = indexed.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(ratio)
    return image
