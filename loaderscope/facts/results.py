"""The results of a sweep as plain data: the `trials`, `results`, `recommendation` and `findings` of the JSON document.

Field names are the keys of the JSON, which other people's scripts rely on: add, do not rename. Unknown values are None.
Times in seconds, sizes in bytes, shares from 0 to 1.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

from loaderscope.agent.messages import ErrorInfo, TrialConfig
from loaderscope.agent.ranges import Ascending, Bytes, Count, Name, OneOf, Range, Seconds, Share, TimeNs
from loaderscope.facts.probed_workers import EpochSetter, ProbedEpoch, WorkerLoad
from loaderscope.facts.purposes import PERFECT_LOADER, PROBE, REMEDY, SETTING, Purpose
from loaderscope.facts.statuses import FINAL_KEYS


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, if known."""

    value: float
    ci95: Annotated[tuple[float, float], Ascending()] | None = None

    @property
    def relative_half_width(self) -> float | None:
        """Half the interval divided by the value; None without an interval."""
        if self.ci95 is None or self.value <= 0 or not math.isfinite(self.value):
            return None
        return (self.ci95[1] - self.ci95[0]) / 2 / self.value


@dataclasses.dataclass(frozen=True)
class EpochTimes:
    """One epoch as the consumer saw it."""

    first_batch_s: Seconds | None
    steady_s: Seconds | None
    end_s: Seconds | None  # from the last batch to the end of the epoch, after workers were joined
    batches: Count
    epoch_s: Seconds | None = None  # of this epoch over the full dataset: what was measured, and the rest at its own steady pace


@dataclasses.dataclass(frozen=True)
class Phase:
    """One start-up phase of one process; `start_s` counts from the epoch's iter()."""

    epoch: Count
    process: Name
    phase: Name
    start_s: float
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class Culprit:
    """The start-up phase that costs most on the critical path of batch 0."""

    phase: Name
    detail: str
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class ImportCost:
    """One module that a worker imported in its start.

    `own_s` excludes the modules that it imports itself, if these took long enough to be recorded.
    """

    name: str
    own_s: float
    total_s: Seconds
    parent: str | None  # the module that imported it first
    first_start_s: float  # from the epoch's iter()
    phase: str = "main_import"  # unpickle: for a class of the dataset that the script itself does not import


@dataclasses.dataclass(frozen=True)
class StartImport:
    """A package that a worker imported in one of its starts; its time includes the modules that it imports."""

    epoch: Count
    process: Name
    name: str  # of the package, or of a module of it that was imported separately
    seconds: Seconds  # with all that it imports
    within: str | None  # the listed package that imported it


@dataclasses.dataclass(frozen=True)
class LineCost:
    """A line of the script's own top level, and the time that a worker spent on it while it imported the script again."""

    line: Count
    text: str
    seconds: Seconds  # including its calls and imports
    import_s: Seconds = 0.0  # the part of it spent in imports


@dataclasses.dataclass(frozen=True)
class SentPart:
    """A part of what each worker is sent when it starts; the sampler is listed with 0 bytes, as torch keeps it in main."""

    owner: str  # dataset | sampler | collate_fn | worker_init_fn | other
    attribute: str  # dataset.samples
    type_name: str
    bytes: Bytes
    pickle_s: float
    unpickle_s: float | None
    error: str | None  # why it cannot be pickled, or why weighing stopped early
    shared_bytes: Bytes = 0  # of tensors, which move into shared memory before the first worker starts and are not sent
    refused: bool = False  # it cannot be pickled; `error` says why


