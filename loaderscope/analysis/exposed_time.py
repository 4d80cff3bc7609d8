"""Exposed loading time: when a recorded training waited for data, for which loader, and what it did outside its loaders."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN, EpochRun, device_spans, read_epochs
from loaderscope.analysis.span_lookup import Int64Array, complement, covered_ns, intersection, spans_of, union
from loaderscope.facts.recorded_use import EpochUse, LoaderUse, ProcessUse, TrainingGap
from loaderscope.facts.results import TrialResult
from loaderscope.trace.model import Trace

Intervals = tuple[Int64Array, Int64Array]

MOST_BINS = 200
MIN_BIN_S = 0.1
MOST_GAPS = 20
MIN_GAP_S = 0.01
"""A shorter time between two loaders is no gap."""
MIN_LONG_STEP_S = 0.5
LONG_STEP_FACTOR = 10.0
"""A step longer than both, so many times the loader's median step, did something else besides."""

_BIN_WIDTHS_S = tuple(factor * 10.0**power for power in range(-1, 6) for factor in (1, 2, 5))


def with_exposed_time(
    results: Sequence[TrialResult], traces: Sequence[Trace], began_ns: int, log: Callable[[str], None], *, skips_start: bool = False
) -> list[TrialResult]:
    """Returns the results of a recorded training with what it spent on its loaders; unchanged if that fails, or if main's own spans
    were so many that older ones are no longer in memory.

    Args:
        results: of all its loaders.
        traces: of the same loaders, finished.
        began_ns: when the recording began, on the clock of the traces: with the script, unless the recording had bounds.
        log: gets the traceback if it fails.
        skips_start: whether the recording began later than the script, so that the first batch is unknown.
    """
    by_pid: dict[int, list[_Loader]] = {}
    try:
        if any(trace.forgotten_spans(MAIN, State.ITERATOR, State.WAIT).spans for trace in traces):
            return list(results)
        for number, (result, trace) in enumerate(zip(results, traces, strict=True)):
            if result.loader is not None:
                by_pid.setdefault(result.loader.pid, []).append(_read_loader(number, result.loader, trace))
        uses = dict(use for loaders in by_pid.values() for use in _uses_of_process(loaders, began_ns, skips_start))
    except Exception as error:  # an error of the analysis must not hide how the training ended
        log(f"How long the training waited could not be analysed: {error}\n{traceback.format_exc()}")
        return list(results)
    return [dataclasses.replace(result, loader=uses.get(number, result.loader)) for number, result in enumerate(results)]


@dataclasses.dataclass(frozen=True)
class _Loader:
    """A loader of a process: its place among the results, when main waited for it, its epochs and steps; `ends_ns` see `_with_ends`."""

    number: int
    use: LoaderUse
    trace: Trace
    waits: Intervals
    epochs: list[EpochRun]
    steps: Intervals
    ends_ns: Int64Array

    @property
    def starts_ns(self) -> Int64Array:
        return np.array([epoch.start_ns for epoch in self.epochs], np.int64)

    @property
    def spans(self) -> Intervals:
        """Its epochs, sorted by start."""
        return self.starts_ns, self.ends_ns


def _read_loader(number: int, use: LoaderUse, trace: Trace) -> _Loader:
    waits = spans_of(trace, MAIN, State.ITERATOR, State.WAIT)
    steps = spans_of(trace, MAIN, State.STEP)
    epochs = read_epochs(trace)
    ends_ns = np.array([epoch.end_ns for epoch in epochs], np.int64)
    return _Loader(number, use, trace, (waits.start_ns, waits.end_ns), epochs, (steps.start_ns, steps.end_ns), ends_ns)


def _uses_of_process(loaders: Sequence[_Loader], began_ns: int, skips_start: bool) -> Iterator[tuple[int, LoaderUse]]:
    """Yields the number of each loader, and its use with what the training spent on it."""
    loaders = [_with_ends(loader, [other for other in loaders if other is not loader]) for loader in loaders]
    ended_ns = began_ns + round(loaders[0].use.measured_s * 1e9)
    busy = [spans for loader in loaders if (spans := device_spans(loader.trace)) is not None]
    idle = complement(_concatenated([b.start_ns for b in busy]), _concatenated([b.end_ns for b in busy]), began_ns, ended_ns)
    known = [loader for loader in loaders if loader.use.wait_s is not None]
    waits = union(_concatenated([loader.waits[0] for loader in known]), _concatenated([loader.waits[1] for loader in known]))
    exposed = intersection(waits, idle)
    bin_s, shares = _shares_over_time(exposed, began_ns, ended_ns)
    first_ns = min((int(epoch.wait_end_ns[0]) for loader in loaders for epoch in loader.epochs if epoch.batches), default=None)
    process = ProcessUse(
        began_ns=began_ns,
        wait_s=_seconds(waits),
        exposed_s=_seconds(exposed),
        first_batch_s=None if first_ns is None or skips_start else max(0, first_ns - began_ns) / 1e9,
        bin_s=bin_s,
        exposed_shares=shares,
        gaps=_gaps(loaders, began_ns, ended_ns),
    )
    optimizer_steps = _optimizer_steps(loaders)
    for position, loader in enumerate(loaders):
        is_known = loader.use.wait_s is not None
        yield (
            loader.number,
            dataclasses.replace(
                loader.use,
                exposed_s=_seconds(intersection(loader.waits, idle)) if is_known else None,
                optimizer_steps=optimizer_steps[position],
                epochs=[_epoch_use(loader, number, idle, began_ns, ended_ns) for number in range(len(loader.epochs))],
                process=process if not position else None,
            ),
        )


