"""A dock with a quiet heading that hides where a tab already names it."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QMainWindow, QWidget

from loaderscope.gui.panels.labels import heading

TITLE_HEIGHT = 26


class _Title(QWidget):
    """The heading; its height is what the dock's layout asks for."""

    height_px = TITLE_HEIGHT

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
        layout.addWidget(heading(title))
        layout.addStretch(1)
        self._title.setToolTip("Drag to move this panel")
        self.setTitleBarWidget(self._title)
        self.setFeatures(QDockWidget.DockWidgetFeature.DockWidgetMovable | QDockWidget.DockWidgetFeature.DockWidgetFloatable)

    def update_title(self) -> None:
        """Hides the heading while the dock shares its place with others, whose tabs then name it."""
        window = self.parentWidget()
        tabbed = isinstance(window, QMainWindow) and bool(window.tabifiedDockWidgets(self)) and not self.isFloating()
        height = 0 if tabbed else TITLE_HEIGHT
        if height != self._title.height_px:
            self._title.height_px = height
            self._title.setVisible(not tabbed)
            self._title.updateGeometry()

    def bring_up(self) -> None:
        """Shows the dock, in front of those it shares its place with, and puts the keyboard on it."""
        self.show()
        self.raise_()
        content = self.widget()
        target = content.focusProxy() or content
        target.setFocus()
