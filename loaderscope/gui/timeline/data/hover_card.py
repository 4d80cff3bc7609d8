"""What lies under the mouse, and what the hover card says about it. No Qt."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import DEVICE_PERIODS, State
from loaderscope.analysis import late_batches
from loaderscope.analysis.epochs import clock_error_s
from loaderscope.analysis.late_batches import Cause
from loaderscope.facts.lanes import FLIGHT, FLIGHT_TITLE, OPTIMIZER_STEP, READY, WAITING_FOR_EARLIER
from loaderscope.facts.text import duration_ns_text, grouped_text, share_range_text
from loaderscope.gui.style.words import cause_text
from loaderscope.gui.timeline.data import time_axis
from loaderscope.gui.timeline.data.level_of_detail import Ints
from loaderscope.gui.timeline.data.row_layout import Layout
from loaderscope.gui.timeline.data.scene import Scene, full_label
from loaderscope.gui.timeline.data.span_query import (
    SpanRef,
    explain_wait,
    samples_of,
    single_row,
    span_at,
    span_ref,
    spans_inside,
    spans_of_batch,
    wait_for,
)
from loaderscope.gui.timeline.data.state_styles import state_title
from loaderscope.gui.timeline.data.viewport import Viewport
from loaderscope.trace.model import epoch_and_batch

Line = tuple[str, str, str, bool]
"""A name, a value, a remark, and whether it needs attention."""

_WAITING_CPU_SHARE = 0.4
"""Below this share of CPU time the card says that a fetch waits rather than computes."""

_SHOWN_SAMPLES = 6

_HIT_PX = 2.0
"""The mouse still hits a sliver at this distance."""


@dataclasses.dataclass(frozen=True)
class Card:
    """The text of the hover card."""

    title: str
    lines: tuple[Line, ...]


@dataclasses.dataclass
class Pointer:
    """The mouse in a timeline.

    Attributes:
        x, y: its place in the widget, logical pixels.
        span: the span under it.
        lit: the spans of the same batch in every lane of its loader, which the timeline outlines.
        card: the hover card about the span.
    """

    x: float
    y: float
    span: SpanRef | None = None
    lit: tuple[SpanRef, ...] = ()
    card: Card | None = None


def pointer_at(scene: Scene | None, span: SpanRef | None, x: float, y: float) -> Pointer:
    """Returns a pointer at a place of the widget, on a span or on none."""
    if span is None or scene is None:
        return Pointer(x, y)
    lit = tuple(spans_of_batch(scene, span.batch, span.start_ns, span.loader)) if span.batch >= 0 else (span,)
    return Pointer(x, y, span, lit, describe(scene, span))


def span_under(scene: Scene, view: Viewport, layout: Layout, scroll_y: int, at: tuple[float, float]) -> SpanRef | None:
    """Returns the span at a place of the widget."""
    x, y = at
    if scene.is_empty or not 0 <= x - layout.label_width <= layout.plot_width:
        return None
    placed = layout.row_at(y, scroll_y)
    if placed is None or placed.row.kind not in ("lane", "flight"):
        return None
    lane = layout.flight_lane_at(placed, y, scroll_y) if placed.row.kind == "flight" else placed.row.lanes[0]
    if lane is None:
        return None
    depth_share = (y - layout.header_height + scroll_y - placed.bar_y) / placed.bar_height
    slack_ns = round(_HIT_PX * view.span / layout.plot_width)
    time_ns = scene.origin_ns + round(view.time_at(x - layout.label_width, layout.plot_width))
    if not all(index.is_at_hand(time_ns - slack_ns, time_ns + slack_ns) for index in scene.tracks(lane)):
        return None
    return span_at(scene, lane, time_ns, slack_ns, depth_share)


def describe(scene: Scene, span: SpanRef) -> Card:
    """Returns the hover card of a span."""
    in_batch = spans_of_batch(scene, span.batch, span.start_ns, span.loader) if span.batch >= 0 else []
    info = scene.lane(span.lane)
    parts = []
    if span.batch >= 0:
        epoch, number = epoch_and_batch(span.batch)
        window_ns = scene.exact_window_ns()
        of_epoch = f" of epoch {epoch}" if epoch or len(scene.epoch_starts_ns(span.loader)) else ""
        parts.append(f"batch {number}" + (" of the exact window" if window_ns is not None and span.start_ns >= window_ns else of_epoch))
    label = span.lane if info is None else FLIGHT_TITLE if info.kind == FLIGHT.kind else info.label
    parts += [full_label(label, info.group if info is not None else ""), state_word(scene, span)]
    median = _median_ns(scene, span)
    name = "ready for" if span.state == WAITING_FOR_EARLIER else "duration"
    lines = [(name, duration_ns_text(span.duration_ns), f"median {duration_ns_text(median)}" if median else "", False)]
    lines += _fetch_lines(scene, span)
    lines += _sample_lines(scene, next((other for other in (span, *in_batch) if other.state == State.FETCH), None))
    lines += _message_lines(scene, span)
    if span.state in _AFTER_WAITING:
        lines += _time_waited_lines(in_batch, span)
    lines += _device_lines(scene, span, in_batch)
    lines += _optimizer_lines(scene, span)
    lines += _held_up_lines(scene, span)
    if span.state == State.WAIT and span.batch >= 0:
        lines += _wait_lines(scene, span)
    if span.state == WAITING_FOR_EARLIER:
        lines += _ready_span_lines(scene, span)
    zero, remark = (scene.axis_zero, "since the first batch") if scene.axis_zero is not None else (0.0, "")
    lines.append(("starts at", duration_ns_text(span.start_ns - scene.origin_ns - zero), remark, False))
    return Card(" · ".join(parts), tuple(lines))


def state_word(scene: Scene, span: SpanRef) -> str:
    """Returns the name of a span: its state; for an import the module."""
    if span.state == State.IMPORT and (name := scene.trace.name(span.lane, span.value)) is not None:
        return f"import {name}"
    return state_title(span.state)


def _median_ns(scene: Scene, span: SpanRef) -> float | None:
    """Returns the median duration of the span's state over the lanes of its kind, of its loader."""
    info = scene.lane(span.lane)
    medians = []
    for row in scene.rows:
        if info is None or row.lane_kind != info.kind or row.loader != span.loader:
            continue
        for lane in row.lanes[:64]:
            for index in scene.tracks(lane):
                value = index.median_ns(span.state)
                if value is not None:
                    medians.append(value)
    return float(np.median(medians)) if medians else None


