"""Says which batches are late, and explains each wait of the main process: which worker made the batch, and what it did meanwhile.

A batch goes through one stage after another: its worker starts, waits for indices, fetches, collates and sends (earlier batches
are done by then, because main waits for those first); then main receives it, and draws the indices of a later batch from the
sampler before `next` returns. The ends of these stages, clipped to the wait, divide the wait without a gap, so the charged times
always add up to it. With 0 workers main draws the indices, fetches and collates within the wait itself. The `next` that ends an
epoch returns no batch and is left out here.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import LOADING_LANES, Int64Array, SpanColumns, spans_of, worker_lanes
from loaderscope.analysis.startup.first_batch import ONCE_PHASES, PIN_LANE
from loaderscope.facts.evidence import LateBatch
from loaderscope.trace.model import EPOCH_SHIFT, SPAN_COLUMNS, Trace, epoch_and_batch

NS = 1e-9

MAIN = "main"

NO_WORKER = -1

LATE_FACTOR = 4.0
"""A wait is late, and a fetch slow, if it takes this many times the median."""

MIN_SLOW_FETCH_NS = 5_000_000
"""A shorter fetch never counts as slow: the system's scheduling of processes alone can add that much."""

_NEAR_ROWS = 4096
"""The last spans of a lane before a wait that can belong to its batch: a few for each prefetched batch."""

MOST_EXPLAINED = 100
"""Waits of a stored trace that are explained."""

_LONGEST_MAKING_NS = 3 * 10**9
"""The spans of a batch of a stored trace are searched from this long before the wait for it, and the longest wait, on."""

_ROWS_AT_ONCE = 1 << 18

_NEVER = int(np.iinfo(np.int64).min)


class Cause(enum.IntEnum):
    """The stages of a batch to which a wait is charged, in their order."""

    START = 0  # its worker starts
    INDEX = 1  # its worker has no indices yet
    FETCH = 2
    COLLATE = 3
    SEND = 4  # its worker serialises it and writes it into the pipe, and blocks while the pipe is full
    QUEUE = 5  # it was sent, and main unpacks (or pins) other batches
    RECEIVE = 6  # it is under way, being unpacked or pinned
    SAMPLER = 7  # main draws indices: of this batch with 0 workers; else it has the batch, and draws and hands out those of a later one
    UNKNOWN = 8  # not recorded


class AllWaits(NamedTuple):
    """All waits of a trial: their number, their time, and the duration above which a wait is late."""

    number: int
    total_ns: int
    late_from_ns: float

    @classmethod
    def of(cls, durations_ns: npt.NDArray[Any]) -> AllWaits:
        """Counts waits. A late one is much longer than the median and than the mean; in bursts, most waits take almost no time."""
        if not len(durations_ns):
            return cls(0, 0, 0.0)
        late_from_ns = max(LATE_FACTOR * float(np.median(durations_ns)), float(durations_ns.mean()))
        return cls(len(durations_ns), int(durations_ns.sum()), late_from_ns)


@dataclasses.dataclass(frozen=True)
class Waits:
    """Waits that returned a batch, as parallel columns sorted by start.

    Attributes:
        batch: batch id.
        worker: number of the worker that made the batch; `NO_WORKER` with 0 workers or if unknown.
        charged_ns: (waits, causes), nanoseconds by `Cause`; rows sum to the wait.
        cause: the cause of most of the wait.
        cause_end_ns: when the worker finished that stage, or, for stages of main, when the batch left the worker; -1 without a worker.
        fetch_start_ns, fetch_end_ns: the fetch of the batch; -1 if unknown.
        held_up: later batches that had already arrived and lay ready at the end of the wait.
        held_up_ns: nanoseconds of the wait during which any later batch lay ready.
    """

    start_ns: Int64Array
    end_ns: Int64Array
    batch: Int64Array
    worker: Int64Array
    charged_ns: Int64Array
    cause: Int64Array
    cause_end_ns: Int64Array
    fetch_start_ns: Int64Array
    fetch_end_ns: Int64Array
    held_up: Int64Array
    held_up_ns: Int64Array

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def duration_ns(self) -> Int64Array:
        return self.end_ns - self.start_ns

    def pick(self, rows: npt.NDArray[np.generic]) -> Waits:
        """Returns the rows of a mask or an index array."""
        return dataclasses.replace(self, **{name: column[rows] for name, column in self.columns().items()})

    def columns(self) -> dict[str, Int64Array]:
        """Returns the columns by their names."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(Waits)}

    @property
    def all_waits(self) -> AllWaits:
        """All waits of the trial, if these are a trial's."""
        return AllWaits.of(self.duration_ns)

    def costliest(self, count: int) -> Int64Array:
        """Returns the row numbers of the longest waits, longest first; among equals the earlier one first."""
        duration = self.duration_ns
        if count < len(duration):
            least = np.partition(duration, len(duration) - count)[len(duration) - count]
            rows = np.flatnonzero(duration >= least)
        else:
            rows = np.arange(len(duration))
        return rows[np.argsort(-duration[rows], kind="stable")][:count]


