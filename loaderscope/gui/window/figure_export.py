"""Figures of what the window shows: asked for in a dialog, painted in a thread of their own, as a file or on the clipboard."""

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
from loaderscope.gui.run.newest_only import NewestOnly
from loaderscope.gui.style.figures import Figure, FigureError

SIGHT, TRIAL, FIRST = "what is in sight", "the whole trial", "the first seconds"
TIMES = (SIGHT, TRIAL, FIRST)
FORMATS = {"png": "PNG picture", "svg": "SVG drawing", "pdf": "PDF document"}
MOST_SCALE = 4
PATIENCE_MS = 1000
"""After this the user is told that a figure is being painted, and may cancel it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a figure is wanted. None of it depends on the size of the window, so that figures of two runs can be compared.

    Attributes:
        scale: pixels of a PNG for each logical one.
        width: of a timeline, logical pixels.
        time: which part of a timeline, one of `TIMES`.
        seconds: how much of it, for `FIRST`: the same for two trials gives both the same time scale.
    """

    format: str = "png"
    scale: int = 2
    width: int = 1400
    time: str = SIGHT
    seconds: float = 5.0


@dataclasses.dataclass(frozen=True)
class Subject:
    """Something of which a figure can be made.

    Attributes:
        make: makes the figure; called in another thread, so it must look at nothing that the window's thread changes.
        is_timeline: whether width and time mean anything.
    """

    name: str
    make: Callable[[Options], Figure]
    is_timeline: bool = False


@dataclasses.dataclass(frozen=True)
class FigureChoice:
    """What was chosen in the dialog."""

    subject: Subject
    options: Options
    to_clipboard: bool = False


