"""The painted side of the timeline widget: a picture that is repainted only after changes, with an overlay; and the steps to undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QScrollBar, QSizePolicy, QWidget

from loaderscope.gui.style.theme import current_palette
from loaderscope.gui.timeline.data.alignment import PART_KINDS, Part
from loaderscope.gui.timeline.data.arrangement import Arranged, Arrangement, arrange
from loaderscope.gui.timeline.data.hover_card import Pointer
from loaderscope.gui.timeline.data.navigation import Navigator
from loaderscope.gui.timeline.data.range_statistics import RangeSurvey
from loaderscope.gui.timeline.data.row_layout import AXIS_PX, EXPOSED_PX, MINIMAP_PX, RIGHT_PX, Layout, place_rows
from loaderscope.gui.timeline.data.scene import Row, Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.viewport import Viewport
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.backing_store import Backing
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.overlay import OverlayContent, paint_overlay
from loaderscope.gui.timeline.paint.places import ShownPlaces
from loaderscope.gui.timeline.paint.timeline_painter import PREPARING_TEXT, UNSHOWN_TITLE, paint_message, paint_scales
from loaderscope.gui.timeline.widget.lane_notices import LaneNotices

_SETTLE_MS = 120
_MOST_UNDO_STEPS = 100
_FOLD_MS, _FOLD_LIVE_MS = 500, 1000


class UndoSteps:
    """What the user did to marks and lanes, to undo it, the last step first. Two timelines with one arrangement share the steps."""

    def __init__(self) -> None:
        self._steps: list[tuple[object, Callable[[], object]]] = []

    def add(self, owner: object, take_back: Callable[[], object]) -> None:
        """Adds a step: `take_back` undoes what the user did to the state of `owner`."""
        self._steps = [*self._steps, (owner, take_back)][-_MOST_UNDO_STEPS:]

    def forget(self, owner: object) -> None:
        """Drops the steps of an owner, which the user then cannot undo any more."""
        self._steps = [step for step in self._steps if step[0] is not owner]

    def undo(self) -> None:
        """Undoes the last step."""
        if self._steps:
            self._steps.pop()[1]()


class TimelineSurface(QWidget):
    """Paints a scene at the range of its navigator and the place of its scroll bar, with pointer, selected span and measured range.

    Attributes:
        dragging: whether the mouse is moving with a button held, which hides the hover card.
        preparing: the text to show while a trace with many spans is prepared, or after that failed; otherwise "".
        steps: what the user did to lanes and marks, to undo it.
        places: where the selected finding shows.

    Signals:
        arrangementChanged: the rows have another arrangement.
    """

    arrangementChanged = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scene: Scene | None = None
        self.navigator = Navigator()
        self.measured: RangeSurvey | None = None
        self.selected: SpanRef | None = None
        self.pointer: Pointer | None = None
        self.dragging = False
        self.preparing = ""
        self.steps = UndoSteps()
        self.arrows = LateArrows()
        self.places: ShownPlaces | None = None
        self.backing = Backing()
        self._arrangement = Arrangement()
        self._arranged = Arranged()
        self._part: Part | None = None
        self._idle: frozenset[str] = frozenset()  # loaders, by the prefix of their lanes, of which nothing is in sight
        self._has_flags = False
        self._placed = self._layout = place_rows((), 1, 1)
        self._notices = LaneNotices(self)
        self._notices.showRequested.connect(self.show_hidden_lanes)
        self._notices.collapseRequested.connect(self.collapse_workers)
        self._scroll_bar = QScrollBar(Qt.Orientation.Vertical, self)
        self._scroll_bar.valueChanged.connect(self._scrolled)
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settle.timeout.connect(self._repaint_all)
        self._fold_timer = QTimer(self, singleShot=True, interval=_FOLD_MS)
        self._fold_timer.timeout.connect(self._fold_idle_loaders)
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
        """The places of the scrolled rows."""
        return self._layout

    @property
    def arrangement(self) -> Arrangement:
        """How the user arranged the rows."""
        return self._arrangement

    @property
    def arranged(self) -> Arranged:
        """The rows as the timeline shows them."""
        return self._arranged

    def set_arrangement(self, arrangement: Arrangement) -> None:
        """Arranges the rows."""
        if arrangement != self._arrangement:
            self._arrangement = arrangement
            self._place_rows()
            self.update()
            self.arrangementChanged.emit()

    def rearrange(self, arrangement: Arrangement) -> None:
        """Arranges the rows as the user wants, as a step to undo."""
        before = self._arrangement
        self.set_arrangement(arrangement)
        self.remember(before)

    def remember(self, before: Arrangement) -> None:
        """Adds a step to undo: back to an earlier arrangement."""
        if before != self._arrangement:
            self.steps.add(self, lambda: self.set_arrangement(before))

    def show_hidden_lanes(self) -> None:
        self.rearrange(self._arrangement.show(self._arrangement.hidden))

    def collapse_workers(self) -> None:
        """Shows all workers as one row, or each again."""
        self.rearrange(self._arrangement.collapse("worker", "worker" not in self._arrangement.collapsed))

    def fold_loader(self, title: Row) -> None:
        """Folds the rows of a loader into its title, or unfolds them."""
        self.rearrange(self._arrangement.fold(title.loader_title, not title.is_folded))

    def fold_soon(self) -> None:
        """Folds loaders that left the sight, and unfolds those that came into it, in a moment.

        Rows must not jump with each change: while a trial runs, at most once a second.
        """
        if not self._fold_timer.isActive():
            self._fold_timer.start(_FOLD_LIVE_MS if self.scene is not None and self.scene.is_live else _FOLD_MS)

    def _fold_idle_loaders(self) -> None:
        if self.scene is None:
            return
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:  # rows must not jump away from under the mouse
            self._fold_timer.start()
            return
        idle = self.scene.idle_loaders(*self.visible_range_ns())
        if idle != self._idle:
            self._idle = idle
            self._place_rows()
            self.update()

    def reset_lanes(self) -> None:
        """Shows all rows in their default order and height."""
        self.rearrange(Arrangement())

    def show_as_part(self, part: Part | None) -> None:
        """Shows the trace as one of several timelines on one axis, or alone again."""
        self._part = part
        if self.scene is not None:
            self.scene.title = part.title if part else ""
            self.scene.axis_zero = part.zero_ns if part else None
        self.navigator.bounds = part.bounds_ns if part else None
        self._place_rows()
        self._repaint_all()

    def make_room_for_flags(self, are_any: bool) -> None:
        """Draws the axis, which carries the flags of marks, even in a part that leaves the axis to another part."""
        if are_any != self._has_flags:
            self._has_flags = are_any
            self._place_rows()
            self.update()

    def show_crosshair(self, x: float | None, lit: tuple[SpanRef, ...] = ()) -> None:
        """Shows the crosshair of another timeline on the same axis, and outlines the spans of the same batch; None hides it."""
        self.pointer = None if x is None else Pointer(x, float(self._layout.header_height), None, lit)
        self.update()

    @property
    def needed_height(self) -> int:
        """Height that header and all rows need."""
        return self._placed.header_height + self._placed.content_height

    def bring_row_up(self, lane: str) -> None:
        """Scrolls a lane into view; shows it again if it was hidden or folded."""
        folded = next((row for row in self._arranged.rows if row.is_folded and lane.startswith(row.loader)), None)
        if folded is not None:
            self.set_arrangement(self._arrangement.fold(folded.loader_title, False))
        if any(lane in row.lanes for row in self._arranged.hidden):
            self.set_arrangement(self._arrangement.show(row.key for row in self._arranged.hidden if lane in row.lanes))
        layout = self._placed
        placed = next((placed for placed in layout.rows if lane in placed.row.lanes), None)
        if placed is None or placed.is_frozen:
            return
        low, high = self.scroll_y + layout.frozen_height, self.scroll_y + self.height() - layout.header_height
        if placed.y < low or placed.y + placed.height > high:
            self._scroll_bar.setValue(placed.y - layout.frozen_height - (high - low) // 3)

    def visible_range_ns(self) -> tuple[int, int]:
        """Returns the visible range in absolute time."""
        origin = self.scene.origin_ns if self.scene else 0
        return origin + round(self.viewport.start), origin + round(self.viewport.end)

    def show_arrows(self, shown: bool) -> None:
        """Switches the arrows of the costliest waits on or off."""
        self.arrows.shown = shown
        self.update()

    def show_places(self, places: ShownPlaces | None) -> None:
        """Marks where a finding shows; None marks nothing."""
        if places != self.places:
            self.places = places
            self.update()

    def time_at(self, x: float) -> float:
        """Returns the moment at a place of the widget, nanoseconds since the origin."""
        return self.viewport.time_at(x - self._layout.label_width, self._layout.plot_width)

    def x_of(self, time_ns: int) -> float:
        """Returns the widget x of a moment of absolute time; it may lie outside the widget."""
        origin = self.scene.origin_ns if self.scene is not None else 0
        return self._layout.label_width + self.viewport.x_of(float(time_ns - origin), self._layout.plot_width)

    @contextmanager
    def canvas(self) -> Iterator[Canvas]:
        """Opens a canvas of the current picture, to find places in it."""
        self._repaint_changes()
        with self.backing.painter(self.font()) as painter:
            yield self._canvas(painter)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._place_rows()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange, QEvent.Type.FontChange):
            self._repaint_all()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        if self.preparing:
            painter.fillRect(self.rect(), colour(current_palette().base))
            text = PREPARING_TEXT if self.preparing != UNSHOWN_TITLE else ""
            paint_message(painter, self._layout, current_palette(), self.preparing, text)
            painter.end()
            return
        self._repaint_changes()
        self.backing.draw(painter)
        if self.scene is not None and not self.scene.is_empty:
            canvas = self._canvas(painter)
            paint_scales(canvas)
            paint_overlay(canvas, self._overlay_content(), focused=self.hasFocus())
        painter.end()
        self._read_rows_in_sight()

    def _read_rows_in_sight(self) -> None:
        """Asks for the rows of a stored trace that the picture misses."""

    def _overlay_content(self) -> OverlayContent:
        """Returns the current content of the overlay."""
        return OverlayContent(self.pointer, self.selected, self.measured, self.dragging, arrows=self.arrows, places=self.places)

    def _repaint_changes(self) -> None:
        """Repaints what changed since the last frame."""
        parts = self.backing.parts
        self.backing.renew(
            self.scene,
            self.viewport,
            self._layout,
            current_palette(),
            scroll_y=self.scroll_y,
            ratio=self.devicePixelRatioF(),
            font=self.font(),
        )
        if self.backing.parts != parts and not self.navigator.following:
            # labels still show the range before; a view that follows a trial is repainted all the time anyway
            self._settle.start()

    def _canvas(self, painter: QPainter) -> Canvas:
        assert self.scene is not None
        painter.setFont(self.font())
        return Canvas(painter, self.scene, self.viewport, self._layout, current_palette(), self.scroll_y)

    def _repaint_all(self) -> None:
        self.backing.invalidate()
        self.update()

    def _scrolled(self) -> None:
        self._layout = self._placed.scrolled(self.scroll_y)
        self.update()

    @property
    def _minimap_px(self) -> int:
        """Height for the minimap, with the strip of exposed loading time as soon as there is something to tell."""
        if self._part is not None:
            return 0
        return MINIMAP_PX + (EXPOSED_PX if self.scene is not None and self.scene.tells_exposed else 0)

    def _place_rows(self) -> None:
        rows = self.scene.rows if self.scene else ()
        if self._part:
            rows = tuple(row for row in rows if row.kind in PART_KINDS)
        self._arranged = arrange(rows, self._arrangement, self._idle)
        title_px = self.fontMetrics().horizontalAdvance(self.scene.title) + 14 if self.scene and self.scene.title else 0
        self._placed = place_rows(
            self._arranged.rows,
            self.width(),
            self.height(),
            pinned=self._arranged.pinned_count,
            heights=self._arranged.heights,
            dense=self._part is not None,
            minimap_px=self._minimap_px,
            axis_px=AXIS_PX if self._part is None or self._part.has_axis or self._has_flags else 0,
            notice_px=self._notices.show_notices(self._arranged, 10 + title_px),
            can_collapse=True,
        )
        header = self._placed.header_height
        self._scroll_bar.setGeometry(self.width() - RIGHT_PX, header, RIGHT_PX, max(self.height() - header, 0))
        self._scroll_bar.setPageStep(max(self.height() - header, 1))
        self._scroll_bar.setRange(0, self._placed.scroll_range)
        self._scroll_bar.setVisible(self._placed.scroll_range > 0)
        self._layout = self._placed.scrolled(self.scroll_y)
