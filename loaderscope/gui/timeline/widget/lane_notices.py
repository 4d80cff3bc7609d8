"""What the timeline tells about its lanes in the title's strip: which are hidden, and that many could be one row."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPushButton, QWidget

from loaderscope.gui.timeline.data.arrangement import MANY_WORKERS, Arranged, members
from loaderscope.gui.timeline.data.row_layout import TITLE_PX

_GAP_PX = 6


class LaneNotices(QWidget):
    """One or two small buttons. `showRequested`: show what is hidden; `collapseRequested`: show the workers as one row."""

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

    def tell(self, arranged: Arranged, x: int) -> int:
        """Says what there is to say, from a place to the right; returns the width that it takes."""
        workers = len(members((*arranged.rows, *arranged.hidden), "worker"))
        self.hidden.setText(f"{arranged.hidden_words} · show" if arranged.hidden else "")
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
