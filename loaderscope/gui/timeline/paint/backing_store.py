"""The painted timeline between frames: only what changed is painted again, and panning moves what is there."""

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
from loaderscope.gui.timeline.data.viewport import Viewport, whole_px
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.span_names import NAME_REACH_PX
from loaderscope.gui.timeline.paint.timeline_painter import (
    OVERVIEW_STALE_SHARE,
    bands,
    overview_columns,
    paint_axis,
    paint_empty,
    paint_header,
    paint_labels,
    paint_plot_area,
    paint_reasons,
)

_AHEAD_SHARE = 1 / 3
"""So much of the view is painted ahead where a pan leads, and kept behind it, so that most frames of a pan only move a picture."""

_OVERLAP_PX = 3
"""Painted again beside what changed, for what reaches over its edge."""

_PARTS_IN_A_ROW = 200
"""After so many partial paintings of a running trial all of it is painted once, so that nothing can stay stale."""

_LABEL_TURNS = 5
"""With many lanes it takes so many paintings until each label was painted anew; it takes as long to read one."""

_MOST_IN_PARTS = 0.8
"""When more of the view than this has changed, all of it is painted."""


class Backing:
    """The timeline without what follows the mouse: a pixmap of what keeps its place while the view is panned, and one of the rest.

    The latter becomes wider than the view when it is panned: beside it are columns that were in sight before, or are painted ahead. All
    that is in sight is painted on one that is no wider, which is nearer to the processor.

    Attributes:
        paints: how often all that is in sight was painted.
        parts: how often it was moved, or only the columns with new data were painted, instead.
    """

    def __init__(self) -> None:
        self.paints = 0
        self.parts = 0
        self._frame = QPixmap()
        self._near = QPixmap()
        self._wide = QPixmap()
        self._plots = self._near  # one of the two
        self._still: list[QRect] = []  # where the frame is seen, in device pixels
        self._moving = QRect()  # where the plots are seen, likewise
        self._ratio = 1.0
        self._grid = 1  # see `whole_px`
        self._margin = 0  # columns that the wide one has room for on either side of the view
        self._at = 0  # where in the plots' pixmap the widget's left edge is
        self._painted = (0, 0)  # the columns that are painted there, from the left edge of the view
        self._key: tuple[object, ...] = ()
        self._view = Viewport(0.0, 1.0)
        self._version = -1
        self._in_a_row = 0
        self._known: dict[object, int] = {}  # rows of each visible track and series that are painted
        self._open_ns: list[int] = []
        self._overview: object = None
        self._labels: dict[str, str] = {}  # see `paint_labels`
        self._are_exact: tuple[bool, ...] = ()  # see `paint_plot_area`

    def invalidate(self) -> None:
        """Paints all of it the next time."""
        self._key = ()

    def draw(self, painter: QPainter) -> None:
        """Draws what is painted, over all of a widget."""
        painter.save()
        painter.scale(1 / self._ratio, 1 / self._ratio)
        if not self._moving.isEmpty():
            painter.drawPixmap(self._moving.topLeft(), self._plots, self._moving.translated(round(self._at * self._ratio), 0))
        for box in self._still:
            painter.drawPixmap(box.topLeft(), self._frame, box)
        painter.restore()

    def picture(self) -> QImage:
        """What is painted, in device pixels."""
        image = QImage(self._frame.size(), QImage.Format.Format_RGB32)
        painter = QPainter(image)
        painter.scale(self._ratio, self._ratio)
        self.draw(painter)
        painter.end()
        return image

    @contextmanager
    def painter(self, font: QFont) -> Iterator[QPainter]:
        """A painter of what keeps its place, by which places can be found."""
        with self._open(self._frame, font) as painter:
            yield painter

    def renew(
        self, scene: Scene | None, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, ratio: float, font: QFont
    ) -> None:
        """Paints what changed.

        Args:
            scene: what to show.
            view: the visible range.
            layout: where rows stand.
            palette: colours.
            scroll_y: how far the rows are scrolled.
            ratio: device pixels in a logical one.
            font: sets the family.
        """
        version = scene.version if scene else -1
        scales = tuple(scene.plot_scale(placed.row) for placed in layout.rows if placed.row.kind == "plot") if scene else ()
        gap_ns = scene.profiler_start_ns() if scene else None  # known when what follows it begins, and then said of what is painted
        key = (scene, layout, ratio, palette.name, scroll_y, font.key(), scales, gap_ns, scene is None or scene.is_empty)
        if key == self._key:
            if view == self._view and version == self._version:
                return
            if scene is not None and not scene.is_empty and self._paint_parts(scene, view, layout, palette, scroll_y=scroll_y, font=font):
                return
        self._make_room(layout, palette, ratio)
        if scene is None or scene.is_empty:
            with self._open(self._frame, font) as painter:
                paint_empty(painter, scene, layout, palette)
            self._still, self._moving = [self._frame.rect()], QRect()
        else:
            self._paint_all(scene, view, layout, palette, scroll_y=scroll_y, font=font, is_moved=key == self._key)
            self._remember(scene, layout, scroll_y)
        self.paints += 1
        self._in_a_row = 0
        self._key, self._view, self._version = key, view, version

    def _make_room(self, layout: Layout, palette: Palette, ratio: float) -> None:
        self._ratio = ratio
        self._grid = whole_px(ratio)
        self._margin = math.ceil(layout.plot_width * _AHEAD_SHARE / self._grid) * self._grid
        width, height = round(layout.width * ratio), round(layout.height * ratio)
        if (self._frame.width(), self._frame.height()) != (width, height):
            self._frame, self._near, self._wide = QPixmap(width, height), QPixmap(width, height), QPixmap()
            self._near.fill(colour(palette.base))

    @contextmanager
    def _open(self, pixmap: QPixmap, font: QFont, at: int = 0) -> Iterator[QPainter]:
        """A painter in logical pixels of the widget, whose left edge is `at` in the pixmap."""
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
        with self._open(self._frame, font) as painter:
            canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
            if not is_moved or overview is not self._overview:
                canvas.fill(0, 0, layout.width, layout.height, palette.base)
                self._labels.clear()
                paint_header(canvas)
                paint_reasons(canvas)
                self._still, self._moving = self._boxes(canvas)
            self._paint_axis(canvas)
            paint_labels(canvas, self._labels)
        self._overview = overview
        self._plots, self._at, self._painted = self._near, 0, (0, layout.plot_width)
        with self._open(self._plots, font, self._at) as painter:
            self._are_exact = self._paint_columns(Canvas(painter, scene, view, layout, palette, scroll_y))

    def _boxes(self, canvas: Canvas) -> tuple[list[QRect], QRect]:
        """Where what keeps its place is seen, and where the plots are, which the rows that say why there is no plot lie over."""
        layout, ratio = canvas.layout, self._ratio
        left, right, top = (round(x * ratio) for x in (canvas.left, canvas.left + layout.plot_width, layout.header_height))
        width, height = self._frame.width(), self._frame.height()
        still = [QRect(0, 0, width, top), QRect(0, top, left, height - top), QRect(right, top, width - right, height - top)]
        for band, visible in bands(canvas, canvas.left, layout.plot_width):
            for placed in visible:
                if placed.row.kind == "reason":
                    seen = QRectF(canvas.left, canvas.top + placed.y + 1, layout.plot_width, placed.height - 1).intersected(band)
                    first, last = round(seen.top() * ratio), round(seen.bottom() * ratio)
                    still.append(QRect(left, first, right - left, last - first))
        # beside the plots the frame lies over it, but rows are copied quicker when all of them is
        return still, QRect(0, top, width, height - top)

    @staticmethod
    def _paint_axis(canvas: Canvas) -> None:
        canvas.fill(0, canvas.layout.axis_y, canvas.layout.width, canvas.layout.axis_px, canvas.palette.base)
        paint_axis(canvas)

    @staticmethod
    def _paint_columns(canvas: Canvas) -> tuple[bool, ...]:
        """The columns x0 to x1 of a canvas on the plots' pixmap."""
        top = canvas.layout.header_height - 1  # a logical pixel may end within one of the device
        canvas.fill(canvas.left + canvas.x0, top, canvas.x1 - canvas.x0, canvas.layout.height - top, canvas.palette.base)
        return paint_plot_area(canvas)

    def _paint_parts(self, scene: Scene, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, font: QFont) -> bool:
        """Moves what is there by whole pixels and paints the columns that came into view or have new data.

        A pan leaves the shares in the labels and the names near the edges as they are, and new data the marks of spans that stand
        out; the owner has all of it painted when the view has settled.
        """
        width = layout.plot_width
        exact = (view.start - self._view.start) / view.span * width
        moved = round(exact)
        grown = scene.version != self._version
        if self._view.span != view.span or abs(exact - moved) > 0.01 or moved * self._ratio % 1:
            return False
        if grown and self._in_a_row >= _PARTS_IN_A_ROW:
            return False
        low, high = (edge - moved for edge in self._painted)
        if grown:
            changed_ns = self._changed_from(scene, layout, scroll_y)
            if changed_ns is not None:
                high = min(high, math.floor(view.x_of(changed_ns - scene.origin_ns, width)))
        if high <= 0 or low >= width:
            return False
        ahead = 0 if grown else self._margin  # what is still being recorded would be painted again
        reach = NAME_REACH_PX if grown and moved and any(self._are_exact) else 0
        parts: list[tuple[int, int]] = []
        if low > 0 or reach:
            parts.append((-ahead, max(low + _OVERLAP_PX, reach)))
        if high < width or reach:
            parts.append((min(high - _OVERLAP_PX, width - reach), width + ahead))
        if sum(min(last, width) - max(first, 0) for first, last in parts) > _MOST_IN_PARTS * width:
            return False
        # what is painted has the names of the spans that its edges cut
        names = (-math.inf, math.inf) if grown else (high, low)
        low, high = -ahead if low > 0 else low, width + ahead if high < width else high
        low, high = self._bring(self._at + moved, (low, high), width, behind=0 if grown and moved > 0 else self._margin)
        with self._open(self._plots, font, self._at) as painter:
            for first, last in parts:
                canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
                canvas.x0, canvas.x1 = math.floor(first / self._grid) * self._grid, math.ceil(last / self._grid) * self._grid
                canvas.names_from, canvas.names_to = (names[0], math.inf) if last > width / 2 else (-math.inf, names[1])
                if self._paint_columns(canvas) != self._are_exact:
                    return False
        with self._open(self._frame, font) as painter:
            canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
            if moved:
                self._paint_axis(canvas)
            if grown:
                self._paint_frame(canvas)
        self.parts += 1
        self._in_a_row += grown
        self._view, self._version, self._painted = view, scene.version, (low, high)
        return True

    def _bring(self, at: int, painted: tuple[int, int], width: int, *, behind: int) -> tuple[int, int]:
        """Moves the plots in their pixmap when there is no room for columns that are to be painted.

        Args:
            at: where the widget's left edge would be if they stayed.
            painted: the columns that will be painted.
            width: of the view.
            behind: the room that is kept left of the view.

        Returns:
            The columns that there is room for.
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
        self._at = at
        return max(painted[0], -at), min(painted[1], room - at)

    def _widen(self, at: int) -> None:
        """Goes on with the wide pixmap, in which what is painted begins at a device pixel."""
        width = self._near.width() + round(2 * self._margin * self._ratio)
        if self._wide.width() != width:
            self._wide = QPixmap(width, self._near.height())
        painter = QPainter(self._wide)
        painter.drawPixmap(at, 0, self._near)
        painter.end()
        self._plots = self._wide

    def _paint_frame(self, canvas: Canvas) -> None:
        """The labels, whose shares follow the data, and the minimap where it has grown visibly."""
        layout = canvas.layout
        turns = _LABEL_TURNS if len(layout.rows) > 2 * _LABEL_TURNS else 1
        turn = self._in_a_row % (turns + 1) if turns > 1 else 0
        if turn < turns:
            paint_labels(canvas, self._labels, turn, turns)
        if turns > 1 and turn < turns:
            return  # the minimap waits for its turn, too
        overview = canvas.scene.overview(overview_columns(layout), OVERVIEW_STALE_SHARE)
        if overview is not self._overview:
            self._overview = overview
            canvas.fill(0, 0, layout.width, layout.axis_y, canvas.palette.base)
            paint_header(canvas)

    def _changed_from(self, scene: Scene, layout: Layout, scroll_y: int) -> int | None:
        """The earliest moment at which anything looks different than when it was painted last."""
        earliest = self._open_ns
        known, self._known = self._known, {}
        for key, times in _columns(scene, layout, scroll_y):
            count = self._known[key] = len(times)
            before = known.get(key, 0)
            if count > before:
                # a sampled line goes on from its last value
                earliest.append(int(times[max(before - 1, 0) if isinstance(key, str) else before]))
        self._open_ns = _open_ns(scene)
        return min(earliest + self._open_ns, default=None)

    def _remember(self, scene: Scene, layout: Layout, scroll_y: int) -> None:
        self._known = {key: len(times) for key, times in _columns(scene, layout, scroll_y)}
        self._open_ns = _open_ns(scene)


def _open_ns(scene: Scene) -> list[int]:
    return [span.start_ns for span in scene.trace.open_spans if span.state in STYLES]


def _columns(scene: Scene, layout: Layout, scroll_y: int) -> Iterable[tuple[object, np.ndarray]]:
    """Every track and series whose row is in sight, with its times."""
    for placed in layout.in_sight(scroll_y):
        for lane in placed.row.lanes:
            for number, index in enumerate(scene.tracks(lane)):
                yield (lane, number), index.start_ns
        for series in placed.row.series:
            yield series, scene.values(series)[0]
