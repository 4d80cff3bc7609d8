"""The trace of one trial: lanes, the spans and points on them, and sampled series.

One thread fills a `Trace` (the live reader, or the session file when it is opened), and any thread may read it. Times
are `perf_counter_ns` of the measuring machine, int64; subtract `origin_ns` before going to float.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, NamedTuple

from loaderscope.agent.layout import State
from loaderscope.agent.ranges import Name, OneOf, Range, TimeNs
from loaderscope.facts.lanes import LANE_KINDS, READY, WAITING_FOR_EARLIER
from loaderscope.facts.recorded_use import ProcessUse
from loaderscope.trace.columns import Columns
from loaderscope.trace.stored_columns import StoredColumns

SPAN_COLUMNS = {"start_ns": "i8", "end_ns": "i8", "state": "u2", "batch": "i8", "value": "i8"}
"""`batch` is a batch id (see `batch_id`) or -1. `value` depends on the state: FETCH and PIN thread CPU ns (-1 unknown);
SERIALISE, TRANSMIT, PICKLE, RECEIVE bytes; WAIT batches outstanding after it; START_WORKER the child's pid; EPOCH batches;
`NAMED_STATES` the number of a name; ITERATOR and SHUTDOWN the epoch; else 0. Spans that were
still open when the trial ended have -1 where only the end of the span has the value."""

POINT_COLUMNS = {"time_ns": "i8", "state": "u2", "batch": "i8", "value": "i8"}
"""SAMPLE: value = sample index; INDEX_PUT and ARRIVE: value = worker; DEVICE_ANCHOR: value = error bound in ns;
EXACT_WINDOW: value = steps that were asked for; CONTENTS: value = `layout.tensors_and_bytes`."""

SERIES_COLUMNS = {"time_ns": "i8", "value": "f8"}

STATE_NAMES = {int(state): state.name.lower() for state in State} | {WAITING_FOR_EARLIER: "waiting for earlier", READY: "ready"}

EPOCH_SHIFT = 40
"""Bits of a batch id below the epoch."""

MOST_LANES = 1 << 24
"""Limit for the lanes of a trace: one for each worker and each queue slot, and a few others."""

NAMES_OF_A_LOADER = 1 << 32
"""A trace of several loaders has room for this many names of each."""

NO_GPU_USED = "gpu_devices"
"""Key of `Trace.unavailable` for a trial that uses no GPU although figures of GPUs were sampled."""


def batch_id(epoch: int, batch: int) -> int:
    """Returns one number for a batch of a trial; these numbers sort by epoch, then by batch."""
    return (epoch << EPOCH_SHIFT) | batch


def epoch_and_batch(identifier: int) -> tuple[int, int]:
    """Returns the epoch of a batch id, and the batch within that epoch."""
    return identifier >> EPOCH_SHIFT, identifier & ((1 << EPOCH_SHIFT) - 1)


class TrackKey(NamedTuple):
    """A lane and a nesting depth. The spans of a track do not overlap, and they are sorted by start.

    Depth 0 is the outermost that timelines draw; EPOCH spans of main lie at `lane_table.BRACKET_DEPTH`, below 0. See `lane_table.DEPTHS`.
    """

    lane: str
    depth: int


@dataclasses.dataclass(frozen=True)
class Lane:
    """One row of the timeline.

    Keys: `main`, `worker-0` ..., `pin`, `device-step`, `device-stream`, `device-transfer`, `device-overlap`, `device-exact`, `flight-0`
    ... (one a queue slot), `forkserver`; `step` repeats main's STEP spans as a lane of its own where no device reports its busy periods.
    """

    key: Name
    kind: Annotated[str, OneOf(tuple(kind.key for kind in LANE_KINDS))]
    label: Name
    order: Annotated[int, Range(-MOST_LANES, MOST_LANES)]  # default position, small first
    group: str = ""  # title of the lanes of one loader, where a timeline shows several loaders; never stored


@dataclasses.dataclass(frozen=True)
class ProcessInfo:
    """One process of the trial; a worker number has one process an epoch unless workers persist."""

    name: Name  # main, worker-0 ..., forkserver
    pid: int
    started_ns: TimeNs
    ended_ns: TimeNs | None = None


@dataclasses.dataclass(frozen=True)
class SeriesInfo:
    """A sampled quantity. `key` is e.g. `cpu/worker-0`, `uss/main`, `gpu-0/utilisation`, `queue_depth`."""

    key: Name
    group: Name  # series of one group share a plot: cpu, memory, gpu_utilisation, queue_depth ...
    label: Name
    unit: Name  # "%", "bytes", "W", "batches", "MHz", "°C", "bytes/s" ...
    process: Name | None = None
    window_ns: Annotated[int, Range(0, 10**15)] = 0  # a value is the mean over [time - window, time]; 0: the value at that moment


@dataclasses.dataclass(frozen=True)
class OpenSpan:
    """A span that has begun and not yet ended."""

    lane: str
    depth: int
    state: int
    start_ns: int
    batch: int


@dataclasses.dataclass(frozen=True)
class Warned:
    """A warning or log message of the user's code in one process, and how often it came.

    Attributes:
        process: main, worker-0 ...; None for another process or thread.
        kind: the category of a Python warning, or the level of a record of logging.
        place: "file:line"; empty if unknown.
        text: the message; `layout.REST` for messages beyond the number that the agent keeps.
        first_ns: when it came first.
    """

    process: str | None
    kind: str
    place: str
    text: str
    first_ns: int
    count: int


def loader_prefix(lane: str) -> str:
    """Returns what precedes the keys of a loader's lanes in a trace of several loaders; empty in a trace of one."""
    return lane[: lane.rfind("/") + 1]


