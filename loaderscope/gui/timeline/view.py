"""The timeline widget: a painted pixmap that is renewed only when something changed, and an overlay that follows the mouse."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QNativeGestureEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QScrollBar, QSizePolicy, QWidget

from loaderscope.gui.palette import Palette
from loaderscope.gui.theme import current_palette
from loaderscope.gui.timeline import query, statistics
from loaderscope.gui.timeline.canvas import Canvas
from loaderscope.gui.timeline.controls import IGNORED_MODIFIERS, METHODS, PAN_SHARE, ZOOM_STEP
from loaderscope.gui.timeline.layout import RIGHT_PX, Layout, place
from loaderscope.gui.timeline.navigation import Navigator
from loaderscope.gui.timeline.overlay import Pointer, paint_overlay, span_box
from loaderscope.gui.timeline.painter import paint, paint_labels, paint_plot_area
from loaderscope.gui.timeline.query import SpanRef
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.statistics import RangeStatistics
from loaderscope.gui.timeline.viewport import Viewport
from loaderscope.trace.model import Trace

_SETTLE_MS = 120
_CLICK_PX = 3
_HIT_PX = 2.0


class TimelineWidget(QWidget):
    """Shows one trace. The owner polls `refresh` with a timer while a trial runs; nothing is painted where nothing changed.

    Signals:
        rangeChanged: start and end of the visible range, absolute nanoseconds.
        rangeMeasured: `RangeStatistics` of the range that was dragged, or None when it was cleared.
        spanHovered: `SpanRef` under the mouse, or None.
        spanSelected: `SpanRef` that was clicked or stepped to, or None.
        followingChanged: whether the view follows the newest data.
    """

    rangeChanged = Signal(object, object)
    rangeMeasured = Signal(object)
    spanHovered = Signal(object)
    spanSelected = Signal(object)
    followingChanged = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scene: Scene | None = None
        self.navigator = Navigator()
        self.measured: RangeStatistics | None = None
        self.selected: SpanRef | None = None
        self.pointer: Pointer | None = None
        self.content_paints = 0  # full paintings of the pixmap, for tests and benchmarks
        self._live = False
        self._layout = place((), 1, 1)
        self._backing: QPixmap | None = None
        self._backing_key: tuple[object, ...] = ()
        self._backing_view = self.navigator.viewport
        self._drag: str | None = None  # pan | measure | minimap
        self._drag_from = (0.0, 0.0, 0.0)  # x, y, time at press
        self._moved = False
        self._scroll_bar = QScrollBar(Qt.Orientation.Vertical, self)
        self._scroll_bar.valueChanged.connect(lambda _: self.update())
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settle.timeout.connect(self._paint_anew)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(360, 160)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setAccessibleName("Timeline")
        self.setAccessibleDescription("No trial yet")

    # what is shown

    def set_trace(self, trace: Trace | None, title: str = "") -> None:
        """Shows another trace, all of it; None shows what to do to get one."""
        self.scene = Scene(trace, title) if trace is not None else None
        self.measured = self.selected = self.pointer = None
        following = self.navigator.following
        self.navigator.reset(self.scene.total_ns if self.scene else 0.0)
        if following and self.scene:
            self.navigator.follow()
        self._scroll_bar.setValue(0)
        self.setAccessibleDescription(title or "No trial yet")
        self._place()
        self._paint_anew()
        self.rangeMeasured.emit(None)
        self.spanSelected.emit(None)
        self._range_changed()

    def refresh(self) -> None:
        """Takes in what was recorded since; cheap where nothing was."""
        if self.scene is None:
            return
        was_empty = self.scene.is_empty
        rows = self.scene.rows
        if not self.scene.update():
            return
        if was_empty and not self.scene.is_empty and not self.navigator.following:
            self.navigator.reset(self.scene.total_ns)
        moved = self.navigator.grow(self.scene.total_ns)
        if self.scene.rows != rows:
            self._place()
        self.update()
        if moved:
            self._range_changed()

    def set_live(self, live: bool) -> None:
        """Whether a trial is running: its newest data is followed until the view is moved by hand."""
        self._live = live
        if live:
            self.follow_live()
        elif self.navigator.following:
            self._set_following(False)
            self.navigator.fit_all()
            self._range_changed()

    @property
    def is_live(self) -> bool:
        return self._live

    @property
    def is_following(self) -> bool:
        return self.navigator.following

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

    def show_range(self, start_ns: int, end_ns: int) -> None:
        """Shows a range of absolute time."""
        if self.scene is not None:
            origin = self.scene.origin_ns
            self._navigate(lambda: self.navigator.show(float(start_ns - origin), float(end_ns - origin)))

    # actions, named in `controls.CONTROLS`

    def zoom_in(self) -> None:
        self._navigate(lambda: self.navigator.zoom(ZOOM_STEP, self._anchor()))

    def zoom_out(self) -> None:
        self._navigate(lambda: self.navigator.zoom(1 / ZOOM_STEP, self._anchor()))

    def pan_left(self) -> None:
        self._pan_px(-round(self._layout.plot_width * PAN_SHARE))

    def pan_right(self) -> None:
        self._pan_px(round(self._layout.plot_width * PAN_SHARE))

    def scroll_up(self) -> None:
        self._scroll_bar.setValue(self._scroll_bar.value() - self._scroll_bar.pageStep() // 2)

    def scroll_down(self) -> None:
        self._scroll_bar.setValue(self._scroll_bar.value() + self._scroll_bar.pageStep() // 2)

    def zoom_to_selection(self) -> None:
        if self.measured is not None:
            self.show_range(self.measured.start_ns, self.measured.end_ns)

    def clear_selection(self) -> None:
        self.pointer = None
        self._set_measured(None)
        self._select(None)

    def focus_span(self) -> None:
        """Fits the selected span, or the one under the mouse."""
        span = self.selected or (self.pointer.span if self.pointer else None)
        if span is not None and self.scene is not None:
            origin = self.scene.origin_ns
            self._navigate(lambda: self.navigator.show(float(span.start_ns - origin), float(span.end_ns - origin), 0.25))

    def fit_all(self) -> None:
        self._navigate(self.navigator.fit_all)

    def go_back(self) -> None:
        self._navigate(self.navigator.back)

    def next_span(self) -> None:
        self._step(1)

    def previous_span(self) -> None:
        self._step(-1)

    def follow_live(self) -> None:
        """Follows the newest data of a running trial; afterwards shows the end."""
        if self._live:
            self._set_following(True)
            self._navigate(self.navigator.follow)
        elif self.scene is not None:
            end = self.scene.total_ns
            self._navigate(lambda: self.navigator.pan(end + self.viewport.span * 0.02 - self.viewport.end))

    def go_to(self, span: SpanRef) -> None:
        """Selects a span and brings it into view."""
        if self.scene is None:
            return
        origin = self.scene.origin_ns
        self._select(span)
        self._navigate(lambda: self.navigator.reveal(float(span.start_ns - origin), float(span.end_ns - origin)))
        self._show_row_of(span)
        box = span_box(self._canvas(QPainter(self._pixmap())), span)
        if box is not None:
            self.pointer = self._pointer_on(span, box.left() + min(box.width(), 40.0) / 2, box.bottom())

    # events

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
                dragging=self._drag is not None and self._moved,
                focused=self.hasFocus(),
            )
        painter.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        method = METHODS.get(event.key())
        if method is None or event.modifiers() & ~IGNORED_MODIFIERS:
            super().keyPressEvent(event)
            return
        getattr(self, method)()
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        angle, pixels = event.angleDelta(), event.pixelDelta()
        modifiers = event.modifiers()
        vertical = angle.y() or angle.x()
        if modifiers & Qt.KeyboardModifier.ControlModifier:
            at = self._time_at(event.position().x())
            self._navigate(lambda: self.navigator.zoom(ZOOM_STEP ** (vertical / 120), at))
        elif modifiers & Qt.KeyboardModifier.ShiftModifier or abs(angle.x()) > abs(angle.y()):
            by = -(pixels.x() or pixels.y()) if not pixels.isNull() else -round((angle.x() or angle.y()) / 120 * 60)
            self._pan_px(by)
        else:
            self._scroll_bar.setValue(self._scroll_bar.value() - (pixels.y() if not pixels.isNull() else round(angle.y() / 120 * 48)))
        event.accept()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QNativeGestureEvent) and event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            at = self._time_at(event.position().x())
            self._navigate(lambda: self.navigator.zoom(1 / max(1 + event.value(), 0.1), at))
            return True
        return super().event(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self.scene is None:
            return
        x, y = event.position().x(), event.position().y()
        middle = event.button() == Qt.MouseButton.MiddleButton
        if event.button() != Qt.MouseButton.LeftButton and not middle:
            return
        self._moved = False
        self._drag_from = (x, y, self._time_at(x))
        if middle or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._drag = "pan"
        elif self._layout.minimap_y <= y < self._layout.axis_y:
            self._drag = "minimap"
            self._go_on_minimap(x)
        elif x >= self._layout.label_width:
            self._drag = "measure"

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        x, y = event.position().x(), event.position().y()
        if self._drag is not None:
            self._moved = self._moved or abs(x - self._drag_from[0]) > _CLICK_PX
            if self._drag == "pan":
                self._pan_px(round(self._drag_from[0] - x))
                self._drag_from = (self._drag_from[0] - round(self._drag_from[0] - x), y, self._drag_from[2])
            elif self._drag == "minimap":
                self._go_on_minimap(x)
            elif self._moved:
                self._measure(self._drag_from[2], self._time_at(x))
        self._hover(x, y)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        drag, self._drag = self._drag, None
        if drag == "measure" and not self._moved:
            self._set_measured(None)
            self._hover(event.position().x(), event.position().y())
            self._select(self.pointer.span if self.pointer else None)
        self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self.scene is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self._hover(event.position().x(), event.position().y())
        span = self.pointer.span if self.pointer else None
        self._select(span)
        if span is None:
            self.fit_all()
        else:
            self.focus_span()

    def leaveEvent(self, event: QEvent) -> None:
        if self.pointer is not None and self.pointer.span is not None:
            self.spanHovered.emit(None)
        self.pointer = None
        self.update()

    # inside

    def _pixmap(self) -> QPixmap:
        """The painted timeline; painted again only where the view, the data, the size or the theme changed."""
        palette, ratio = current_palette(), self.devicePixelRatioF()
        version = self.scene.version if self.scene else -1
        key = (id(self.scene), version, self.size().toTuple(), ratio, palette.name, self.scroll_y, self.font().key())
        view = self.viewport
        if self._backing is not None and key == self._backing_key:
            if view == self._backing_view:
                return self._backing
            if self._shift(self._backing, view, palette, ratio):
                return self._backing
        if self._backing is None or self._backing_key[2:4] != key[2:4]:
            self._backing = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
            self._backing.setDevicePixelRatio(ratio)
        painter = QPainter(self._backing)
        painter.setFont(self.font())
        paint(painter, self.scene, view, self._layout, palette, scroll_y=self.scroll_y)
        painter.end()
        self.content_paints += 1
        self._backing_key, self._backing_view = key, view
        return self._backing

    def _shift(self, backing: QPixmap, view: Viewport, palette: Palette, ratio: float) -> bool:
        """Pans by whole pixels: moves what is there and paints only the columns that came into view."""
        old, layout = self._backing_view, self._layout
        if self.scene is None or self.scene.is_empty or old.span != view.span:
            return False
        shift = (old.start - view.start) / view.span * layout.plot_width
        whole = round(shift)
        device_px = whole * ratio
        if abs(shift - whole) > 0.01 or abs(whole) >= layout.plot_width // 2 or device_px != round(device_px):
            return False
        area = QRect(layout.label_width, layout.axis_y, layout.plot_width, layout.height - layout.axis_y)
        device = QRect(*(round(value * ratio) for value in (area.x(), area.y(), area.width(), area.height())))
        backing.scroll(round(device_px), 0, device)
        painter = QPainter(backing)
        painter.setFont(self.font())
        canvas = Canvas(painter, self.scene, view, layout, palette, self.scroll_y)
        # a little more than what came into view, for what reaches over the edge
        if whole > 0:
            canvas.x1 = min(whole + 3, layout.plot_width)
        else:
            canvas.x0 = max(layout.plot_width + whole - 3, 0)
        paint_plot_area(canvas)
        paint_labels(canvas)
        painter.end()
        self._backing_view = view
        self._settle.start()
        return True

    def _canvas(self, painter: QPainter) -> Canvas:
        assert self.scene is not None
        painter.setFont(self.font())
        return Canvas(painter, self.scene, self.viewport, self._layout, current_palette(), self.scroll_y)

    def _paint_anew(self) -> None:
        self._backing_key = ()
        self.update()

    def _place(self) -> None:
        rows = self.scene.rows if self.scene else ()
        self._layout = place(rows, self.width(), self.height())
        header = self._layout.header_height
        self._scroll_bar.setGeometry(self.width() - RIGHT_PX, header, RIGHT_PX, max(self.height() - header, 0))
        self._scroll_bar.setPageStep(max(self.height() - header, 1))
        self._scroll_bar.setRange(0, self._layout.scroll_range)
        self._scroll_bar.setVisible(self._layout.scroll_range > 0)

    def _time_at(self, x: float) -> float:
        return self.viewport.time_at(x - self._layout.label_width, self._layout.plot_width)

    def _anchor(self) -> float:
        """What a zoom by keys keeps in place: the moment under the mouse, else the middle."""
        if self.pointer is not None and self._layout.label_width <= self.pointer.x:
            return self._time_at(self.pointer.x)
        return self.viewport.start + self.viewport.span / 2

    def _pan_px(self, pixels: int) -> None:
        if pixels:
            self._navigate(lambda: self.navigator.pan(pixels * self.viewport.span / self._layout.plot_width))

    def _navigate(self, move: object) -> None:
        before, following = self.viewport, self.navigator.following
        move()  # type: ignore[operator]
        if self.navigator.following != following:
            self.followingChanged.emit(self.navigator.following)
        if self.viewport != before:
            self._range_changed()
            if self.pointer is not None:
                self._hover(self.pointer.x, self.pointer.y)
            self.update()

    def _range_changed(self) -> None:
        self.rangeChanged.emit(*self.visible_range_ns())
        self.update()

    def _set_following(self, following: bool) -> None:
        if self.navigator.following != following:
            self.navigator.following = following
            self.followingChanged.emit(following)

    def _go_on_minimap(self, x: float) -> None:
        if self.scene is not None:
            share = (x - self._layout.label_width) / self._layout.plot_width
            self._navigate(lambda: self.navigator.centre(min(max(share, 0.0), 1.0) * self.scene.total_ns))

    def _measure(self, first: float, second: float) -> None:
        if self.scene is None:
            return
        low, high = sorted((first, second))
        low, high = max(low, 0.0), min(high, self.scene.total_ns)
        if high > low:
            origin = self.scene.origin_ns
            self._set_measured(statistics.measure(self.scene, origin + round(low), origin + round(high)))

    def _set_measured(self, measured: RangeStatistics | None) -> None:
        if measured is not self.measured:
            self.measured = measured
            self.rangeMeasured.emit(measured)
            self.update()

    def _select(self, span: SpanRef | None) -> None:
        if span != self.selected:
            self.selected = span
            if span is not None and self.scene is not None:
                self.setAccessibleDescription(query.describe(self.scene, span).title)
            self.spanSelected.emit(span)
            self.update()

    def _step(self, step: int) -> None:
        """To the neighbour of the selected span, or the first span in sight."""
        if self.scene is None:
            return
        start_ns, _ = self.visible_range_ns()
        if self.selected is not None:
            span = query.neighbour(self.scene, self.selected, step)
        else:
            lanes = [row.lanes[0] for row in self.scene.rows if row.kind == "lane"]
            found = (query.first_after(self.scene, lane, start_ns) for lane in lanes)
            span = next((span for span in found if span is not None), None)
        if span is not None:
            self.go_to(span)

    def _show_row_of(self, span: SpanRef) -> None:
        placed = next((placed for placed in self._layout.rows if span.lane in placed.row.lanes), None)
        if placed is not None:
            room = self.height() - self._layout.header_height
            if placed.y < self.scroll_y or placed.y + placed.height > self.scroll_y + room:
                self._scroll_bar.setValue(placed.y - room // 3)

    def _hover(self, x: float, y: float) -> None:
        before = self.pointer.span if self.pointer else None
        span = self._span_under(x, y)
        if span is not None and span == before and self.pointer is not None:
            self.pointer.x, self.pointer.y = x, y
        else:
            self.pointer = self._pointer_on(span, x, y)
        if span != before:
            self.spanHovered.emit(span)
        self.update()

    def _pointer_on(self, span: SpanRef | None, x: float, y: float) -> Pointer:
        if span is None or self.scene is None:
            return Pointer(x, y)
        lit = tuple(query.spans_of_batch(self.scene, span.batch, span.start_ns)) if span.batch >= 0 else (span,)
        return Pointer(x, y, span, lit, query.describe(self.scene, span))

    def _span_under(self, x: float, y: float) -> SpanRef | None:
        if self.scene is None or self.scene.is_empty or not 0 <= x - self._layout.label_width <= self._layout.plot_width:
            return None
        placed = self._layout.row_at(y, self.scroll_y)
        if placed is None or placed.row.kind not in ("lane", "flight"):
            return None
        lane = self._layout.flight_lane_at(placed, y, self.scroll_y) if placed.row.kind == "flight" else placed.row.lanes[0]
        if lane is None:
            return None
        down = (y - self._layout.header_height + self.scroll_y - placed.bar_y) / placed.bar_height
        slack = round(_HIT_PX * self.viewport.span / self._layout.plot_width)
        return query.span_at(self.scene, lane, self.scene.origin_ns + round(self._time_at(x)), slack, down)
