"""Forecasts what a setting needs, whether this machine has it, and how long the sweep takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.startup.preloading import ALWAYS_IMPORTED, ScriptImport, import_seconds
from loaderscope.analysis.steady import DEFAULT_PREFETCH_FACTOR
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.startup_results import SentPart
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import bytes_text
from loaderscope.sweep.machine import Machine
from loaderscope.sweep.trial_size import batch_limit, batches_of, epochs_asked_for, expected_epochs

MIB = 1 << 20

FORKED_WORKER_BYTES = 12 * MIB
SPAWNED_WORKER_BYTES = 145 * MIB
"""Private memory of an idle worker with torch loaded, measured with torch 2.13 on Linux: 10-12 and 145 MiB."""

MAIN_BYTES = 180 * MIB  # an interpreter with torch loaded
TRIAL_BYTES = 60 * MIB  # a trial adds this to main: torch's kernels and threads, the event log, a small step
CUDA_COMMIT_BYTES = 1 << 30  # of a process that imports torch with CUDA on Windows; reports say 0.3 to 2 GB
FILES_PER_WORKER = 8  # in the main process: pipes of the two queues, sentinel and semaphores
FILES_OF_MAIN = 16  # 6 of Python with torch; the others are for recording and the connection to the app

IMPORT_SECONDS = 1.2  # import of torch; used while the script's imports are unknown
WORKER_SECONDS = 0.4  # start of a worker that is not forked from main, without its imports; workers that start together share the cores
FORK_SECONDS = 0.03
BARE_SECONDS = 0.1  # start of an interpreter without any imports
CONTROLS_SECONDS = 3 * (IMPORT_SECONDS + 2 * BARE_SECONDS)  # torch, NumPy and nothing: each to list its files, with cold files, and again
SPAWN_END_SECONDS = 0.45  # orderly end of a spawned worker's interpreter, 0.4-0.5 s with torch; a worker of a fork server exits at once
TRIAL_OVERHEAD_SECONDS = 0.4  # between trials: the agent's answer, the last records, sampling
FRESH_AGENT_SECONDS = 1.3  # start of an interpreter that loads the script, without the imports

_SAFE_SHARE = 0.95  # of the available amount, because a forecast may be wrong


@dataclasses.dataclass(frozen=True)
class DataCost:
    """The cost of one sample and of the processes, from the probe; None where the probe did not measure it.

    Attributes:
        main_bytes: memory of the process that has loaded the script and holds the dataset.
        worker_bytes: private memory of a worker that loads the script anew and gets a copy of the dataset.
        forked_bytes: private memory of a forked worker, without its batch.
        shared_bytes: size of the dataset's tensors, which workers that are not forked get through shared memory.
        extra_bytes: memory that finished trials needed beyond the forecast, mostly for the script's step.
        imports: top-level modules that the script imported while it was loaded.
    """

    sample_bytes: int | None = None
    sample_tensors: int = 1
    sample_seconds: float | None = None
    main_bytes: int | None = None
    worker_bytes: int | None = None
    forked_bytes: int | None = None
    shared_bytes: int = 0
    extra_bytes: int = 0
    imports: tuple[ScriptImport, ...] = ()

    def import_seconds(self, preloaded: Sequence[str] = ()) -> float:
        """The time that a process needs to import the script's modules that are not preloaded."""
        return import_seconds(self.imports or (ScriptImport(ALWAYS_IMPORTED, IMPORT_SECONDS),), preloaded)

    def preload_seconds(self, preloaded: Sequence[str]) -> float:
        """The time that a fork server needs to import these modules."""
        return self.import_seconds() - self.import_seconds(preloaded)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """The highest use of each resource in one trial."""

    memory_bytes: int
    shared_memory_bytes: int
    open_files: int


@dataclasses.dataclass(frozen=True)
class SweepEstimate:
    """The estimate before the start: "18 trials · ≈2 min · peak ≈3.2 GB"."""

    trials: int
    seconds: float | None
    peak_bytes: int | None


