"""What a batch costs on its way from the dataset to the consumer, on average over the steady state."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.sampler_work import longest_spans
from loaderscope.analysis.span_lookup import LOADING_LANES, Int64Array, SpanColumns, spans_of, spans_of_lanes, worker_lanes
from loaderscope.analysis.steady import Steady
from loaderscope.facts.evidence import BatchCosts
from loaderscope.trace.model import Trace

NS = 1e-9


def find_batch_costs(trace: Trace, steady: Steady) -> BatchCosts | None:
    """Returns the costs of a batch; None without a steady state, or if no fetch of it was recorded."""
    if not steady.batches:
        return None
    batches = np.concatenate([window.epoch.batch[window.first : window.last] for window in steady.windows])
    lanes = list(worker_lanes(trace).values())
    fetches, collates, packing, unpacking = (
        _of_batches(spans_of_lanes(trace, where, state), batches)
        for where, state in (
            ([*LOADING_LANES, *lanes], State.FETCH),
            ([*LOADING_LANES, *lanes], State.COLLATE),
            ([*lanes, LOADING_LANES[0]], State.SERIALISE),
            (LOADING_LANES, State.DESERIALISE),
        )
    )
    if not fetches:
        return None
    collate_s = _mean_s(collates, batches)
    costs = BatchCosts(fetch_s=_mean_s(fetches, batches) + collate_s, collate_s=collate_s)
    if not lanes:
        return costs
    receiving = spans_of_lanes(trace, LOADING_LANES, State.RECEIVE)
    lane = next((lane for lane in LOADING_LANES if spans_of(trace, lane, State.DESERIALISE)), LOADING_LANES[0])
    return BatchCosts(
        fetch_s=costs.fetch_s,
        collate_s=collate_s,
        serialise_s=_mean_s(packing, batches) if packing else None,
        receive_s=steady.covered_ns(receiving.start_ns, receiving.end_ns) * NS / steady.batches,
        unpack_s=_mean_s(unpacking, batches) if unpacking else None,
        pipe_bytes=float(packing.value.mean()) if packing else None,
        idle_share=_idle_share(trace, lanes, steady),
        unpacking=longest_spans(trace, lane, _of_batches(spans_of(trace, lane, State.DESERIALISE), batches)),
        keep_s=_keep_s(trace, lanes, batches),
    )


def _of_batches(spans: SpanColumns, batches: Int64Array) -> SpanColumns:
    return spans.pick(np.isin(spans.batch, batches))


def _mean_s(spans: SpanColumns, batches: Int64Array) -> float:
    return int((spans.end_ns - spans.start_ns).sum()) * NS / len(batches)


def _keep_s(trace: Trace, lanes: list[str], batches: Int64Array) -> float | None:
    """Returns the mean seconds from the end of a batch's fetch or collate to the begin of its SEND."""
    made, sends = (_of_batches(spans_of_lanes(trace, lanes, *states), batches) for states in ((State.FETCH, State.COLLATE), (State.SEND,)))
    ids = np.unique(made.batch)
    sends = sends.pick(np.isin(sends.batch, ids))
    if not sends:
        return None
    end_ns = np.zeros(len(ids), np.int64)
    np.maximum.at(end_ns, np.searchsorted(ids, made.batch), made.end_ns)
    return float(np.maximum(0, sends.start_ns - end_ns[np.searchsorted(ids, sends.batch)]).mean()) * NS


def _idle_share(trace: Trace, lanes: list[str], steady: Steady) -> float | None:
    waits = [spans_of(trace, lane, State.INDEX_WAIT) for lane in lanes]
    shares = [steady.covered_share(one.start_ns, one.end_ns) for one in waits]
    known = [share for share in shares if share is not None]
    return mean(known) if known else None
