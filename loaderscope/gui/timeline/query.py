"""Questions about single spans: what lies under the mouse, what comes next, what a batch did, what to say about it. No Qt."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis import late_batches
from loaderscope.analysis.late_batches import Cause
from loaderscope.analysis.spans import Spans
from loaderscope.gui.causes import cause_text
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
    name = "ready for" if span.state == WAITING_FOR_EARLIER else "duration"
    lines = [(name, axis.duration(span.duration_ns), f"median {axis.duration(median)}" if median else "", False)]
    lines += _fetch_lines(scene, span)
    lines += _held_up_lines(scene, span)
    if span.state == State.WAIT and span.batch >= 0:
        lines += _wait_lines(scene, span)
    if span.state == WAITING_FOR_EARLIER:
        lines += _ready_span_lines(scene, span)
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
    slowest = late_batches.slowest_sample(scene.trace, span.lane, span.start_ns, span.end_ns)
    if slowest:
        lines.append(_sample_line(slowest))
    return lines


def explain_wait(scene: Scene, wait: SpanRef) -> late_batches.Waits:
    """What one WAIT span of main that brought a batch was spent on; a single row."""
    return late_batches.explain(scene.trace, _row_of(wait))


def wait_for(scene: Scene, batch: int, near_ns: int) -> SpanRef | None:
    """Main's wait for a batch, looked for around a moment."""
    return next((span for span in _batch_rows(scene, "main", batch, near_ns) if span.state == State.WAIT), None)


def _row_of(wait: SpanRef) -> Spans:
    row = (wait.start_ns, wait.end_ns, wait.state, wait.batch, wait.value)
    return Spans(*(np.array([value], np.int64) for value in row))


_CAUSES = {State.FETCH: Cause.FETCH, State.COLLATE: Cause.COLLATE, State.SEND: Cause.SEND}


def _held_up_lines(scene: Scene, span: SpanRef) -> list[tuple[str, str, str, bool]]:
    """How long main waited for what a worker did here, and which batches lay ready meanwhile."""
    cause = _CAUSES.get(State(span.state)) if span.batch >= 0 and span.state in _CAUSES else None
    wait = wait_for(scene, span.batch, span.end_ns) if cause is not None else None
    if cause is None or wait is None:
        return []
    waited_ns = int(explain_wait(scene, wait).charged_ns[0, cause])
    if not waited_ns:
        return []
    return [("main waited", f"{axis.duration(waited_ns)} for it", "", True), *_ready_lines(scene, wait, "ready, but after it in order")]


def _ready_lines(scene: Scene, wait: SpanRef, remark: str) -> list[tuple[str, str, str, bool]]:
    """The batches that lay ready when a wait ended."""
    ready = [epoch_and_batch(batch)[1] for batch in late_batches.ready_at(scene.trace, _row_of(wait)).tolist()]
    if not ready:
        return []
    names = ", ".join(map(str, ready[:4])) + (" …" if len(ready) > 4 else "")
    return [("held up", f"{'batch' if len(ready) == 1 else 'batches'} {names}", remark, True)]


def _wait_lines(scene: Scene, wait: SpanRef) -> list[tuple[str, str, str, bool]]:
    """Who was still at work on the batch that main waited for, and what lay ready meanwhile."""
    explained = explain_wait(scene, wait)
    worker, cause = int(explained.worker[0]), Cause(explained.cause[0])
    charged_ns = int(explained.charged_ns[0, cause])
    if not charged_ns:
        return []
    lines = [("waited for", cause_text(worker, cause, axis.duration(charged_ns)), "", False)]
    fetch = int(explained.fetch_start_ns[0]), int(explained.fetch_end_ns[0])
    if cause == Cause.FETCH and (slowest := late_batches.slowest_sample(scene.trace, late_batches.lane_of(worker), *fetch)):
        lines.append(_sample_line(slowest))
    held_ns = int(explained.held_up_ns[0])
    return lines + (_ready_lines(scene, wait, f"ready for up to {axis.duration(held_ns)}") if held_ns else [])


def _ready_span_lines(scene: Scene, span: SpanRef) -> list[tuple[str, str, str, bool]]:
    """For which earlier batch one that is ready waits: the one that main waited for longest meanwhile."""
    longest: tuple[int, SpanRef] | None = None
    for number, index in enumerate(scene.tracks("main")):
        first, last = index.rows_between(span.start_ns, span.end_ns)
        rows = np.flatnonzero((index.state[first:last] == State.WAIT) & (index.batch[first:last] < span.batch)) + first
        rows = rows[index.batch[rows] >= 0]
        if len(rows):
            inside_ns = np.minimum(index.end_ns[rows], span.end_ns) - np.maximum(index.start_ns[rows], span.start_ns)
            at = int(inside_ns.argmax())
            if longest is None or inside_ns[at] > longest[0]:
                longest = int(inside_ns[at]), reference("main", number, index, int(rows[at]))
    if longest is None:
        return []
    explained = explain_wait(scene, longest[1])
    cause = Cause(explained.cause[0])
    why = cause_text(int(explained.worker[0]), cause, axis.duration(int(explained.charged_ns[0, cause])))
    return [("waits for", f"batch {epoch_and_batch(longest[1].batch)[1]}", why, True)]


def _sample_line(slowest: tuple[int | None, int]) -> tuple[str, str, str, bool]:
    sample, took_ns = slowest
    return ("slowest sample", f"index {sample}" if sample is not None else "not a number", axis.duration(took_ns), False)


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