def _fetch_lines(scene: Scene, span: SpanRef) -> list[Line]:
    if span.state != State.FETCH:
        return []
    lines = []
    if span.value >= 0 and span.duration_ns:
        waits = span.value < _WAITING_CPU_SHARE * span.duration_ns
        lines.append(("CPU time", duration_ns_text(span.value), "→ waiting, not computing" if waits else "", False))
    lane = span.lane.removeprefix(span.loader)
    slowest = late_batches.slowest_sample(scene.trace_at_hand.of_loader(span.loader), lane, span.start_ns, span.end_ns)
    if slowest:
        lines.append(_sample_line(slowest))
    return lines


_CAUSES = {State.FETCH: Cause.FETCH, State.COLLATE: Cause.COLLATE, State.SEND: Cause.SEND}


def _held_up_lines(scene: Scene, span: SpanRef) -> list[Line]:
    """Says how long main waited for this span of a worker, and which batches were ready meanwhile."""
    cause = _CAUSES.get(State(span.state)) if span.batch >= 0 and span.state in _CAUSES else None
    wait = wait_for(scene, span.batch, span.end_ns, span.loader) if cause is not None else None
    if cause is None or wait is None:
        return []
    waited_ns = int(explain_wait(scene, wait).charged_ns[0, cause])
    if not waited_ns:
        return []
    return [("main waited", f"{duration_ns_text(waited_ns)} for it", "", True), *_ready_lines(scene, wait, "ready, but after it in order")]


