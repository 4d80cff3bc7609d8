"""Strips: a lane draws one for each of its tracks and nesting levels. Also the spans that strips draw, as one table. No Qt."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.level_of_detail import Ints, TrackIndex
from loaderscope.gui.timeline.data.row_layout import PlacedRow, slot_px
from loaderscope.gui.timeline.data.scene import Scene, drawn_states
from loaderscope.gui.timeline.data.state_styles import LEVEL_PARTS, STYLES
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS


@dataclasses.dataclass(slots=True)
class Strip:
    """The spans of one track that a lane draws at one nesting level.

    Attributes:
        states: the states that it draws, in the order of stacking.
        y, height: its place, logical pixels.
        level: 0 fills the lane, each further level only its lower part.
        lane_y, lane_height: the place of the lane's bar.
        holds_others: the lane draws other spans inside those of this level.
        is_marked: whether columns that hide an outlier get a mark.
        is_named: whether there is room for names.
        lane: the key of its lane, if it stands for one with room for names.
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
    lane: str = ""


@functools.lru_cache(maxsize=1024)
def level_px(height: float, level: int) -> int:
    """Returns the height of a nesting level in a bar of a height."""
    return max(round(height * LEVEL_PARTS[min(level, len(LEVEL_PARTS) - 1)]), 3)


def strips(scene: Scene, rows: Sequence[PlacedRow], top: float) -> list[Strip]:
    """Returns all strips of rows, the outermost levels first.

    Args:
        scene: the scene of the rows.
        rows: lanes, groups of lanes, folded loaders and the compact row of batches in flight.
        top: the y in the widget at which the y of rows is 0.
    """
    of_kind = {"lane": _lane_strips, "group": _group_strips, "title": _group_strips, "flight": _flight_strips}
    unsorted = [strip for placed in rows for strip in of_kind[placed.row.kind](scene, placed, top)]
    return sorted(unsorted, key=lambda strip: strip.level)


def _lane_strips(scene: Scene, placed: PlacedRow, top: float) -> Iterator[Strip]:
    indexes = scene.tracks(placed.row.lanes[0])
    y, height = top + placed.bar_y, placed.bar_height
    for number, states, level, part, holds_others in _strip_shapes(placed.row.lane_kind, height, tuple(index.states for index in indexes)):
        yield Strip(
            indexes[number], states, y + height - part, part, level, y, height, holds_others, level == 0, level < 2, placed.row.lanes[0]
        )


@functools.lru_cache(maxsize=256)
def _strip_shapes(kind: str, height: float, states_of: tuple[tuple[int, ...], ...]) -> list[tuple[int, tuple[int, ...], int, int, bool]]:
    """Returns the strips of a lane: track, states, level, height, whether it holds others. Cached, as many lanes have the same states."""
    drawn = [[drawn_states(states, kind, level) for states in states_of] for level in range(len(LEVEL_PARTS))]
    return [
        (number, states, level, level_px(height, level), level + 1 < len(drawn) and any(drawn[level + 1]))
        for level, tracks in enumerate(drawn)
        for number, states in enumerate(tracks)
        if states
    ]


def _group_strips(scene: Scene, placed: PlacedRow, top: float) -> Iterator[Strip]:
    y, height = top + placed.bar_y, placed.bar_height
    for level in range(len(LEVEL_PARTS)):
        tracks, states = sum_tracks(scene, placed.row.lanes, placed.row.lane_kind, level)
        part = level_px(height, level)
        if states:
            yield Strip(tracks, states, y + height - part, part, level, y, height, is_named=False)


def _flight_strips(scene: Scene, placed: PlacedRow, top: float) -> Iterator[Strip]:
    pitch = slot_px(placed)
    height = max(pitch - 1, 1)
    for slot, lane in enumerate(placed.row.lanes):
        y = top + placed.bar_y + slot * pitch
        for index in scene.tracks(lane):
            if states := drawn_states(index.states, "flight", 0):
                yield Strip(index, states, y, height, 0, y, height, is_named=False)


