"""The window of the program: one run, with its commands, its help and a look that is remembered."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSettings
from PySide6.QtGui import QCloseEvent, QResizeEvent, QShowEvent

from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.panels.run_kind_choice import TRAINING_SWEEP
from loaderscope.gui.window.appearance import Appearance
from loaderscope.gui.window.command_palette import CommandPalette
from loaderscope.gui.window.command_table import CommandSet
from loaderscope.gui.window.help_page import HelpOverlay
from loaderscope.gui.window.run_window import RunWindow
from loaderscope.sweep.demo_example import demo_request
from loaderscope.sweep.machine import usable_cpus


class MainWindow(RunWindow):
    """Menus, toolbar and keys around a run."""

    commands: CommandSet
    palette_box: CommandPalette
    look: Appearance

    def __init__(self, settings: QSettings) -> None:
        super().__init__(settings)
        self.help = HelpOverlay(self)
        self.commands = CommandSet(self, self.views.timeline, self._command_handlers())
        self.palette_box = CommandPalette(self.commands, self)
        self.commands["open_recent"].setMenu(self.recent.menu)
        self.views.add_commands(self.commands)
        self.figures.add_charts(self.findChildren(Chart), [self.commands["copy_figure"], self.commands["export"]])
        self.look = Appearance(self, self.views, self.commands, settings)
        self.setup.changed.connect(self._update_commands)
        self.shown.changed.connect(self._update_commands)
        self.shown.show_progress()
        self.views.timeline.setFocus()

    def _command_handlers(self) -> dict[str, Callable[[], object]]:
        """Returns a function for every command of the table in command_table.py."""
        docks, timeline = self.views.docks, self.views.timeline
        lanes = self.views.pair.handling[timeline]
        return {
            "open_script": lambda: self._open_chosen(self.dialogs.script()),
            "open_session": lambda: self._open_chosen(self.dialogs.session()),
            "open_recent": lambda: self.recent.menu.popup(self.mapToGlobal(self.rect().center())),
            "open_demo": lambda: self.open_request(demo_request(usable_cpus())),
            "save": self.save,
            "report": self.save_report,
            "export": self.window_figures.export,
            "copy_figure": self.window_figures.copy,
            "quit": self.close,
            "start": self.starting.start,
            "start_up": self.starting.experiment,
            "exact_window": self.start_exact_window,
            "try_remedy": lambda: self.try_remedy(self.views.findings.selected),
            "try_settings": self.try_settings_in_training,
            "ask_again": self.ask_again,
            "stop": self.stop_run,
            "where": self.live.ask_where,
            "reload": self.setup.reload,
            "find": self.views.pair.search,
            "live": lambda: self.shown.set_follow(not self.shown.follows),
            "previous_trial": lambda: self.shown.step_trial(-1),
            "next_trial": lambda: self.shown.step_trial(1),
            "compare": self.shown.comparison.toggle,
            "lane_menu": lanes.open_menu,
            "pin_lane": lanes.pin,
            "hide_lane": lanes.hide,
            "taller_lane": lanes.taller,
            "shorter_lane": lanes.shorter,
            "collapse_workers": timeline.collapse_workers,
            "fold_loader": lanes.fold,
            "more_plots": lanes.open_plots_menu,
            "show_hidden_lanes": timeline.show_hidden_lanes,
            "reset_lanes": timeline.reset_lanes,
            "focus_setup": docks["setup"].bring_up,
            "focus_timeline": timeline.setFocus,
            "focus_results": docks["results"].bring_up,
            "show_throughput": docks["throughput"].bring_up,
            "show_startup": docks["startup"].bring_up,
            "show_memory": docks["memory"].bring_up,
            "show_findings": docks["findings"].bring_up,
            "show_late_batches": docks["late_batches"].bring_up,
            "show_operators": docks["operators"].bring_up,
            "show_log": docks["log"].bring_up,
            "show_selection": docks["selection"].bring_up,
            "show_spans": docks["spans"].bring_up,
            "show_place": self.views.findings.show_first_place,
            "late_arrows": lambda: self.look.show_late_arrows(self.commands["late_arrows"].isChecked()),
            "theme": self.switch_theme,
            "reset_layout": self.views.reset_layout,
            "palette": lambda: self.palette_box.open_over(self),
            "help": self.help.toggle,
        }

    def _open_chosen(self, path: str) -> None:
        if path:
            self.open_path(path)

    def _update_commands(self) -> None:
        running, has_trial, savable = self.live.running, self.shown.trial is not None, self.can_be_saved
        self.commands.enable({"start": not running and not self.setup.problem})
        startable = not running and not self.setup.sweep_problem
        self.commands.enable({"start_up": startable, "exact_window": startable and self.setup.kind is not TRAINING_SWEEP})
        self.commands.enable({"try_remedy": startable and any(one.remedy is not None for one in self.shown.findings)})
        self.commands.enable({"show_place": any(one.places for one in self.shown.findings)})
        run = self.shown.run
        self.commands.enable({"try_settings": not running and run is not None and run.is_training and bool(self.setup.script)})
        self.commands.enable(dict.fromkeys(("stop", "live"), running) | {"where": running and self.live.training is None})
        self.commands["start"].setIconText(f"▶  {self.setup.kind.start_text}")
        is_killing = self.live.training is not None and self.live.is_stopping
        self.commands["stop"].setIconText("■  Kill" if is_killing else "■  Stop")
        self.commands.enable(dict.fromkeys(("save", "report"), savable))
        self.commands.enable(dict.fromkeys(("export", "copy_figure"), has_trial))
        self.setup.kind_choice.setEnabled(self.live.training is None)  # to read the script now would disturb the recording
        views, panel = self.views, self.setup.sweep_panel
        panel.start.setEnabled(not running and not self.setup.problem)
        for button in (panel.experiment_button, views.startup.experiment_button):
            button.setEnabled(startable)
        views.operators.measure.setEnabled(startable and self.setup.kind is not TRAINING_SWEEP)
        self.commands["live"].setChecked(running and self.shown.follows)
        self.views.show_environment(self.shown.run, self.setup.environment)

    def switch_theme(self) -> None:
        """Switches between the light and the dark theme."""
        self.look.switch_theme()
        self.shown.show_results_again()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.views.headline_bar.choose_row()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.look.window_shown()
        if not event.spontaneous():
            self.views.show_message(self.recent.notice)

    def closeEvent(self, event: QCloseEvent) -> None:
        super().closeEvent(event)
        if event.isAccepted():
            self.look.save_layout()
