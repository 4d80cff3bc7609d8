"""The marks of all trials of the shown run, and the files that store them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.session.file import SessionError, SessionFile


class MarkFile(Protocol):
    """A file that stores marks."""

    def marks(self, trial: int) -> list[Mark]:
        """Returns the marks of a trial."""

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces the marks of a trial."""


class CompleteFile:
    """A complete session file; opens it for each access, because nothing else has it open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def marks(self, trial: int) -> list[Mark]:
        with SessionFile.open(self._path) as file:
            return file.marks(trial)

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        with SessionFile.open(self._path) as file:
            file.set_marks(trial, marks)


class GrowingFile:
    """The session file of a sweep that is about to run. Another thread writes it; it has no marks yet."""

    def __init__(self, set_marks: Callable[[int, list[Mark]], object]) -> None:
        """`set_marks` passes the marks of a trial to that thread."""
        self._set_marks = set_marks

    def marks(self, _trial: int) -> list[Mark]:
        return []

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        self._set_marks(trial, marks)


class MarkStore:
    """Holds the marks of each trial, and stores every change in the file of the run."""

    def __init__(self, show_problem: Callable[[str], object], on_change: Callable[[], object]) -> None:
        """`show_problem` gets a sentence if a file fails; `on_change` is called after the user changes a mark."""
        self._show_problem, self._on_change = show_problem, on_change
        self._file: MarkFile | None = None
        self._marks: dict[int, tuple[Mark, ...]] = {}
        self._timelines: list[TimelineWidget] = []

    def follow(self, timeline: TimelineWidget, trial: Callable[[], int | None]) -> None:
        """Shows the marks of `trial` in a timeline, and stores the marks that the user sets there."""
        shown: int | None = None  # `trial` may already return the next one, while this one is still shown

        def show() -> None:
            nonlocal shown
            shown = trial()
            timeline.marking.show(self.marks_of(shown) if shown is not None and timeline.scene is not None else ())

        def store() -> None:
            if shown is not None:
                self.set_marks(shown, timeline.marking.marks)

        self._timelines.append(timeline)
        timeline.traceShown.connect(show)
        timeline.marking.changed.connect(store)

    def open(self, file: MarkFile | None) -> None:
        """Replaces all marks by those in the file of another run; None: no run is shown."""
        for timeline in self._timelines:
            timeline.marking.show(())  # ends an edit of a mark's text, which belongs to the run before
        self._file = file
        self._marks.clear()

    def store_in(self, file: MarkFile) -> None:
        """From now on stores marks in another file of the same run, beginning with the present ones."""
        self._file = file
        for trial, marks in self._marks.items():
            self._store(trial, marks)

    def marks_of(self, trial: int) -> tuple[Mark, ...]:
        """Returns the marks of a trial, in order of time."""
        if trial not in self._marks and self._file is not None:
            try:
                self._marks[trial] = tuple(self._file.marks(trial))
            except SessionError as error:
                self._show_problem(str(error))
        return self._marks.get(trial, ())

    def set_marks(self, trial: int, marks: Iterable[Mark]) -> None:
        """Replaces the marks of a trial, also in the file."""
        self._marks[trial] = tuple(marks)
        self._store(trial, self._marks[trial])
        self._on_change()

    def _store(self, trial: int, marks: tuple[Mark, ...]) -> None:
        if self._file is None:
            return
        try:
            self._file.set_marks(trial, list(marks))
        except SessionError as error:
            self._show_problem(f"The marks are shown but cannot be kept. {error}")