@dataclasses.dataclass(frozen=True)
class Control:
    """Seconds from the start of a fresh interpreter to the end of the import.

    Attributes:
        first_s: with the files dropped from the page cache if the system lets a user do so, else with the cache as it was.
        again_s: with the files in the page cache; for `remedies.PRELOAD`: until the server's first child runs.
        first_from_disk_share: share of the bytes of the first run that came from disk; None if unknown.
        error: why there is no figure, in one sentence.
        again_cpu_s: processor time of the run with the files in the page cache.
        cache_was_dropped: whether the system accepted the request to drop the files.
        modules: that `remedies.PRELOAD` imports.
        import_s: seconds by which its server starts later than one that preloads nothing.
    """

    name: str
    first_s: Seconds | None = None
    again_s: Seconds | None = None
    first_from_disk_share: Share | None = None
    error: str | None = None
    again_cpu_s: Seconds | None = None
    cache_was_dropped: bool = False
    modules: list[str] = dataclasses.field(default_factory=list)
    import_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Startup:
    """The time from iter() to the first batch, by phase; `explained_share` is the share that the critical path of batch 0 covers.

    Attributes:
        imports: modules imported by the worker that made batch 0 of the first epoch, and their ancestors; heaviest by own time first.
        lines: of the script's own top level, with the time that they cost that worker.
        own_s: this tool's own measured part of the time to the first batch.
        serial_starts: whether workers started one after another, because each worker's pickle exceeds the pipe.
        preload_import_s: seconds by which a fork server with the same preloads started later, without any loader, right before the
            trial.
        start_imports: packages that each worker imported in each epoch.
    """

    explained_share: Share | None
    culprit: Culprit | None
    phases: list[Phase]
    imports: list[ImportCost] = dataclasses.field(default_factory=list)
    lines: list[LineCost] = dataclasses.field(default_factory=list)
    own_s: Seconds | None = None
    serial_starts: bool | None = None
    preload_import_s: float | None = None
    start_imports: list[StartImport] = dataclasses.field(default_factory=list)


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
class EpochUse:
    """What a training spent on one epoch of a loader; the same entry of `TrialResult.epochs` has its batches.

    Attributes:
        start_s: its iter(), from the start of the recording: that of the script, unless the user set a later one.
        seconds: from its iter() until it ended, or until the script turned to another loader and never came back.
        wait_s: for which main made its iterator and waited for its batches; None as for `LoaderUse.wait_s`.
        exposed_s: the part of `wait_s` in which no device is known to have worked.
        until_next_s: from its last step's end to the loader's next iter(), or to the end of the training.
    """

    start_s: float
    seconds: Seconds
    wait_s: Seconds | None
    exposed_s: Seconds | None
    until_next_s: Seconds


@dataclasses.dataclass(frozen=True)
class TrainingGap:
    """Time of a training outside its loaders, such as a checkpoint: between two of them, or in a step far longer than most.

    Attributes:
        start_s: from the start of the recording.
        line: where main stood longest meanwhile, as "train.py:87 in save" with the path of the file; None if unknown.
        before: name of the loader whose epoch ended there; None: the script had begun.
        after: name of the loader whose epoch began then; None: the script ended.
        in_step_of: name of the loader in whose step it lies; None between loaders.
    """

    start_s: Seconds
    seconds: Seconds
    line: str | None
    before: str | None
    after: str | None
    in_step_of: str | None


@dataclasses.dataclass(frozen=True)
class ProcessUse:
    """What a process of a recorded training spent on all its loaders together: time in which several are busy counts once.

    Attributes:
        began_ns: start of the script, on the clock of the traces.
        wait_s: for which main made iterators and waited for batches.
        exposed_s: the part of `wait_s` in which no device is known to have worked.
        first_batch_s: from the start of the script to the first batch; None without a batch.
        bin_s: width of the bins of `exposed_shares`.
        exposed_shares: the exposed share of each such part of the recording, from its start; the last part may be shorter.
        gaps: the longest, in the order of time.
    """

    began_ns: TimeNs
    wait_s: Seconds
    exposed_s: Seconds
    first_batch_s: Seconds | None
    bin_s: Seconds
    exposed_shares: list[Share]
    gaps: list[TrainingGap] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class LoaderUse:
    """A loader of a recorded training, and what the training spent on it.

    Attributes:
        made: where the script makes it, as "file:line"; None if unknown.
        iterated: where the script iterates it first.
        class_name: of the loader.
        dataset: class of its dataset.
        length: batches of an epoch, as far as the loader tells.
        pid: the process that iterates it.
        wait_s: seconds that this process made its iterators and waited for its batches; None if another thread than the main one iterates
            it, because the training may go on meanwhile.
        training_s: seconds of the whole training, from the start of the script to its end.
        exit_status: of the script; negative: the signal that ended it; None: the script went on when its recording ended.
        exposed_s: the part of `wait_s` in which no device is known to have worked; None in sessions that lack it.
        optimizer_steps: in its epochs; None if none was recorded.
        epochs: one entry for each of `TrialResult.epochs`.
        process: of all loaders of the process, in the entry of the first of them; None in the others.
        recorded_s: seconds of the training that were recorded, where the recording had bounds; None: all of it.
        number_at_line: among the loaders that the same line made in that process, from 0.
    """

    made: str | None
    iterated: str | None
    class_name: Name
    dataset: Name
    length: Count | None
    pid: Count
    wait_s: Seconds | None
    training_s: Seconds
    exit_status: int | None
    exposed_s: Seconds | None = None
    optimizer_steps: Count | None = None
    epochs: list[EpochUse] = dataclasses.field(default_factory=list)
    process: ProcessUse | None = None
    recorded_s: Seconds | None = None
    number_at_line: Count = 0

    @property
    def name(self) -> str:
        """The loader as the timeline and tables name it: train.py:87."""
        return loader_name(self.made, self.iterated, self.class_name, self.number_at_line)

    @property
    def measured_s(self) -> float:
        """The seconds of the training that its figures are about."""
        return self.training_s if self.recorded_s is None else self.recorded_s


