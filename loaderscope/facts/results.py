"""The results of a sweep as plain data: the `trials`, `results`, `recommendation` and `findings` of the JSON document.

Field names are the keys of the JSON, which other people's scripts rely on: add, do not rename. Unknown values are None.
Times in seconds, sizes in bytes, shares from 0 to 1.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.agent.ranges import Ascending, Bytes, Count, OneOf, Range, Seconds, Share
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import BatchCosts, Disturbance, LaneSpan, SamplerWork, Signs
from loaderscope.facts.findings import Remedy
from loaderscope.facts.probed_workers import EpochSetter, ProbedEpoch, WorkerLoad
from loaderscope.facts.purposes import PERFECT_LOADER, PROBE, REMEDY, SETTING, Purpose
from loaderscope.facts.recorded_use import LoaderUse
from loaderscope.facts.startup_results import Startup
from loaderscope.facts.statuses import FINAL_KEYS


@dataclasses.dataclass(frozen=True)
class EpochTimes:
    """One epoch as the consumer saw it."""

    first_batch_s: Seconds | None
    steady_s: Seconds | None
    end_s: Seconds | None  # from the last batch to the end of the epoch, after workers were joined
    batches: Count
    epoch_s: Seconds | None = None  # of this epoch over the full dataset: what was measured, and the rest at its own steady pace


@dataclasses.dataclass(frozen=True)
class WorkerMemory:
    """The peaks of one worker, over all its processes.

    Attributes:
        start_uss_bytes: its own pages at the first batch of the longest epoch (private bytes on Windows).
        growth_bytes_per_1000_batches: growth of its own pages for 1,000 batches of the loader.
        copied_bytes: pages that one of its processes shared with main after the fork, and then had as its own; None if unknown.
    """

    worker: Count
    peak_uss_bytes: Bytes | None
    peak_pss_bytes: Bytes | None
    peak_rss_bytes: Bytes | None
    start_uss_bytes: Bytes | None = None
    growth_bytes_per_1000_batches: Estimate | None = None
    copied_bytes: Bytes | None = None


@dataclasses.dataclass(frozen=True)
class Memory:
    """Memory of a trial.

    Attributes:
        peak_total_bytes: largest sum of PSS (private bytes on Windows) over main and workers at one time.
        growth_bytes_per_1000_batches: of all workers together.
        growth_reason: why the growth is unknown.
        growth_kind: `copy-on-write` if pages shared since a fork become each worker's own; `new` if workers take more memory;
            None if they do not grow, or if the kind is unknown.
    """

    peak_total_bytes: Bytes | None
    workers: list[WorkerMemory]
    growth_bytes_per_1000_batches: Estimate | None = None
    growth_reason: str | None = None
    growth_kind: Annotated[str, OneOf(("copy-on-write", "new"))] | None = None


@dataclasses.dataclass(frozen=True)
class OwnCost:
    """The cost of the tool itself.

    Attributes:
        event_seconds: estimated seconds that the main process spent on recording.
        app_cpu_share: the app's CPU time over the trial's wall time, in cores.
        nvml_seconds: seconds that the app spent reading the GPUs; None without a GPU.
        processes_seconds: seconds that the app spent reading the processes.
    """

    events: Count
    event_seconds: Seconds | None
    app_cpu_share: Annotated[float, Range(0.0)] | None
    nvml_seconds: Seconds | None = None
    processes_seconds: Seconds | None = None


@dataclasses.dataclass(frozen=True)
class OperatorCost:
    """An operator of torch in the exact window: calls, and its own time on the CPU and in kernels on the device."""

    name: str
    calls: Count
    self_cpu_s: float
    self_device_s: float


@dataclasses.dataclass(frozen=True)
class GpuWindow:
    """Some steps under torch.profiler, after the measured epochs. The profiler slows what it watches.

    Attributes:
        steps: batches in the window.
        busy_share: share of the window in which any kernel, copy or memset ran on the device.
        reason: why there is no window or no busy share.
        clock_error_s: bound of the error of the device's times on the host's clock.
        operators: the heaviest on the device and on the CPU, heaviest first.
    """

    steps: Count
    seconds: Seconds | None
    busy_share: Share | None
    reason: str | None
    clock_error_s: Seconds | None
    operators: list[OperatorCost]


@dataclasses.dataclass(frozen=True)
class ScriptWarning:
    """A text that the user's code warned of, logged or printed to stderr during a trial; equal texts are merged.

    Attributes:
        process: main, worker-0 ...; None if unknown.
        kind: the category of a Python warning (`UserWarning`), the level of a record of logging (`WARNING`, `ERROR`,
            `CRITICAL`), or `stderr` for printed text.
        text: the text.
        count: how often it came.
        place: "file:line" of the code that warned or logged; None if unknown.
    """

    process: str | None
    kind: str
    text: str
    count: int
    place: str | None = None


def purpose_of(*, perfect_loader: bool, probe: bool, remedy: Remedy | None) -> Purpose:
    """Returns what a trial is run for."""
    if remedy is not None:
        return REMEDY
    return PERFECT_LOADER if perfect_loader else PROBE if probe else SETTING


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """One row of `trials`. A skipped setting has `repeat` None and its reason in `error` (kind `limit` or `unsupported`)."""

    id: Count
    repeat: Count | None
    status: Annotated[str, OneOf(FINAL_KEYS)]
    config: TrialConfig
    error: ErrorInfo | None = None
    seconds: Seconds | None = None
    batches: Count = 0
    samples: Count | None = None
    samples_per_second: Annotated[Estimate, Range(1e-9)] | None = None
    samples_per_second_reason: str | None = None  # why the value or its interval is missing
    batches_per_second: Annotated[Estimate, Range(1e-9)] | None = None  # where the samples of a batch cannot be counted
    epoch_s: Annotated[Estimate, Range(0.0, 1e15)] | None = None
    epoch_batches: Count | None = None  # of a full epoch
    epochs: list[EpochTimes] = dataclasses.field(default_factory=list)
    first_batch_s: Seconds | None = None
    wait_share: Share | None = None
    transfer_share: Share | None = None
    step_share: Share | None = None
    other_share: Share | None = None
    gpu_busy_share: Share | None = None  # at most; None if the device also works on streams that nothing reports
    gpu_busy_share_low: Share | None = None  # at least
    data_stall_share: Share | None = None
    data_stall_share_low: Share | None = None  # what the clock error and the bounds of the busy periods allow
    data_stall_share_high: Share | None = None
    gpu_other_idle_share: Share | None = (
        None  # at least, idle while main does not wait; sums to 1 with busy and stall unless the clock is rough
    )
    copy_overlap_share: Share | None = None  # share of the time of copies to the device for which it also worked on a step
    devices: list[str] = dataclasses.field(default_factory=list)  # models of the accelerators that the trial used
    device_clock_error_s: Seconds | None = None  # bound of the error of device times on the host's clock
    accelerator_share: Share | None = None  # steady busy share of an accelerator that needs the simulated step's time for a batch
    pinned: bool | None = None  # whether batches really came in pinned memory
    energy_per_1000_samples_j: Annotated[float, Range(0.0)] | None = None  # of all GPUs that the trial uses, in its steady state
    energy_reason: str | None = None  # why the energy is missing
    disk_share: Share | None = None  # share of the bytes read that came from disk and not from the page cache
    startup: Startup | None = None
    memory: Memory | None = None
    own_cost: OwnCost | None = None
    signs: Signs | None = None
    gpu_window: GpuWindow | None = None
    shared_generators: list[str] | None = None  # random, numpy, torch: generators that threads share; None if not checked
    notes: list[str] = dataclasses.field(default_factory=list)
    warnings: list[ScriptWarning] = dataclasses.field(default_factory=list)  # in order of appearance
    batch_bytes: Annotated[float, Range(0.0)] | None = None  # mean of the batches that workers send: memory of tensors, and pickle
    batch_tensors: Annotated[float, Range(0.0)] | None = None  # mean of such batches
    batch_s: Annotated[Estimate, Range(0.0, 1e15)] | None = None  # from batch to batch in steady state
    keeps_workers: bool = False  # the loader's constructor started the workers, for all epochs
    dropped_samples: Count | None = None  # that were read for incomplete batches of an iterable dataset, and dropped (drop_last)
    disturbed_share: Share | None = None  # of the usable cores, taken by other programs
    disturbance: Disturbance | None = None
    loader: LoaderUse | None = None  # of a recorded training
    replaces: Count | None = None  # the disturbed trial that this one repeats
    replaced_by: Count | None = None  # the trial that counts in place of this disturbed one
    perfect_loader: bool = False  # its batches came from memory: its rate is the ceiling of any loader
    probe: bool = False  # it looked closer, so its figures are not those of its setting
    remedy: Remedy | None = None  # that it tests
    sampler: SamplerWork | None = None  # None if its work is too short to be recorded
    batch_costs: BatchCosts | None = None
    loader_batches: Count | None = None  # that the loader would give in an epoch which the script's own loop may leave early
    iterators: list[LaneSpan] = dataclasses.field(default_factory=list)  # the longest makings of iterators
    worker_loads: list[WorkerLoad] = dataclasses.field(default_factory=list)
    probed_epochs: list[ProbedEpoch] = dataclasses.field(default_factory=list)  # of a probe
    epoch_setter: EpochSetter | None = None  # None: none, or not looked for
    gave_all: bool = False  # the script of a training gave no more batches, so it is no use to ask for more

    @property
    def purpose(self) -> Purpose:
        """What it was run for."""
        return purpose_of(perfect_loader=self.perfect_loader, probe=self.probe, remedy=self.remedy)

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs took so much of the cores that its figures cannot be trusted."""
        return self.disturbance is not None and self.disturbance.is_disturbed


