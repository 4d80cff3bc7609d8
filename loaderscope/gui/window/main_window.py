"""The window of the program: one run, with its commands, its help and a look that is remembered."""

from __future__ import annotations

from PySide6.QtCore import QSettings
from PySide6.QtGui import QCloseEvent, QShowEvent

from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.window.appearance import Appearance
from loaderscope.gui.window.command_actions import handlers_of
from loaderscope.gui.window.command_palette import CommandPalette
from loaderscope.gui.window.command_table import CommandSet
from loaderscope.gui.window.help_page import HelpOverlay
from loaderscope.gui.window.run_window import RunWindow


class MainWindow(RunWindow):
    """Menus, toolbar and keys around a run."""

    commands: CommandSet
    palette_box: CommandPalette
    look: Appearance

    def __init__(self, settings: QSettings) -> None:
        super().__init__(settings)
        self.help = HelpOverlay(self)
        own = {
            "late_arrows": lambda: self.look.show_late_arrows(self.commands["late_arrows"].isChecked()),
            "theme": self.switch_theme,
            "palette": lambda: self.palette_box.open_over(self),
            "help": self.help.toggle,
        }
        self.commands = CommandSet(self, self.views.timeline, {**handlers_of(self), **own})
        self.palette_box = CommandPalette(self.commands, self)
        self.commands["open_recent"].setMenu(self.recent.menu)
        self.views.add_commands(self.commands)
        self.figures.add_charts(self.findChildren(Chart), [self.commands["copy_figure"], self.commands["export"]])
        self.look = Appearance(self, self.views, self.commands, settings)
        self.setup.changed.connect(self._update_commands)
        self.shown.changed.connect(self._update_commands)
        self.shown.show_progress()
        self.views.timeline.setFocus()

    def _update_commands(self) -> None:
        running, shown, savable = self.live.running, self.shown.trial is not None, self.can_be_saved
        startable = not running and not self.setup.problem
        self.commands.enable(dict.fromkeys(("start", "start_up", "exact_window"), startable))
        self.commands.enable({"stop": running, "live": running, "save": savable, "report": savable, "export": shown, "copy_figure": shown})
        views, panel = self.views, self.setup.sweep_panel
        for button in (panel.start, panel.experiment_button, views.startup.experiment_button, views.operators.measure):
            button.setEnabled(startable)
        self.commands["live"].setChecked(running and self.shown.follows)
        self.views.show_environment(self.shown.run, self.setup.environment)

    def switch_theme(self) -> None:
        """Light to dark and back."""
        self.look.switch_theme()
        self.shown.show_anew()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.look.shown()
        if not event.spontaneous():
            self.views.show_message(self.recent.notice)

    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        if event.isAccepted():
            self.look.save_layout()
