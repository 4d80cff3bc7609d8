"""Lists the spans of a range as columns of a table, without an object for each span. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.level_of_detail import Ints, TrackIndex
from loaderscope.gui.timeline.data.scene import Scene, full_label
from loaderscope.gui.timeline.data.span_query import SpanRef, span_ref
from loaderscope.gui.timeline.data.state_styles import STYLES, nesting_level

MOST_ROWS = 100_000
"""Limit for a listing; nobody reads a longer table."""


@dataclasses.dataclass(frozen=True)
class _Track:
    lane: str
    label: str
    number: int
    index: TrackIndex


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """Spans of a range, sorted by start.

    Attributes:
        is_whole: whether the listing has all spans of the range; otherwise it has the first ones.
        tracks: the tracks that were listed.
        track: for each span the position of its track in `tracks`.
        row: for each span its row in that track.
        cpu_ns: -1 if unknown.
    """

    is_whole: bool
    tracks: tuple[_Track, ...]
    track: npt.NDArray[np.int32]
    row: Ints
    start_ns: Ints
    duration_ns: Ints
    state: Ints
    batch: Ints
    cpu_ns: Ints

    def __len__(self) -> int:
        return len(self.row)

    def label(self, at: int) -> str:
        """Returns the label of the lane of a row of the listing."""
        return self.tracks[int(self.track[at])].label

    def span(self, at: int) -> SpanRef:
        """Returns the span of a row of the listing."""
        track = self.tracks[int(self.track[at])]
        return span_ref(track.lane, track.number, track.index, int(self.row[at]))

    def find(self, span: SpanRef) -> int | None:
        """Returns the row of the listing with a span."""
        number = next((at for at, track in enumerate(self.tracks) if (track.lane, track.number) == (span.lane, span.track)), None)
        if number is None:
            return None
        found = np.flatnonzero((self.row == span.row) & (self.track == number))
        return int(found[0]) if len(found) else None


def list_spans(scene: Scene, start_ns: int, end_ns: int, lanes: Collection[str] | None = None, most: int = MOST_ROWS) -> Listing:
    """Lists the drawn spans that touch a range.

    Args:
        scene: the scene.
        start_ns: absolute begin of the range.
        end_ns: absolute end of the range.
        lanes: keys of the lanes to list; None for all.
        most: list no more rows than this.
    """
    tracks, masks = [], []
    for row in scene.rows:
        for lane in row.lanes:
            if lanes is None or lane in lanes:
                info = scene.lane(lane)
                for number, index in enumerate(scene.tracks(lane)):
                    tracks.append(_Track(lane, full_label(info.label, info.group) if info is not None else lane, number, index))
                    masks.append(_drawn_by_state(info.kind if info is not None else row.lane_kind))
    until_ns = _end_of_first(tracks, start_ns, end_ns, most)
    columns: list[list[Ints]] = [[] for _ in range(7)]
    for at, (track, mask) in enumerate(zip(tracks, masks, strict=True)):
        first, last = track.index.rows_of_range(start_ns, until_ns)
        part = track.index.part(first, last)
        drawn = np.flatnonzero(mask.take(part.state, mode="clip"))
        state = part.state[drawn].astype(np.int64)
        columns_of_track = (
            np.full(len(drawn), at),
            drawn + first,
            part.start_ns[drawn],
            part.end_ns[drawn] - part.start_ns[drawn],
            state,
            part.batch[drawn],
            np.where(state == State.FETCH, part.value[drawn], -1),
        )
        for column, values in zip(columns, columns_of_track, strict=True):
            column.append(values)
    whole = [np.concatenate(column) if column else np.empty(0, np.int64) for column in columns]
    order = np.argsort(whole[2], kind="stable")
    track_of, *others = (column[order] for column in whole)
    return Listing(until_ns >= end_ns, tuple(tracks), track_of.astype(np.int32), *others)


def _end_of_first(tracks: list[_Track], start_ns: int, end_ns: int, most: int) -> int:
    """Returns the latest end, up to `end_ns`, of a range from `start_ns` with at most `most` rows."""

    def rows_until(time_ns: int) -> int:
        return sum(track.index.count_between(start_ns, time_ns) for track in tracks)

    if rows_until(end_ns) <= most:
        return end_ns
    low, high = start_ns, end_ns
    while high - low > max((end_ns - start_ns) >> 30, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if rows_until(middle) <= most else (low, middle)
    return low


def _drawn_by_state(lane_kind: str) -> npt.NDArray[np.bool_]:
    return np.array([nesting_level(lane_kind, state) is not None for state in range(max(STYLES) + 2)])
