"""Reads what the processes of a trial leave: follows their event logs while the trial runs and fills its trace; reads their stacks."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from loaderscope.agent.layout import COMPLETE, FORM_BITS, INSTANT, STACKS_SUFFIX, Header, State
from loaderscope.facts.lanes import CPU_STEP, LaneFact
from loaderscope.trace import lane_table
from loaderscope.trace.batch_flight import FlightTracker
from loaderscope.trace.columns import Ints, append_points, append_spans
from loaderscope.trace.imports import Imports
from loaderscope.trace.log_segments import SegmentChain
from loaderscope.trace.model import OpenSpan, Trace
from loaderscope.trace.process_logs import INNER_LANE_NUMBER, MAIN_LANE_NUMBER, Sources, is_loading_lane
from loaderscope.trace.record_decoder import DecodedSpans, Epochs, RecordBatch, SpanMatcher, decode_points, depths_of, row_groups
from loaderscope.trace.warning_counts import WarningCounter

_DEPTHS = 1 << 10  # room for the depths of one lane in a track's number; imports nest at most as deep as Python's recursion
_END_OF_TIME = int(np.iinfo(np.int64).max)

MAX_BYTES = 1 << 20
"""Limit for the text of one process: a process that hangs for long dumps the same stack again and again."""


class TraceReader:
    """Reads the logs in a folder into a trace. One thread calls all methods.

    Attributes:
        from_ns, until_ns: the trace holds nothing outside of these times; a span that crosses one is cut there.

    Args:
        log_dir: the folder for the logs of the trial's processes; it need not exist yet.
        trace: `poll` and `finish` fill it.
        num_workers: workers of the trial; their lanes then exist from the start.
        step: a lane on which the reader repeats main's STEP spans (for machines without device events). It stops repeating steps
            on the CPU once a device reports its times, which happens before the first step.
        deletes_read: deletes what it has read, so that a long recording does not fill the disk.
    """

    def __init__(
        self,
        log_dir: str | pathlib.Path,
        trace: Trace,
        num_workers: int | None = None,
        step: LaneFact | None = None,
        deletes_read: bool = False,
    ) -> None:
        self.from_ns, self.until_ns = 0, _END_OF_TIME
        self._trace = trace
        self._sources = Sources(pathlib.Path(log_dir), deletes_read)
        self._epochs = Epochs()
        self._matcher = SpanMatcher()
        self._imports = Imports(trace, self._sources)
        self._warnings = WarningCounter(trace, self._sources)
        self._flights = FlightTracker(trace)
        self._step = step
        self._step_lane = lane_table.lane_of(step) if step is not None else None
        for worker in range(num_workers or 0):
            lane = lane_table.worker_lane(worker)
            trace.lanes.setdefault(lane.key, lane)

    def poll(self) -> bool:
        """Reads the records since the last call; returns whether there were any."""
        return self._read_new(final=False)

    def stop_reasons(self) -> list[str]:
        """Returns why processes ended their recording early (a full disk). Such a process is silent even if it does not hang."""
        return self._sources.stop_reasons()

    def finish(self) -> None:
        """Reads the rest, ends open spans at the newest record, and closes the files. No process may write any more."""
        self._read_new(final=True)
        self._sources.close()
        self._trace.notes += self._sources.stop_reasons()
        holes = self._sources.hole_count()
        if holes:
            self._trace.notes.append(f"{holes} records were begun and not finished by threads that died; they are left out.")

    def _read_new(self, final: bool) -> bool:
        trace, sources = self._trace, self._sources
        read_until_ns = trace.newest_ns  # this call reads every log at least up to the newest record of the last call
        new = sources.read(final)
        if not len(new) and not final:
            return False
        batch = self._warnings.take_out(new)  # warnings are no sign that the trial makes progress
        if len(batch):
            self._note_times(batch)
            self._epochs.add_starts(batch)
            if self._step is CPU_STEP and _has_device_times(batch):
                self._step_lane = None
        others = self._imports.take_out(batch)
        spans = self._matcher.match(others)
        self._add_spans(spans.then(self._end_open_spans(final)), *self._imports.take_complete(others, final))
        self._add_points(others)
        self._flights.advance(_END_OF_TIME if final else read_until_ns)
        self._publish_open_spans()
        trace.processes = sources.processes(ended=final)
        trace.record_count += len(new)
        trace.version += 1
        return len(new) > 0

    def _note_times(self, batch: RecordBatch) -> None:
        time_ns, duration_ns = batch.records["time_ns"], np.maximum(batch.records["b"], 0)
        if self._trace.origin_ns is None:
            self._trace.origin_ns = self._within_bounds(int(time_ns.min()))
        newest_ns = self._within_bounds(int((time_ns + np.where(batch.form == COMPLETE, duration_ns, 0)).max()))
        self._trace.newest_ns = max(self._trace.newest_ns, newest_ns)

    def _within_bounds(self, time_ns: int) -> int:
        return min(max(time_ns, self.from_ns), self.until_ns)

    def _end_open_spans(self, final: bool) -> DecodedSpans:
        """Ends the open spans of replaced processes; with `final` all open spans."""
        number = self._matcher.open.source
        replaced, newest_ns = self._sources.replaced_and_newest_ns()
        end_ns = np.where(replaced, newest_ns, self._trace.newest_ns)[number]
        which = replaced[number] | final
        return self._matcher.end_open(which, end_ns[which])

    def _add_spans(self, spans: DecodedSpans, imports: DecodedSpans, import_depths: Ints, import_names: Ints) -> None:
        value = np.concatenate((spans.value(), import_names))
        plain = len(spans)
        spans = spans.then(imports)
        batch = spans.batch(self._epochs)
        lane = self._sources.lane_numbers(spans.source, spans.thread, spans.state)
        depths = depths_of(spans.state, is_loading_lane(lane))
        depths[plain:] = import_depths
        track = lane * _DEPTHS + depths - lane_table.LOWEST_DEPTH
        is_outside = (spans.end_ns < self.from_ns) | (spans.start_ns > self.until_ns)
        if is_outside.any():
            kept = ~is_outside
            spans, batch, value, lane, track = spans.select(kept), batch[kept], value[kept], lane[kept], track[kept]
        start_ns, end_ns = (np.clip(times, self.from_ns, self.until_ns) for times in (spans.start_ns, spans.end_ns))
        columns = {"start_ns": start_ns, "end_ns": end_ns, "state": spans.state, "batch": batch, "value": value}
        for number, rows in row_groups(track, spans.start_ns, spans.end_ns):
            target = self._trace.track(self._sources.lane(number // _DEPTHS), number % _DEPTHS + lane_table.LOWEST_DEPTH)
            append_spans(target, **{name: column[rows] for name, column in columns.items()})
        if self._step_lane:
            steps = (spans.state == State.STEP) & (lane == MAIN_LANE_NUMBER)
            for _, rows in row_groups(np.where(steps, 0, -1), spans.start_ns)[-1:] if steps.any() else ():
                append_spans(self._trace.track(self._step_lane, 0), **{name: column[rows] for name, column in columns.items()})
        ends_flight = (spans.state != State.WAIT) | (lane != INNER_LANE_NUMBER)  # a batch is in flight until the consumer has it
        self._flights.add_spans(spans.state[ends_flight], end_ns[ends_flight], batch[ends_flight], value[ends_flight])

    def _add_points(self, batch: RecordBatch) -> None:
        points = decode_points(batch, self._epochs)
        points = points.select((points.time_ns >= self.from_ns) & (points.time_ns <= self.until_ns))
        lane = self._sources.lane_numbers(points.source, points.thread, points.state)
        columns = {"time_ns": points.time_ns, "state": points.state, "batch": points.batch, "value": points.value}
        for number, rows in row_groups(lane, points.time_ns):
            target = self._trace.points_of(self._sources.lane(number))
            append_points(target, **{name: column[rows] for name, column in columns.items()})
        self._flights.add_points(points.state, points.time_ns, points.batch)

    def _publish_open_spans(self) -> None:
        begun = self._matcher.open
        state, thread = begun.state, begun.records["thread"].astype(np.int64)
        lane = self._sources.lane_numbers(begun.source, thread, state)
        depths = depths_of(state, is_loading_lane(lane))
        begins = np.clip(begun.records["time_ns"], self.from_ns, self.until_ns)
        columns = (lane, depths, state, begins, self._matcher.open_batches(self._epochs))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self._trace.open_spans = tuple(OpenSpan(self._sources.lane(number).key, *rest) for number, *rest in rows)


def _has_device_times(batch: RecordBatch) -> bool:
    return bool((batch.records["kind"] == (State.DEVICE_ANCHOR << FORM_BITS | INSTANT)).any())


def stack_sizes(log_dir: str | pathlib.Path) -> dict[str, int]:
    """Returns the bytes of each stack file of a trial, by its name."""
    return {path.name: path.stat().st_size for path in pathlib.Path(log_dir).glob(f"*{STACKS_SUFFIX}")}


def read_stacks(log_dir: str | pathlib.Path, after: Mapping[str, int] | None = None) -> str:
    """Returns the Python stacks that processes of a trial wrote while they made no progress, or when they were asked.

    Args:
        log_dir: the folder of the trial's logs.
        after: bytes to leave out at the start of each file, as of `stack_sizes`.

    Returns:
        The text of all stack files, each under a line that names its process; "" if there is none.
    """
    folder, parts = pathlib.Path(log_dir), []
    for path in sorted(folder.glob(f"*{STACKS_SUFFIX}")):
        with path.open("rb") as file:
            file.seek((after or {}).get(path.name, 0))
            text = file.read(MAX_BYTES).decode("utf-8", "replace").strip()
        if text:
            parts.append(f"{_title(folder, path.name[: -len(STACKS_SUFFIX)])}:\n{text}")
    return "\n\n".join(parts)


def _title(folder: pathlib.Path, stem: str) -> str:
    chain = SegmentChain(folder, stem)
    chain.read_header()
    chain.close()
    worker = chain.header.get(Header.WORKER)
    name = f"worker-{worker}" if isinstance(worker, int) else str(chain.header.get(Header.ROLE, "process"))
    return f"{name} (pid {stem.partition('-')[0]})"
