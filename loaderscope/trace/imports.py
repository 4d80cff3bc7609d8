"""Imports within start-up: the only spans that nest in spans of their own kind, and that carry a name."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import COMPLETE, FORM_BITS, State
from loaderscope.trace import lanes
from loaderscope.trace.decode import Batch, groups
from loaderscope.trace.model import Lane, Trace
from loaderscope.trace.segments import Records
from loaderscope.trace.sources import Source, Sources
from loaderscope.trace.tracks import append_spans


class Imports:
    """Holds IMPORT records back until a record of another kind follows them: then their outermost import has ended.

    There are at most some hundreds in a process, so these are handled one by one.
    """

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        self._held: dict[int, list[Records]] = {}
        self._numbers: dict[str, int] = {}  # of names in trace.names

    def take(self, batch: Batch, final: bool) -> Batch:
        """Takes the IMPORT records out of these, adds the spans that are known by now, and returns the other records."""
        is_import = batch.records["kind"] == (State.IMPORT << FORM_BITS | COMPLETE)
        if not self._held and not is_import.any():
            return batch
        imports, others = batch.select(is_import), batch.select(~is_import)
        for number, rows in groups(imports.source):
            self._held.setdefault(number, []).append(imports.records[rows])
        followed = set(np.unique(others.source).tolist())
        for number in [number for number in self._held if final or number in followed]:
            self._add(self._sources[number], np.concatenate(self._held.pop(number)))
        return others

    def _add(self, source: Source, rows: Records) -> None:
        names = source.chain.names()
        start_ns, end_ns = rows["time_ns"], rows["time_ns"] + np.maximum(rows["b"], 0)
        depths = nesting_depths(start_ns.tolist(), end_ns.tolist())
        value = np.array([self._name_number(names, line) for line in rows["a"].tolist()], np.int64)
        assert source.lane is not None
        lane = self._sources.lane(source.lane)
        for depth, inside in groups(np.array(depths, np.int64), start_ns):
            self._append(lane, lanes.IMPORT_DEPTH + depth, rows[inside], end_ns[inside], value[inside])

    def _append(
        self, lane: Lane, depth: int, rows: Records, end_ns: np.typing.NDArray[np.int64], value: np.typing.NDArray[np.int64]
    ) -> None:
        state, batch = np.full(len(rows), int(State.IMPORT)), np.full(len(rows), -1)
        append_spans(self._trace.track(lane, depth), rows["time_ns"], end_ns, state=state, batch=batch, value=value)

    def _name_number(self, names: list[str], line: int) -> int:
        """The trace's number of the name on a line, or -1."""
        if not 0 <= line < len(names):
            return -1
        number = self._numbers.setdefault(names[line], len(self._numbers))
        self._trace.names.setdefault(number, names[line])
        return number


def nesting_depths(start_ns: list[int], end_ns: list[int]) -> list[int]:
    """In how many of the others each of these spans lies; they nest or are apart."""
    depths = [0] * len(start_ns)
    outer: list[int] = []  # ends of the spans around
    for number in sorted(range(len(start_ns)), key=lambda i: (start_ns[i], -end_ns[i])):
        while outer and outer[-1] < end_ns[number]:
            outer.pop()
        depths[number] = len(outer)
        outer.append(end_ns[number])
    return depths
