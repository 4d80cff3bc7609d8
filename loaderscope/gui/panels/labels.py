"""Labels of panels: small headings, and labels that cut their text with an ellipsis after one line or several."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

_LEAST_WIDTH_PX = 40
FEW_LINES, MANY_LINES = 1, 4


def heading(text: str) -> QLabel:
    """Returns a small spaced heading in capitals."""
    label = QLabel()
    label.setProperty("role", "heading")
    set_heading(label, text)
    return label


def set_heading(label: QLabel, text: str) -> None:
    """Writes another text on a heading."""
    label.setText(text.upper())
    label.setAccessibleName(text)


class ElidedLabel(QLabel):
    """Cuts its plain text with an ellipsis where the label is narrower than the text."""

    def minimumSizeHint(self) -> QSize:
        return QSize(_LEAST_WIDTH_PX, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)
        painter.end()


class ElidedParagraph(QLabel):
    """Wraps its text and cuts it with an ellipsis after a number of lines; the tool tip has the whole text."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._full_text = ""
        self._lines = FEW_LINES
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def full_text(self) -> str:
        """The text, not cut."""
        return self._full_text

    def set_full_text(self, text: str) -> None:
        """Shows a text; hides the label if it is empty."""
        self._full_text = text
        self.setToolTip(text)
        self.setVisible(bool(text))
        self._fit()

    def set_lines(self, lines: int) -> None:
        """Cuts the text after this many lines."""
        if lines != self._lines:
            self._lines = lines
            self._fit()

    def _fit(self) -> None:
        words = self._full_text.split(" ")
        count = len(words)
        while count > 1 and self._height_of(_first_words(words, count)) > self._lines * self.fontMetrics().lineSpacing() + 1:
            count -= 1
        self.setText(_first_words(words, count))
        self.updateGeometry()

    def _height_of(self, text: str) -> int:
        available = QRect(0, 0, max(self.width() - 2, _LEAST_WIDTH_PX), 10_000)
        return self.fontMetrics().boundingRect(available, int(Qt.TextFlag.TextWordWrap), text).height()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._fit()

    def sizeHint(self) -> QSize:
        return QSize(200, self._height_of(self.text()) + 2)

    def minimumSizeHint(self) -> QSize:
        return QSize(_LEAST_WIDTH_PX, self.sizeHint().height())


def _first_words(words: list[str], count: int) -> str:
    return " ".join(words[:count]) + (" …" if count < len(words) else "")
