"""Reads the trace of a trial from a session file: at once if it is short, in another thread if it is long."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from PySide6.QtCore import QObject

from loaderscope.gui.run.background_work import NewestOnly
from loaderscope.gui.run.run_state import RunState
from loaderscope.session.errors import SessionError
from loaderscope.trace.model import Trace

ROWS_AT_ONCE = 500_000
"""Reading this many rows takes no time that a user notices."""


@dataclasses.dataclass(frozen=True)
class LoadedTrace:
    """A trace that was read, or the sentence that says why it could not be read."""

    state: RunState
    trial_id: int
    trace: Trace | None = None
    problem: str = ""


class TraceLoader:
    """Reads one trace at a time. Of several requests that arrive meanwhile, it serves only the last."""

    def __init__(self, on_loaded: Callable[[LoadedTrace], object], owner: QObject) -> None:
        """Loads nothing yet.

        Args:
            on_loaded: gets each trace: during `read` if it is short, else later, also when another trace was requested since.
            owner: once it is deleted, no trace is delivered any more.
        """
        self._on_loaded = on_loaded
        self._work: NewestOnly[LoadedTrace] = NewestOnly(on_loaded, owner, self._report_fault)
        self._requested: tuple[RunState, int] | None = None

    def read(self, state: RunState, trial_id: int) -> bool:
        """Reads the trace of a trial; returns whether reading still goes on."""
        self._work.forget()
        try:
            is_long = state.rows_to_read(trial_id) > ROWS_AT_ONCE
        except SessionError:
            is_long = False  # reading it says what is wrong
        if is_long:
            self._requested = state, trial_id
            self._work.ask(lambda: _load(state, trial_id))
        else:
            self._on_loaded(_load(state, trial_id))
        return is_long

    def _report_fault(self) -> None:
        """Delivers a problem in place of the trace; Python has reported the exception in the terminal."""
        if self._requested is not None:
            state, trial_id = self._requested
            self._on_loaded(LoadedTrace(state, trial_id, problem=f"Trial {trial_id} could not be read; the terminal tells why."))


def _load(state: RunState, trial_id: int) -> LoadedTrace:
    try:
        return LoadedTrace(state, trial_id, state.trace(trial_id))
    except SessionError as error:
        return LoadedTrace(state, trial_id, problem=str(error))
