"""How far a training is that is being recorded, in a few words. No Qt."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.facts.text import count_text, rough_duration_text
from loaderscope.gui.run.run_state import RunState
from loaderscope.trace.lane_table import MAIN_LANE
from loaderscope.trace.model import TrackKey

_WAITS = TrackKey(MAIN_LANE.key, 0)


class TrainingProgress:
    """Counts the batches of a training while its traces grow; looks at new spans alone."""

    def __init__(self) -> None:
        self._state: RunState | None = None
        self._counted: dict[int, tuple[int, int]] = {}  # by trial: rows that were looked at, and batches among them

    def text(self, state: RunState, seconds: float) -> str:
        """Returns how long a training has been recorded, and how many loaders and batches it had: 12 s · 2 loaders · 140 batches."""
        if state is not self._state:
            self._state, self._counted = state, {}
        snapshot = state.snapshot()
        for trial in snapshot.trials:
            self._count(state, trial)
        parts = [rough_duration_text(seconds)]
        if self._counted:
            batches = sum(count for _, count in self._counted.values())
            parts += [count_text(len(self._counted), "loader"), count_text(batches, "batch")]
        else:
            parts.append("no DataLoader was iterated yet")
        return " · ".join(parts)

    def _count(self, state: RunState, trial: int) -> None:
        trace = state.trace(trial)
        columns = trace.tracks.get(_WAITS) if trace is not None else None
        rows, batches = self._counted.get(trial, (0, 0))
        if columns is not None:
            forgotten, view = columns.numbered_view()
            new = slice(max(rows - forgotten, 0), None)
            is_wait, batch = view["state"][new] == State.WAIT, np.asarray(view["batch"][new], np.int64)
            batches += int(np.count_nonzero(is_wait & (batch >= 0)))
            rows = forgotten + len(view["state"])
        self._counted[trial] = rows, batches
