"""Looking through all spans for those that are wanted, in slices that are too short to be noticed. No Qt."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.data.growing_array import Growing
from loaderscope.gui.timeline.data.level_of_detail import Ints, TrackIndex
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.search_query import SearchQuery
from loaderscope.gui.timeline.data.span_query import SpanRef, reference
from loaderscope.gui.timeline.data.state_styles import STYLES, level_in
from loaderscope.trace.model import EPOCH_SHIFT

CHUNK_ROWS = 1 << 17
"""Looked at in one go: about a millisecond."""

Rows = npt.NDArray[np.int32]
Hit = SpanRef | Mark
Place = tuple[int, int, int]
"""Where a hit stands among all: its start, the number of its track (marks are -1), its row."""

BEFORE_ALL: Place = (0, -2, 0)
AFTER_ALL: Place = (1 << 62, 1 << 30, 0)


@dataclasses.dataclass
class _Track:
    """The hits on one track so far."""

    lane: str
    number: int  # of the track within its lane
    index: TrackIndex
    wanted: npt.NDArray[np.bool_]  # by state
    known: int = 0  # rows, or points where a sample is wanted, that were looked at
    hits: Growing[np.int32] = dataclasses.field(default_factory=lambda: Growing(np.int32))

    @property
    def rows(self) -> Rows:
        return self.hits.array


class Search:
    """The spans and marks of a scene that are wanted, in the order of their start. It goes on while the scene grows."""

    def __init__(self, scene: Scene, wanted: SearchQuery, marks: tuple[Mark, ...] = ()) -> None:
        self.wanted = wanted
        self._scene = scene
        self._tracks: dict[tuple[str, int], _Track] = {}
        self._marks: tuple[Mark, ...] = ()
        self.set_marks(marks)

    def set_marks(self, marks: tuple[Mark, ...]) -> None:
        """The marks that there are now."""
        self._marks = tuple(mark for mark in marks if self.wanted.text in mark.text.lower())

    @property
    def count(self) -> int:
        """How many hits were found so far."""
        return len(self._marks) + sum(len(track.rows) for track in self._tracks.values())

    def work(self, seconds: float = np.inf) -> bool:
        """Looks through what is new for about so long; returns whether all was looked through."""
        end = time.perf_counter() + seconds
        for track in self._all_tracks() if self.wanted.spans else ():
            while not self._look(track):
                if time.perf_counter() >= end:
                    return False
        return True

    def place_of(self, hit: Hit) -> Place:
        """Where a hit stands among all."""
        if isinstance(hit, Mark):
            return hit.time_ns, -1, 0
        return hit.start_ns, list(self._tracks).index((hit.lane, hit.track)), hit.row

    def rank(self, hit: Hit) -> int:
        """How many hits come before one."""
        place = self.place_of(hit)
        tracks = enumerate(self._tracks.values())
        return sum((mark.time_ns, -1, 0) < place for mark in self._marks) + sum(_count_before(track, at, place) for at, track in tracks)

    def following(self, place: Place) -> Hit | None:
        """The first hit after a place."""
        found: list[tuple[Place, Hit]] = [((mark.time_ns, -1, 0), mark) for mark in self._marks if (mark.time_ns, -1, 0) > place]
        for number, track in enumerate(self._tracks.values()):
            found += self._hit(track, number, _count_before(track, number, place, including=True))
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def preceding(self, place: Place) -> Hit | None:
        """The last hit before a place."""
        found: list[tuple[Place, Hit]] = [((mark.time_ns, -1, 0), mark) for mark in self._marks if (mark.time_ns, -1, 0) < place]
        for number, track in enumerate(self._tracks.values()):
            found += self._hit(track, number, _count_before(track, number, place) - 1)
        return max(found, key=lambda pair: pair[0])[1] if found else None

    def seen(self, lane: str, edges_ns: Ints) -> Iterator[tuple[SpanRef | None, npt.NDArray[np.bool_]]]:
        """The hits of a lane in sight: each with itself while they are few, else which of the columns between edges have one."""
        for (of_lane, _), track in self._tracks.items():
            if of_lane != lane or not len(track.rows):
                continue
            first, last = track.index.rows_between(int(edges_ns[0]), int(edges_ns[-1]))
            begin, end = track.rows.searchsorted(np.array([first, last], np.int32)).tolist()
            if end - begin <= len(edges_ns) // 8:
                for row in track.rows[begin:end].tolist():
                    yield reference(track.lane, track.number, track.index, row), np.empty(0, bool)
            else:
                began = track.rows.searchsorted(track.index.start_ns.searchsorted(edges_ns).astype(np.int32))
                yield None, np.diff(began) > 0

    def _hit(self, track: _Track, number: int, at: int) -> list[tuple[Place, Hit]]:
        if not 0 <= at < len(track.rows):
            return []
        row = int(track.rows[at])
        return [((int(track.index.start_ns[row]), number, row), reference(track.lane, track.number, track.index, row))]

    def _all_tracks(self) -> Iterator[_Track]:
        for row in self._scene.rows:
            for lane in row.lanes:
                if self.wanted.lanes is not None and lane not in self.wanted.lanes:
                    continue
                for number, index in enumerate(self._scene.tracks(lane)):
                    key = (lane, number)
                    if key not in self._tracks:
                        self._tracks[key] = _Track(lane, number, index, _drawn_and_wanted(row.lane_kind, self.wanted.states))
                    yield self._tracks[key]

    def _look(self, track: _Track) -> bool:
        """Looks at a chunk of a track; returns whether it was the last one."""
        if self.wanted.sample is not None:
            return self._look_for_sample(track, self.wanted.sample)
        total, known = len(track.index), track.known
        if self.wanted.names is not None:
            if known < total and State.IMPORT in track.index.states:
                self._look_for_modules(track, np.array(sorted(self.wanted.names), np.int64))
            track.known = total
            return True
        if known >= total or not any(track.wanted[state] for state in track.index.states if state < len(track.wanted)):
            track.known = total
            return True
        track.known = min(known + CHUNK_ROWS, total)
        found = np.flatnonzero(self._fits(track, slice(known, track.known)))
        if len(found):
            track.hits.append(found + known)
        return track.known >= total

    def _look_for_sample(self, track: _Track, sample: int) -> bool:
        points = self._scene.trace.points.get(track.lane)
        if points is None or State.FETCH not in track.index.states:
            return True
        view = points.view()
        times: Ints = np.asarray(view["time_ns"], np.int64)
        # the fetch of what was recorded last may not have ended
        total = int(times.searchsorted(track.index.end_ns[-1]))
        known, track.known = track.known, min(track.known + CHUNK_ROWS, total)
        part = slice(known, track.known)
        at = np.flatnonzero((view["value"][part] == sample) & (view["state"][part] == State.SAMPLE)) + known
        self._add_rows_at(track, times[at], State.FETCH)
        return track.known >= total

    def _look_for_modules(self, track: _Track, names: Ints) -> None:
        """An import inside another one is not drawn: the one around it is found."""
        starts: list[Ints] = []
        for key, columns in list(self._scene.trace.tracks.items()):
            if key.lane == track.lane and key.depth > 0:
                view = columns.view()
                starts.append(np.asarray(view["start_ns"], np.int64)[(view["state"] == State.IMPORT) & np.isin(view["value"], names)])
        self._add_rows_at(track, np.sort(np.concatenate(starts)) if starts else np.empty(0, np.int64), State.IMPORT)

    def _add_rows_at(self, track: _Track, times_ns: Ints, state: int) -> None:
        """Takes the rows of a state that were going on at ascending times, as far as they are new and wanted."""
        rows = np.unique(track.index.start_ns.searchsorted(times_ns, "right") - 1)
        rows = rows[rows > (track.rows[-1] if len(track.rows) else -1)]
        rows = rows[track.index.state[rows] == state]
        if len(rows):
            track.hits.append(rows[self._fits(track, rows)])

    def _fits(self, track: _Track, rows: slice | Ints) -> npt.NDArray[np.bool_]:
        """Which of some rows are wanted."""
        wanted, index = self.wanted, track.index
        fits: npt.NDArray[np.bool_] = track.wanted.take(index.state[rows], mode="clip")
        if wanted.batch is not None:
            fits &= (index.batch[rows] & ((1 << EPOCH_SHIFT) - 1)) == wanted.batch
        if wanted.epoch is not None:
            fits &= (index.batch[rows] >> EPOCH_SHIFT) == wanted.epoch
        if wanted.longer_ns is not None or wanted.shorter_ns is not None:
            duration_ns = index.end_ns[rows] - index.start_ns[rows]
            fits &= duration_ns >= (wanted.longer_ns or 0)
            if wanted.shorter_ns is not None:
                fits &= duration_ns < wanted.shorter_ns
        return fits


def _count_before(track: _Track, number: int, place: Place, *, including: bool = False) -> int:
    """How many hits of a track come before a place, or up to it."""
    start_ns, own, row = place
    if number == own:
        return int(track.rows.searchsorted(np.int32(row), "right" if including else "left"))
    bound = track.index.start_ns.searchsorted(np.int64(start_ns), "right" if number < own else "left")
    return int(track.rows.searchsorted(np.int32(bound)))


def _drawn_and_wanted(lane_kind: str, states: frozenset[int] | None) -> npt.NDArray[np.bool_]:
    mask = np.zeros(max(STYLES) + 2, bool)
    for state in STYLES:
        mask[state] = level_in(lane_kind, state) is not None and (states is None or state in states)
    return mask
