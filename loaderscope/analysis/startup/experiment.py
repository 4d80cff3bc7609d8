"""The start-up experiment: what starting workers costs, what would save it, and from which epoch length workers pay.

Pure functions over the trials and controls; sweep/experiment/startup_plan.py says what is run. Nothing here is about throughput: an
epoch of the experiment has a few batches only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol

from loaderscope.analysis.startup.main_import import heaviest_line
from loaderscope.analysis.startup.remedy_comparison import Remedy, Setting, agree, find_remedies, in_words, setting_of
from loaderscope.analysis.startup.start_costs import (
    FIRST_WORKER,
    Group,
    PerWorker,
    StartCost,
    find_costs,
    find_per_worker,
    group,
    median,
    phase_seconds,
    starts,
)
from loaderscope.facts.phases import phase_of
from loaderscope.facts.results import Control, TrialResult
from loaderscope.facts.text import duration_text, share_text

__all__ = [
    "BreakEven",
    "Control",
    "PerWorker",
    "Remedy",
    "Setting",
    "StartCost",
    "StartupExperiment",
    "agree",
    "find_experiment",
]


class Asked(Protocol):
    """What must be known of the request (see sweep.request.Request)."""

    @property
    def startup(self) -> bool: ...

    @property
    def train_epochs(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class BreakEven:
    """The epoch length from which workers are quicker than none, with nothing but the loading measured (no training step).

    Attributes:
        batches: of an epoch; None where workers never catch up, as a batch takes them no less time.
        epoch_s: what such an epoch takes, with and without workers alike.
        batch_s, batch_s_without: seconds a batch with these workers, and with none.
        text: all that in a sentence.
    """

    start_method: str | None
    preload: list[str]
    num_workers: int
    persistent_workers: bool
    batches: int | None
    epoch_s: float | None
    batch_s: float
    batch_s_without: float
    text: str


@dataclasses.dataclass(frozen=True)
class StartupExperiment:
    """The `startup_experiment` of the JSON document."""

    controls: list[Control]
    costs: list[StartCost]
    per_worker: list[PerWorker]
    remedies: list[Remedy]
    break_even: list[BreakEven]
    train_epochs: int
    summary: str


def find_experiment(results: Sequence[TrialResult], controls: Sequence[Control], request: Asked) -> StartupExperiment | None:
    """What the experiment has found so far; None for other runs.

    Args:
        results: the trials that have ended, in any order.
        controls: measured before them.
        request: of the run.
    """
    if not request.startup:
        return None
    groups, known = group(results), list(controls)
    costs = find_costs(groups)
    remedies = find_remedies(groups, known, request.train_epochs)
    break_even = find_break_even(groups, costs, request.train_epochs)
    summary = summarise(groups, costs, remedies, request.train_epochs)
    return StartupExperiment(known, costs, find_per_worker(costs), remedies, break_even, request.train_epochs, summary)


def find_break_even(groups: Sequence[Group], costs: Sequence[StartCost], train_epochs: int) -> list[BreakEven]:
    """A row a setting with workers; nothing without a trial without workers to compare with.

    With n batches an epoch, no workers take n x b0. Workers take start + (n - 1) x b + end; persistent ones pay start and end
    once in the training and a warm first batch in the other epochs. Both are equal at n = (overhead - b) / (b0 - b).
    """
    without_s = median(cost.batch_s for cost in costs if not cost.num_workers)
    if without_s is None:
        return []
    found = []
    for one, cost in zip(groups, costs, strict=True):
        overhead_s = _overhead_an_epoch(cost, costs, train_epochs)
        if not cost.num_workers or cost.batch_s is None or overhead_s is None:
            continue
        gain_s = without_s - cost.batch_s
        batches = max(1, math.ceil((overhead_s - cost.batch_s) / gain_s)) if gain_s > 0 else None
        epoch_s = None if batches is None else batches * without_s
        found.append(
            BreakEven(
                cost.start_method,
                cost.preload,
                cost.num_workers,
                cost.persistent_workers,
                batches,
                epoch_s,
                cost.batch_s,
                without_s,
                _break_even_text(setting_of(one), batches, epoch_s),
            )
        )
    return found


def _overhead_an_epoch(cost: StartCost, costs: Sequence[StartCost], train_epochs: int) -> float | None:
    """What an epoch pays until its first batch and after its last, on the average of the training."""
    server_s = (cost.server_start_s or 0.0) / train_epochs
    if not cost.persistent_workers:
        return server_s + cost.start_s + (cost.epoch_end_s or 0.0)
    if cost.later_first_batch_s is None:
        return None
    # Persistent workers end with the training, after the epochs that were timed: as those that end with each epoch do.
    ends = (other.epoch_end_s for other in costs if _kind(other) == _kind(cost) and not other.persistent_workers)
    return server_s + (cost.start_s + (median(ends) or 0.0) + (train_epochs - 1) * cost.later_first_batch_s) / train_epochs


def _kind(cost: StartCost) -> tuple[str | None, tuple[str, ...], int]:
    return cost.start_method, tuple(cost.preload), cost.num_workers


def _break_even_text(setting: Setting, batches: int | None, epoch_s: float | None) -> str:
    name = in_words(setting) + (", persistent," if setting.persistent_workers else "")
    verb = "pays" if setting.num_workers == 1 else "pay"
    if batches is None or epoch_s is None:
        return f"{name} never {verb} for their start: a batch takes no less time than without workers."
    length = "1 batch" if batches == 1 else f"{batches} batches"
    return f"{name} {verb} from {length} ({duration_text(epoch_s)}) an epoch on."


def summarise(groups: Sequence[Group], costs: Sequence[StartCost], remedies: Sequence[Remedy], train_epochs: int) -> str:
    """One or two sentences about the start method that costs most, of those that import the script again if there are any."""
    plain = [
        (one, cost)
        for one, cost in zip(groups, costs, strict=True)
        if cost.num_workers and not cost.persistent_workers and not cost.preload
    ]
    if not plain:
        return "Until a trial with workers has come to its end, the start-up cannot be told."
    method = max(plain, key=lambda pair: (pair[1].main_import_s is not None, pair[1].start_method == "spawn"))[1].start_method
    of_method = [(one, cost) for one, cost in plain if cost.start_method == method]
    one, fewest = min(of_method, key=lambda pair: pair[1].num_workers)
    most = max(of_method, key=lambda pair: pair[1].num_workers)[1]
    who = "one worker takes" if fewest.num_workers == 1 else f"{fewest.num_workers} workers take"
    text = f"Under {method} {who} {duration_text(fewest.start_s)} to the first batch"
    if most.num_workers != fewest.num_workers:
        text += f" and {most.num_workers} take {duration_text(most.start_s)}"
    text += _cause(one, fewest)
    clauses = [clause for clause in (_saved_by_persistence(remedies, most, train_epochs), _saved_by_preloading(remedies)) if clause]
    return text + "".join(f"; {clause}" for clause in clauses) + "."


def _cause(one: Group, cost: StartCost) -> str:
    """What most of the start is, for starts that import the script again: an import, a line of the script, or what is sent."""
    if not cost.main_import_s or not cost.start_s:
        return ""
    causes = [_heaviest(trial) for trial in one.trials]
    what = max(causes, key=lambda cause: cause[1])[0]
    seconds, start_s = median(seconds for named, seconds in causes if named == what), median(starts(trial)[0] for trial in one.trials)
    return f", of which {share_text(min(1.0, (seconds or 0.0) / start_s))} is {what}" if start_s else ""


def _heaviest(trial: TrialResult) -> tuple[str, float]:
    """What took longest in the first start of workers that import the script again, and its seconds."""
    startup = trial.startup
    sent_s = sum(phase_seconds(trial, 0, process, "pickle", "unpickle") or 0.0 for process in ("main", FIRST_WORKER))
    roots = [row for row in (startup.imports if startup else ()) if row.parent is None]
    imported_s = sum(row.total_s for row in roots if row.phase == "unpickle")
    found = [("pickling what each worker is sent and unpickling it there", sent_s - imported_s)]
    root = max(roots, key=lambda row: row.total_s, default=None)
    line = heaviest_line(startup.lines) if startup else None
    if root is not None:
        found.append((f"importing {root.name} again", root.total_s))
    if line is not None:
        found.append((f"running line {line.line} of the script again, {line.text}", line.seconds - line.import_s))
    if root is None and line is None:
        found.append((phase_of("main_import").tip, phase_seconds(trial, 0, FIRST_WORKER, "main_import") or 0.0))
    return max(found, key=lambda cause: cause[1])


def _saved_by_persistence(remedies: Sequence[Remedy], cost: StartCost, train_epochs: int) -> str:
    for remedy in remedies:
        if remedy.name == "persistent_workers" and _same(remedy.against, cost) and (remedy.per_epoch_s or 0.0) > 0:
            saved_s = (remedy.per_epoch_s or 0.0) * (train_epochs - 1)
            workers = "one persistent worker saves" if cost.num_workers == 1 else f"{cost.num_workers} persistent workers save"
            return f"{workers} {duration_text(saved_s)} over {train_epochs} epochs"
    return ""


def _same(setting: Setting, cost: StartCost) -> bool:
    return (setting.start_method, setting.num_workers, setting.preload) == (cost.start_method, cost.num_workers, cost.preload)


def _saved_by_preloading(remedies: Sequence[Remedy]) -> str:
    known = [remedy for remedy in remedies if remedy.name == "forkserver_preload" and remedy.measured_s is not None]
    if not known:
        return ""
    most = max(remedy.config.num_workers for remedy in known)
    saved = {remedy.with_server: remedy.measured_s or 0.0 for remedy in known if remedy.config.num_workers == most}
    if saved.get(False, 0.0) <= 0 or True not in saved:
        return ""
    workers = "a worker" if most == 1 else f"{most} workers"
    first = duration_text(saved[True]) if saved[True] > 0 else "nothing"
    what = f"a fork server with the heavy imports preloaded saves {workers} {duration_text(saved[False])} a start"
    return f"{what} ({first} the first time, when it starts itself)"
