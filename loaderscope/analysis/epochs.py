"""The epochs of a trial as the consumer saw them: when each batch was asked for, handed over and done with."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import Int64Array, SpanColumns, spans_of
from loaderscope.trace.model import Trace

MAIN = "main"


@dataclasses.dataclass(frozen=True)
class EpochRun:
    """One epoch; the arrays have one entry per batch, in the order of their delivery.

    Attributes:
        iterator_end_ns: when `iter(loader)` returned.
        end_ns: end of the epoch, workers joined.
        complete: the loader said that there is no further batch.
        wait_start_ns, wait_end_ns: the `next` that brought the batch.
        batch: batch id.
        host_done_ns: when the main process was done with the batch: the next `next`, or its step's end for the last one.
        done_ns: when the device was done with it where there is one, else `host_done_ns`.
    """

    index: int
    start_ns: int
    iterator_end_ns: int
    end_ns: int
    complete: bool
    wait_start_ns: Int64Array
    wait_end_ns: Int64Array
    batch: Int64Array
    host_done_ns: Int64Array
    done_ns: Int64Array

    @property
    def batches(self) -> int:
        return len(self.batch)


def read_epochs(trace: Trace) -> list[EpochRun]:
    """The epochs of a trace, the last one maybe unfinished."""
    iterators = spans_of(trace, MAIN, State.ITERATOR)
    waits = spans_of(trace, MAIN, State.WAIT)
    consumed = spans_of(trace, MAIN, State.TRANSFER, State.STEP)
    device_done = _device_done(trace)
    found = []
    for index, (start_ns, end_ns, ended) in enumerate(_bounds(trace, iterators)):
        epoch_waits = waits.within(start_ns, end_ns + 1)  # the last one may begin and end with the epoch
        delivered = epoch_waits.pick(epoch_waits.batch >= 0)
        stopped = (epoch_waits.batch < 0) & (epoch_waits.value >= 0)  # a `next` that never returned has neither
        last_done = _last_done(consumed.within(start_ns, end_ns), delivered)
        next_start = epoch_waits.start_ns[int(np.argmax(stopped))] if stopped.any() else last_done
        host_done = np.append(delivered.start_ns[1:], max(int(next_start), last_done)) if delivered else delivered.start_ns
        iterator = iterators.within(start_ns, end_ns)
        found.append(
            EpochRun(
                index=index,
                start_ns=int(iterator.start_ns[0]) if iterator else start_ns,
                iterator_end_ns=int(iterator.end_ns[0]) if iterator else start_ns,
                end_ns=end_ns,
                complete=ended and bool(stopped.any()),
                wait_start_ns=delivered.start_ns,
                wait_end_ns=delivered.end_ns,
                batch=delivered.batch,
                host_done_ns=host_done,
                done_ns=_on_device(delivered.batch, host_done, device_done),
            )
        )
    return found


def device_spans(trace: Trace) -> SpanColumns | None:
    """Busy periods that a device itself reported, or None where no device did."""
    lanes = [key for key, lane in list(trace.lanes.items()) if lane.kind == "device"]
    parts = [spans_of(trace, key, State.DEVICE_TRANSFER, State.DEVICE_STEP) for key in lanes]
    joined = SpanColumns(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None
    return joined if joined else None


def clock_error_s(trace: Trace) -> float | None:
    """Bound of the error with which device times stand on the host's clock; None where there are none.

    A time lies between two anchors, so none is off by more than the worse of the two (see agent/device.py).
    """
    points = trace.points.get(MAIN)
    if points is None:
        return None
    view = points.view()
    errors_ns = view["value"][view["state"] == int(State.DEVICE_ANCHOR)]
    return float(errors_ns.max()) / 1e9 if len(errors_ns) else None


def _bounds(trace: Trace, iterators: SpanColumns) -> list[tuple[int, int, bool]]:
    """Start and end of each epoch, and whether it came to its end.

    An epoch whose span is not there (yet) runs from its iter() to the newest record.
    """
    epochs = spans_of(trace, MAIN, State.EPOCH)
    ends = zip(epochs.start_ns.tolist(), epochs.end_ns.tolist(), epochs.value.tolist(), strict=True)
    bounds = [(start, end, batches >= 0) for start, end, batches in ends]
    last_end = bounds[-1][1] if bounds else np.iinfo(np.int64).min
    starts = iterators.start_ns[iterators.start_ns >= last_end].tolist()
    return bounds + [(start, end, False) for start, end in zip(starts, [*starts[1:], trace.end_ns + 1], strict=True)] if starts else bounds


def _last_done(consumed: SpanColumns, delivered: SpanColumns) -> int:
    if not delivered:
        return 0
    after = consumed.end_ns[consumed.start_ns >= delivered.end_ns[-1]]
    return int(after.max()) if len(after) else int(delivered.end_ns[-1])


def _device_done(trace: Trace) -> SpanColumns | None:
    """Ends of the batches on the device, sorted by batch id, the last end of each batch."""
    busy = device_spans(trace)
    if busy is None:
        return None
    steps = busy.pick(busy.state == int(State.DEVICE_STEP))
    if not steps and spans_of(trace, MAIN, State.STEP):  # a simulated step, of which the device knows nothing
        return None
    busy = steps or busy
    return busy.pick(np.lexsort((busy.end_ns, busy.batch)))


def _on_device(batch: Int64Array, host_done_ns: Int64Array, device_done: SpanColumns | None) -> Int64Array:
    if device_done is None or not len(batch):
        return host_done_ns
    rows = np.searchsorted(device_done.batch, batch, side="right") - 1
    known = (rows >= 0) & (device_done.batch[np.maximum(rows, 0)] == batch)
    # Mixing the clocks of host and device inside one epoch would bend single intervals, so it is all or none.
    return device_done.end_ns[rows] if known.all() else host_done_ns
