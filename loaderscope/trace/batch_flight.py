"""Batches in flight: from the moment a worker sends a batch until main hands it out.

They are derived from spans and points of several logs, and the reader does not read all logs at one moment. So each call uses only
events up to a horizon, a time up to which every log has been read. Later events wait for the next call.
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
from loaderscope.trace.record_decoder import row_groups

QUEUE_DEPTH = SeriesInfo(facts.QUEUE_DEPTH.key, facts.QUEUE_DEPTH.key, facts.QUEUE_DEPTH.title, "batches")
"""Number of batches that workers have sent and main has not handed out; a step function of time."""

OUTSTANDING = SeriesInfo(facts.OUTSTANDING.key, facts.OUTSTANDING.key, facts.OUTSTANDING.title, "batches")
"""Number of batches that main has asked for and not handed out; a step function of time, with a value after each change by main."""


@dataclasses.dataclass
class _Events:
    """Events of one kind that are not used yet, as columns."""

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

    def take_until(self, horizon_ns: int) -> _Events:
        """Removes the events up to the horizon and returns them in order of time."""
        early = self.time_ns <= horizon_ns
        taken, rest = self.select(early), self.select(~early)
        self.time_ns, self.batch, self.value = rest.time_ns, rest.batch, rest.value
        return taken.select(np.argsort(taken.time_ns, kind="stable"))


class FlightTracker:
    """Fills a trace's in-flight lanes, and the series of queue depth and outstanding batches."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._puts, self._sends, self._transmits, self._arrivals = (_Events.empty() for _ in range(4))
        self._waits, self._iterators, self._ends = _Events.empty(), _Events.empty(), _Events.empty()
        self._sent_by: _Events | None = None  # the transmits; the sends where the logs have no transmits
        self._in_flight = _Events.empty()  # batches that were sent and not handed out
        self._arrived_in_flight = _Events.empty()  # arrivals of batches in flight
        self._unsent = np.zeros(0, np.int64)  # batches of this epoch that main handed out before the record that a worker sent them
        self._last_handed_out_ns = 0  # when the last batch was handed out
        self._busy_slots: list[tuple[int, int]] = []  # a heap of (end_ns, slot)
        self._newest_ns = {QUEUE_DEPTH.key: 0, OUTSTANDING.key: 0}

    def add_spans(self, state: Ints, end_ns: Ints, batch: Ints, value: Ints) -> None:
        """Keeps those of the spans that show where a batch is: SEND, TRANSMIT, WAIT and ITERATOR."""
        events_of = {State.SEND: self._sends, State.TRANSMIT: self._transmits, State.WAIT: self._waits, State.ITERATOR: self._iterators}
        for kind, events in events_of.items():
            rows = (state == kind) & ((batch >= 0) | (kind == State.ITERATOR))
            if rows.any():
                events.add(end_ns[rows], batch[rows], value[rows])
        ended = (state == State.WAIT) & (batch < 0)  # `next` raised StopIteration
        if ended.any():
            self._ends.add(end_ns[ended], batch[ended], value[ended])

    def add_points(self, state: Ints, time_ns: Ints, batch: Ints) -> None:
        """Keeps the INDEX_PUT and ARRIVE points."""
        for kind, events in ((State.INDEX_PUT, self._puts), (State.ARRIVE, self._arrivals)):
            rows = (state == kind) & (batch >= 0)
            if rows.any():
                events.add(time_ns[rows], batch[rows], np.zeros(int(rows.sum()), np.int64))

    def advance(self, horizon_ns: int) -> None:
        """Adds to the trace what follows from the events up to the horizon."""
        waits = self._waits.take_until(horizon_ns)
        sends = self._sending_events(waits).take_until(horizon_ns)
        arrivals, iterators, ends = (events.take_until(horizon_ns) for events in (self._arrivals, self._iterators, self._ends))
        if not any(len(events.time_ns) for events in (sends, waits, arrivals, iterators, ends)):
            return
        sends = self._without_handed_out(sends)
        self._in_flight.add(sends.time_ns, sends.batch, sends.value)
        self._arrived_in_flight.add(arrivals.time_ns, arrivals.batch, arrivals.value)
        sent, sent_known = _times_of_batches(self._in_flight, waits.batch)
        arrived, arrival_known = _times_of_batches(self._arrived_in_flight, waits.batch)
        arrived = np.where(arrival_known, np.clip(arrived, sent, waits.time_ns), waits.time_ns)
        handed_before_ns = np.concatenate((np.array([self._last_handed_out_ns], np.int64), waits.time_ns))[: len(waits.time_ns)]
        arrived = np.where(arrived < handed_before_ns, arrived, waits.time_ns)  # nothing held it up: main handed it out on arrival
        self._last_handed_out_ns = int(waits.time_ns[-1]) if len(waits.time_ns) else self._last_handed_out_ns
        delivered = np.flatnonzero(sent_known)
        self._add_to_lanes(waits.batch[delivered], np.minimum(sent, waits.time_ns)[delivered], arrived[delivered], waits.time_ns[delivered])
        self._forget(waits.batch)
        self._remember_unsent(waits.batch[~sent_known], ends)
        dropped_ns = self._drop_undelivered(waits), self._drop_at_epoch_end(ends), self._drop_of_left_epochs(waits)
        gone_ns = np.concatenate((waits.time_ns[delivered], *dropped_ns))
        self._write_queue_depth(sends.time_ns, gone_ns)
        self._write_outstanding(iterators, waits)

    def _sending_events(self, waits: _Events) -> _Events:
        """Returns the events that show when batches were sent; none before main hands out a batch, as only then their kind is certain."""
        if self._sent_by is None and len(waits.time_ns):
            self._sent_by = self._transmits if len(self._transmits.time_ns) else self._sends
        if self._sent_by is None:
            return _Events.empty()
        if self._sent_by is self._transmits:
            self._sends = _Events.empty()
        return self._sent_by

    def _without_handed_out(self, sends: _Events) -> _Events:
        """Leaves out the batches that main had before their worker noted that it had sent them: they were never in flight."""
        late = np.isin(sends.batch, self._unsent)
        if not late.any():
            return sends
        self._unsent = self._unsent[~np.isin(self._unsent, sends.batch)]
        return sends.select(~late)

    def _remember_unsent(self, batch: Ints, ends: _Events) -> None:
        """Keeps the batches that main handed out and no worker has sent, until the end of the epoch. Without workers there are none."""
        if len(ends.time_ns):
            self._unsent = self._unsent[:0]
        elif len(batch) and (len(self._puts.time_ns) or OUTSTANDING.key in self._trace.series):
            self._unsent = np.concatenate((self._unsent[self._unsent >> EPOCH_SHIFT == batch[-1] >> EPOCH_SHIFT], batch))

    def _add_to_lanes(self, batch: Ints, sent_ns: Ints, arrived_ns: Ints, handed_ns: Ints) -> None:
        """Adds batches to the in-flight lanes, each in the slot that was free longest at its time of sending. One Python step per batch."""
        slots, busy = np.empty(len(batch), np.int64), self._busy_slots
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
        for slot, rows in row_groups(np.concatenate((slots, slots[held])), columns["start_ns"], columns["end_ns"]):
            self._trace.track(lane_table.flight_lane(slot), 0).append(**{name: column[rows] for name, column in columns.items()})

    def _forget(self, batch: Ints) -> None:
        self._in_flight = self._in_flight.select(~np.isin(self._in_flight.batch, batch))
        self._arrived_in_flight = self._arrived_in_flight.select(~np.isin(self._arrived_in_flight.batch, batch))

    def _drop_undelivered(self, waits: _Events) -> Ints:
        """Drops messages without a batch (a worker sends one at the end of an iterable dataset).

        Such a message has arrived, and main then handed out a later batch of its epoch.

        Returns:
            For each dropped message that was in flight, the time of that later batch.
        """
        dropped, times = [], []
        for batch, arrived_ns in zip(self._arrived_in_flight.batch.tolist(), self._arrived_in_flight.time_ns.tolist(), strict=True):
            is_later = (waits.batch > batch) & (waits.batch >> EPOCH_SHIFT == batch >> EPOCH_SHIFT) & (waits.time_ns >= arrived_ns)
            later = np.flatnonzero(is_later)
            if len(later):
                dropped.append(batch)
                if (self._in_flight.batch == batch).any():
                    times.append(int(waits.time_ns[later[0]]))
        if dropped:
            self._forget(np.array(dropped, np.int64))
        return np.array(times, np.int64)

    def _drop_at_epoch_end(self, ends: _Events) -> Ints:
        """Drops the batches in flight at the end of an epoch, as main never takes them; returns that end for each dropped batch."""
        times = []
        for end_ns in ends.time_ns.tolist():
            dropped = self._in_flight.batch[self._in_flight.time_ns <= end_ns]
            self._forget(dropped)
            times += [end_ns] * len(dropped)
        return np.array(times, np.int64)

    def _drop_of_left_epochs(self, waits: _Events) -> Ints:
        """Drops the batches in flight of epochs that main left before their end, as by `break`.

        Returns:
            For each dropped batch, the time at which main had the first batch of a later epoch.
        """
        if not len(waits.time_ns) or not len(self._in_flight.batch):
            return np.zeros(0, np.int64)
        epoch = waits.batch >> EPOCH_SHIFT
        left = (self._in_flight.batch >> EPOCH_SHIFT) < epoch.max()
        if not left.any():
            return np.zeros(0, np.int64)
        dropped = self._in_flight.select(left)
        self._forget(dropped.batch)
        first_ns = waits.time_ns[[int(np.argmax(epoch > old)) for old in (dropped.batch >> EPOCH_SHIFT).tolist()]]
        return np.maximum(first_ns, dropped.time_ns)

    def _write_queue_depth(self, sent_ns: Ints, gone_ns: Ints) -> None:
        time_ns = np.concatenate((sent_ns, gone_ns))
        if not len(time_ns):
            return
        step = np.concatenate((np.ones(len(sent_ns)), np.full(len(gone_ns), -1.0)))
        order = np.argsort(time_ns, kind="stable")
        columns = self._trace.series_of(QUEUE_DEPTH)
        before = columns.view()["value"][-1] if len(columns) else 0.0
        self._append_values(QUEUE_DEPTH, time_ns[order], before + np.cumsum(step[order]))

    def _write_outstanding(self, iterators: _Events, waits: _Events) -> None:
        """Counts the index batches that main put before the iterator was ready; at each end of a WAIT it takes torch's own count."""
        time_ns = np.concatenate((iterators.time_ns, waits.time_ns))
        if not len(time_ns):
            return
        puts = self._puts.take_until(int(time_ns.max())).time_ns
        if not len(puts) and OUTSTANDING.key not in self._trace.series:  # 0 workers
            return
        order = np.argsort(time_ns, kind="stable")
        put_by_then = np.searchsorted(puts, time_ns[order], side="right")
        put_since = np.diff(put_by_then, prepend=0)
        is_wait = (np.arange(len(time_ns)) >= len(iterators.time_ns))[order]
        value = np.where(is_wait, np.concatenate((iterators.value, waits.value))[order], put_since)
        self._append_values(OUTSTANDING, time_ns[order], value.astype(np.float64))

    def _append_values(self, info: SeriesInfo, time_ns: Ints, value: np.typing.NDArray[np.float64]) -> None:
        if len(time_ns):
            time_ns = np.maximum(time_ns, self._newest_ns[info.key])  # a late record must not go back in time
            self._newest_ns[info.key] = int(time_ns[-1])
            self._trace.series_of(info).append(time_ns=time_ns, value=value)


def _times_of_batches(events: _Events, batch: Ints) -> tuple[Ints, np.typing.NDArray[np.bool_]]:
    """Returns for each batch the time of its event, and whether there is one."""
    if not len(events.batch):
        return np.zeros(len(batch), np.int64), np.zeros(len(batch), np.bool_)
    order = np.argsort(events.batch, kind="stable")
    sorted_batches = events.batch[order]
    place = np.minimum(np.searchsorted(sorted_batches, batch), len(sorted_batches) - 1)
    return events.time_ns[order][place], sorted_batches[place] == batch
