"""Says in words what each process of a trial did last, for trials that were killed or hang."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.trace.model import STATE_NAMES, OpenSpan, Trace, epoch_and_batch

_DOING = {
    State.WAIT: "waiting for",
    State.FETCH: "fetching",
    State.COLLATE: "collating",
    State.STEP: "in the step of",
    State.TRANSFER: "transferring",
    State.INDEX_WAIT: "idle, waiting for",
    State.DEVICE_WAIT: "waiting for {device} to finish",
}
_ANY_DEVICE = "the device"


def last_words(trace: Trace, now_ns: int) -> str:
    """Returns what the main process and each worker does now or did last, one line a lane; empty if nothing was recorded.

    Args:
        trace: its open spans last until `now_ns`.
        now_ns: now, on the trace's clock.
    """
    return "\n".join(f"{label}: {text}" for label, text in _by_lane(trace, now_ns))


def longest_activity(trace: Trace, now_ns: int, device: str | None = None) -> str:
    """Returns the activity that has gone on for longest, as a clause; waiting counts only if nothing else goes on. May be empty.

    Args:
        trace: its open spans last until `now_ns`.
        now_ns: now, on the trace's clock.
        device: the name of the trial's device, if known.
    """
    open_spans = [span for span in trace.open_spans if span.state not in (State.EPOCH, State.INDEX_WAIT)]
    waits_for_device = any(span.state == State.DEVICE_WAIT for span in open_spans)
    outer = (State.WAIT, State.TRANSFER) if waits_for_device else (State.WAIT,)  # a copy that blocks is waited for inside its TRANSFER
    inner = [span for span in open_spans if span.state not in outer] or open_spans
    if not inner:
        return ""
    span = min(inner, key=lambda one: one.start_ns)
    return f"{_label(trace, span.lane)} was {_describe(trace, span, now_ns, device or _ANY_DEVICE)}"


def activity_at_death(trace: Trace, pids: set[int]) -> str:
    """Returns what the newest of these processes was doing when it died, as a clause; empty if that is unknown."""
    names = [process.name for process in trace.processes if process.pid in pids]
    spans = [span for span in trace.open_spans if span.lane in names[-1:] and span.state in (State.FETCH, State.COLLATE, State.STEP)]
    return f"it was {_describe(trace, max(spans, key=lambda one: one.start_ns))}" if spans else ""


def _by_lane(trace: Trace, now_ns: int) -> list[tuple[str, str]]:
    innermost: dict[str, OpenSpan] = {}
    for span in trace.open_spans:
        outer = innermost.get(span.lane)
        if span.state != State.EPOCH and (outer is None or span.start_ns >= outer.start_ns):
            innermost[span.lane] = span
    lanes = sorted((lane for lane in trace.lanes.values() if lane.kind in ("main", "worker")), key=lambda lane: lane.order)
    words = []
    for lane in lanes:
        if lane.key in innermost:
            words.append((_label(trace, lane.key), _describe(trace, innermost[lane.key], now_ns)))
        elif ended := _last_ended(trace, lane.key, now_ns):
            words.append((_label(trace, lane.key), ended))
    return words


def _describe(trace: Trace, span: OpenSpan, now_ns: int | None = None, device: str = _ANY_DEVICE) -> str:
    what = _DOING.get(State(span.state), "in " + STATE_NAMES.get(span.state, "?").replace("_", " ")).format(device=device)
    batch = (
        f" batch {epoch_and_batch(span.batch)[1]}"
        if span.batch >= 0
        else " a batch"
        if span.state in _DOING and span.state != State.DEVICE_WAIT
        else ""
    )
    sample = _last_sample(trace, span) if span.state == State.FETCH else None
    detail = f", sample {sample}" if sample is not None else ""
    duration = "" if now_ns is None else f" (for {max(0, now_ns - span.start_ns) / 1e9:.1f} s)"
    return f"{what}{batch}{detail}{duration}"


def _last_sample(trace: Trace, span: OpenSpan) -> int | None:
    points = trace.points.get(span.lane)
    if points is None:
        return None
    view = points.view()
    began = np.searchsorted(view["time_ns"], np.int64(span.start_ns))
    rows = began + np.flatnonzero(view["state"][began:] == State.SAMPLE)
    if not len(rows):
        return None
    index = int(view["value"][rows[-1]])
    return index if index >= 0 else None


def _last_ended(trace: Trace, lane: str, now_ns: int) -> str | None:
    newest: tuple[int, int] | None = None
    for key, columns in list(trace.tracks.items()):
        if key.lane == lane and key.depth >= 0 and len(columns):
            view = columns.view()
            end, state = int(view["end_ns"][-1]), int(view["state"][-1])
            newest = max(newest or (end, state), (end, state))
    if newest is None:
        return None
    return f"last ended {STATE_NAMES.get(newest[1], '?').replace('_', ' ')}, {max(0, now_ns - newest[0]) / 1e9:.1f} s before the end"


def _label(trace: Trace, lane: str) -> str:
    pids = [process.pid for process in trace.processes if process.name == lane]
    return f"{lane} (pid {pids[-1]})" if pids else lane
