"""What a recorded training lost to its loaders."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.span_lookup import covered_ns, spans_of
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import duration_text, share_text
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class RecordedTraining:
    """A whole training.

    Attributes:
        seconds: from the start of the script to its end.
        exposed_s: for which the process that waited longest made iterators and waited for batches.
        exposed_share: the same as a share of `seconds`.
        exit_status: of the script; negative: the signal that ended it.
        batches: that all loaders gave.
    """

    seconds: float
    exposed_s: float
    exposed_share: float
    exit_status: int
    batches: int


def wait_seconds(trace: Trace, reads_ahead: bool) -> float | None:
    """Returns for how long main made iterators of a loader and waited for its batches; None if that was not recorded.

    Args:
        trace: of the loader.
        reads_ahead: whether the loader may take batches from torch's iterator in a thread, which leaves no waits in main.
    """
    if reads_ahead and not (spans_of(trace, MAIN, State.WAIT).batch >= 0).any():
        return None
    spans = spans_of(trace, MAIN, State.ITERATOR, State.WAIT)
    return covered_ns(spans.start_ns, spans.end_ns, int(spans.start_ns[0]), int(spans.end_ns.max())) / 1e9 if spans else 0.0


def training_of_results(results: Sequence[TrialResult]) -> RecordedTraining | None:
    """Returns the training whose loaders these are; None for the trials of a sweep."""
    uses = [result.loader for result in results if result.loader is not None]
    if not uses:
        return None
    waits_s: dict[int, float] = {}
    for use in uses:
        waits_s[use.pid] = waits_s.get(use.pid, 0.0) + (use.wait_s or 0.0)
    exposed_s, seconds = max(waits_s.values()), uses[0].training_s
    share = min(1.0, exposed_s / seconds) if seconds else 0.0
    return RecordedTraining(seconds, exposed_s, share, uses[0].exit_status, sum(result.batches for result in results))


def loaders_of_results(results: Sequence[TrialResult]) -> list[dict[str, Any]]:
    """Returns an entry of the JSON document for each loader."""
    return [
        {
            "name": use.name,
            "made": use.made,
            "iterated": use.iterated,
            "class": use.class_name,
            "dataset": use.dataset,
            "length": use.length,
            "batch_size": result.config.batch_size,
            "num_workers": result.config.num_workers,
            "batches": result.batches,
            "wait_s": use.wait_s,
            "wait_share": min(1.0, use.wait_s / use.training_s) if use.training_s and use.wait_s is not None else None,
            "trial": result.id,
            "epochs": result.epochs,
        }
        for result in results
        if (use := result.loader) is not None
    ]


def training_sentence(training: RecordedTraining, results: Sequence[TrialResult]) -> str:
    """Returns in one sentence how long a training waited for data, and for which loader most."""
    uses = [result.loader for result in results if result.loader is not None and result.loader.wait_s is not None]
    if not uses:
        return f"How long the training waited for data is unknown: threads iterated its loaders. It took {duration_text(training.seconds)}."
    worst = max(uses, key=lambda use: use.wait_s or 0.0)
    of_all = f"{share_text(training.exposed_share)} of its {duration_text(training.seconds)} ({duration_text(training.exposed_s)})"
    most = "" if len(uses) == 1 else "most of it "
    own = "" if len(uses) == 1 else f" ({duration_text(worst.wait_s)})"
    return f"The training waited for data for {of_all}, {most}for the loader made at {worst.name}{own}."