@dataclasses.dataclass(frozen=True)
class SettingResult:
    """One row of `results`: all repeats of one setting together. The table `measures.MEASURES` explains its figures."""

    config: TrialConfig
    trials: list[int]
    samples_per_second: Estimate | None = None
    batches_per_second: Estimate | None = None  # where the samples of a batch cannot be counted
    epoch_s: Estimate | None = None
    train_s: float | None = None  # projected seconds of the user's training, which the recommendation minimises
    first_batch_s: float | None = None
    end_s: float | None = None
    wait_share: float | None = None
    transfer_share: float | None = None
    step_share: float | None = None
    other_share: float | None = None
    gpu_busy_share: float | None = None
    gpu_busy_share_low: float | None = None
    data_stall_share: float | None = None
    data_stall_share_low: float | None = None
    data_stall_share_high: float | None = None
    copy_overlap_share: float | None = None
    peak_total_bytes: int | None = None
    gpu_other_idle_share: float | None = None
    accelerator_share: float | None = None
    energy_per_1000_samples_j: float | None = None
    batch_bytes: float | None = None
    batch_tensors: float | None = None
    disturbed_share: float | None = None
    remedy: Remedy | None = None  # that its trials test

    @property
    def rate(self) -> Estimate | None:
        """The throughput: in samples, or in batches where their samples cannot be counted."""
        return self.samples_per_second or self.batches_per_second


