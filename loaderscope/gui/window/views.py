"""The widgets that show a run: where they are in the window, and how they get the state of the run."""

from __future__ import annotations

import html
import itertools
import time
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QProgressBar,
    QStackedWidget,
    QStatusBar,
    QTabWidget,
    QToolBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from loaderscope.analysis.recorded_training import training_of_results
from loaderscope.analysis.verdict import Verdict
from loaderscope.analysis.worker_rules import worker_rules_table
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import Run, environment_text
from loaderscope.facts.statuses import CANCELLED, OK, STATUSES, status_of
from loaderscope.facts.text import MISSING, count_text, duration_text, rough_duration_text
from loaderscope.gui.charts.chart import Chart, PlotChart
from loaderscope.gui.charts.exposed_chart import EXPOSED, ExposedData, exposed_data
from loaderscope.gui.charts.memory_chart import MEMORY, MemoryData, memory_data
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, ThroughputData, throughput_data
from loaderscope.gui.panels.combo_box import Choice
from loaderscope.gui.panels.findings_panel import FindingsPanel
from loaderscope.gui.panels.labels import ElidedLabel
from loaderscope.gui.panels.late_batch_search import LateSearch
from loaderscope.gui.panels.late_batches_panel import LateBatchesPanel
from loaderscope.gui.panels.log_panel import LogPanel
from loaderscope.gui.panels.operators_panel import OperatorsPanel
from loaderscope.gui.panels.results_panel import ResultsPanel
from loaderscope.gui.panels.selection_panel import SelectionPanel
from loaderscope.gui.panels.spans_panel import SpansPanel
from loaderscope.gui.panels.startup_panel import StartupPanel
from loaderscope.gui.run.run_state import Snapshot, setting_rows
from loaderscope.gui.run.training_trace import ALL_LOADERS
from loaderscope.gui.style.words import planned_name, trial_name, trial_note
from loaderscope.gui.timeline.widget.timeline_pair import TimelinePair
from loaderscope.gui.window.command_table import CommandSet
from loaderscope.gui.window.comparison import CompareBar
from loaderscope.gui.window.dock import Dock
from loaderscope.gui.window.headline import Headline, HeadlineBar
from loaderscope.gui.window.setup import Setup
from loaderscope.trace.model import Trace

LOADING = "Loading the script", "A sample is read first. Then every worker, the main process and the GPU appear here."
STARTING = "The training runs", "Each DataLoader appears here as soon as the script iterates it. What it prints is in the log."
"""Title and text in place of the timeline before the first trial of a sweep, and before the first loader of a training."""

THROUGHPUT_TITLE, EXPOSED_TITLE = "Throughput", "Waiting for data"
"""Titles of a dock, which shows one chart for a sweep and another for a recorded training."""

MEMORY_INTERVAL_S = 0.5
MESSAGE_MS = 8000


