"""When a device worked, as far as events tell: at most from the event before its work to the one after, at least from the time at
which the host had issued all of it.

Events say when a stream passed them, not whether it worked between them. While the host is still issuing, a stream may run dry. Once
everything is issued it works without a pause until the event after the work.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN, clock_error_s, device_spans
from loaderscope.analysis.span_lookup import Int64Array, SpanColumns, spans_of
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class DevicePeriods:
    """Work of a device; the arrays have one entry for each period.

    Attributes:
        spans: from the event before the work to the one after it.
        sure_start_ns: from here to the end of its span the device surely worked; the end itself if it is never sure.
        clock_error_ns: bound of the error of all these times on the host's clock.
    """

    spans: SpanColumns
    sure_start_ns: Int64Array
    clock_error_ns: int

    def of(self, *states: State) -> DevicePeriods:
        """Returns the periods in any of the states."""
        rows = np.isin(self.spans.state, [int(state) for state in states])
        return DevicePeriods(self.spans.pick(rows), self.sure_start_ns[rows], self.clock_error_ns)


def device_periods(trace: Trace) -> DevicePeriods | None:
    """Returns the work that devices reported themselves, or None if no device did."""
    spans = device_spans(trace)
    if spans is None:
        return None
    is_copy = spans.state == int(State.DEVICE_TRANSFER)
    issued_ns = np.where(
        is_copy, _issued_ns(spans.batch, _issued_copies(trace)), _issued_ns(spans.batch, spans_of(trace, MAIN, State.STEP))
    )
    sure_start_ns = np.clip(issued_ns, spans.start_ns, spans.end_ns)
    return DevicePeriods(spans, sure_start_ns, round((clock_error_s(trace) or 0.0) * 1e9))


def _issued_copies(trace: Trace) -> SpanColumns:
    """Returns the host's spans of copies up to the time at which they were issued: a copy that blocks is waited for after that."""
    copies, waits = spans_of(trace, MAIN, State.TRANSFER), spans_of(trace, MAIN, State.DEVICE_WAIT)
    if not copies or not waits:
        return copies
    next_wait = np.append(waits.start_ns, np.iinfo(np.int64).max)[np.searchsorted(waits.start_ns, copies.start_ns)]
    return copies._replace(end_ns=np.minimum(copies.end_ns, next_wait))


def _issued_ns(batch: Int64Array, issued: SpanColumns) -> Int64Array:
    """Returns for each batch the end of the host's span that issued it; the largest time where there is none."""
    order = np.argsort(issued.batch, kind="stable")
    rows = np.searchsorted(issued.batch, batch, sorter=order)
    padded = np.append(issued.end_ns[order], np.iinfo(np.int64).max)
    batches = np.append(issued.batch[order], -1)
    return np.where(batches[rows] == batch, padded[rows], np.iinfo(np.int64).max)