def loader_name(made: str | None, iterated: str | None, class_name: str, number_at_line: int) -> str:
    """Returns the name of a loader by where it is made, else where it is iterated, else its class: train.py:87, or train.py:87 #2."""
    name = (made or iterated or class_name).replace("\\", "/").rpartition("/")[2]
    return f"{name} #{number_at_line + 1}" if number_at_line else name


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
class OtherProgram:
    """A program that ran beside a trial.

    Attributes:
        processes: that have this name.
        cores: cores that they took together, on average over the trial.
    """

    name: str
    processes: Count
    cores: Annotated[float, Range(0.0)]


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """What other programs took of the usable cores during a trial. Cores are means over the measured time.

    Attributes:
        part: steady: measured in the steady state; trial: in the whole trial, because the steady state is too short for it.
        seconds: the measured time.
        others_cores: taken by other programs and by other virtual machines.
        run_delay_cores: threads of the trial that were ready and had no core; None if the system does not count them.
        lost_cores: the part of `others_cores` that kept the trial waiting; all of it if the run delay is unknown.
        is_disturbed: whether so much was lost that the trial's figures cannot be trusted.
        programs: that took most CPU time during the whole trial, the greatest first.
        heat_throttles: how often the processor lowered its clocks because of heat; None if the system does not count it.
    """

    part: Annotated[str, OneOf(("steady", "trial"))]
    seconds: Seconds
    usable_cores: Count
    others_cores: Annotated[float, Range(0.0)]
    run_delay_cores: Annotated[float, Range(0.0)] | None
    lost_cores: Annotated[float, Range(0.0)]
    is_disturbed: bool
    programs: list[OtherProgram] = dataclasses.field(default_factory=list)
    heat_throttles: Count | None = None


@dataclasses.dataclass(frozen=True)
class LateBatch:
    """A batch that main waited for much longer than for others."""

    epoch: Count
    batch: Count
    worker: Count | None
    wait_s: Seconds  # how long main waited for it
    fetch_s: Seconds  # how long its fetch took
    sample: int | None  # index of the slowest sample, if samples were recorded
    sample_s: Seconds | None
    start_s: float | None = None  # when the wait began, on the trial's time axis
    cause: Name | None = None  # of most of the wait: a name of `late_batches.Cause` in small letters
    charged_s: dict[str, Seconds] = dataclasses.field(default_factory=dict)  # by such names; they sum to the wait
    held_up: Count | None = None  # later batches that lay ready when it came
    held_up_s: Seconds | None = None  # how long such batches lay ready during the wait
    fetch_cpu_s: Seconds | None = None  # CPU time of the fetch, if it was recorded
    run_delay_s: Seconds | None = None  # how long its process waited for a core about then, at most; None if unknown


@dataclasses.dataclass(frozen=True)
class ProcessBeside:
    """A process that main started and that is no worker.

    Attributes:
        cores: that it took on average over the steady state.
        ready_cores: its threads that were ready and had no core.
    """

    name: str
    cores: Annotated[float, Range(0.0)]
    ready_cores: Annotated[float, Range(0.0)] = 0.0

    @property
    def busy_cores(self) -> float:
        """Cores that it would take if it never had to wait for one."""
        return self.cores + self.ready_cores


@dataclasses.dataclass(frozen=True)
class FetchUse:
    """What fetches spend their time on, and how the workers use the cores; cores are means over the steady state, None if unknown.

    Attributes:
        fetch_share: share of the steady state for which a worker fetches; main's without workers.
        looks: how often the app looked at what the thread of a fetch waits for.
        waits: share of these looks by what the thread waited for: keys of `thread_waits.ThreadWait`.
        worker_cores: that all workers take.
        other_threads_cores: the part of them that threads take beside each worker's first and that which sends.
        run_delay_cores: threads of workers that are ready and have no core.
        allowed_cores: that all workers together may use.
        beside: processes beside the workers, the busiest first.
        longest: a few of the longest fetches, the longest first.
    """

    fetch_share: Share | None = None
    looks: Count = 0
    waits: dict[str, Share] = dataclasses.field(default_factory=dict)
    worker_cores: Annotated[float, Range(0.0)] | None = None
    other_threads_cores: Annotated[float, Range(0.0)] | None = None
    run_delay_cores: Annotated[float, Range(0.0)] | None = None
    allowed_cores: Count | None = None
    beside: list[ProcessBeside] = dataclasses.field(default_factory=list)
    longest: list[LaneSpan] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Signs:
    """Evidence on which findings rest, beside the shares. Medians are over all batches of the trial.

    Attributes:
        fetch_cpu_share: CPU time over wall time of the fetches; a low share means that they wait (for the disk, the network, a lock).
        other_threads_share: share of the processor time of main's process that other threads than the consumer's take.
        deserialise_share: share of the steady state that main spends unpacking batches.
        held_up_share: share of the steady state in which main waits for a batch while later ones lie ready.
        late_batches: the worst late batches, worst first.
        pin_step_share: processor time of the pin thread during steps, divided by the time of the steps.
        pin_step_slowdown: how many times as long overlapped steps take as others.
        growth_bytes_per_s: growth of all workers' private memory together.
        fetch_use: what fetches spend their time on.
    """

    fetch_s: Seconds | None = None
    fetch_cpu_share: Share | None = None
    other_threads_share: Share | None = None
    collate_s: Seconds | None = None
    deserialise_share: Share | None = None
    held_up_share: Share | None = None
    late_batches: list[LateBatch] = dataclasses.field(default_factory=list)
    growth_bytes_per_s: float | None = None
    pin_step_share: Share | None = None
    pin_step_slowdown: Annotated[float, Range(0.0)] | None = None
    fetch_use: FetchUse | None = None


