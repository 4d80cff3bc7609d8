"""A sampled value on its way from the sampler's thread to the trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from loaderscope.trace.model import SeriesInfo, Trace


class Sample(NamedTuple):
    """One value; `time_ns` is perf_counter_ns of the app."""

    info: SeriesInfo
    time_ns: int
    value: float


def append_samples(trace: Trace, samples: Iterable[Sample], clock_offset_ns: int = 0) -> bool:
    """Adds samples to a trace, from the thread that owns it; whether there were any.

    Args:
        trace: where they go.
        samples: in order of time.
        clock_offset_ns: added to bring the app's stamps to the agent's clock.
    """
    grew = False
    for sample in samples:
        trace.series_of(sample.info).append(time_ns=sample.time_ns + clock_offset_ns, value=sample.value)
        grew = True
    if grew:
        trace.version += 1
    return grew
