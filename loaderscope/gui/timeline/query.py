"""Questions about single spans: what lies under the mouse, what comes next, what a batch did, what to say about it. No Qt."""

from __future__ import annotations

import dataclasses
import heapq

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.gui.timeline import axis
from loaderscope.gui.timeline.lod import TrackIndex
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.states import level_in, word
from loaderscope.trace.model import WAITING_FOR_EARLIER, epoch_and_batch

_NEAR_ROWS = 40_000
"""How far around a moment the other spans of a batch are looked for; a batch never takes longer than a few prefetches."""

_WAITING_CPU_SHARE = 0.4
"""Below this share of CPU time a fetch is said to wait rather than to compute."""


@dataclasses.dataclass(frozen=True)
class SpanRef:
    """One span, with all that its row says."""

    lane: str
    track: int  # number of the track within its lane, outermost first
    row: int
    start_ns: int
    end_ns: int
    state: int
    batch: int
    value: int

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclasses.dataclass(frozen=True)
class Card:
    """What the hover card says. A line is a name, a value and a remark; `alarm` marks a line that needs attention."""

    title: str
    lines: tuple[tuple[str, str, str, bool], ...]


def span_at(scene: Scene, lane: str, time_ns: int, slack_ns: int = 0, depth_share: float = 1.0) -> SpanRef | None:
    """The innermost drawn span of a lane at a moment.

    Args:
        scene: the scene.
        lane: lane key.
        time_ns: absolute time.
        slack_ns: a span that ends or begins this close will do, so that slivers can be hit.
        depth_share: how far down the bar the mouse is, 0 at its top: nested spans fill the lower part alone.
    """
    info = scene.lane(lane)
    if info is None:
        return None
    best: tuple[int, int, SpanRef] | None = None
    for number, index in enumerate(scene.tracks(lane)):
        first, last = index.rows_between(time_ns - slack_ns, time_ns + slack_ns + 1)
        for row in range(first, min(last, first + 64)):
            level = level_in(info.kind, int(index.state[row]))
            if level is None or (level > 0 and depth_share < 0.42):
                continue
            off_ns = max(int(index.start_ns[row]) - time_ns, time_ns - int(index.end_ns[row]), 0)
            if best is None or (-off_ns, level) > best[:2]:
                best = (-off_ns, level, reference(lane, number, index, row))
    return best[2] if best else None


def neighbour(scene: Scene, span: SpanRef, step: int) -> SpanRef | None:
    """The next (1) or previous (-1) span of the same lane and level."""
    info = scene.lane(span.lane)
    if info is None:
        return None
    index = scene.tracks(span.lane)[span.track]
    level = level_in(info.kind, span.state)
    row = span.row + step
    while 0 <= row < len(index):
        if level_in(info.kind, int(index.state[row])) == level:
            return reference(span.lane, span.track, index, row)
        row += step
    return None


def first_after(scene: Scene, lane: str, time_ns: int) -> SpanRef | None:
    """The first outermost span of a lane that ends after a moment."""
    info = scene.lane(lane)
    for number, index in enumerate(scene.tracks(lane) if info else ()):
        row = int(np.searchsorted(index.end_ns, np.int64(time_ns), "right"))
        while info and row < len(index):
            if level_in(info.kind, int(index.state[row])) == 0:
                return reference(lane, number, index, row)
            row += 1
    return None


def first_in_sight(scene: Scene, time_ns: int) -> SpanRef | None:
    """The first outermost span after a moment, of the uppermost lane that has one."""
    found = (first_after(scene, row.lanes[0], time_ns) for row in scene.rows if row.kind == "lane")
    return next((span for span in found if span is not None), None)


def spans_of_batch(scene: Scene, batch: int, near_ns: int) -> list[SpanRef]:
    """The drawn spans of a batch in every lane, looked for around a moment."""
    found: list[SpanRef] = []
    for row in scene.rows:
        for lane in row.lanes:
            found += _batch_rows(scene, lane, batch, near_ns)
    return found


def describe(scene: Scene, span: SpanRef) -> Card:
    """What there is to say about a span."""
    info = scene.lane(span.lane)
    parts = []
    if span.batch >= 0:
        epoch, number = epoch_and_batch(span.batch)
        parts.append(f"batch {number}" + (f" of epoch {epoch}" if epoch or len(scene.epoch_starts_ns()) else ""))
    label = info.label if info else span.lane
    parts += [label if info is None or info.kind != "flight" else "in flight", _state_word(scene, span)]
    median = _median(scene, span)
    lines = [("duration", axis.duration(span.duration_ns), f"median {axis.duration(median)}" if median else "", False)]
    lines += _fetch_lines(scene, span)
    lines += _held_up(scene, span)
    if span.state == State.WAIT and span.batch >= 0:
        lines += _waited_for(scene, span)
    lines.append(("starts at", axis.duration(span.start_ns - scene.origin_ns), "", False))
    return Card(" · ".join(parts), tuple(lines))


