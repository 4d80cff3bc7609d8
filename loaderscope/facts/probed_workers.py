"""What single workers did in a trial, and what those of a probe saw of their dataset: parts of `trials` of the JSON document."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.ranges import Count, Name, Seconds


@dataclasses.dataclass(frozen=True)
class WorkerLoad:
    """What one worker did. The lists have an entry for each epoch.

    Attributes:
        fetches: how often it was asked for a batch.
        batches: that it gave.
        fetch_s: median time of a fetch that gave one; None without any.
        start_s: begin of the first epoch on the trial's time axis.
        seconds: length of the first epoch.
    """

    worker: Count
    fetches: list[Count]
    batches: list[Count]
    fetch_s: list[Seconds | None]
    start_s: float
    seconds: Seconds


@dataclasses.dataclass(frozen=True)
class UsedGenerator:
    """A random generator that a worker drew from: an attribute of the dataset, or a module's own (`random`, `numpy.random`, `torch`).

    Attributes:
        name: from the dataset: `transform.rng`.
        kind: its type; empty for a module's own.
        place: "file:line" where it is set; None if unknown.
        start: hash of its state before the first sample of the epoch.
        states: hashes after each of the first batches.
    """

    name: Name
    kind: str
    place: str | None
    start: str
    states: list[str]


@dataclasses.dataclass(frozen=True)
class ChangedAttribute:
    """An attribute of a worker's copy of the dataset that changed during an epoch.

    Attributes:
        name: from the dataset.
        place: "file:line" where it is set; None if unknown.
        kind: its type.
        start: the number, or the length of the container, before the first sample of the epoch; None for arrays.
        end: the same at the end of the epoch.
        changes: after how many of the first batches it was another one than before.
    """

    name: Name
    place: str | None
    kind: Name
    start: float | None
    end: float | None
    changes: Count


@dataclasses.dataclass(frozen=True)
class ProbedEpoch:
    """What a worker of a probe saw of its dataset in an epoch.

    Attributes:
        start_s: on the trial's time axis, with the first sample.
        hashed_samples: of an iterable dataset, how many of its first samples were compared; None if they cannot be.
        distinct_samples: how many of these differ.
        repeated_samples: how many of the distinct ones another worker with a lower number yielded, too, in the same epoch.
        init_place: "file:line" of the `worker_init_fn`; None if there is none.
    """

    worker: Count
    epoch: Count
    start_s: float
    seconds: Seconds
    batches: Count
    samples: Count
    hashed_samples: Count | None = None
    distinct_samples: Count | None = None
    repeated_samples: Count | None = None
    generators: list[UsedGenerator] = dataclasses.field(default_factory=list)
    attributes: list[ChangedAttribute] = dataclasses.field(default_factory=list)
    init_place: str | None = None


@dataclasses.dataclass(frozen=True)
class EpochSetter:
    """A `set_epoch` of the dataset that stores a plain value.

    Attributes:
        name: of the attribute that it sets, from the dataset.
        place: "file:line" of the method.
    """

    name: Name
    place: str