def _with_ends(loader: _Loader, others: Sequence[_Loader]) -> _Loader:
    """Returns the loader with the ends of its epochs.

    An epoch that the script left early is open until the loader is iterated again. It really ends, at the latest, when the script turns
    to another loader after its last batch.
    """
    turns_ns = np.sort(_concatenated([other.waits[0] for other in others]))
    ends_ns = []
    for epoch in loader.epochs:
        last_ns = int(epoch.wait_end_ns[-1]) if epoch.batches else epoch.iterator_end_ns
        row = int(np.searchsorted(turns_ns, last_ns, side="right"))
        is_left = not epoch.complete and row < len(turns_ns)
        ends_ns.append(min(epoch.end_ns, int(turns_ns[row])) if is_left else epoch.end_ns)
    return dataclasses.replace(loader, ends_ns=np.array(ends_ns, np.int64))


def _epoch_use(loader: _Loader, number: int, idle: Intervals, began_ns: int, ended_ns: int) -> EpochUse:
    epoch, end_ns = loader.epochs[number], int(loader.ends_ns[number])
    waits = _within(loader.waits, epoch.start_ns, end_ns)
    is_known = loader.use.wait_s is not None
    next_ns = loader.epochs[number + 1].start_ns if number + 1 < len(loader.epochs) else ended_ns
    last_step_ns = min(int(epoch.host_done_ns[-1]), end_ns) if epoch.batches else epoch.iterator_end_ns
    return EpochUse(
        start_s=(epoch.start_ns - began_ns) / 1e9,
        seconds=max(0, end_ns - epoch.start_ns) / 1e9,
        wait_s=_seconds(waits) if is_known else None,
        exposed_s=_seconds(intersection(waits, idle)) if is_known else None,
        until_next_s=max(0, next_ns - last_step_ns) / 1e9,
    )


def _shares_over_time(exposed: Intervals, began_ns: int, ended_ns: int) -> tuple[float, list[float]]:
    """Returns a width in seconds, and the share of each such part of the training that the intervals cover."""
    training_s = (ended_ns - began_ns) / 1e9
    bin_s = next((width for width in _BIN_WIDTHS_S if width >= max(MIN_BIN_S, training_s / MOST_BINS)), training_s)
    if training_s <= 0:
        return bin_s, []
    edges_ns = np.append(np.arange(began_ns, ended_ns, round(bin_s * 1e9)), ended_ns)
    starts, ends = exposed
    if not len(starts):
        return bin_s, [0.0] * (len(edges_ns) - 1)
    corners_ns = np.column_stack((starts, ends)).ravel() - began_ns  # floats hold differences exactly
    covered = np.column_stack((np.cumsum(ends - starts) - (ends - starts), np.cumsum(ends - starts))).ravel()
    until_edge_ns = np.interp(edges_ns - began_ns, corners_ns, covered)
    return bin_s, np.clip(np.diff(until_edge_ns) / np.diff(edges_ns), 0.0, 1.0).tolist()


def _optimizer_steps(loaders: Sequence[_Loader]) -> list[int | None]:
    """Returns how many steps of optimizers lie in the epochs of each loader; within nested epochs they belong to the inner one."""
    times_ns = np.sort(_concatenated([_optimizer_times_ns(loader.trace) for loader in loaders]))
    if not len(times_ns):
        return [None] * len(loaders)
    owners = np.full(len(times_ns), -1)
    epochs = [(int(start), int(end), position) for position, one in enumerate(loaders) for start, end in zip(*one.spans, strict=True)]
    for start_ns, end_ns, position in sorted(epochs):
        owners[np.searchsorted(times_ns, start_ns) : np.searchsorted(times_ns, end_ns)] = position
    return [int((owners == position).sum()) or None for position in range(len(loaders))]


