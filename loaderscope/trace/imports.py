"""What carries a name: imports, the only spans that nest in spans of their own kind, and lines of the script's top level."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import COMPLETE, END, FORM_BITS, MAIN_THREAD, NAMED_STATES, State
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Ints
from loaderscope.trace.log_segments import Records
from loaderscope.trace.model import Trace
from loaderscope.trace.process_logs import Source, Sources
from loaderscope.trace.record_decoder import Batch, DecodedSpans, groups, whole_spans
from loaderscope.trace.record_decoder import depth as decoded_depth

_KINDS = [state << FORM_BITS | COMPLETE for state in NAMED_STATES]


class Imports:
    """Holds the records of `NAMED_STATES` back until a span begins or ends behind them: then all of a process are there.

    There are at most some hundreds in a process, so these are handled one by one.
    """

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        self._held: dict[int, list[Records]] = {}
        self._numbers: dict[str, int] = {}  # of names in trace.names

    def take_out(self, batch: Batch) -> Batch:
        """Takes the named records out of these and returns the others."""
        is_named = np.isin(batch.records["kind"], _KINDS)
        if not is_named.any():
            return batch
        named = batch.select(is_named)
        for number, rows in groups(named.source):
            self._held.setdefault(number, []).append(named.records[rows])
        return batch.select(~is_named)

    def ended(self, others: Batch, final: bool) -> tuple[DecodedSpans, Ints, Ints]:
        """The spans that are known to be complete now that these records follow, their depths, and the numbers of their names."""
        if not self._held:
            return whole_spans(Batch.empty()), np.empty(0, np.int64), np.empty(0, np.int64)
        spans, depths, values = whole_spans(Batch.empty()), [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number in [n for n in self._held if final or self._sources[n].replaced or self._is_followed(n, others)]:
            added = whole_spans(Batch.of([(number, records) for records in self._held.pop(number)]))
            spans = spans.then(added)
            depths.append(_depths(added))
            values.append(self._name_numbers(self._sources[number], added.a))
        return spans, np.concatenate(depths), np.concatenate(values)

    def _is_followed(self, number: int, others: Batch) -> bool:
        """Whether a span of the importing thread begins or ends behind the last held record."""
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


def _depths(spans: DecodedSpans) -> Ints:
    depths = decoded_depth(spans.state, np.zeros(len(spans), np.bool_))
    imports = np.flatnonzero(spans.state == State.IMPORT)
    depths[imports] = lane_table.IMPORT_DEPTH + np.array(
        nesting_depths(spans.start_ns[imports].tolist(), spans.end_ns[imports].tolist()), np.int64
    )
    return depths


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
