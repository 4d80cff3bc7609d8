"""Keeps the painted timeline between frames: repaints only what changed, and moves the picture for a pan."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from PySide6.QtCore import QRect, QRectF
from PySide6.QtGui import QFont, QImage, QPainter, QPixmap

from loaderscope.gui.style.palette import Palette
from loaderscope.gui.timeline.data.row_layout import Layout
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.data.viewport import Viewport, least_whole_px
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.span_names import NAME_REACH_PX
from loaderscope.gui.timeline.paint.timeline_painter import (
    OVERVIEW_STALE_SHARE,
    bands,
    exposed_words,
    overview_columns,
    paint_axis,
    paint_empty,
    paint_exposed,
    paint_header,
    paint_labels,
    paint_plot_area,
    paint_reasons,
)

_AHEAD_SHARE = 1 / 3
"""Part of the view that is painted ahead of a pan and kept behind it, so that most frames of a pan only move a picture."""

_OVERLAP_PX = 3
"""Columns to repaint beside changed ones, for marks that reach over an edge."""

_MOST_PARTS_IN_A_ROW = 200
"""After this many partial paintings of a running trial everything is painted once, so that nothing stays stale."""

_LABEL_TURNS = 5
"""With many lanes each label is repainted once in this many paintings; nobody reads a label faster."""

_MOST_IN_PARTS = 0.8
"""If more of the view than this changed, everything is painted."""


class Backing:
    """The painted timeline without its overlay, in two pixmaps: the frame, which a pan does not move, and the plots, which it moves.

    A full painting puts the plots on a pixmap as wide as the view, which fits the processor's cache best. A pan goes on with a wider
    pixmap, which has room beside the view for columns that were in sight before or are painted ahead.

    Attributes:
        paints: number of full paintings.
        parts: number of paintings that moved the plots or painted only columns with new data.
    """

    def __init__(self) -> None:
        self.paints = 0
        self.parts = 0
        self._frame = QPixmap()
        self._near = QPixmap()
        self._wide = QPixmap()
        self._plots = self._near  # the near or the wide pixmap
        self._frame_boxes: list[QRect] = []  # where the frame is visible, in device pixels
        self._plots_box = QRect()  # where the plots are visible, in device pixels
        self._ratio = 1.0
        self._grid = 1  # see `least_whole_px`
        self._margin = 0  # columns on either side of the view for which the wide pixmap has room
        self._left_at = 0  # the widget's left edge in the plots' pixmap
        self._painted = (0, 0)  # the painted columns of the plots, from the left edge of the view
        self._key: tuple[object, ...] = ()
        self._view = Viewport(0.0, 1.0)
        self._version = -1
        self._parts_in_a_row = 0
        self._painted_counts: dict[object, int] = {}  # painted rows of each visible track and series
        self._open_ns: list[int] = []
        self._overview: object = None
        self._exposed_words = ""
        self._labels: dict[str, str] = {}  # see `paint_labels`
        self._are_exact: tuple[bool, ...] = ()  # see `paint_plot_area`

    def invalidate(self) -> None:
        """Makes the next `renew` paint everything."""
        self._key = ()

    def draw(self, painter: QPainter) -> None:
        """Draws the painted timeline over a whole widget."""
        painter.save()
        painter.scale(1 / self._ratio, 1 / self._ratio)
        if not self._plots_box.isEmpty():
            painter.drawPixmap(self._plots_box.topLeft(), self._plots, self._plots_box.translated(round(self._left_at * self._ratio), 0))
        for box in self._frame_boxes:
            painter.drawPixmap(box.topLeft(), self._frame, box)
        painter.restore()

    def picture(self) -> QImage:
        """Returns the painted timeline as an image in device pixels."""
        image = QImage(self._frame.size(), QImage.Format.Format_RGB32)
        painter = QPainter(image)
        painter.scale(self._ratio, self._ratio)
        self.draw(painter)
        painter.end()
        return image

    @contextmanager
    def painter(self, font: QFont) -> Iterator[QPainter]:
        """Opens a painter on the frame, for a canvas that finds places."""
        with self._painter_on(self._frame, font) as painter:
            yield painter

    def renew(
        self, scene: Scene | None, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, ratio: float, font: QFont
    ) -> None:
        """Paints what changed since the last call.

        Args:
            scene: the scene to show; None for no trial.
            view: the visible range.
            layout: the places of rows.
            palette: the colours.
            scroll_y: how far the rows are scrolled, logical pixels.
            ratio: device pixels per logical pixel.
            font: gives the font family.
        """
        version = scene.version if scene else -1
        scales = tuple(scene.plot_scale(placed.row) for placed in layout.rows if placed.row.kind == "plot") if scene else ()
        gap_ns = scene.profiler_start_ns() if scene else None  # known once the exact window begins; its text covers painted columns
        key = (scene, layout, ratio, palette.name, scroll_y, font.key(), scales, gap_ns, scene is None or scene.is_empty)
        if key == self._key:
            if view == self._view and version == self._version:
                return
            if scene is not None and not scene.is_empty and self._paint_parts(scene, view, layout, palette, scroll_y=scroll_y, font=font):
                return
        self._resize_pixmaps(layout, palette, ratio)
        if scene is None or scene.is_empty:
            with self._painter_on(self._frame, font) as painter:
                paint_empty(painter, scene, layout, palette)
            self._frame_boxes, self._plots_box = [self._frame.rect()], QRect()
        else:
            self._paint_all(scene, view, layout, palette, scroll_y=scroll_y, font=font, is_moved=key == self._key)
            self._remember_counts(scene, layout, scroll_y)
        self.paints += 1
        self._parts_in_a_row = 0
        self._key, self._view, self._version = key, view, version

    def _resize_pixmaps(self, layout: Layout, palette: Palette, ratio: float) -> None:
        self._ratio = ratio
        self._grid = least_whole_px(ratio)
        self._margin = math.ceil(layout.plot_width * _AHEAD_SHARE / self._grid) * self._grid
        width, height = round(layout.width * ratio), round(layout.height * ratio)
        if (self._frame.width(), self._frame.height()) != (width, height):
            self._frame, self._near, self._wide = QPixmap(width, height), QPixmap(width, height), QPixmap()
            self._near.fill(colour(palette.base))

    @contextmanager
    def _painter_on(self, pixmap: QPixmap, font: QFont, at: int = 0) -> Iterator[QPainter]:
        """Opens a painter on a pixmap, in logical pixels of the widget; the widget's left edge is `at` in the pixmap."""
        painter = QPainter(pixmap)
        painter.setFont(font)
        painter.scale(self._ratio, self._ratio)
        painter.translate(at, 0)
        try:
            yield painter
        finally:
            painter.end()

    def _paint_all(
        self, scene: Scene, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, font: QFont, is_moved: bool
    ) -> None:
        overview = scene.overview(overview_columns(layout), OVERVIEW_STALE_SHARE)
        with self._painter_on(self._frame, font) as painter:
            canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
            if not is_moved or overview is not self._overview:
                canvas.fill(0, 0, layout.width, layout.height, palette.base)
                self._labels.clear()
                paint_header(canvas)
                paint_reasons(canvas)
                self._frame_boxes, self._plots_box = self._find_boxes(canvas)
            self._paint_axis(canvas)
            paint_labels(canvas, self._labels)
        self._overview, self._exposed_words = overview, exposed_words(scene)
        self._plots, self._left_at, self._painted = self._near, 0, (0, layout.plot_width)
        with self._painter_on(self._plots, font, self._left_at) as painter:
            self._are_exact = self._paint_columns(Canvas(painter, scene, view, layout, palette, scroll_y))

    def _find_boxes(self, canvas: Canvas) -> tuple[list[QRect], QRect]:
        """Returns the boxes where the frame is visible, and the box of the plots. The frame covers the plots at rows of text."""
        layout, ratio = canvas.layout, self._ratio
        left, right, top = (round(x * ratio) for x in (canvas.left, canvas.left + layout.plot_width, layout.header_height))
        width, height = self._frame.width(), self._frame.height()
        frame_boxes = [QRect(0, 0, width, top), QRect(0, top, left, height - top), QRect(right, top, width - right, height - top)]
        for band, visible in bands(canvas, canvas.left, layout.plot_width):
            for placed in visible:
                if placed.row.is_text:
                    seen = QRectF(canvas.left, canvas.top + placed.y + 1, layout.plot_width, placed.height - 1).intersected(band)
                    first, last = round(seen.top() * ratio), round(seen.bottom() * ratio)
                    frame_boxes.append(QRect(left, first, right - left, last - first))
        # the box includes the columns beside the plots, although the frame covers them: Qt copies whole rows faster
        return frame_boxes, QRect(0, top, width, height - top)

    @staticmethod
    def _paint_axis(canvas: Canvas) -> None:
        canvas.fill(0, canvas.layout.axis_y, canvas.layout.width, canvas.layout.axis_px, canvas.palette.base)
        paint_axis(canvas)

    @staticmethod
    def _paint_columns(canvas: Canvas) -> tuple[bool, ...]:
        """Paints the columns x0 to x1 of a canvas on the plots' pixmap; returns the result of `paint_plot_area`."""
        top = canvas.layout.header_height - 1  # a logical pixel may end within one of the device
        canvas.fill(canvas.left + canvas.x0, top, canvas.x1 - canvas.x0, canvas.layout.height - top, canvas.palette.base)
        return paint_plot_area(canvas)

    def _paint_parts(self, scene: Scene, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, font: QFont) -> bool:
        """Moves the plots by whole pixels and paints the columns that came into view or have new data; returns whether that was enough.

        A pan leaves the shares in the labels and the names near the edges stale, and new data leaves the marks of outliers stale. The
        owner repaints everything when the view has settled.
        """
        width = layout.plot_width
        exact = (view.start - self._view.start) / view.span * width
        moved = round(exact)
        grown = scene.version != self._version
        if self._view.span != view.span or abs(exact - moved) > 0.01 or moved * self._ratio % 1:
            return False
        if grown and self._parts_in_a_row >= _MOST_PARTS_IN_A_ROW:
            return False
        low, high = (edge - moved for edge in self._painted)
        if grown:
            changed_ns = self._earliest_change_ns(scene, layout, scroll_y)
            if changed_ns is not None:
                high = min(high, math.floor(view.x_of(changed_ns - scene.origin_ns, width)))
        if high <= 0 or low >= width:
            return False
        ahead = 0 if grown else self._margin  # new data would make columns ahead stale
        reach = NAME_REACH_PX if grown and moved and any(self._are_exact) else 0
        parts: list[tuple[int, int]] = []
        if low > 0 or reach:
            parts.append((-ahead, max(low + _OVERLAP_PX, reach)))
        if high < width or reach:
            parts.append((min(high - _OVERLAP_PX, width - reach), width + ahead))
        if sum(min(last, width) - max(first, 0) for first, last in parts) > _MOST_IN_PARTS * width:
            return False
        # the painted columns already have the names of spans that their edges cut
        names = (-math.inf, math.inf) if grown else (high, low)
        low, high = -ahead if low > 0 else low, width + ahead if high < width else high
        low, high = self._make_room_for(self._left_at + moved, (low, high), width, behind=0 if grown and moved > 0 else self._margin)
        with self._painter_on(self._plots, font, self._left_at) as painter:
            for first, last in parts:
                canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
                canvas.x0, canvas.x1 = math.floor(first / self._grid) * self._grid, math.ceil(last / self._grid) * self._grid
                canvas.names_from, canvas.names_to = (names[0], math.inf) if last > width / 2 else (-math.inf, names[1])
                if self._paint_columns(canvas) != self._are_exact:
                    return False
        with self._painter_on(self._frame, font) as painter:
            canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
            if moved:
                self._paint_axis(canvas)
            if grown:
                self._paint_grown_frame(canvas)
        self.parts += 1
        self._parts_in_a_row += grown
        self._view, self._version, self._painted = view, scene.version, (low, high)
        return True

    def _make_room_for(self, at: int, painted: tuple[int, int], width: int, *, behind: int) -> tuple[int, int]:
        """Moves the plots within their pixmap if it has no room for new columns.

        Args:
            at: the widget's left edge in the pixmap if the plots stay.
            painted: the range of columns that will be painted.
            width: width of the view.
            behind: columns to keep left of the view.

        Returns:
            The part of `painted` for which there is room.
        """
        is_wide = self._plots is self._wide
        room = width + 2 * self._margin * is_wide
        if at + painted[0] < 0 or at + painted[1] > room:
            shift = round((behind - at) * self._ratio)
            if is_wide:
                self._plots.scroll(shift, 0, self._plots.rect())
            else:
                self._widen(shift)
            at, room = behind, width + 2 * self._margin
        self._left_at = at
        return max(painted[0], -at), min(painted[1], room - at)

    def _widen(self, at: int) -> None:
        """Copies the plots to the wide pixmap, from device pixel `at` on, and goes on with it."""
        width = self._near.width() + round(2 * self._margin * self._ratio)
        if self._wide.width() != width:
            self._wide = QPixmap(width, self._near.height())
        painter = QPainter(self._wide)
        painter.drawPixmap(at, 0, self._near)
        painter.end()
        self._plots = self._wide

    def _paint_grown_frame(self, canvas: Canvas) -> None:
        """Repaints the labels, whose shares follow the data, the minimap if it has grown visibly, and exposed loading time."""
        layout = canvas.layout
        turns = _LABEL_TURNS if len(layout.rows) > 2 * _LABEL_TURNS else 1
        turn = self._parts_in_a_row % (turns + 1) if turns > 1 else 0
        if turn < turns:
            paint_labels(canvas, self._labels, turn, turns)
        if turns > 1 and turn < turns:
            return  # the minimap waits for its turn, too
        overview = canvas.scene.overview(overview_columns(layout), OVERVIEW_STALE_SHARE)
        if overview is not self._overview:
            self._overview = overview
            canvas.fill(0, 0, layout.width, layout.axis_y, canvas.palette.base)
            paint_header(canvas)
        elif layout.exposed_y is not None and (words := exposed_words(canvas.scene)) != self._exposed_words:
            self._exposed_words = words
            paint_exposed(canvas)

    def _earliest_change_ns(self, scene: Scene, layout: Layout, scroll_y: int) -> int | None:
        """Returns the earliest moment at which anything looks different than at the last painting; None if nothing does."""
        earliest = self._open_ns
        counts_before, self._painted_counts = self._painted_counts, {}
        for key, times in _times_in_sight(scene, layout, scroll_y):
            count = self._painted_counts[key] = len(times)
            before = counts_before.get(key, 0)
            if count > before:
                # a sampled line goes on from its last value
                earliest.append(int(times[max(before - 1, 0) if isinstance(key, str) else before]))
        self._open_ns = _open_ns(scene)
        return min(earliest + self._open_ns, default=None)

    def _remember_counts(self, scene: Scene, layout: Layout, scroll_y: int) -> None:
        self._painted_counts = {key: len(times) for key, times in _times_in_sight(scene, layout, scroll_y)}
        self._open_ns = _open_ns(scene)


def _open_ns(scene: Scene) -> list[int]:
    return [span.start_ns for span in scene.trace.open_spans if span.state in STYLES]


def _times_in_sight(scene: Scene, layout: Layout, scroll_y: int) -> Iterable[tuple[object, np.ndarray]]:
    """Returns every track and series in sight, with its times."""
    for placed in layout.visible_rows(scroll_y):
        for lane in placed.row.lanes:
            for number, index in enumerate(scene.tracks(lane)):
                yield (lane, number), index.start_ns
        for series in placed.row.series:
            yield series, scene.series_values(series)[0]
