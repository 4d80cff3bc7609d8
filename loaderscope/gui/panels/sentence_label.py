"""A sentence over a chart: as many lines as there is room for."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

FEW_LINES, MANY_LINES = 1, 4


class Sentence(QLabel):
    """Wraps its text and cuts it with an ellipsis after some lines; the tool tip has all of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = ""
        self._lines = FEW_LINES
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def whole(self) -> str:
        """The text without an ellipsis."""
        return self._whole

    def tell(self, text: str) -> None:
        """Shows a text, or nothing."""
        self._whole = text
        self.setToolTip(text)
        self.setVisible(bool(text))
        self._fit()

    def set_lines(self, lines: int) -> None:
        """How many lines there may be."""
        if lines != self._lines:
            self._lines = lines
            self._fit()

    def _fit(self) -> None:
        words = self._whole.split(" ")
        count = len(words)
        while count > 1 and self._height_of(_beginning(words, count)) > self._lines * self.fontMetrics().lineSpacing() + 1:
            count -= 1
        self.setText(_beginning(words, count))
        self.updateGeometry()

    def _height_of(self, text: str) -> int:
        room = QRect(0, 0, max(self.width() - 2, 40), 10_000)
        return self.fontMetrics().boundingRect(room, int(Qt.TextFlag.TextWordWrap), text).height()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._fit()

    def sizeHint(self) -> QSize:
        return QSize(200, self._height_of(self.text()) + 2)

    def minimumSizeHint(self) -> QSize:
        return QSize(40, self.sizeHint().height())


def _beginning(words: list[str], count: int) -> str:
    return " ".join(words[:count]) + (" …" if count < len(words) else "")
