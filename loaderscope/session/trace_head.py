"""What a session file stores about a whole trace, beside its lanes and rows."""

from __future__ import annotations

import dataclasses
import sqlite3

from loaderscope.agent.ranges import Count, TimeNs
from loaderscope.session.secret_masking import mask_document
from loaderscope.session.values import to_text
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class TraceHead:
    """What a session file stores about a whole trace, beside its lanes and rows."""

    origin_ns: TimeNs | None = None
    newest_ns: TimeNs = 0
    record_count: Count = 0
    unavailable: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    thinned_ns: tuple[tuple[TimeNs, TimeNs], ...] = ()


def write_head(connection: sqlite3.Connection, trial: int, trace: Trace) -> None:
    """Writes the trace's origin, newest time, record count, unavailable measurements, notes and thinned ranges."""
    head = TraceHead(
        trace.origin_ns,
        trace.newest_ns,
        trace.record_count,
        mask_document(trace.unavailable),
        mask_document(trace.notes),
        trace.thinned_ns,
    )
    connection.execute("UPDATE trial SET trace = ? WHERE id = ?", (to_text(head), trial))
