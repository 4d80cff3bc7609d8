"""Makes the row of one trial, its `TrialResult`, from its trace and the agent's report."""

from __future__ import annotations

import dataclasses
import re
import traceback
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from loaderscope.agent.layout import State
from loaderscope.agent.messages import ErrorInfo, TrialConfig, TrialOrder, TrialOutcome
from loaderscope.analysis.batch_contents import batch_contents
from loaderscope.analysis.batch_costs import find_batch_costs
from loaderscope.analysis.copied_pages import copied_bytes
from loaderscope.analysis.disturbance import disturbance_note, disturbed_share, find_disturbance, taken_text, without_interval
from loaderscope.analysis.energy import energy_per_1000_samples_j
from loaderscope.analysis.epochs import MAIN, EpochRun, clock_error_s, read_epochs
from loaderscope.analysis.evidence import find_evidence
from loaderscope.analysis.fetch_use import find_fetch_use
from loaderscope.analysis.intervals import mean
from loaderscope.analysis.measured_part import measured_part
from loaderscope.analysis.memory_peaks import find_memory, series
from loaderscope.analysis.newest_part import newest_part, of_whole_training
from loaderscope.analysis.sampler_work import find_sampler_work, longest_spans
from loaderscope.analysis.shares import DeviceShares, accelerator_share, find_shares
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.analysis.startup.first_batch import find_startup
from loaderscope.analysis.steady import find_steady
from loaderscope.analysis.throughput import (
    batch_seconds,
    batch_seconds_of_epochs,
    epoch_times,
    full_epoch_batches,
    project_epoch,
    samples_per_batch,
    samples_per_second,
    short_epochs_reason,
)
from loaderscope.analysis.worker_loads import look_notes, probed_epochs, worker_loads
from loaderscope.facts.consumers import kind_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import OtherProgram
from loaderscope.facts.probed_workers import EpochSetter
from loaderscope.facts.results import EpochTimes, GpuWindow, Memory, OwnCost, TrialResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.startup_results import SentPart
from loaderscope.facts.text import count_text, duration_text, share_range_text
from loaderscope.trace.model import Trace
from loaderscope.trace.worker_looks import WorkerLook

WIDE_BOUNDS = 0.2
"""Distance between the bounds of the device's busy share from which on it is said why."""

NOTABLE_CLOCK_ERROR = 0.1
"""Error of a device time, as a share of the time from batch to batch, from which on it is said."""

MIN_READ_BYTES = 4 << 20
"""Fewest bytes read for which a share is given."""


@dataclasses.dataclass(frozen=True)
class TrialEnd:
    """How a trial ended.

    Attributes:
        status: ok, failed, timeout, killed or cancelled.
        error: why it is not ok.
        outcome: the agent's report; None if the trial ended before it.
        seconds: wall time of the trial.
        app_cpu_share: the app's CPU time over `seconds`, in cores.
        nvml_seconds: seconds that the app spent reading the GPUs; None without a GPU.
        processes_seconds: seconds that the app spent reading the processes.
        usable_cores: cores that the trial may use.
        other_programs: programs beside the trial that took most CPU time, the greatest first.
        devices: models of the accelerators that the trial used.
        heat_throttles: how often the processor lowered its clocks because of heat; None if unknown.
        looks: what the workers of a probe saw of their dataset.
    """

    status: str
    error: ErrorInfo | None
    outcome: TrialOutcome | None
    seconds: float
    app_cpu_share: float | None
    nvml_seconds: float | None = None
    processes_seconds: float | None = None
    usable_cores: int = 1
    other_programs: Sequence[OtherProgram] = ()
    devices: Sequence[str] = ()
    heat_throttles: int | None = None
    looks: Sequence[WorkerLook] = ()


