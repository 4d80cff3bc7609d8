"""Spans with names: imports (the only spans that nest in spans of their own state) and lines of the script's top level."""

from __future__ import annotations

import numpy as np

from loaderscope.agent.layout import COMPLETE, END, FORM_BITS, MAIN_THREAD, NAMED_STATES, State
from loaderscope.trace import lane_table
from loaderscope.trace.columns import Ints
from loaderscope.trace.log_segments import Records
from loaderscope.trace.model import Trace
from loaderscope.trace.process_logs import Source, Sources
from loaderscope.trace.record_decoder import DecodedSpans, RecordBatch, complete_spans, depths_of, row_groups

_KINDS = [state << FORM_BITS | COMPLETE for state in NAMED_STATES]


class Imports:
    """Holds back the records of `NAMED_STATES` until a span begins or ends after them: by then a process has written all of them.

    A process has at most some hundreds of them, so a Python loop handles them.
    """

    def __init__(self, trace: Trace, sources: Sources) -> None:
        self._trace, self._sources = trace, sources
        self._held_back: dict[int, list[Records]] = {}
        self._numbers: dict[str, int] = {}  # by name, as in trace.names

    def take_out(self, batch: RecordBatch) -> RecordBatch:
        """Keeps the records with names and returns the others."""
        is_named = np.isin(batch.records["kind"], _KINDS)
        if not is_named.any():
            return batch
        named = batch.select(is_named)
        for number, rows in row_groups(named.source):
            self._held_back.setdefault(number, []).append(named.records[rows])
        return batch.select(~is_named)

    def take_complete(self, others: RecordBatch, final: bool) -> tuple[DecodedSpans, Ints, Ints]:
        """Removes and returns the complete spans, their depths, and the numbers of their names.

        Args:
            others: the new records without names, which show what is complete.
            final: no record will follow, so everything is complete.
        """
        if not self._held_back:
            return complete_spans(RecordBatch.empty()), np.empty(0, np.int64), np.empty(0, np.int64)
        spans, depths, values = complete_spans(RecordBatch.empty()), [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for number in [n for n in self._held_back if final or self._sources[n].replaced or self._is_followed(n, others)]:
            added = complete_spans(RecordBatch.of([(number, records) for records in self._held_back.pop(number)]))
            spans = spans.then(added)
            depths.append(_depths(added))
            values.append(self._name_numbers(self._sources[number], added.a))
        return spans, np.concatenate(depths), np.concatenate(values)

    def _is_followed(self, number: int, others: RecordBatch) -> bool:
        """Whether a span of the importing thread begins or ends after the last record that is held back."""
        brackets = (others.source == number) & (others.form <= END) & (others.records["thread"] == MAIN_THREAD)
        last = max(int(records["sequence"][-1]) for records in self._held_back[number])
        return bool((others.records["sequence"][brackets] > last).any())

    def _name_numbers(self, source: Source, lines: Ints) -> Ints:
        """Returns the trace's number of each name, given by its line in the process's names; -1 where the line has no name."""
        names, numbers = source.chain.names(), []
        for line in lines.tolist():
            name = names[line] if 0 <= line < len(names) else None
            number = -1 if name is None else self._numbers.setdefault(name, len(self._numbers))
            if name is not None:
                self._trace.names.setdefault(number, name)
            numbers.append(number)
        return np.array(numbers, np.int64)


def _depths(spans: DecodedSpans) -> Ints:
    depths = depths_of(spans.state, np.zeros(len(spans), np.bool_))
    imports = np.flatnonzero(spans.state == State.IMPORT)
    depths[imports] = lane_table.IMPORT_DEPTH + np.array(
        nesting_depths(spans.start_ns[imports].tolist(), spans.end_ns[imports].tolist()), np.int64
    )
    return depths


def nesting_depths(start_ns: list[int], end_ns: list[int]) -> list[int]:
    """Returns for each span how many of the others it lies in. Any two spans nest or do not touch."""
    depths = [0] * len(start_ns)
    outer: list[int] = []  # ends of the spans around the current one
    for number in sorted(range(len(start_ns)), key=lambda i: (start_ns[i], -end_ns[i])):
        while outer and outer[-1] < end_ns[number]:
            outer.pop()
        depths[number] = len(outer)
        outer.append(end_ns[number])
    return depths