class FigureDialog(QDialog):
    """Asks which figure, and how it is wanted."""

    def __init__(self, subjects: Sequence[Subject], current: int, options: Options, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export figure")
        self._subjects = subjects
        self._to_clipboard = False
        self.subject = _choice([subject.name for subject in subjects], current, "What to show")
        self.format = _choice(list(FORMATS.values()), list(FORMATS).index(options.format), "Kind of file")
        self.scale = _choice([f"{scale}×" for scale in range(1, MOST_SCALE + 1)], options.scale - 1, "Pixels of a PNG for each logical one")
        self.width_px = QSpinBox(minimum=600, maximum=4000, singleStep=100, value=options.width, suffix=" px")
        self.time = _choice(list(TIMES), TIMES.index(options.time), "Part of the timeline")
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
    def wanted(self) -> FigureChoice:
        """What is chosen now."""
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
        """What makes no difference cannot be changed."""
        is_timeline = self._subjects[self.subject.currentIndex()].is_timeline
        self.scale.setEnabled(list(FORMATS)[self.format.currentIndex()] == "png")
        self.width_px.setEnabled(is_timeline)
        self.time.setEnabled(is_timeline)
        self.seconds.setEnabled(is_timeline and TIMES[self.time.currentIndex()] == FIRST)


def _choice(texts: Sequence[str], current: int, tip: str) -> QComboBox:
    choice = QComboBox()
    choice.addItems(list(texts))
    choice.setCurrentIndex(current)
    choice.setToolTip(tip)
    return choice


@dataclasses.dataclass(frozen=True)
class _Outcome:
    number: int
    text: str = ""
    problem: str = ""
    image: QImage | None = None


class FigureExport(QObject):
    """Makes one figure at a time.

    Attributes:
        ask: asks what is wanted, of subjects and the place of the proposed one; None for nothing.
        ask_name: asks for a file: title, proposed name and filter give a path that ends as one of the filter's kinds, or nothing.

    Signals:
        ended: a figure was made, or not, or is not wanted any more.
    """

    ended = Signal()

    def __init__(
        self,
        window: QWidget,
        settings: QSettings,
        ask_name: Callable[[str, str, str], str],
        tell_done: Callable[[str], object],
        tell_problem: Callable[[str], object],
    ) -> None:
        """Takes the window, where choices are remembered, what asks for a name, and what says sentences to the user."""
        super().__init__(window)
        self._window, self._settings, self.ask_name = window, settings, ask_name
        self._tell_done, self._tell_problem = tell_done, tell_problem
        self.ask: Callable[[Sequence[Subject], int], FigureChoice | None] = self._ask
        self._number = 0
        self._cancelled = threading.Event()
        self._busy = False
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._patience.timeout.connect(self._show_progress)
        self._progress: QProgressDialog | None = None
        self._painting: NewestOnly[_Outcome] = NewestOnly(self._take, self)

    @property
    def busy(self) -> bool:
        """Whether a figure is being painted that is still wanted."""
        return self._busy

    def add_charts(self, charts: Iterable[Chart[Any]], actions: Sequence[QAction]) -> None:
        """Lets charts be copied and exported from their context menu and by keys, as the timeline."""
        for chart in charts:
            chart.addActions(list(actions))
            chart.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    def export(self, subjects: Sequence[Subject], current: int = 0) -> None:
        """Asks what is wanted and makes it."""
        if not subjects or self._is_refused():
            return
        wanted = self.ask(subjects, current)
        if wanted is None:
            return
        self._remember(wanted.options)
        if wanted.to_clipboard:
            self._run(lambda cancelled: _to_image(wanted, cancelled))
            return
        name = f"{wanted.subject.name.lower().replace(' ', '-')}.{wanted.options.format}"
        chosen_first = sorted(FORMATS, key=lambda format: format != wanted.options.format)
        path = self.ask_name("Export figure", name, ";;".join(f"{FORMATS[format]} (*.{format})" for format in chosen_first))
        if path:
            self._run(lambda cancelled: _to_file(wanted, Path(path), cancelled))

    def copy(self, subject: Subject) -> None:
        """Puts what is in sight on the clipboard, as a picture."""
        if not self._is_refused():
            options = dataclasses.replace(self.options, time=SIGHT)
            self._run(lambda cancelled: _to_image(FigureChoice(subject, options, True), cancelled))

    def cancel(self) -> None:
        """Gives up what is being painted: no file is written."""
        self._cancelled.set()
        self._number += 1
        self._end()

    @property
    def options(self) -> Options:
        """Those that were chosen last."""
        plain = Options()
        found = {}
        for field in dataclasses.fields(Options):
            default = getattr(plain, field.name)
            try:
                found[field.name] = type(default)(self._settings.value(f"figure/{field.name}", default))
            except (TypeError, ValueError):
                found[field.name] = default
        options = Options(**found)
        known = options.format in FORMATS and options.time in TIMES and 1 <= options.scale <= MOST_SCALE
        return options if known else plain

    def _remember(self, options: Options) -> None:
        for name, value in dataclasses.asdict(options).items():
            self._settings.setValue(f"figure/{name}", value)

    def _ask(self, subjects: Sequence[Subject], current: int) -> FigureChoice | None:
        dialog = FigureDialog(subjects, current, self.options, self._window)
        accepted = dialog.exec() == QDialog.DialogCode.Accepted
        wanted = dialog.wanted
        dialog.deleteLater()
        return wanted if accepted else None

    def _is_refused(self) -> bool:
        if self._busy:
            self._tell_problem("A figure is being painted still; cancel it or wait for it.")
        return self._busy

    def _run(self, work: Callable[[Callable[[], bool]], _Outcome]) -> None:
        self._busy = True
        self._number += 1
        number, self._cancelled = self._number, threading.Event()
        is_cancelled = self._cancelled.is_set
        self._patience.start()
        self._painting.ask(lambda: dataclasses.replace(_outcome_of(work, is_cancelled), number=number))

    def _take(self, outcome: _Outcome) -> None:
        if outcome.number != self._number:
            return
        if outcome.image is not None:
            QGuiApplication.clipboard().setImage(outcome.image)
        if outcome.problem:
            self._tell_problem(outcome.problem)
        else:
            self._tell_done(outcome.text)
        self._end()

    def _end(self) -> None:
        self._busy = False
        self._patience.stop()
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
    """Nobody wants the figure any more."""


def _outcome_of(work: Callable[[Callable[[], bool]], _Outcome], cancelled: Callable[[], bool]) -> _Outcome:
    try:
        return work(cancelled)
    except (FigureError, OSError) as error:
        return _Outcome(0, problem=str(error))
    except _CancelledError:
        return _Outcome(0)
    except Exception as error:  # the border of the thread
        return _Outcome(0, problem=f"The figure could not be painted: {type(error).__name__}: {error}.")


def _figure(wanted: FigureChoice, cancelled: Callable[[], bool]) -> Figure:
    """The figure, which stops painting soon after it was cancelled."""
    figure = wanted.subject.make(wanted.options)
    if cancelled():
        raise _CancelledError
    return figure


def _to_image(wanted: FigureChoice, cancelled: Callable[[], bool]) -> _Outcome:
    image = _figure(wanted, cancelled).image(wanted.options.scale)
    return _Outcome(0, f"{wanted.subject.name} is on the clipboard, as a picture", image=image)


def _to_file(wanted: FigureChoice, target: Path, cancelled: Callable[[], bool]) -> _Outcome:
    figure = _figure(wanted, cancelled)

    def paint_body(painter: Any) -> None:
        figure.paint_body(painter)
        if cancelled():
            raise _CancelledError

    dataclasses.replace(figure, paint_body=paint_body).write(target, wanted.options.scale)
    return _Outcome(0, f"Figure written to {target}")


def focused_chart() -> Chart[Any] | None:
    """The chart that has the keyboard."""
    widget = QApplication.focusWidget()
    return widget if isinstance(widget, Chart) else None
