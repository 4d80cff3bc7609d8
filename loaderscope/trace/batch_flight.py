"""Batches on their way: from when a worker has sent them until main hands them out.

Derived from spans and points of several logs, which are not read at one moment. So only what happened up to a horizon is
used, by which all logs are known to have been read; the rest waits for the next call.
"""

from __future__ import annotations

import dataclasses
import heapq

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.facts import lanes as facts
from loaderscope.facts.lanes import READY, WAITING_FOR_EARLIER
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Ints
from loaderscope.trace.model import EPOCH_SHIFT, SeriesInfo, Trace
from loaderscope.trace.record_decoder import groups

QUEUE_DEPTH = SeriesInfo(facts.QUEUE_DEPTH.key, facts.QUEUE_DEPTH.key, facts.QUEUE_DEPTH.title, "batches")
"""Batches that workers have sent and main has not handed out; a step function of time."""

OUTSTANDING = SeriesInfo(facts.OUTSTANDING.key, facts.OUTSTANDING.key, facts.OUTSTANDING.title, "batches")
"""Batches asked for and not handed out, after each time that main touched them; a step function of time."""


@dataclasses.dataclass
class _Events:
    """Columns of one kind of event, not yet used."""

    time_ns: Ints
    batch: Ints
    value: Ints

    @classmethod
    def empty(cls) -> _Events:
        return cls(*(np.empty(0, np.int64) for _ in range(3)))

    def add(self, time_ns: Ints, batch: Ints, value: Ints) -> None:
        self.time_ns = np.concatenate((self.time_ns, time_ns))
        self.batch = np.concatenate((self.batch, batch))
        self.value = np.concatenate((self.value, value))

    def select(self, rows: Ints | np.typing.NDArray[np.bool_]) -> _Events:
        return _Events(self.time_ns[rows], self.batch[rows], self.value[rows])

    def take(self, horizon_ns: int) -> _Events:
        """Removes and returns what happened by the horizon, in order of time."""
        early = self.time_ns <= horizon_ns
        taken, rest = self.select(early), self.select(~early)
        self.time_ns, self.batch, self.value = rest.time_ns, rest.batch, rest.value
        return taken.select(np.argsort(taken.time_ns, kind="stable"))


