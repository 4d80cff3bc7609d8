"""Energy that the GPUs of a trial used in its steady state, from their counters of total energy (NVML)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from loaderscope.analysis.memory_peaks import series
from loaderscope.analysis.steady import Steady
from loaderscope.trace.model import NO_GPU_USED, Trace

MIN_WINDOW_NS = 3_000_000_000
"""The counter is read once a second, so the edges of a shorter window would distort its energy."""


class Energy(NamedTuple):
    """`value` in joules, or None with the `reason`."""

    value: float | None
    reason: str | None


def energy_per_1000_samples_j(trace: Trace, steady: Steady, batch_samples: float | None) -> Energy:
    """Returns the joules of all GPUs of the trial for 1,000 samples of its steady state.

    Args:
        trace: with the series `gpu-N/energy`.
        steady: the steady part of the trial.
        batch_samples: samples in a batch.
    """
    gpus = {key.partition("/")[0] for key in list(trace.series) if key.startswith("gpu-")}
    if not gpus:
        return Energy(None, trace.unavailable.get("gpu", "no GPU was sampled"))
    if NO_GPU_USED in trace.unavailable:
        return Energy(None, "the trial uses no GPU")
    if any("-mig-" in gpu for gpu in gpus):
        return Energy(None, "the counter is of all of the GPU, of which the trial uses a part (MIG)")
    for gpu in sorted(gpus):
        if f"{gpu}/energy" not in trace.series:
            return Energy(None, trace.unavailable.get(f"{gpu}/energy", trace.unavailable.get(gpu, "no energy counter was read")))
    if batch_samples is None:
        return Energy(None, "the number of samples in a batch cannot be told")
    windows = [window for window in steady.windows if window.host_bounds_ns[1] - window.host_bounds_ns[0] >= MIN_WINDOW_NS]
    if not windows:
        return Energy(None, f"the steady state is shorter than {MIN_WINDOW_NS // 10**9} s, and the counter is read once a second")
    joules = 0.0
    for gpu in gpus:
        time_ns, value = series(trace, f"{gpu}/energy")
        for low_ns, high_ns in (window.host_bounds_ns for window in windows):
            if time_ns[0] > low_ns or time_ns[-1] < high_ns:
                return Energy(None, trace.unavailable.get(gpu, "the energy counter was not read over all of the steady state"))
            low, high = np.interp(np.array([low_ns, high_ns]) - time_ns[0], time_ns - time_ns[0], value)
            if high < low:
                return Energy(None, "the energy counter began anew within the trial")
            joules += float(high - low)
    batches = sum(window.last - window.first for window in windows)
    return Energy(1000 * joules / (batches * batch_samples), None)