def _ready_lines(scene: Scene, wait: SpanRef, remark: str) -> list[Line]:
    """Names the batches that were ready when a wait ended."""
    trace = scene.trace_at_hand.of_loader(wait.loader)
    ready = [epoch_and_batch(batch)[1] for batch in late_batches.ready_at(trace, single_row(wait)).tolist()]
    if not ready:
        return []
    names = ", ".join(map(str, ready[:4])) + (" …" if len(ready) > 4 else "")
    return [("held up", f"{'batch' if len(ready) == 1 else 'batches'} {names}", remark, True)]


def _wait_lines(scene: Scene, wait: SpanRef) -> list[Line]:
    """Says which worker main waited for, what it was doing, and which batches were ready meanwhile."""
    explained = explain_wait(scene, wait)
    worker, cause = int(explained.worker[0]), Cause(explained.cause[0])
    charged_ns = int(explained.charged_ns[0, cause])
    if not charged_ns:
        return []
    lines = [("waited for", cause_text(worker, cause, duration_ns_text(charged_ns)), "", False)]
    fetch = int(explained.fetch_start_ns[0]), int(explained.fetch_end_ns[0])
    trace = scene.trace_at_hand.of_loader(wait.loader)
    if cause == Cause.FETCH and (slowest := late_batches.slowest_sample(trace, late_batches.lane_of(worker), *fetch)):
        lines.append(_sample_line(slowest))
    held_ns = int(explained.held_up_ns[0])
    return lines + (_ready_lines(scene, wait, f"ready for up to {duration_ns_text(held_ns)}") if held_ns else [])


def _ready_span_lines(scene: Scene, span: SpanRef) -> list[Line]:
    """Says which earlier batch holds up a ready one: the batch that main waited for longest meanwhile."""
    longest: tuple[int, SpanRef] | None = None
    main = span.loader + late_batches.MAIN
    for number, index in enumerate(scene.tracks(main)):
        first, last = index.rows_between(span.start_ns, span.end_ns)
        part = index.part(first, last)
        rows = np.flatnonzero((part.state == State.WAIT) & (part.batch < span.batch) & (part.batch >= 0))
        if len(rows):
            inside_ns = np.minimum(part.end_ns[rows], span.end_ns) - np.maximum(part.start_ns[rows], span.start_ns)
            at = int(inside_ns.argmax())
            if longest is None or inside_ns[at] > longest[0]:
                longest = int(inside_ns[at]), span_ref(main, number, index, int(rows[at]) + first)
    if longest is None:
        return []
    explained = explain_wait(scene, longest[1])
    cause = Cause(explained.cause[0])
    why = cause_text(int(explained.worker[0]), cause, duration_ns_text(int(explained.charged_ns[0, cause])))
    return [("waits for", f"batch {epoch_and_batch(longest[1].batch)[1]}", why, True)]


def _sample_line(slowest: tuple[int | None, int]) -> Line:
    sample, took_ns = slowest
    return ("slowest sample", f"index {sample}" if sample is not None else "not a number", duration_ns_text(took_ns), False)


def _device_lines(scene: Scene, span: SpanRef, in_batch: list[SpanRef]) -> list[Line]:
    """Says how exact a busy period of the device is, and how exact its place on the time axis."""
    if span.state == State.DEVICE_WORK:
        return [("exact", "kernels, copies, memsets", "by torch.profiler, which slows the steps it watches", False)]
    if span.state not in DEVICE_PERIODS:
        return []
    issue_state = DEVICE_PERIODS[State(span.state)]
    lines: list[Line] = [("busy", "at most", "between two events: gaps between its kernels count as busy", False)]
    if any(index.count_of(issue_state) for index in scene.tracks(span.lane)):  # sessions of older versions do not have it
        inside = [other for other in in_batch if other.state == issue_state and span.start_ns <= other.start_ns < span.end_ns]
        issue_ns = sum(other.duration_ns for other in inside)
        busy = share_range_text(1 - issue_ns / max(span.duration_ns, 1), 1.0)
        lines = [("busy", busy, "of this time: the GPU may pause while the host still issues its work", False)]
    error_s = clock_error_s(scene.trace_at_hand.of_loader(span.loader))
    return lines + ([("clock", f"± {duration_ns_text(error_s * 1e9)}", "from the device's clock to the host's", False)] if error_s else [])


