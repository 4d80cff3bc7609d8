"""The widget that shows a chart: zoomed, panned and read off by mouse and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic

from PySide6.QtCore import QEvent, QObject, QPointF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QColor,
    QCursor,
    QFont,
    QFontInfo,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QLabel, QScrollArea, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from loaderscope.gui.charts.chart_figure import CHART_SIZE, chart_figure
from loaderscope.gui.charts.chart_kind import ChartKind, Data
from loaderscope.gui.charts.plot_parts import PlotState
from loaderscope.gui.style.figures import Figure
from loaderscope.gui.style.theme import current_palette

if TYPE_CHECKING:
    from loaderscope.gui.charts.plot import Plot

SMALL_FONT = 0.9
"""The font of charts is so much smaller than the window's."""

_REDRAWN_AFTER = (QEvent.Type.PaletteChange, QEvent.Type.FontChange)
_ZOOM_STEP, _PAN_SHARE = 0.8, 0.1
_PANS = {
    Qt.Key.Key_Left: (-_PAN_SHARE, 0.0),
    Qt.Key.Key_Right: (_PAN_SHARE, 0.0),
    Qt.Key.Key_Up: (0.0, _PAN_SHARE),
    Qt.Key.Key_Down: (0.0, -_PAN_SHARE),
}
_ZOOMS = {
    Qt.Key.Key_Plus: _ZOOM_STEP,
    Qt.Key.Key_Equal: _ZOOM_STEP,
    Qt.Key.Key_Minus: 1 / _ZOOM_STEP,
}


CONTROLS = (
    ("wheel, + and −", "zoom; over a chart that scrolls, Ctrl and wheel"),
    ("drag, arrow keys", "move"),
    ("double click, 0", "show all of the chart"),
    ("L", "logarithmic axis, where it makes sense"),
    ("click on a point or bar", "show the timeline of its trial"),
    ("click in the legend", "hide or show what it names"),
)
"""What the user can do with a chart, for the help page."""


class Chart(QWidget):
    """Something that can be looked at by itself, and exported as a figure.

    Signals:
        trialChosen: number of the trial whose point or bar was clicked.
    """

    trialChosen = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setMinimumSize(QSize(160, 110))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # so that it can be copied and exported by keys

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see but a text that says what will be."""
        raise NotImplementedError

    def figure(self, caption: str) -> Figure:
        """What is shown now as a figure, in the colours of print."""
        raise NotImplementedError

    def sizeHint(self) -> QSize:
        return QSize(380, 250)

    @property
    def _figure_size(self) -> tuple[int, int]:
        return CHART_SIZE[0], max(CHART_SIZE[1], self.minimumHeight())  # as high as its rows need


def small_font(widget: QWidget) -> QFont:
    """The font of a chart, a little smaller than its widget's."""
    font = QFont(widget.font())
    font.setPixelSize(max(8, round(QFontInfo(font).pixelSize() * SMALL_FONT)))
    return font


