"""The processes of a trial: finds their logs, tells which lane each belongs to, and reads all of them in one go."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from loaderscope.agent import layout
from loaderscope.agent.layout import COMPLETE, PIN_THREAD, THREAD_WORKER_BASE, Header, Role, State
from loaderscope.facts.lanes import WORKER
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Ints
from loaderscope.trace.log_segments import Chain, Records
from loaderscope.trace.model import Lane, ProcessInfo
from loaderscope.trace.record_decoder import Batch, Bools

MAIN_NUMBER = 0
"""The main lane's number; lanes go by numbers while records are decoded."""

_FIXED_LANES = [
    lane_table.MAIN_LANE,
    lane_table.PIN_LANE,
    lane_table.DEVICE_STEP_LANE,
    lane_table.DEVICE_TRANSFER_LANE,
    lane_table.DEVICE_EXACT_LANE,
    lane_table.SERVER_LANE,
]
_PIN, _DEVICE_STEP, _DEVICE_TRANSFER, _DEVICE_EXACT, _SERVER = map(
    _FIXED_LANES.index,
    (
        lane_table.PIN_LANE,
        lane_table.DEVICE_STEP_LANE,
        lane_table.DEVICE_TRANSFER_LANE,
        lane_table.DEVICE_EXACT_LANE,
        lane_table.SERVER_LANE,
    ),
)
_WORKERS = 16  # number of worker 0's lane
_NAMELESS = 1 << 20  # number of the first lane of a process whose log does not say which worker it is

_QUIET_POLLS = 20
"""After so many polls without news the log of a worker that has been replaced is closed."""


@dataclasses.dataclass
class Source:
    """A process of the trial.

    Attributes:
        lane: number of its lane.
        newest_ns: time of its newest record.
        replaced: another process has taken over its worker number, so this one has ended.
    """

    number: int
    chain: Chain
    lane: int
    name: str
    newest_ns: int = 0
    replaced: bool = False
    quiet_polls: int = 0
    closed: bool = False

    @property
    def is_main(self) -> bool:
        return self.chain.header.get(Header.ROLE) == Role.MAIN

    def info(self, ended: bool) -> ProcessInfo:
        """The process for the trace."""
        return ProcessInfo(
            self.name, self.header_number(Header.PID), self.header_number(Header.OPENED_NS), self.newest_ns if ended else None
        )

    def header_number(self, key: str) -> int:
        value = self.chain.header.get(key)
        return value if isinstance(value, int) else 0


class Sources:
    """All processes that have logged so far, in the order in which they were found."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._stems: set[str] = set()
        self._all: list[Source] = []
        self._extra_lanes: dict[int, Lane] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Source:
        return self._all[number]

    def read(self, final: bool) -> Batch:
        """New records of all processes.

        Workers are read before main, so what main did to cause a worker's record is always there too.
        """
        self._find()
        parts = []
        for source in sorted(self._all, key=lambda source: source.is_main):
            if final or not source.closed:
                parts += [(source.number, records) for records in self._read_one(source, final)]
        batch = Batch.of(parts)
        self._note_times(batch)
        return batch

    def close(self) -> None:
        """Lets go of all files."""
        for source in self._all:
            source.chain.close()

    def replaced(self) -> tuple[Bools, Ints]:
        """For each process, whether another has taken over, and the time of its newest record."""
        return np.array([s.replaced for s in self._all], np.bool_), np.array([s.newest_ns for s in self._all], np.int64)

    def processes(self, ended: bool) -> list[ProcessInfo]:
        """The processes for the trace, main first, then by start; with `ended` all of them have ended."""
        known = [source.info(ended or source.replaced) for source in self._all]
        return sorted(known, key=lambda process: (process.name != Role.MAIN, process.started_ns))

    def stopped(self) -> list[str]:
        """Why processes ended their recording early, where they did."""
        reasons = {str(source.chain.stopped()) for source in self._all if source.chain.stopped() is not None}
        return sorted(reasons)

    def holes(self) -> int:
        """Records that were begun and never finished."""
        return sum(source.chain.holes for source in self._all)

    def lane_numbers(self, source: Ints, thread: Ints, state: Ints) -> Ints:
        """The number of the lane that each span or point belongs to."""
        lane_of_source = np.array([source.lane for source in self._all], np.int64)
        lane = lane_of_source[source]
        in_main = lane == MAIN_NUMBER
        lane = np.where(in_main & (thread == PIN_THREAD), _PIN, lane)
        lane = np.where(in_main & (thread >= THREAD_WORKER_BASE), thread - THREAD_WORKER_BASE + _WORKERS, lane)
        lane = np.where(state == State.DEVICE_STEP, _DEVICE_STEP, lane)
        lane = np.where(state == State.DEVICE_WORK, _DEVICE_EXACT, lane)
        return np.where(state == State.DEVICE_TRANSFER, _DEVICE_TRANSFER, lane)

    def lane(self, number: int) -> Lane:
        """The lane of a number."""
        if number < len(_FIXED_LANES):
            return _FIXED_LANES[number]
        return self._extra_lanes.get(number) or lane_table.worker_lane(number - _WORKERS)

    def _find(self) -> None:
        first = f".0000{layout.SUFFIX}"
        try:
            stems = sorted(path.name[: -len(first)] for path in self._folder.iterdir() if path.name.endswith(first))
        except FileNotFoundError:
            return
        for stem in stems:
            if stem not in self._stems:
                chain = Chain(self._folder, stem)
                if chain.read_header() and chain.header.get(Header.VERSION) == layout.LAYOUT_VERSION:
                    self._stems.add(stem)
                    self._all.append(self._introduce(chain))
                else:
                    chain.close()

    def _read_one(self, source: Source, final: bool) -> list[Records]:
        records = source.chain.read(final)
        source.quiet_polls = 0 if records else source.quiet_polls + 1
        if source.replaced and source.quiet_polls > _QUIET_POLLS:
            source.closed = True
            source.chain.close()
        return records

    def _introduce(self, chain: Chain) -> Source:
        """A process that has not been seen before, with its lane."""
        number, role, worker = len(self._all), chain.header.get(Header.ROLE), chain.header.get(Header.WORKER)
        if role == Role.MAIN:
            return Source(number, chain, MAIN_NUMBER, Role.MAIN)
        if role == Role.SERVER:
            return Source(number, chain, _SERVER, Role.SERVER)
        if isinstance(worker, int) and 0 <= worker < _NAMELESS - _WORKERS:
            for other in self._all:
                other.replaced |= other.lane == _WORKERS + worker
            return Source(number, chain, _WORKERS + worker, f"worker-{worker}")
        name = f"process-{chain.header.get(Header.PID)}"
        self._extra_lanes[_NAMELESS + number] = Lane(name, WORKER.kind, name.replace("-", " "), 5_000 + number)
        return Source(number, chain, _NAMELESS + number, name)

    def _note_times(self, batch: Batch) -> None:
        newest = np.zeros(len(self._all), np.int64)
        records = batch.records
        np.maximum.at(newest, batch.source, records["time_ns"] + np.where(batch.form == COMPLETE, np.maximum(records["b"], 0), 0))
        for source in self._all:
            source.newest_ns = max(source.newest_ns, int(newest[source.number]), source.header_number(Header.OPENED_NS))
