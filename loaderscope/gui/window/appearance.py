"""The look of the window: its theme, size, docks and lanes. The settings keep it from one start to the next."""

from __future__ import annotations

from PySide6.QtCore import QSettings, QSize, QTimer
from PySide6.QtWidgets import QApplication, QMainWindow, QWidget

from loaderscope.gui.style.theme import apply_theme, current_palette
from loaderscope.gui.timeline.data.arrangement import Arrangement
from loaderscope.gui.window.command_table import CommandSet
from loaderscope.gui.window.views import Views

_LAYOUT_VERSION = 4

USUAL_SIZE = QSize(1440, 900)
SCREEN_SHARE = 0.85
"""On a large screen, the window first takes this share of its width and height."""
MAX_SCREEN_SHARE = 0.95
"""The frame of the window needs the rest."""


class Appearance:
    """Restores the look that the window had when it was closed, and changes it."""

    def __init__(self, window: QMainWindow, views: Views, commands: CommandSet, settings: QSettings) -> None:
        self._window, self._views, self._commands, self._settings = window, views, commands, settings
        timeline = views.timeline
        timeline.set_arrangement(Arrangement.from_text(str(settings.value("lanes", ""))))
        timeline.arrangementChanged.connect(lambda: settings.setValue("lanes", timeline.arrangement.to_text()))
        self.show_late_arrows(bool(settings.value("late_arrows", True, type=bool)))
        self._restore_layout()

    def show_late_arrows(self, shown: bool) -> None:
        """Shows or hides the arrows to the longest waits in sight."""
        for timeline in (self._views.pair.first, self._views.pair.second):
            timeline.show_arrows(shown)
        self._commands["late_arrows"].setChecked(shown)
        self._settings.setValue("late_arrows", shown)

    def switch_theme(self) -> None:
        """Switches between the light and the dark theme."""
        name = "light" if current_palette().name == "dark" else "dark"
        application = QApplication.instance()
        if isinstance(application, QApplication):
            apply_theme(application, name)
        self._settings.setValue("theme", name)
        for widget in self._window.findChildren(QWidget):
            widget.update()

    def window_shown(self) -> None:
        """Arranges the docks when the window first appears."""
        if self._settings.value("layout") is None:  # sizes of docks only hold once the window has its own
            QTimer.singleShot(0, self._views.reset_layout)

    def save_layout(self) -> None:
        """Remembers the size of the window and its docks."""
        self._settings.setValue("geometry", self._window.saveGeometry())
        self._settings.setValue("layout", self._window.saveState(_LAYOUT_VERSION))

    def _restore_layout(self) -> None:
        geometry, layout = self._settings.value("geometry"), self._settings.value("layout")
        if geometry is not None:
            self._window.restoreGeometry(geometry)
        else:  # before the docks get their shares, which they keep when the window is enlarged
            available = self._window.screen().availableSize()
            self._window.resize((available * SCREEN_SHARE).expandedTo(USUAL_SIZE).boundedTo(available * MAX_SCREEN_SHARE))
        if layout is None or not self._window.restoreState(layout, _LAYOUT_VERSION):
            self._views.reset_layout()
