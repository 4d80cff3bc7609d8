"""Growth of memory over an epoch: bytes for 1,000 batches of the loader, with an interval."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.intervals import t_quantile
from loaderscope.analysis.span_lookup import Int64Array
from loaderscope.facts.estimates import Estimate

Floats = npt.NDArray[np.float64]
Readings = tuple[Int64Array, Floats]
"""Times in nanoseconds, and bytes."""

MIN_READINGS = 5
MIN_SECONDS = 4.0
MIN_READINGS_INTERVAL = 6
TOO_SHORT = f"the trial is too short: it takes {MIN_READINGS} readings over {MIN_SECONDS:g} s after the first batch"

_MOST_READINGS = 120
"""Readings beyond this number are thinned, because the slope compares every pair."""
_RESAMPLES = 400


def longest_epoch_received_ns(epochs: list[EpochRun]) -> Int64Array:
    """Returns when main received each batch of the longest epoch. Growth counts from its first batch: before, workers import."""
    received = [epoch.wait_end_ns for epoch in epochs if epoch.batches]
    return max(received, key=lambda times_ns: int(times_ns[-1] - times_ns[0]), default=np.empty(0, np.int64))


def readings_in_epoch(readings: Readings, received_ns: Int64Array) -> Readings | None:
    """Returns the readings between the first batch of an epoch and its last; None if they are too few."""
    time_ns, value = readings
    if not len(received_ns):
        return None
    inside = (time_ns >= received_ns[0]) & (time_ns <= received_ns[-1])
    time_ns, value = time_ns[inside], value[inside]
    if len(time_ns) < MIN_READINGS or (time_ns[-1] - time_ns[0]) * 1e-9 < MIN_SECONDS:
        return None
    step = -(-len(time_ns) // _MOST_READINGS)
    return time_ns[::step], value[::step]


def total_readings(readings: list[Readings]) -> Readings:
    """Returns the sum over processes, at the times of the most often read one, while all of them were alive."""
    first, last = max(times[0] for times, _ in readings), min(times[-1] for times, _ in readings)
    grid = max((times for times, _ in readings), key=len)
    grid = grid[(grid >= first) & (grid <= last)]
    return grid, np.sum([np.interp(grid - first, times - first, value) for times, value in readings], axis=0)


def growth_per_1000_batches(readings: Readings, received_ns: Int64Array) -> Estimate | None:
    """Returns the median slope between all pairs of readings (Theil–Sen), which a step at the start does not change.

    The interval comes from resampling the residuals in blocks, because neighbouring readings are correlated.
    """
    time_ns, value = readings
    thousands = np.searchsorted(received_ns, time_ns, side="right") / 1000.0
    count = len(value)
    if count < MIN_READINGS or thousands[-1] <= thousands[0]:
        return None
    slope = float(_median_slopes(thousands, value[np.newaxis])[0])
    if count < MIN_READINGS_INTERVAL:
        return Estimate(slope)
    rest = value - slope * thousands
    rest = rest - np.median(rest)
    block = max(2, round(math.sqrt(count)))
    random = np.random.default_rng(0)  # one trace, one interval
    starts = random.integers(0, count - block + 1, size=(_RESAMPLES, -(-count // block)))
    rows = (starts[:, :, np.newaxis] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :count]
    deviations = _median_slopes(thousands, rest[rows])
    # the fit took two parameters, and few readings understate their own spread
    low, high = np.percentile(deviations, (2.5, 97.5)) * math.sqrt(count / (count - 2)) * t_quantile(count - 2) / t_quantile(10**6)
    return Estimate(slope, (slope + float(min(low, 0.0)), slope + float(max(high, 0.0))))


def _median_slopes(x: Floats, values: Floats) -> Floats:
    """Returns the median slope of each row of values over `x`."""
    low, high = np.triu_indices(len(x), 1)
    apart = x[high] - x[low]
    known = apart > 0
    low, high, apart = low[known], high[known], apart[known]
    chunk = max(1, 2_000_000 // len(apart))
    parts = [values[at : at + chunk] for at in range(0, len(values), chunk)]
    found: Floats = np.concatenate([np.median((part[:, high] - part[:, low]) / apart, axis=1) for part in parts])
    return found
