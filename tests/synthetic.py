"""Traces of a loader that never ran: a simulation whose every time is known, to check what is computed from traces.

    make_trace(num_workers=2, fetch_ns=8 * MS, step_ns=1 * MS)      the trace, built in plain Python
    write_logs(simulate(...), folder)                               the same as the event logs of its processes

The simulation follows torch's loader: `prefetch_factor * num_workers` batches are asked for in advance, batch i goes to
worker i mod num_workers, each batch that is handed out lets one more be asked for, and batches are handed out in order
(`in_order=False`: as they arrive). Nothing but what the parameters name takes time. So in the steady state a batch takes

    max((fetch_ns + collate_ns + send_ns) / num_workers, deserialise_ns + transfer_ns + step_ns + other_ns)

with workers, or the sum of fetch, collate, transfer, step and other without, and what main does not spend on deserialising,
transfer, step and other it spends waiting for a message.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable

from reference import reference_trace

from loaderscope.agent import layout
from loaderscope.agent.layout import BEGIN, COMPLETE, END, FEEDER_THREAD, INSTANT, MAIN_THREAD, PIN_THREAD, Role, State
from loaderscope.trace.model import Trace

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
START_NS = 5_000 * SECOND
MAIN_PID = 1000

Nanoseconds = int | Callable[[int], int]
"""A time, or a function from the batch index to it."""


@dataclasses.dataclass(frozen=True)
class Record:
    time_ns: int
    a: int
    b: int
    state: int
    form: int
    thread: int = MAIN_THREAD

    @property
    def written_ns(self) -> int:
        """When it is written: a COMPLETE record at its end."""
        return self.time_ns + self.b if self.form == COMPLETE else self.time_ns


@dataclasses.dataclass
class Process:
    """A process and the records it wrote, oldest first."""

    pid: int
    role: str
    worker: int | None
    opened_ns: int
    records: list[Record] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)

    def begin(self, time_ns: int, state: int, a: int = 0, b: int = 0, thread: int = MAIN_THREAD) -> None:
        self.records.append(Record(time_ns, a, b, state, BEGIN, thread))

    def end(self, time_ns: int, state: int, a: int = 0, b: int = 0, thread: int = MAIN_THREAD) -> None:
        self.records.append(Record(time_ns, a, b, state, END, thread))

    def span(self, start_ns: int, end_ns: int, state: int, a: int = 0, b: int = 0, thread: int = MAIN_THREAD) -> None:
        self.begin(start_ns, state, a, 0, thread)
        self.end(end_ns, state, a, b, thread)

    def instant(self, time_ns: int, state: int, a: int = 0, b: int = 0, thread: int = MAIN_THREAD) -> None:
        self.records.append(Record(time_ns, a, b, state, INSTANT, thread))

    def complete(self, start_ns: int, duration_ns: int, state: int, a: int = 0, thread: int = MAIN_THREAD) -> None:
        self.records.append(Record(start_ns, a, duration_ns, state, COMPLETE, thread))


@dataclasses.dataclass(frozen=True)
class HandOver:
    """One batch as main saw it: asked for at `wait_start_ns`, in hand at `wait_end_ns`, its step done at `done_ns`."""

    epoch: int
    batch: int
    worker: int
    sent_ns: int | None  # end of SEND; None with 0 workers
    arrived_ns: int | None
    wait_start_ns: int
    wait_end_ns: int
    done_ns: int


@dataclasses.dataclass
class Simulation:
    """The processes with their records, and the truth that was put into them."""

    processes: list[Process]
    hand_overs: list[HandOver] = dataclasses.field(default_factory=list)
    epochs: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # begin and end of each EPOCH span
    num_workers: int = 0

    @property
    def main(self) -> Process:
        return self.processes[0]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What to simulate; times in nanoseconds. A `step_ns` of None leaves the step out (a run without a consumer)."""

    num_workers: int = 2
    batches: int = 20
    epochs: int = 1
    fetch_ns: Nanoseconds = 4 * MS
    collate_ns: Nanoseconds = 1 * MS
    send_ns: int = 100 * US
    deserialise_ns: int = 50 * US
    transfer_ns: int = 0
    step_ns: Nanoseconds | None = 2 * MS
    other_ns: int = 20 * US
    pin_ns: int = 0
    pin_cpu_ns: int = 0  # of the pin thread for a batch
    device_ns: int = 0  # duration of a DEVICE_STEP that begins with each step
    start_ns: int = 2 * MS  # Process.start() of one worker, one after another
    startup_ns: int = 30 * MS  # from the begin of its Process.start() until a worker asks for its first index
    shutdown_ns: int = 5 * MS
    start_method: str = "fork"
    prefetch_factor: int = 2
    batch_size: int = 32
    persistent_workers: bool = False
    in_order: bool = True
    sample_events: bool = False
    fetch_cpu_share: float = 0.5  # thread CPU time of a fetch over its wall time
    pause_ns: int = 3 * MS  # between two epochs
    sampler_ns: int = 0  # of the sampler for a batch, in main; 0: too short to be recorded
    sampler_start_ns: int = 0  # more for the first batch of an epoch

    def fetch_of(self, batch: int) -> int:
        return self.fetch_ns(batch) if callable(self.fetch_ns) else self.fetch_ns

    def collate_of(self, batch: int) -> int:
        return self.collate_ns(batch) if callable(self.collate_ns) else self.collate_ns


