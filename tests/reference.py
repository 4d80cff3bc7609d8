"""The trace of simulated processes by the slow and obvious way, record by record: what the reader must agree with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loaderscope.agent import layout
from loaderscope.agent.layout import BEGIN, COMPLETE, END, INSTANT, PIN_THREAD, Role, State
from loaderscope.facts.lanes import READY, WAITING_FOR_EARLIER
from loaderscope.trace import lane_table
from loaderscope.trace.model import Lane, OpenSpan, ProcessInfo, SeriesInfo, Trace, batch_id

if TYPE_CHECKING:
    from synthetic import Process, Record, Simulation

BATCH_STATES = {
    State.WAIT, State.DESERIALISE, State.TRANSFER, State.STEP, State.INDEX_WAIT, State.FETCH, State.COLLATE,
    State.SEND, State.SERIALISE, State.TRANSMIT, State.PIN, State.DEVICE_STEP, State.DEVICE_TRANSFER, State.SAMPLER,
}  # fmt: skip
END_B_STATES = {
    State.FETCH, State.SERIALISE, State.TRANSMIT, State.PICKLE, State.RECEIVE, State.WAIT, State.START_WORKER, State.EPOCH, State.PIN,
}  # fmt: skip
BEGIN_A_STATES = {State.ITERATOR, State.SHUTDOWN}


def reference_trace(simulation: Simulation, finish: bool = True) -> Trace:
    """The trace of these records; with `finish` as it is once all processes have ended."""
    trace = Trace()
    records = [(process, record) for process in simulation.processes for record in process.records]
    if not records:
        return trace
    trace.origin_ns = min(record.time_ns for _, record in records)
    trace.newest_ns = max(record.written_ns for _, record in records)
    trace.record_count, trace.version = len(records), 1
    epochs = sorted((r.time_ns, r.a) for _, r in records if r.state == State.EPOCH and r.form == BEGIN)
    epochs = epochs or sorted((r.time_ns, r.a) for _, r in records if r.state == State.ITERATOR and r.form == BEGIN)

    def identifier(time_ns: int, batch: int) -> int:
        if batch < 0:
            return -1
        begun = [epoch for begin, epoch in epochs if begin <= time_ns]
        return batch_id(begun[-1] if begun else epochs[0][1] if epochs else 0, batch)

    spans: dict[tuple[str, int], list[tuple[int, int, int, int, int]]] = {}
    points: dict[str, list[tuple[int, int, int, int]]] = {}
    used: dict[str, Lane] = {}
    names: dict[str, int] = {}
    open_spans = []
    for process in simulation.processes:
        imports = []
        last_ns = max((r.written_ns for r in process.records), default=process.opened_ns)
        trace.processes.append(ProcessInfo(_process_name(process), process.pid, process.opened_ns, last_ns if finish else None))
        begun: dict[tuple[int, int], Record] = {}
        for record in process.records:
            lane = _lane_of(process, record)
            state, key = record.state, (record.thread, record.state)
            if record.form == INSTANT:
                batch, value = (record.b, record.a) if state == State.SAMPLE else (record.a, record.b)
                if state == State.DEVICE_ANCHOR:
                    batch, value = -1, record.a
                used[lane.key] = lane
                points.setdefault(lane.key, []).append((record.time_ns, state, identifier(record.time_ns, batch), value))
            elif record.form == BEGIN:
                begun[key] = record
            elif record.form == COMPLETE and state == State.IMPORT:
                imports.append((lane, record))
            else:
                number, size = record.a, record.b
                if record.form == COMPLETE:
                    begin, end_ns = record, record.time_ns + record.b
                    if state in layout.SIZED_STATES + layout.EPOCH_STATES:
                        size, number = divmod(record.a, 1 << 32)
                        number = -1 if number == (1 << 32) - 1 else number
                elif key in begun:
                    begin, end_ns = begun.pop(key), record.time_ns
                else:
                    continue
                moment = end_ns if state == State.INDEX_WAIT else begin.time_ns
                batch = identifier(moment, number) if state in BATCH_STATES else -1
                if state in layout.EPOCH_STATES and number >= 0:
                    batch = batch_id(size, number)
                value = size if state in END_B_STATES else begin.a if state in BEGIN_A_STATES else 0
                if state == State.SAMPLER_CLASS:
                    value = names.setdefault(process.names[record.a], len(names))
                used[lane.key] = lane
                depth = lane_table.depth_of(State(state), lane.key == "main")
                spans.setdefault((lane.key, depth), []).append((begin.time_ns, end_ns, state, batch, value))
        for lane, record in imports:
            outer = sum(1 for _, o in imports if o.time_ns <= record.time_ns and o.time_ns + o.b >= record.time_ns + record.b) - 1
            value = names.setdefault(process.names[record.a], len(names))
            row = (record.time_ns, record.time_ns + record.b, int(State.IMPORT), -1, value)
            spans.setdefault((lane.key, lane_table.IMPORT_DEPTH + outer), []).append(row)
        for (_, state), record in begun.items():
            lane = _lane_of(process, record)
            depth = lane_table.depth_of(State(state), lane.key == "main")
            batch = (
                identifier(record.time_ns, record.a) if state in BATCH_STATES - {State.WAIT, State.INDEX_WAIT, State.DESERIALISE} else -1
            )
            open_spans.append(OpenSpan(lane.key, depth, state, record.time_ns, batch))
    trace.names = {number: name for name, number in names.items()}
    trace.open_spans = tuple(open_spans)
    _add_flights(simulation, spans, used)
    for lane in sorted(used.values(), key=lambda lane: lane.order):
        trace.lanes[lane.key] = lane
    for (key, depth), rows in spans.items():
        columns = zip(*sorted(rows), strict=True)
        trace.track(trace.lanes[key], depth).append(
            **dict(zip(("start_ns", "end_ns", "state", "batch", "value"), map(list, columns), strict=True))
        )
    for key, rows in points.items():
        columns = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
        trace.points_of(trace.lanes[key]).append(**dict(zip(("time_ns", "state", "batch", "value"), map(list, columns), strict=True)))
    _add_series(simulation, trace)
    return trace


def _process_name(process: Process) -> str:
    return f"worker-{process.worker}" if process.role == Role.WORKER else process.role


def _lane_of(process: Process, record: Record) -> Lane:
    if record.state == State.DEVICE_STEP:
        return lane_table.DEVICE_STEP_LANE
    if record.state == State.DEVICE_TRANSFER:
        return lane_table.DEVICE_TRANSFER_LANE
    if process.role == Role.WORKER:
        return lane_table.worker_lane(process.worker or 0)
    if process.role == Role.SERVER:
        return lane_table.SERVER_LANE
    if record.thread >= layout.THREAD_WORKER_BASE:
        return lane_table.worker_lane(record.thread - layout.THREAD_WORKER_BASE)
    return lane_table.PIN_LANE if record.thread == PIN_THREAD else lane_table.MAIN_LANE


def _add_flights(simulation: Simulation, spans: dict, used: dict[str, Lane]) -> None:
    """READY and WAITING_FOR_EARLIER of every batch, each batch in the slot that has been free longest when it was sent."""
    busy_until: list[int] = []
    handed_ns = 0
    for batch in simulation.hand_overs:
        handed_before_ns, handed_ns = handed_ns, batch.wait_end_ns
        if batch.sent_ns is None or batch.arrived_ns is None:
            continue
        slot = min(range(len(busy_until)), key=busy_until.__getitem__, default=0)
        if busy_until and busy_until[slot] > batch.sent_ns:
            slot = len(busy_until)
        busy_until[slot : slot + 1] = [batch.wait_end_ns]
        lane = lane_table.flight_lane(slot)
        used[lane.key] = lane
        rows = spans.setdefault((lane.key, 0), [])
        identifier = batch_id(batch.epoch, batch.batch)
        held_up = batch.arrived_ns < handed_before_ns
        rows.append((batch.sent_ns, batch.arrived_ns if held_up else batch.wait_end_ns, READY, identifier, 0))
        if held_up:
            rows.append((batch.arrived_ns, batch.wait_end_ns, WAITING_FOR_EARLIER, identifier, 0))


def _add_series(simulation: Simulation, trace: Trace) -> None:
    steps = [(batch.wait_end_ns, -1) for batch in simulation.hand_overs]
    steps += [(batch.sent_ns, 1) for batch in simulation.hand_overs if batch.sent_ns is not None]
    if not simulation.num_workers:
        return
    total, depth = 0, trace.series_of(QUEUE_DEPTH)
    for time_ns, step in sorted(steps, key=lambda pair: (pair[0], -pair[1])):
        total += step
        depth.append(time_ns=time_ns, value=total)
    asked, outstanding = 0, trace.series_of(OUTSTANDING)
    for record in simulation.main.records:
        asked += record.state == State.INDEX_PUT
        if record.form == END and (record.state == State.ITERATOR or (record.state == State.WAIT and record.a >= 0)):
            outstanding.append(time_ns=record.time_ns, value=asked if record.state == State.ITERATOR else record.b)
            asked = 0


QUEUE_DEPTH = SeriesInfo("queue_depth", "queue_depth", "ready batches", "batches")
OUTSTANDING = SeriesInfo("outstanding", "outstanding", "batches asked for", "batches")
