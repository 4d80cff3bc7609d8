"""The painted timeline between frames: painted again only when something changed, moved when the view was panned."""

from __future__ import annotations

from PySide6.QtCore import QRect
from PySide6.QtGui import QFont, QPainter, QPixmap

from loaderscope.gui.palette import Palette
from loaderscope.gui.timeline.canvas import Canvas
from loaderscope.gui.timeline.layout import Layout
from loaderscope.gui.timeline.painter import paint, paint_plot_area
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.viewport import Viewport

_OVERLAP_PX = 3
"""Painted again beside what came into view, for what reaches over its edge."""


class Backing:
    """A pixmap of the timeline without what follows the mouse.

    Attributes:
        paints: how often all of it was painted.
        shifts: how often it was moved instead.
    """

    def __init__(self) -> None:
        self.paints = 0
        self.shifts = 0
        self._pixmap: QPixmap | None = None
        self._key: tuple[object, ...] = ()
        self._view = Viewport(0.0, 1.0)

    def invalidate(self) -> None:
        """Paints all of it the next time."""
        self._key = ()

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
        key = (scene, scene.version if scene else -1, layout, ratio, palette.name, scroll_y, font.key())
        if self._pixmap is not None and key == self._key:
            unchanged = view == self._view
            if unchanged or (scene and self._shift(scene, view, layout, palette, scroll_y=scroll_y, ratio=ratio, font=font)):
                return self._pixmap
        width, height = round(layout.width * ratio), round(layout.height * ratio)
        if self._pixmap is None or (self._pixmap.width(), self._pixmap.height()) != (width, height):
            self._pixmap = QPixmap(width, height)
        self._pixmap.setDevicePixelRatio(ratio)
        painter = QPainter(self._pixmap)
        painter.setFont(font)
        paint(painter, scene, view, layout, palette, scroll_y=scroll_y)
        painter.end()
        self.paints += 1
        self._key, self._view = key, view
        return self._pixmap

    def _shift(self, scene: Scene, view: Viewport, layout: Layout, palette: Palette, *, scroll_y: int, ratio: float, font: QFont) -> bool:
        """Pans by whole pixels: moves what is there and paints only the columns that came into view.

        The shares in the labels are left as they are; the owner paints all of it again when the view has settled.
        """
        if self._pixmap is None or scene.is_empty or self._view.span != view.span:
            return False
        exact = (self._view.start - view.start) / view.span * layout.plot_width
        pixels = round(exact)
        if abs(exact - pixels) > 0.01 or abs(pixels) >= layout.plot_width // 2 or (pixels * ratio) % 1:
            return False
        area = (layout.label_width, layout.axis_y, layout.plot_width, layout.height - layout.axis_y)
        self._pixmap.scroll(round(pixels * ratio), 0, QRect(*(round(value * ratio) for value in area)))
        painter = QPainter(self._pixmap)
        painter.setFont(font)
        canvas = Canvas(painter, scene, view, layout, palette, scroll_y)
        if pixels > 0:
            canvas.x1 = min(pixels + _OVERLAP_PX, layout.plot_width)
        else:
            canvas.x0 = max(layout.plot_width + pixels - _OVERLAP_PX, 0)
        canvas.fill(canvas.left + canvas.x0, layout.axis_y, canvas.x1 - canvas.x0, layout.height - layout.axis_y, palette.base)
        paint_plot_area(canvas)
        painter.end()
        self.shifts += 1
        self._view = view
        return True
