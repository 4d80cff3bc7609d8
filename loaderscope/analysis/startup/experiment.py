"""The start-up experiment: what starting workers costs, which remedies save it, and from which epoch length workers pay.

Pure functions over the trials and controls; sweep/experiment/startup_plan.py plans the trials. Nothing here is about
throughput: an epoch of the experiment has a few batches only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from loaderscope.analysis.startup.main_import import heaviest_line
from loaderscope.analysis.startup.remedy_comparison import (
    ComparedSetting,
    Remedy,
    compare_remedies,
    compared_setting,
    compared_setting_text,
    within_tolerance,
)
from loaderscope.analysis.startup.start_costs import (
    FIRST_WORKER,
    Group,
    PerWorker,
    StartCost,
    find_costs,
    find_per_worker,
    group_by_setting,
    median,
    phase_seconds,
    start_seconds,
)
from loaderscope.facts.phases import phase_of
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.startup_results import Control
from loaderscope.facts.text import duration_text, share_text

__all__ = [
    "BreakEven",
    "ComparedSetting",
    "Control",
    "PerWorker",
    "Remedy",
    "StartCost",
    "StartupExperiment",
    "find_experiment",
    "within_tolerance",
]


@dataclasses.dataclass(frozen=True)
class BreakEven:
    """The epoch length from which workers are quicker than none. Only loading counts; there is no training step.

    Attributes:
        batches: of such an epoch; None if workers never catch up, because a batch takes them no less time.
        epoch_s: seconds of such an epoch, with and without workers alike.
        batch_s, batch_s_without: seconds for a batch with these workers, and with none.
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


def find_experiment(results: Sequence[TrialResult], controls: Sequence[Control], request: Request) -> StartupExperiment | None:
    """Returns the results of the experiment so far; None for other runs.

    Args:
        results: the finished trials, in any order.
        controls: measured before the trials.
        request: of the run.
    """
    if not request.startup:
        return None
    groups, known = group_by_setting(results), list(controls)
    costs = find_costs(groups)
    remedies = compare_remedies(groups, known, request.train_epochs)
    break_even = find_break_even(groups, costs, request.train_epochs)
    summary = summarise(groups, costs, remedies, request.train_epochs)
    return StartupExperiment(known, costs, find_per_worker(costs), remedies, break_even, request.train_epochs, summary)


def find_break_even(groups: Sequence[Group], costs: Sequence[StartCost], train_epochs: int) -> list[BreakEven]:
    """Returns a row for each setting with workers; none if no trial ran with 0 workers.

    An epoch of n batches takes n x b0 without workers, and start + (n - 1) x b + end with workers. Persistent workers pay start and
    end once in the training, and a warm first batch in the other epochs. Both are equal at n = (overhead - b) / (b0 - b).
    """
    without_s = median(cost.batch_s for cost in costs if not cost.num_workers)
    if without_s is None:
        return []
    found = []
    for one, cost in zip(groups, costs, strict=True):
        overhead_s = _overhead_per_epoch_s(cost, costs, train_epochs)
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
                _break_even_text(compared_setting(one), batches, epoch_s),
            )
        )
    return found


def _overhead_per_epoch_s(cost: StartCost, costs: Sequence[StartCost], train_epochs: int) -> float | None:
    """Returns the seconds of an epoch until its first batch and after its last, averaged over the training."""
    server_s = (cost.server_start_s or 0.0) / train_epochs
    if not cost.persistent_workers:
        return server_s + cost.start_s + (cost.epoch_end_s or 0.0)
    if cost.later_first_batch_s is None:
        return None
    # Persistent workers end with the training, after the timed epochs. Their end takes as long as that of other workers.
    ends = (other.epoch_end_s for other in costs if _kind_of(other) == _kind_of(cost) and not other.persistent_workers)
    return server_s + (cost.start_s + (median(ends) or 0.0) + (train_epochs - 1) * cost.later_first_batch_s) / train_epochs


def _kind_of(cost: StartCost) -> tuple[str | None, tuple[str, ...], int]:
    return cost.start_method, tuple(cost.preload), cost.num_workers


def _break_even_text(setting: ComparedSetting, batches: int | None, epoch_s: float | None) -> str:
    name = compared_setting_text(setting) + (", persistent," if setting.persistent_workers else "")
    verb = "pays" if setting.num_workers == 1 else "pay"
    if batches is None or epoch_s is None:
        return f"{name} never {verb} for their start: a batch takes no less time than without workers."
    length = "1 batch" if batches == 1 else f"{batches} batches"
    return f"{name} {verb} from {length} ({duration_text(epoch_s)}) an epoch on."


def summarise(groups: Sequence[Group], costs: Sequence[StartCost], remedies: Sequence[Remedy], train_epochs: int) -> str:
    """Returns one or two sentences about the costliest start method, preferably one that imports the script again."""
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
    text += _cause_clause(one, fewest)
    clauses = [clause for clause in (_persistence_clause(remedies, most, train_epochs), _preloading_clause(remedies)) if clause]
    return text + "".join(f"; {clause}" for clause in clauses) + "."


def _cause_clause(one: Group, cost: StartCost) -> str:
    """Returns a clause on what takes most of a start that imports the script again: an import, a line of the script, or pickling."""
    if not cost.main_import_s or not cost.start_s:
        return ""
    causes = [_heaviest_cause(trial) for trial in one.trials]
    what = max(causes, key=lambda cause: cause[1])[0]
    seconds = median(seconds for named, seconds in causes if named == what)
    start_s = median(start_seconds(trial)[0] for trial in one.trials)
    return f", of which {share_text(min(1.0, (seconds or 0.0) / start_s))} is {what}" if start_s else ""


def _heaviest_cause(trial: TrialResult) -> tuple[str, float]:
    """Returns what took longest in the first start of workers that import the script again, and its seconds."""
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


def _persistence_clause(remedies: Sequence[Remedy], cost: StartCost, train_epochs: int) -> str:
    for remedy in remedies:
        if remedy.name == "persistent_workers" and _is_same_setting(remedy.against, cost) and (remedy.per_epoch_s or 0.0) > 0:
            saved_s = (remedy.per_epoch_s or 0.0) * (train_epochs - 1)
            workers = "one persistent worker saves" if cost.num_workers == 1 else f"{cost.num_workers} persistent workers save"
            return f"{workers} {duration_text(saved_s)} over {train_epochs} epochs"
    return ""


def _is_same_setting(setting: ComparedSetting, cost: StartCost) -> bool:
    return (setting.start_method, setting.num_workers, setting.preload) == (cost.start_method, cost.num_workers, cost.preload)


def _preloading_clause(remedies: Sequence[Remedy]) -> str:
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
