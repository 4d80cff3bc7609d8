"""The processes of a trial: finds their logs, assigns lanes to them, and reads all new records together."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from loaderscope.agent import layout
from loaderscope.agent.layout import COMPLETE, INNER_LOADER, PIN_THREAD, THREAD_WORKER_BASE, Header, Role, State
from loaderscope.facts.lanes import WORKER
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Ints
from loaderscope.trace.log_segments import Records, SegmentChain
from loaderscope.trace.model import Lane, ProcessInfo
from loaderscope.trace.record_decoder import STATE_COUNT, Bools, RecordBatch

MAIN_LANE_NUMBER = 0
"""The number of the main lane; while records are decoded, numbers stand for lanes."""

_FIXED_LANES = [
    lane_table.MAIN_LANE,
    lane_table.PIN_LANE,
    lane_table.SERVER_LANE,
    lane_table.INNER_LANE,
    lane_table.DEVICE_STEP_LANE,
    lane_table.DEVICE_STREAM_LANE,
    lane_table.DEVICE_TRANSFER_LANE,
    lane_table.DEVICE_OVERLAP_LANE,
    lane_table.DEVICE_EXACT_LANE,
]
_PIN, _SERVER, INNER_LANE_NUMBER = map(_FIXED_LANES.index, (lane_table.PIN_LANE, lane_table.SERVER_LANE, lane_table.INNER_LANE))
_NO_LANE = -1
_DEVICE_LANE = np.full(STATE_COUNT, _NO_LANE, np.int64)
"""By state: the lane of what a device did, which main's log holds."""
for _lane, _states in (
    (lane_table.DEVICE_STEP_LANE, (State.DEVICE_STEP, State.DEVICE_STEP_ISSUE)),
    (lane_table.DEVICE_STREAM_LANE, (State.DEVICE_STREAM, State.DEVICE_STREAM_ISSUE)),
    (lane_table.DEVICE_TRANSFER_LANE, (State.DEVICE_TRANSFER, State.DEVICE_TRANSFER_ISSUE)),
    (lane_table.DEVICE_OVERLAP_LANE, (State.DEVICE_OVERLAP,)),
    (lane_table.DEVICE_EXACT_LANE, (State.DEVICE_WORK,)),
):
    _DEVICE_LANE[list(_states)] = _FIXED_LANES.index(_lane)
_WORKERS = 16  # number of worker 0's lane
_NAMELESS = 1 << 20  # first lane number for processes whose log has no worker number

QUIET_POLLS = 20
"""After this many polls without a record, the reader closes the log of a replaced worker."""


def is_loading_lane(lane: Ints) -> Bools:
    """Whether each lane is one in which main iterates the loader."""
    loading: Bools = (lane == MAIN_LANE_NUMBER) | (lane == INNER_LANE_NUMBER)
    return loading


@dataclasses.dataclass
class Source:
    """A process of the trial.

    Attributes:
        lane: the number of its lane.
        newest_ns: time of its newest record.
        replaced: a newer process has its worker number, so this one has ended.
    """

    number: int
    chain: SegmentChain
    lane: int
    name: str
    newest_ns: int = 0
    replaced: bool = False
    quiet_polls: int = 0
    closed: bool = False

    @property
    def is_main(self) -> bool:
        return self.chain.header.get(Header.ROLE) == Role.MAIN

    def process_info(self, ended: bool) -> ProcessInfo:
        """Returns the process as the trace lists it."""
        return ProcessInfo(
            self.name, self.header_number(Header.PID), self.header_number(Header.OPENED_NS), self.newest_ns if ended else None
        )

    def header_number(self, key: str) -> int:
        value = self.chain.header.get(key)
        return value if isinstance(value, int) else 0


