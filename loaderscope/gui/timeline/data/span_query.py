"""Finds single spans: at a moment, next to another one, of a batch; mostly among those at hand. No Qt."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis import late_batches
from loaderscope.analysis.span_lookup import SpanColumns
from loaderscope.gui.timeline.data.level_of_detail import Ints, TrackIndex
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.state_styles import nesting_level
from loaderscope.trace.model import loader_prefix

_NEAR_ROWS = 8_192
"""Number of rows on either side of a moment in which to look for a batch; a batch never takes longer than a few prefetches."""

_MOST_INSIDE = 4_000  # rows that `spans_inside` looks at on each track


@dataclasses.dataclass(frozen=True)
class SpanRef:
    """One span with all values of its row."""

    lane: str
    track: int  # number of the track within its lane, outermost first
    row: int
    start_ns: int
    end_ns: int
    state: int
    batch: int
    value: int

    @property
    def loader(self) -> str:
        """The prefix of its loader in a scene of several loaders; else empty."""
        return loader_prefix(self.lane)

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


def span_at(scene: Scene, lane: str, time_ns: int, slack_ns: int = 0, depth_share: float = 1.0) -> SpanRef | None:
    """Returns the innermost drawn span of a lane at a moment.

    Args:
        scene: the scene.
        lane: lane key.
        time_ns: absolute time.
        slack_ns: accepts a span that ends or begins this close, so that the mouse can hit slivers.
        depth_share: how far down the bar the mouse is, 0 at its top; nested spans fill only the lower part.
    """
    info = scene.lane(lane)
    if info is None:
        return None
    best: tuple[int, int, SpanRef] | None = None
    for number, index in enumerate(scene.tracks(lane)):
        first, last = index.rows_between(time_ns - slack_ns, time_ns + slack_ns + 1)
        part = index.part(first, min(last, first + 64))
        for at, state in enumerate(part.state.tolist()):
            level = nesting_level(info.kind, state)
            if level is None or (level > 0 and depth_share < 0.42):
                continue
            off_ns = max(int(part.start_ns[at]) - time_ns, time_ns - int(part.end_ns[at]), 0)
            if best is None or (-off_ns, level) > best[:2]:
                best = (-off_ns, level, span_ref(lane, number, index, first + at))
    return best[2] if best else None


def neighbour(scene: Scene, span: SpanRef, step: int) -> SpanRef | None:
    """Returns the next (1) or previous (-1) span of the same lane and level."""
    info = scene.lane(span.lane)
    if info is None:
        return None
    index = scene.tracks(span.lane)[span.track]
    level = nesting_level(info.kind, span.state)
    row = span.row + step
    while 0 <= row < len(index):
        found = span_ref(span.lane, span.track, index, row)
        if nesting_level(info.kind, found.state) == level:
            return found
        row += step
    return None


def first_after(scene: Scene, lane: str, time_ns: int) -> SpanRef | None:
    """Returns the first outermost span of a lane that ends after a moment."""
    info = scene.lane(lane)
    for number, index in enumerate(scene.tracks(lane) if info else ()):
        row, _ = index.rows_of_range(time_ns, time_ns + 1)
        while info and row < len(index):
            found = span_ref(lane, number, index, row)
            if nesting_level(info.kind, found.state) == 0:
                return found
            row += 1
    return None


def first_in_sight(scene: Scene, time_ns: int) -> SpanRef | None:
    """Returns the first outermost span that ends after a moment, on the uppermost lane that has one."""
    candidates = (first_after(scene, row.lanes[0], time_ns) for row in scene.rows if row.kind == "lane")
    return next((span for span in candidates if span is not None), None)


def spans_of_batch(scene: Scene, batch: int, near_ns: int, loader: str = "") -> list[SpanRef]:
    """Returns the drawn spans of a batch in every lane, near a moment; `loader` is the prefix of its loader, if there are several."""
    spans: list[SpanRef] = []
    for row in scene.rows:
        for lane in row.lanes if row.loader == loader else ():
            spans += spans_of_batch_on_lane(scene, lane, batch, near_ns)
    return spans


def explain_wait(scene: Scene, wait: SpanRef) -> late_batches.Waits:
    """Explains one WAIT span of main that brought a batch; the result has a single row."""
    return late_batches.explain(scene.trace_at_hand.of_loader(wait.loader), single_row(wait))


def wait_for(scene: Scene, batch: int, near_ns: int, loader: str = "") -> SpanRef | None:
    """Returns main's wait for a batch, near a moment; `loader` is the prefix of its loader, if there are several."""
    lane = loader + late_batches.MAIN
    return next((span for span in spans_of_batch_on_lane(scene, lane, batch, near_ns) if span.state == State.WAIT), None)


def single_row(wait: SpanRef) -> SpanColumns:
    """Returns a span as columns of a single row, as `analysis` takes them."""
    row = (wait.start_ns, wait.end_ns, wait.state, wait.batch, wait.value)
    return SpanColumns(*(np.array([value], np.int64) for value in row))


def spans_of_batch_on_lane(scene: Scene, lane: str, batch: int, near_ns: int) -> list[SpanRef]:
    """Returns the drawn spans of a batch on one lane, near a moment."""
    info = scene.lane(lane)
    spans = []
    for number, index in enumerate(scene.tracks(lane) if info else ()):
        at_hand = index.at_hand
        middle = int(np.searchsorted(at_hand.start_ns, np.int64(near_ns)))
        low = max(middle - _NEAR_ROWS, 0)
        for row in (np.flatnonzero(at_hand.batch[low : middle + _NEAR_ROWS] == batch) + low).tolist():
            if info and nesting_level(info.kind, int(at_hand.state[row])) is not None:
                spans.append(span_ref(lane, number, index, row + index.first_at_hand))
    return spans


def span_ref(lane: str, number: int, index: TrackIndex, row: int) -> SpanRef:
    """Returns one row of a lane's track; `number` is the track's number within the lane."""
    start_ns, end_ns, state, batch, value = (int(column[0]) for column in index.part(row, row + 1))
    return SpanRef(lane, number, row, start_ns, end_ns, state, batch, value)


def samples_of(scene: Scene, fetch: SpanRef) -> Ints:
    """Returns the indices of the samples that a fetch read, in their order; -1 for a sample without index. Empty if not recorded."""
    points = scene.trace_at_hand.points.get(fetch.lane)
    if points is None or fetch.state != State.FETCH:
        return np.empty(0, np.int64)
    view = points.view()
    begin, end = np.asarray(view["time_ns"], np.int64).searchsorted(np.array([fetch.start_ns, fetch.end_ns], np.int64)).tolist()
    of_fetch = (view["state"][begin:end] == State.SAMPLE) & (view["batch"][begin:end] == fetch.batch)
    indices: Ints = np.asarray(view["value"][begin:end], np.int64)[of_fetch]
    return indices


def spans_inside(scene: Scene, span: SpanRef, states: Collection[int]) -> list[SpanRef]:
    """Returns the first spans of some states, drawn or not, that touch a span on its lane."""
    spans = []
    for number, index in enumerate(scene.tracks(span.lane)):
        if any(index.count_of(state) for state in states):
            first, last = index.rows_between(span.start_ns, span.end_ns)
            last = min(last, first + _MOST_INSIDE)
            inside = np.flatnonzero(np.isin(index.part(first, last).state, list(states))) + first
            spans += [span_ref(span.lane, number, index, row) for row in inside.tolist()]
    return spans