def analyse(
    trace: Trace,
    planned: PlannedTrial,
    order: TrialOrder,
    end: TrialEnd,
    *,
    dataset_length: int | None = None,
    sent: Sequence[SentPart] | None = None,
) -> TrialResult:
    """Returns the row of one trial, however it ended.

    Args:
        trace: of the trial, maybe incomplete.
        planned: the trial in the schedule.
        order: the order that the agent got.
        end: how the trial ended.
        dataset_length: samples in the dataset, if known.
        sent: what each worker is sent, if it was weighed.
    """
    outcome = end.outcome
    config = planned.config
    recorded, trace = trace, newest_part(trace)
    whole, trace = trace, measured_part(trace)
    epochs = read_epochs(trace)
    times = [epoch_times(epoch) for epoch in epochs]
    batch_samples = samples_per_batch(config, outcome)
    is_whole = _whole_epochs(order, outcome, len(times))
    by_loader = outcome.full_batches if outcome else None
    full_batches = full_epoch_batches(dataset_length, batch_samples, times, is_whole, by_loader)
    gave_all = outcome is not None and outcome.gave_all
    steady = find_steady(trace, epochs, config, full_batches, kind_of(order.consumer).warm_up_batches, gave_all)
    shares = find_shares(trace, steady, outcome is not None and outcome.works_unseen)
    device = shares.device if shares else None
    has_whole_epochs = full_batches is not None and all(item.batches >= full_batches for item in times)
    per_batch, reason = batch_seconds(steady), steady.reason
    if per_batch is None and has_whole_epochs:
        per_batch, reason = batch_seconds_of_epochs(epochs), short_epochs_reason(epochs, gave_all)
    dropped = _dropped_samples(trace)
    if dropped and not any(item.batches for item in times):
        reason = (
            f"no throughput: each worker dropped what it read, {count_text(dropped, 'sample')} in all, as an incomplete batch (drop_last)."
        )
    throughput = samples_per_second(per_batch, batch_samples)
    if throughput is None and per_batch is not None:
        reason = "no samples a second: how many a batch holds is unknown, so the rate is in batches (--samples-of counts them)."
    elif throughput is not None and throughput.ci95 is None and reason is None:
        reason = "no interval: the blocks differ too much."
    # energy counters are read once a second: the first reading after the measured epochs is needed for their end
    contents = batch_contents(trace, epochs, steady)
    energy = energy_per_1000_samples_j(whole, steady, batch_samples)
    paces = [_pace_of_epoch(batch_seconds(steady.of_epoch(epoch.index)), per_batch) for epoch in epochs]
    times = [
        _with_epoch_seconds(item, full_batches, pace) if item.end_s is not None or outcome is not None else item
        for item, pace in zip(times, paces, strict=True)
    ]  # within a training that goes on, only a trial that succeeded has used all of its last epoch
    epoch_s = _epoch_estimate(times, full_batches, paces)
    notes = [*trace.notes, *(outcome.notes if outcome else []), *look_notes(end.looks)]
    if has_whole_epochs and not steady.windows and per_batch is not None:
        notes.append(
            f"An epoch has only {count_text(full_batches or 0, 'batch')}, too few for a steady state: the rate is that of whole epochs "
            f"after the first, with the start of workers. {count_text(len(epochs), 'epoch')} were measured."
        )
    clock_error = clock_error_s(trace)
    if device is not None:
        is_profiled = outcome is not None and outcome.gpu_window is not None
        notes += [*_clock_notes(clock_error, per_batch), *([] if is_profiled else _wide_bounds_notes(device))]
    disturbance = find_disturbance(trace, steady, end.usable_cores, end.other_programs, end.heat_throttles)
    if disturbance is not None and (note := disturbance_note(disturbance)) is not None:
        notes.append(note)
    if disturbance is not None and disturbance.is_disturbed:
        throughput, epoch_s, per_batch = map(without_interval, (throughput, epoch_s, per_batch))
        reason = reason or f"no interval: {taken_text(disturbance)}."
    if full_batches is None and epoch_s is None and order.batches is not None and any(item.batches for item in times):
        notes.append("no seconds per epoch: the dataset's length is unknown and the epoch was cut short.")
    result = TrialResult(
        id=planned.id,
        repeat=planned.repeat,
        status=end.status,
        config=config,
        error=end.error,
        seconds=end.seconds,
        batches=outcome.batches if outcome else sum(epoch.batches for epoch in epochs),
        samples=outcome.samples if outcome else None,
        samples_per_second=throughput,
        samples_per_second_reason=reason,
        batches_per_second=samples_per_second(per_batch, 1) if throughput is None else None,
        epoch_s=epoch_s,
        epoch_batches=full_batches,
        epochs=times,
        first_batch_s=times[0].first_batch_s if times else None,
        wait_share=shares.wait if shares else None,
        transfer_share=shares.transfer if shares else None,
        step_share=shares.step if shares else None,
        other_share=shares.other if shares else None,
        gpu_busy_share=device.busy_high if device else None,
        gpu_busy_share_low=device.busy_low if device else None,
        data_stall_share=device.stall if device else None,
        data_stall_share_low=device.stall_low if device else None,
        data_stall_share_high=device.stall_high if device else None,
        gpu_other_idle_share=device.other_idle if device else None,
        copy_overlap_share=device.copy_overlap if device and order.h2d == "overlapped" else None,
        devices=list(end.devices),
        device_clock_error_s=clock_error,
        accelerator_share=accelerator_share(steady, order.consumer),
        pinned=outcome.pinned if outcome else None,
        energy_per_1000_samples_j=energy.value,
        energy_reason=energy.reason,
        disk_share=disk_share(trace, epochs),
        startup=find_startup(trace, epochs, sent),
        memory=_with_copies(find_memory(trace, epochs), trace, config),
        own_cost=OwnCost(
            trace.record_count,
            outcome.event_seconds if outcome else None,
            end.app_cpu_share,
            end.nvml_seconds,
            end.processes_seconds,
        ),
        signs=dataclasses.replace(
            find_evidence(trace, epochs, steady),
            other_threads_share=outcome.other_threads_share if outcome else None,
            fetch_use=find_fetch_use(trace, steady, outcome.child_names if outcome else None),
        ),
        gpu_window=msgspec.convert(outcome.gpu_window, GpuWindow) if outcome and outcome.gpu_window else None,
        shared_generators=outcome.shared_generators if outcome else None,
        notes=notes,
        batch_bytes=contents.bytes,
        batch_tensors=contents.tensors,
        batch_s=per_batch,
        keeps_workers=outcome.keeps_workers if outcome else False,
        dropped_samples=dropped,
        disturbed_share=disturbed_share(disturbance) if disturbance is not None else None,
        disturbance=disturbance,
        replaces=planned.replaces,
        perfect_loader=planned.perfect_loader,
        probe=planned.probe,
        remedy=planned.remedy,
        sampler=find_sampler_work(trace, epochs, steady),
        batch_costs=find_batch_costs(trace, steady),
        loader_batches=outcome.loader_batches if outcome else None,
        iterators=longest_spans(trace, MAIN, spans_of(trace, MAIN, State.ITERATOR)),
        worker_loads=[] if planned.perfect_loader else worker_loads(trace, epochs),
        probed_epochs=probed_epochs(trace, end.looks),
        epoch_setter=msgspec.convert(outcome.epoch_setter, EpochSetter) if outcome and outcome.epoch_setter else None,
        gave_all=gave_all,
    )
    if outcome is not None and not outcome.waits_in_main:
        result = without_waits(result)
    if outcome is not None and outcome.no_ceiling:
        result = _without_figures(result, outcome.no_ceiling)
    return of_whole_training(result, recorded)