@dataclasses.dataclass(frozen=True)
class LongestWaits(Waits):
    """The longest waits of a trial that has too many to explain all, and what is known of all of them."""

    of_all: AllWaits = dataclasses.field(kw_only=True)

    @property
    def all_waits(self) -> AllWaits:
        return self.of_all


def find_waits(trace: Trace, pause: Callable[[], object] = lambda: None) -> Waits:
    """Returns every wait of a trial that returned a batch; of a stored trace, which has too many, the `MOST_EXPLAINED` longest.

    Args:
        trace: of the trial.
        pause: called between the readings of a stored trace, which take seconds.
    """
    if trace.is_stored:
        return _find_longest_waits(trace, pause)
    waits = spans_of(trace, MAIN, State.WAIT)
    return explain(trace, waits.pick(waits.batch >= 0))


def _find_longest_waits(trace: Trace, pause: Callable[[], object]) -> Waits:
    """Returns the longest waits of a stored trace. It decodes main's lane once, and other lanes only around these waits."""
    longest, durations_ns = spans_of(Trace(), MAIN), []
    for key, columns in list(trace.tracks.items()):
        for first in range(0, len(columns) if key.lane == MAIN else 0, _ROWS_AT_ONCE):
            pause()
            view = columns.rows(first, first + _ROWS_AT_ONCE)
            rows = np.flatnonzero((view["state"] == int(State.WAIT)) & (np.asarray(view["batch"], np.int64) >= 0))
            new = SpanColumns(*(view[name][rows].astype(np.int64) for name in SPAN_COLUMNS))
            durations_ns.append((new.end_ns - new.start_ns).astype(np.float64))
            both = SpanColumns(*(np.concatenate(pair) for pair in zip(longest, new, strict=True)))
            longest = both.pick(np.argsort(both.start_ns - both.end_ns, kind="stable")[:MOST_EXPLAINED])
    longest = longest.pick(np.argsort(longest.start_ns, kind="stable"))
    parts = [explain(trace.part(0, 0), longest.pick(np.zeros(0, np.int64)))]
    reach_ns = _LONGEST_MAKING_NS + int((longest.end_ns - longest.start_ns).max(initial=0))
    starts_group = np.flatnonzero(np.diff(longest.start_ns, prepend=-reach_ns) >= reach_ns)
    for begin, end in itertools.pairwise([*starts_group.tolist(), longest.size]):
        pause()
        group = longest.pick(np.arange(begin, end))
        parts.append(explain(trace.part(int(group.start_ns[0]) - reach_ns, int(group.end_ns[-1]) + 1), group))
    joined = {name: np.concatenate([part.columns()[name] for part in parts]) for name in parts[0].columns()}
    return LongestWaits(**joined, of_all=AllWaits.of(np.concatenate([np.empty(0), *durations_ns])))