class PlotChart(Chart, Generic[Data]):
    """Shows data as one kind of chart, or says what will be here."""

    def __init__(self, kind: ChartKind[Data], data: Data, name: str, parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self.kind = kind
        self._data = data
        self._state = PlotState()
        self._is_stale = True
        self.plot: Plot | None = None
        """What is drawn; None while there is nothing to draw, or before the chart is shown."""
        self._empty = QLabel()
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setProperty("role", "muted")
        self._empty.setContentsMargins(10, 0, 10, 0)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(1, 1, 1, 1)
        self._layout.addWidget(self._empty)
        self._whole = self._action("Show all of the chart", Qt.Key.Key_0, self.reset)
        self._log = self._action("Logarithmic axis", Qt.Key.Key_L, self._toggle_log)
        self._log.setCheckable(True)
        self._show_empty()

    def _action(self, text: str, key: Qt.Key, run: Callable[[], object]) -> QAction:
        action = QAction(text, self, shortcut=QKeySequence(key), shortcutContext=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(run)
        self.addAction(action)
        return action

    @property
    def data(self) -> Data:
        return self._data

    @property
    def state(self) -> PlotState:
        """What the user has changed, with the range in sight."""
        return self.plot.seen_state() if self.plot is not None else self._state

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see but a text that says what will be."""
        return bool(self.kind.empty(self._data))

    def set_data(self, data: Data) -> None:
        """Shows other data; what the user has zoomed, hidden and chosen stays while there is something to see."""
        if data == self._data:
            return
        self._data = data
        self._rebuild()

    def figure(self, caption: str) -> Figure:
        """What is in sight, without what the legend hides."""
        return chart_figure(self.kind, self._data, title=self.accessibleName(), caption=caption, size=self._figure_size, state=self.state)

    def reset(self) -> None:
        """Shows the whole range of both axes."""
        if self.plot is not None:
            self.plot.reset()

    # Drawing

    def _rebuild(self) -> None:
        """Draws anew as soon as the chart can be seen."""
        self._is_stale = True
        if self.isVisible() or self.is_empty:
            self._draw()

    def _draw(self) -> None:
        self._is_stale = False
        self._state = self.state
        self._end_plot()
        if self.is_empty:
            self._state = PlotState()
            self._show_empty()
            return
        from loaderscope.gui.charts.plot import Plot  # pyqtgraph is imported for the first chart, not for the window

        self.plot = plot = Plot(current_palette(), small_font(self), self._state, pen_scale=self.devicePixelRatioF())
        self.kind.draw(plot, self._data)
        self.setAccessibleDescription(self.kind.told(self._data))
        self._empty.hide()
        self._layout.addWidget(plot.view)
        plot.view.viewport().installEventFilter(self)
        scene = plot.view.scene()
        scene.sigMouseMoved.connect(self._mouse_moved)
        scene.sigMouseClicked.connect(self._mouse_clicked)
        plot.view.viewport().setMouseTracking(True)
        self._log.setEnabled(plot.can_be_log)
        self._log.setChecked(plot.is_log)
        plot.view.setGeometry(self.rect().adjusted(1, 1, -1, -1))
        plot.view.show()
        plot.place(plot.view.size())

    def _end_plot(self) -> None:
        if self.plot is None:
            return
        self.plot.view.viewport().removeEventFilter(self)
        self._layout.removeWidget(self.plot.view)
        self.plot.close()
        self.plot = None

    def _show_empty(self) -> None:
        text = self.kind.empty(self._data)
        self._empty.setText(text)
        self._empty.show()
        self.setAccessibleDescription(text)
        self._log.setEnabled(False)

    def _toggle_log(self) -> None:
        if self.plot is not None and self.plot.can_be_log:
            self._state = PlotState(is_log=not self.plot.is_log, hidden=self.plot.state.hidden)
            self._end_plot()  # its range is of another scale
            self._draw()

    # Events

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._is_stale:
            self._draw()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.plot is not None:
            self.plot.place(self.rect().adjusted(1, 1, -1, -1).size())

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.DevicePixelRatioChange and self.plot is not None:
            self._rebuild()  # pens are measured in pixels of the screen
        return super().event(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in _REDRAWN_AFTER and self.plot is not None:
            self._rebuild()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(current_palette().base))
        if self.hasFocus():
            painter.setPen(QPen(QColor(current_palette().accent), 1))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if self.plot is not None and key in _ZOOMS:
            self.plot.zoom(_ZOOMS[key])
        elif self.plot is not None and key in _PANS:
            self.plot.pan(*_PANS[key])
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave and self.plot is not None:
            self.plot.show_crosshair(None)
        if event.type() == QEvent.Type.Wheel and self._must_scroll(event):
            event.ignore()  # the scroll area gets it
            return True
        return super().eventFilter(watched, event)

    def _must_scroll(self, event: QEvent) -> bool:
        """Whether the wheel moves what is around the chart: it is higher than its place, and Ctrl is not pressed."""
        around = self.parentWidget()
        area = around.parentWidget() if around is not None else None
        is_zoom = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)  # type: ignore[attr-defined]
        return isinstance(area, QScrollArea) and area.verticalScrollBar().maximum() > 0 and not is_zoom

    def _mouse_moved(self, at: QPointF) -> None:
        plot = self.plot
        if plot is None:
            return
        plot.show_crosshair(at)
        target = plot.find(at)
        QToolTip.showText(QCursor.pos(), target.text if target is not None else "", plot.view)
        can_choose = target is not None and target.trial is not None
        plot.view.viewport().setCursor(Qt.CursorShape.PointingHandCursor if can_choose else Qt.CursorShape.ArrowCursor)

    def _mouse_clicked(self, event: Any) -> None:
        if self.plot is None or event.button() != Qt.MouseButton.LeftButton:
            return
        if event.double():
            self.reset()
            return
        target = self.plot.find(event.scenePos())
        if target is not None and target.trial is not None:
            self.trialChosen.emit(target.trial)
