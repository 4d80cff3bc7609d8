"""What a recorded training lost to its loaders, as the document, the terminal, the window and the report show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.span_lookup import covered_ns, spans_of
from loaderscope.facts.recorded_use import LoaderUse, ProcessUse, TrainingGap
from loaderscope.facts.results import TrialResult
from loaderscope.facts.text import count_text, duration_text, share_text
from loaderscope.trace.model import Trace


@dataclasses.dataclass(frozen=True)
class RecordedTraining:
    """A whole training. Where several processes have loaders, the figures are those of the one that lost most to them.

    Attributes:
        seconds: from the start of the script to its end.
        exposed_s: for which main waited for its loaders while no device is known to have worked.
        exposed_share: the same as a share of `recorded_s`, or of `seconds`.
        exit_status: of the script; negative: the signal that ended it; None: it went on when its recording ended.
        batches: that all loaders of all processes gave.
        pid: of that process.
        wait_s: for which main waited for its loaders, whatever the device did; None in sessions that lack it.
        first_batch_s: from the start of the script to the first batch; None if unknown.
        optimizer_steps: that optimizers took; None if none was recorded.
        recorded_s: seconds that were recorded, where the recording had bounds; None: all.
        bin_s: width of the bins of `exposed_shares`; None in sessions that lack them.
        exposed_shares: the exposed share of each such part of the training.
    """

    seconds: float
    exposed_s: float
    exposed_share: float
    exit_status: int | None
    batches: int
    pid: int
    wait_s: float | None = None
    first_batch_s: float | None = None
    optimizer_steps: int | None = None
    recorded_s: float | None = None
    bin_s: float | None = None
    exposed_shares: list[float] = dataclasses.field(default_factory=list)


def wait_seconds(trace: Trace, reads_ahead: bool) -> float | None:
    """Returns for how long main made iterators of a loader and waited for its batches; None if that was not recorded.

    Args:
        trace: of the loader.
        reads_ahead: whether the loader may take batches from torch's iterator in a thread, which leaves no waits in main.
    """
    forgotten = trace.forgotten_spans(MAIN, State.WAIT)
    if reads_ahead and not forgotten.with_batch and not (spans_of(trace, MAIN, State.WAIT).batch >= 0).any():
        return None
    spans = spans_of(trace, MAIN, State.ITERATOR, State.WAIT)
    in_memory_ns = covered_ns(spans.start_ns, spans.end_ns, int(spans.start_ns[0]), int(spans.end_ns.max())) if spans else 0
    return (in_memory_ns + trace.forgotten_spans(MAIN, State.ITERATOR, State.WAIT).time_ns) / 1e9


def training_of_results(results: Sequence[TrialResult]) -> RecordedTraining | None:
    """Returns the training whose loaders these are; None for the trials of a sweep."""
    by_pid: dict[int, list[LoaderUse]] = {}
    for use in (result.loader for result in results if result.loader is not None):
        by_pid.setdefault(use.pid, []).append(use)
    if not by_pid:
        return None
    uses = max(by_pid.values(), key=_exposed_seconds)
    exposed_s, seconds, process = _exposed_seconds(uses), uses[0].training_s, _process_of(uses)
    steps = [use.optimizer_steps for use in uses if use.optimizer_steps is not None]
    training = RecordedTraining(
        seconds=seconds,
        exposed_s=exposed_s,
        exposed_share=_share(exposed_s, uses[0].measured_s) or 0.0,
        exit_status=uses[0].exit_status,
        batches=sum(result.batches for result in results),
        pid=uses[0].pid,
        optimizer_steps=sum(steps) if steps else None,
        recorded_s=uses[0].recorded_s,
    )
    if process is None:
        return training
    return dataclasses.replace(
        training,
        wait_s=process.wait_s,
        first_batch_s=process.first_batch_s,
        bin_s=process.bin_s,
        exposed_shares=process.exposed_shares,
    )


def gaps_of_results(results: Sequence[TrialResult]) -> list[TrainingGap]:
    """Returns the longest times outside loaders of the process that `training_of_results` is about."""
    process = process_of_results(results)
    return process.gaps if process is not None else []


def process_of_results(results: Sequence[TrialResult]) -> ProcessUse | None:
    """Returns the process that `training_of_results` is about; None for the trials of a sweep, and for a session that lacks it."""
    training = training_of_results(results)
    return _process_of([use for result in results if (use := result.loader) is not None and training and use.pid == training.pid])


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
            "wait_share": _share(use.wait_s, use.measured_s),
            "exposed_s": exposed_seconds(use),
            "exposed_share": exposed_share(use),
            "steps_per_second": _rate(result.batches, use),
            "optimizer_steps": use.optimizer_steps,
            "optimizer_steps_per_second": _rate(use.optimizer_steps, use),
            "pid": use.pid,
            "trial": result.id,
            "epochs": _epochs(result, use),
        }
        for result in results
        if (use := result.loader) is not None
    ]


def exposed_seconds(use: LoaderUse) -> float | None:
    """Returns the exposed loading time of a loader; sessions that lack it have the seconds for which main waited."""
    return use.wait_s if use.exposed_s is None else use.exposed_s


def exposed_share(use: LoaderUse) -> float | None:
    """Returns the exposed loading time of a loader as a share of the training."""
    return _share(exposed_seconds(use), use.measured_s)


def training_sentence(training: RecordedTraining, results: Sequence[TrialResult]) -> str:
    """Returns in one sentence how long a training waited for data, and for which loader most."""
    of_process = [result.loader for result in results if result.loader is not None and result.loader.pid == training.pid]
    uses = [use for use in of_process if exposed_seconds(use) is not None]
    if not uses:
        return f"How long the training waited for data is unknown: threads iterated its loaders. It took {duration_text(training.seconds)}."
    worst = max(uses, key=lambda use: exposed_seconds(use) or 0.0)
    recorded_s = training.recorded_s
    whole = f"its {duration_text(training.seconds)}" if recorded_s is None else f"the {duration_text(recorded_s)} that were recorded"
    of_all = f"{share_text(training.exposed_share)} of {whole} ({duration_text(training.exposed_s)})"
    most = "" if len(uses) == 1 else "most of it "
    own = "" if len(uses) == 1 else f" ({duration_text(exposed_seconds(worst))})"
    sentence = f"The training waited for data for {of_all}, {most}for the loader made at {worst.name}{own}."
    unknown = len(of_process) - len(uses)
    return f"{sentence} For {count_text(unknown, 'loader')} it is unknown, because threads iterated there." if unknown else sentence


def _epochs(result: TrialResult, use: LoaderUse) -> list[dict[str, Any]]:
    """Returns the epochs of a loader as the batches show them, with what the training spent on each."""
    missing: list[None] = [None] * (len(result.epochs) - len(use.epochs))
    epochs = []
    for times, spent in zip(result.epochs, [*use.epochs, *missing], strict=False):
        row = dataclasses.asdict(times)
        if spent is not None:
            row |= dataclasses.asdict(spent) | {"steps_per_second": times.batches / spent.seconds if spent.seconds else None}
        epochs.append(row)
    return epochs


def _rate(count: int | None, use: LoaderUse) -> float | None:
    """Returns how many of something there are in a second of the loader's epochs."""
    seconds = sum(epoch.seconds for epoch in use.epochs)
    return count / seconds if count is not None and seconds else None


def _exposed_seconds(uses: Sequence[LoaderUse]) -> float:
    """Returns the exposed loading time of a process; sessions that lack it have the waits for each loader, which may overlap."""
    process = _process_of(uses)
    return sum(use.wait_s or 0.0 for use in uses) if process is None else process.exposed_s


def _process_of(uses: Sequence[LoaderUse]) -> ProcessUse | None:
    return next((use.process for use in uses if use.process is not None), None)


def _share(seconds: float | None, of_s: float) -> float | None:
    return min(1.0, seconds / of_s) if seconds is not None and of_s else None
