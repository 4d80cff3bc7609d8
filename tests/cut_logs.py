"""Event logs that end at any record, as processes leave them that were killed there."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from loaderscope.agent import layout
from loaderscope.trace.log_segments import RECORD_DTYPE

_FIRST = f".0000{layout.SUFFIX}"


@dataclasses.dataclass(frozen=True)
class Log:
    """One process's records, all in one segment, with their names."""

    stem: str
    header: bytes
    records: npt.NDArray[np.void]
    names: bytes

    def write(self, folder: pathlib.Path, count: int, lost: Iterable[int] = ()) -> None:
        """Writes the first `count` records, without those at the rows `lost`, which threads had begun to write."""
        records = self.records[:count].copy()
        records[[row for row in lost if row < count]] = np.zeros((), RECORD_DTYPE)
        with (folder / f"{self.stem}{_FIRST}").open("wb") as file:
            file.write(self.header)
            file.write(records.tobytes())
            file.truncate(layout.SEGMENT_BYTES)
        (folder / f"{self.stem}{layout.NAMES_SUFFIX}").write_bytes(self.names)


def read_logs(folder: pathlib.Path) -> list[Log]:
    """The logs in a folder, of which none is longer than a segment."""
    found = []
    for path in sorted(folder.glob(f"*{_FIRST}")):
        data = path.read_bytes()
        stem = path.name.removesuffix(_FIRST)
        records = np.frombuffer(data[layout.HEADER_BYTES :], RECORD_DTYPE)
        names = folder / f"{stem}{layout.NAMES_SUFFIX}"
        written = records[: int(np.flatnonzero(records["sequence"])[-1]) + 1] if records["sequence"].any() else records[:0]
        found.append(Log(stem, data[: layout.HEADER_BYTES], written, names.read_bytes() if names.exists() else b""))
    return found
