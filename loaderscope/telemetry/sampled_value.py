"""A sampled value on its way from the sampler's thread to the trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from loaderscope.trace.model import SeriesInfo, Trace


class Sample(NamedTuple):
    """One value of a series. `time_ns`: the app's perf_counter_ns."""

    info: SeriesInfo
    time_ns: int
    value: float


def append_samples(trace: Trace, samples: Iterable[Sample], clock_offset_ns: int = 0) -> bool:
    """Appends samples to a trace and returns whether there were any. Only the thread that owns the trace may call it.

    Args:
        trace: gets the samples.
        samples: in order of time.
        clock_offset_ns: added to the app's stamps to get those of the agent's clock.
    """
    grew = False
    for sample in samples:
        trace.series_of(sample.info).append(time_ns=sample.time_ns + clock_offset_ns, value=sample.value)
        grew = True
    if grew:
        trace.version += 1
    return grew