def without_waits(result: TrialResult) -> TrialResult:
    """Returns the row without what rests on waits: those of a thread that reads ahead, which main hardly feels."""
    return dataclasses.replace(result, wait_share=None, data_stall_share=None, data_stall_share_low=None, data_stall_share_high=None)


def _without_figures(result: TrialResult, reason: str) -> TrialResult:
    """Returns the row of a perfect loader that did not come to serve its batches: what was recorded until then is no rate of anything."""
    result = dataclasses.replace(without_waits(result), samples_per_second=None, samples_per_second_reason=reason, batches_per_second=None)
    return dataclasses.replace(result, batch_s=None, epoch_s=None, transfer_share=None, step_share=None, other_share=None)


def analyse_or_log(
    trace: Trace,
    planned: PlannedTrial,
    order: TrialOrder,
    end: TrialEnd,
    log: Callable[[str], None],
    *,
    dataset_length: int | None = None,
    sent: Sequence[SentPart] | None = None,
) -> TrialResult:
    """Returns the row of `analyse`. If the analysis fails, the row has no figures, and the sweep goes on.

    Args:
        trace: see `analyse`.
        planned: see `analyse`.
        order: see `analyse`.
        end: see `analyse`.
        log: gets the traceback if the analysis fails.
        dataset_length: see `analyse`.
        sent: see `analyse`.
    """
    try:
        return analyse(trace, planned, order, end, dataset_length=dataset_length, sent=sent)
    except Exception as error:  # an error of the analysis must not end the sweep
        log(f"Trial {planned.id} could not be analysed: {error}\n{traceback.format_exc()}")
        text = f"The analysis of this trial failed by a fault of Loaderscope ({type(error).__name__}: {error}); its timeline is complete."
        if end.status != "ok":
            return dataclasses.replace(planned.result(end.status, end.error, end.seconds), notes=[text])
        fault = ErrorInfo(type(error).__name__, text, traceback.format_exc())
        return planned.result("failed", fault, end.seconds)


def _clock_notes(error_s: float | None, per_batch: Estimate | None) -> list[str]:
    """Returns a sentence if the device's times are known so roughly that its shares say little."""
    if error_s is None or per_batch is None or error_s < NOTABLE_CLOCK_ERROR * per_batch.value:
        return []
    return [
        f"The device is slow to show that it has passed an event: its times are exact to ± {duration_text(error_s)} only, and a batch "
        f"takes {duration_text(per_batch.value)}. So its shares are given as ranges."
    ]


