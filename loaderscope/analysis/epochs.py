"""The epochs of a trial as the consumer saw them: when it asked for each batch, got it and was done with it."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import DEVICE_PERIODS, State
from loaderscope.analysis.span_lookup import LOADING_LANES, Int64Array, SpanColumns, spans_of, spans_of_lanes
from loaderscope.trace.model import Trace

MAIN = "main"


@dataclasses.dataclass(frozen=True)
class EpochRun:
    """One epoch; the arrays have one entry for each batch, in the order of delivery.

    Attributes:
        iterator_end_ns: when `iter(loader)` returned.
        end_ns: end of the epoch, after workers were joined.
        complete: whether the loader reported its end.
        wait_start_ns, wait_end_ns: the `next` that returned the batch.
        batch: batch id.
        host_done_ns: when the main process was done with the batch: at the first `next` after its step, or at the end of the last
            batch's step.
        done_ns: when the device was done with the batch; `host_done_ns` without a device.
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
    """Returns the epochs of a trace; the last one may be unfinished."""
    iterators = spans_of_lanes(trace, LOADING_LANES, State.ITERATOR)
    waits = spans_of(trace, MAIN, State.WAIT)
    consumed = spans_of(trace, MAIN, State.TRANSFER, State.STEP)
    steps = consumed.pick(consumed.state == int(State.STEP))
    device_ends = _device_ends(trace)
    runs = []
    for index, (start_ns, end_ns, ended) in enumerate(_bounds(trace, iterators)):
        epoch_waits = waits.starting_in(start_ns, end_ns + 1)  # the last one may begin and end with the epoch
        delivered = epoch_waits.pick(epoch_waits.batch >= 0)
        stopped = (epoch_waits.batch < 0) & (epoch_waits.value >= 0)  # a `next` that never returned has neither
        last_done_ns = _last_done_ns(consumed.starting_in(start_ns, end_ns), delivered)
        next_start = epoch_waits.start_ns[int(np.argmax(stopped))] if stopped.any() else last_done_ns
        next_ns = np.append(delivered.start_ns[1:], max(int(next_start), last_done_ns)) if delivered else delivered.start_ns
        host_done_ns = np.maximum(next_ns, _next_after_step_ns(delivered.batch, steps.starting_in(start_ns, end_ns), epoch_waits))
        iterator = iterators.starting_in(start_ns, end_ns)
        runs.append(
            EpochRun(
                index=index,
                start_ns=int(iterator.start_ns[0]) if iterator else start_ns,
                iterator_end_ns=int(iterator.end_ns[0]) if iterator else start_ns,
                end_ns=end_ns,
                complete=ended and bool(stopped.any()),
                wait_start_ns=delivered.start_ns,
                wait_end_ns=delivered.end_ns,
                batch=delivered.batch,
                host_done_ns=host_done_ns,
                done_ns=_done_on_device_ns(delivered.batch, host_done_ns, device_ends),
            )
        )
    return runs


def device_spans(trace: Trace) -> SpanColumns | None:
    """Returns the busy periods that devices reported themselves, or None if no device did."""
    lanes = [key for key, lane in list(trace.lanes.items()) if lane.kind == "device"]
    parts = [spans_of(trace, key, *DEVICE_PERIODS) for key in lanes]
    joined = SpanColumns(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None
    return joined if joined else None


def clock_error_s(trace: Trace) -> float | None:
    """Returns a bound of the error of device times on the host's clock; None without device times.

    Each time lies between two anchors, so its error is at most that of the worse anchor (see agent/device.py).
    """
    points = trace.points.get(MAIN)
    if points is None:
        return None
    view = points.view()
    errors_ns = view["value"][view["state"] == int(State.DEVICE_ANCHOR)]
    return float(errors_ns.max()) / 1e9 if len(errors_ns) else None


def _bounds(trace: Trace, iterators: SpanColumns) -> list[tuple[int, int, bool]]:
    """Returns start and end of each epoch, and whether it ended.

    An epoch without a span (yet) runs from its iter() to the newest record.
    """
    epochs = spans_of(trace, MAIN, State.EPOCH)
    ends = zip(epochs.start_ns.tolist(), epochs.end_ns.tolist(), epochs.value.tolist(), strict=True)
    bounds = [(start, end, batches >= 0) for start, end, batches in ends]
    last_end = bounds[-1][1] if bounds else np.iinfo(np.int64).min
    starts = iterators.start_ns[iterators.start_ns >= last_end].tolist()
    return bounds + [(start, end, False) for start, end in zip(starts, [*starts[1:], trace.end_ns + 1], strict=True)] if starts else bounds


def _last_done_ns(consumed: SpanColumns, delivered: SpanColumns) -> int:
    if not delivered:
        return 0
    after = consumed.end_ns[consumed.start_ns >= delivered.end_ns[-1]]
    return int(after.max()) if len(after) else int(delivered.end_ns[-1])


def _next_after_step_ns(batch: Int64Array, steps: SpanColumns, waits: SpanColumns) -> Int64Array:
    """Returns for each batch the first `next` after its step, or the end of its step if none follows; 0 for a batch without a step.

    A step follows its own `next`, or, where copies go ahead of the steps, the one after that.
    """
    if not steps:
        return np.zeros(len(batch), np.int64)
    steps = steps.pick(np.argsort(steps.batch, kind="stable"))
    rows = np.minimum(np.searchsorted(steps.batch, batch), steps.size - 1)
    ends_ns = steps.end_ns[rows]
    next_rows = np.searchsorted(waits.start_ns, ends_ns)
    next_ns = np.where(next_rows < waits.size, np.append(waits.start_ns, 0)[next_rows], ends_ns)
    return np.where(steps.batch[rows] == batch, next_ns, 0)


def _device_ends(trace: Trace) -> SpanColumns | None:
    """Returns the device's spans of batches, sorted by batch id and end, so that the last row of a batch holds its last end."""
    busy = device_spans(trace)
    if busy is None:
        return None
    steps = busy.pick(busy.state == int(State.DEVICE_STEP))
    if not steps and spans_of(trace, MAIN, State.STEP):  # a simulated step leaves no trace on the device
        return None
    busy = steps or busy
    return busy.pick(np.lexsort((busy.end_ns, busy.batch)))


def _done_on_device_ns(batch: Int64Array, host_done_ns: Int64Array, device_ends: SpanColumns | None) -> Int64Array:
    if device_ends is None or not len(batch):
        return host_done_ns
    rows = np.searchsorted(device_ends.batch, batch, side="right") - 1
    known = (rows >= 0) & (device_ends.batch[np.maximum(rows, 0)] == batch)
    # Mixing the clocks of host and device inside one epoch would bend single intervals, so it is all or none.
    return device_ends.end_ns[rows] if known.all() else host_done_ns
