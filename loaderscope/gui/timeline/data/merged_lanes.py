"""Several lanes drawn as one: the time that all of them together spend in each state. No Qt."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Sequence

from loaderscope.gui.timeline.data.level_of_detail import Ints, TrackIndex
from loaderscope.gui.timeline.data.scene import Row, Scene, drawn_states
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS


class SummedTracks(TrackIndex):
    """Tracks of several lanes, to be asked for the time of their states as one track is. It has no rows of its own."""

    def __init__(self, tracks: Sequence[tuple[TrackIndex, tuple[int, ...]]], lane_count: int) -> None:
        """Takes tracks with those of their states that count, and the number of lanes that they belong to."""
        super().__init__(Columns(SPAN_COLUMNS))
        self._summed = tracks
        self._lane_count = lane_count

    def rows_between(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """More rows than are ever drawn one by one: what is summed is drawn as columns at any zoom."""
        return 0, sys.maxsize

    def busy_ns(self, edges_ns: Ints, states: Collection[int]) -> dict[int, Ints]:
        """Time that each state fills between consecutive edges: the mean over the lanes, in whole nanoseconds."""
        total: dict[int, Ints] = {}
        for index, mine in self._summed:
            for state, value in index.busy_ns(edges_ns, [state for state in mine if state in states]).items():
                total[state] = total[state] + value if state in total else value
        return {state: total[state] // self._lane_count for state in states if state in total}


def summed(scene: Scene, lanes: Sequence[str], kind: str, level: int) -> tuple[SummedTracks, tuple[int, ...]]:
    """What lanes of a kind draw at a nesting level, summed, and its states in the order they are stacked."""
    tracks = [(index, drawn_states(index.states, kind, level)) for lane in lanes for index in scene.tracks(lane)]
    found = tuple(sorted({state for _, states in tracks for state in states}))
    return SummedTracks([pair for pair in tracks if pair[1]], max(len(lanes), 1)), drawn_states(found, kind, level)


def words_at(scene: Scene, row: Row, moment_ns: int) -> str:
    """How many lanes of a group are in each state at a moment, e.g. `9 fetch   1 collate   2 idle`; empty where none was recorded."""
    found: Counter[int] = Counter()
    for lane in row.lanes:
        for index in scene.tracks(lane):
            at = index.row_at(moment_ns)
            state = -1 if at is None else int(index.state[at])
            if state in drawn_states(index.states, row.lane_kind, 0):
                found[state] += 1
                break
    if not scene.origin_ns <= moment_ns <= scene.trace.end_ns:
        return ""
    idle = len(row.lanes) - found.total()
    parts = [f"{found[state]} {style.title}" for state, style in STYLES.items() if found[state]]
    return "   ".join([*parts, *([f"{idle} idle"] if idle else [])])
