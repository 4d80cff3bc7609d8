"""What the user's code warned of and logged: counted by text, apart from the spans and points."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import FORM_BITS, INSTANT, MAIN_THREAD, REST, THREAD_WORKER_BASE, State
from loaderscope.trace.model import Trace, Warned
from loaderscope.trace.process_logs import Source, Sources
from loaderscope.trace.record_decoder import Batch

_KIND = State.WARNED << FORM_BITS | INSTANT
_NAMELESS_KIND = "Warning"
"""Of those whose name could not be kept."""

_Said = tuple[int, int, int]
"""Number of the source, thread, line of its names."""


class WarnedCounter:
    """Takes the WARNED records out of what is read, and counts them."""

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        self._counts: dict[_Said, tuple[int, int]] = {}  # the first one's time, and how many
        self._names: dict[int, list[str]] = {}  # by source
        self._is_incomplete = False  # a name is still to be written

    def take_out(self, batch: Batch) -> Batch:
        """Counts those among these records and returns the others: a sample ends at the next record of its thread."""
        is_warned = batch.records["kind"] == _KIND
        if not is_warned.any():
            if self._is_incomplete:
                self._publish()
            return batch
        warned = batch.select(is_warned)
        records = warned.records
        said = np.stack((warned.source, records["thread"].astype(np.int64), records["a"]), axis=1)
        different, inverse, counts = np.unique(said, axis=0, return_inverse=True, return_counts=True)
        first_ns = np.full(len(different), np.iinfo(np.int64).max)
        np.minimum.at(first_ns, inverse.reshape(-1), records["time_ns"])
        for (number, thread, line), time_ns, count in zip(different.tolist(), first_ns.tolist(), counts.tolist(), strict=True):
            known_ns, known = self._counts.get((number, thread, line), (time_ns, 0))
            self._counts[number, thread, line] = min(known_ns, time_ns), known + count
        self._publish()
        return batch.select(~is_warned)

    def _publish(self) -> None:
        self._is_incomplete = False
        rows: dict[tuple[str | None, str, str, str], Warned] = {}
        for (number, thread, line), (first_ns, count) in self._counts.items():
            key = _process(self._sources[number], thread), *self._name(number, line)
            known = rows.get(key)  # of the process with this name in an epoch before
            rows[key] = Warned(
                *key, first_ns if known is None else min(first_ns, known.first_ns), count + (known.count if known is not None else 0)
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
