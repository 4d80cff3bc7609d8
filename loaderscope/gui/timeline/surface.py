"""The painted side of the timeline widget: a pixmap that is renewed only when something changed, and an overlay on it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtGui import QPainter, QPaintEvent, QPixmap, QResizeEvent
from PySide6.QtWidgets import QScrollBar, QSizePolicy, QWidget

from loaderscope.gui.theme import current_palette
from loaderscope.gui.timeline.backing import Backing
from loaderscope.gui.timeline.canvas import Canvas
from loaderscope.gui.timeline.layout import RIGHT_PX, Layout, place
from loaderscope.gui.timeline.navigation import Navigator
from loaderscope.gui.timeline.overlay import paint_overlay
from loaderscope.gui.timeline.pointer import Pointer
from loaderscope.gui.timeline.query import SpanRef
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.statistics import RangeStatistics
from loaderscope.gui.timeline.viewport import Viewport

_SETTLE_MS = 120


class TimelineSurface(QWidget):
    """Paints a scene as its navigator and scroll bar say, with what is pointed at, selected and measured.

    Attributes:
        dragging: whether the mouse is moving with a button held, which hides the hover card.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scene: Scene | None = None
        self.navigator = Navigator()
        self.measured: RangeStatistics | None = None
        self.selected: SpanRef | None = None
        self.pointer: Pointer | None = None
        self.dragging = False
        self.backing = Backing()
        self._layout = place((), 1, 1)
        self._scroll_bar = QScrollBar(Qt.Orientation.Vertical, self)
        self._scroll_bar.valueChanged.connect(lambda _: self.update())
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settle.timeout.connect(self._paint_anew)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(360, 160)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    @property
    def viewport(self) -> Viewport:
        return self.navigator.viewport

    @property
    def scroll_y(self) -> int:
        return self._scroll_bar.value()

    @property
    def lane_layout(self) -> Layout:
        """Where the rows stand."""
        return self._layout

    def visible_range_ns(self) -> tuple[int, int]:
        """The visible range in absolute time."""
        origin = self.scene.origin_ns if self.scene else 0
        return origin + round(self.viewport.start), origin + round(self.viewport.end)

    def time_at(self, x: float) -> float:
        """Nanoseconds since the origin at a place of the widget."""
        return self.viewport.time_at(x - self._layout.label_width, self._layout.plot_width)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._place()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self._paint_anew()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._pixmap())
        if self.scene is not None and not self.scene.is_empty:
            paint_overlay(
                self._canvas(painter),
                pointer=self.pointer,
                selected=self.selected,
                measured=self.measured,
                dragging=self.dragging,
                focused=self.hasFocus(),
            )
        painter.end()

    def _pixmap(self) -> QPixmap:
        parts = self.backing.parts
        pixmap = self.backing.pixmap(
            self.scene,
            self.viewport,
            self._layout,
            current_palette(),
            scroll_y=self.scroll_y,
            ratio=self.devicePixelRatioF(),
            font=self.font(),
        )
        if self.backing.parts != parts and not self.navigator.following:
            # labels tell what was in sight before; what follows a trial is painted on and on
            self._settle.start()
        return pixmap

    def _canvas(self, painter: QPainter) -> Canvas:
        assert self.scene is not None
        painter.setFont(self.font())
        return Canvas(painter, self.scene, self.viewport, self._layout, current_palette(), self.scroll_y)

    def _paint_anew(self) -> None:
        self.backing.invalidate()
        self.update()

    def _place(self) -> None:
        rows = self.scene.rows if self.scene else ()
        self._layout = place(rows, self.width(), self.height())
        header = self._layout.header_height
        self._scroll_bar.setGeometry(self.width() - RIGHT_PX, header, RIGHT_PX, max(self.height() - header, 0))
        self._scroll_bar.setPageStep(max(self.height() - header, 1))
        self._scroll_bar.setRange(0, self._layout.scroll_range)
        self._scroll_bar.setVisible(self._layout.scroll_range > 0)