class Sources:
    """All processes that have a log so far, in the order in which the reader found them."""

    def __init__(self, folder: pathlib.Path, deletes_read: bool = False) -> None:
        self._folder, self._deletes_read = folder, deletes_read
        self._known_stems: set[str] = set()
        self._all: list[Source] = []
        self._extra_lanes: dict[int, Lane] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Source:
        return self._all[number]

    def read(self, final: bool) -> RecordBatch:
        """Returns the new records of all processes.

        Reads main last: if main caused a record of a worker, main's record is then in the same result or an earlier one.
        """
        self._find_new_logs()
        parts = []
        for source in sorted(self._all, key=lambda source: source.is_main):
            if final or not source.closed:
                parts += [(source.number, records) for records in self._read_one(source, final)]
        batch = RecordBatch.of(parts)
        self._update_newest_times(batch)
        return batch

    def close(self) -> None:
        """Closes all files."""
        for source in self._all:
            source.chain.close()

    def replaced_and_newest_ns(self) -> tuple[Bools, Ints]:
        """Returns for each process whether a newer one replaced it, and the time of its newest record."""
        return np.array([s.replaced for s in self._all], np.bool_), np.array([s.newest_ns for s in self._all], np.int64)

    def processes(self, ended: bool) -> list[ProcessInfo]:
        """Returns the processes as the trace lists them, main first, then by start; `ended` says that all of them have ended."""
        processes = [source.process_info(ended or source.replaced) for source in self._all]
        return sorted(processes, key=lambda process: (process.name != Role.MAIN, process.started_ns))

    def stop_reasons(self) -> list[str]:
        """Returns the reasons of the processes that ended their recording early, without duplicates."""
        reasons = {str(source.chain.stop_reason()) for source in self._all if source.chain.stop_reason() is not None}
        return sorted(reasons)

    def hole_count(self) -> int:
        """Returns how many records were begun and never finished."""
        return sum(source.chain.holes for source in self._all)

    def lane_numbers(self, source: Ints, thread: Ints, state: Ints) -> Ints:
        """Returns for each span or point the number of its lane."""
        lane_of_source = np.array([source.lane for source in self._all], np.int64)
        lane = lane_of_source[source]
        in_main = lane == MAIN_LANE_NUMBER
        lane = np.where(in_main & (thread == PIN_THREAD), _PIN, lane)
        lane = np.where(in_main & (thread == INNER_LOADER), INNER_LANE_NUMBER, lane)
        lane = np.where(in_main & (thread >= THREAD_WORKER_BASE), thread - THREAD_WORKER_BASE + _WORKERS, lane)
        of_device = _DEVICE_LANE[state]
        return np.where(of_device == _NO_LANE, lane, of_device)

    def lane(self, number: int) -> Lane:
        """Returns the lane with a number."""
        if number < len(_FIXED_LANES):
            return _FIXED_LANES[number]
        return self._extra_lanes.get(number) or lane_table.worker_lane(number - _WORKERS)

    def _find_new_logs(self) -> None:
        first = f".0000{layout.SUFFIX}"
        try:
            stems = sorted(path.name[: -len(first)] for path in self._folder.iterdir() if path.name.endswith(first))
        except FileNotFoundError:
            return
        for stem in stems:
            if stem not in self._known_stems:
                chain = SegmentChain(self._folder, stem, self._deletes_read)
                if chain.read_header() and chain.header.get(Header.VERSION) == layout.LAYOUT_VERSION:
                    self._known_stems.add(stem)
                    self._all.append(self._new_source(chain))
                else:
                    chain.close()

    def _read_one(self, source: Source, final: bool) -> list[Records]:
        records = source.chain.read(final)
        source.quiet_polls = 0 if records else source.quiet_polls + 1
        if source.replaced and source.quiet_polls > QUIET_POLLS:
            source.closed = True
            source.chain.close()
            if self._deletes_read:
                source.chain.delete()
        return records

    def _new_source(self, chain: SegmentChain) -> Source:
        """Returns a new process with its lane; marks the process that it replaces."""
        number, role, worker = len(self._all), chain.header.get(Header.ROLE), chain.header.get(Header.WORKER)
        if role == Role.MAIN:
            return Source(number, chain, MAIN_LANE_NUMBER, Role.MAIN)
        if role == Role.SERVER:
            return Source(number, chain, _SERVER, Role.SERVER)
        if isinstance(worker, int) and 0 <= worker < _NAMELESS - _WORKERS:
            for other in self._all:
                other.replaced |= other.lane == _WORKERS + worker
            return Source(number, chain, _WORKERS + worker, f"worker-{worker}")
        name = f"process-{chain.header.get(Header.PID)}"
        self._extra_lanes[_NAMELESS + number] = Lane(name, WORKER.kind, name.replace("-", " "), 5_000 + number)
        return Source(number, chain, _NAMELESS + number, name)

    def _update_newest_times(self, batch: RecordBatch) -> None:
        newest = np.zeros(len(self._all), np.int64)
        records = batch.records
        np.maximum.at(newest, batch.source, records["time_ns"] + np.where(batch.form == COMPLETE, np.maximum(records["b"], 0), 0))
        for source in self._all:
            source.newest_ns = max(source.newest_ns, int(newest[source.number]), source.header_number(Header.OPENED_NS))