@dataclasses.dataclass(frozen=True)
class LaneSpan:
    """A span on the timeline of a trial; `start_s` is on its time axis."""

    lane: Name
    start_s: float
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class SamplerWork:
    """What the sampler or batch sampler does in the main process.

    Attributes:
        class_name: of the sampler; None if unknown.
        place: "file:line" of its `__iter__`; None where that is no code of the user's.
        share: of the steady state; None without one.
        batch_s: seconds for a batch of the steady state, on average.
        epoch_start_s: seconds by which its iter() and the first batch of an epoch take longer than another batch, on average.
        first_batch_s: seconds of its work from an epoch's iter() to the first batch, on average.
        total_s: seconds of its work in the whole trial.
        spans: the longest.
    """

    class_name: str | None
    place: str | None
    share: Share | None
    batch_s: Seconds | None
    epoch_start_s: Seconds
    first_batch_s: Seconds
    total_s: Seconds
    spans: list[LaneSpan] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class BatchCosts:
    """What a batch of the steady state costs on its way, on average.

    Attributes:
        fetch_s: seconds of fetch and collate, in the process that makes the batch.
        collate_s: the part of it in collate.
        serialise_s: seconds in which a worker makes bytes of it, and moves its tensors into shared memory; None without workers.
        receive_s: seconds in which main waits for a message of a worker.
        unpack_s: seconds in which main makes a batch of such a message.
        pipe_bytes: of such a message; tensors are not in it, but in shared memory.
        idle_share: of the time of the workers, in which they wait for indices.
        unpacking: the longest spans of `unpack_s`.
        keep_s: seconds from the end of its making until the worker hands it on: torch does nothing then, torchdata takes a snapshot.
    """

    fetch_s: Seconds
    collate_s: Seconds
    serialise_s: Seconds | None = None
    receive_s: Seconds | None = None
    unpack_s: Seconds | None = None
    pipe_bytes: Annotated[float, Range(0.0)] | None = None
    idle_share: Share | None = None
    unpacking: list[LaneSpan] = dataclasses.field(default_factory=list)
    keep_s: Seconds | None = None


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


@dataclasses.dataclass(frozen=True)
class Remedy:
    """The remedy of a finding, which a trial tests.

    Attributes:
        code: of the finding.
        change: what is changed, as the user would write it: `in_order=False`, `MALLOC_ARENA_MAX=2`.
        environment: variables that the trial's script finds besides the run's, as pairs of name and value. Changes of the loader's
            arguments are in the trial's setting.
    """

    code: Name
    change: str
    environment: tuple[tuple[Name, str], ...] = ()


def change_of(remedy: Remedy | None) -> str:
    """Returns what a remedy changes; empty without one."""
    return "" if remedy is None else remedy.change


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


@dataclasses.dataclass(frozen=True)
class Place:
    """A place on a timeline where a finding shows.

    Attributes:
        trial: whose timeline.
        lane: key of the lane, such as `main` or `worker-0`.
        start_s: on the time axis of that timeline.
        seconds: its length.
    """

    trial: Count
    lane: Name
    start_s: float
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class Finding:
    """A conclusion about the dataset, the script or a setting.

    Attributes:
        code: its kind.
        severity: error, warning or info.
        trials: on which it rests.
        message: what is wrong, with its figures.
        evidence: the figures and thresholds on which it rests.
        advice: what to do.
        gain_s: seconds of the user's training that the remedy saves; None if not known.
        places: where it shows on the timelines, the most telling first.
        change: the remedy as code, a line or a few; empty if there is none to show.
        remedy: what a trial can test; None if no trial can.
        config: the setting of that trial.
    """

    code: str
    severity: str
    trials: list[int]
    message: str
    evidence: dict[str, Any]
    advice: str
    gain_s: Estimate | None = None
    places: list[Place] = dataclasses.field(default_factory=list)
    change: str = ""
    remedy: Remedy | None = None
    config: TrialConfig | None = None