def simulate(**parameters: object) -> Simulation:
    """Runs a `Scenario` given by its fields."""
    scenario = Scenario(**parameters)  # type: ignore[arg-type]
    main = Process(MAIN_PID, Role.MAIN, None, START_NS)
    simulation = Simulation([main], num_workers=scenario.num_workers)
    workers: list[_Worker] = []
    now = START_NS + 10 * US
    for epoch in range(scenario.epochs):
        now = _Epoch(scenario, simulation, epoch, workers).run(now) + scenario.pause_ns
    if scenario.persistent_workers:
        for worker in workers:
            worker.stop(now)
    for process in simulation.processes:
        process.records.sort(key=lambda record: record.written_ns)  # stable: threads of one process interleave
    return simulation


def write_logs(simulation: Simulation, folder: pathlib.Path) -> None:
    """Writes each process's records as the chain of segments that it would have written."""
    for process in simulation.processes:
        with LogWriter(folder, process) as writer:
            writer.write(process.records)


def make_trace(**parameters: object) -> Trace:
    """The finished trace of a `Scenario` given by its fields."""
    return reference_trace(simulate(**parameters))


class LogWriter:
    """Writes one process's event log with `struct` alone; records are there for readers as soon as `write` returns."""

    def __init__(self, folder: pathlib.Path, process: Process) -> None:
        self._folder, self._process = folder, process
        self._stem = f"{process.pid}-{process.opened_ns}"
        self._position = 0
        self._file = None
        (folder / (self._stem + layout.NAMES_SUFFIX)).write_text("".join(json.dumps(name) + "\n" for name in process.names), "utf-8")
        self._open_segment()

    def write(self, records: Iterable[Record]) -> None:
        """Appends records."""
        for record in records:
            self.write_at(self._position, record)
            self._position += 1

    def skip(self, count: int = 1) -> None:
        """Leaves holes, as threads that died between taking a slot and filling it."""
        for _ in range(count):
            self._seek(self._position)
            self._position += 1

    def write_at(self, position: int, record: Record) -> None:
        """Writes a record of the newest segment at its index in the chain."""
        self._seek(position)
        kind = (record.state << layout.FORM_BITS) | record.form
        self._file.write(layout.RECORD.pack(record.time_ns, record.a, record.b, kind, record.thread, position + 1))
        self._file.flush()

    def write_header(self, **changes: object) -> None:
        """Writes the newest segment's header again."""
        process = self._process
        header = {
            layout.Header.VERSION: layout.LAYOUT_VERSION,
            layout.Header.PID: process.pid,
            layout.Header.PARENT_PID: MAIN_PID if process.role != Role.MAIN else 1,
            layout.Header.ROLE: process.role,
            layout.Header.WORKER: process.worker,
            layout.Header.OPENED_NS: process.opened_ns,
            layout.Header.FIRST: self._segment * layout.SEGMENT_RECORDS,
            **changes,
        }
        self._file.seek(0)
        self._file.write(json.dumps(header).encode().ljust(layout.HEADER_BYTES, b"\0"))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open_segment(self) -> None:
        self.close()
        self._segment = self._position // layout.SEGMENT_RECORDS
        path = self._folder / f"{self._stem}.{self._segment:04d}{layout.SUFFIX}"
        self._file = path.open("w+b")
        self._file.truncate(layout.SEGMENT_BYTES)
        self.write_header()

    def _seek(self, position: int) -> None:
        if position // layout.SEGMENT_RECORDS > self._segment:
            self._open_segment()
        self._file.seek(layout.HEADER_BYTES + position % layout.SEGMENT_RECORDS * layout.RECORD.size)


