"""Labels of panels: small headings, and one that may be narrower than its text."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel

_LEAST_PX = 40


def heading(text: str) -> QLabel:
    """A small spaced heading in capitals."""
    label = QLabel(text.upper())
    label.setAccessibleName(text)
    label.setProperty("role", "heading")
    return label


class ElidedLabel(QLabel):
    """Shortens its plain text with an ellipsis where it has no room for all of it."""

    def minimumSizeHint(self) -> QSize:
        return QSize(_LEAST_PX, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)
        painter.end()
