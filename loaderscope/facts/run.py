"""A run of a sweep as plain data: its plan, environment, log lines and marks; and the sinks that get its events."""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, NamedTuple, Protocol, TypedDict, TypeVar

from loaderscope.agent.messages import ErrorInfo, Target, TrialConfig
from loaderscope.agent.ranges import Bytes, Count, FilePath, Name, Positive, Seconds, TimeNs
from loaderscope.facts.findings import Remedy
from loaderscope.facts.purposes import Purpose
from loaderscope.facts.request import Request
from loaderscope.facts.results import TrialResult, purpose_of
from loaderscope.facts.startup_results import Control, SentPart

TRAINING_TARGET = "training"
"""Names the target of a recorded training."""


@dataclasses.dataclass(frozen=True)
class PlannedTrial:
    """A trial of the schedule.

    Attributes:
        skip: (kind, sentence) on why it will be skipped, or None.
        replaces: the disturbed trial that it repeats; None for a trial of the original plan.
        loader: the name of the loader of a recorded training whose use it is; None in a sweep.
        perfect_loader: whether its batches come from memory, so that its rate is the ceiling of any loader.
        probe: whether it looks closer, which costs time.
        remedy: that it tests.
    """

    id: Count
    repeat: Count | None
    config: TrialConfig
    skip: tuple[str, str] | None = None
    replaces: Count | None = None
    loader: str | None = None
    perfect_loader: bool = False
    probe: bool = False
    remedy: Remedy | None = None

    @property
    def purpose(self) -> Purpose:
        """What it is run for."""
        return purpose_of(perfect_loader=self.perfect_loader, probe=self.probe, remedy=self.remedy)

    def result(self, status: str, error: ErrorInfo | None = None, seconds: float | None = None) -> TrialResult:
        """Returns its row without any figures."""
        return TrialResult(
            self.id,
            self.repeat,
            status,
            self.config,
            error,
            seconds,
            replaces=self.replaces,
            perfect_loader=self.perfect_loader,
            probe=self.probe,
            remedy=self.remedy,
        )


class _Imported(TypedDict):
    name: Name
    seconds: Seconds


class ImportedModule(_Imported, total=False):
    """A module that the script imported when it was loaded, see `analysis.startup.preloading.ScriptImport`."""

    within: Name | None
    beside_script: bool


class NamedGpu(TypedDict, total=False):
    """The keys of a GPU that the app reads, see `telemetry.nvml.Gpu`."""

    name: Name


class Environment(TypedDict, total=False):
    """The keys of the JSON document's `environment` that the app itself reads; others are allowed."""

    platform: str | None
    python: Name | None
    torch: Name | None
    free_threaded: bool | None
    cpu_count: Positive | None
    usable_cpus: Positive | None
    memory_bytes: Bytes | None
    gpus: list[NamedGpu | Name]
    accelerator: bool | None
    start_methods: list[Name]
    sharing_strategies: list[Name]
    default_start_method: Name | None
    script_imports: list[ImportedModule] | None


class Sample(TypedDict, total=False):
    """The structure of a sample or of a part of it, from agent/samples.py; for a whole sample also the probe's measurements."""

    type: str
    shape: list[Any] | None
    dtype: str
    bytes: Bytes | None
    length: Count
    items: list[SamplePart] | None
    seconds: Seconds
    main_bytes: Bytes | None
    worker_bytes: Bytes | None


class _Keyed(TypedDict):
    key: Any


class SamplePart(_Keyed, Sample, total=False):
    """The part of a sample under a key: a position, a name, or a key of a mapping."""


@dataclasses.dataclass(frozen=True)
class Run:
    """All that is known before the first trial starts."""

    request: Request
    environment: dict[str, Any]  # the `environment` of the JSON document
    target: Target
    script: FilePath
    sample: dict[str, Any] | None  # structure of one sample, see agent/samples.py; None without a probe
    plan: list[PlannedTrial]
    sent: list[SentPart] | None = None  # what each worker is sent, measured once before the trials; None without a probe
    controls: list[Control] = dataclasses.field(default_factory=list)  # of a start-up experiment, measured before the trials
    created_unix_s: int | None = None  # when the run was planned; None if not recorded

    @property
    def is_training(self) -> bool:
        """Whether it records a training as it is, so that its trials are the loaders of that training."""
        return self.target.kind == "captured" and self.target.name == TRAINING_TARGET


KEPT_BYTES = 2 << 30
"""The size within which the session of a recorded training stays unless the user says otherwise."""


@dataclasses.dataclass(frozen=True)
class LogLine:
    """One line that the script or the tool printed. `time_ns` is perf_counter_ns."""

    time_ns: TimeNs
    stream: str  # stdout | stderr | loaderscope
    text: str
    trial: int | None = None


class Mark(NamedTuple):
    """A place in a trial's timeline that the user marked; `time_ns` is perf_counter_ns."""

    time_ns: int
    text: str


Trace_contra = TypeVar("Trace_contra", contravariant=True)
"""`trace.model.Trace`, which this folder must not import."""


class Sink(Protocol[Trace_contra]):
    """Gets the events of a run from the pool as they happen: the session file and the live view are sinks.

    Only the pool's thread calls a sink.

    The order is run_started; then for each trial trial_started, trace_grew any number of times and trial_finished (a skipped trial
    has trial_finished alone); and run_finished last, even after an error. log_line and progress come at any time.
    """

    def run_started(self, run: Run) -> None: ...

    def trial_started(self, trial: PlannedTrial, trace: Trace_contra) -> None: ...

    def trace_grew(self, trial: PlannedTrial, trace: Trace_contra) -> None: ...

    def trial_finished(self, result: TrialResult, trace: Trace_contra | None) -> None: ...

    def log_line(self, line: LogLine) -> None: ...

    def progress(self, done: int, total: int, seconds_left: float | None) -> None: ...

    def run_finished(self, cancelled: bool) -> None: ...


class SilentSink(Generic[Trace_contra]):
    """A sink that shows nothing."""

    def run_started(self, run: Run) -> None: ...

    def trial_started(self, trial: PlannedTrial, trace: Trace_contra) -> None: ...

    def trace_grew(self, trial: PlannedTrial, trace: Trace_contra) -> None: ...

    def trial_finished(self, result: TrialResult, trace: Trace_contra | None) -> None: ...

    def log_line(self, line: LogLine) -> None: ...

    def progress(self, done: int, total: int, seconds_left: float | None) -> None: ...

    def run_finished(self, cancelled: bool) -> None: ...


def environment_text(environment: dict[str, Any]) -> str:
    """Returns the machine in one line for the status bar and captions."""
    gpus = environment.get("gpus") or []
    names = [gpu.get("name", "GPU") if isinstance(gpu, dict) else str(gpu) for gpu in gpus]
    device = names[0] if names else "an accelerator without NVML" if environment.get("accelerator") else "no GPU"
    if len(names) > 1:
        device = f"{len(names)} × {device}"
    parts = [device]
    if environment.get("usable_cpus"):
        parts.append(f"{environment['usable_cpus']} CPUs")
    if environment.get("python"):
        parts.append(f"Python {environment['python']}" + (" without GIL" if environment.get("free_threaded") else ""))
    if environment.get("torch"):
        parts.append(f"torch {environment['torch']}")
    return " · ".join(parts)
