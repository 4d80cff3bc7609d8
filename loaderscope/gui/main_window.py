"""The window: shows one run, live or from a session file, and starts new ones."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings
from PySide6.QtGui import QCloseEvent, QShowEvent
from PySide6.QtWidgets import QMainWindow

from loaderscope.analysis.verdict import Verdict, judge
from loaderscope.facts.request import Request
from loaderscope.facts.run import LogLine
from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.command_palette import CommandPalette
from loaderscope.gui.commands import CommandSet
from loaderscope.gui.comparison import Comparison
from loaderscope.gui.dropping import Dropping
from loaderscope.gui.figure_export import FigureExport
from loaderscope.gui.headline import sentence_of
from loaderscope.gui.help_overlay import HelpOverlay
from loaderscope.gui.live_run import LiveRun
from loaderscope.gui.look import Look
from loaderscope.gui.mark_book import CompleteFile, GrowingFile, MarkBook
from loaderscope.gui.opened_session import OpenedSession, SessionError
from loaderscope.gui.recent import Recent
from loaderscope.gui.run_state import RunState, Snapshot
from loaderscope.gui.saving import SESSION_SUFFIX, Dialogs, Saving
from loaderscope.gui.setup import Setup
from loaderscope.gui.starting import Starting
from loaderscope.gui.telling import Telling
from loaderscope.gui.trace_reading import ReadTrace, TraceReading
from loaderscope.gui.views import Views
from loaderscope.gui.window_commands import handlers_of
from loaderscope.gui.window_figures import WindowFigures
from loaderscope.trace.model import Trace


class MainWindow(QMainWindow):
    """One run at a time: the one that runs, or an opened session."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self._settings = settings
        self._state = RunState()
        self._session: OpenedSession | None = None
        self._seen_version = -1
        self._seen_results: object = None
        self._log_count = 0
        self._verdict = Verdict()
        self._shown_trial: int | None = None
        self._follow = True  # go on to the next trial when it starts
        self._switching = False
        self._unsaved = False
        self.dialogs = Dialogs(self, settings)
        self.setup = Setup(self)
        self.live = LiveRun(self)
        self.views = Views(self, self.setup)
        self._tell = Telling(self.setup, self.views, self._show_headline)
        self.starting = Starting(
            self.setup, self.live, self.views, may_leave=self._may_leave_run, begin=self._begin, tell_problem=self._tell.problem
        )
        self._saving = Saving(self.dialogs, self._tell.written, self._tell.unwritten)
        self.figures = FigureExport(self, settings, self.dialogs.save, self._tell.written, self._tell.unwritten)
        self.window_figures = WindowFigures(self.figures, self.views, lambda: self._state.snapshot().run)
        self._marks = MarkBook(self._tell.problem, self._marks_changed)
        self._reading = TraceReading(self._take_read, self)
        self.comparison = Comparison(self.views.pair, self.views.compare, self.views.show_message)
        self.recent = Recent(self, settings, self.open_path)
        self.help = HelpOverlay(self)
        self.commands = CommandSet(self, self.views.timeline, handlers_of(self))
        self.palette_box = CommandPalette(self.commands, self)
        self.commands["open_recent"].setMenu(self.recent.menu)
        self.views.add_commands(self.commands)
        self.figures.add_charts(self.findChildren(Chart), [self.commands["copy_figure"], self.commands["export"]])
        Dropping(self, self.open_path)
        self.setWindowTitle("Loaderscope")
        self._connect()
        self.look = Look(self, self.views, self.commands, settings)
        self._show_progress()
        self.views.timeline.setFocus()

    @property
    def state(self) -> RunState:
        """The run that is shown."""
        return self._state

    @property
    def shown_trial(self) -> int | None:
        """The trial whose timeline is shown."""
        return self._shown_trial

    def _connect(self) -> None:
        views = self.views
        self.setup.changed.connect(self._setup_changed)
        self.setup.opened.connect(self.recent.add)
        self.setup.outputRead.connect(lambda lines: views.log.add([LogLine(line.time_ns, line.stream, line.text) for line in lines]))
        self.setup.sweep_panel.startRequested.connect(self.starting.sweep)
        self.setup.sweep_panel.startupRequested.connect(self.starting.experiment)
        self.views.operators.measureRequested.connect(self.start_exact_window)
        views.startup.asked.connect(self.starting.experiment)
        views.findings.startupWanted.connect(views.show_startup)
        self.live.ticked.connect(self._tick)
        self.live.ended.connect(self._run_ended)
        for source in (views.results, views.findings, views.throughput, views.startup):
            source.trialChosen.connect(self.choose_trial)
        views.trials.activated.connect(lambda _index: self.choose_trial(views.trials.currentData()))
        views.results.compareRequested.connect(self.comparison.choose)
        views.timeline.followingChanged.connect(self._following_changed)
        self._marks.follow(views.timeline, lambda: self._shown_trial)
        self._marks.follow(views.pair.second, lambda: self.comparison.partner)

    # Opening

    def open_path(self, path: str, request: Request | None = None) -> None:
        """Opens a session file, or looks at a script; `request` gives options for a script."""
        if Path(path).suffix == SESSION_SUFFIX:
            self.open_session(path)
        elif request is not None:
            self.open_request(request)
        else:
            self.setup.open_script(path)

    def open_request(self, request: Request, start: bool = False) -> None:
        """Looks at the script of a request and takes its options; `start`: runs it as soon as that is possible."""
        self.starting.soon = start
        self.setup.open_request(request)

    def open_session(self, path: str) -> None:
        """Shows a saved session in place of what is shown."""
        if not self._may_leave_run():
            return
        try:
            opened = OpenedSession(path)
        except SessionError as error:
            self._tell.problem(str(error))
            return
        self.recent.add(opened.path)
        self._marks.show(opened)
        self._close_session()
        self._session = opened
        self._show_state(opened.state, Path(path).name)
        run = opened.state.snapshot().run
        if run is not None:
            self.setup.show_run(run)

    # Running

    def start_exact_window(self) -> None:
        """Runs the setting that is shown once more, or all where none is, with some profiled steps after it."""
        shown = next((result for result in self._state.snapshot().results if result.id == self._shown_trial), None)
        self.starting.exact_window(shown.config if shown is not None else None)

    def _begin(self, request: Request) -> None:
        """Runs a request in place of what is shown."""
        self._marks.show(GrowingFile(self.live.set_marks))
        self._close_session()
        self._follow = True
        self._show_state(self.live.start(request), Path(request.script).name)

    def _setup_changed(self) -> None:
        self._update_commands()
        if not self._verdict.summary:
            self._show_headline()
        if self.starting.forecast_anew():
            self._show_progress()
        self.starting.sweep_if_wanted()

    def _tick(self) -> None:
        if self._state.version != self._seen_version:
            self._show_progress()
        if self._shown_trial is not None:
            self.views.timeline.refresh()
            self.views.refresh_memory()

    def _run_ended(self) -> None:
        run, results = self._state.snapshot().run, self._state.snapshot().results
        self._unsaved = bool(results)
        if run is not None:
            self.setup.learn(run, results)
        if self.live.session_path is not None:
            self._marks.keep_in(CompleteFile(self.live.session_path))
        self.views.startup.await_experiment(False)
        followed, self._follow = self._follow, False
        self._seen_results = None
        self._show_progress()
        best = self._best_trial()
        if followed and best is not None:
            self.choose_trial(best)
        elif self._shown_trial is not None:
            self.views.timeline.refresh()
            self._show_trace(self._shown_trial)
        if self.live.error is not None:
            self._tell.error(self.live.error)

    # Showing

    def _show_state(self, state: RunState, title: str) -> None:
        self._state = state
        self._unsaved = False
        self._seen_results = None
        self._log_count = 0
        self._shown_trial = None
        self.setWindowTitle(f"{title} – Loaderscope")
        self.views.clear()
        self.setup.target_panel.show_problem("")
        self._show_progress()
        if state.snapshot().results:
            best = self._best_trial()
            self.choose_trial(best if best is not None else self.views.results.model.row(0).trial_id)

    def _best_trial(self) -> int | None:
        """The trial that stands for the recommended setting."""
        best = self._verdict.recommendation
        row = self.views.results.model.find(best.config) if best is not None else None
        return self.views.results.model.row(row).trial_id if row is not None else None

    def _show_progress(self) -> None:
        """Everything but the timeline, as far as it differs from what was shown before."""
        snapshot = self._state.snapshot()
        self._seen_version = snapshot.version
        count, lines = self._state.log_since(self._log_count)
        self.views.log.add(lines, max(0, count - self._log_count - len(lines)))
        self._log_count = count
        self.views.show_progress(snapshot, self.live.running, self.starting.expectation)
        current = snapshot.current.id if snapshot.current is not None else None
        seen = (snapshot.run is None, current, len(snapshot.results))
        if seen != self._seen_results:
            self._seen_results = seen
            self._verdict = judge(snapshot.run, snapshot.results) if snapshot.run is not None else Verdict()
            self._show_results(snapshot)
        if self._follow and current is not None and current != self._shown_trial:
            self._show_trace(current)

    def _show_results(self, snapshot: Snapshot) -> None:
        self.views.show_results(snapshot, self._verdict, self._shown_trial)
        self._update_comparison()
        self._show_headline()
        self._update_commands()

    def _show_headline(self) -> None:
        self.views.show_headline(sentence_of(self._verdict, self.setup, self.live.running))

    def choose_trial(self, trial_id: int) -> None:
        """Shows the timeline of a trial, and stays with it."""
        current = self._state.snapshot().current
        self._follow = current is not None and current.id == trial_id
        self._show_trace(trial_id)

    def _show_trace(self, trial_id: int) -> None:
        self._shown_trial = trial_id
        if self._reading.read(self._state, trial_id):
            self.views.timeline.show_preparing(f"Reading trial {trial_id}")

    def _take_read(self, read: ReadTrace) -> None:
        """A trace was read, perhaps for a trial or session that is not shown any more."""
        if read.state is not self._state or read.trial_id != self._shown_trial:
            return
        if read.problem:
            self._tell.problem(read.problem)
        self._show_read(read.trial_id, read.trace)

    def _show_read(self, trial_id: int, trace: Trace | None) -> None:
        snapshot = self._state.snapshot()
        if trace is not None and trace.origin_ns is None and not self.live.running:
            trace = None  # a trial that was never started
        result = next((result for result in snapshot.results if result.id == trial_id), None)
        running = snapshot.current is not None and snapshot.current.id == trial_id
        self._switching = True
        self.views.show_trace(trace, trial_id, snapshot, result)
        self.views.timeline.set_live(running)
        self._switching = False
        self._update_comparison()
        self._update_commands()

    def _update_comparison(self) -> None:
        best = self._verdict.recommendation
        self.comparison.update(self._state, self._shown_trial, best.config if best is not None else None)

    def step_trial(self, step: int) -> None:
        """Shows the timeline of the trial before or after."""
        combo = self.views.trials
        index = combo.currentIndex() + step
        if 0 <= index < combo.count():
            self.choose_trial(combo.itemData(index))

    def set_follow(self, follow: bool) -> None:
        """Follows the trial that runs, and its newest data."""
        current = self._state.snapshot().current
        self._follow = follow and self.live.running
        if self._follow and current is not None:
            if current.id != self._shown_trial:
                self._show_trace(current.id)
            self.views.timeline.follow_live()
        self.commands["live"].setChecked(self._follow)

    def _following_changed(self, following: bool) -> None:
        """The user moved the timeline by hand, or returned to its end."""
        if not self._switching:
            self._follow = following and self.live.running
            self.commands["live"].setChecked(self._follow)

    def _marks_changed(self) -> None:
        self._unsaved = self._unsaved or (self._session is None and not self.live.running)

    def _update_commands(self) -> None:
        running, shown = self.live.running, self._shown_trial is not None
        savable = not running and self._source() is not None and bool(self._state.snapshot().results)
        startable = not running and not self.setup.problem
        self.commands.enable(dict.fromkeys(("start", "start_up", "exact_window"), startable))
        self.commands.enable({"stop": running, "live": running, "save": savable, "report": savable, "export": shown, "copy_figure": shown})
        views, panel = self.views, self.setup.sweep_panel
        for button in (panel.start, panel.ask, views.startup.ask, views.operators.measure):
            button.setEnabled(startable)
        self.commands["live"].setChecked(running and self._follow)
        self.views.show_environment(self._state.snapshot().run, self.setup.environment)

    # Saving

    def _source(self) -> Path | None:
        """The complete session file of what is shown."""
        return self._session.path if self._session is not None else self.live.session_path

    def save(self, path: str | None = None) -> bool:
        """Saves the session, under a name that is asked for unless it is given; False if nothing was saved."""
        source = self._source()
        if source is None or self.live.running:
            return False
        target = self._saving.session(source, path)
        if target is None:
            return False
        self._unsaved = False
        if self._session is not None:
            self._session.move_to(target)
        self.recent.saved(source, target)
        self.setWindowTitle(f"{target.name} – Loaderscope")
        return True

    def save_report(self) -> None:
        """Writes a report of what is shown."""
        source = self._source()
        if source is not None:
            self._saving.report(source)

    # Closing

    def _may_leave_run(self) -> bool:
        """Whether what is shown may be given up; asks, stops and saves as the user wants."""
        if not (self._unsaved or self.live.running):
            return True
        answer = self.dialogs.unsaved(self.live.running, bool(self._state.snapshot().results))
        if answer == "cancel":
            return False
        if self.live.running:
            self.live.stop()
            self._run_ended()
        if answer == "save" and self._unsaved and not self.save():
            return False
        self._unsaved = False
        return True

    def discard_and_close(self) -> None:
        """Closes without a question; what is not saved is lost, and no process stays."""
        self.live.stop()
        self._unsaved = False
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self._may_leave_run():
            event.ignore()
            return
        self._marks.show(None)
        self.live.close()
        self.setup.close()
        self._close_session()
        self.look.save_layout()
        event.accept()

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    # Look

    def switch_theme(self) -> None:
        """Light to dark and back."""
        self.look.switch_theme()
        self._show_results(self._state.snapshot())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.look.shown()
        if not event.spontaneous():
            self.views.show_message(self.recent.notice)
