"""Buttons beside the title of the timeline: one shows hidden lanes again, one shows many workers as one row."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QWidget

from loaderscope.gui.timeline.data.arrangement import MANY_WORKERS, Arranged, lanes_of_kind
from loaderscope.gui.timeline.data.row_layout import TITLE_PX

_GAP_PX = 6


class LaneNotices(QWidget):
    """Up to two small buttons.

    Signals:
        showRequested: the user wants to see the hidden lanes.
        collapseRequested: the user wants to see the workers as one row.
    """

    showRequested = Signal()
    collapseRequested = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.hidden = self._button("Show the hidden lanes again")
        self.hidden.clicked.connect(self.showRequested)
        self.many = self._button("Show all workers as one row: which share of them is in each state")
        self.many.clicked.connect(self.collapseRequested)
        self.hide()

    def _button(self, tip: str) -> QPushButton:
        button = QPushButton(self)
        button.setProperty("chip", True)
        button.setToolTip(tip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.hide()
        return button

    def show_notices(self, arranged: Arranged, x: int) -> int:
        """Shows the buttons that these rows need, from `x` to the right; returns their width."""
        workers = len(lanes_of_kind((*arranged.rows, *arranged.hidden), "worker"))
        self.hidden.setText(f"{arranged.hidden_text} · show" if arranged.hidden else "")
        self.many.setText(f"{workers} workers · show as one row" if workers > MANY_WORKERS else "")
        at = 0
        for button in (self.hidden, self.many):
            button.setVisible(bool(button.text()))
            if button.text():
                size = button.sizeHint()
                tall = min(size.height(), TITLE_PX - 4)
                button.setGeometry(at, (TITLE_PX - tall) // 2, size.width(), tall)
                at += size.width() + _GAP_PX
        self.setGeometry(x, 0, at, TITLE_PX)
        self.setVisible(at > 0)
        return at