class _Worker:
    """A worker process that serves batches one after another."""

    def __init__(self, scenario: Scenario, process: Process, free_ns: int) -> None:
        self.scenario, self.process = scenario, process
        self.free_ns = free_ns  # when it asks for its next index

    def serve(self, epoch: int, batch: int, put_ns: int) -> int:
        """Fetches, collates and sends a batch asked for at `put_ns`; returns when it is sent."""
        scenario, process = self.scenario, self.process
        start = max(self.free_ns, put_ns)
        process.begin(self.free_ns, State.INDEX_WAIT)
        process.end(start, State.INDEX_WAIT, batch)
        end = _fetch_and_collate(scenario, process, batch, start)
        half, self.free_ns = end + scenario.send_ns // 2, end + scenario.send_ns
        process.complete(end, scenario.send_ns, State.SEND, batch)
        process.complete(end, half - end, State.SERIALISE, layout.batch_and_bytes(batch, 4096), FEEDER_THREAD)
        process.complete(half, self.free_ns - half, State.TRANSMIT, layout.batch_and_bytes(batch, 4096), FEEDER_THREAD)
        return self.free_ns

    def stop(self, time_ns: int) -> None:
        self.process.begin(self.free_ns, State.INDEX_WAIT)
        self.free_ns = max(time_ns, self.free_ns)
        self.process.end(self.free_ns, State.INDEX_WAIT, -1)


