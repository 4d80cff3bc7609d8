"""Imports within start-up: the only spans that nest in spans of their own kind, and that carry a name."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import COMPLETE, END, FORM_BITS, MAIN_THREAD, State
from loaderscope.trace import lanes
from loaderscope.trace.decode import Batch, Ints, Spans, groups, whole_spans
from loaderscope.trace.model import Trace
from loaderscope.trace.segments import Records
from loaderscope.trace.sources import Source, Sources


class Imports:
    """Holds IMPORT records back until a span begins or ends behind them: then their outermost import has ended.

    There are at most some hundreds in a process, so these are handled one by one.
    """

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        self._held: dict[int, list[Records]] = {}
        self._numbers: dict[str, int] = {}  # of names in trace.names

    def take_out(self, batch: Batch) -> Batch:
        """Takes the IMPORT records out of these and returns the others."""
        is_import = batch.records["kind"] == (State.IMPORT << FORM_BITS | COMPLETE)
        if not is_import.any():
            return batch
        imports = batch.select(is_import)
        for number, rows in groups(imports.source):
            self._held.setdefault(number, []).append(imports.records[rows])
        return batch.select(~is_import)

    def ended(self, others: Batch, final: bool) -> tuple[Spans, Ints, Ints]:
        """The imports that are known to have ended now that these records follow: spans, depths, and numbers of their names."""
        if not self._held:
            return whole_spans(Batch.empty()), np.empty(0, np.int64), np.empty(0, np.int64)
        spans, depths, values = whole_spans(Batch.empty()), [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number in [n for n in self._held if final or self._sources[n].replaced or self._is_followed(n, others)]:
            added = whole_spans(Batch.of([(number, records) for records in self._held.pop(number)]))
            spans = spans.then(added)
            depths.append(lanes.IMPORT_DEPTH + np.array(nesting_depths(added.start_ns.tolist(), added.end_ns.tolist()), np.int64))
            values.append(self._name_numbers(self._sources[number], added.a))
        return spans, np.concatenate(depths), np.concatenate(values)

    def _is_followed(self, number: int, others: Batch) -> bool:
        """Whether a span of the importing thread begins or ends behind the last held import: none does within an import."""
        brackets = (others.source == number) & (others.form <= END) & (others.records["thread"] == MAIN_THREAD)
        last = max(int(records["sequence"][-1]) for records in self._held[number])
        return bool((others.records["sequence"][brackets] > last).any())

    def _name_numbers(self, source: Source, lines: Ints) -> Ints:
        """The trace's numbers of the names on these lines of a process's names; -1 where there is none."""
        names, found = source.chain.names(), []
        for line in lines.tolist():
            name = names[line] if 0 <= line < len(names) else None
            number = -1 if name is None else self._numbers.setdefault(name, len(self._numbers))
            if name is not None:
                self._trace.names.setdefault(number, name)
            found.append(number)
        return np.array(found, np.int64)


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