def explain(trace: Trace, waits: SpanColumns) -> Waits:
    """Explains WAIT spans of main, each with its batch, sorted by start. The time that this takes grows with the spans around them."""
    batches = _WaitBatches(waits)
    arrivals = _arrivals(trace, batches)
    row = batches.last_rows(arrivals.batch)
    arrived_ns = np.where(row >= 0, _values_at(arrivals.time_ns, row), waits.end_ns)
    made = _find_making(trace, batches, np.where(row >= 0, _values_at(arrivals.worker, row), NO_WORKER))
    held_up, held_up_ns = _find_held_up(trace, waits, batches, arrivals, arrived_ns)
    sent_ns = np.where(made.sent_ns == _NEVER, made.collated_ns, made.sent_ns)
    edges = np.stack([made.started_ns, made.fetch_start_ns, made.fetch_end_ns, made.collated_ns, sent_ns, arrived_ns])
    clipped = np.clip(edges, waits.start_ns, waits.end_ns)
    inside = np.maximum.accumulate(np.concatenate([waits.start_ns[None], clipped, waits.end_ns[None]]))
    parts = np.diff(inside, axis=0)
    charged = np.zeros((len(Cause), waits.size), np.int64)
    charged[: Cause.RECEIVE] = parts[: Cause.RECEIVE]
    charged[Cause.SAMPLER] = parts[-1]
    unpacking = [_spans_near(trace, lane, batches, State.DESERIALISE, State.PIN) for lane in (*LOADING_LANES, PIN_LANE)]
    unpacked = next((spans for spans in unpacking if spans), unpacking[0])
    row = batches.last_rows(unpacked.batch)
    begun_ns = np.clip(np.where(row >= 0, _values_at(unpacked.start_ns, row), arrived_ns), inside[-3], inside[-2])
    queued = np.minimum(_covered_ns(unpacked, begun_ns) - _covered_ns(unpacked, inside[-3]), charged[Cause.QUEUE])
    _recharge(charged, Cause.QUEUE, Cause.RECEIVE, charged[Cause.QUEUE] - queued)
    _recharge(charged, Cause.INDEX, Cause.SAMPLER, np.where(made.in_main, charged[Cause.INDEX], 0))
    _recharge(charged, Cause.SEND, Cause.UNKNOWN, np.where(made.fetched, 0, charged[Cause.SEND]))
    _recharge(charged, Cause.RECEIVE, Cause.UNKNOWN, np.where((sent_ns == _NEVER) & (row < 0), charged[Cause.RECEIVE], 0))
    cause = charged.argmax(axis=0)
    ends = np.concatenate([edges[: Cause.QUEUE], np.tile(sent_ns, (len(Cause) - Cause.QUEUE, 1))])
    cause_end_ns = ends[cause, np.arange(waits.size)]
    return Waits(
        start_ns=waits.start_ns,
        end_ns=waits.end_ns,
        batch=waits.batch,
        worker=made.worker,
        charged_ns=charged.T,
        cause=cause,
        cause_end_ns=np.where((made.worker == NO_WORKER) | (cause_end_ns == _NEVER), -1, cause_end_ns),
        fetch_start_ns=np.where(made.fetched, made.fetch_start_ns, -1),
        fetch_end_ns=np.where(made.fetched, made.fetch_end_ns, -1),
        held_up=held_up,
        held_up_ns=held_up_ns,
    )


def long_waits(waits: Waits) -> Waits:
    """Returns the late ones of the waits of a trial."""
    return waits.pick(waits.duration_ns > waits.all_waits.late_from_ns)


def slowly_fetched(waits: Waits, median_fetch_ns: float) -> Waits:
    """Returns the waits for batches with a slow fetch, as far as main waited longer than a usual fetch takes."""
    fetch_ns = waits.fetch_end_ns - waits.fetch_start_ns
    return waits.pick((fetch_ns > _slow_fetch_limit_ns(median_fetch_ns)) & (waits.duration_ns > median_fetch_ns))


def is_slow_fetch(fetch_s: float, usual_s: float) -> bool:
    """Returns whether a fetch is slow beside the usual one."""
    return fetch_s > _slow_fetch_limit_ns(usual_s / NS) * NS