def _optimizer_times_ns(trace: Trace) -> Int64Array:
    points = trace.points.get(MAIN)
    if points is None:
        return np.empty(0, np.int64)
    view = points.view()
    times_ns: Int64Array = view["time_ns"][view["state"] == int(State.OPTIMIZER_STEP)].astype(np.int64)
    return times_ns


@dataclasses.dataclass(frozen=True)
class _Lines:
    """The lines of the script in which main was seen: names with the spans of each."""

    spans: Intervals
    names: list[str]

    def longest_in(self, low_ns: int, high_ns: int) -> str | None:
        """Returns the line in which main was longest between two times; None if it was not seen then."""
        seconds: dict[str, int] = {}
        starts, ends = self.spans
        for row in np.flatnonzero((starts <= high_ns) & (ends >= low_ns)).tolist():
            overlap_ns = min(int(ends[row]), high_ns) - max(int(starts[row]), low_ns)
            seconds[self.names[row]] = seconds.get(self.names[row], 0) + overlap_ns
        return max(seconds, key=seconds.__getitem__, default=None)


def _lines_of(loaders: Sequence[_Loader]) -> _Lines:
    spans = [(spans_of(loader.trace, MAIN, State.MAIN_LINE), loader.trace.names) for loader in loaders]
    names = [names.get(number, "") for columns, names in spans for number in columns.value.tolist()]
    starts = _concatenated([columns.start_ns for columns, _ in spans])
    return _Lines((starts, _concatenated([columns.end_ns for columns, _ in spans])), names)


def _gaps(loaders: Sequence[_Loader], began_ns: int, ended_ns: int) -> list[TrainingGap]:
    """Returns the longest times outside loaders, in the order of time."""
    lines = _lines_of(loaders)
    epochs = [(*bounds, loader.use.name) for loader in loaders for bounds in zip(*map(np.ndarray.tolist, loader.spans), strict=True)]
    outside = complement(*_all_epochs(loaders), began_ns, ended_ns)
    found: list[tuple[int, int, str | None]] = [(start, end, None) for start, end in _rows(outside) if end - start >= MIN_GAP_S * 1e9]
    for loader in loaders:
        others = _all_epochs([other for other in loaders if other is not loader])
        found += [(start, end, loader.use.name) for start, end in _long_parts_of_steps(loader, others)]
    longest = sorted(found, key=lambda gap: gap[0] - gap[1])[:MOST_GAPS]
    return [
        TrainingGap(
            start_s=(start_ns - began_ns) / 1e9,
            seconds=(end_ns - start_ns) / 1e9,
            line=lines.longest_in(start_ns, end_ns) or None,
            before=step_of or max(((end, name) for _, end, name in epochs if end <= start_ns), default=(0, None))[1],
            after=step_of or min(((start, name) for start, _, name in epochs if start >= end_ns), default=(0, None))[1],
            in_step_of=step_of,
        )
        for start_ns, end_ns, step_of in sorted(longest, key=lambda gap: gap[:2])
    ]


def _long_parts_of_steps(loader: _Loader, others: Intervals) -> Iterator[tuple[int, int]]:
    """Yields the parts of steps that are far longer than most; epochs of other loaders that began within a step are left out."""
    starts, ends = loader.steps
    if not len(starts):
        return
    longest_usual_ns = max(LONG_STEP_FACTOR * float(np.median(ends - starts)), MIN_LONG_STEP_S * 1e9)
    long = ends - starts > longest_usual_ns
    for start_ns, step_end_ns in _rows((starts[long], ends[long])):
        epoch = int(np.searchsorted(loader.starts_ns, start_ns, side="right")) - 1
        end_ns = min(step_end_ns, int(loader.ends_ns[epoch])) if epoch >= 0 else step_end_ns
        inner = others[0] >= start_ns
        for part in _rows(complement(others[0][inner], others[1][inner], start_ns, end_ns)):
            if part[1] - part[0] > longest_usual_ns:
                yield part


def _all_epochs(loaders: Sequence[_Loader]) -> Intervals:
    return _concatenated([loader.spans[0] for loader in loaders]), _concatenated([loader.spans[1] for loader in loaders])


def _rows(intervals: Intervals) -> Iterator[tuple[int, int]]:
    return zip(intervals[0].tolist(), intervals[1].tolist(), strict=True)


def _within(intervals: Intervals, low_ns: int, high_ns: int) -> Intervals:
    """Returns the parts of the intervals in [low_ns, high_ns], without overlaps."""
    return union(np.clip(intervals[0], low_ns, high_ns), np.clip(intervals[1], low_ns, high_ns))


def _concatenated(parts: Sequence[Int64Array]) -> Int64Array:
    return np.concatenate([np.empty(0, np.int64), *parts])


def _seconds(intervals: Intervals) -> float:
    if not len(intervals[0]):
        return 0.0
    return covered_ns(*intervals, int(intervals[0].min()), int(intervals[1].max())) / 1e9