@dataclasses.dataclass(frozen=True)
class Measured:
    """An earlier sweep of the same target on this machine."""

    request: Request
    results: Sequence[TrialResult]


def forecast(config: TrialConfig, cost: DataCost) -> Forecast:
    """Forecasts the most memory, shared memory and open files that a trial of this setting needs.

    `num_workers * prefetch_factor` batches are in flight, and the consumer holds one more. Batches of worker processes lie in shared
    memory, with one file for each tensor; so do the dataset's own tensors if workers are not forked.
    """
    batch_bytes = (cost.sample_bytes or 0) * (config.batch_size or 1)
    main_bytes = (cost.main_bytes or MAIN_BYTES) + TRIAL_BYTES + cost.extra_bytes
    workers = config.num_workers
    in_flight = workers * (config.prefetch_factor or DEFAULT_PREFETCH_FACTOR) + 1 if workers else 2
    if not workers or config.backend == "thread":
        return Forecast(main_bytes + in_flight * batch_bytes, 0, FILES_OF_MAIN)
    copies = config.start_method != "fork"  # a forked worker shares the parent's pages until one of both writes to them
    holds_files = config.sharing_strategy != "file_system"
    worker_bytes = (cost.worker_bytes or SPAWNED_WORKER_BYTES) if copies else (cost.forked_bytes or FORKED_WORKER_BYTES)
    return Forecast(
        memory_bytes=main_bytes + workers * (worker_bytes + batch_bytes) + in_flight * batch_bytes,
        shared_memory_bytes=in_flight * batch_bytes + (cost.shared_bytes if copies else 0),
        open_files=FILES_OF_MAIN + workers * FILES_PER_WORKER + (in_flight * cost.sample_tensors if holds_files else 0),
    )


def corrected(cost: DataCost, finished: Sequence[TrialResult]) -> DataCost:
    """The cost, corrected by finished trials: the largest worker of each kind, then the memory that a trial needed beyond the forecast."""
    own = [result for result in finished if result.purpose.is_of_setting]
    measured = [result for result in own if result.memory is not None and result.memory.peak_total_bytes is not None]
    forked, copied = (_largest_worker(measured, cost, forks) for forks in (True, False))
    with_workers = dataclasses.replace(
        cost,
        forked_bytes=max(forked, cost.forked_bytes or FORKED_WORKER_BYTES),
        worker_bytes=max(copied, cost.worker_bytes or SPAWNED_WORKER_BYTES),
        extra_bytes=0,
    )
    beyond = [result.memory.peak_total_bytes - forecast(result.config, with_workers).memory_bytes for result in measured]  # type: ignore[union-attr, operator]
    return dataclasses.replace(with_workers, extra_bytes=max([0, *beyond]))


def _largest_worker(results: Sequence[TrialResult], cost: DataCost, forks: bool) -> int:
    """The largest private memory of a worker without its batch, among forked workers or among the others; 0 if there was none."""
    return max(
        (
            worker.peak_uss_bytes - (cost.sample_bytes or 0) * (result.config.batch_size or 1)
            for result in results
            if result.memory is not None and (result.config.start_method == "fork") == forks
            for worker in result.memory.workers
            if worker.peak_uss_bytes is not None
        ),
        default=0,
    )


