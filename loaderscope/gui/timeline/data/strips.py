"""Which spans stand where: every lane is one or several strips, one for each track and nesting level. No Qt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

from loaderscope.gui.timeline.data.level_of_detail import TrackIndex
from loaderscope.gui.timeline.data.merged_lanes import summed
from loaderscope.gui.timeline.data.row_layout import PlacedRow, slot_px
from loaderscope.gui.timeline.data.scene import Scene, drawn_states
from loaderscope.gui.timeline.data.state_styles import LEVEL_PARTS


@dataclasses.dataclass(slots=True)
class Strip:
    """The spans of one track that a lane draws at one nesting level.

    Attributes:
        states: those that are drawn, in the order they are stacked.
        y, height: where they stand, logical pixels.
        level: 0 fills the lane, each further level only its lower part.
        lane_y, lane_height: the bar of the lane.
        holds_others: something is drawn inside spans of this level.
        is_marked: whether columns that hide a long span get a mark.
        is_named: whether there is room for names.
    """

    index: TrackIndex
    states: tuple[int, ...]
    y: float
    height: float
    level: int
    lane_y: float
    lane_height: float
    holds_others: bool = False
    is_marked: bool = False
    is_named: bool = True


@functools.lru_cache(maxsize=1024)
def level_px(height: float, level: int) -> int:
    """Height of a nesting level in a bar of a height."""
    return max(round(height * LEVEL_PARTS[min(level, len(LEVEL_PARTS) - 1)]), 3)


def strips(scene: Scene, rows: Sequence[PlacedRow], top: float) -> list[Strip]:
    """All strips of rows, the outermost levels first.

    Args:
        scene: what to show.
        rows: lanes, groups of lanes and the compact row of batches in flight.
        top: where y = 0 of the rows is.
    """
    of_kind = {"lane": _of_lane, "group": _of_group, "flight": _of_flight}
    found = [strip for placed in rows for strip in of_kind[placed.row.kind](scene, placed, top)]
    return sorted(found, key=lambda strip: strip.level)


def _of_lane(scene: Scene, placed: PlacedRow, top: float) -> Iterator[Strip]:
    indexes = scene.tracks(placed.row.lanes[0])
    y, height = top + placed.bar_y, placed.bar_height
    for number, states, level, part, holds_others in _shape(placed.row.lane_kind, height, tuple(index.states for index in indexes)):
        yield Strip(indexes[number], states, y + height - part, part, level, y, height, holds_others, level == 0, level < 2)


@functools.lru_cache(maxsize=256)
def _shape(kind: str, height: float, states_of: tuple[tuple[int, ...], ...]) -> list[tuple[int, tuple[int, ...], int, int, bool]]:
    """The strips of a lane by what occurs on its tracks: track, states, level, height, and whether it holds others. Lanes are alike."""
    drawn = [[drawn_states(states, kind, level) for states in states_of] for level in range(len(LEVEL_PARTS))]
    return [
        (number, states, level, level_px(height, level), level + 1 < len(drawn) and any(drawn[level + 1]))
        for level, tracks in enumerate(drawn)
        for number, states in enumerate(tracks)
        if states
    ]


def _of_group(scene: Scene, placed: PlacedRow, top: float) -> Iterator[Strip]:
    y, height = top + placed.bar_y, placed.bar_height
    for level in range(len(LEVEL_PARTS)):
        tracks, states = summed(scene, placed.row.lanes, placed.row.lane_kind, level)
        part = level_px(height, level)
        if states:
            yield Strip(tracks, states, y + height - part, part, level, y, height, is_named=False)


def _of_flight(scene: Scene, placed: PlacedRow, top: float) -> Iterator[Strip]:
    pitch = slot_px(placed)
    height = max(pitch - 1, 1)
    for slot, lane in enumerate(placed.row.lanes):
        y = top + placed.bar_y + slot * pitch
        for index in scene.tracks(lane):
            if states := drawn_states(index.states, "flight", 0):
                yield Strip(index, states, y, height, 0, y, height, is_named=False)
