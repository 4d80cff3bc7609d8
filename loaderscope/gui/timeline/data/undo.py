"""What the user did to marks and lanes, so that it can be taken back, the last first. No Qt."""

from __future__ import annotations

from collections.abc import Callable

_MOST_STEPS = 100


class UndoSteps:
    """The steps of one timeline, or of two that are arranged alike."""

    def __init__(self) -> None:
        self._steps: list[tuple[object, Callable[[], object]]] = []

    def add(self, owner: object, take_back: Callable[[], object]) -> None:
        """Something was done to what `owner` keeps."""
        self._steps = [*self._steps, (owner, take_back)][-_MOST_STEPS:]

    def forget(self, owner: object) -> None:
        """What was done to what `owner` keeps cannot be taken back any more."""
        self._steps = [step for step in self._steps if step[0] is not owner]

    def undo(self) -> None:
        """Takes back what was done last."""
        if self._steps:
            self._steps.pop()[1]()