def workers_that_fit(available_bytes: int, main_bytes: int, worker_bytes: int) -> int:
    """The number of workers for which memory is left beside the main process: (available - main) / worker, at least 0."""
    return max(0, (available_bytes - main_bytes) // worker_bytes)


def commit_sentence(machine: Machine, cost: DataCost) -> str | None:
    """Says from how many workers on Windows is expected to refuse memory; None on other systems."""
    available = machine.commit_available_bytes
    if available is None or machine.commit_limit_bytes is None or machine.commit_used_bytes is None:
        return None
    worker = cost.worker_bytes or SPAWNED_WORKER_BYTES
    fit = workers_that_fit(available, (cost.main_bytes or MAIN_BYTES) + TRIAL_BYTES, worker)
    return (
        f"Windows can promise {bytes_text(available)} more (commit limit {bytes_text(machine.commit_limit_bytes)}, "
        f"{bytes_text(machine.commit_used_bytes)} promised); a worker that loads torch anew takes about {bytes_text(worker)}, "
        f"so WinError 1455 is expected from {fit + 1} workers on."
    )


def limit_reason(config: TrialConfig, cost: DataCost, machine: Machine) -> str | None:
    """Says why a trial of this setting would exceed a limit of the machine; None if it would not."""
    need = forecast(config, cost)
    if need.memory_bytes > machine.memory_available_bytes * _SAFE_SHARE:
        return (
            f"It would need about {bytes_text(need.memory_bytes)} of memory, of which {bytes_text(machine.memory_available_bytes)} "
            "are available; --force runs it all the same."
        )
    commit = machine.commit_available_bytes
    if commit is not None and need.memory_bytes > commit:
        return (
            f"It would need about {bytes_text(need.memory_bytes)} of commit charge, of which Windows can promise {bytes_text(commit)} more "
            "(WinError 1455; fewer workers or a larger paging file help); --force runs it all the same."
        )
    shared = machine.shared_memory_free_bytes
    if shared is not None and need.shared_memory_bytes > shared * _SAFE_SHARE:
        return (
            f"{_what_is_shared(config, cost)} need about {bytes_text(need.shared_memory_bytes)} in /dev/shm, "
            f"which has {bytes_text(shared)} free "
            "(docker run --shm-size makes it larger); --force runs it all the same."
        )
    files = machine.open_files_limit
    if files is not None and need.open_files > files:
        return (
            f"The main process would hold about {need.open_files} files open and may hold {files} (ulimit -n); "
            "--force runs it all the same."
        )
    return None


def _what_is_shared(config: TrialConfig, cost: DataCost) -> str:
    are_sent = cost.shared_bytes and config.start_method != "fork"
    return "The dataset's tensors and the batches in flight" if are_sent else "Its batches in flight"


def mark_limits(plan: Sequence[PlannedTrial], cost: DataCost, machine: Machine, force: bool) -> list[PlannedTrial]:
    """Returns the plan with each setting that would exceed a limit skipped, in one row; with `force` nothing is skipped."""
    if force:
        return list(plan)
    marked: list[PlannedTrial] = []
    reasons: dict[TrialConfig, str] = {}
    for trial in plan:
        reason = None if trial.skip else reasons.get(trial.config) or limit_reason(trial.config, cost, machine)
        if reason is None:
            marked.append(trial)
        elif trial.config not in reasons:
            reasons[trial.config] = reason
            marked.append(dataclasses.replace(trial, repeat=None, skip=("limit", reason)))
    return [dataclasses.replace(trial, id=number) for number, trial in enumerate(marked)]


def pickle_warnings(sent: Sequence[SentPart], plan: Sequence[PlannedTrial]) -> list[str]:
    """Says which parts of the dataset cannot be pickled, and which start methods will fail for that reason."""
    configs = [trial.config for trial in plan if trial.skip is None and trial.config.num_workers and trial.config.backend == "process"]
    methods = " and ".join(dict.fromkeys(config.start_method for config in configs if config.start_method not in (None, "fork")))
    if not methods:
        return []
    refused = dict.fromkeys(part.error for part in sent if part.refused)
    return [f"{error}. Trials with {methods} will fail." for error in refused]


def estimate(
    plan: Sequence[PlannedTrial],
    request: Request,
    cost: DataCost,
    machine: Machine,
    length: int | None = None,
    *,
    measured: Measured | None = None,
) -> SweepEstimate:
    """Estimates trials, time and peak memory of a sweep that has not begun. The time is None if the cost of a sample is unknown.

    With `measured`, a setting that was measured is expected to take the same time again. For another setting the computed time is scaled
    by the mean ratio of measured to computed time of those that start in the same way. The time of a training is known from `measured`
    alone, for as many batches.
    """

    def compute(config: TrialConfig, of: Request) -> float | None:
        return _trial_seconds(config, of, cost, machine, length)

    runs = [trial for trial in plan if trial.skip is None]
    peak = max((_peak_bytes(trial.config, cost, measured) for trial in runs), default=None)
    seconds: float | None = 0.0
    for trial in runs:
        asked = dataclasses.replace(request, epochs=epochs_asked_for(request, trial))
        if trial.probe:
            asked = dataclasses.replace(asked, batches=batches_of(request, trial), consumer=None)
        trial_s = compute(trial.config, asked)
        if kind_of(request.consumer).is_training:
            trial_s = _measured_seconds(trial.config, request, measured)
        elif trial_s is not None:
            trial_s *= _measured_to_computed(trial.config, request, measured, compute)
            trial_s += _before_trial_seconds(trial.config, request, cost)
        seconds = None if seconds is None or trial_s is None else seconds + trial_s
    if seconds is not None and request.startup:
        seconds += _control_seconds(plan, cost)
    if seconds is not None and request.max_seconds is not None:
        seconds = min(seconds, request.max_seconds)
    return SweepEstimate(len(runs), seconds, peak)


def _peak_bytes(config: TrialConfig, cost: DataCost, measured: Measured | None) -> int:
    results = [result for result in measured.results if result.purpose.is_of_setting] if measured is not None else []
    peaks = [result.memory.peak_total_bytes for result in results if result.config == config and result.memory is not None]
    return max((peak for peak in peaks if peak is not None), default=0) or forecast(config, corrected(cost, results)).memory_bytes


def _measured_to_computed(
    config: TrialConfig, request: Request, measured: Measured | None, compute: Callable[[TrialConfig, Request], float | None]
) -> float:
    """The mean ratio of measured to computed time of the setting's earlier trials, else of those that start alike; 1 without any."""
    if measured is None or measured.request.gpu_window is not None or _differ_in_step(request, measured.request):
        return 1.0
    ratios = [
        (result.config, result.seconds / computed)
        for result in measured.results
        if result.status == "ok" and result.seconds is not None and result.purpose.is_of_setting
        if (computed := compute(result.config, measured.request))
    ]
    same = [ratio for other, ratio in ratios if other == config]
    alike = same or [ratio for other, ratio in ratios if _way_of_start(other) == _way_of_start(config)]
    return sum(alike) / len(alike) if alike else 1.0


def _way_of_start(config: TrialConfig) -> tuple[object, ...]:
    """Equal for settings whose workers start in the same way, so that `_trial_seconds` errs alike for them."""
    return bool(config.num_workers), config.start_method, config.backend, bool(config.forkserver_preload)


def _differ_in_step(one: Request, other: Request) -> bool:
    """Whether the requests have different kinds of consumers; different milliseconds of one kind do not count: they are computed."""
    return one.consumer is not None and other.consumer is not None and one.consumer.kind != other.consumer.kind


def preloaded(plan: Sequence[PlannedTrial]) -> tuple[str, ...]:
    """The modules that the fork servers of a sweep preload."""
    return next((trial.config.forkserver_preload for trial in plan if trial.skip is None and trial.config.forkserver_preload), ())


def _control_seconds(plan: Sequence[PlannedTrial], cost: DataCost) -> float:
    """The time of the controls, before and between the trials of a start-up experiment."""
    preloading = [trial for trial in plan if trial.skip is None and trial.config.forkserver_preload]
    runs = len(preloading) + 1 if preloading else 0  # one before all trials, and one before each of these
    return CONTROLS_SECONDS + runs * (BARE_SECONDS + cost.preload_seconds(preloaded(plan)))


def seconds_left(
    plan: Sequence[PlannedTrial], finished: Sequence[TrialResult], elapsed_s: float, max_seconds: float | None
) -> float | None:
    """Estimates the seconds until the sweep is done, from its finished trials; None before the first.

    A setting that ran before is expected to take as long again, another setting as long as those with the same number of workers, and
    if there are none, the mean of all.
    """
    taken = [(result.config, result.seconds) for result in finished if result.seconds is not None and status_of(result.status).was_tried]
    if not taken:
        return None
    done = {result.id for result in finished}
    total = 0.0
    for trial in plan:
        if trial.id in done or trial.skip is not None:
            continue
        total += _as_before(trial.config, taken)
    return total if max_seconds is None else max(0.0, min(total, max_seconds - elapsed_s))


def _measured_seconds(config: TrialConfig, request: Request, measured: Measured | None) -> float | None:
    """The time of a trial of the training, from earlier ones that took as many batches; None without any."""
    if measured is None or (measured.request.consumer, measured.request.batches, measured.request.epochs) != (
        request.consumer,
        request.batches,
        request.epochs,
    ):
        return None
    taken = [(result.config, result.seconds) for result in measured.results if result.status == "ok" and result.seconds is not None]
    return _as_before(config, taken) if taken else None


def _as_before(config: TrialConfig, taken: Sequence[tuple[TrialConfig, float]]) -> float:
    """The time of a trial as that of earlier ones: of its setting, else of as many workers, else the mean of all."""
    alike = [seconds for other, seconds in taken if other == config]
    alike = alike or [seconds for other, seconds in taken if other.num_workers == config.num_workers]
    alike = alike or [seconds for _, seconds in taken]
    return sum(alike) / len(alike) + TRIAL_OVERHEAD_SECONDS


def _trial_seconds(config: TrialConfig, request: Request, cost: DataCost, machine: Machine, length: int | None) -> float | None:
    size = config.batch_size or 1
    in_epoch = None if length is None else -(-length // size)
    limit = batch_limit(request, config)
    batches = in_epoch if limit is None else min(limit, in_epoch or limit)
    if batches is None or cost.sample_seconds is None or kind_of(request.consumer).is_training:
        return None
    step_s = (request.consumer.ms or 0.0) / 1000 if request.consumer is not None else 0.0
    fetch_s = cost.sample_seconds * size
    workers = config.num_workers
    if not workers:
        epoch_s = batches * (fetch_s + step_s)
        return expected_epochs(request, config, batches, batches == in_epoch, epoch_s) * epoch_s
    batch_s = max(fetch_s / min(workers, machine.usable_cpus), step_s)
    if config.backend == "thread":
        start_s = 0.0
    elif config.start_method == "fork":
        start_s = FORK_SECONDS * workers
    else:
        worker_s = WORKER_SECONDS + cost.import_seconds(config.forkserver_preload or ())
        worker_s += SPAWN_END_SECONDS if config.start_method == "spawn" else 0.0
        start_s = worker_s * max(1.0, workers / machine.usable_cpus)
    work_s = batches * batch_s + fetch_s
    epochs = expected_epochs(request, config, batches, batches == in_epoch, start_s + work_s)
    starts = 1 if config.persistent_workers else epochs
    server_s = 0.0
    if _has_server(config) and config.forkserver_preload:
        server_s = WORKER_SECONDS + cost.preload_seconds(config.forkserver_preload)  # once, before its first worker
    return starts * start_s + epochs * work_s + server_s


def _before_trial_seconds(config: TrialConfig, request: Request, cost: DataCost) -> float:
    """The time before a trial of this setting begins: the overhead, and a fresh agent if it needs one."""
    is_fresh = not config.num_workers or _has_server(config) or config.backend == "thread" or request.isolate
    return TRIAL_OVERHEAD_SECONDS + (FRESH_AGENT_SECONDS + cost.import_seconds() if is_fresh else 0.0)


def _has_server(config: TrialConfig) -> bool:
    return bool(config.num_workers) and config.start_method == "forkserver" and config.backend == "process"
