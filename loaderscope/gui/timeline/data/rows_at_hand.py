"""Which rows of a stored trace a scene has in memory: those around the view, as far as they are few enough. No Qt.

While the view moves, a painter asks for the rows that it misses (`range_to_read`), another thread reads them (`read_rows`), and the
scene shows sums in coarse buckets until they are there. Most moves find their rows at hand, because a reading takes more than the view.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from loaderscope.gui.timeline.data.level_of_detail import TrackIndex
from loaderscope.trace.columns import Columns
from loaderscope.trace.model import SPAN_COLUMNS, Trace, TrackKey
from loaderscope.trace.stored_columns import StoredColumns

MOST_IN_SIGHT = 1_000_000
"""With more rows in the view, sums are drawn: a column then stands for hundreds of them."""

MOST_AT_HAND = 1_500_000
"""Rows that one reading takes at most, of all tracks and points together: about 100 MB with all that painting needs."""

_MARGINS = (1.0, 0.5, 0.25, 0.1, 0.0)
"""Parts of the view's length that a reading takes on either side, if they are few enough."""

_LEAST_MARGIN = 0.25
"""With less room than this part of the view's length on either side, the next rows are read in advance."""


@dataclasses.dataclass(frozen=True, eq=False)
class RowsAtHand:
    """The rows of a stored trace that touch [start_ns, end_ns).

    Attributes:
        trace: the trace with these spans and points alone, in memory.
        indexes: by track, an index of its rows.
        first_rows: by track, the number of its first row in the whole track.
    """

    start_ns: int
    end_ns: int
    trace: Trace
    indexes: Mapping[TrackKey, TrackIndex]
    first_rows: Mapping[TrackKey, int]


def range_to_read(trace: Trace, at_hand: RowsAtHand | None, start_ns: int, end_ns: int) -> tuple[int, int] | None:
    """Returns the range of time to read next for a view of [start_ns, end_ns); None if nothing needs to be read, or too much would."""
    low_ns, high_ns = trace.origin_ns or 0, trace.end_ns + 1
    start_ns, end_ns = max(start_ns, low_ns), min(end_ns, high_ns)
    if start_ns >= end_ns:
        return None
    spare_ns = round((end_ns - start_ns) * _LEAST_MARGIN)
    if at_hand is not None and at_hand.start_ns <= max(start_ns - spare_ns, low_ns) and min(end_ns + spare_ns, high_ns) <= at_hand.end_ns:
        return None
    if estimated_rows(trace, start_ns, end_ns) > MOST_IN_SIGHT:
        return None
    for margin in _MARGINS:
        wider_ns = round((end_ns - start_ns) * margin)
        to_read = max(start_ns - wider_ns, low_ns), min(end_ns + wider_ns, high_ns)
        if estimated_rows(trace, *to_read) <= MOST_AT_HAND:
            break
    return None if at_hand is not None and (at_hand.start_ns, at_hand.end_ns) == to_read else to_read


def estimated_rows(trace: Trace, start_ns: int, end_ns: int) -> int:
    """Returns about how many rows of the tables in the file touch a range."""
    edges_ns = np.array([start_ns, end_ns], np.int64)
    tables = [table for table in (*trace.tracks.values(), *trace.points.values()) if isinstance(table, StoredColumns)]
    return sum(int(np.diff(table.estimated_rows(edges_ns))[0]) for table in tables)


def read_rows(trace: Trace, start_ns: int, end_ns: int) -> RowsAtHand:
    """Reads the rows that touch [start_ns, end_ns), and indexes the spans for painting. Any thread may call it.

    Raises:
        SessionError: the file is damaged or was closed.
    """
    first_rows = {
        key: columns.rows_touching(start_ns, end_ns)[0] for key, columns in trace.tracks.items() if isinstance(columns, StoredColumns)
    }
    part = trace.part(start_ns, end_ns)
    indexes = {key: TrackIndex(part.tracks[key]) for key in first_rows}
    for index in indexes.values():
        index.prepare(index.states)
    return RowsAtHand(start_ns, end_ns, part, indexes, first_rows)


def without_rows(trace: Trace) -> Trace:
    """Returns a trace without its spans and points. It shares all else with the trace."""
    empty = Trace()
    empty.__dict__.update(trace.__dict__)
    empty.tracks = {key: Columns(SPAN_COLUMNS) for key in trace.tracks}
    empty.points = {}
    return empty