def _optimizer_lines(scene: Scene, span: SpanRef) -> list[Line]:
    """Says when optimizers updated their parameters within a step of main."""
    if span.state != State.STEP:
        return []
    times_ns = scene.optimizer_steps_ns(span.lane)
    first, last = times_ns.searchsorted(np.array([span.start_ns, span.end_ns], np.int64)).tolist()
    if first == last:
        return []
    after = f"after {duration_ns_text(int(times_ns[first]) - span.start_ns)}"
    if last - first == 1:
        return [(OPTIMIZER_STEP.title, after, "", False)]
    return [(f"{OPTIMIZER_STEP.title}s", grouped_text(last - first), f"the first {after}", False)]


_AFTER_WAITING = frozenset((State.TRANSFER, State.STEP, *DEVICE_PERIODS, READY))


def _time_waited_lines(in_batch: list[SpanRef], span: SpanRef) -> list[Line]:
    """Says how long main waited for the batch of this span."""
    wait = next((other for other in in_batch if other.state == State.WAIT), None)
    return [("main waited", duration_ns_text(wait.duration_ns), "for this batch", False)] if wait is not None else []


def _sample_lines(scene: Scene, fetch: SpanRef | None) -> list[Line]:
    """Names the samples of the batch if they were recorded."""
    samples = samples_of(scene, fetch) if fetch is not None else np.empty(0, np.int64)
    if not len(samples):
        return []
    if (samples < 0).any():  # an iterable dataset, or keys that are no numbers
        return [("samples", grouped_text(len(samples)), "without an index", False)]
    return [("indices" if len(samples) > 1 else "index", _indices_text(samples), f"({grouped_text(len(samples))})", False)]


def _indices_text(samples: Ints) -> str:
    """Returns the first indices in their order; for a range, its ends."""
    if len(samples) > 2 and (np.diff(samples) == 1).all():
        return f"{samples[0]} … {samples[-1]}"
    return ", ".join(map(str, samples[:_SHOWN_SAMPLES].tolist())) + (" …" if len(samples) > _SHOWN_SAMPLES else "")


def _message_lines(scene: Scene, span: SpanRef) -> list[Line]:
    """Says how many bytes were sent or received and how long that took. The bytes do not include shared memory."""
    if span.state == State.SEND:
        # the feeder thread still works on the message after the span
        until = dataclasses.replace(span, end_ns=span.end_ns + _FEEDER_NS)
        parts = [part for part in spans_inside(scene, until, (State.SERIALISE, State.TRANSMIT)) if part.batch == span.batch]
        words = {State.SERIALISE: "serialised", State.TRANSMIT: "sent"}
        took = ", ".join(f"{words[State(part.state)]} in {duration_ns_text(part.duration_ns)}" for part in parts)
        return [("message", _bytes(max(part.value for part in parts)), took, False)] if parts else []
    if span.state in (State.WAIT, State.DESERIALISE):
        before = dataclasses.replace(span, start_ns=span.start_ns - (1 if span.state == State.DESERIALISE else 0))
        received = [part for part in spans_inside(scene, before, (State.RECEIVE,)) if part.value >= 0]
        if received:
            what = "message" if len(received) == 1 else f"{len(received)} messages"
            return [(what, _bytes(sum(part.value for part in received)), "received; tensors come in shared memory", False)]
    return []


def _bytes(count: int) -> str:
    return time_axis.quantity(float(count), "bytes") if count >= 0 else "not known"


_FEEDER_NS = 100_000_000
"""The spans of the feeder thread for a batch end at most this long after the SEND."""
