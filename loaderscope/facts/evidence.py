"""The evidence of a trial on which findings rest: a part of its results."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from loaderscope.agent.ranges import Count, Name, OneOf, Range, Seconds, Share


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
