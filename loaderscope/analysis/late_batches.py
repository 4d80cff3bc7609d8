"""What each wait of the main process was spent on: which worker made the batch, and what it was at meanwhile.

A batch goes through one thing after another: its worker starts, waits for indices, fetches, collates and sends (with the
batches before it is done, as main waits for those first); then main receives it, and draws the indices of a later batch
from the sampler before `next` returns. The ends of these, cut at the edges of the wait, divide it without a gap, so what is
charged always adds up to the wait. With 0 workers main draws the indices, fetches and collates within the wait itself. The
`next` that ends an epoch brings no batch and is not looked at here.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import Int64Array, SpanColumns, spans_of, worker_lanes
from loaderscope.analysis.startup.first_batch import ONCE_PHASES, PIN_LANE
from loaderscope.facts.results import LateBatch
from loaderscope.trace.model import EPOCH_SHIFT, SPAN_COLUMNS, Trace, epoch_and_batch

NS = 1e-9

MAIN = "main"

NO_WORKER = -1

_NEAR_ROWS = 4096
"""How many spans of a lane before a wait can belong to its batch: a few for each batch that is prefetched."""

_NEVER = int(np.iinfo(np.int64).min)


class Cause(enum.IntEnum):
    """What a part of a wait was spent on, in the order in which a batch goes through it."""

    START = 0  # its worker starts
    INDEX = 1  # its worker has no indices yet
    FETCH = 2
    COLLATE = 3
    SEND = 4  # serialised and written into the pipe, blocked while that is full
    QUEUE = 5  # sent, while main unpacks (or pins) other batches
    RECEIVE = 6  # under way, unpacked or pinned
    SAMPLER = 7  # main draws indices: of this batch with 0 workers; else it has the batch, and hands out those of a later one
    UNKNOWN = 8  # not recorded


@dataclasses.dataclass(frozen=True)
class Waits:
    """Waits that brought a batch, as parallel columns sorted by start.

    Attributes:
        batch: batch id.
        worker: who made the batch, or `NO_WORKER` with 0 workers and where it is not known.
        charged_ns: (waits, causes), nanoseconds by `Cause`; rows sum to the wait.
        cause: the cause that most of the wait is charged to.
        cause_end_ns: when the worker was done with that; where it is main's own, when the batch left the worker; -1 without one.
        fetch_start_ns, fetch_end_ns: the fetch of the batch, -1 where it is not known.
        held_up: batches that had arrived before this one and lay ready behind it at the end of the wait.
        held_up_ns: how much of the wait such batches lay ready.
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
        """The rows of a mask or an index array."""
        return Waits(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def costliest(self, count: int) -> Int64Array:
        """Rows of the longest waits, longest first, the earlier first among equals."""
        duration = self.duration_ns
        if count < len(duration):
            least = np.partition(duration, len(duration) - count)[len(duration) - count]
            rows = np.flatnonzero(duration >= least)
        else:
            rows = np.arange(len(duration))
        return rows[np.argsort(-duration[rows], kind="stable")][:count]


def find_waits(trace: Trace) -> Waits:
    """Every wait of a trial that brought a batch."""
    waits = spans_of(trace, MAIN, State.WAIT)
    return explain(trace, waits.pick(waits.batch >= 0))


def explain(trace: Trace, waits: SpanColumns) -> Waits:
    """What these WAIT spans of main, sorted by start and each with its batch, were spent on. Costs what lies around them."""
    join = _Join(waits)
    arrivals = _arrivals(trace, join)
    row = join(arrivals.batch)
    arrived_ns = np.where(row >= 0, _take(arrivals.time_ns, row), waits.end_ns)
    made = _find_made(trace, join, np.where(row >= 0, _take(arrivals.worker, row), NO_WORKER))
    held_up, held_up_ns = _find_held_up(trace, waits, join, arrivals, arrived_ns)
    sent_ns = np.where(made.sent_ns == _NEVER, made.collated_ns, made.sent_ns)
    edges = np.stack([made.started_ns, made.fetch_start_ns, made.fetch_end_ns, made.collated_ns, sent_ns, arrived_ns])
    clipped = np.clip(edges, waits.start_ns, waits.end_ns)
    inside = np.maximum.accumulate(np.concatenate([waits.start_ns[None], clipped, waits.end_ns[None]]))
    parts = np.diff(inside, axis=0)
    charged = np.zeros((len(Cause), waits.size), np.int64)
    charged[: Cause.RECEIVE] = parts[: Cause.RECEIVE]
    charged[Cause.SAMPLER] = parts[-1]
    unpacked = _near(trace, MAIN, join, State.DESERIALISE) or _near(trace, PIN_LANE, join, State.PIN)
    row = join(unpacked.batch)
    begun_ns = np.clip(np.where(row >= 0, _take(unpacked.start_ns, row), arrived_ns), inside[-3], inside[-2])
    queued = np.minimum(_covered_ns(unpacked, begun_ns) - _covered_ns(unpacked, inside[-3]), charged[Cause.QUEUE])
    _move(charged, Cause.QUEUE, Cause.RECEIVE, charged[Cause.QUEUE] - queued)
    _move(charged, Cause.INDEX, Cause.SAMPLER, np.where(made.in_main, charged[Cause.INDEX], 0))
    _move(charged, Cause.SEND, Cause.UNKNOWN, np.where(made.fetched, 0, charged[Cause.SEND]))
    _move(charged, Cause.RECEIVE, Cause.UNKNOWN, np.where((sent_ns == _NEVER) & (row < 0), charged[Cause.RECEIVE], 0))
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


def ready_at(trace: Trace, wait: SpanColumns) -> Int64Array:
    """The batches that lay ready when a single wait ended, in the order in which they come."""
    join = _Join(wait)
    arrivals = _arrivals(trace, join)
    end_ns = int(wait.end_ns[0])
    ready: Int64Array = np.sort(arrivals.batch[(arrivals.time_ns <= end_ns) & (_gone_ns(trace, join, arrivals) > end_ns)])
    return ready


def late_batch(trace: Trace, waits: Waits, row: int) -> LateBatch:
    """One wait in plain values, with the slowest sample of its fetch."""
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
    """The lane on which the batches of a worker are made; main's for `NO_WORKER`."""
    return MAIN if worker == NO_WORKER else f"worker-{worker}"


def slowest_sample(trace: Trace, lane: str, start_ns: int, end_ns: int) -> tuple[int | None, int] | None:
    """Index (None where it is no number) and duration of the slowest sample of a fetch; None where samples were not recorded.

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
    took = np.diff(np.append(view["time_ns"][rows].astype(np.int64), np.int64(end_ns)))
    at = int(took.argmax())
    sample = int(view["value"][rows[at]])
    return sample if sample >= 0 else None, int(took[at])


class _Join:
    """Finds what belongs to the batches of waits."""

    def __init__(self, waits: SpanColumns) -> None:
        self.low_ns = int(waits.start_ns[0]) if waits else 0
        self.high_ns = int(waits.end_ns[-1]) if waits else 0
        self.batch = waits.batch
        self._order = np.argsort(waits.batch, kind="stable")

    def __call__(self, found: Int64Array) -> Int64Array:
        """For each wait the last row of `found` that is its batch, or -1."""
        return _match(self.batch, found, self._order)


def _match(batch: Int64Array, found: Int64Array, order: Int64Array | None = None) -> Int64Array:
    """For each batch the last row of `found` with it, or -1; `order` sorts the batches."""
    rows = np.full(len(batch), -1)
    order = np.argsort(batch, kind="stable") if order is None else order
    if len(batch) and len(found):
        ordered = batch[order]
        place = np.minimum(ordered.searchsorted(found), len(batch) - 1)
        hits = np.flatnonzero(ordered[place] == found)
        rows[order[place[hits]]] = hits
    return rows


@dataclasses.dataclass
class _Made:
    """When the batch of each wait was made, and by whom; `_NEVER` where that is not known."""

    worker: Int64Array
    in_main: npt.NDArray[np.bool_]
    started_ns: Int64Array  # its start-up was over
    fetch_start_ns: Int64Array
    fetch_end_ns: Int64Array
    collated_ns: Int64Array  # the end of the fetch where there is no collate
    sent_ns: Int64Array

    @property
    def fetched(self) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = self.fetch_start_ns != _NEVER
        return known


def _find_made(trace: Trace, join: _Join, worker: Int64Array) -> _Made:
    """`worker`: from whom each batch came as far as main can tell."""
    made = _Made(worker.copy(), np.zeros(len(join.batch), np.bool_), *(np.full(len(join.batch), _NEVER) for _ in range(5)))
    known = set(np.unique(worker).tolist())
    lanes = {number: lane for number, lane in worker_lanes(trace).items() if NO_WORKER in known or number in known}
    for number, lane in {NO_WORKER: MAIN, **lanes}.items():
        spans = _near(trace, lane, join, State.FETCH, State.COLLATE, State.SEND, State.TRANSMIT, *ONCE_PHASES)
        sends, fetches, collates = (spans.pick(spans.state == int(state)) for state in (State.SEND, State.FETCH, State.COLLATE))
        # the put may return before a thread of its queue has written the batch
        for sent in (sends, spans.pick(spans.state == int(State.TRANSMIT))):
            row = join(sent.batch)
            made.sent_ns[row >= 0] = sent.end_ns[row[row >= 0]]
            made.worker[row >= 0] = number
        row = join(fetches.batch)
        mine, row = np.flatnonzero(row >= 0), row[row >= 0]
        made.worker[mine] = number
        made.in_main[mine] = number == NO_WORKER
        made.fetch_start_ns[mine], made.fetch_end_ns[mine] = fetches.start_ns[row], fetches.end_ns[row]
        row = join(collates.batch)[mine]
        made.collated_ns[mine] = np.where(row >= 0, _take(collates.end_ns, row), made.fetch_end_ns[mine])
        if number != NO_WORKER:
            begun_ns = made.fetch_start_ns[mine]
            made.started_ns[mine] = _last_end(spans.pick(_table(tuple(ONCE_PHASES)).take(spans.state, mode="clip")), begun_ns)
    return made


def _near(trace: Trace, lane: str, join: _Join, *states: State) -> SpanColumns:
    """Spans of a lane with these states that may have to do with the batches of waits."""
    wanted = _table(states)
    parts: list[list[Int64Array]] = []
    for key, columns in list(trace.tracks.items()):
        if key.lane != lane:
            continue
        view = columns.view()
        low, high = view["start_ns"].searchsorted(np.array([join.low_ns, join.high_ns], np.int64)).tolist()
        low = max(low - _NEAR_ROWS, 0)
        rows = np.flatnonzero(wanted.take(np.asarray(view["state"][low:high]), mode="clip")) + low
        parts.append([view[name][rows].astype(np.int64) for name in SPAN_COLUMNS])
    if not parts:
        return SpanColumns(*(np.empty(0, np.int64) for _ in SPAN_COLUMNS))
    joined = SpanColumns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return joined.pick(np.argsort(joined.start_ns, kind="stable"))


@functools.lru_cache(maxsize=16)
def _table(states: tuple[State, ...]) -> npt.NDArray[np.bool_]:
    """True at the numbers of states, with one False behind them; a look into it is several times quicker than `np.isin`."""
    table = np.zeros(max(State) + 2, np.bool_)
    table[[int(state) for state in states]] = True
    return table


class _Arrivals(NamedTuple):
    """When main had each batch in hand, in this order, and whose it was."""

    time_ns: Int64Array
    batch: Int64Array
    worker: Int64Array


def _arrivals(trace: Trace, join: _Join) -> _Arrivals:
    if MAIN not in trace.points:
        return _Arrivals(*(np.empty(0, np.int64) for _ in range(3)))
    view = trace.points[MAIN].view()
    low, high = view["time_ns"].searchsorted(np.array([join.low_ns, join.high_ns], np.int64)).tolist()
    low = max(low - _NEAR_ROWS, 0)
    rows = np.flatnonzero(view["state"][low:high] == int(State.ARRIVE)) + low
    return _Arrivals(*(view[name][rows].astype(np.int64) for name in ("time_ns", "batch", "value")))


def _find_held_up(
    trace: Trace, waits: SpanColumns, join: _Join, arrivals: _Arrivals, arrived_ns: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """How many batches lay ready at the end of each wait, and how long in it there were any."""
    if not waits or not len(arrivals.time_ns):
        return np.zeros(waits.size, np.int64), np.zeros(waits.size, np.int64)
    gone_ns = np.sort(_gone_ns(trace, join, arrivals))

    def ready(time_ns: Int64Array) -> Int64Array:
        return arrivals.time_ns.searchsorted(time_ns, "right") - gone_ns.searchsorted(time_ns, "right")

    count = ready(waits.end_ns)
    already = ready(waits.start_ns) - (arrived_ns <= waits.start_ns) > 0
    first = np.minimum(arrivals.time_ns.searchsorted(waits.start_ns, "right"), len(arrivals.time_ns) - 1)
    since_ns = np.where(already, waits.start_ns, np.maximum(arrivals.time_ns[first], waits.start_ns))
    held = (count > 0) & (arrived_ns > waits.start_ns)
    return count, np.where(held, np.maximum(waits.end_ns - since_ns, 0), 0)


def _gone_ns(trace: Trace, join: _Join, arrivals: _Arrivals) -> Int64Array:
    """When each of the batches that arrived was handed out, the far future where it was not (yet)."""
    handed = _near(trace, MAIN, join, State.WAIT)
    handed = handed.pick(handed.batch >= 0)
    # what is left over when an epoch is broken off goes with the first wait of the next one
    following = (handed.batch >> EPOCH_SHIFT).searchsorted(arrivals.batch >> EPOCH_SHIFT, "right")
    gone_ns = np.append(handed.start_ns, np.iinfo(np.int64).max)[following]
    row = _match(arrivals.batch, handed.batch)
    gone_ns[row >= 0] = handed.end_ns[row[row >= 0]]
    return gone_ns


def _covered_ns(spans: SpanColumns, time_ns: Int64Array) -> Int64Array:
    """How much before each time is covered by spans that do not overlap."""
    if not spans:
        return np.zeros(len(time_ns), np.int64)
    total_ns = np.append(0, np.cumsum(spans.end_ns - spans.start_ns))
    count = spans.start_ns.searchsorted(time_ns, "right")
    over_ns = np.maximum(spans.end_ns[count - 1] - time_ns, 0)
    return np.where(count > 0, total_ns[count] - over_ns, 0)


def _last_end(spans: SpanColumns, time_ns: Int64Array) -> Int64Array:
    """The last end of spans at or before each time, or `_NEVER`."""
    ends = np.sort(spans.end_ns)
    return np.append(_NEVER, ends)[ends.searchsorted(time_ns, "right")]


def _take(column: Int64Array, rows: Int64Array) -> Int64Array:
    """Values at rows; any value at -1."""
    return np.append(column, _NEVER)[rows]


def _move(charged: Int64Array, source: Cause, target: Cause, ns: Int64Array) -> None:
    charged[source] -= ns
    charged[target] += ns
