"""Appends spans and points so that they stay sorted, and that spans of a track do not overlap."""

from __future__ import annotations

import numpy as np

from loaderscope.trace.columns import Columns
from loaderscope.trace.record_decoder import Ints


def append_spans(track: Columns, start_ns: Ints, end_ns: Ints, **others: Ints) -> None:
    """Adds spans that are sorted by start. What would overlap (after a lost record, or by a device's clock) is cut.

    Args:
        track: the spans of one lane and depth.
        start_ns: begins.
        end_ns: ends, not before the begins.
        others: the remaining columns.
    """
    if not len(start_ns):
        return
    first = track.view()["end_ns"][-1] if len(track) else start_ns[0]
    earlier_ends = np.maximum.accumulate(np.concatenate((np.array([first], np.int64), end_ns[:-1])))
    if (start_ns < earlier_ends).any():
        start_ns = np.maximum(start_ns, earlier_ends)
        end_ns = np.maximum(start_ns, end_ns)
    track.append(start_ns=start_ns, end_ns=end_ns, **others)


def append_points(points: Columns, time_ns: Ints, **others: Ints) -> None:
    """Adds points that are sorted by time. One that a slower thread wrote late is moved to the newest that is there."""
    if len(points):
        time_ns = np.maximum(time_ns, points.view()["time_ns"][-1])
    points.append(time_ns=time_ns, **others)
