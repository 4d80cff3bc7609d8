"""A window that shows one run, live or from a session file, and starts new ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSettings, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication, QMainWindow

from loaderscope.agent.messages import ErrorInfo
from loaderscope.agent.notebook import NOTEBOOK_SUFFIX
from loaderscope.facts.findings import Finding
from loaderscope.facts.request import RemedyToTry, Request
from loaderscope.facts.run import LogLine
from loaderscope.gui.panels.target_panel import advice_for
from loaderscope.gui.run.live_run import LiveRun
from loaderscope.gui.run.opened_session import OpenedSession, SessionError
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.window.figure_export import FigureExport
from loaderscope.gui.window.figure_sources import WindowFigures
from loaderscope.gui.window.mark_store import CompleteFile, GrowingFile, MarkStore
from loaderscope.gui.window.recent_files import RecentFiles
from loaderscope.gui.window.save_dialogs import SESSION_SUFFIX, Dialogs, SaveActions
from loaderscope.gui.window.setup import Setup
from loaderscope.gui.window.shown_run import ShownRun
from loaderscope.gui.window.start_actions import StartActions
from loaderscope.gui.window.training_question import TrainingConsent
from loaderscope.gui.window.views import Views
from loaderscope.trace.process_places import ProcessPlace


class RunWindow(QMainWindow):
    """Shows one run at a time, a running one or an opened session. Opens, starts, saves and closes runs."""

    def __init__(self, settings: QSettings) -> None:
        super().__init__()
        self._settings = settings
        self._session: OpenedSession | None = None
        self._ends_without_question = False
        self._unsaved = False
        self._write_problem = ""  # why the last file could not be written
        self.dialogs = Dialogs(self, settings)
        self._consent = TrainingConsent(settings, self, self._focus_arguments)
        self.setup = Setup(settings, self)
        self.live = LiveRun(self)
        self.views = Views(self, self.setup)
        self.starting = StartActions(
            self.setup,
            self.live,
            self.views,
            may_leave=self._may_leave_run,
            start_run=lambda request: self._start_run(request, self.live.start),
            start_training=lambda request: self._start_run(request, self.live.record),
            show_problem=self._show_problem,
            ask_for_training=self._consent.ask,
        )
        self.shown = ShownRun(
            self.setup,
            self.live,
            self.views,
            starting=self.starting,
            show_problem=self._show_problem,
            parent=self,
        )
        self._saving = SaveActions(self.dialogs, self._show_written, self._show_write_problem)
        self.figures = FigureExport(self, settings, self.dialogs.save, self._show_written, self._show_write_problem)
        self.window_figures = WindowFigures(self.figures, self.views, lambda: self.shown.run)
        self._marks = MarkStore(self._show_problem, self._marks_changed)
        self.recent = RecentFiles(self, settings, self.open_path)
        self.setAcceptDrops(True)
        self.setWindowTitle("Loaderscope")
        self._connect()

    def _connect(self) -> None:
        views = self.views
        self.setup.changed.connect(self._setup_changed)
        self.setup.opened.connect(self.recent.add)
        self.setup.outputRead.connect(lambda lines: views.log.add([LogLine(line.time_ns, line.stream, line.text) for line in lines]))
        self.setup.sweep_panel.startRequested.connect(self.starting.start)
        self.setup.sweep_panel.startupRequested.connect(self.starting.experiment)
        self.views.operators.measureRequested.connect(self.start_exact_window)
        views.startup.experimentRequested.connect(self.starting.experiment)
        views.findings.startupViewChosen.connect(views.show_startup)
        views.findings.epochsChosen.connect(self.starting.sweep_epochs)
        views.findings.trainingSettingsChosen.connect(self.try_settings_in_training)
        views.findings.remedyChosen.connect(self.try_remedy)
        self.live.ended.connect(self._run_ended)
        self.live.changesFound.connect(self._ask_about_changes)
        self.live.placesFound.connect(self._show_where)
        views.where.clicked.connect(self.live.ask_where)
        self._marks.follow(views.timeline, lambda: self.shown.marked_trial)
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
        """Looks at the script of a request and adopts its options; `start` runs the sweep as soon as it can start."""
        self.starting.starts_soon = start
        self.setup.open_request(request)

    def open_session(self, path: str) -> None:
        """Shows a saved session in place of the shown run."""
        if not self._may_leave_run():
            return
        try:
            opened = OpenedSession(path)
        except SessionError as error:
            self._show_problem(str(error))
            return
        self.recent.add(opened.path)
        self._marks.open(opened)
        self._close_session()
        self._session = opened
        self._show(opened.state, Path(path).name)
        if self.shown.run is not None:
            self.setup.show_run(self.shown.run)

    def _show(self, state: RunState, name: str) -> None:
        self._unsaved = False
        self.setWindowTitle(f"{name} – Loaderscope")
        self.shown.show(state)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped_file(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _dropped_file(event)
        if path is not None:
            event.acceptProposedAction()
            # a question to the user must not block the program that the file comes from
            QTimer.singleShot(0, self, lambda: self.open_path(path))

    # Running

    def start_exact_window(self) -> None:
        """Runs the shown setting once more, or all settings if none is shown, and profiles some steps after it."""
        shown = next((result for result in self.shown.results if result.id == self.shown.trial), None)
        self.starting.exact_window(shown.config if shown is not None else None)

    def try_remedy(self, finding: Finding | None) -> None:
        """Measures the setting of a finding with and without its remedy; None stands for the first finding that has one."""
        shown = [finding] if finding is not None else self.shown.findings
        tried = next((one for one in shown if one.remedy is not None and one.config is not None), None)
        configs = [result.config for result in self.shown.results if tried is not None and result.id in tried.trials]
        if tried is None or tried.remedy is None or tried.config is None or not configs:
            self.views.show_message("No finding has a remedy that a trial can test.")
        elif self.live.running:
            self.views.show_message("The remedy can be tried when the present run has ended.")
        else:
            self.starting.remedy(RemedyToTry(tried.remedy, tried.config), configs[0])

    def _show_where(self, places: list[ProcessPlace]) -> None:
        """Shows at which file and line each process stands, in the log and for a moment at the bottom."""
        words = [place.words for place in places]
        if not words:
            self.views.show_message("No process of a trial answered where it stands.")
            return
        now_ns = time.perf_counter_ns()
        self.views.log.add([LogLine(now_ns, "loaderscope", text, self.shown.trial) for text in words])
        self.views.docks["log"].raise_()
        self.views.show_message(" · ".join(words))

    def _focus_arguments(self) -> None:
        self.views.docks["setup"].bring_up()
        self.setup.target_panel.script_args.setFocus()

    def _ask_about_changes(self, files: list[str]) -> None:
        """Asks whether the sweep goes on whose first trial has changed files."""
        self.live.answer_changes(self.dialogs.files_changed(files, self.live.ended))

    def ask_again(self) -> None:
        """Forgets to which trainings the user agreed."""
        self._consent.forget()
        self.views.show_message("Each training is asked about again before it runs for its settings.")

    def try_settings_in_training(self) -> None:
        """Prepares a sweep in the training whose recording is shown."""
        self.setup.prepare_training_sweep()
        self.views.docks["setup"].bring_up()

    def stop_run(self) -> None:
        """Stops a sweep. Sends a training Ctrl+C; if that was done before, asks whether to kill it."""
        training = self.live.training
        if training is None or not self.live.is_stopping:
            self.live.cancel()
        elif self.dialogs.kill_training(self.live.ended):
            training.kill()
        self.shown.show_headline()
        self.shown.changed.emit()

    def _start_run(self, request: Request, start: Callable[[Request], RunState]) -> None:
        """Runs a request in place of the shown run; `start` is how."""
        self._marks.open(GrowingFile(self.live.set_marks))
        self._close_session()
        self.shown.follows = True
        self._show(start(request), Path(request.script).name)

    def _setup_changed(self) -> None:
        if not self.shown.is_judged:
            self.shown.show_headline()
        if self.starting.update_expectation():
            self.shown.show_progress()
        self.starting.start_requested_sweep()

    def _run_ended(self) -> None:
        run, results = self.shown.run, self.shown.results
        self._unsaved = bool(results)
        if run is not None and not run.is_training:
            self.setup.remember_sweep(run, results)
        if self.live.session_path is not None:
            self._marks.store_in(CompleteFile(self.live.session_path))
        self.views.startup.await_experiment(False)
        self.shown.run_ended()
        if self.live.error is not None:
            self._show_error(self.live.error)

    def _marks_changed(self) -> None:
        self._unsaved = self._unsaved or (self._session is None and not self.live.running)

    # Messages

    def _show_problem(self, sentence: str) -> None:
        """Shows a problem at both places where the user may look: in the target panel and above the views."""
        self.setup.target_panel.show_problem(sentence)
        self.views.show_headline(sentence)

    def _show_error(self, error: ErrorInfo) -> None:
        """Shows why a run could not run or failed, and what to do about it, or what its script said last."""
        self.setup.target_panel.show_problem(error.message, "\n".join(self.live.last_lines) or advice_for(error))
        run = self.shown.run
        if run is None or not run.is_training:  # what a training waited for is worth more than how it ended
            self.views.show_headline(error.message)

    def _show_write_problem(self, sentence: str) -> None:
        """Shows why a file could not be written, until one is written."""
        self._write_problem = sentence
        self._show_problem(sentence)

    def _show_written(self, sentence: str) -> None:
        """Shows that a file was written, and removes the problem of an earlier attempt."""
        if self._write_problem and self.setup.target_panel.problem.text() == self._write_problem:
            self.setup.target_panel.show_problem("")
            self.shown.show_headline()
        self._write_problem = ""
        self.views.show_message(sentence)

    # Saving

    def _session_path(self) -> Path | None:
        """Returns the complete session file of the shown run, if there is one."""
        return self._session.path if self._session is not None else self.live.session_path

    @property
    def can_be_saved(self) -> bool:
        """Whether there is a complete session with results."""
        return not self.live.running and self._session_path() is not None and bool(self.shown.results)

    def save(self, path: str | None = None) -> bool:
        """Saves the session; asks for a file name if none is given. Returns whether it was saved."""
        source = self._session_path()
        if source is None or self.live.running:
            return False
        target = self._saving.session(source, path)
        if target is None:
            return False
        self._unsaved = False
        if self._session is not None:
            self._session.move_to(target)
        self.recent.session_saved(source, target)
        self.setWindowTitle(f"{target.name} – Loaderscope")
        return True

    def save_report(self) -> None:
        """Writes a report of the shown run."""
        source = self._session_path()
        if source is not None:
            self._saving.report(source)

    # Closing

    def _may_leave_run(self) -> bool:
        """Returns whether the shown run may be closed; asks the user, then stops and saves it as they choose."""
        if self.live.training is not None and not self._may_leave_training():
            return False
        if not (self._unsaved or self.live.running):
            return True
        has_results = bool(self.shown.results)
        answer = self.dialogs.unsaved(self.live.running, has_results)
        if answer == "discard" and not has_results and self.shown.results:  # the first trial finished while the question stood there
            answer = self.dialogs.unsaved(self.live.running, True)
        if answer == "cancel" and not self._ends_without_question:
            return False
        if self.live.running:
            self.live.stop()
            self._run_ended()
        if answer == "save" and self._unsaved and not self.save():
            return False
        self._unsaved = False
        return True

    def _may_leave_training(self) -> bool:
        """Asks what becomes of a training that is recorded; returns whether its recording has ended then."""
        answer = "leave" if self._ends_without_question else self.dialogs.training_running()
        if answer == "stop" and self.live.training is not None:
            self.live.cancel()
            answer = self.dialogs.wait_for_training(self.live.ended)
            if answer == "kill" and self.live.training is not None:
                self.live.training.kill()
                answer = self.dialogs.wait_for_training(self.live.ended)
        if answer == "leave" and self.live.running:
            self.live.stop()
            self._run_ended()
        return not self.live.running

    def discard_and_close(self) -> None:
        """Closes without a question, and any dialog that is open; unsaved results are lost.

        No process of a sweep stays; a training that is recorded goes on.
        """
        self._ends_without_question = True
        self.live.stop()
        closed = None
        while (dialog := QApplication.activeModalWidget()) is not None and dialog is not closed and dialog.close():
            closed = dialog  # without a display it stays
        self._unsaved = False
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self._may_leave_run():
            event.ignore()
            return
        self._marks.open(None)
        self.live.close()
        self.setup.close()
        self._close_session()
        event.accept()

    def _close_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def _dropped_file(event: QDropEvent) -> str | None:
    """Returns the path of a dragged script, notebook or session; None for anything else, and for several files."""
    paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
    fitting = [path for path in paths if Path(path).suffix in (".py", NOTEBOOK_SUFFIX, SESSION_SUFFIX)]
    return fitting[0] if len(fitting) == 1 else None
