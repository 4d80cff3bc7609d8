"""Exports a figure that the user chooses in a dialog to a file or the clipboard; paints timelines in another thread, charts in its own."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QGuiApplication, QImage
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QProgressDialog,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from loaderscope.gui.charts.chart import Chart
from loaderscope.gui.run.background_work import NewestOnly
from loaderscope.gui.style.figures import Figure, FigureError

SIGHT, TRIAL, FIRST = "what is in sight", "the whole trial", "the first seconds"
TIMES = (SIGHT, TRIAL, FIRST)
FORMATS = {"png": "PNG picture", "svg": "SVG drawing", "pdf": "PDF document"}
MAX_SCALE = 4
PROGRESS_DELAY_MS = 1000
"""Painting that takes longer is shown to the user, who may cancel it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a figure. None depends on the size of the window, so that figures of two runs can be compared.

    Attributes:
        format: a key of `FORMATS`.
        scale: pixels of a PNG for each logical one.
        width: of a timeline, in logical pixels.
        time: the part of a timeline, one of `TIMES`.
        seconds: the length of that part for `FIRST`. Two trials with the same length have the same time scale.
    """

    format: str = "png"
    scale: int = 2
    width: int = 1400
    time: str = SIGHT
    seconds: float = 5.0


@dataclasses.dataclass(frozen=True)
class Subject:
    """A part of the window that can become a figure.

    Attributes:
        make: makes the figure. That of a timeline is made in another thread, so it must not read anything that the window's thread changes.
        is_timeline: whether the subject is a timeline and not a chart: only then the options `width`, `time` and `seconds` have a meaning.
    """

    name: str
    make: Callable[[Options], Figure]
    is_timeline: bool = False


@dataclasses.dataclass(frozen=True)
class FigureChoice:
    """The choices of the user in the dialog."""

    subject: Subject
    options: Options
    to_clipboard: bool = False


class FigureDialog(QDialog):
    """Asks for the subject and the options of a figure."""

    def __init__(self, subjects: Sequence[Subject], current: int, options: Options, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export figure")
        self._subjects = subjects
        self._to_clipboard = False
        self.subject = _combo_box([subject.name for subject in subjects], current, "What to show")
        self.format = _combo_box(list(FORMATS.values()), list(FORMATS).index(options.format), "Kind of file")
        self.scale = _combo_box(
            [f"{scale}×" for scale in range(1, MAX_SCALE + 1)], options.scale - 1, "Pixels of a PNG for each logical one"
        )
        self.width_px = QSpinBox(minimum=600, maximum=4000, singleStep=100, value=options.width, suffix=" px")
        self.time = _combo_box(list(TIMES), TIMES.index(options.time), "Part of the timeline")
        self.seconds = QDoubleSpinBox(minimum=0.001, maximum=1e6, decimals=3, value=options.seconds, suffix=" s")
        self.scale.setToolTip("Pixels of a PNG for each logical one; 2× and more are sharp in print")
        self.width_px.setToolTip("Width of the timeline in logical pixels; the window's size makes no difference")
        self.seconds.setToolTip("From the trial's start. The same number for two trials gives both the same time scale")
        form = QFormLayout()
        for name, field in (
            ("Figure", self.subject),
            ("Format", self.format),
            ("Resolution", self.scale),
            ("Width", self.width_px),
            ("Time", self.time),
            ("Length", self.seconds),
        ):
            field.setAccessibleName(name)
            form.addRow(name, field)
        note = QLabel("Always in light colours, with a caption of script, settings, machine, versions and date.")
        note.setWordWrap(True)
        note.setProperty("role", "muted")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        copy = buttons.addButton("Copy", QDialogButtonBox.ButtonRole.ActionRole)
        copy.setToolTip("Put it on the clipboard as a picture")
        copy.clicked.connect(self._copy)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(note)
        layout.addWidget(buttons)
        for field in (self.subject, self.format, self.time):
            field.currentIndexChanged.connect(self._update)
        self._update()

    @property
    def choice(self) -> FigureChoice:
        """The present choices."""
        options = Options(
            list(FORMATS)[self.format.currentIndex()],
            self.scale.currentIndex() + 1,
            self.width_px.value(),
            TIMES[self.time.currentIndex()],
            self.seconds.value(),
        )
        return FigureChoice(self._subjects[self.subject.currentIndex()], options, self._to_clipboard)

    def _copy(self) -> None:
        self._to_clipboard = True
        self.accept()

    def _update(self) -> None:
        """Disables the fields that have no effect on the chosen subject and format."""
        is_timeline = self._subjects[self.subject.currentIndex()].is_timeline
        self.scale.setEnabled(list(FORMATS)[self.format.currentIndex()] == "png")
        self.width_px.setEnabled(is_timeline)
        self.time.setEnabled(is_timeline)
        self.seconds.setEnabled(is_timeline and TIMES[self.time.currentIndex()] == FIRST)


def _combo_box(texts: Sequence[str], current: int, tip: str) -> QComboBox:
    box = QComboBox()
    box.addItems(list(texts))
    box.setCurrentIndex(current)
    box.setToolTip(tip)
    return box


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """The end of one export: `text` if it succeeded, `problem` if it failed, none of both if it was cancelled."""

    number: int
    text: str = ""
    problem: str = ""
    image: QImage | None = None


class FigureExport(QObject):
    """Exports one figure at a time.

    Attributes:
        ask: asks the user for a choice, given the subjects and the index of the proposed one; returns None if the user cancels.
        ask_name: asks for a file, given title, proposed name and filter; returns a path with an ending of the filter, or an empty text.

    Signals:
        ended: an export succeeded, failed or was cancelled.
    """

    ended = Signal()

    def __init__(
        self,
        window: QWidget,
        settings: QSettings,
        ask_name: Callable[[str, str, str], str],
        show_done: Callable[[str], object],
        show_problem: Callable[[str], object],
    ) -> None:
        """Exports nothing yet.

        Args:
            window: the parent of dialogs.
            settings: keep the options used last.
            ask_name: see the attribute.
            show_done: shows a sentence after success.
            show_problem: shows a sentence after failure.
        """
        super().__init__(window)
        self._window, self._settings, self.ask_name = window, settings, ask_name
        self._show_done, self._show_problem = show_done, show_problem
        self.ask: Callable[[Sequence[Subject], int], FigureChoice | None] = self._ask
        self._number = 0
        self._cancelled = threading.Event()
        self._busy = False
        self._progress_delay = QTimer(self, singleShot=True, interval=PROGRESS_DELAY_MS)
        self._progress_delay.timeout.connect(self._show_progress)
        self._progress: QProgressDialog | None = None
        self._painting: NewestOnly[_Outcome] = NewestOnly(self._finish, self)

    @property
    def busy(self) -> bool:
        """Whether a figure is being painted that was not cancelled."""
        return self._busy

    def add_charts(self, charts: Iterable[Chart], actions: Sequence[QAction]) -> None:
        """Adds actions to the context menus and keys of charts, so that they can be copied and exported as the timeline can."""
        for chart in charts:
            chart.addActions(list(actions))
            chart.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def export(self, subjects: Sequence[Subject], current: int = 0) -> None:
        """Asks for a choice and makes that figure."""
        if not subjects or self._is_still_busy():
            return
        choice = self.ask(subjects, current)
        if choice is None:
            return
        self._remember(choice.options)
        if choice.to_clipboard:
            self._run(choice.subject, lambda cancelled: _to_image(choice, cancelled))
            return
        name = f"{choice.subject.name.lower().replace(' ', '-')}.{choice.options.format}"
        chosen_first = sorted(FORMATS, key=lambda format: format != choice.options.format)
        path = self.ask_name("Export figure", name, ";;".join(f"{FORMATS[format]} (*.{format})" for format in chosen_first))
        if path:
            self._run(choice.subject, lambda cancelled: _to_file(choice, Path(path), cancelled))

    def copy(self, subject: Subject) -> None:
        """Puts a subject on the clipboard as a picture, with the options used last; of a timeline, the part in sight."""
        if not self._is_still_busy():
            options = dataclasses.replace(self.options, time=SIGHT)
            self._run(subject, lambda cancelled: _to_image(FigureChoice(subject, options, True), cancelled))

    def cancel(self) -> None:
        """Cancels the figure that is being painted: no file is written."""
        self._cancelled.set()
        self._number += 1
        self._end()

    @property
    def options(self) -> Options:
        """The options used last; the defaults if the stored ones are invalid."""
        defaults = Options()
        stored = {}
        for field in dataclasses.fields(Options):
            default = getattr(defaults, field.name)
            try:
                stored[field.name] = type(default)(self._settings.value(f"figure/{field.name}", default))
            except (TypeError, ValueError):
                stored[field.name] = default
        options = Options(**stored)
        is_valid = options.format in FORMATS and options.time in TIMES and 1 <= options.scale <= MAX_SCALE
        return options if is_valid else defaults

    def _remember(self, options: Options) -> None:
        for name, value in dataclasses.asdict(options).items():
            self._settings.setValue(f"figure/{name}", value)

    def _ask(self, subjects: Sequence[Subject], current: int) -> FigureChoice | None:
        dialog = FigureDialog(subjects, current, self.options, self._window)
        accepted = dialog.exec() == QDialog.DialogCode.Accepted
        choice = dialog.choice
        dialog.deleteLater()
        return choice if accepted else None

    def _is_still_busy(self) -> bool:
        """Returns `busy`, and if so, tells the user."""
        if self._busy:
            self._show_problem("A figure is being painted still; cancel it or wait for it.")
        return self._busy

    def _run(self, subject: Subject, work: Callable[[Callable[[], bool]], _Outcome]) -> None:
        """Paints a timeline in another thread; a chart is made of widgets, and quickly painted in this one."""
        self._busy = True
        self._number += 1
        number, self._cancelled = self._number, threading.Event()
        is_cancelled = self._cancelled.is_set
        if not subject.is_timeline:
            self._finish(dataclasses.replace(_outcome_of(work, is_cancelled), number=number))
            return
        self._progress_delay.start()
        self._painting.ask(lambda: dataclasses.replace(_outcome_of(work, is_cancelled), number=number))

    def _finish(self, outcome: _Outcome) -> None:
        if outcome.number != self._number:
            return
        if outcome.image is not None:
            QGuiApplication.clipboard().setImage(outcome.image)
        if outcome.problem:
            self._show_problem(outcome.problem)
        else:
            self._show_done(outcome.text)
        self._end()

    def _end(self) -> None:
        self._busy = False
        self._progress_delay.stop()
        if self._progress is not None:
            self._progress.canceled.disconnect(self.cancel)
            self._progress.close()
            self._progress.deleteLater()
            self._progress = None
        self.ended.emit()

    def _show_progress(self) -> None:
        self._progress = QProgressDialog("Painting the figure; the window stays usable meanwhile.", "Cancel", 0, 0, self._window)
        self._progress.setWindowTitle("Export figure")
        self._progress.setMinimumDuration(0)
        self._progress.canceled.connect(self.cancel)
        self._progress.show()


class _CancelledError(Exception):
    """The user cancelled the figure."""


def _outcome_of(work: Callable[[Callable[[], bool]], _Outcome], cancelled: Callable[[], bool]) -> _Outcome:
    try:
        return work(cancelled)
    except (FigureError, OSError) as error:
        return _Outcome(0, problem=str(error))
    except _CancelledError:
        return _Outcome(0)
    except Exception as error:  # a thread's border: whatever went wrong must reach the user
        return _Outcome(0, problem=f"The figure could not be painted: {type(error).__name__}: {error}.")


def _figure(choice: FigureChoice, cancelled: Callable[[], bool]) -> Figure:
    """Returns the chosen figure.

    Raises:
        _CancelledError: the user cancelled meanwhile.
    """
    figure = choice.subject.make(choice.options)
    if cancelled():
        raise _CancelledError
    return figure


def _to_image(choice: FigureChoice, cancelled: Callable[[], bool]) -> _Outcome:
    image = _figure(choice, cancelled).image(choice.options.scale)
    return _Outcome(0, f"{choice.subject.name} is on the clipboard, as a picture", image=image)


def _to_file(choice: FigureChoice, target: Path, cancelled: Callable[[], bool]) -> _Outcome:
    figure = _figure(choice, cancelled)

    def paint_body(painter: Any) -> None:
        figure.paint_body(painter)
        if cancelled():
            raise _CancelledError

    dataclasses.replace(figure, paint_body=paint_body).write(target, choice.options.scale)
    return _Outcome(0, f"Figure written to {target}")


def focused_chart() -> Chart | None:
    """Returns the chart that has the keyboard, if one has."""
    widget = QApplication.focusWidget()
    return widget if isinstance(widget, Chart) else None
