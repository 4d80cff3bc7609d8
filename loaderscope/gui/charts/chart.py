"""The widget around a chart's paint function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from loaderscope.gui.charts.drawing import Hit, small_font
from loaderscope.gui.style.palette import Palette
from loaderscope.gui.style.theme import current_palette

Data = TypeVar("Data")
Paint: TypeAlias = Callable[[QPainter, QRectF, Data, Palette], list[Hit]]


class Chart(QWidget, Generic[Data]):
    """Shows data with one paint function, which the report uses as well. Repaints only when the data differs."""

    trialChosen = Signal(int)

    def __init__(self, paint: Paint[Data], data: Data, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paint = paint
        self._data = data
        self._hits: list[Hit] = []
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setMinimumSize(QSize(160, 110))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # so that it can be copied and exported by keys

    @property
    def painted_by(self) -> Paint[Data]:
        """The paint function."""
        return self._paint

    @property
    def data(self) -> Data:
        return self._data

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see but a text that says what will be."""
        image = QImage(self.sizeHint(), QImage.Format.Format_RGB32)
        painter = QPainter(image)
        hits = paint_chart(painter, QRectF(image.rect()), self._paint, self._data, current_palette())
        painter.end()
        return not hits

    def set_data(self, data: Data) -> None:
        if data != self._data:
            self._data = data
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(380, 250)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        self._hits = paint_chart(painter, QRectF(self.rect()), self._paint, self._data, current_palette())
        if self.hasFocus():
            painter.setPen(QPen(QColor(current_palette().accent), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))

    def _hit(self, event: QMouseEvent | QHelpEvent) -> Hit | None:
        position = event.position() if isinstance(event, QMouseEvent) else event.pos().toPointF()
        return next((hit for hit in reversed(self._hits) if hit.area.contains(position)), None)

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            hit = self._hit(event)
            QToolTip.showText(event.globalPos(), hit.text if hit else "", self)
            return True
        return super().event(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        hit = self._hit(event)
        self.setCursor(Qt.CursorShape.PointingHandCursor if hit and hit.trial is not None else Qt.CursorShape.ArrowCursor)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        hit = self._hit(event)
        if hit is not None and hit.trial is not None and event.button() == Qt.MouseButton.LeftButton:
            self.trialChosen.emit(hit.trial)


def paint_chart(painter: QPainter, area: QRectF, paint: Paint[Data], data: Data, palette: Palette) -> list[Hit]:
    """Background, antialiasing and small text around a paint function; for screen and report."""
    painter.fillRect(area, QColor(palette.base))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(small_font(painter))
    return paint(painter, area.adjusted(8, 8, -10, -6), data, palette)
