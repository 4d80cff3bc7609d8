"""The search bar of the timeline."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent, QPalette
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton

from loaderscope.facts.run import Mark
from loaderscope.facts.text import grouped_text
from loaderscope.gui.style.theme import set_variant
from loaderscope.gui.timeline.data.scene import Row
from loaderscope.gui.timeline.data.search_query import HELP, SearchError, SearchQuery, parse
from loaderscope.gui.timeline.data.span_search import AFTER_ALL, BEFORE_ALL, Hit, Search
from loaderscope.gui.timeline.widget.mark_editing import MarkEditing
from loaderscope.gui.timeline.widget.navigable_timeline import NavigableTimeline

_SLICE_S = 0.008
"""Duration of one slice of a search, which blocks the window: less than a frame."""

_FIELD_PX = 230
_MOST_PX = 920


class SearchBar(QFrame):
    """A field for a query, the number of hits, and buttons for the next and previous one. Searches in slices, between events of the window.

    Attributes:
        search: the current search; None for none.
    """

    def __init__(self, widget: NavigableTimeline, marking: MarkEditing) -> None:
        super().__init__(widget)
        self._widget = widget
        self._marking = marking
        self.search: Search | None = None
        self._hit: Hit | None = None
        self._jump = False  # go to the first hit once the search is done
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        self.setProperty("card", True)
        self.field = QLineEdit()
        self.field.setPlaceholderText("fetch >50 ms, batch 12, sample 345 …")
        self.field.setToolTip(HELP)
        self.field.setAccessibleName("Search in the timeline")
        self.field.setFixedWidth(_FIELD_PX)
        self.field.setClearButtonEnabled(True)
        self.field.textChanged.connect(self._start_search)
        self.note = QLabel()
        self.note.setAccessibleName("What the search found")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        self.note.setProperty("role", "muted")
        self._previous = self._button("‹", "Previous (Shift+Enter, Shift+F3)", self.previous_hit)
        self._next = self._button("›", "Next (Enter, F3)", self.next_hit)
        close = self._button("×", "Close the search (Esc)", self.close_bar)
        self._row = layout = QHBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.setSpacing(6)
        for part in (self.field, self.note, self._previous, self._next, close):
            layout.addWidget(part)
        self._slice = QTimer(self, interval=0)
        self._slice.timeout.connect(self._search_slice)
        self.hide()

    def open(self) -> None:
        """Shows the bar with its text selected."""
        self._update_note()
        self.show()
        self.raise_()
        self.field.setFocus()
        self.field.selectAll()

    def close_bar(self) -> None:
        """Hides the bar and drops the search."""
        self._slice.stop()
        self.search = self._hit = None
        self.hide()
        self._widget.setFocus()
        self._widget.update()

    def next_hit(self) -> None:
        self._step(1)

    def previous_hit(self) -> None:
        self._step(-1)

    def scene_changed(self) -> None:
        """Searches for the same in another trial."""
        self.search = self._hit = None
        if self.isVisible():
            self._start_search(self.field.text(), jump=False)

    def scene_grew(self) -> None:
        """Goes on with the search in new data."""
        if self.search is not None and self.isVisible():
            self._slice.start()

    def marks_changed(self) -> None:
        """Searches in the changed marks."""
        if self.search is not None:
            self.search.set_marks(self._marking.marks)
            self._update_note()

    def place(self) -> None:
        """Puts the bar at the upper right of the timeline, over its heading."""
        limit = min(self._widget.width() - 24, _MOST_PX)
        # a sentence takes all the room, so that it has few lines
        room = max(limit - _FIELD_PX - 150, 60)
        self.note.setMinimumWidth(min(self.note.fontMetrics().horizontalAdvance(self.note.text()) + 4, room))
        self.note.setMaximumWidth(room)
        wide = min(self.sizeHint().width(), limit)
        height = max(self.sizeHint().height(), self._row.heightForWidth(wide))
        self.setGeometry(self._widget.width() - wide - 14, 4, wide, height)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_F3):
            self._step(-1 if shift else 1)
        elif event.key() == Qt.Key.Key_Escape:
            self.close_bar()
        event.accept()  # keys that the bar does not use must not reach the timeline

    def _button(self, text: str, tip: str, action: typing.Callable[[], None]) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setAccessibleName(tip.partition(" (")[0])
        button.clicked.connect(action)
        return button

    def _start_search(self, text: str, jump: bool = True) -> None:
        """Starts a search for the typed text."""
        self._slice.stop()
        self.search = self._hit = None
        scene, problem = self._widget.scene, ""
        if scene is not None and text.strip():
            marks = self._marking.marks
            lanes = {row.label: row.lanes[0] for row in scene.rows if row.kind == "lane"}
            try:
                query = parse(text, lanes, scene.trace.names, [mark.text for mark in marks])
                self.search = Search(scene, _in_all_loaders(query, scene.rows), marks)
            except SearchError as error:
                problem = str(error)
        self._jump = jump
        if self.search is not None:
            self._slice.start()
        self._update_note(problem)
        self._widget.update()

    def _search_slice(self) -> None:
        if self.search is None:
            self._slice.stop()
            return
        before = self.search.count
        done = self.search.advance(_SLICE_S)
        if done:
            self._slice.stop()
            if self._jump:
                self._jump = False
                self._go_to(self.search.next_hit((self._widget.visible_range_ns()[0], -2, 0)) or self.search.next_hit(BEFORE_ALL))
            self._widget.update()
        if done or self.search.count != before:
            self._update_note()

    def _step(self, step: int) -> None:
        if self.search is None:
            self.open()
            return
        low, high = self._widget.visible_range_ns()
        move = self.search.next_hit if step > 0 else self.search.previous_hit
        place = self.search.position_of(self._hit) if self._hit is not None else (low if step > 0 else high, -2, 0)
        # after the last hit comes the first one
        self._go_to(move(place) or move(BEFORE_ALL if step > 0 else AFTER_ALL))

    def _go_to(self, hit: Hit | None) -> None:
        self._hit = hit
        if isinstance(hit, Mark):
            self._marking.go_to(hit)
        elif hit is not None:
            self._widget.go_to(hit)
        self._update_note()

    def _update_note(self, problem: str = "") -> None:
        count = self.search.count if self.search is not None else 0
        finds_nothing = self.search is not None and not count and not self._slice.isActive()
        if problem:
            text = problem
        elif self.search is None:
            text = ""
        elif not count:
            text = "nothing found" if finds_nothing else "searching …"
        else:
            place = f"{grouped_text(self.search.rank(self._hit) + 1)} of " if self._hit is not None else ""
            text = place + grouped_text(count) + (" …" if self._slice.isActive() else "")
        self.note.setText(text)
        set_variant(self.note, "role", "warning" if problem or finds_nothing else "muted")
        for button in (self._previous, self._next):
            button.setEnabled(count > 0)
        if self.isVisible() or not self.note.text():
            self.place()


def _in_all_loaders(query: SearchQuery, rows: Sequence[Row]) -> SearchQuery:
    """Returns a query for the lanes of all loaders that are called like the lanes of a query."""
    if query.lanes is None:
        return query
    labels = {row.label for row in rows if query.lanes.intersection(row.lanes)}
    return dataclasses.replace(query, lanes=frozenset(row.lanes[0] for row in rows if row.kind == "lane" and row.label in labels))