def _fetch_and_collate(scenario: Scenario, process: Process, batch: int, start_ns: int) -> int:
    fetch, collate = scenario.fetch_of(batch), scenario.collate_of(batch)
    process.begin(start_ns, State.FETCH, batch, scenario.batch_size)
    if scenario.sample_events:
        for i in range(scenario.batch_size):
            process.instant(start_ns + fetch * i // scenario.batch_size, State.SAMPLE, batch * scenario.batch_size + i, batch)
    process.end(start_ns + fetch, State.FETCH, batch, int(fetch * scenario.fetch_cpu_share))
    process.span(start_ns + fetch, start_ns + fetch + collate, State.COLLATE, batch)
    return start_ns + fetch + collate


class _Epoch:
    """One epoch: main's loop, with the workers' work worked out when their indices are put."""

    def __init__(self, scenario: Scenario, simulation: Simulation, epoch: int, workers: list[_Worker]) -> None:
        self.scenario, self.simulation, self.epoch, self.workers = scenario, simulation, epoch, workers
        self.main = simulation.main
        self.asked = 0
        self.messages: list[tuple[int, int, int]] = []  # ready for main, sent, batch
        self.arrived: dict[int, tuple[int, int]] = {}  # batch: sent, arrived
        self.pin_free_ns = 0

    def run(self, now: int) -> int:
        scenario, main, begin = self.scenario, self.main, now
        main.begin(now, State.EPOCH, self.epoch)
        main.begin(now, State.ITERATOR, self.epoch)
        if scenario.num_workers and not (scenario.persistent_workers and self.epoch):
            self.workers.clear()
            for worker in range(scenario.num_workers):
                now = self._start_worker(worker, now)
        for _ in range(scenario.num_workers * scenario.prefetch_factor):
            now = self._ask(now)
        main.end(now, State.ITERATOR, self.epoch)
        for count in range(scenario.batches):
            now = self._next(count, now)
        main.begin(now, State.WAIT, self.epoch)
        if scenario.num_workers and not scenario.persistent_workers:
            main.span(now, now + scenario.shutdown_ns, State.SHUTDOWN, self.epoch)
            for worker in self.workers:
                worker.stop(now)
            now += scenario.shutdown_ns
        main.end(now, State.WAIT, -1, 0)
        main.end(now, State.EPOCH, self.epoch, scenario.batches)
        self.simulation.epochs.append((begin, now))
        return now

    def _start_worker(self, worker: int, now: int) -> int:
        scenario, main = self.scenario, self.main
        pid, quarter, third = 2000 + self.epoch * 64 + worker, scenario.start_ns // 4, scenario.startup_ns // 3
        process = Process(pid, Role.WORKER, worker, now + quarter)
        self.simulation.processes.append(process)
        main.begin(now, State.START_WORKER, worker)
        entry = now + quarter
        if scenario.start_method != "fork":
            main.begin(now + quarter, State.PICKLE, worker)
            main.end(now + 3 * quarter, State.PICKLE, worker, 1024)
            process.names += ["torch", "numpy"]
            process.complete(now, quarter, State.CREATE)
            process.complete(now + quarter, quarter, State.BOOT)
            process.begin(now + 2 * quarter, State.MAIN_IMPORT)
            process.complete(now + third // 2, third // 4, State.IMPORT, 1)
            process.complete(now + 2 * quarter, third, State.IMPORT, 0)
            process.end(now + 2 * third, State.MAIN_IMPORT)
            process.span(now + 2 * third, now + 2 * third + quarter, State.UNPICKLE)
            entry = now + 2 * third + quarter
        process.span(entry, now + scenario.startup_ns, State.LOOP_ENTRY)
        main.end(now + scenario.start_ns, State.START_WORKER, worker, pid)
        self.workers.append(_Worker(scenario, process, now + scenario.startup_ns))
        return now + scenario.start_ns

    def _draw(self, batch: int, now: int) -> int:
        """The sampler's work for a batch; returns when it has ended."""
        scenario, main = self.scenario, self.main
        taken_ns = scenario.sampler_ns + (0 if batch else scenario.sampler_start_ns)
        if taken_ns:
            main.complete(now, taken_ns, State.SAMPLER, batch)
            if not main.names:
                main.names.append(layout.sampler_name("Neighbours", "/a/train.py:7"))
                main.complete(now, 0, State.SAMPLER_CLASS, 0)
        return now + taken_ns

    def _ask(self, now: int) -> int:
        if self.asked == self.scenario.batches:
            return now
        batch, worker = self.asked, self.asked % self.scenario.num_workers
        self.asked += 1
        now = self._draw(batch, now)
        self.main.instant(now, State.INDEX_PUT, batch, worker)
        sent = self.workers[worker].serve(self.epoch, batch, now)
        self.messages.append((sent, sent, batch))
        return now

    def _pop_message(self) -> tuple[int, int, int]:
        """The next message that reaches main: when it is there, when it was sent, its batch."""
        self.messages.sort()
        ready, sent, batch = self.messages.pop(0)
        if self.scenario.pin_ns:
            start = max(ready, self.pin_free_ns)
            ready = self.pin_free_ns = start + self.scenario.pin_ns
            self.main.span(start, ready, State.PIN, batch, self.scenario.pin_cpu_ns, PIN_THREAD)
        return ready, sent, batch

    def _next(self, count: int, now: int) -> int:
        scenario, main, begin = self.scenario, self.main, now
        main.begin(now, State.WAIT, self.epoch)
        if scenario.num_workers:
            batch, now = self._receive(count, now)
            sent, arrived = self.arrived.pop(batch)
            now = self._ask(now)
        else:
            batch, sent, arrived = count, None, None
            now = self._draw(batch, now)
            now = _fetch_and_collate(scenario, main, batch, now)
        main.end(now, State.WAIT, batch, self.asked - count - 1 if scenario.num_workers else 0)
        in_hand = now
        if scenario.transfer_ns:
            main.span(now, now + scenario.transfer_ns, State.TRANSFER, batch)
            now += scenario.transfer_ns
        if scenario.step_ns is not None:
            step_ns = scenario.step_ns(count) if callable(scenario.step_ns) else scenario.step_ns
            main.span(now, now + step_ns, State.STEP, batch)
            if scenario.device_ns:
                main.complete(now, scenario.device_ns, State.DEVICE_STEP, layout.batch_of_epoch(self.epoch, batch))
            now += step_ns
        worker = batch % scenario.num_workers if scenario.num_workers else -1
        self.simulation.hand_overs.append(HandOver(self.epoch, batch, worker, sent, arrived, begin, in_hand, now))
        return now + scenario.other_ns

    def _receive(self, wanted: int, now: int) -> tuple[int, int]:
        while True:
            if self.scenario.in_order and wanted in self.arrived:
                return wanted, now
            ready, sent, batch = self._pop_message()
            waited_ns = max(ready - now, 0)
            self.main.complete(now, waited_ns, State.RECEIVE, layout.batch_and_bytes(-1, 4096))
            now += waited_ns
            self.main.complete(now, self.scenario.deserialise_ns, State.DESERIALISE, batch)
            now += self.scenario.deserialise_ns
            self.main.instant(now, State.ARRIVE, batch, batch % self.scenario.num_workers)
            self.arrived[batch] = (sent, now)
            if not self.scenario.in_order:
                return batch, now
