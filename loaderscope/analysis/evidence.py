"""Evidence in a trace on which findings rest: slow fetches, batches that hold up others, growing memory."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import THREAD_CPU_UNKNOWN, State
from loaderscope.analysis.disturbance import run_delay_s
from loaderscope.analysis.epochs import MAIN, EpochRun
from loaderscope.analysis.late_batches import NO_WORKER, Waits, find_waits, lane_of, late_batch, slowly_fetched
from loaderscope.analysis.memory_peaks import series
from loaderscope.analysis.pin_thread import find_pin_cost
from loaderscope.analysis.span_lookup import LOADING_LANES, SpanColumns, spans_of, spans_of_lanes, worker_lanes
from loaderscope.analysis.steady import Steady
from loaderscope.facts.evidence import LateBatch, Signs
from loaderscope.trace.model import Trace

NS = 1e-9

MAX_LATE_BATCHES = 5
MIN_GROWTH_SAMPLES = 5
MIN_GROWTH_SECONDS = 4.0


def find_evidence(trace: Trace, epochs: list[EpochRun], steady: Steady) -> Signs:
    """Returns the evidence of one trial."""
    lanes = [*LOADING_LANES, *worker_lanes(trace).values()]
    fetches = {lane: spans_of(trace, lane, State.FETCH) for lane in lanes}
    durations = np.concatenate([spans.end_ns - spans.start_ns for spans in fetches.values()])
    collates = np.concatenate([spans.end_ns - spans.start_ns for spans in (spans_of(trace, lane, State.COLLATE) for lane in lanes)])
    deserialising = spans_of_lanes(trace, LOADING_LANES, State.DESERIALISE)
    waits = find_waits(trace)
    pin = find_pin_cost(trace, steady)
    return Signs(
        fetch_s=float(np.median(durations)) * NS if len(durations) else None,
        fetch_cpu_share=_cpu_share(fetches),
        collate_s=float(np.median(collates)) * NS if len(collates) else None,
        deserialise_share=steady.covered_share(deserialising.start_ns, deserialising.end_ns),
        held_up_share=_held_up_share(waits, steady),
        late_batches=_late_batches(trace, steady, waits, fetches, float(np.median(durations))) if len(durations) else [],
        growth_bytes_per_s=_growth_bytes_per_s(trace, epochs),
        pin_step_share=pin.step_share if pin is not None else None,
        pin_step_slowdown=pin.slowdown if pin is not None else None,
    )


def _cpu_share(fetches: dict[str, SpanColumns]) -> float | None:
    cpu_ns = wall_ns = 0
    for spans in fetches.values():
        known = spans.value != THREAD_CPU_UNKNOWN
        cpu_ns += int(spans.value[known].sum())
        wall_ns += int((spans.end_ns - spans.start_ns)[known].sum())
    return min(1.0, cpu_ns / wall_ns) if wall_ns else None


def _held_up_share(waits: Waits, steady: Steady) -> float | None:
    return steady.covered_share(waits.end_ns - waits.held_up_ns, waits.end_ns) if (waits.worker != NO_WORKER).any() else None


def _late_batches(trace: Trace, steady: Steady, waits: Waits, fetches: dict[str, SpanColumns], median_ns: float) -> list[LateBatch]:
    """Returns the late batches of the steady state, the longest wait first.

    Batches outside the steady state do not count: a worker's first fetch also does work that happens only once.
    """
    late = slowly_fetched(waits, median_ns)
    bounds = steady.host_bounds_ns
    inside = np.any([(late.end_ns > low) & (late.start_ns < high) for low, high in bounds], axis=0) if bounds else np.zeros(len(late), bool)
    late = late.pick(np.flatnonzero(inside))
    return [_with_causes(trace, late, row, fetches) for row in late.costliest(MAX_LATE_BATCHES).tolist()]


def _with_causes(trace: Trace, late: Waits, row: int, fetches: dict[str, SpanColumns]) -> LateBatch:
    """Returns a late batch with the CPU time of its fetch, and the time for which its process waited for a core about then."""
    worker, start_ns, end_ns = int(late.worker[row]), int(late.fetch_start_ns[row]), int(late.fetch_end_ns[row])
    lane = lane_of(worker)
    lanes = LOADING_LANES if worker == NO_WORKER else (lane,)
    found = [spans.value for lane in lanes if (spans := fetches[lane].starting_in(start_ns, start_ns + 1))]
    cpu_ns = int(found[0][0]) if found and found[0][0] != THREAD_CPU_UNKNOWN else None
    process = lane if any(process.name == lane for process in trace.processes) else MAIN  # threads are main's
    return dataclasses.replace(
        late_batch(trace, late, row),
        fetch_cpu_s=cpu_ns * NS if cpu_ns is not None else None,
        run_delay_s=run_delay_s(trace, process, start_ns, end_ns),
    )


def _growth_bytes_per_s(trace: Trace, epochs: list[EpochRun]) -> float | None:
    """Returns the growth of the workers' private memory, summed, by least squares.

    It only counts readings from the first batch of an epoch to its last: before, every worker grows by its imports.
    """
    bounds = [(int(epoch.wait_end_ns[0]), int(epoch.done_ns[-1])) for epoch in epochs if epoch.batches]
    slopes = [slope for lane in worker_lanes(trace).values() if (slope := _growth_slope(trace, lane, bounds)) is not None]
    return sum(slopes) if slopes else None


def _growth_slope(trace: Trace, lane: str, bounds: list[tuple[int, int]]) -> float | None:
    """Returns the slope over the longest epoch, in bytes a second."""
    low_ns, high_ns = max(bounds, key=lambda pair: pair[1] - pair[0], default=(0, 0))
    for kind in ("uss", "private"):
        time_ns, value = series(trace, f"{kind}/{lane}")
        inside = (time_ns >= low_ns) & (time_ns <= high_ns)
        time_ns, value = time_ns[inside], value[inside]
        if len(time_ns) >= MIN_GROWTH_SAMPLES and (time_ns[-1] - time_ns[0]) * NS >= MIN_GROWTH_SECONDS:
            return float(np.polyfit((time_ns - time_ns[0]) * NS, value, 1)[0])
    return None
