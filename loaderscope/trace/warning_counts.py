"""Counts the warnings and log messages of the user's code by text, apart from spans and points."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import FORM_BITS, INSTANT, MAIN_THREAD, REST, THREAD_WORKER_BASE, State
from loaderscope.trace.model import Trace, Warned
from loaderscope.trace.process_logs import Source, Sources
from loaderscope.trace.record_decoder import RecordBatch

_KIND = State.WARNED << FORM_BITS | INSTANT
_NAMELESS_KIND = "Warning"
"""The kind of warnings whose text the agent could not keep."""

_Key = tuple[int, int, int]
"""Number of the process, thread, and line in the names of the process."""


class WarningCounter:
    """Takes the WARNED records out of the new records and counts them."""

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        self._counts: dict[_Key, tuple[int, int]] = {}  # time of the first, and how many
        self._names: dict[int, list[str]] = {}  # by source
        self._is_incomplete = False  # a process has not written a name yet

    def take_out(self, batch: RecordBatch) -> RecordBatch:
        """Counts the WARNED records and returns the others. They must go, because a sample ends at the next record of its thread."""
        is_warned = batch.records["kind"] == _KIND
        if not is_warned.any():
            if self._is_incomplete:
                self._publish()
            return batch
        warned = batch.select(is_warned)
        records = warned.records
        keys = np.stack((warned.source, records["thread"].astype(np.int64), records["a"]), axis=1)
        distinct_keys, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        first_ns = np.full(len(distinct_keys), np.iinfo(np.int64).max)
        np.minimum.at(first_ns, inverse.reshape(-1), records["time_ns"])
        for (number, thread, line), time_ns, count in zip(distinct_keys.tolist(), first_ns.tolist(), counts.tolist(), strict=True):
            earlier_ns, earlier_count = self._counts.get((number, thread, line), (time_ns, 0))
            self._counts[number, thread, line] = min(earlier_ns, time_ns), earlier_count + count
        self._publish()
        return batch.select(~is_warned)

    def _publish(self) -> None:
        self._is_incomplete = False
        rows: dict[tuple[str | None, str, str, str], Warned] = {}
        for (number, thread, line), (first_ns, count) in self._counts.items():
            key = _process(self._sources[number], thread), *self._name(number, line)
            earlier = rows.get(key)  # of the process that had this name in an earlier epoch
            rows[key] = Warned(
                *key,
                first_ns if earlier is None else min(first_ns, earlier.first_ns),
                count + (earlier.count if earlier is not None else 0),
            )
        self._trace.warned = tuple(sorted(rows.values(), key=lambda row: row.first_ns))

    def _name(self, number: int, line: int) -> tuple[str, str, str]:
        names = self._names.get(number, [])
        if line >= len(names):
            names = self._names[number] = self._sources[number].chain.names()
            self._is_incomplete |= line >= len(names)
        parts = names[line].split("\0", 2) if 0 <= line < len(names) else []
        return (parts[0], parts[1], parts[2]) if len(parts) == 3 else (_NAMELESS_KIND, "", REST)


def _process(source: Source, thread: int) -> str | None:
    if source.is_main and thread >= THREAD_WORKER_BASE:
        return f"worker-{thread - THREAD_WORKER_BASE}"
    return source.name if thread == MAIN_THREAD and source.name.startswith(("main", "worker-")) else None
