"""The one table of commands. Menus, toolbar, shortcuts, command palette and help page are made from it."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenuBar, QWidget

from loaderscope.gui.timeline.widget.timeline_keys import CONTROLS


@dataclasses.dataclass(frozen=True)
class Command:
    """Something the user can do.

    Attributes:
        menu: the title of its menu; None: it is only in the palette.
        keys: portable key sequences; the first is shown.
        separator: whether a line precedes it in its menu.
        of_timeline: whether its keys work only while the timeline has the focus.
    """

    name: str
    text: str
    tip: str
    menu: str | None = None
    keys: tuple[str, ...] = ()
    checkable: bool = False
    separator: bool = False
    of_timeline: bool = False


COMMANDS: tuple[Command, ...] = (
    Command("open_script", "Open script", "Choose the Python script whose DataLoader is to be profiled", "&File", ("Ctrl+O",)),
    Command("open_session", "Open session", "Open a saved .loaderscope session", "&File", ("Ctrl+Shift+O",)),
    Command("open_recent", "Open recent", "Open a script or a session again, or a sweep that was not saved", "&File"),
    Command("open_demo", "Open the example", "Load the built-in example, a dataset of real photographs", "&File"),
    Command("save", "Save", "Save this session to a file that can be mailed and opened again", "&File", ("Ctrl+S",), separator=True),
    Command("report", "Save report…", "Write a self-contained HTML report with figures, table and findings", "&File", ("Ctrl+R",)),
    Command("export", "Export figure…", "Save the timeline or a chart as a picture (PNG, SVG or PDF) with a caption", "&File", ("Ctrl+E",)),
    Command(
        "copy_figure",
        "Copy figure",
        "Copy what the timeline or a chart shows as a picture with a caption",
        "&File",
        ("Ctrl+C",),
        of_timeline=True,
    ),
    Command(
        "quit",
        "Quit",
        "Close the window; a running sweep is stopped and its processes are ended, a training may go on",
        "&File",
        ("Ctrl+Q",),
        separator=True,
    ),
    Command("start", "Start", "Run the sweep, or record the training, as chosen at the left", "&Run", ("F5",)),
    Command(
        "start_up",
        "Why is start-up slow?",
        "Measure what starting workers costs under each start method, and what would make it cheaper",
        "&Run",
        ("F6",),
    ),
    Command(
        "exact_window",
        "Exact window",
        "Run the setting that is shown once more, or all where none is, and profile some steps after it: "
        "when the GPU is busy, and the heaviest operators",
        "&Run",
        ("F7",),
    ),
    Command(
        "try_remedy",
        "Try the remedy of a finding",
        "Measure the setting of the selected finding with and without its remedy, in turn, and show before and after",
        "&Run",
        ("F8",),
    ),
    Command(
        "try_settings",
        "Try other settings in this training",
        "Prepare a sweep in the training whose recording is shown: the script is read again, and nothing is started",
        "&Run",
    ),
    Command(
        "ask_again",
        "Ask again before trainings run",
        "Forget to which trainings you agreed, and which of their trackers you kept offline",
        "&Run",
    ),
    Command(
        "stop",
        "Stop",
        "Stop the sweep, and keep its finished trials; or send the training Ctrl+C, and kill it when pressed again",
        "&Run",
        ("Shift+F5",),
    ),
    Command(
        "where",
        "Where is it now?",
        "Ask each process of the running trial at which file and line it stands; the trial goes on, and the log has the answers",
        "&Run",
        ("F9",),
    ),
    Command("reload", "Look at the script again", "Read the script again and list its targets", "&Run", ("Ctrl+F5",), separator=True),
    Command("find", "Find in the timeline", "Search for a state, a batch, a sample, a module or a mark", "&View", ("Ctrl+F", "/")),
    Command("live", "Live", "Follow the trial that is running; any pan pauses", "&View", ("Ctrl+L",), checkable=True),
    Command("previous_trial", "Previous trial", "Show the timeline of the trial before", "&View", ("Alt+Up",)),
    Command("next_trial", "Next trial", "Show the timeline of the trial after", "&View", ("Alt+Down",)),
    Command(
        "compare", "Compare with another trial", "Show a second trial below, aligned at the first batch; or close it", "&View", ("Ctrl+K",)
    ),
    Command("lane_menu", "Lane menu", "What can be done to the selected lane, or the one under the mouse (Shift+F10)", "&Lanes"),
    Command("pin_lane", "Pin or unpin the lane", "Keep the selected lane at the top while the others scroll", "&Lanes", separator=True),
    Command("hide_lane", "Hide the lane", "Hide the selected lane, or the one under the mouse", "&Lanes"),
    Command("taller_lane", "Make the lane taller", "Make the selected lane, or the one under the mouse, taller", "&Lanes"),
    Command("shorter_lane", "Make the lane shorter", "Make the selected lane, or the one under the mouse, shorter", "&Lanes"),
    Command(
        "collapse_workers",
        "Collapse or expand the workers",
        "Show all workers as one row of their summed states, or each",
        "&Lanes",
        separator=True,
    ),
    Command(
        "fold_loader",
        "Fold or unfold the loader",
        "Show the loader of the selected lane, or the one under the mouse, as one row, or each of its lanes; "
        "a loader of which nothing is in sight is folded until you fold or unfold it",
        "&Lanes",
        ("C",),
        of_timeline=True,
    ),
    Command("more_plots", "More plots", "Choose further plots: threads, context switches, usable cores, USS and RSS …", "&Lanes"),
    Command("show_hidden_lanes", "Show hidden lanes", "Show all lanes that were hidden", "&Lanes"),
    Command("reset_lanes", "Reset all lanes", "Forget what is pinned, hidden, collapsed, reordered and resized", "&Lanes"),
    Command("focus_setup", "Go to target and sweep", "Put the keyboard on the set-up panel", "&View", ("Alt+1",), separator=True),
    Command("focus_timeline", "Go to the timeline", "Put the keyboard on the timeline", "&View", ("Alt+2",)),
    Command("focus_results", "Go to the results table", "Put the keyboard on the results table", "&View", ("Alt+3",)),
    Command(
        "show_throughput",
        "Throughput",
        "Show samples per second by number of workers, or when a recorded training waited for data",
        "&View",
        ("Alt+4",),
        separator=True,
    ),
    Command("show_startup", "Start-up", "Show what the time before the first batch is spent on", "&View", ("Alt+5",)),
    Command("show_memory", "Memory", "Show the memory of every process over the trial", "&View", ("Alt+6",)),
    Command("show_findings", "Findings", "Show what is wrong and what to do", "&View", ("Alt+7",)),
    Command("show_late_batches", "Late batches", "Show the costliest waits for batches and what kept each", "&View", ("Alt+B",)),
    Command("show_operators", "Operators", "Show the heaviest operators of the trial's exact window", "&View", ("Alt+O",)),
    Command("show_log", "Log", "Show the output of the script", "&View", ("Alt+8",)),
    Command("show_selection", "Selection", "Show what every lane did in the measured range, or in what is in sight", "&View", ("Alt+9",)),
    Command("show_spans", "Spans", "Show the spans in sight as a table", "&View", ("Alt+0",)),
    Command(
        "show_place",
        "Show where the finding is",
        "Show the first place of the selected finding on the timeline of its trial",
        "&View",
        ("Alt+P",),
    ),
    Command(
        "late_arrows",
        "Show late-batch arrows",
        "Arrows from what a worker did to the end of the longest waits for it",
        "&View",
        ("Ctrl+Shift+L",),
        checkable=True,
        separator=True,
    ),
    Command("theme", "Light or dark", "Switch between the light and the dark theme", "&View", ("Ctrl+T",), separator=True),
    Command("reset_layout", "Reset the layout", "Put all panels back where they were at first", "&View"),
    Command("palette", "Command palette", "Find any command by its name", "&Help", ("Ctrl+Shift+P",)),
    Command("help", "Keys and help", "Show all keys and what the colours mean", "&Help", ("F1", "?")),
)

TIMELINE_COMMANDS: tuple[Command, ...] = tuple(
    Command(f"timeline.{control.method}", control.words[0].upper() + control.words[1:], "In the timeline", keys=control.key_names)
    for control in CONTROLS
)
"""The commands whose keys the timeline handles itself while it has the focus."""


class CommandSet:
    """The QActions of all commands, owned by a window."""

    def __init__(self, window: QWidget, timeline: QWidget, handlers: Mapping[str, Callable[[], object]]) -> None:
        """Makes an action for each command.

        Args:
            window: owns the actions.
            timeline: its methods handle the commands of `TIMELINE_COMMANDS`.
            handlers: exactly one function for each command of `COMMANDS`.

        Raises:
            ValueError: table and handlers do not match.
        """
        names = {command.name for command in COMMANDS}
        if names != set(handlers):
            raise ValueError(f"commands and handlers differ in {sorted(names ^ set(handlers))}")
        self.actions: dict[str, QAction] = {}
        for control, command in zip(CONTROLS, TIMELINE_COMMANDS, strict=True):
            action = self.actions[command.name] = QAction(command.text, window)
            method = operator.attrgetter(control.method)(timeline)
            action.triggered.connect(lambda _checked=False, method=method: method())
        for command in COMMANDS:
            action = QAction(command.text, window)
            action.setObjectName(command.name)
            action.setShortcuts([QKeySequence(keys) for keys in command.keys])
            if command.of_timeline:
                action.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
                timeline.addAction(action)
            keys = f"  ({QKeySequence(command.keys[0]).toString(QKeySequence.SequenceFormat.NativeText)})" if command.keys else ""
            action.setToolTip(command.tip + keys)
            action.setStatusTip(command.tip)
            action.setCheckable(command.checkable)
            action.triggered.connect(lambda _checked=False, handler=handlers[command.name]: handler())
            window.addAction(action)  # so that its keys work without a menu
            self.actions[command.name] = action

    def __getitem__(self, name: str) -> QAction:
        return self.actions[name]

    def enable(self, enabled: Mapping[str, bool]) -> None:
        """Enables or disables commands by name."""
        for name, is_enabled in enabled.items():
            self.actions[name].setEnabled(is_enabled)

    def fill_menus(self, bar: QMenuBar) -> None:
        """Adds every command with a menu to the menu bar."""
        menus = {}
        for command in COMMANDS:
            if command.menu is None:
                continue
            if command.menu not in menus:
                menus[command.menu] = bar.addMenu(command.menu)
                menus[command.menu].setToolTipsVisible(True)
            if command.separator:
                menus[command.menu].addSeparator()
            menus[command.menu].addAction(self.actions[command.name])


def matching_commands(query: str) -> list[Command]:
    """Returns the commands whose text or tip contains every word of the query, best match first."""
    words = query.lower().split()
    ranked = []
    for position, command in enumerate((*COMMANDS, *TIMELINE_COMMANDS)):
        text, tip = command.text.lower(), command.tip.lower()
        if all(word in text or word in tip for word in words):
            rank = sum(not text.startswith(word) for word in words) + sum(word not in text for word in words)
            ranked.append((rank, position, command))
    return [command for _, _, command in sorted(ranked, key=lambda item: item[:2])]