def _slow_fetch_limit_ns(usual_ns: float) -> float:
    return max(LATE_FACTOR * usual_ns, MIN_SLOW_FETCH_NS)


def ready_at(trace: Trace, wait: SpanColumns) -> Int64Array:
    """Returns the ids of the batches that lay ready when a single wait ended, in order of delivery."""
    batches = _WaitBatches(wait)
    arrivals = _arrivals(trace, batches)
    end_ns = int(wait.end_ns[0])
    ready: Int64Array = np.sort(arrivals.batch[(arrivals.time_ns <= end_ns) & (_handed_out_ns(trace, batches, arrivals) > end_ns)])
    return ready


def late_batch(trace: Trace, waits: Waits, row: int) -> LateBatch:
    """Returns one wait as plain values, with the slowest sample of its fetch."""
    epoch, batch = epoch_and_batch(int(waits.batch[row]))
    worker, fetch_ns = int(waits.worker[row]), (int(waits.fetch_start_ns[row]), int(waits.fetch_end_ns[row]))
    sample, sample_ns = slowest_sample(trace, lane_of(worker), *fetch_ns) or (None, None)
    return LateBatch(
        epoch=epoch,
        batch=batch,
        worker=worker if worker != NO_WORKER else None,
        wait_s=int(waits.end_ns[row] - waits.start_ns[row]) * NS,
        fetch_s=(fetch_ns[1] - fetch_ns[0]) * NS,
        sample=sample,
        sample_s=sample_ns * NS if sample_ns is not None else None,
        start_s=(int(waits.start_ns[row]) - (trace.origin_ns or 0)) * NS,
        cause=Cause(waits.cause[row]).name.lower(),
        charged_s={cause.name.lower(): int(ns) * NS for cause, ns in zip(Cause, waits.charged_ns[row], strict=True) if ns},
        held_up=int(waits.held_up[row]),
        held_up_s=int(waits.held_up_ns[row]) * NS,
    )


def lane_of(worker: int) -> str:
    """Returns the lane of a worker; main's lane for `NO_WORKER`."""
    return MAIN if worker == NO_WORKER else f"worker-{worker}"


def slowest_sample(trace: Trace, lane: str, start_ns: int, end_ns: int) -> tuple[int | None, int] | None:
    """Returns index (None if it is no number) and duration in ns of a fetch's slowest sample; None if no samples were recorded.

    A sample ends where the next begins, or with the fetch.
    """
    points = trace.points.get(lane)
    if points is None:
        return None
    view = points.view()
    low, high = view["time_ns"].searchsorted(np.array([start_ns, end_ns], np.int64)).tolist()
    rows = np.flatnonzero(view["state"][low:high] == int(State.SAMPLE)) + low
    if not len(rows):
        return None
    duration_ns = np.diff(np.append(view["time_ns"][rows].astype(np.int64), np.int64(end_ns)))
    slowest = int(duration_ns.argmax())
    sample = int(view["value"][rows[slowest]])
    return sample if sample >= 0 else None, int(duration_ns[slowest])


class _WaitBatches:
    """The batches of some waits, and the range of time in which their spans are searched."""

    def __init__(self, waits: SpanColumns) -> None:
        self.low_ns = int(waits.start_ns[0]) if waits else 0
        self.high_ns = int(waits.end_ns[-1]) if waits else 0
        self.batch = waits.batch
        self._order = np.argsort(waits.batch, kind="stable")

    def last_rows(self, batch: Int64Array) -> Int64Array:
        """Returns for each wait the last row of `batch` that is its batch, or -1."""
        return _last_rows_with(self.batch, batch, self._order)


def _last_rows_with(batch: Int64Array, candidates: Int64Array, order: Int64Array | None = None) -> Int64Array:
    """Returns for each batch the last row of `candidates` that equals it, or -1; `order` sorts the batches."""
    rows = np.full(len(batch), -1)
    order = np.argsort(batch, kind="stable") if order is None else order
    if len(batch) and len(candidates):
        ordered = batch[order]
        place = np.minimum(ordered.searchsorted(candidates), len(batch) - 1)
        hits = np.flatnonzero(ordered[place] == candidates)
        rows[order[place[hits]]] = hits
    return rows


