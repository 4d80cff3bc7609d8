"""Decodes records to spans and points, for all processes of a trial at once and without a Python step per record."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from loaderscope.agent.layout import BATCH_BITS, BEGIN, COMPLETE, END, EPOCH_STATES, FORM_BITS, FORM_MASK, INSTANT, SIZED_STATES, State
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Ints
from loaderscope.trace.log_segments import RECORD_DTYPE, Records
from loaderscope.trace.model import EPOCH_SHIFT

Bools = npt.NDArray[np.bool_]

_BATCH_STATES = (
    State.WAIT,
    State.DESERIALISE,
    State.TRANSFER,
    State.STEP,
    State.INDEX_WAIT,
    State.FETCH,
    State.COLLATE,
    State.SEND,
    State.SERIALISE,
    State.TRANSMIT,
    State.PIN,
    *EPOCH_STATES,
    State.DEVICE_WAIT,
    State.SAMPLER,
)
_BATCH_AT_BEGIN = tuple(state for state in _BATCH_STATES if state not in (State.WAIT, State.INDEX_WAIT, State.DESERIALISE))
_VALUE_AT_END = (
    State.FETCH,
    State.SERIALISE,
    State.TRANSMIT,
    State.PICKLE,
    State.RECEIVE,
    State.WAIT,
    State.START_WORKER,
    State.EPOCH,
    State.PIN,
)
_VALUE_AT_BEGIN = (State.ITERATOR, State.SHUTDOWN)  # their epoch

STATE_COUNT = 1 << (16 - FORM_BITS)
"""Number of states that fit into the kind word; tables over states have one entry for each."""


def _table(states: tuple[State, ...] | type[State]) -> Bools:
    table = np.zeros(STATE_COUNT, np.bool_)
    table[[int(state) for state in states]] = True
    return table


_IS_KNOWN = _table(State)
_HAS_BATCH = _table(_BATCH_STATES)
_HAS_BATCH_AT_BEGIN = _table(_BATCH_AT_BEGIN)
_HAS_VALUE_AT_END = _table(_VALUE_AT_END)
_HAS_EPOCH = _table(EPOCH_STATES)
_IS_A_IN_HALVES = _table(SIZED_STATES + EPOCH_STATES)
_HAS_VALUE_AT_BEGIN = _table(_VALUE_AT_BEGIN)
_DEPTH = np.zeros((2, STATE_COUNT), np.int64)  # not in main, in main
for _state in State:
    _DEPTH[:, _state] = lane_table.depth_of(_state, False), lane_table.depth_of(_state, True)


@dataclasses.dataclass(frozen=True)
class RecordBatch:
    """Records of several processes. `source` is the number of each record's process; records of a process keep the order of its log."""

    source: Ints
    records: Records

    @classmethod
    def empty(cls) -> RecordBatch:
        return cls(np.empty(0, np.int64), np.empty(0, RECORD_DTYPE))

    @classmethod
    def of(cls, parts: list[tuple[int, Records]]) -> RecordBatch:
        """Returns the records of (source, records) pairs, one after another."""
        if not parts:
            return cls.empty()
        source = np.repeat(np.array([part[0] for part in parts], np.int64), [len(part[1]) for part in parts])
        return cls(source, _join([part[1] for part in parts]))

    def __len__(self) -> int:
        return len(self.source)

    def select(self, which: npt.NDArray[np.bool_] | Ints) -> RecordBatch:
        return RecordBatch(self.source[which], self.records[which])

    def then(self, other: RecordBatch) -> RecordBatch:
        """Returns these records, followed by those of `other`."""
        if not len(self) or not len(other):
            return other if len(other) else self
        return RecordBatch(np.concatenate((self.source, other.source)), _join([self.records, other.records]))

    @property
    def state(self) -> Ints:
        return (self.records["kind"] >> FORM_BITS).astype(np.int64)

    @property
    def form(self) -> Ints:
        form: Ints = (self.records["kind"] & FORM_MASK).astype(np.int64)
        return form