class SummedTracks(TrackIndex):
    """Several lanes drawn as one: answers `busy_ns` for the tracks of all of them as one track does. It has no rows of its own."""

    def __init__(self, tracks: Sequence[tuple[TrackIndex, tuple[int, ...]]], lane_count: int) -> None:
        """Takes tracks, each with its states that count, and the number of lanes of these tracks."""
        super().__init__(Columns(SPAN_COLUMNS))
        self._summed = tracks
        self._lane_count = lane_count

    def count_between(self, start_ns: int, end_ns: int) -> int:
        """Returns more rows than the painter draws one by one, so that it draws the sums as columns at any zoom."""
        return sys.maxsize

    def busy_ns(self, edges_ns: Ints, states: Collection[int]) -> dict[int, Ints]:
        """Returns the time that each state fills between consecutive edges: the mean over the lanes, in whole nanoseconds."""
        total: dict[int, Ints] = {}
        for index, counted in self._summed:
            for state, value in index.busy_ns(edges_ns, [state for state in counted if state in states]).items():
                total[state] = total[state] + value if state in total else value
        return {state: total[state] // self._lane_count for state in states if state in total}


def sum_tracks(scene: Scene, lanes: Sequence[str], kind: str, level: int) -> tuple[SummedTracks, tuple[int, ...]]:
    """Returns the sum of what lanes of a kind draw at a nesting level, and its states in the order of stacking."""
    tracks = [(index, drawn_states(index.states, kind, level)) for lane in lanes for index in scene.tracks(lane)]
    occurring = tuple(sorted({state for _, states in tracks for state in states}))
    return SummedTracks([pair for pair in tracks if pair[1]], max(len(lanes), 1)), drawn_states(occurring, kind, level)


@dataclasses.dataclass(slots=True)
class StripSpans:
    """A table of the spans of several strips, strip after strip, as columns of equal length.

    Attributes:
        strip: position of the span's strip in the list of strips.
        row: row of the span in the index of its strip.
        state_index: position of the span's state in `Strip.states`.
    """

    strip: Ints
    row: Ints
    start_ns: Ints
    end_ns: Ints
    state: npt.NDArray[np.uint16]
    state_index: Ints

    def __len__(self) -> int:
        return len(self.row)

    def select(self, rows: npt.NDArray[np.bool_] | Ints) -> StripSpans:
        """Returns some of the spans, by a mask or by their positions."""
        return StripSpans(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


_NO_SPANS = np.empty(0, np.int64)

_STATE_COUNT = max(STYLES) + 2
"""Number of the states that lanes draw, and one more that stands for all others."""


def drawn_spans(strips: Sequence[Strip], row_ranges: Sequence[tuple[int, int]]) -> StripSpans:
    """Returns the spans that strips draw.

    Args:
        strips: the strips.
        row_ranges: for each strip the first row and one past the last row to look at.
    """
    counts = np.array([max(last - first, 0) for first, last in row_ranges], np.int64)
    if not counts.sum():
        return StripSpans(_NO_SPANS, _NO_SPANS, _NO_SPANS, _NO_SPANS, np.empty(0, np.uint16), _NO_SPANS)
    number = np.repeat(np.arange(len(strips)), counts)
    behind = np.array([first for first, _ in row_ranges], np.int64) - np.concatenate(([0], np.cumsum(counts)[:-1]))
    parts = [strip.index.part(*rows) for strip, rows in zip(strips, row_ranges, strict=True) if rows[1] > rows[0]]
    state = np.concatenate([part.state for part in parts])
    kinds = {states: place for place, states in enumerate(dict.fromkeys(strip.states for strip in strips))}
    line = np.array([kinds[strip.states] for strip in strips]) * _STATE_COUNT
    level = _state_indexes(tuple(kinds)).take(np.repeat(line, counts) + np.minimum(state, _STATE_COUNT - 1))
    spans = StripSpans(
        number,
        np.arange(len(number)) + behind[number],
        np.concatenate([part.start_ns for part in parts]),
        np.concatenate([part.end_ns for part in parts]),
        state,
        level,
    )
    is_drawn = level >= 0
    return spans if is_drawn.all() else spans.select(is_drawn)


@functools.lru_cache(maxsize=256)
def _state_indexes(kinds: tuple[tuple[int, ...], ...]) -> Ints:
    """Returns the position of each state in each tuple of states, (tuples, states); -1 if absent. The last column is for other states."""
    table = np.full((len(kinds), _STATE_COUNT), -1, np.int64)
    for line, states in zip(table, kinds, strict=True):
        line[list(states)] = np.arange(len(states))
    return table


def filled_ns(spans: StripSpans, strips: int, edges_ns: Ints) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Returns the time that each state of each strip fills between consecutive edges: like `TrackIndex.busy_ns`, but at a cost by spans.

    Args:
        spans: all spans that touch the range of the edges.
        strips: number of strips.
        edges_ns: int64, ascending, n + 1 values.

    Returns:
        The state indexes that occur, and (state indexes, strips, n) whole nanoseconds, in doubles, which are exact up to 104 days.
    """
    occurs = np.bincount(spans.state_index) > 0
    indexes, columns = np.flatnonzero(occurs).tolist(), len(edges_ns) - 1
    shape = (len(indexes), strips, columns)
    if not indexes:
        return indexes, np.zeros(shape)
    size = len(indexes) * strips * columns
    start_ns = np.clip(spans.start_ns, edges_ns[0], edges_ns[-1])
    end_ns = np.clip(spans.end_ns, edges_ns[0], edges_ns[-1])
    first = np.minimum(edges_ns.searchsorted(start_ns, "right") - 1, columns - 1)
    last = np.maximum(edges_ns.searchsorted(end_ns, "left") - 1, first)
    base = ((np.cumsum(occurs) - 1)[spans.state_index] * strips + spans.strip) * columns
    inside_ns = (np.minimum(end_ns, edges_ns[first + 1]) - start_ns).astype(np.float64)
    filled = np.zeros(size)
    filled += np.bincount(base + first, inside_ns, size)
    over = np.flatnonzero(last > first)
    if len(over):
        first, last, base = first[over], last[over], base[over]
        filled += np.bincount(base + last, (end_ns[over] - edges_ns[last]).astype(np.float64), size)
        # columns that a span fills from edge to edge: the count rises after its first column and falls at its last
        between = np.bincount(base + first + 1, minlength=size)
        between -= np.bincount(base + last, minlength=size)
        filled.reshape(shape)[:] += np.cumsum(between, out=between).reshape(shape) * np.diff(edges_ns)
    return indexes, filled.reshape(shape)
