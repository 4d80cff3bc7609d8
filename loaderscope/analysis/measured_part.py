"""Cuts a trial's trace before its exact window, which follows the measured epochs."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import Trace


def window_start_ns(trace: Trace) -> int | None:
    """Returns when the exact window began, after the measured epochs; None if there is no such window (yet)."""
    points = trace.points.get(MAIN)
    if points is None:
        return None
    view = points.view()
    starts_ns = view["time_ns"][view["state"] == int(State.EXACT_WINDOW)]
    return int(starts_ns[0]) if len(starts_ns) else None


def measured_part(trace: Trace) -> Trace:
    """Returns the trace without spans, points and values that start in the exact window; the trace itself without such a window."""
    end_ns = window_start_ns(trace)
    if end_ns is None:
        return trace
    part = Trace()
    part.__dict__.update(trace.__dict__)
    part.newest_ns = end_ns
    part.tracks = {key: _before(columns, "start_ns", end_ns) for key, columns in trace.tracks.items()}
    part.points = {key: _before(columns, "time_ns", end_ns) for key, columns in trace.points.items()}
    part.series = {key: (info, _before(columns, "time_ns", end_ns)) for key, (info, columns) in trace.series.items()}
    part.processes = [process for process in trace.processes if process.started_ns < end_ns]
    part.open_spans = tuple(span for span in trace.open_spans if span.start_ns < end_ns)
    return part


def _before(columns: Columns, key: str, end_ns: int) -> Columns:
    view = columns.view()
    rows = view[key] < np.int64(end_ns)
    kept = Columns({name: column.dtype.str[1:] for name, column in view.items()})
    kept.append(**{name: column[rows] for name, column in view.items()})
    return kept