@dataclasses.dataclass(frozen=True)
class DecodedSpans:
    """Finished spans.

    `a` and `b` come from the record that ended the span. For `SIZED_STATES` they are the batch and the bytes, for `EPOCH_STATES` the
    batch and its epoch.
    """

    source: Ints
    thread: Ints
    state: Ints
    start_ns: Ints
    end_ns: Ints
    begin_a: Ints
    a: Ints
    b: Ints

    def __len__(self) -> int:
        return len(self.source)

    def then(self, other: DecodedSpans) -> DecodedSpans:
        if not len(other):
            return self
        fields = (field.name for field in dataclasses.fields(DecodedSpans))
        return DecodedSpans(*(np.concatenate((getattr(self, name), getattr(other, name))) for name in fields))

    def select(self, which: Bools) -> DecodedSpans:
        return DecodedSpans(*(getattr(self, field.name)[which] for field in dataclasses.fields(DecodedSpans)))

    def batch(self, epochs: Epochs) -> Ints:
        """Returns the batch id of each span, or -1. The end of an INDEX_WAIT decides, as it can begin in the epoch before."""
        time_ns = np.where(self.state == State.INDEX_WAIT, self.end_ns, self.start_ns)
        by_time = epochs.batch_ids(time_ns, np.where(_HAS_BATCH[self.state], self.a, -1))
        has_epoch = _HAS_EPOCH[self.state] & (self.a >= 0)
        return np.where(has_epoch, (self.b << EPOCH_SHIFT) | self.a, by_time) if has_epoch.any() else by_time

    def value(self) -> Ints:
        """Returns the `value` column of `SPAN_COLUMNS`."""
        at_begin = np.where(_HAS_VALUE_AT_BEGIN[self.state], self.begin_a, 0)
        return np.where(_HAS_VALUE_AT_END[self.state], self.b, at_begin)


def depths_of(state: Ints, in_main: Bools) -> Ints:
    """Returns the depth of each span, as `lane_table.depth_of` gives it."""
    return _DEPTH[in_main.astype(np.int64), state]


class Epochs:
    """When each epoch began, which gives the epoch of a batch index."""

    def __init__(self) -> None:
        self._begins: dict[State, tuple[Ints, Ints]] = {}

    def add_starts(self, batch: RecordBatch) -> None:
        """Adds the epochs that begin in these records; only main writes such records."""
        for state in (State.EPOCH, State.ITERATOR):
            rows = batch.records[batch.records["kind"] == (state << FORM_BITS | BEGIN)]
            if len(rows):
                begins, numbers = self._begins.get(state, (np.empty(0, np.int64),) * 2)
                self._begins[state] = np.append(begins, rows["time_ns"]), np.append(numbers, rows["a"])

    def batch_ids(self, time_ns: Ints, batch: Ints) -> Ints:
        """Returns the batch ids of batch indices at these times; -1 stays -1. A time before the first epoch counts to the first."""
        begins, numbers = self._begins.get(State.EPOCH) or self._begins.get(State.ITERATOR) or (None, None)
        if begins is None or numbers is None:
            return np.where(batch >= 0, batch, -1)
        epoch = numbers[np.maximum(np.searchsorted(begins, time_ns, side="right") - 1, 0)]
        return np.where(batch >= 0, (epoch << EPOCH_SHIFT) | batch, -1)


