"""A dock whose heading hides while a tab names the dock."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QMainWindow, QWidget

from loaderscope.gui.panels.labels import heading, set_heading

TITLE_HEIGHT_PX = 26


class _Title(QWidget):
    """The heading; the dock's layout gives it the height `height_px`."""

    height_px = TITLE_HEIGHT_PX

    def sizeHint(self) -> QSize:
        return QSize(80, self.height_px)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()


class Dock(QDockWidget):
    """A movable panel; `name` is the key under which the layout remembers it."""

    def __init__(self, name: str, title: str, content: QWidget, window: QMainWindow) -> None:
        super().__init__(title, window)
        self.setObjectName(name)
        self.setWidget(content)
        self._title = _Title()
        layout = QHBoxLayout(self._title)
        layout.setContentsMargins(12, 0, 8, 0)
        self._heading = heading(title)
        layout.addWidget(self._heading)
        layout.addStretch(1)
        self._title.setToolTip("Drag to move this panel")
        self.setTitleBarWidget(self._title)
        self.setFeatures(QDockWidget.DockWidgetFeature.DockWidgetMovable | QDockWidget.DockWidgetFeature.DockWidgetFloatable)

    def set_title(self, title: str) -> None:
        """Gives the dock another title, on its heading and on its tab."""
        if title != self.windowTitle():
            self.setWindowTitle(title)
            set_heading(self._heading, title)

    def update_title(self) -> None:
        """Hides the heading while the dock shares its place with others: then its tab names it."""
        window = self.parentWidget()
        tabbed = isinstance(window, QMainWindow) and bool(window.tabifiedDockWidgets(self)) and not self.isFloating()
        height = 0 if tabbed else TITLE_HEIGHT_PX
        if height != self._title.height_px:
            self._title.height_px = height
            self._title.setVisible(not tabbed)
            self._title.updateGeometry()

    def bring_up(self) -> None:
        """Shows the dock in front of the docks that share its place, and gives it the keyboard."""
        self.show()
        self.raise_()
        content = self.widget()
        target = content.focusProxy() or content
        target.setFocus()
