"""Costs of starting workers in each setting of the start-up experiment, and of each further worker."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.intervals import mean
from loaderscope.facts.results import EpochTimes, TrialResult

FIRST_WORKER = "worker-0"
"""Main asks it for batch 0, so the first batch waits for it."""


@dataclasses.dataclass(frozen=True)
class StartCost:
    """The costs of one setting: medians over epochs and repeats. The start of the fork server is a figure of its own.

    Attributes:
        first_batch_s: from iter() to the first batch of the first epoch, with the fork server's start.
        later_first_batch_s: the same for later epochs.
        epoch_end_s: from the last batch to the end of an epoch, after workers were joined.
        server_start_s: the fork server's own start, once in a program; None for other start methods.
        start_s: from iter() to the first batch of an epoch that starts workers, without the fork server's start.
        start_spread_s: slowest minus quickest of these starts: the noise of this machine.
        main_import_s: the part of `start_s` in which the first worker imports the script again.
        batch_s: seconds for a batch once all workers deliver.
        trials: ids of the trials behind the figures.
    """

    start_method: str | None
    preload: list[str]
    num_workers: int
    persistent_workers: bool
    first_batch_s: float
    later_first_batch_s: float | None
    epoch_end_s: float | None
    server_start_s: float | None
    start_s: float
    start_spread_s: float
    main_import_s: float | None
    batch_s: float | None
    trials: list[int]


@dataclasses.dataclass(frozen=True)
class PerWorker:
    """The straight line through the starts of one start method: `fixed_s` + workers x `seconds_per_worker`.

    Attributes:
        seconds_per_worker, fixed_s: None if only one number of workers was run.
        residual_s: largest distance of a measured start from the line, given at least three; workers that import at once on few
            processors bend the line.
        one_worker_s: the start with the fewest workers that were run.
    """

    start_method: str
    preload: list[str]
    seconds_per_worker: float | None
    fixed_s: float | None
    residual_s: float | None
    one_worker_s: float


@dataclasses.dataclass(frozen=True)
class Group:
    """The successful trials of one setting."""

    config: TrialConfig
    trials: list[TrialResult]

    @property
    def kind(self) -> tuple[str | None, tuple[str, ...]]:
        return self.config.start_method, self.config.forkserver_preload or ()

    def median(self, value: Callable[[TrialResult], float | None]) -> float | None:
        """Returns the median over the trials that have the value."""
        return median(value(trial) for trial in self.trials)


def median(values: Iterable[float | None]) -> float | None:
    """Returns the median of the known values; None without any."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def group_by_setting(results: Sequence[TrialResult]) -> list[Group]:
    """Returns the successful trials by setting, in the order of the experiment."""
    found: dict[TrialConfig, list[TrialResult]] = {}
    for trial in sorted(results, key=lambda trial: trial.id):
        if trial.status == "ok" and trial.epochs and all(epoch.first_batch_s is not None for epoch in trial.epochs):
            found.setdefault(trial.config, []).append(trial)
    return [Group(config, trials) for config, trials in found.items()]


def first_batch_seconds(trial: TrialResult) -> list[float]:
    """Returns the seconds to the first batch of each epoch."""
    return [epoch.first_batch_s or 0.0 for epoch in trial.epochs]


def phase_seconds(trial: TrialResult, epoch: int, process: str, *phases: str) -> float | None:
    """Returns the summed seconds of some phases of a process in an epoch; None if there was no such phase."""
    found = [
        phase.seconds
        for phase in (trial.startup.phases if trial.startup else ())
        if phase.epoch == epoch and phase.process == process and phase.phase in phases
    ]
    return sum(found) if found else None


def server_seconds(trial: TrialResult, epoch: int) -> float:
    """Returns the seconds of the fork server's start in an epoch: 0 if it already ran."""
    return phase_seconds(trial, epoch, "main", "server_start") or 0.0


def start_seconds(trial: TrialResult) -> list[float]:
    """Returns the seconds to the first batch of every epoch that started workers, without the fork server's own start."""
    known = first_batch_seconds(trial)
    counted = known[:1] if trial.config.persistent_workers else known
    return [max(0.0, seconds - server_seconds(trial, epoch)) for epoch, seconds in enumerate(counted)]


def find_costs(groups: Sequence[Group]) -> list[StartCost]:
    """Returns a row for each setting."""
    return [_cost(one) for one in groups]


def _cost(one: Group) -> StartCost:
    config = one.config
    every_start = [seconds for trial in one.trials for seconds in start_seconds(trial)]
    imports = [
        phase_seconds(trial, epoch, FIRST_WORKER, "main_import") for trial in one.trials for epoch in range(len(start_seconds(trial)))
    ]
    firsts = [first_batch_seconds(trial) for trial in one.trials]
    return StartCost(
        start_method=config.start_method,
        preload=list(config.forkserver_preload or ()),
        num_workers=config.num_workers,
        persistent_workers=bool(config.persistent_workers),
        first_batch_s=statistics.median(first[0] for first in firsts),
        later_first_batch_s=median(seconds for first in firsts for seconds in first[1:]),
        epoch_end_s=median(epoch.end_s for trial in one.trials for epoch in trial.epochs),
        server_start_s=one.median(lambda trial: server_seconds(trial, 0)) if config.start_method == "forkserver" else None,
        start_s=statistics.median(every_start),
        start_spread_s=max(every_start) - min(every_start),
        main_import_s=median(imports),
        batch_s=median(_batch_seconds(epoch, config.num_workers) for trial in one.trials for epoch in trial.epochs),
        trials=[trial.id for trial in one.trials],
    )


def _batch_seconds(epoch: EpochTimes, num_workers: int) -> float | None:
    """Returns the seconds for a batch of one epoch.

    Workers that fetch side by side deliver in rounds of one batch each, and the time from the first batch to the last covers all
    rounds but one.
    """
    if not num_workers:
        return ((epoch.first_batch_s or 0.0) + (epoch.steady_s or 0.0)) / epoch.batches if epoch.batches else None
    further = epoch.batches - num_workers
    return epoch.steady_s / further if epoch.steady_s is not None and further > 0 else None


def find_per_worker(costs: Sequence[StartCost]) -> list[PerWorker]:
    """Returns a row for each start method, and for each set of preloaded modules."""
    kinds: dict[tuple[str, tuple[str, ...]], dict[int, float]] = {}
    for cost in costs:
        if cost.num_workers and cost.start_method is not None and not cost.persistent_workers:
            kinds.setdefault((cost.start_method, tuple(cost.preload)), {})[cost.num_workers] = cost.start_s
    return [_fit_line(method, list(preload), points) for (method, preload), points in kinds.items()]


def _fit_line(method: str, preload: list[str], points: dict[int, float]) -> PerWorker:
    """Fits a straight line by least squares (any textbook of statistics)."""
    fewest = points[min(points)]
    if len(points) < 2:
        return PerWorker(method, preload, None, None, None, fewest)
    centre, height = mean(list(points)), mean(list(points.values()))
    slope = sum((n - centre) * (seconds - height) for n, seconds in points.items()) / sum((n - centre) ** 2 for n in points)
    fixed = height - slope * centre
    residual = max(abs(fixed + slope * n - seconds) for n, seconds in points.items()) if len(points) > 2 else None
    return PerWorker(method, preload, slope, fixed, residual, fewest)
