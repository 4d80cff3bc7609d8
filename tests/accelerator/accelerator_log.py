"""Reads the logs of the simulated accelerator."""

from __future__ import annotations

import enum
import pathlib
import struct
from typing import NamedTuple

_COUNT = struct.Struct("=q")
_RECORD = struct.Struct("=5q")


class Kind(enum.IntEnum):
    """What happened in a period. The numbers are those of source/log.h."""

    KERNEL = 0
    COPY_TO_DEVICE = 1
    COPY_TO_HOST = 2
    COPY_ON_DEVICE = 3
    WAIT_FOR_STREAM = 4
    WAIT_FOR_EVENT = 5
    WAIT_FOR_DEVICE = 6
    WAIT_FOR_COPY = 7

    @property
    def is_work(self) -> bool:
        """Whether the device is busy; else the host waits for it."""
        return self < Kind.WAIT_FOR_STREAM


class Record(NamedTuple):
    """A period on the clock of `perf_counter_ns`. `stream`: -1 if the host waits for all streams of the device."""

    kind: Kind
    device: int
    stream: int
    start_ns: int
    end_ns: int


def read_log(stem: pathlib.Path) -> list[Record]:
    """Returns the records of all processes that loaded the accelerator with this stem, process by process."""
    records = []
    for path in sorted(stem.parent.glob(f"{stem.name}.*")):
        data = path.read_bytes()
        (count,) = _COUNT.unpack_from(data)
        rows = _RECORD.iter_unpack(data[_COUNT.size : _COUNT.size + count * _RECORD.size])
        records += [Record(Kind(kind), *rest) for kind, *rest in rows]
    return records
