"""A window that shows one run, live or from a session file, and starts new ones."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QMainWindow

from loaderscope.facts.request import Request
from loaderscope.facts.run import LogLine
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.run.opened_session import OpenedSession, SessionError
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.window.error_messages import ErrorMessages
from loaderscope.gui.window.figure_export import FigureExport
from loaderscope.gui.window.figure_sources import WindowFigures
from loaderscope.gui.window.file_drop import FileDrop
from loaderscope.gui.window.mark_store import CompleteFile, GrowingFile, MarkStore
from loaderscope.gui.window.recent_files import RecentFiles
from loaderscope.gui.window.save_dialogs import SESSION_SUFFIX, Dialogs, SaveActions
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.shown_run import ShownRun
from loaderscope.gui.window.start_actions import StartActions
from loaderscope.gui.window.views import Views


class RunWindow(QMainWindow):
    """Shows one run at a time, the one that runs or an opened session; opens, starts, saves and leaves runs."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self._settings = settings
        self._session: OpenedSession | None = None
        self._unsaved = False
        self.dialogs = Dialogs(self, settings)
        self.setup = Setup(self)
        self.live = LiveRun(self)
        self.views = Views(self, self.setup)
        self._tell = ErrorMessages(self.setup, self.views, self._show_headline)
        self.starting = StartActions(
            self.setup, self.live, self.views, may_leave=self._may_leave_run, begin=self._begin, tell_problem=self._tell.problem
        )
        self.shown = ShownRun(
            self.setup,
            self.live,
            self.views,
            expectation=lambda: self.starting.expectation,
            tell_problem=self._tell.problem,
            parent=self,
        )
        self._saving = SaveActions(self.dialogs, self._tell.written, self._tell.unwritten)
        self.figures = FigureExport(self, settings, self.dialogs.save, self._tell.written, self._tell.unwritten)
        self.window_figures = WindowFigures(self.figures, self.views, lambda: self.shown.run)
        self._marks = MarkStore(self._tell.problem, self._marks_changed)
        self.recent = RecentFiles(self, settings, self.open_path)
        FileDrop(self, self.open_path)
        self.setWindowTitle("Loaderscope")
        self._connect()

    def _connect(self) -> None:
        views = self.views
        self.setup.changed.connect(self._setup_changed)
        self.setup.opened.connect(self.recent.add)
        self.setup.outputRead.connect(lambda lines: views.log.add([LogLine(line.time_ns, line.stream, line.text) for line in lines]))
        self.setup.sweep_panel.startRequested.connect(self.starting.sweep)
        self.setup.sweep_panel.startupRequested.connect(self.starting.experiment)
        self.views.operators.measureRequested.connect(self.start_exact_window)
        views.startup.experimentRequested.connect(self.starting.experiment)
        views.findings.startupViewChosen.connect(views.show_startup)
        self.live.ended.connect(self._run_ended)
        self._marks.follow(views.timeline, lambda: self.shown.trial)
        self._marks.follow(views.pair.second, lambda: self.shown.comparison.partner)

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
        self._show(opened.state, Path(path).name)
        if self.shown.run is not None:
            self.setup.show_run(self.shown.run)

    def _show(self, state: RunState, name: str) -> None:
        self._unsaved = False
        self.setWindowTitle(f"{name} – Loaderscope")
        self.shown.show(state)

    # Running

    def start_exact_window(self) -> None:
        """Runs the setting that is shown once more, or all where none is, with some profiled steps after it."""
        shown = next((result for result in self.shown.results if result.id == self.shown.trial), None)
        self.starting.exact_window(shown.config if shown is not None else None)

    def _begin(self, request: Request) -> None:
        """Runs a request in place of what is shown."""
        self._marks.show(GrowingFile(self.live.set_marks))
        self._close_session()
        self.shown.follows = True
        self._show(self.live.start(request), Path(request.script).name)

    def _setup_changed(self) -> None:
        if not self.shown.is_judged:
            self.shown.show_headline()
        if self.starting.forecast_anew():
            self.shown.show_progress()
        self.starting.sweep_if_wanted()

    def _run_ended(self) -> None:
        run, results = self.shown.run, self.shown.results
        self._unsaved = bool(results)
        if run is not None:
            self.setup.learn(run, results)
        if self.live.session_path is not None:
            self._marks.keep_in(CompleteFile(self.live.session_path))
        self.views.startup.await_experiment(False)
        self.shown.end()
        if self.live.error is not None:
            self._tell.error(self.live.error)

    def _marks_changed(self) -> None:
        self._unsaved = self._unsaved or (self._session is None and not self.live.running)

    def _show_headline(self) -> None:
        self.shown.show_headline()

    # Saving

    def _source(self) -> Path | None:
        """The complete session file of what is shown."""
        return self._session.path if self._session is not None else self.live.session_path

    @property
    def can_be_saved(self) -> bool:
        """Whether there is a complete session with results."""
        return not self.live.running and self._source() is not None and bool(self.shown.results)

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
        answer = self.dialogs.unsaved(self.live.running, bool(self.shown.results))
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
        event.accept()

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
