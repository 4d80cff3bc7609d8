"""The painted timeline between frames: only what changed is painted again, and panning moves what is there."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from PySide6.QtCore import QRect
from PySide6.QtGui import QFont, QPainter, QPixmap

from loaderscope.gui.palette import Palette
from loaderscope.gui.timeline.canvas import Canvas
from loaderscope.gui.timeline.layout import Layout
from loaderscope.gui.timeline.names import NAME_REACH_PX
from loaderscope.gui.timeline.painter import (
    OVERVIEW_STALE_SHARE,
    overview_columns,
    paint_axis,
    paint_header,
    paint_labels,
    paint_moving,
    paint_plot_area,
    paint_reasons,
)
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.states import STYLES
from loaderscope.gui.timeline.viewport import Viewport

_OVERLAP_PX = 3
"""Painted again beside what changed, for what reaches over its edge."""

_PARTS_IN_A_ROW = 200
"""After so many partial paintings of a running trial all of it is painted once, so that nothing can stay stale."""


_LABEL_TURNS = 5
"""With many lanes each label is painted anew in every fifth painting; it takes as long to read one."""


class Backing:
    """A pixmap of the timeline without what follows the mouse.

    Attributes:
        paints: how often all of it was painted.
        parts: how often it was moved, or only the columns with new data were painted, instead.
    """

    def __init__(self) -> None:
        self.paints = 0
        self.parts = 0
        self._pixmap: QPixmap | None = None
        self._key: tuple[object, ...] = ()
        self._view = Viewport(0.0, 1.0)
        self._version = -1
        self._in_a_row = 0
        self._known: dict[object, int] = {}  # rows of each visible track and series that are painted
        self._open_ns: list[int] = []
        self._overview: object = None
        self._are_exact: tuple[bool, ...] = ()  # see `paint_plot_area`

    def invalidate(self) -> None:
        """Paints all of it the next time."""
        self._key = ()

    def pixmap_now(self) -> QPixmap:
        """What is painted at the moment, a null pixmap where nothing is."""
        return self._pixmap or QPixmap()

    def pixmap(
        self, scene: Scene | None, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, ratio: float, font: QFont
    ) -> QPixmap:
        """The timeline as it is now.

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
        key = (scene, layout, ratio, palette.name, scroll_y, font.key(), scales, scene is None or scene.is_empty)
        if self._pixmap is not None and key == self._key:
            if view == self._view and version == self._version:
                return self._pixmap
            if scene is not None and not scene.is_empty and self._paint_parts(scene, view, layout, palette, scroll_y=scroll_y, font=font):
                return self._pixmap
        width, height = round(layout.width * ratio), round(layout.height * ratio)
        if self._pixmap is None or (self._pixmap.width(), self._pixmap.height()) != (width, height):
            self._pixmap = QPixmap(width, height)
        self._pixmap.setDevicePixelRatio(ratio)
        overview = scene.overview(overview_columns(layout), OVERVIEW_STALE_SHARE) if scene is not None and not scene.is_empty else None
        painter = QPainter(self._pixmap)
        painter.setFont(font)
        if scene is not None and overview is not None and overview is self._overview and key == self._key:
            # zoomed: title, legend and minimap are as they were
            canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
            canvas.fill(0, layout.axis_y, layout.width, layout.height - layout.axis_y, palette.base)
            paint_axis(canvas)
            self._are_exact = paint_plot_area(canvas)
            paint_labels(canvas)
        else:
            self._are_exact = paint_moving(painter, scene, view, layout, palette, scroll_y=scroll_y)
        painter.end()
        self.paints += 1
        self._in_a_row = 0
        self._key, self._view, self._version = key, view, version
        if scene is not None:
            self._remember(scene, layout)
        self._overview = overview
        return self._pixmap

    def _paint_parts(self, scene: Scene, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, font: QFont) -> bool:
        """Moves what is there by whole pixels and paints the columns that came into view or have new data.

        A mere pan leaves the shares in the labels and the names near the edges as they are; the owner has all of it painted when
        the view has settled.
        """
        assert self._pixmap is not None
        width, top, ratio = layout.plot_width, layout.header_height, self._pixmap.devicePixelRatio()
        exact = (self._view.start - view.start) / view.span * width
        pixels = round(exact)
        grown = scene.version != self._version
        if self._view.span != view.span or abs(exact - pixels) > 0.01 or abs(pixels) >= width // 2 or (pixels * ratio) % 1:
            return False
        if grown and self._in_a_row >= _PARTS_IN_A_ROW:
            return False
        # edges on whole device pixels, also where a logical one is not a whole number of them
        grid = next((step for step in range(1, 9) if step * ratio % 1 == 0), 1)
        # what comes into view from the left would get a second name there
        names_from = -math.inf if grown else width + pixels if pixels < 0 else math.inf
        parts = _parts(pixels, width, NAME_REACH_PX if grown and any(self._are_exact) else _OVERLAP_PX if grid > 1 else 0)
        if grown:
            changed_ns = self._changed_from(scene, layout)
            x = view.x_of(changed_ns - scene.origin_ns, width) if changed_ns is not None else math.inf
            if x < width:
                parts = [(low, min(high, x)) for low, high in parts if low < x] + [(x - _OVERLAP_PX, width)]
        edges = [(max(math.floor(low / grid) * grid, 0), min(math.ceil(high / grid) * grid, width)) for low, high in parts]
        if sum(high - low for low, high in edges) > 0.8 * width:
            return False
        if pixels:
            area = (layout.label_width, top, width, layout.height - top)
            self._pixmap.scroll(round(pixels * ratio), 0, QRect(*(round(value * ratio) for value in area)))
        painter = QPainter(self._pixmap)
        painter.setFont(font)
        for low, high in edges:
            canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
            canvas.x0, canvas.x1, canvas.names_from = low, high, names_from
            canvas.fill(canvas.left + canvas.x0, top, canvas.x1 - canvas.x0, layout.height - top, palette.base)
            if paint_plot_area(canvas) != self._are_exact:
                painter.end()
                return False
        canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
        if pixels:
            canvas.fill(0, layout.axis_y, layout.width, layout.axis_px, palette.base)
            paint_axis(canvas)
            paint_reasons(canvas)  # they were moved with the rest
        if grown:
            self._paint_frame(canvas)
        painter.end()
        self.parts += 1
        self._in_a_row += grown
        self._view, self._version = view, scene.version
        return True

    def _paint_frame(self, canvas: Canvas) -> None:
        """The labels, whose shares follow the data, and the minimap where it has grown visibly."""
        layout = canvas.layout
        paint_labels(canvas, self._in_a_row, _LABEL_TURNS if len(layout.rows) > 2 * _LABEL_TURNS else 1)
        overview = canvas.scene.overview(overview_columns(layout), OVERVIEW_STALE_SHARE)
        if overview is not self._overview:
            self._overview = overview
            canvas.fill(0, 0, layout.width, layout.axis_y, canvas.palette.base)
            paint_header(canvas)

    def _changed_from(self, scene: Scene, layout: Layout) -> int | None:
        """The earliest moment at which anything looks different than when it was painted last."""
        earliest = self._open_ns
        known, self._known = self._known, {}
        for key, times in _columns(scene, layout):
            count = self._known[key] = len(times)
            before = known.get(key, 0)
            if count > before:
                # a sampled line goes on from its last value
                earliest.append(int(times[max(before - 1, 0) if isinstance(key, str) else before]))
        self._open_ns = _open_ns(scene)
        return min(earliest + self._open_ns, default=None)

    def _remember(self, scene: Scene, layout: Layout) -> None:
        self._known = {key: len(times) for key, times in _columns(scene, layout)}
        self._open_ns = _open_ns(scene)


def _parts(pixels: int, width: int, reach: int) -> list[tuple[float, float]]:
    """The columns that are to be painted when the others were moved; `reach`: so near to both edges things look different then."""
    parts: list[tuple[float, float]] = []
    if pixels > 0 or (pixels and reach):
        parts.append((0, max(pixels, 0) + max(reach, _OVERLAP_PX)))
    if pixels < 0 or (pixels and reach):
        parts.append((width + min(pixels, 0) - max(reach, _OVERLAP_PX), width))
    return parts


def _open_ns(scene: Scene) -> list[int]:
    return [span.start_ns for span in scene.trace.open_spans if span.state in STYLES]


def _columns(scene: Scene, layout: Layout) -> Iterable[tuple[object, np.ndarray]]:
    """Every track and series that has a row, with its times."""
    for placed in layout.rows:
        for lane in placed.row.lanes:
            for number, index in enumerate(scene.tracks(lane)):
                yield (lane, number), index.start_ns
        for series in placed.row.series:
            yield series, scene.values(series)[0]
