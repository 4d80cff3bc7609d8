"""The timeline as a view that moves: the trace and range that it shows, the measured range, and the selected span."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from loaderscope.facts.findings import Place
from loaderscope.gui.run.background_work import NewestOnly
from loaderscope.gui.timeline.data import hover_card, range_statistics, span_query
from loaderscope.gui.timeline.data.hover_card import pointer_at, span_under
from loaderscope.gui.timeline.data.range_statistics import RangeSurvey
from loaderscope.gui.timeline.data.rows_at_hand import RowsAtHand, read_rows
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.viewport import Viewport, least_whole_px
from loaderscope.gui.timeline.paint.timeline_painter import UNSHOWN_TITLE, overview_columns
from loaderscope.gui.timeline.widget.surface import TimelineSurface
from loaderscope.gui.timeline.widget.timeline_keys import PAN_SHARE, ZOOM_STEP
from loaderscope.session.errors import SessionError
from loaderscope.trace.model import Trace

_ZOOM_END_MS = 60
"""A zoom has ended if no other step follows within this time; then the rows in sight of a stored trace are read."""

LEAST_PLACE_NS = 1e6
"""A shorter place is shown with as much around it as one of this length."""

SPANS_AT_ONCE = 500_000
"""Up to this many spans are indexed while a frame is painted. A trace with more is prepared in a thread of its own, before it is shown."""


class NavigableTimeline(TimelineSurface):
    """Shows one trace. The owner calls `refresh` with a timer while a trial runs; it paints nothing if nothing changed.

    Signals:
        traceShown: the timeline shows another trace, or none.
        traceGrew: the trace has new data.
        rangeChanged: start and end of the visible range, absolute nanoseconds.
        rangeMeasured: `RangeSurvey` of the measured range, or None after it was cleared.
        spanHovered: `SpanRef` under the mouse, or None.
        spanSelected: `SpanRef` of the selected span, or None.
        followingChanged: whether the view follows the newest data.
    """

    traceShown = Signal()
    traceGrew = Signal()
    rangeChanged = Signal(object, object)
    rangeMeasured = Signal(object)
    spanHovered = Signal(object)
    spanSelected = Signal(object)
    followingChanged = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._live = False
        self._pan_rest_px = 0
        self._awaited: Trace | None = None
        self._when_shown: Callable[[], None] | None = None
        self._preparation: NewestOnly[Scene] = NewestOnly(self._show_prepared, self, self._report_unprepared)
        self._row_reading: NewestOnly[tuple[Scene, RowsAtHand | str]] = NewestOnly(self._take_rows, self)
        self._outlier_search: NewestOnly[Scene] = NewestOnly(self._show_outliers, self)
        self._read_span = 0.0
        self._zoom_end = QTimer(self, singleShot=True, interval=_ZOOM_END_MS)
        self._zoom_end.timeout.connect(self._read_rows_in_sight)
        self._range_asked: tuple[Scene, tuple[int, int]] | None = None
        self.setAccessibleName("Timeline")
        self.setAccessibleDescription("No trial yet")

    # what is shown

    def set_trace(self, trace: Trace | None, title: str = "") -> None:
        """Shows all of another trace; None shows how to get one. A trace with many spans appears once it is prepared."""
        self._awaited, self._when_shown = trace, None
        self._preparation.forget()
        if trace is None or trace.span_count <= SPANS_AT_ONCE:
            self._show(Scene(trace, title) if trace is not None else None)
            return
        self._show(None, f"Preparing {trace.span_count:,} spans")
        columns = overview_columns(self._layout)
        self._preparation.ask(lambda: _prepare_scene(trace, title, columns))

    def show_preparing(self, text: str) -> None:
        """Shows a text until another trace is ready."""
        self.set_trace(None)
        self._show(None, text)

    def _show_prepared(self, scene: Scene) -> None:
        if scene.trace is not self._awaited:
            return
        if scene.problem:
            self.show_preparing(scene.problem)
            return
        then = self._when_shown
        self._show(scene)
        if scene.is_stored:
            self._outlier_search.ask(lambda: _search_outliers(scene))
        if then is not None:
            then()

    def _show_outliers(self, scene: Scene) -> None:
        if scene is self.scene:
            self._repaint_all()

    def _read_rows_in_sight(self) -> None:
        scene = self.scene
        if scene is None:
            return
        scene.note_painting()
        if scene.problem:
            self._show_problem(scene.problem)
            return
        if self.viewport.span != self._read_span:  # the next step of a zoom would make a reading vain
            self._read_span = self.viewport.span
            self._zoom_end.start()
        if self._zoom_end.isActive():
            return
        to_read = scene.range_to_read(*self.visible_range_ns())
        if to_read is not None and self._range_asked != (scene, to_read):
            self._range_asked = scene, to_read
            self._row_reading.ask(lambda: (scene, _read_rows(scene.trace, to_read)))

    def _take_rows(self, answer: tuple[Scene, RowsAtHand | str]) -> None:
        """Paints the rows that were read, unless another trace is shown by now."""
        scene, rows = answer
        if scene is not self.scene:
            return
        self._range_asked = None
        if isinstance(rows, str):
            self._show_problem(rows)
            return
        scene.set_at_hand(rows)
        self._repaint_all()
        if self.pointer is not None and not self.dragging:
            self.hover(self.pointer.x, self.pointer.y)

    def _show_problem(self, text: str) -> None:
        """Shows why the file cannot be read, in place of the timeline; once the present painting has ended."""
        QTimer.singleShot(0, self, lambda: self.show_preparing(text))

    def _report_unprepared(self) -> None:
        """Reports that preparing the trace failed; Python has reported the error in the terminal."""
        if self._awaited is not None and self.preparing:
            self.show_preparing(UNSHOWN_TITLE)

    def _show(self, scene: Scene | None, preparing: str = "") -> None:
        self.scene, self.preparing = scene, preparing
        self.measured = self.selected = self.pointer = None
        self._mark_live()
        following = self.navigator.following
        self.navigator.reset(scene.total_ns if scene else 0.0)
        if following and scene:
            self.navigator.follow()
        self._scroll_bar.setValue(0)
        self._idle = frozenset()
        self.setAccessibleDescription(preparing or (scene.title if scene else "") or "No trial yet")
        if self._part is not None:
            self.show_as_part(self._part)
        self._place_rows()
        self._repaint_all()
        self.traceShown.emit()
        self.rangeMeasured.emit(None)
        self.spanSelected.emit(None)
        self._emit_range()

    def refresh(self) -> None:
        """Takes in the new data of the trace; cheap if there is none."""
        if self.scene is None:
            return
        was_empty = self.scene.is_empty
        rows = self.scene.rows
        if not self.scene.update():
            return
        self.scene.count_exposed()
        if was_empty and not self.scene.is_empty and not self.navigator.following:
            self.navigator.reset(self.scene.total_ns)
        moved = self.navigator.grow(self.scene.total_ns, self._layout.plot_width)
        if self.scene.rows != rows or self._minimap_px != self._layout.minimap_px:
            self._place_rows()
        self.fold_soon()
        self.update()
        if moved:
            self._emit_range()
        self.traceGrew.emit()

    def set_live(self, live: bool) -> None:
        """Says whether a trial is running: the view then follows its newest data until the user moves the view."""
        if live != self._live:
            self._live = live
            self._mark_live()
        if live:
            self.follow_live()
        elif self.navigator.following:
            self._set_following(False)
            self.navigator.fit_all()
            self._emit_range()

    def show_range(self, start_ns: int, end_ns: int) -> None:
        """Shows a range of absolute time."""
        if self.preparing:
            self._when_shown = lambda: self.show_range(start_ns, end_ns)
        elif self.scene is not None:
            origin = self.scene.origin_ns
            self._navigate(lambda: self.navigator.show(float(start_ns - origin), float(end_ns - origin)))

    def match(self, viewport: Viewport) -> None:
        """Shows the range of another timeline on the same axis."""
        self._navigate(lambda: self.navigator.match(viewport))

    # actions, named in `timeline_keys.CONTROLS`

    def zoom_in(self) -> None:
        self._navigate(lambda: self.navigator.zoom(ZOOM_STEP, self.anchor()))

    def zoom_out(self) -> None:
        self._navigate(lambda: self.navigator.zoom(1 / ZOOM_STEP, self.anchor()))

    def pan_left(self) -> None:
        self.pan_px(-round(self._layout.plot_width * PAN_SHARE))

    def pan_right(self) -> None:
        self.pan_px(round(self._layout.plot_width * PAN_SHARE))

    def scroll_up(self) -> None:
        self.scroll_by(-self._scroll_bar.pageStep() // 2)

    def scroll_down(self) -> None:
        self.scroll_by(self._scroll_bar.pageStep() // 2)

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

    def go_forward(self) -> None:
        self._navigate(self.navigator.forward)

    def next_span(self) -> None:
        self._step(1)

    def previous_span(self) -> None:
        self._step(-1)

    def follow_live(self) -> None:
        """Follows the newest data of a running trial; shows the end of a finished one."""
        if self._live:
            self._set_following(True)
            self._navigate(self.navigator.follow)
        elif self.scene is not None:
            end = self.scene.total_ns
            self._navigate(lambda: self.navigator.pan(end + self.viewport.span * 0.02 - self.viewport.end))

    def go_to(self, span: SpanRef) -> None:
        """Selects a span and brings it into view."""
        if self.preparing:
            self._when_shown = lambda: self.go_to(span)
        if self.scene is None:
            return
        origin = self.scene.origin_ns
        self._select(span)
        self._navigate(lambda: self.navigator.reveal(float(span.start_ns - origin), float(span.end_ns - origin)))
        self.bring_row_up(span.lane)
        with self.canvas() as canvas:
            box = canvas.span_box(span)
        if box is not None:
            self.pointer = pointer_at(self.scene, span, box.left() + min(box.width(), 40.0) / 2, box.bottom())

    def show_place(self, place: Place) -> None:
        """Shows a place with as much of what comes before and after it."""
        if self.preparing:
            self._when_shown = lambda: self.show_place(place)
        elif self.scene is not None and not self.scene.is_empty:
            start = place.start_s * 1e9
            length = max(place.seconds * 1e9, LEAST_PLACE_NS)
            self._navigate(lambda: self.navigator.show(start - length, start + 2 * length))
            self.bring_row_up(place.lane)
            self.update()

    def show_moment(self, time_ns: int) -> None:
        """Brings a moment of absolute time into view."""
        if self.scene is not None:
            time = float(time_ns - self.scene.origin_ns)
            self._navigate(lambda: self.navigator.reveal(time, time))

    def anchor(self) -> float:
        """Returns the moment that a zoom by keys keeps in place and where a new mark goes: under the mouse, else in the middle."""
        if self.pointer is not None and self._layout.label_width <= self.pointer.x:
            return self.time_at(self.pointer.x)
        return self.viewport.start + self.viewport.span / 2

    # what the mouse does

    def pan_px(self, pixels: int) -> None:
        """Pans to later by whole device pixels, so that the painted picture can move. Adds the remainder to the next pan."""
        grid = least_whole_px(self.devicePixelRatioF())
        whole = round((pixels + self._pan_rest_px) / grid) * grid
        self._pan_rest_px += pixels - whole
        if whole:
            self._navigate(lambda: self.navigator.pan(whole * self.viewport.span / self._layout.plot_width))

    def zoom_at(self, factor: float, x: float) -> None:
        """Zooms and keeps the moment at a place of the widget there."""
        self._navigate(lambda: self.navigator.zoom(factor, self.time_at(x)))

    def scroll_by(self, pixels: int) -> None:
        self._scroll_bar.setValue(self._scroll_bar.value() + pixels)

    def go_on_minimap(self, x: float) -> None:
        """Centres the view on the moment at a place of the minimap."""
        if self.scene is not None:
            time = self.scene.extent.time_at(x - self._layout.label_width, self._layout.plot_width)
            within = min(max(time, 0.0), self.scene.total_ns)
            self._navigate(lambda: self.navigator.centre(within))

    def measure(self, first: float, second: float) -> None:
        """Measures the range between two moments since the origin."""
        if self.scene is None:
            return
        low, high = max(min(first, second), 0.0), min(max(first, second), self.scene.total_ns)
        if high > low:
            origin = self.scene.origin_ns
            self._set_measured(range_statistics.survey(self.scene, origin + round(low), origin + round(high)))

    def click(self, x: float, y: float) -> None:
        """Selects the span under the mouse, or none."""
        self._set_measured(None)
        self.hover(x, y)
        self._select(self.pointer.span if self.pointer else None)

    def hover(self, x: float, y: float) -> None:
        """Moves the crosshair, and outlines the batch under it."""
        before = self.pointer.span if self.pointer else None
        span = span_under(self.scene, self.viewport, self._layout, self.scroll_y, (x, y)) if self.scene is not None else None
        if span is not None and span == before and self.pointer is not None:
            self.pointer.x, self.pointer.y = x, y
        else:
            self.pointer = pointer_at(self.scene, span, x, y)
        if span != before:
            self.spanHovered.emit(span)
        self.update()

    # inside

    def _navigate(self, move: Callable[[], object]) -> None:
        before, following = self.viewport, self.navigator.following
        move()
        if self.navigator.following != following:
            self.followingChanged.emit(self.navigator.following)
        if self.viewport != before:
            self._emit_range()
            if self.pointer is not None:
                self.hover(self.pointer.x, self.pointer.y)
            self.update()

    def _emit_range(self) -> None:
        self.rangeChanged.emit(*self.visible_range_ns())
        self.fold_soon()
        self.update()

    def _mark_live(self) -> None:
        """Sets whether the trial of the scene runs, which decides the range of the minimap."""
        if self.scene is not None:
            self.scene.is_live = self._live
            self._repaint_all()

    def _set_following(self, following: bool) -> None:
        if self.navigator.following != following:
            self.navigator.following = following
            self.followingChanged.emit(following)

    def _set_measured(self, measured: RangeSurvey | None) -> None:
        if measured is not self.measured:
            self.measured = measured
            self.rangeMeasured.emit(measured)
            self.update()

    def _select(self, span: SpanRef | None) -> None:
        if span != self.selected:
            self.selected = span
            if span is not None and self.scene is not None:
                self.setAccessibleDescription(hover_card.describe(self.scene, span).title)
            self.spanSelected.emit(span)
            self.update()

    def _step(self, step: int) -> None:
        """Goes to the next (1) or previous (-1) span of the selected one; without one, to the first span in sight."""
        if self.scene is None:
            return
        if self.selected is not None:
            span = span_query.neighbour(self.scene, self.selected, step)
        else:
            span = span_query.first_in_sight(self.scene, self.visible_range_ns()[0])
        if span is not None:
            self.go_to(span)


def _read_rows(trace: Trace, range_ns: tuple[int, int]) -> RowsAtHand | str:
    """Returns rows of a stored trace, or the sentence that says why they cannot be read."""
    try:
        return read_rows(trace, *range_ns)
    except SessionError as error:
        return str(error)


def _search_outliers(scene: Scene) -> Scene:
    scene.search_outliers()
    return scene


def _prepare_scene(trace: Trace, title: str, columns: int) -> Scene:
    scene = Scene(trace, title)
    scene.prepare()
    scene.overview(columns)
    return scene
