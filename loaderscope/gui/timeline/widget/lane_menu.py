"""How the user arranges lanes: the menu of a label, dragging a label or its lower edge, and the chevron."""

from __future__ import annotations

import dataclasses
import functools

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QMenu, QWidget

from loaderscope.facts.lanes import GROUP_KEYS, plot_of
from loaderscope.gui.style.theme import current_palette
from loaderscope.gui.timeline.data.arrangement import HEIGHT_STEP, Arrangement, height_key, lanes_of_kind
from loaderscope.gui.timeline.data.row_layout import PlacedRow
from loaderscope.gui.timeline.data.scene import Row
from loaderscope.gui.timeline.paint.canvas import colour
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget

_EDGE_PX = 4
"""The mouse catches the lower edge of a label up to this far above it."""

_CHEVRON_PX = 11
_CLICK_PX = 4


@dataclasses.dataclass
class _Drag:
    row: PlacedRow
    from_y: float
    is_edge: bool
    before: Arrangement
    moved: bool = False


class _DropLine(QWidget):
    """A line at the place where a dragged label would go."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def paintEvent(self, _event: object) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), colour(current_palette().accent))
        painter.end()


class LaneHandling(QObject):
    """Handles mouse events in the label column of a timeline; the timeline itself handles all others."""

    def __init__(self, timeline: TimelineWidget) -> None:
        super().__init__(timeline)
        self._timeline = timeline
        self._drag: _Drag | None = None
        self._line = _DropLine(timeline)
        timeline.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.ContextMenu and isinstance(event, QContextMenuEvent):
            return self._context_menu(event)
        if not isinstance(event, QMouseEvent):
            return False
        if kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick):
            return self._press(event)
        if kind == QEvent.Type.MouseMove:
            return self._move(event)
        if kind == QEvent.Type.MouseButtonRelease and self._drag is not None:
            self._release(event)
            return True
        return False

    # the lane that commands act on

    @property
    def lane(self) -> Row | None:
        """The row of the selected span, else the one under the crosshair."""
        timeline = self._timeline
        rows = timeline.arranged.rows
        span = timeline.selected
        if span is not None:
            folded = (row for row in rows if row.is_folded and row.loader == span.loader)
            return next((row for row in rows if span.lane in row.lanes), next(folded, None))
        placed = timeline.lane_layout.row_at(timeline.pointer.y, timeline.scroll_y) if timeline.pointer is not None else None
        return placed.row if placed is not None else None

    def pin(self) -> None:
        """Pins that lane to the top, or lets it scroll again."""
        if (row := self.lane) is not None:
            self._pin(row)

    def hide(self) -> None:
        """Hides that lane."""
        if (row := self.lane) is not None:
            self._hide([row])

    def fold(self) -> None:
        """Folds the loader of that lane into its title, or unfolds it."""
        if (title := self.title_of(self.lane)) is not None:
            self._timeline.fold_loader(title)

    def title_of(self, row: Row | None) -> Row | None:
        """Returns the title of the loader to which a row belongs, if the timeline shows several."""
        rows = self._timeline.arranged.rows
        return next(
            (other for other in rows if row is not None and row.loader and other.kind == "title" and other.loader == row.loader), None
        )

    def taller(self) -> None:
        """Makes that lane taller."""
        self._scale(self.lane, HEIGHT_STEP)

    def shorter(self) -> None:
        """Makes that lane shorter."""
        self._scale(self.lane, 1 / HEIGHT_STEP)

    def open_menu(self) -> None:
        """Opens the menu of that lane, beside its label."""
        row = self.lane
        placed = self._placed_row(row)
        y = placed.y + placed.height - self._timeline.scroll_y if placed is not None else 0
        place = QPoint(self._timeline.lane_layout.label_width // 2, self._timeline.lane_layout.header_height + y)
        self.menu(row).popup(self._timeline.mapToGlobal(place))

    def menu(self, row: Row | None) -> QMenu:
        """Returns a menu with the actions for a row and for all rows; it deletes itself."""
        timeline, arrangement = self._timeline, self._timeline.arrangement
        menu = QMenu(timeline)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        if row is not None:
            menu.addAction(row.label).setEnabled(False)
            menu.addSeparator()
            menu.addAction("Unpin" if row.key in arrangement.pinned else "Pin to top", lambda: self._pin(row))
            menu.addAction("Hide", lambda: self._hide([row]))
            others = [
                other
                for other in lanes_of_kind(timeline.arranged.rows, row.lane_kind)
                if other.key != row.key and other.loader == row.loader
            ]
            if row.kind == "lane" and others:
                menu.addAction(
                    f"Hide the other {row.lane_kind}s" if row.lane_kind in GROUP_KEYS else "Hide the others of this kind",
                    lambda: self._hide(others),
                )
            menu.addSeparator()
            menu.addAction("Taller", lambda: self._scale(row, HEIGHT_STEP))
            menu.addAction("Shorter", lambda: self._scale(row, 1 / HEIGHT_STEP))
            reset = menu.addAction("Reset height", lambda: timeline.rearrange(timeline.arrangement.with_height(row, None)))
            reset.setEnabled(height_key(row) in arrangement.heights)
            menu.addSeparator()
        title = self.title_of(row)
        if title is not None:
            menu.addAction(f"{'Unfold' if title.is_folded else 'Fold'} the loader {title.label}", lambda: timeline.fold_loader(title))
        workers = lanes_of_kind(timeline.scene.rows, "worker") if timeline.scene is not None else []
        if len(workers) > 1:
            text = "Expand the workers" if "worker" in arrangement.collapsed else "Collapse the workers into one row"
            menu.addAction(text, timeline.collapse_workers)
        if (extra := self.plots_menu(menu)) is not None:
            menu.addMenu(extra)
        count = len(timeline.arranged.hidden)
        menu.addAction(f"Show hidden lanes ({count})", timeline.show_hidden_lanes).setEnabled(count > 0)
        menu.addAction("Reset all lanes", timeline.reset_lanes)
        return menu

    def plots_menu(self, parent: QWidget) -> QMenu | None:
        """Returns a menu that switches optional plots on and off; None if the trial has none."""
        scene, arrangement = self._timeline.scene, self._timeline.arrangement
        rows = [row for row in scene.rows if row.is_optional or row.key in arrangement.extra] if scene is not None else []
        if not rows:
            return None
        menu = QMenu("More plots", parent)
        menu.setToolTipsVisible(True)
        for row in rows:
            action = menu.addAction(row.label, functools.partial(self._show_extra, row))
            action.setCheckable(True)
            action.setChecked(row.key in arrangement.extra)
            action.setToolTip(plot_of(row.key).tip or row.label)
        return menu

    def open_plots_menu(self) -> None:
        """Opens the menu of optional plots."""
        menu = self.plots_menu(self._timeline)
        if menu is not None:
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            layout = self._timeline.lane_layout
            menu.popup(self._timeline.mapToGlobal(QPoint(layout.label_width // 2, layout.header_height)))

    # inside

    def _show_extra(self, row: Row) -> None:
        arrangement = self._timeline.arrangement
        self._timeline.rearrange(arrangement.show_extra(row.key, row.key not in arrangement.extra))

    def _pin(self, row: Row) -> None:
        arrangement = self._timeline.arrangement
        self._timeline.rearrange(arrangement.pin(row.key, row.key not in arrangement.pinned))

    def _hide(self, rows: list[Row]) -> None:
        self._timeline.rearrange(self._timeline.arrangement.hide(row.key for row in rows))

    def _scale(self, row: Row | None, factor: float) -> None:
        placed = self._placed_row(row)
        if placed is not None:
            self._timeline.rearrange(self._timeline.arrangement.with_height(placed.row, placed.height * factor))

    def _placed_row(self, row: Row | None) -> PlacedRow | None:
        return next((placed for placed in self._timeline.lane_layout.rows if row is not None and placed.row.key == row.key), None)

    def _label_at(self, x: float, y: float) -> PlacedRow | None:
        layout = self._timeline.lane_layout
        return layout.row_at(y, self._timeline.scroll_y) if x < layout.label_width else None

    def _bottom(self, placed: PlacedRow) -> float:
        """Returns y of the lower edge of a row in the widget."""
        return self._timeline.lane_layout.header_height - self._timeline.scroll_y + placed.y + placed.height

    def _context_menu(self, event: QContextMenuEvent) -> bool:
        if event.reason() == QContextMenuEvent.Reason.Keyboard:
            self.open_menu()
            return True
        placed = self._label_at(event.x(), event.y())
        if placed is None:
            return False
        self.menu(placed.row).popup(event.globalPos())
        return True

    def _press(self, event: QMouseEvent) -> bool:
        x, y = event.position().x(), event.position().y()
        placed = self._label_at(x, y) if event.button() == Qt.MouseButton.LeftButton else None
        if placed is None:
            return False
        if placed.row.kind == "title" and placed.chevron:
            self._timeline.fold_loader(placed.row)
        elif placed.chevron and x < _CHEVRON_PX:
            self._timeline.collapse_workers()
        else:
            self._drag = _Drag(placed, y, self._bottom(placed) - y <= _EDGE_PX, self._timeline.arrangement)
        return True

    def _move(self, event: QMouseEvent) -> bool:
        x, y = event.position().x(), event.position().y()
        timeline, drag = self._timeline, self._drag
        if drag is None:
            placed = self._label_at(x, y) if not event.buttons() else None
            if placed is not None:
                timeline.hover(x, y)
                self._show_cursor(placed, x, y)
            return placed is not None
        drag.moved = drag.moved or abs(y - drag.from_y) > _CLICK_PX
        if drag.is_edge:
            if drag.moved:
                height = drag.row.height + y - drag.from_y
                timeline.set_arrangement(timeline.arrangement.with_height(drag.row.row, height))
        elif drag.moved:
            timeline.setCursor(Qt.CursorShape.ClosedHandCursor)
            target = self._drop_target(y)
            layout = timeline.lane_layout
            line_y = layout.header_height - timeline.scroll_y + (target.y if target is not None else layout.content_height - 4)
            self._line.setGeometry(2, round(line_y) - 1, timeline.width() - 14, 2)
            self._line.show()
        return True

    def _release(self, event: QMouseEvent) -> None:
        drag, self._drag = self._drag, None
        self._line.hide()
        self._timeline.unsetCursor()
        if drag is None or not drag.moved or self._timeline.scene is None:
            return
        if drag.is_edge:
            self._timeline.remember(drag.before)
            return
        target = self._drop_target(event.position().y())
        key = drag.row.row.key
        if target is None or target.row.key != key:
            rows = self._timeline.scene.rows
            self._timeline.rearrange(self._timeline.arrangement.move(rows, key, target.row.key if target is not None else None))

    def _drop_target(self, y: float) -> PlacedRow | None:
        """Returns the row before which a label dropped at a height would go; None for the end."""
        layout = self._timeline.lane_layout
        below = y - layout.header_height + self._timeline.scroll_y
        return next((placed for placed in layout.rows if below < placed.y + placed.height / 2), None)

    def _show_cursor(self, placed: PlacedRow, x: float, y: float) -> None:
        if placed.chevron and (x < _CHEVRON_PX or placed.row.kind == "title"):
            self._timeline.setCursor(Qt.CursorShape.PointingHandCursor)
        elif self._bottom(placed) - y <= _EDGE_PX:
            self._timeline.setCursor(Qt.CursorShape.SizeVerCursor)
        else:
            self._timeline.setCursor(Qt.CursorShape.OpenHandCursor)