def _state_word(scene: Scene, span: SpanRef) -> str:
    if span.state == State.IMPORT and span.value in scene.trace.names:
        return f"import {scene.trace.names[span.value]}"
    return word(span.state)


def _median(scene: Scene, span: SpanRef) -> float | None:
    """Median of the span's state over the lanes of its kind."""
    info = scene.lane(span.lane)
    medians = []
    for row in scene.rows:
        if info is None or row.lane_kind != info.kind:
            continue
        for lane in row.lanes[:64]:
            for index in scene.tracks(lane):
                value = index.median_ns(span.state)
                if value is not None:
                    medians.append(value)
    return float(np.median(medians)) if medians else None


def _fetch_lines(scene: Scene, span: SpanRef) -> list[tuple[str, str, str, bool]]:
    if span.state != State.FETCH:
        return []
    lines = []
    if span.value >= 0 and span.duration_ns:
        waits = span.value < _WAITING_CPU_SHARE * span.duration_ns
        lines.append(("CPU time", axis.duration(span.value), "→ waiting, not computing" if waits else "", False))
    slowest = slowest_sample(scene, span)
    if slowest:
        lines.append(("slowest sample", f"index {slowest[0]}", axis.duration(slowest[1]), False))
    return lines


def slowest_sample(scene: Scene, span: SpanRef) -> tuple[int, int] | None:
    """Index and duration of the slowest sample of a fetch; a sample ends where the next begins, or with the fetch."""
    points = scene.trace.points.get(span.lane)
    if points is None:
        return None
    view = points.view()
    times = np.asarray(view["time_ns"], np.int64)
    low, high = np.searchsorted(times, np.int64(span.start_ns)), np.searchsorted(times, np.int64(span.end_ns))
    rows = np.arange(low, high)
    rows = rows[np.asarray(view["state"])[rows] == State.SAMPLE]
    if not len(rows):
        return None
    durations = np.diff(np.append(times[rows], np.int64(span.end_ns)))
    at = int(durations.argmax())
    return int(np.asarray(view["value"])[rows[at]]), int(durations[at])


def _held_up(scene: Scene, span: SpanRef) -> list[tuple[str, str, str, bool]]:
    """Batches that were there but had to wait for this one, where it was this one that the consumer wanted next."""
    if span.state not in (State.FETCH, State.COLLATE, State.SEND) or span.batch < 0:
        return []
    wait = next((other for other in _batch_rows(scene, "main", span.batch, span.end_ns) if other.state == State.WAIT), None)
    if wait is None:
        return []
    start, end = max(wait.start_ns, span.start_ns), min(wait.end_ns, span.end_ns)
    if end <= start:
        return []
    held = set()
    for row in scene.rows:
        for lane in row.lanes if row.kind == "flight" else ():
            for index in scene.tracks(lane):
                first, last = index.rows_between(start, end)
                for at in range(first, min(last, first + 64)):
                    if index.state[at] == WAITING_FOR_EARLIER and index.batch[at] > span.batch:
                        held.add(epoch_and_batch(int(index.batch[at]))[1])
    lines = [("main waited", f"{axis.duration(end - start)} for it", "", True)]
    if held:
        names = ", ".join(map(str, heapq.nsmallest(4, held))) + (" …" if len(held) > 4 else "")
        lines.append(("held up", f"{'batch' if len(held) == 1 else 'batches'} {names}", "ready, but after it in order", True))
    return lines


def _waited_for(scene: Scene, span: SpanRef) -> list[tuple[str, str, str, bool]]:
    """Which lane was still at work on the batch that main waited for."""
    for row in scene.rows:
        if row.lane_kind != "worker":
            continue
        spans = [other for other in _batch_rows(scene, row.lanes[0], span.batch, span.end_ns) if other.end_ns > span.start_ns]
        if spans:
            longest = max(spans, key=lambda other: min(other.end_ns, span.end_ns) - max(other.start_ns, span.start_ns))
            return [("waited for", f"{row.label}, {word(longest.state)}", axis.duration(longest.duration_ns), False)]
    return []


def _batch_rows(scene: Scene, lane: str, batch: int, near_ns: int) -> list[SpanRef]:
    info = scene.lane(lane)
    found = []
    for number, index in enumerate(scene.tracks(lane) if info else ()):
        middle = int(np.searchsorted(index.start_ns, np.int64(near_ns)))
        low = max(middle - _NEAR_ROWS, 0)
        for row in (np.flatnonzero(index.batch[low : middle + _NEAR_ROWS] == batch) + low).tolist():
            if info and level_in(info.kind, int(index.state[row])) is not None:
                found.append(reference(lane, number, index, row))
    return found


def reference(lane: str, number: int, index: TrackIndex, row: int) -> SpanRef:
    """A row of a lane's track as a span of its own."""
    start_ns, end_ns = int(index.start_ns[row]), int(index.end_ns[row])
    return SpanRef(lane, number, row, start_ns, end_ns, int(index.state[row]), int(index.batch[row]), int(index.value[row]))
