"""Reading the trace of a trial from a session file, in a thread of its own where it takes long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from PySide6.QtCore import QObject

from loaderscope.gui.run.newest_only import NewestOnly
from loaderscope.gui.run.run_state import RunState
from loaderscope.session.errors import SessionError
from loaderscope.trace.model import Trace

ROWS_AT_ONCE = 500_000
"""So many rows are read in a moment that nobody notices."""


@dataclasses.dataclass(frozen=True)
class LoadedTrace:
    """A trace that was read, or the sentence that says why not."""

    state: RunState
    trial_id: int
    trace: Trace | None = None
    problem: str = ""


class TraceLoader:
    """Reads one trace at a time; of several that are asked for while one is read only the last is."""

    def __init__(self, take: Callable[[LoadedTrace], object], owner: QObject) -> None:
        """`take` gets what was read: at once where that is quick, else later, also when nobody wants it any more but `owner`."""
        self._take = take
        self._latest: NewestOnly[LoadedTrace] = NewestOnly(take, owner, self._tell_unread)
        self._asked: tuple[RunState, int] | None = None

    def read(self, state: RunState, trial_id: int) -> bool:
        """Reads the trace of a trial; returns whether that is going on still."""
        self._latest.forget()
        try:
            is_long = state.rows_to_read(trial_id) > ROWS_AT_ONCE
        except SessionError:
            is_long = False  # reading it says what is wrong
        if is_long:
            self._asked = state, trial_id
            self._latest.ask(lambda: _read(state, trial_id))
        else:
            self._take(_read(state, trial_id))
        return is_long

    def _tell_unread(self) -> None:
        """Reading failed by a fault, which Python reported in the terminal."""
        if self._asked is not None:
            state, trial_id = self._asked
            self._take(LoadedTrace(state, trial_id, problem=f"Trial {trial_id} could not be read; the terminal tells why."))


def _read(state: RunState, trial_id: int) -> LoadedTrace:
    try:
        return LoadedTrace(state, trial_id, state.trace(trial_id))
    except SessionError as error:
        return LoadedTrace(state, trial_id, problem=str(error))