def name_number(prefix: str, number: int) -> int:
    """Returns the number, in a trace of several loaders, of a name in the trace of the loader with a prefix."""
    return int(prefix[:-1] or 0) * NAMES_OF_A_LOADER + number


class ForgottenSpans(NamedTuple):
    """The spans that a long recording no longer has in memory: their number, how many of them have a batch, and their time."""

    spans: int
    with_batch: int
    time_ns: int


class Trace:
    """Everything recorded of one trial.

    Attributes:
        origin_ns: zero of the time axis (the first record).
        newest_ns: time of the newest record of any process; if it stays the same for long, the trial hangs.
        version: grows with every addition.
        warned: warnings and log messages of the user's code, in the order of their first occurrence.
        unavailable: for each sampled group that could not be measured, the reason in one sentence.
        forgotten: by track and state, the spans that were stored and are no longer in memory.
        thinned_ns: ranges of time of which only the sums are stored, ascending; see `session/thinning.py`.
        process_use: what a training spent on its loaders, in a trace of several loaders once that is known; never stored.
    """

    def __init__(self) -> None:
        self.origin_ns: int | None = None
        self.newest_ns: int = 0
        self.version: int = 0
        self.lanes: dict[str, Lane] = {}
        self.processes: list[ProcessInfo] = []
        self.tracks: dict[TrackKey, Columns] = {}
        self.points: dict[str, Columns] = {}  # by lane key
        self.series: dict[str, tuple[SeriesInfo, Columns]] = {}
        self.open_spans: tuple[OpenSpan, ...] = ()
        self.names: dict[int, str] = {}
        self.warned: tuple[Warned, ...] = ()  # filled in a live trace only; a session keeps it in the trial's row
        self.unavailable: dict[str, str] = {}
        self.notes: list[str] = []  # sentences about the recording itself (a full disk, holes)
        self.record_count: int = 0
        self.forgotten: dict[tuple[TrackKey, int], ForgottenSpans] = {}
        self.thinned_ns: tuple[tuple[int, int], ...] = ()
        self.process_use: ProcessUse | None = None

    def track(self, lane: Lane, depth: int) -> Columns:
        """Returns the spans of a lane at a depth; makes the lane and the track if they are new."""
        key = TrackKey(lane.key, depth)
        if key not in self.tracks:
            self.lanes.setdefault(lane.key, lane)
            self.tracks[key] = Columns(SPAN_COLUMNS)
        return self.tracks[key]

    def points_of(self, lane: Lane) -> Columns:
        """Returns the points on a lane; makes the lane if it is new."""
        if lane.key not in self.points:
            self.lanes.setdefault(lane.key, lane)
            self.points[lane.key] = Columns(POINT_COLUMNS)
        return self.points[lane.key]

    def series_of(self, info: SeriesInfo) -> Columns:
        """Returns the values of a series; makes the series if it is new."""
        if info.key not in self.series:
            self.series[info.key] = (info, Columns(SERIES_COLUMNS))
        return self.series[info.key][1]

    def of_loader(self, prefix: str) -> Trace:
        """Returns the trace of one of several loaders with its own keys, as views of this trace; this trace itself for an empty prefix."""
        if not prefix:
            return self
        trace = Trace()
        trace.__dict__.update(self.__dict__)
        trace.lanes = {key.removeprefix(prefix): lane for key, lane in list(self.lanes.items()) if key.startswith(prefix)}
        trace.tracks = {
            TrackKey(key.lane.removeprefix(prefix), key.depth): columns
            for key, columns in list(self.tracks.items())
            if key.lane.startswith(prefix)
        }
        trace.points = {key.removeprefix(prefix): points for key, points in list(self.points.items()) if key.startswith(prefix)}
        return trace

    def name(self, lane: str, number: int) -> str | None:
        """Returns the name that a span of a lane has by its number."""
        return self.names.get(name_number(loader_prefix(lane), number))

    @property
    def is_stored(self) -> bool:
        """Whether spans or points stay in a file; a part of such a trace is in memory."""
        return any(isinstance(table, StoredColumns) for table in [*self.tracks.values(), *self.points.values()])

    def part(self, start_ns: int, end_ns: int) -> Trace:
        """Returns a trace in memory of the spans and points that touch [start_ns, end_ns). It shares all else with this one.

        Raises:
            SessionError: the file of a stored trace is damaged or was closed.
        """
        part = Trace()
        part.__dict__.update(self.__dict__)
        part.tracks = {key: _part(columns, SPAN_COLUMNS, start_ns, end_ns) for key, columns in list(self.tracks.items())}
        part.points = {key: _part(columns, POINT_COLUMNS, start_ns, end_ns) for key, columns in list(self.points.items())}
        return part

    def forgotten_spans(self, lane: str, *states: State) -> ForgottenSpans:
        """Returns what is known of the forgotten spans of a lane in any of the states."""
        spans = [
            ForgottenSpans(0, 0, 0),
            *(spans for (key, state), spans in self.forgotten.items() if key.lane == lane and state in states),
        ]
        return ForgottenSpans(*(sum(column) for column in zip(*spans, strict=True)))

    @property
    def span_count(self) -> int:
        return sum(len(columns) for columns in list(self.tracks.values()))

    @property
    def byte_count(self) -> int:
        """Bytes of memory that the spans, points and values take."""
        tables = [*self.tracks.values(), *self.points.values(), *(values for _, values in list(self.series.values()))]
        return sum(table.byte_count for table in tables)

    @property
    def end_ns(self) -> int:
        """End of the time axis: the newest record, or the origin where there is none."""
        return max(self.newest_ns, self.origin_ns or 0)


def _part(columns: Columns, dtypes: dict[str, str], start_ns: int, end_ns: int) -> Columns:
    part = Columns(dtypes)
    if len(columns):
        part.adopt(**columns.rows(*columns.rows_touching(start_ns, end_ns)))
    return part