def _wide_bounds_notes(device: DeviceShares) -> list[str]:
    """Returns a sentence if the bounds of the busy share are so far apart that they say little."""
    if device.busy_high is None or device.busy_high - device.busy_low < WIDE_BOUNDS:
        return []
    return [
        f"The device is busy {share_range_text(device.busy_low, device.busy_high)} of the time: a step or a copy waits for the device, "
        "or pauses, and events do not tell what the device does meanwhile. An exact window (--gpu-window) measures it."
    ]


def _with_copies(memory: Memory | None, trace: Trace, config: TrialConfig) -> Memory | None:
    """Returns the memory of a trial with what each forked worker copied."""
    if memory is None or config.start_method != "fork":
        return memory
    workers = [dataclasses.replace(one, copied_bytes=copied_bytes(trace, f"worker-{one.worker}")) for one in memory.workers]
    return dataclasses.replace(memory, workers=workers)


def _whole_epochs(order: TrialOrder, outcome: TrialOutcome | None, count: int) -> list[bool]:
    """Returns for each epoch whether it is known that no limit cut it short."""
    if order.batches is None:
        return [True] * count
    return (outcome.whole_epochs if outcome is not None else None) or [False] * count


def _dropped_samples(trace: Trace) -> int:
    """Returns the samples that main and workers read for incomplete batches, which `drop_last` drops."""
    views = [points.view() for points in list(trace.points.values())]
    return sum(int(view["value"][view["state"] == int(State.DROPPED)].sum()) for view in views)


def _with_epoch_seconds(times: EpochTimes, full_batches: int | None, per_batch: Estimate | None) -> EpochTimes:
    if full_batches is None:
        return times
    projected = project_epoch(times, full_batches, per_batch)
    return times if projected is None else dataclasses.replace(times, epoch_s=projected.value)


def _pace_of_epoch(own: Estimate | None, of_all: Estimate | None) -> Estimate | None:
    """Returns the seconds per batch of one epoch, with the interval of all epochs if its own is unknown; of all if it has no pace."""
    if own is None or own.ci95 is not None or of_all is None or of_all.ci95 is None:
        return own or of_all
    half = (of_all.ci95[1] - of_all.ci95[0]) / 2
    return Estimate(own.value, (max(0.0, own.value - half), own.value + half))


def _epoch_estimate(times: list[EpochTimes], full_batches: int | None, paces: Sequence[Estimate | None]) -> Estimate | None:
    """Returns the mean over the epochs that have a time, each projected to its full length at its own pace."""
    if full_batches is None:
        return None
    projected = [project_epoch(item, full_batches, pace) for item, pace in zip(times, paces, strict=True) if item.epoch_s is not None]
    known = [estimate for estimate in projected if estimate is not None]
    if not known:
        return None
    value = mean([estimate.value for estimate in known])
    intervals = [estimate.ci95 for estimate in known if estimate.ci95 is not None]
    if len(intervals) < len(known):
        return Estimate(value)
    return Estimate(value, (mean([low for low, _ in intervals]), mean([high for _, high in intervals])))


def disk_share(trace: Trace, epochs: Sequence[EpochRun] = ()) -> float | None:
    """Returns the share of the bytes read by main and workers that came from disk and not from the page cache.

    The series `read_disk/NAME` and `read_cache/NAME` count bytes since the trial began. Of each epoch, only the reads after the
    process's first fetch count: what a starting worker reads before are imports. None without these series, or if too little was
    read.
    """
    disk, cache = _total_read_bytes(trace, "read_disk", epochs), _total_read_bytes(trace, "read_cache", epochs)
    if disk is None or cache is None or disk + cache < MIN_READ_BYTES:
        return None
    return disk / (disk + cache)


def _total_read_bytes(trace: Trace, kind: str, epochs: Sequence[EpochRun]) -> float | None:
    totals = []
    for key in list(trace.series):
        match = re.fullmatch(rf"{kind}/(main|worker-\d+)", key)
        times_ns, counts = series(trace, key)
        if match is None or not len(counts):
            continue
        fetches = spans_of(trace, match[1], State.FETCH)
        for epoch in epochs:
            ends_ns = fetches.starting_in(epoch.start_ns, epoch.end_ns + 1).end_ns
            first_ns = int(ends_ns.min()) if len(ends_ns) else epoch.end_ns
            begin, end = np.minimum(np.searchsorted(times_ns, [first_ns, epoch.end_ns]), len(counts) - 1)
            totals.append(float(counts[end] - counts[begin]))
        if not epochs:
            totals.append(float(counts[-1]))
    return sum(totals) if totals else None