@dataclasses.dataclass
class _Making:
    """When the batch of each wait was made, and by which worker; `_NEVER` if a time is unknown."""

    worker: Int64Array
    in_main: npt.NDArray[np.bool_]
    started_ns: Int64Array  # end of the worker's start-up
    fetch_start_ns: Int64Array
    fetch_end_ns: Int64Array
    collated_ns: Int64Array  # the end of the fetch if there is no collate
    sent_ns: Int64Array

    @property
    def fetched(self) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = self.fetch_start_ns != _NEVER
        return known


def _find_making(trace: Trace, batches: _WaitBatches, worker: Int64Array) -> _Making:
    """Finds when and by which worker each batch was made; `worker` is the sender that main recorded, else `NO_WORKER`."""
    made = _Making(worker.copy(), np.zeros(len(batches.batch), np.bool_), *(np.full(len(batches.batch), _NEVER) for _ in range(5)))
    known = set(np.unique(worker).tolist())
    lanes = {number: lane for number, lane in worker_lanes(trace).items() if NO_WORKER in known or number in known}
    for number, lane in {NO_WORKER: MAIN, **lanes}.items():
        spans = _spans_near(trace, lane, batches, State.FETCH, State.COLLATE, State.SEND, State.TRANSMIT, *ONCE_PHASES)
        sends, fetches, collates = (spans.pick(spans.state == int(state)) for state in (State.SEND, State.FETCH, State.COLLATE))
        # the put (SEND) may return before the queue's thread has written the batch (TRANSMIT)
        for sent in (sends, spans.pick(spans.state == int(State.TRANSMIT))):
            row = batches.last_rows(sent.batch)
            made.sent_ns[row >= 0] = sent.end_ns[row[row >= 0]]
            made.worker[row >= 0] = number
        row = batches.last_rows(fetches.batch)
        mine, row = np.flatnonzero(row >= 0), row[row >= 0]
        made.worker[mine] = number
        made.in_main[mine] = number == NO_WORKER
        made.fetch_start_ns[mine], made.fetch_end_ns[mine] = fetches.start_ns[row], fetches.end_ns[row]
        row = batches.last_rows(collates.batch)[mine]
        made.collated_ns[mine] = np.where(row >= 0, _values_at(collates.end_ns, row), made.fetch_end_ns[mine])
        if number != NO_WORKER:
            begun_ns = made.fetch_start_ns[mine]
            made.started_ns[mine] = _last_end(spans.pick(_state_mask(tuple(ONCE_PHASES)).take(spans.state, mode="clip")), begun_ns)
    return made


def _spans_near(trace: Trace, lane: str, batches: _WaitBatches, *states: State) -> SpanColumns:
    """Returns the spans of a lane in these states that may belong to the batches of the waits."""
    mask = _state_mask(states)
    parts: list[list[Int64Array]] = []
    for key, columns in list(trace.tracks.items()):
        if key.lane != lane:
            continue
        view = columns.view()
        low, high = view["start_ns"].searchsorted(np.array([batches.low_ns, batches.high_ns], np.int64)).tolist()
        low = max(low - _NEAR_ROWS, 0)
        rows = np.flatnonzero(mask.take(np.asarray(view["state"][low:high]), mode="clip")) + low
        parts.append([view[name][rows].astype(np.int64) for name in SPAN_COLUMNS])
    if not parts:
        return SpanColumns(*(np.empty(0, np.int64) for _ in SPAN_COLUMNS))
    joined = SpanColumns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return joined.pick(np.argsort(joined.start_ns, kind="stable"))


@functools.lru_cache(maxsize=16)
def _state_mask(states: tuple[State, ...]) -> npt.NDArray[np.bool_]:
    """Returns an array that is True at the numbers of states and ends with a False; indexing it is several times quicker than `np.isin`."""
    table = np.zeros(max(State) + 2, np.bool_)
    table[[int(state) for state in states]] = True
    return table


