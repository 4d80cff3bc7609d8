"""What fetches spend their time on, and how the workers use the cores: from spans, and from what was sampled meanwhile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.memory_peaks import series
from loaderscope.analysis.sampler_work import longest_spans
from loaderscope.analysis.span_lookup import Int64Array, SpanColumns, spans_of, worker_lanes
from loaderscope.analysis.steady import Steady
from loaderscope.facts.evidence import FetchUse, LaneSpan, ProcessBeside
from loaderscope.facts.lanes import (
    BESIDE_DELAY_SERIES,
    BESIDE_SERIES,
    OTHER_THREADS_SERIES,
    RUN_DELAY_SERIES,
    WORKERS_AFFINITY_SERIES,
)
from loaderscope.facts.thread_waits import WAITS_SERIES, ThreadWait
from loaderscope.trace.model import Trace

MOST_LONGEST = 3
MIN_READINGS = 2
"""Where fewer readings fall into the steady state, those of the whole trial count."""

Bounds = Sequence[tuple[int, int]]
Floats = npt.NDArray[np.float64]


def find_fetch_use(trace: Trace, steady: Steady, child_names: Mapping[str, str] | None = None) -> FetchUse | None:
    """Returns what fetches spend their time on; None without a fetch.

    Args:
        trace: of the trial.
        steady: its steady part.
        child_names: of processes that the script started, by pid in text.
    """
    workers = list(worker_lanes(trace).values())
    fetches = {lane: spans for lane in workers or [MAIN] if (spans := spans_of(trace, lane, State.FETCH))}
    if not fetches:
        return None
    bounds = steady.host_bounds_ns
    looks = _looks(trace, fetches)
    total = int(looks.sum())
    return FetchUse(
        fetch_share=_mean_share(list(fetches.values()), steady),
        looks=total,
        waits={wait.key: float(looks[wait]) / total for wait in ThreadWait if looks[wait]},
        worker_cores=_cores(trace, "cpu", workers, bounds),
        other_threads_cores=_other_threads_cores(trace, workers, steady),
        run_delay_cores=_cores(trace, RUN_DELAY_SERIES, workers, bounds),
        allowed_cores=_allowed_cores(trace, bounds),
        beside=_beside(trace, bounds, child_names or {}),
        longest=_longest(trace, fetches),
    )


def _looks(trace: Trace, fetches: Mapping[str, SpanColumns]) -> Int64Array:
    """Returns how often the thread of a fetch waited for each `ThreadWait` when the app looked at it."""
    counts = np.zeros(len(ThreadWait), np.int64)
    for lane, spans in fetches.items():
        times_ns, waits = series(trace, f"{WAITS_SERIES}/{lane}")
        rows = np.searchsorted(spans.start_ns, times_ns, side="right") - 1
        inside = (rows >= 0) & (times_ns < spans.end_ns[np.maximum(rows, 0)])
        counts += np.bincount(waits[inside].astype(np.int64), minlength=len(counts))[: len(counts)]
    return counts


def _mean_share(spans: Sequence[SpanColumns], steady: Steady) -> float | None:
    """Returns the share of the steady state that the spans of a lane cover, on average over lanes."""
    shares = [steady.covered_share(one.start_ns, one.end_ns) for one in spans]
    known = [share for share in shares if share is not None]
    return mean(known) if known else None


def _mean(trace: Trace, key: str, bounds: Bounds) -> float | None:
    """Returns the mean of a series in the steady state, or of all of it where too few readings fall into that."""
    values = _steady_values(trace, key, bounds)
    if len(values) < MIN_READINGS:
        values = series(trace, key)[1]
    return float(values.mean()) if len(values) else None


def _steady_values(trace: Trace, key: str, bounds: Bounds) -> Floats:
    times_ns, values = series(trace, key)
    inside = np.zeros(len(times_ns), np.bool_)
    for low, high in bounds:
        inside |= (times_ns >= low) & (times_ns <= high)
    return values[inside]


def _cores(trace: Trace, kind: str, lanes: Sequence[str], bounds: Bounds) -> float | None:
    """Returns the sum over workers of the means of their series in per cent, as cores; None if any of them has none."""
    means = [_mean(trace, f"{kind}/{lane}", bounds) for lane in lanes]
    known = [one for one in means if one is not None]
    return max(0.0, sum(known) / 100) if known and len(known) == len(means) else None


def _other_threads_cores(trace: Trace, workers: Sequence[str], steady: Steady) -> float | None:
    """Returns what threads take beside the first of each worker and the one that sends, which takes its spans at most."""
    others = _cores(trace, OTHER_THREADS_SERIES, workers, steady.host_bounds_ns)
    sending = [spans_of(trace, lane, State.SERIALISE, State.TRANSMIT) for lane in workers]
    return None if others is None else max(0.0, others - len(workers) * (_mean_share(sending, steady) or 0.0))


def _allowed_cores(trace: Trace, bounds: Bounds) -> int | None:
    """Returns the cores that the workers may use while all of them are alive."""
    values = _steady_values(trace, WORKERS_AFFINITY_SERIES, bounds)
    return int(np.median(values)) if len(values) else None


def _beside(trace: Trace, bounds: Bounds, child_names: Mapping[str, str]) -> list[ProcessBeside]:
    """Returns the processes beside the workers. A worker is among the sampled ones for a moment, before its log is found."""
    own = {str(process.pid) for process in trace.processes}
    found = []
    for key, (info, _) in list(trace.series.items()):
        match = re.fullmatch(rf"{BESIDE_SERIES}-(\d+)", key)
        if match is None or match[1] in own:
            continue
        name = f"{child_names[match[1]]} (process {match[1]})" if match[1] in child_names else info.process or match[1]
        cores, ready_cores = (max(0.0, (_mean(trace, one, bounds) or 0.0) / 100) for one in (key, f"{BESIDE_DELAY_SERIES}-{match[1]}"))
        found.append(ProcessBeside(name, cores, ready_cores))
    return sorted(found, key=lambda process: -process.busy_cores)


def _longest(trace: Trace, fetches: Mapping[str, SpanColumns]) -> list[LaneSpan]:
    """Returns the longest fetches, without the first of each lane, which also does what happens once."""
    found = [span for lane, spans in fetches.items() for span in longest_spans(trace, lane, spans.pick(np.arange(1, spans.size)))]
    return sorted(found, key=lambda fetch: -fetch.seconds)[:MOST_LONGEST]
