"""How long the sampler or batch sampler works in main: before each epoch, and for each batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.span_lookup import LOADING_LANES, SpanColumns, spans_of
from loaderscope.analysis.steady import Steady
from loaderscope.facts.evidence import LaneSpan, SamplerWork
from loaderscope.trace.model import Trace, epoch_and_batch

NS = 1e-9

MOST_SPANS = 5
"""So many of the longest spans are kept, to be shown on the timeline."""


def find_sampler_work(trace: Trace, epochs: Sequence[EpochRun], steady: Steady) -> SamplerWork | None:
    """Returns what the sampler of a trial did; None if nothing of it was recorded, as it took too little."""
    lane = next((lane for lane in LOADING_LANES if spans_of(trace, lane, State.SAMPLER)), None)
    if lane is None:
        return None
    spans = spans_of(trace, lane, State.SAMPLER)
    share, batch_s = _in_steady_state(spans, steady)
    starts = [_at_start(spans, epoch) for epoch in epochs if epoch.batches]
    class_name, place = _class_and_place(trace, lane)
    return SamplerWork(
        class_name=class_name,
        place=place,
        share=share,
        batch_s=batch_s,
        epoch_start_s=mean([extra_s for extra_s, _ in starts]) if starts else 0.0,
        first_batch_s=mean([all_s for _, all_s in starts]) if starts else 0.0,
        total_s=int((spans.end_ns - spans.start_ns).sum()) * NS,
        spans=longest_spans(trace, lane, spans),
    )


def longest_spans(trace: Trace, lane: str, spans: SpanColumns) -> list[LaneSpan]:
    """Returns the longest of some spans, longest first."""
    duration_ns = spans.end_ns - spans.start_ns
    rows = np.argsort(-duration_ns, kind="stable")[:MOST_SPANS].tolist()
    return [LaneSpan(lane, (int(spans.start_ns[row]) - (trace.origin_ns or 0)) * NS, int(duration_ns[row]) * NS) for row in rows]


def _in_steady_state(spans: SpanColumns, steady: Steady) -> tuple[float | None, float | None]:
    """Returns the share of the steady state, and the seconds for a batch of it."""
    share = steady.covered_share(spans.start_ns, spans.end_ns)
    return share, None if share is None else steady.covered_ns(spans.start_ns, spans.end_ns) / steady.batches * NS


def _at_start(spans: SpanColumns, epoch: EpochRun) -> tuple[float, float]:
    """Returns the seconds by which an epoch's start takes longer than another batch, and all seconds before its first batch."""
    own = spans.starting_in(epoch.start_ns, epoch.end_ns + 1)
    duration_ns = own.end_ns - own.start_ns
    is_first = np.array([batch < 0 or epoch_and_batch(batch)[1] == 0 for batch in own.batch.tolist()], np.bool_)
    usual_ns = float(np.median(duration_ns[~is_first])) if (~is_first).any() else 0.0
    extra_ns = max(0.0, float(duration_ns[is_first].sum()) - usual_ns)
    return extra_ns * NS, int(duration_ns[own.start_ns < epoch.wait_end_ns[0]].sum()) * NS


def _class_and_place(trace: Trace, lane: str) -> tuple[str | None, str | None]:
    named = spans_of(trace, lane, State.SAMPLER_CLASS)
    name = trace.names.get(int(named.value[0])) if named else None
    class_name, _, place = (name or "").partition("\0")
    return class_name or None, place or None
