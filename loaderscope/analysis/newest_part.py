"""The part of a long recording that is still in memory when its training ends."""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import duration_text
from loaderscope.trace.model import Trace


def newest_part(trace: Trace) -> Trace:
    """Returns the trace from the moment on from which all its spans are in memory; the trace itself if it forgot none."""
    first_ns = forgotten_until_ns(trace)
    if first_ns is None:
        return trace
    part = trace.part(first_ns, trace.end_ns + 1)
    part.origin_ns = first_ns
    return part


def forgotten_until_ns(trace: Trace) -> int | None:
    """Returns since when all spans of a trace are in memory; None if it forgot none."""
    tracks = [trace.tracks[key] for key, _ in trace.forgotten]
    return max((int(np.asarray(columns.view()["start_ns"], np.int64)[0]) for columns in tracks if len(columns)), default=None)


def of_whole_training(result: TrialResult, trace: Trace) -> TrialResult:
    """Returns the result of `newest_part` with what is known of the whole trace, and a note; the same result if nothing was forgotten."""
    first_ns = forgotten_until_ns(trace)
    if first_ns is None:
        return result
    note = (
        f"The training was long: batches and waits are those of all of it, the other figures those of its last "
        f"{duration_text((trace.end_ns - first_ns) / 1e9)}."
    )
    is_cut = bool(result.epochs)
    return dataclasses.replace(
        result,
        batches=int((spans_of(trace, MAIN, State.WAIT).batch >= 0).sum()) + trace.forgotten_spans(MAIN, State.WAIT).with_batch,
        first_batch_s=None,
        startup=None,
        epochs=[dataclasses.replace(result.epochs[0], first_batch_s=None), *result.epochs[1:]] if is_cut else result.epochs,
        notes=[note, *result.notes],
    )
