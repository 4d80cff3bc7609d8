"""What the start of a loader cost, by phase, import and line: a part of the results of a trial."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.ranges import Bytes, Count, Name, Seconds, Share


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
