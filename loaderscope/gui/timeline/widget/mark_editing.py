"""How the user sets, edits, removes and visits the marks of a trial."""

from __future__ import annotations

import typing

from PySide6.QtCore import QObject, QPoint, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QLineEdit, QMenu

from loaderscope.facts.run import Mark
from loaderscope.facts.text import duration_ns_text
from loaderscope.gui.timeline.paint.annotations import flags
from loaderscope.gui.timeline.widget.navigable_timeline import NavigableTimeline

_NEAR_PX = 6.0
"""A mark counts as at the crosshair up to this distance."""

_FIELD_PX = 190


class MarkEditing(QObject):
    """The marks of the trial in the timeline, in order of time. The owner stores them, and calls `show` for another trial.

    Signals:
        changed: the user changed `marks`.
        replaced: `marks` are others than before, for any reason.
    """

    changed = Signal()
    replaced = Signal()

    def __init__(self, widget: NavigableTimeline) -> None:
        super().__init__(widget)
        self._widget = widget
        self.marks: tuple[Mark, ...] = ()
        self.current: Mark | None = None  # the mark that the user set or went to last
        self._field = _TextField(widget)
        self._field.done.connect(self._set_text)

    def show(self, marks: typing.Iterable[Mark]) -> None:
        """Shows the marks of another trial. The user cannot undo changes of the earlier marks any more."""
        self._field.hide()
        self._widget.steps.forget(self)
        self.current = None
        self._set(tuple(marks))

    def put(self) -> None:
        """Sets a mark at the crosshair; without a crosshair in the middle of the view."""
        time_ns = self._time_of_new_mark()
        if time_ns is not None:
            self._change(Mark(time_ns, ""), None)

    def write(self) -> None:
        """Asks for the text of the mark at the crosshair; first sets a mark if there is none."""
        mark = self.at_crosshair()
        if mark is None:
            self.put()
            mark = self.current
        if mark is not None:
            self.edit(mark)

    def edit(self, mark: Mark) -> None:
        """Asks for the text of a mark."""
        self._field.ask(mark, self._widget.x_of(mark.time_ns), self._widget.lane_layout.header_height)

    def remove(self) -> None:
        """Removes the current mark; without one, the mark at the crosshair."""
        mark = self.current if self.current in self.marks else self.at_crosshair()
        if mark is not None:
            self._change(None, mark)

    def go_to(self, mark: Mark) -> None:
        """Brings a mark into view and makes it the current one."""
        self.current = mark
        self._widget.show_moment(mark.time_ns)
        self._widget.setAccessibleDescription(f"mark {mark.text or self._time_text(mark)}".strip())
        self._widget.update()

    def next_mark(self) -> None:
        self._step(1)

    def previous_mark(self) -> None:
        self._step(-1)

    def at(self, x: float, y: float) -> Mark | None:
        """Returns the mark whose flag is at a place of the timeline."""
        layout = self._widget.lane_layout
        if not self.marks or not layout.axis_y <= y < layout.header_height:
            return None
        with self._widget.canvas() as canvas:
            return next((flag.mark for flag in flags(canvas, self.marks) if flag.box.contains(x, y)), None)

    def menu(self, place: QPoint) -> QMenu:
        """Returns the menu for a place of the timeline."""
        menu = QMenu(self._widget)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        mark = self.at(place.x(), place.y())
        if mark is not None:
            self.current = mark
            menu.addAction("Change its text", lambda: self.edit(mark))
            menu.addAction("Remove the mark", self.remove)
        else:
            menu.addAction("Set a mark here", self.put)
            menu.addAction("Set a mark with a text", self.write)
        if self._widget.actions():
            menu.addSeparator()
            menu.addActions(self._widget.actions())
        return menu

    def at_crosshair(self) -> Mark | None:
        """Returns the mark at the crosshair; without a crosshair, the current mark."""
        pointer = self._widget.pointer
        if pointer is None:
            return self.current if self.current in self.marks else None
        near = [(abs(self._widget.x_of(mark.time_ns) - pointer.x), mark) for mark in self.marks]
        distance, mark = min(near, default=(_NEAR_PX + 1, None))
        return mark if distance <= _NEAR_PX else None

    def _step(self, step: int) -> None:
        """Goes to the mark after (1) or before (-1) the current one; without one, after or before the middle of the view."""
        if not self.marks:
            return
        if self.current in self.marks:
            at = self.marks.index(self.current) + step
        else:
            low, high = self._widget.visible_range_ns()
            before = sum(mark.time_ns <= (low + high) // 2 for mark in self.marks)
            at = before if step > 0 else before - 1
        if 0 <= at < len(self.marks):
            self.go_to(self.marks[at])

    def _time_of_new_mark(self) -> int | None:
        """Returns the time at the crosshair or in the middle of the view, limited to the trial."""
        scene = self._widget.scene
        if scene is None or scene.is_empty:
            return None
        return scene.origin_ns + round(min(max(self._widget.anchor(), 0.0), scene.total_ns))

    def _time_text(self, mark: Mark) -> str:
        scene = self._widget.scene
        return f"at {duration_ns_text(mark.time_ns - scene.origin_ns)}" if scene is not None else ""

    def _set_text(self, mark: Mark, text: str) -> None:
        self._widget.setFocus()
        if mark in self.marks and text != mark.text:
            self._change(mark._replace(text=text), mark)

    def _change(self, added: Mark | None, removed: Mark | None) -> None:
        before, marks = self.marks, set(self.marks) - {removed} | {added}
        self._widget.steps.add(self, lambda: self._change_to(before, None))
        self._change_to(tuple(sorted(mark for mark in marks if mark is not None)), added)

    def _change_to(self, marks: tuple[Mark, ...], current: Mark | None) -> None:
        self.current = current
        self._set(marks)
        self.changed.emit()

    def _set(self, marks: tuple[Mark, ...]) -> None:
        self.marks = marks
        self._widget.make_room_for_flags(bool(marks))
        self.replaced.emit()
        self._widget.update()


class _TextField(QLineEdit):
    """A field for the text of a mark, at its flag. Enter or leaving the field keeps the text, Esc drops it."""

    done = Signal(object, str)

    def __init__(self, parent: NavigableTimeline) -> None:
        super().__init__(parent)
        self._timeline = parent
        self.hide()
        self.setAccessibleName("Text of the mark")
        self.setPlaceholderText("what happens here")
        self.setToolTip("Enter keeps the text, Esc leaves it as it was")
        self.setMaxLength(200)
        self._mark: Mark | None = None
        self.returnPressed.connect(self._finish)

    def ask(self, mark: Mark, x: float, y: float) -> None:
        """Asks for a mark's text at a place of the timeline."""
        self._mark = mark
        self.setText(mark.text)
        self.selectAll()
        self.resize(_FIELD_PX, self.sizeHint().height())
        room = self._timeline.width() - self.width() - 4
        self.move(round(min(max(x, 4.0), room)), round(y))
        self.show()
        self.setFocus()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self._mark = None
            self.hide()
            self._timeline.setFocus()
        else:
            super().keyPressEvent(event)
            event.accept()  # a key that the field does not use must not reach the timeline

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self._finish()

    def _finish(self) -> None:
        mark, self._mark = self._mark, None
        self.hide()
        if mark is not None:
            self.done.emit(mark, self.text().strip())
