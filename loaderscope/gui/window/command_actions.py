"""What each command does to a window that shows a run."""

from __future__ import annotations

from collections.abc import Callable

from loaderscope.gui.window.run_window import RunWindow
from loaderscope.sweep.demo_example import demo_request
from loaderscope.sweep.system import usable_cpus


def handlers_of(window: RunWindow) -> dict[str, Callable[[], object]]:
    """A function for every command of the table in gui/window/command_table.py, but for those of the window around the run."""
    docks, dialogs = window.views.docks, window.dialogs
    timeline, lanes = window.views.timeline, window.views.pair.handling[window.views.timeline]

    def open_chosen(path: str) -> None:
        if path:
            window.open_path(path)

    return {
        "open_script": lambda: open_chosen(dialogs.script()),
        "open_session": lambda: open_chosen(dialogs.session()),
        "open_recent": lambda: window.recent.menu.popup(window.mapToGlobal(window.rect().center())),
        "open_demo": lambda: window.open_request(demo_request(usable_cpus())),
        "save": window.save,
        "report": window.save_report,
        "export": window.window_figures.export,
        "copy_figure": window.window_figures.copy,
        "quit": window.close,
        "start": window.starting.sweep,
        "start_up": window.starting.experiment,
        "exact_window": window.start_exact_window,
        "stop": window.live.cancel,
        "reload": window.setup.reload,
        "find": window.views.pair.search,
        "live": lambda: window.shown.set_follow(not window.shown.follows),
        "previous_trial": lambda: window.shown.step_trial(-1),
        "next_trial": lambda: window.shown.step_trial(1),
        "compare": window.shown.comparison.toggle,
        "lane_menu": lanes.open_menu,
        "pin_lane": lanes.pin,
        "hide_lane": lanes.hide,
        "taller_lane": lanes.taller,
        "shorter_lane": lanes.shorter,
        "collapse_workers": timeline.collapse_workers,
        "more_plots": lanes.open_plots_menu,
        "show_hidden_lanes": timeline.show_hidden_lanes,
        "reset_lanes": timeline.reset_lanes,
        "focus_setup": docks["setup"].bring_up,
        "focus_timeline": window.views.timeline.setFocus,
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
        "reset_layout": window.views.reset_layout,
    }