class Flights:
    """Fills a trace's in-flight lanes, and the series of queue depth and outstanding batches."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._puts, self._sends, self._transmits, self._arrivals = (_Events.empty() for _ in range(4))
        self._waits, self._iterators, self._ends = _Events.empty(), _Events.empty(), _Events.empty()
        self._sent: _Events | None = None  # transmits, or sends where nothing tells of transmits
        self._in_flight = _Events.empty()  # sent, not handed out
        self._arrived = _Events.empty()  # of those in flight
        self._handed_ns = 0  # when the last batch was handed out
        self._busy: list[tuple[int, int]] = []  # a heap of (until, slot)
        self._newest_ns = {QUEUE_DEPTH.key: 0, OUTSTANDING.key: 0}

    def add_spans(self, state: Ints, end_ns: Ints, batch: Ints, value: Ints) -> None:
        """Takes note of the spans among these that tell where batches are."""
        found = {State.SEND: self._sends, State.TRANSMIT: self._transmits, State.WAIT: self._waits, State.ITERATOR: self._iterators}
        for wanted, events in found.items():
            rows = (state == wanted) & ((batch >= 0) | (wanted == State.ITERATOR))
            if rows.any():
                events.add(end_ns[rows], batch[rows], value[rows])
        ended = (state == State.WAIT) & (batch < 0)  # `next` raised StopIteration
        if ended.any():
            self._ends.add(end_ns[ended], batch[ended], value[ended])

    def add_points(self, state: Ints, time_ns: Ints, batch: Ints) -> None:
        """Takes note of the INDEX_PUT and ARRIVE points among these."""
        for wanted, events in ((State.INDEX_PUT, self._puts), (State.ARRIVE, self._arrivals)):
            rows = (state == wanted) & (batch >= 0)
            if rows.any():
                events.add(time_ns[rows], batch[rows], np.zeros(int(rows.sum()), np.int64))

    def advance(self, horizon_ns: int) -> None:
        """Derives what can be told from everything that happened by the horizon."""
        waits = self._waits.take(horizon_ns)
        sends = self._choose_sent(waits).take(horizon_ns)
        arrivals, iterators, ends = (events.take(horizon_ns) for events in (self._arrivals, self._iterators, self._ends))
        if not any(len(events.time_ns) for events in (sends, waits, arrivals, iterators, ends)):
            return
        self._in_flight.add(sends.time_ns, sends.batch, sends.value)
        self._arrived.add(arrivals.time_ns, arrivals.batch, arrivals.value)
        sent, sent_known = _look_up(self._in_flight, waits.batch)
        arrived, arrival_known = _look_up(self._arrived, waits.batch)
        arrived = np.where(arrival_known, np.clip(arrived, sent, waits.time_ns), waits.time_ns)
        handed_before_ns = np.concatenate((np.array([self._handed_ns], np.int64), waits.time_ns))[: len(waits.time_ns)]
        arrived = np.where(arrived < handed_before_ns, arrived, waits.time_ns)  # not held up: it was handed out as it came
        self._handed_ns = int(waits.time_ns[-1]) if len(waits.time_ns) else self._handed_ns
        known = np.flatnonzero(sent_known)
        self._place(waits.batch[known], np.minimum(sent, waits.time_ns)[known], arrived[known], waits.time_ns[known])
        self._forget(waits.batch)
        gone_ns = np.concatenate((waits.time_ns[known], self._drop_undelivered(waits), self._drop_at_end(ends)))
        self._write_queue_depth(sends.time_ns, gone_ns)
        self._write_outstanding(iterators, waits)

    def _choose_sent(self, waits: _Events) -> _Events:
        """The events that tell when batches were sent; none before the first batch was handed out, as only then it is clear."""
        if self._sent is None and len(waits.time_ns):
            self._sent = self._transmits if len(self._transmits.time_ns) else self._sends
        if self._sent is None:
            return _Events.empty()
        if self._sent is self._transmits:
            self._sends = _Events.empty()
        return self._sent

    def _place(self, batch: Ints, sent_ns: Ints, arrived_ns: Ints, handed_ns: Ints) -> None:
        """Draws batches, each in the slot that has been free longest when it was sent. One step a batch, not a record."""
        slots, busy = np.empty(len(batch), np.int64), self._busy
        for i, (sent, handed) in enumerate(zip(sent_ns.tolist(), handed_ns.tolist(), strict=True)):
            if busy and busy[0][0] <= sent:
                slots[i] = slot = busy[0][1]
                heapq.heapreplace(busy, (handed, slot))
            else:
                slots[i] = len(busy)
                heapq.heappush(busy, (handed, len(busy)))
        held = handed_ns > arrived_ns
        state = np.concatenate((np.full(len(batch), READY), np.full(len(batch[held]), WAITING_FOR_EARLIER)))
        columns = {
            "start_ns": np.concatenate((sent_ns, arrived_ns[held])),
            "end_ns": np.concatenate((arrived_ns, handed_ns[held])),
            "state": state,
            "batch": np.concatenate((batch, batch[held])),
            "value": np.zeros(len(state), np.int64),
        }
        for slot, rows in groups(np.concatenate((slots, slots[held])), columns["start_ns"], columns["end_ns"]):
            self._trace.track(lane_table.flight_lane(slot), 0).append(**{name: column[rows] for name, column in columns.items()})

    def _forget(self, batch: Ints) -> None:
        self._in_flight = self._in_flight.select(~np.isin(self._in_flight.batch, batch))
        self._arrived = self._arrived.select(~np.isin(self._arrived.batch, batch))

    def _drop_undelivered(self, waits: _Events) -> Ints:
        """Forgets messages that reached main and hold no batch (a worker's end of an iterable dataset); returns when each is known.

        Such a message has arrived, and a later batch of its epoch was handed out after that.
        """
        dropped, times = [], []
        for batch, arrived_ns in zip(self._arrived.batch.tolist(), self._arrived.time_ns.tolist(), strict=True):
            is_later = (waits.batch > batch) & (waits.batch >> EPOCH_SHIFT == batch >> EPOCH_SHIFT) & (waits.time_ns >= arrived_ns)
            later = np.flatnonzero(is_later)
            if len(later):
                dropped.append(batch)
                if (self._in_flight.batch == batch).any():
                    times.append(int(waits.time_ns[later[0]]))
        if dropped:
            self._forget(np.array(dropped, np.int64))
        return np.array(times, np.int64)

    def _drop_at_end(self, ends: _Events) -> Ints:
        """Forgets what is in flight when an epoch ends, as nobody takes it any more; returns when each is known."""
        times = []
        for end_ns in ends.time_ns.tolist():
            left = self._in_flight.batch[self._in_flight.time_ns <= end_ns]
            self._forget(left)
            times += [end_ns] * len(left)
        return np.array(times, np.int64)

    def _write_queue_depth(self, sent_ns: Ints, gone_ns: Ints) -> None:
        time_ns = np.concatenate((sent_ns, gone_ns))
        if not len(time_ns):
            return
        step = np.concatenate((np.ones(len(sent_ns)), np.full(len(gone_ns), -1.0)))
        order = np.argsort(time_ns, kind="stable")
        columns = self._trace.series_of(QUEUE_DEPTH)
        before = columns.view()["value"][-1] if len(columns) else 0.0
        self._append(QUEUE_DEPTH, time_ns[order], before + np.cumsum(step[order]))

    def _write_outstanding(self, iterators: _Events, waits: _Events) -> None:
        """Counts what was put until an iterator was ready, and then takes torch's own count at each end of a WAIT."""
        time_ns = np.concatenate((iterators.time_ns, waits.time_ns))
        if not len(time_ns):
            return
        puts = self._puts.take(int(time_ns.max())).time_ns
        if not len(puts) and OUTSTANDING.key not in self._trace.series:  # 0 workers
            return
        order = np.argsort(time_ns, kind="stable")
        put_by_then = np.searchsorted(puts, time_ns[order], side="right")
        put_since = np.diff(put_by_then, prepend=0)
        is_wait = (np.arange(len(time_ns)) >= len(iterators.time_ns))[order]
        value = np.where(is_wait, np.concatenate((iterators.value, waits.value))[order], put_since)
        self._append(OUTSTANDING, time_ns[order], value.astype(np.float64))

    def _append(self, info: SeriesInfo, time_ns: Ints, value: np.typing.NDArray[np.float64]) -> None:
        if len(time_ns):
            time_ns = np.maximum(time_ns, self._newest_ns[info.key])  # a record that came later than its time tells
            self._newest_ns[info.key] = int(time_ns[-1])
            self._trace.series_of(info).append(time_ns=time_ns, value=value)


def _look_up(events: _Events, batch: Ints) -> tuple[Ints, np.typing.NDArray[np.bool_]]:
    """The time of the event of each batch, and whether there is one."""
    if not len(events.batch):
        return np.zeros(len(batch), np.int64), np.zeros(len(batch), np.bool_)
    order = np.argsort(events.batch, kind="stable")
    known = events.batch[order]
    place = np.minimum(np.searchsorted(known, batch), len(known) - 1)
    return events.time_ns[order][place], known[place] == batch
