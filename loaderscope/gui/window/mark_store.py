"""The marks of all trials that the window can show, and where they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.session.file import SessionError, SessionFile


class Keeper(Protocol):
    """Where marks are kept."""

    def marks(self, trial: int) -> list[Mark]:
        """The marks of a trial."""

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        """Replaces them."""


class CompleteFile:
    """A session file that nobody has open."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def marks(self, trial: int) -> list[Mark]:
        with SessionFile.open(self._path) as file:
            return file.marks(trial)

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        with SessionFile.open(self._path) as file:
            file.set_marks(trial, marks)


class GrowingFile:
    """The session file of a sweep that is about to run, which another thread writes. Its marks are those that are set here."""

    def __init__(self, set_marks: Callable[[int, list[Mark]], object]) -> None:
        """`set_marks` hands the marks of a trial to that thread."""
        self._set_marks = set_marks

    def marks(self, _trial: int) -> list[Mark]:
        return []

    def set_marks(self, trial: int, marks: list[Mark]) -> None:
        self._set_marks(trial, marks)


class MarkStore:
    """Remembers the marks of each trial, and has them kept."""

    def __init__(self, tell_problem: Callable[[str], object], changed: Callable[[], object]) -> None:
        """`changed` is called when the user changed a mark."""
        self._tell_problem, self._changed = tell_problem, changed
        self._keeper: Keeper | None = None
        self._marks: dict[int, tuple[Mark, ...]] = {}
        self._followed: list[TimelineWidget] = []

    def follow(self, timeline: TimelineWidget, trial: Callable[[], int | None]) -> None:
        """Shows in a timeline the marks of its trial, and keeps those that are set in it."""
        shown: int | None = None  # while `trial` may tell the next one already, for which nothing is shown yet

        def show() -> None:
            nonlocal shown
            shown = trial()
            timeline.marking.show(self.of(shown) if shown is not None and timeline.scene is not None else ())

        def take() -> None:
            if shown is not None:
                self.put(shown, timeline.marking.marks)

        self._followed.append(timeline)
        timeline.traceShown.connect(show)
        timeline.marking.changed.connect(take)

    def show(self, keeper: Keeper | None) -> None:
        """Another run is shown, or none; its marks are those that are kept."""
        for timeline in self._followed:
            timeline.marking.show(())  # a text that is being written belongs to the run before
        self._keeper = keeper
        self._marks.clear()

    def keep_in(self, keeper: Keeper) -> None:
        """From now on there is a place for them; those set so far go there."""
        self._keeper = keeper
        for trial, marks in self._marks.items():
            self._keep(trial, marks)

    def of(self, trial: int) -> tuple[Mark, ...]:
        """The marks of a trial, in order of time."""
        if trial not in self._marks and self._keeper is not None:
            try:
                self._marks[trial] = tuple(self._keeper.marks(trial))
            except SessionError as error:
                self._tell_problem(str(error))
        return self._marks.get(trial, ())

    def put(self, trial: int, marks: Iterable[Mark]) -> None:
        """Takes the marks of a trial as they are now."""
        self._marks[trial] = tuple(marks)
        self._keep(trial, self._marks[trial])
        self._changed()

    def _keep(self, trial: int, marks: tuple[Mark, ...]) -> None:
        if self._keeper is None:
            return
        try:
            self._keeper.set_marks(trial, list(marks))
        except SessionError as error:
            self._tell_problem(f"The marks are shown but cannot be kept. {error}")
