"""The measured part of a trial's trace: what comes before its exact window."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import Trace


def measured_part(trace: Trace) -> Trace:
    """The trace without what begins after the measured epochs; the trace itself where nothing does."""
    points = trace.points.get(MAIN)
    view = points.view() if points is not None else None
    starts_ns = view["time_ns"][view["state"] == int(State.EXACT_WINDOW)] if view is not None else np.empty(0, np.int64)
    if not len(starts_ns):
        return trace
    end_ns = np.int64(starts_ns[0])
    part = Trace()
    part.__dict__.update(trace.__dict__)
    part.newest_ns = int(end_ns)
    part.tracks = {key: _before(columns, "start_ns", end_ns) for key, columns in trace.tracks.items()}
    part.points = {key: _before(columns, "time_ns", end_ns) for key, columns in trace.points.items()}
    part.series = {key: (info, _before(columns, "time_ns", end_ns)) for key, (info, columns) in trace.series.items()}
    part.processes = [process for process in trace.processes if process.started_ns < end_ns]
    part.open_spans = tuple(span for span in trace.open_spans if span.start_ns < end_ns)
    return part


def _before(columns: Columns, key: str, end_ns: np.int64) -> Columns:
    view = columns.view()
    rows = view[key] < end_ns
    kept = Columns({name: column.dtype.str[1:] for name, column in view.items()})
    kept.append(**{name: column[rows] for name, column in view.items()})
    return kept
