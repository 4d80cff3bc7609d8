"""Signs of trouble in a trace that findings rest on: slow fetches, batches that hold up others, growing memory."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import THREAD_CPU_UNKNOWN, State
from loaderscope.analysis.epochs import MAIN, EpochRun
from loaderscope.analysis.memory import series
from loaderscope.analysis.results import LateBatch, Signs
from loaderscope.analysis.spans import Int64Array, Spans, covered_ns, intersection, spans_of, worker_lanes
from loaderscope.analysis.steady import Steady
from loaderscope.trace.model import WAITING_FOR_EARLIER, Trace, epoch_and_batch

NS = 1e-9

LATE_FACTOR = 4.0
"""A fetch is late when it takes this many times the median."""

MAX_LATE_BATCHES = 5
MIN_GROWTH_SAMPLES = 5
MIN_GROWTH_SECONDS = 4.0


def find_signs(trace: Trace, epochs: list[EpochRun], steady: Steady) -> Signs:
    """The signs of one trial."""
    lanes = [MAIN, *worker_lanes(trace).values()]
    fetches = {lane: spans_of(trace, lane, State.FETCH) for lane in lanes}
    durations = np.concatenate([spans.end_ns - spans.start_ns for spans in fetches.values()])
    collates = np.concatenate([spans.end_ns - spans.start_ns for spans in (spans_of(trace, lane, State.COLLATE) for lane in lanes)])
    deserialising = spans_of(trace, MAIN, State.DESERIALISE)
    return Signs(
        fetch_s=float(np.median(durations)) * NS if len(durations) else None,
        fetch_cpu_share=_cpu_share(fetches),
        collate_s=float(np.median(collates)) * NS if len(collates) else None,
        deserialise_share=_steady_share(steady, deserialising.start_ns, deserialising.end_ns),
        held_up_share=_held_up_share(trace, steady),
        late_batches=_late_batches(trace, epochs, fetches, float(np.median(durations))) if len(durations) else [],
        growth_bytes_per_s=_growth(trace, epochs),
    )


def _cpu_share(fetches: dict[str, Spans]) -> float | None:
    cpu_ns = wall_ns = 0
    for spans in fetches.values():
        known = spans.value != THREAD_CPU_UNKNOWN
        cpu_ns += int(spans.value[known].sum())
        wall_ns += int((spans.end_ns - spans.start_ns)[known].sum())
    return min(1.0, cpu_ns / wall_ns) if wall_ns else None


def _steady_share(steady: Steady, start_ns: Int64Array, end_ns: Int64Array) -> float | None:
    bounds = [window.host_bounds_ns for window in steady.windows]
    total_ns = sum(high - low for low, high in bounds)
    return sum(covered_ns(start_ns, end_ns, low, high) for low, high in bounds) / total_ns if total_ns > 0 else None


def _held_up_share(trace: Trace, steady: Steady) -> float | None:
    tracks = [columns.view() for key, columns in list(trace.tracks.items()) if key.lane.startswith("flight-")]
    if not tracks:
        return None
    rows = [view["state"] == WAITING_FOR_EARLIER for view in tracks]
    start_ns = np.concatenate([view["start_ns"][row] for view, row in zip(tracks, rows, strict=True)]).astype(np.int64)
    end_ns = np.concatenate([view["end_ns"][row] for view, row in zip(tracks, rows, strict=True)]).astype(np.int64)
    waits = spans_of(trace, MAIN, State.WAIT)
    return _steady_share(steady, *intersection((start_ns, end_ns), (waits.start_ns, waits.end_ns)))


def _late_batches(trace: Trace, epochs: list[EpochRun], fetches: dict[str, Spans], median_ns: float) -> list[LateBatch]:
    """The batches after the first of an epoch with the slowest fetches that main had to wait for as well."""
    waited = {
        int(batch): int(wait)
        for epoch in epochs
        for batch, wait in zip(epoch.batch[1:], (epoch.wait_end_ns - epoch.wait_start_ns)[1:], strict=True)
        if wait > median_ns
    }
    found: list[LateBatch] = []
    for lane, spans in fetches.items():
        durations = spans.end_ns - spans.start_ns
        for row in np.flatnonzero(durations > LATE_FACTOR * median_ns):
            batch = int(spans.batch[row])
            if batch not in waited:
                continue
            epoch, number = epoch_and_batch(batch)
            worker = int(lane.partition("-")[2]) if lane != MAIN else None
            found.append(LateBatch(epoch, number, worker, waited[batch] * NS, int(durations[row]) * NS, None, None))
    found.sort(key=lambda late: (-late.wait_s, late.epoch, late.batch))
    return [_with_sample(trace, late, fetches) for late in found[:MAX_LATE_BATCHES]]


def _with_sample(trace: Trace, late: LateBatch, fetches: dict[str, Spans]) -> LateBatch:
    lane = MAIN if late.worker is None else f"worker-{late.worker}"
    if lane not in trace.points:
        return late
    spans = fetches[lane]
    row = next(i for i, batch in enumerate(spans.batch.tolist()) if epoch_and_batch(batch) == (late.epoch, late.batch))
    low, high = spans.start_ns[row], spans.end_ns[row]
    points = trace.points[lane].view()
    inside = (points["state"] == int(State.SAMPLE)) & (points["time_ns"] >= low) & (points["time_ns"] < high)
    times, samples = points["time_ns"][inside].astype(np.int64), points["value"][inside]
    if not len(times):
        return late
    took = np.diff(np.append(times, high))
    slowest = int(np.argmax(took))
    sample = int(samples[slowest]) if samples[slowest] >= 0 else None
    return LateBatch(late.epoch, late.batch, late.worker, late.wait_s, late.fetch_s, sample, int(took[slowest]) * NS)


def _growth(trace: Trace, epochs: list[EpochRun]) -> float | None:
    """The sum over workers of the slope of their private memory, by least squares.

    Only from the first batch of an epoch to its last: before that every worker grows by what it imports.
    """
    bounds = [(int(epoch.wait_end_ns[0]), int(epoch.done_ns[-1])) for epoch in epochs if epoch.batches]
    slopes = [slope for lane in worker_lanes(trace).values() if (slope := _slope(trace, lane, bounds)) is not None]
    return sum(slopes) if slopes else None


def _slope(trace: Trace, lane: str, bounds: list[tuple[int, int]]) -> float | None:
    """The slope in the longest of the epochs."""
    low_ns, high_ns = max(bounds, key=lambda pair: pair[1] - pair[0], default=(0, 0))
    for kind in ("uss", "private"):
        time_ns, value = series(trace, f"{kind}/{lane}")
        inside = (time_ns >= low_ns) & (time_ns <= high_ns)
        time_ns, value = time_ns[inside], value[inside]
        if len(time_ns) >= MIN_GROWTH_SAMPLES and (time_ns[-1] - time_ns[0]) * NS >= MIN_GROWTH_SECONDS:
            return float(np.polyfit((time_ns - time_ns[0]) * NS, value, 1)[0])
    return None