class _Arrivals(NamedTuple):
    """When each batch arrived in main, in order of time, and the worker that sent it."""

    time_ns: Int64Array
    batch: Int64Array
    worker: Int64Array


def _arrivals(trace: Trace, batches: _WaitBatches) -> _Arrivals:
    if MAIN not in trace.points:
        return _Arrivals(*(np.empty(0, np.int64) for _ in range(3)))
    view = trace.points[MAIN].view()
    low, high = view["time_ns"].searchsorted(np.array([batches.low_ns, batches.high_ns], np.int64)).tolist()
    low = max(low - _NEAR_ROWS, 0)
    rows = np.flatnonzero(view["state"][low:high] == int(State.ARRIVE)) + low
    return _Arrivals(*(view[name][rows].astype(np.int64) for name in ("time_ns", "batch", "value")))


def _find_held_up(
    trace: Trace, waits: SpanColumns, batches: _WaitBatches, arrivals: _Arrivals, arrived_ns: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Returns how many batches lay ready at the end of each wait, and for how many ns of it any lay ready."""
    if not waits or not len(arrivals.time_ns):
        return np.zeros(waits.size, np.int64), np.zeros(waits.size, np.int64)
    gone_ns = np.sort(_handed_out_ns(trace, batches, arrivals))

    def ready(time_ns: Int64Array) -> Int64Array:
        return arrivals.time_ns.searchsorted(time_ns, "right") - gone_ns.searchsorted(time_ns, "right")

    count = ready(waits.end_ns)
    already = ready(waits.start_ns) - (arrived_ns <= waits.start_ns) > 0
    first = np.minimum(arrivals.time_ns.searchsorted(waits.start_ns, "right"), len(arrivals.time_ns) - 1)
    since_ns = np.where(already, waits.start_ns, np.maximum(arrivals.time_ns[first], waits.start_ns))
    held = (count > 0) & (arrived_ns > waits.start_ns)
    return count, np.where(held, np.maximum(waits.end_ns - since_ns, 0), 0)


def _handed_out_ns(trace: Trace, batches: _WaitBatches, arrivals: _Arrivals) -> Int64Array:
    """Returns when main handed out each arrived batch; the far future if it did not (yet)."""
    handed = _spans_near(trace, MAIN, batches, State.WAIT)
    handed = handed.pick(handed.batch >= 0)
    # batches left over from an epoch that was cut short vanish with the first wait of the next epoch
    following = (handed.batch >> EPOCH_SHIFT).searchsorted(arrivals.batch >> EPOCH_SHIFT, "right")
    gone_ns = np.append(handed.start_ns, np.iinfo(np.int64).max)[following]
    row = _last_rows_with(arrivals.batch, handed.batch)
    gone_ns[row >= 0] = handed.end_ns[row[row >= 0]]
    return gone_ns


def _covered_ns(spans: SpanColumns, time_ns: Int64Array) -> Int64Array:
    """Returns how many ns before each time are covered by spans that do not overlap."""
    if not spans:
        return np.zeros(len(time_ns), np.int64)
    total_ns = np.append(0, np.cumsum(spans.end_ns - spans.start_ns))
    count = spans.start_ns.searchsorted(time_ns, "right")
    over_ns = np.maximum(spans.end_ns[count - 1] - time_ns, 0)
    return np.where(count > 0, total_ns[count] - over_ns, 0)


def _last_end(spans: SpanColumns, time_ns: Int64Array) -> Int64Array:
    """Returns the last end of spans at or before each time, or `_NEVER`."""
    ends = np.sort(spans.end_ns)
    return np.append(_NEVER, ends)[ends.searchsorted(time_ns, "right")]


def _values_at(column: Int64Array, rows: Int64Array) -> Int64Array:
    """Returns the values at rows; an arbitrary value at -1."""
    return np.append(column, _NEVER)[rows]


def _recharge(charged: Int64Array, source: Cause, target: Cause, ns: Int64Array) -> None:
    charged[source] -= ns
    charged[target] += ns