class SpanMatcher:
    """Pairs each BEGIN with its END. Spans of one state do not nest in each other, so BEGIN and END alternate per thread and state."""

    def __init__(self) -> None:
        self.open = RecordBatch.empty()
        """BEGIN records that wait for their END."""

    def match(self, batch: RecordBatch) -> DecodedSpans:
        """Returns the spans that end in these records; keeps in `open` the spans that begin and do not end."""
        form = batch.form
        is_known = _IS_KNOWN[batch.state]
        pairs = self._match_brackets(batch.select(is_known & (form <= END)))
        whole = is_known & (form == COMPLETE)
        return pairs.then(complete_spans(batch.select(whole))) if whole.any() else pairs

    def end_open(self, which: Bools, end_ns: Ints) -> DecodedSpans:
        """Ends the open spans of a mask, each at its given time, and returns them."""
        begun = self.open.select(which)
        self.open = self.open.select(~which)
        spans = _spans(begun.source, begun.records, begun.records, np.maximum(end_ns, begun.records["time_ns"]))
        return dataclasses.replace(spans, a=np.where(_HAS_BATCH_AT_BEGIN[spans.state], spans.a, -1), b=np.full(len(spans), -1))

    def open_batches(self, epochs: Epochs) -> Ints:
        """Returns the batch id of each open span; -1 where only the end has it."""
        index = np.where(_HAS_BATCH_AT_BEGIN[self.open.state], self.open.records["a"], -1)
        return epochs.batch_ids(self.open.records["time_ns"], index)

    def _match_brackets(self, new: RecordBatch) -> DecodedSpans:
        batch = self.open.then(new)
        form = batch.form
        key = (batch.source << 32) | (batch.records["thread"].astype(np.int64) << 16) | batch.state
        order = np.argsort(key, kind="stable")
        key, form = key[order], form[order]
        followed = np.append(key[1:] == key[:-1], False)
        ended = followed & (form == BEGIN)
        ended[:-1] &= form[1:] == END
        first = np.flatnonzero(ended)
        self.open = batch.select(order[~followed & (form == BEGIN)])
        begins, ends = order[first], order[first + 1]
        return _spans(batch.source[begins], batch.records[begins], batch.records[ends], batch.records["time_ns"][ends])


def _join(parts: list[Records]) -> Records:
    """Joins records as plain bytes, because NumPy is slow at joining structured arrays."""
    joined: Records = np.concatenate([part.view(f"V{RECORD_DTYPE.itemsize}") for part in parts]).view(RECORD_DTYPE)
    return joined


def complete_spans(batch: RecordBatch) -> DecodedSpans:
    """Returns the spans of COMPLETE records."""
    rows = batch.records
    spans = _spans(batch.source, rows, rows, rows["time_ns"] + np.maximum(rows["b"], 0))
    halves = _IS_A_IN_HALVES[spans.state]
    number = np.where(halves, spans.a.astype(np.int32), spans.a)  # the low half with its sign
    return dataclasses.replace(spans, a=number, b=np.where(halves, spans.a >> BATCH_BITS, spans.b))


def _spans(source: Ints, begins: Records, ends: Records, end_ns: Ints) -> DecodedSpans:
    return DecodedSpans(
        source,
        begins["thread"].astype(np.int64),
        (begins["kind"] >> FORM_BITS).astype(np.int64),
        begins["time_ns"],
        end_ns,
        begins["a"],
        ends["a"],
        ends["b"],
    )


@dataclasses.dataclass(frozen=True)
class Points:
    """Points with the columns of `POINT_COLUMNS`, and the process and thread that decide their lane."""

    source: Ints
    thread: Ints
    state: Ints
    time_ns: Ints
    batch: Ints
    value: Ints

    def select(self, which: Bools) -> Points:
        return Points(*(getattr(self, field.name)[which] for field in dataclasses.fields(Points)))


def decode_points(batch: RecordBatch, epochs: Epochs) -> Points:
    """Returns the points of the INSTANT records among these."""
    instants = batch.select((batch.form == INSTANT) & _IS_KNOWN[batch.state])
    rows, state = instants.records, instants.state
    sample, without_batch = state == State.SAMPLE, (state == State.DEVICE_ANCHOR) | (state == State.OPTIMIZER_STEP)
    index = np.where(sample, rows["b"], np.where(without_batch, -1, rows["a"]))
    value = np.where(sample | without_batch, rows["a"], rows["b"])
    identifier = epochs.batch_ids(rows["time_ns"], index)
    return Points(instants.source, rows["thread"].astype(np.int64), state, rows["time_ns"], identifier, value)


def row_groups(key: Ints, *then_by: Ints) -> list[tuple[int, Ints]]:
    """Returns for each value of `key` its row numbers, sorted by the other columns; equal rows keep their order."""
    order = np.lexsort((*reversed(then_by), key))
    if not len(order):
        return []
    ordered = key[order]
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts = np.concatenate(([0], edges))
    return [(int(ordered[start]), rows) for start, rows in zip(starts, np.split(order, edges), strict=True)]
