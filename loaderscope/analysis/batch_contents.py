"""Bytes and tensors of the batches that workers send."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from loaderscope.agent.layout import State, bytes_of_contents, tensors_of_contents
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.span_lookup import Int64Array, worker_lanes
from loaderscope.analysis.steady import Steady
from loaderscope.trace.model import Trace


class Contents(NamedTuple):
    """Means over batches; None if no worker sent a batch or recorded its contents."""

    bytes: float | None
    tensors: float | None


def batch_contents(trace: Trace, epochs: list[EpochRun], steady: Steady) -> Contents:
    """Returns the means over the batches of the steady state, which leave out a smaller last batch; over all batches without one."""
    chosen = [window.epoch.batch[window.first : window.last] for window in steady.windows] or [epoch.batch for epoch in epochs]
    values = _packed_contents(trace, np.concatenate(chosen)) if chosen else np.empty(0, np.int64)
    if not len(values):
        return Contents(None, None)
    return Contents(float(bytes_of_contents(values).mean()), float(tensors_of_contents(values).mean()))


def _packed_contents(trace: Trace, batches: Int64Array) -> Int64Array:
    found = [np.empty(0, np.int64)]
    for lane in worker_lanes(trace).values():
        if lane in trace.points:
            view = trace.points[lane].view()
            found.append(view["value"][(view["state"] == int(State.CONTENTS)) & np.isin(view["batch"], batches)])
    return np.concatenate(found)
