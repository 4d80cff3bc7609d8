"""Searches all spans and marks in slices that are too short for the user to notice. No Qt."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.data.growing_array import GrowingArray
from loaderscope.gui.timeline.data.level_of_detail import Ints, SpanPart, TrackIndex
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.search_query import SearchQuery
from loaderscope.gui.timeline.data.span_query import SpanRef, span_ref
from loaderscope.gui.timeline.data.state_styles import STYLES, nesting_level
from loaderscope.trace.model import EPOCH_SHIFT, loader_prefix, name_number

CHUNK_ROWS = 1 << 17
"""Rows to search in one step: about a millisecond."""

Rows = npt.NDArray[np.int32]
Hit = SpanRef | Mark
Position = tuple[int, int, int]
"""The sort key of a hit: its start, the number of its track (-1 for marks), its row."""

BEFORE_ALL: Position = (0, -2, 0)
AFTER_ALL: Position = (1 << 62, 1 << 30, 0)


@dataclasses.dataclass
class _Track:
    """The hits on one track so far."""

    lane: str
    number: int  # of the track within its lane
    index: TrackIndex
    is_wanted: npt.NDArray[np.bool_]  # by state: whether the lane draws it and the query asks for it
    searched: int = 0  # rows (for a query of a sample, points) that were searched
    hits: GrowingArray[np.int32] = dataclasses.field(default_factory=lambda: GrowingArray(np.int32))

    @property
    def rows(self) -> Rows:
        return self.hits.array


class Search:
    """The spans and marks of a scene that match a query, sorted by start. The search goes on while the scene grows."""

    def __init__(self, scene: Scene, query: SearchQuery, marks: tuple[Mark, ...] = ()) -> None:
        self.query = query
        self._scene = scene
        self._tracks: dict[tuple[str, int], _Track] = {}
        self._marks: tuple[Mark, ...] = ()
        self.set_marks(marks)

    def set_marks(self, marks: tuple[Mark, ...]) -> None:
        """Replaces the marks to search."""
        self._marks = tuple(mark for mark in marks if self.query.text in mark.text.lower())

    @property
    def count(self) -> int:
        """Number of hits so far."""
        return len(self._marks) + sum(len(track.rows) for track in self._tracks.values())

    def advance(self, seconds: float = np.inf) -> bool:
        """Searches new rows for about `seconds`; returns whether it searched all of them."""
        end = time.perf_counter() + seconds
        for track in self._all_tracks() if self.query.spans else ():
            while not self._search_chunk(track):
                if time.perf_counter() >= end:
                    return False
        return True

    def position_of(self, hit: Hit) -> Position:
        """Returns the sort key of a hit."""
        if isinstance(hit, Mark):
            return hit.time_ns, -1, 0
        return hit.start_ns, list(self._tracks).index((hit.lane, hit.track)), hit.row

    def rank(self, hit: Hit) -> int:
        """Returns how many hits come before a hit."""
        position = self.position_of(hit)
        tracks = enumerate(self._tracks.values())
        return sum((mark.time_ns, -1, 0) < position for mark in self._marks) + sum(
            _count_before(track, at, position) for at, track in tracks
        )

    def next_hit(self, position: Position) -> Hit | None:
        """Returns the first hit after a position."""
        candidates: list[tuple[Position, Hit]] = [((mark.time_ns, -1, 0), mark) for mark in self._marks if (mark.time_ns, -1, 0) > position]
        for number, track in enumerate(self._tracks.values()):
            candidates += self._hit(track, number, _count_before(track, number, position, including=True))
        return min(candidates, key=lambda pair: pair[0])[1] if candidates else None

    def previous_hit(self, position: Position) -> Hit | None:
        """Returns the last hit before a position."""
        candidates: list[tuple[Position, Hit]] = [((mark.time_ns, -1, 0), mark) for mark in self._marks if (mark.time_ns, -1, 0) < position]
        for number, track in enumerate(self._tracks.values()):
            candidates += self._hit(track, number, _count_before(track, number, position) - 1)
        return max(candidates, key=lambda pair: pair[0])[1] if candidates else None

    def hits_in_sight(self, lane: str, edges_ns: Ints) -> Iterator[tuple[SpanRef | None, npt.NDArray[np.bool_]]]:
        """Finds the hits of a lane between edges, track by track.

        Yields:
            Each hit as a span (with an empty mask) if a track has few; otherwise None and a mask of the columns with a hit.
        """
        for (of_lane, _), track in self._tracks.items():
            if of_lane != lane or not len(track.rows):
                continue
            index = track.index
            is_at_hand = index.is_at_hand(int(edges_ns[0]), int(edges_ns[-1]))
            between = index.rows_between(int(edges_ns[0]), int(edges_ns[-1])) if is_at_hand else index.rows_before(edges_ns[[0, -1]])
            begin, end = track.rows.searchsorted(np.array(between, np.int32)).tolist()
            if end - begin <= len(edges_ns) // 8 and is_at_hand:
                for row in track.rows[begin:end].tolist():
                    yield span_ref(track.lane, track.number, index, row), np.empty(0, bool)
            else:
                began = track.rows.searchsorted(index.rows_before(edges_ns).astype(np.int32))
                yield None, np.diff(began) > 0

    def _hit(self, track: _Track, number: int, at: int) -> list[tuple[Position, Hit]]:
        if not 0 <= at < len(track.rows):
            return []
        span = span_ref(track.lane, track.number, track.index, int(track.rows[at]))
        return [((span.start_ns, number, span.row), span)]

    def _all_tracks(self) -> Iterator[_Track]:
        for row in self._scene.rows:
            for lane in row.lanes:
                if self.query.lanes is not None and lane not in self.query.lanes:
                    continue
                for number, index in enumerate(self._scene.tracks(lane)):
                    key = (lane, number)
                    if key not in self._tracks:
                        self._tracks[key] = _Track(lane, number, index, _drawn_and_wanted(row.lane_kind, self.query.states))
                    yield self._tracks[key]

    def _search_chunk(self, track: _Track) -> bool:
        """Searches the next chunk of a track; returns whether it was the last one."""
        if self.query.sample is not None:
            return self._search_chunk_for_sample(track, self.query.sample)
        total, searched = len(track.index), track.searched
        if self.query.names is not None:
            if searched < total and State.IMPORT in track.index.states:
                self._search_for_modules(track, np.array(sorted(self.query.names), np.int64))
            track.searched = total
            return True
        if searched >= total or not any(track.is_wanted[state] for state in track.index.states if state < len(track.is_wanted)):
            track.searched = total
            return True
        track.searched = min(searched + CHUNK_ROWS, total)
        candidates = np.flatnonzero(self._matches(track, track.index.part(searched, track.searched)))
        if len(candidates):
            track.hits.append(candidates + searched)
        return track.searched >= total

    def _search_chunk_for_sample(self, track: _Track, sample: int) -> bool:
        points = self._scene.trace.points.get(track.lane)
        if points is None or State.FETCH not in track.index.states:
            return True
        # a later point may belong to a fetch that has not ended
        _, total = points.rows_touching(0, track.index.extent_ns[1])
        searched, track.searched = track.searched, min(track.searched + CHUNK_ROWS, total)
        view = points.rows(searched, track.searched)
        at = np.flatnonzero((view["value"] == sample) & (view["state"] == State.SAMPLE))
        self._add_rows_at(track, np.asarray(view["time_ns"], np.int64)[at], State.FETCH)
        return track.searched >= total

    def _search_for_modules(self, track: _Track, names: Ints) -> None:
        """Adds imports of modules, given by the numbers of their names.

        Instead of an import inside another one, which no lane draws, it adds the outer one.
        """
        names = names - name_number(loader_prefix(track.lane), 0)
        starts: list[Ints] = []
        for key, columns in list(self._scene.trace.tracks.items()):
            if key.lane == track.lane and key.depth > 0:
                view = columns.view()
                starts.append(np.asarray(view["start_ns"], np.int64)[(view["state"] == State.IMPORT) & np.isin(view["value"], names)])
        self._add_rows_at(track, np.sort(np.concatenate(starts)) if starts else np.empty(0, np.int64), State.IMPORT)

    def _add_rows_at(self, track: _Track, times_ns: Ints, state: int) -> None:
        """Adds the rows of a state that cover any of ascending times, if they are new and match."""
        if not len(times_ns):
            return
        begin = track.index.row_from(int(times_ns[0]), "right") - 1
        part = track.index.part(begin, track.index.row_from(int(times_ns[-1]), "right"))
        rows = np.unique(part.start_ns.searchsorted(times_ns, "right") - 1)
        rows = rows[(rows >= 0) & (rows + max(begin, 0) > (track.rows[-1] if len(track.rows) else -1))]
        rows = rows[part.state[rows] == state]
        if len(rows):
            rows = rows[self._matches(track, part.pick(rows))]
            track.hits.append(rows + max(begin, 0))

    def _matches(self, track: _Track, spans: SpanPart) -> npt.NDArray[np.bool_]:
        """Returns a mask of the spans that match the query."""
        query = self.query
        matches: npt.NDArray[np.bool_] = track.is_wanted.take(spans.state, mode="clip")
        if query.batch is not None:
            matches &= (spans.batch & ((1 << EPOCH_SHIFT) - 1)) == query.batch
        if query.epoch is not None:
            matches &= (spans.batch >> EPOCH_SHIFT) == query.epoch
        if query.longer_ns is not None or query.shorter_ns is not None:
            duration_ns = spans.end_ns - spans.start_ns
            matches &= duration_ns >= (query.longer_ns or 0)
            if query.shorter_ns is not None:
                matches &= duration_ns < query.shorter_ns
        return matches


def _count_before(track: _Track, number: int, position: Position, *, including: bool = False) -> int:
    """Returns how many hits of a track come before a position; with `including`, also counts a hit at it."""
    start_ns, own, row = position
    if number == own:
        return int(track.rows.searchsorted(np.int32(row), "right" if including else "left"))
    bound = track.index.row_from(start_ns, "right" if number < own else "left")
    return int(track.rows.searchsorted(np.int32(bound)))


def _drawn_and_wanted(lane_kind: str, states: frozenset[int] | None) -> npt.NDArray[np.bool_]:
    mask = np.zeros(max(STYLES) + 2, bool)
    for state in STYLES:
        mask[state] = nesting_level(lane_kind, state) is not None and (states is None or state in states)
    return mask