@dataclasses.dataclass(frozen=True)
class Recommendation:
    """Which setting to use, and why."""

    config: TrialConfig
    fastest: TrialConfig
    ties: list[TrialConfig]
    knee: TrialConfig | None
    current: TrialConfig | None
    rule_of_thumb: int | None  # 4 x GPUs; None without a GPU
    torch_suggested: int  # usable CPUs, which torch's own warning calls the suggested maximum
    why: str
    caveat: str | None = None  # what cannot be known because only one epoch was measured


MEASURED, COMPUTED = "measured", "computed"


"""How a ceiling is known: by a trial whose batches came from memory, or by arithmetic from the time of a simulated step."""


@dataclasses.dataclass(frozen=True)
class Ceiling:
    """The rate of a perfect loader, whose batches are always ready.

    Attributes:
        saves_share: of the time of a batch with the recommended setting, which a perfect loader would save; else with the fastest setting.
        trial: that measured it; None if it is computed.
        source: `MEASURED` or `COMPUTED`.
        batches_per_second: where the samples of a batch cannot be counted.
        saves_ci95: the 95 % interval of `saves_share`, if known.
    """

    samples_per_second: Estimate | None
    saves_share: Share | None
    trial: Count | None
    source: Annotated[str, OneOf((MEASURED, COMPUTED))]
    batches_per_second: Estimate | None = None
    saves_ci95: Annotated[tuple[float, float], Ascending()] | None = None

    @property
    def rate(self) -> Estimate | None:
        """The throughput: in samples, or in batches where their samples cannot be counted."""
        return self.samples_per_second or self.batches_per_second