class Views:
    """The parts of the window that show a run. They keep no more of its state than they paint."""

    def __init__(self, window: QMainWindow, setup: Setup) -> None:
        self._window = window
        self._memory_shown_s = 0.0
        self._is_waiting = False  # for the first trial of a sweep
        self._trace: Trace | None = None
        self.pair = TimelinePair()
        self.timeline = self.pair.first
        self.compare = CompareBar()
        self.throughput: PlotChart[ThroughputData] = PlotChart(THROUGHPUT_CHART, ThroughputData(), "Throughput by number of workers")
        self.exposed: PlotChart[ExposedData] = PlotChart(EXPOSED, ExposedData(), "Share of the time for which the training waited for data")
        self._throughput_or_exposed = QStackedWidget()
        self._throughput_or_exposed.addWidget(self.throughput)
        self._throughput_or_exposed.addWidget(self.exposed)
        self._show_chart(self.throughput)
        self.startup = StartupPanel()
        self.memory: PlotChart[MemoryData] = PlotChart(MEMORY, MemoryData(), "Memory of each process")
        self.findings = FindingsPanel()
        self.late, _ = LateSearch(self.timeline), LateSearch(self.pair.second)
        self.late_batches = LateBatchesPanel(self.timeline, self.late)
        self.log = LogPanel()
        self.selection = SelectionPanel(self.timeline)
        self.spans = SpansPanel(self.timeline)
        self.operators = OperatorsPanel()
        self.results = ResultsPanel()
        self.results.setFocusProxy(self.results.table)
        self.findings.setFocusProxy(self.findings.view)
        self.log.setFocusProxy(self.log.filter)
        self.selection.setFocusProxy(self.selection.table)
        self.spans.setFocusProxy(self.spans.table)
        self.trials = Choice()
        self.trials.setAccessibleName("Trial whose timeline is shown")
        self.trials.setToolTip("Trial whose timeline is shown (Alt+Up, Alt+Down)")
        self.trials.setPlaceholderText("no trial yet")
        self.trials.setMinimumContentsLength(34)
        self.trial_note = ElidedLabel()
        self.trial_note.setProperty("role", "muted")
        self.trial_note.setTextFormat(Qt.TextFormat.PlainText)
        self.headline = Headline()
        self._build_central()
        self._build_status()
        self.docks = self._build_docks(setup)

    def _build_central(self) -> None:
        line = QHBoxLayout()
        line.setContentsMargins(10, 6, 10, 4)
        line.setSpacing(10)
        line.addWidget(self.trials)
        line.addWidget(self.compare)
        line.addWidget(self.trial_note, 1)
        central = QWidget()
        layout = QVBoxLayout(central)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(line)
        self.notice = QLabel()  # replaces the timeline for a trial without one
        self.notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.notice.setTextFormat(Qt.TextFormat.RichText)
        self.notice.setWordWrap(True)
        self.notice.setMargin(60)
        self.notice.setBackgroundRole(QPalette.ColorRole.Base)
        self.notice.setAutoFillBackground(True)
        self._timeline_or_notice = QStackedWidget()
        self._timeline_or_notice.addWidget(self.pair)
        self._timeline_or_notice.addWidget(self.notice)
        layout.addWidget(self._timeline_or_notice, 1)
        self._window.setCentralWidget(central)

    def add_commands(self, commands: CommandSet) -> None:
        """Fills menus and toolbar."""
        commands.fill_menus(self._window.menuBar())
        bar = QToolBar("Toolbar")
        bar.setObjectName("toolbar")
        bar.setMovable(False)
        bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        for name in ("open_script", "open_session", "save"):
            bar.addAction(commands[name])
        bar.addSeparator()
        for name, text in (("start", "▶  Start"), ("stop", "■  Stop"), ("live", "●  Live")):
            commands[name].setIconText(text)
            bar.addAction(commands[name])
        self._window.addToolBar(bar)
        self.headline_bar = HeadlineBar(self.headline, commands["export"], bar, self._window)
        for button in (*bar.findChildren(QToolButton), *self.headline_bar.findChildren(QToolButton)):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _build_status(self) -> None:
        bar = QStatusBar()
        bar.setSizeGripEnabled(False)
        bar.setContentsMargins(8, 2, 10, 2)
        self.progress = QProgressBar()
        self.progress.setFixedWidth(260)
        self.progress.setAccessibleName("Progress of the sweep")
        self.progress.hide()
        self.time_left = QLabel()
        self.where = QToolButton()
        self.where.setText("Where is it now?")
        self.where.setToolTip("Ask each process of the running trial at which file and line it stands; the trial goes on (F9)")
        self.where.hide()
        self.environment = QLabel()
        self.environment.setToolTip("Where the trials run, and what recording them costs")
        state = QWidget()  # one widget, so that a message also hides what changes in it meanwhile
        line = QHBoxLayout(state)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.progress)
        line.addWidget(self.time_left)
        line.addWidget(self.where)
        bar.addWidget(state)
        bar.addPermanentWidget(self.environment)
        self._window.setStatusBar(bar)

    def _build_docks(self, setup: Setup) -> dict[str, Dock]:
        window = self._window
        window.setDockOptions(
            QMainWindow.DockOption.AllowNestedDocks | QMainWindow.DockOption.AllowTabbedDocks | QMainWindow.DockOption.AnimatedDocks
        )
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        window.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        contents = (
            ("setup", "Target", setup.widget()),
            ("throughput", THROUGHPUT_TITLE, self._throughput_or_exposed),
            ("startup", "Start-up", self.startup),
            ("memory", "Memory", self.memory),
            ("findings", "Findings", self.findings),
            ("log", "Log", self.log),
            ("selection", "Selection", self.selection),
            ("spans", "Spans", self.spans),
            ("late_batches", "Late batches", self.late_batches),
            ("operators", "Operators", self.operators),
            ("results", "Results", self.results),
        )
        docks = {name: Dock(name, title, content, window) for name, title, content in contents}
        for name, dock in docks.items():
            left = name == "setup"
            window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea if left else Qt.DockWidgetArea.BottomDockWidgetArea, dock)
            dock.visibilityChanged.connect(self._update_titles)
            dock.dockLocationChanged.connect(self._update_titles)
            dock.topLevelChanged.connect(self._update_titles)
        self._order_keyboard(setup)
        return docks

    def _order_keyboard(self, setup: Setup) -> None:
        """Lets Tab move in reading order: from the set-up side to the timeline, the charts and the table."""
        panel = setup.sweep_panel
        above = (self.trials, self.compare.choice, self.timeline, self.pair.second)
        stops: tuple[QWidget, ...] = (
            *above,
            *self.startup.focus_order(),
            self.findings.view,
            self.log.source,
            self.log.filter,
            self.log.warnings,
            self.log.view,
            self.spans.lanes,
            self.spans.table,
            self.selection.table,
            self.late_batches.table,
            self.operators.measure,
            self.operators.table,
        )
        for first, second in itertools.pairwise((panel.pcie, panel.start, panel.experiment_button, *stops, self.results.table)):
            QWidget.setTabOrder(first, second)

    def _update_titles(self) -> None:
        for dock in self.docks.values():
            dock.update_title()

    def reset_layout(self) -> None:
        """Puts the docks at their first places: set-up left; below the timeline charts and findings, and the table below them."""
        window, docks = self._window, self.docks
        bottom = Qt.DockWidgetArea.BottomDockWidgetArea
        for dock in docks.values():
            dock.setFloating(False)
            window.removeDockWidget(dock)
        window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, docks["setup"])
        window.addDockWidget(bottom, docks["throughput"])
        window.splitDockWidget(docks["throughput"], docks["results"], Qt.Orientation.Vertical)
        window.splitDockWidget(docks["throughput"], docks["findings"], Qt.Orientation.Horizontal)
        window.tabifyDockWidget(docks["throughput"], docks["startup"])
        window.tabifyDockWidget(docks["startup"], docks["memory"])
        window.tabifyDockWidget(docks["findings"], docks["log"])
        window.tabifyDockWidget(docks["results"], docks["selection"])
        window.tabifyDockWidget(docks["selection"], docks["spans"])
        window.tabifyDockWidget(docks["spans"], docks["late_batches"])
        window.tabifyDockWidget(docks["late_batches"], docks["operators"])
        for dock in docks.values():
            dock.show()
        docks["throughput"].raise_()
        docks["findings"].raise_()
        docks["results"].raise_()
        width, height = window.width() - 290, window.height()
        window.resizeDocks([docks["setup"]], [290], Qt.Orientation.Horizontal)
        window.resizeDocks(
            [docks["throughput"], docks["findings"]],
            [width * 2 // 5, width - width * 2 // 5],
            Qt.Orientation.Horizontal,
        )
        window.resizeDocks([docks["throughput"], docks["results"]], [int(height * 0.36), int(height * 0.14)], Qt.Orientation.Vertical)
        self._update_titles()

    # Showing

    def clear(self) -> None:
        """Removes the run from all views that would keep it until the next results."""
        self._trace = None
        self.log.clear()
        self.timeline.set_trace(None, "")
        self._timeline_or_notice.setCurrentWidget(self.pair)
        self.trial_note.setText("")
        self.memory.set_data(MemoryData())

    def show_progress(self, snapshot: Snapshot, running: bool, expectation: str = "") -> None:
        """Shows the progress bar and the time left; shows `expectation` instead while the time left is unknown."""
        self._show_waiting(running and snapshot.current is None and not snapshot.results, *LOADING)
        self.progress.setVisible(running)
        self.where.setVisible(running and snapshot.current is not None)
        total = max(1, snapshot.total)
        self.progress.setRange(0, total if snapshot.run is not None else 0)  # 0 to 0: busy, while the script is loaded
        self.progress.setValue(min(snapshot.done, total))
        done = f"{min(snapshot.done, total)} of {count_text(total, 'trial')} done"
        self.progress.setFormat(done if snapshot.run is not None else "")
        if not running:
            self.time_left.setText(_training_outcome(snapshot) if snapshot.is_training else _outcome(snapshot))
        elif snapshot.run is None:
            self.time_left.setText("loading the script …")
        elif snapshot.seconds_left is not None:
            self.time_left.setText(f"about {rough_duration_text(snapshot.seconds_left)} left")
        else:
            self.time_left.setText(expectation)

    def show_training_progress(self, snapshot: Snapshot, progress: str) -> None:
        """Shows how far a training is that is recorded. Nobody knows how long it will take, so there is no bar."""
        self._show_waiting(not snapshot.trials, *STARTING)
        self.progress.setVisible(False)
        self.where.setVisible(False)
        self.time_left.setText(f"recording  {progress}")

    def _show_waiting(self, waiting: bool, title: str, text: str) -> None:
        """Shows or removes a notice in place of the timeline before the first trial."""
        if waiting:
            self._show_notice(title, text)
        elif self._is_waiting:
            self._timeline_or_notice.setCurrentWidget(self.pair)
        self._is_waiting = waiting

    def _show_notice(self, title: str, text: str) -> None:
        self.notice.setText(f'<p style="font-size:15px"><b>{html.escape(title)}</b></p><p>{html.escape(text)}</p>')
        self._timeline_or_notice.setCurrentWidget(self.notice)

    def show_headline(self, sentence: str) -> None:
        """Shows a sentence above all views."""
        self.headline.show_sentence(sentence)

    def show_message(self, sentence: str) -> None:
        """Shows a message of success for a few seconds."""
        self._window.statusBar().showMessage(sentence, MESSAGE_MS)

    def show_environment(self, run: Run | None, environment: dict[str, Any] | None) -> None:
        """Shows machine and interpreter of the run, or without one of the script."""
        shown = run.environment if run is not None else environment
        self.environment.setText(environment_text(shown) if shown is not None else "")

    def show_results(self, snapshot: Snapshot, verdict: Verdict, shown: int | None) -> None:
        """Shows the results of all finished trials; `shown` is the trial with the timeline."""
        self.results.set_rows(setting_rows(snapshot, verdict), verdict.recommendation)
        is_training = snapshot.is_training
        # loaders of different data cannot be compared, but how long the training waited for them is worth a look
        settings = () if is_training else verdict.settings
        self.throughput.set_data(throughput_data(settings, verdict.recommendation, verdict.ceiling))
        self.exposed.set_data(exposed_data(training_of_results(snapshot.results)))
        self._show_chart(self.exposed if is_training else self.throughput)
        self.docks["throughput"].set_title(EXPOSED_TITLE if is_training else THROUGHPUT_TITLE)
        self.startup.show_results(snapshot.results, shown, snapshot.run, verdict.experiment, is_training)
        is_any_measured = any(result.status == "ok" for result in snapshot.results)
        gpu_count = len(snapshot.run.environment.get("gpus") or ()) if snapshot.run is not None else 0
        self.findings.set_findings(
            verdict.findings,
            verdict.recommendation,
            is_any_measured,
            is_training,
            settings=verdict.settings,
            tried=verdict.tried,
            rules=worker_rules_table(settings if verdict.experiment is None else (), verdict.recommendation, gpu_count),
        )
        self.log.set_results(snapshot.results)
        self.show_trials(snapshot, shown)
        if shown is not None:
            self.results.select_trial(shown)

    def _show_chart(self, chart: Chart) -> None:
        self._throughput_or_exposed.setCurrentWidget(chart)
        self._throughput_or_exposed.setFocusProxy(chart)

    def show_trials(self, snapshot: Snapshot, shown: int | None) -> None:
        """Fills the list of trials above the timeline, and shows the profiled operators of the shown trial."""
        will_be_profiled = snapshot.run is not None and snapshot.run.request.gpu_window is not None and bool(snapshot.running)
        result = next((result for result in snapshot.results if result.id == shown), None)
        self.operators.show_result(result, will_be_profiled and result is None, snapshot.is_training)
        entries = [(ALL_LOADERS, "all loaders")] if snapshot.is_training and snapshot.trials else []
        entries += [(result.id, _with_status(trial_name(result), result.status, result.replaced_by)) for result in snapshot.results]
        entries += [(trial.id, _with_status(planned_name(trial), "running")) for trial in snapshot.running]
        if entries != [(self.trials.itemData(index), self.trials.itemText(index)) for index in range(self.trials.count())]:
            self.trials.clear()
            for trial_id, text in entries:
                self.trials.addItem(text, trial_id)
        self.trials.setCurrentIndex(self.trials.findData(shown) if shown is not None else -1)
        self.trials.setEnabled(bool(entries))

    def show_trace(self, trace: Trace | None, trial_id: int, snapshot: Snapshot, result: TrialResult | None) -> None:
        """Shows the timeline of a trial and a note on its result; without a trace, a notice that says why."""
        self._trace = trace
        self.show_trials(snapshot, trial_id)
        self.timeline.set_trace(trace)
        note = trial_note(result)
        self.trial_note.setText(note)
        traceback = result.error.traceback if result is not None and result.error is not None else None
        self.trial_note.setToolTip("\n\n".join(part for part in (note, traceback) if part))
        if trace is None and result is not None:
            self._show_notice(f"Trial {trial_id} {status_of(result.status).without_timeline or 'has no timeline'}", note)
        else:
            self._timeline_or_notice.setCurrentWidget(self.pair)
        machine_bytes = snapshot.run.environment.get("memory_bytes") if snapshot.run is not None else None
        self.memory.set_data(memory_data(trace, result.memory if result is not None else None, machine_bytes))
        self.startup.show_trial(trial_id)
        self.results.select_trial(trial_id)

    def open_startup(self, view: str) -> None:
        """Shows one of the start-up views in front of its neighbours, and leaves the keyboard where it is."""
        self.docks["startup"].raise_()
        self.startup.show_view(view)

    def show_startup(self, view: str) -> None:
        """Brings one of the start-up views to the front, and gives it the keyboard."""
        self.docks["startup"].bring_up()
        self.startup.show_view(view)

    def refresh_memory(self) -> None:
        """Updates the memory chart of a running trial, seldom enough to cost nothing."""
        now_s = time.monotonic()
        if self.memory.isVisible() and now_s - self._memory_shown_s > MEMORY_INTERVAL_S:
            self._memory_shown_s = now_s
            shown = self.memory.data
            self.memory.set_data(memory_data(self._trace, shown.memory, shown.machine_bytes))


def _with_status(name: str, status: str, replaced_by: int | None = None) -> str:
    """Returns the name of a trial with a remark, unless all went well."""
    remark = "" if status == OK.key else f"  ({status_of(status).word})"
    if replaced_by is not None:
        remark = f"  (disturbed, replaced by trial {replaced_by})"
    return f"{name}{remark}"


def _training_outcome(snapshot: Snapshot) -> str:
    """Returns how a recorded training ended, in a few words."""
    training = training_of_results(snapshot.results)
    if training is None:
        return ""
    status = training.exit_status
    if status is None:
        end = "goes on without its recording"
    else:
        end = f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
    loaders, batches = count_text(len(snapshot.results), "loader"), count_text(training.batches, "batch")
    return f"the training {end} · {duration_text(training.seconds)} · {loaders} · {batches}"


def _outcome(snapshot: Snapshot) -> str:
    """Returns how a run ended, in a few words."""
    if snapshot.run is None or not snapshot.results:
        return ""
    count = {status: sum(result.status == status.key for result in snapshot.results) for status in STATUSES}
    parts = [f"{number} {status.word}" for status, number in count.items() if number and status is not CANCELLED]
    if snapshot.cancelled or count[CANCELLED]:
        return f"{CANCELLED.word}: " + (", ".join(parts) or f"no trial is {OK.word}")
    return ", ".join(parts) or MISSING
