"""Follows the event logs of a trial while it runs and fills its trace."""

from __future__ import annotations

import pathlib

import numpy as np

from loaderscope.agent.layout import COMPLETE, FORM_BITS, INSTANT, STACKS_SUFFIX, Header, State
from loaderscope.facts.lanes import CPU_STEP, LaneFact
from loaderscope.trace import lane_table
from loaderscope.trace.batch_flight import Flights
from loaderscope.trace.columns import Ints, append_points, append_spans
from loaderscope.trace.imports import Imports
from loaderscope.trace.log_segments import Chain
from loaderscope.trace.model import OpenSpan, Trace
from loaderscope.trace.process_logs import MAIN_NUMBER, Sources
from loaderscope.trace.record_decoder import Batch, DecodedSpans, Epochs, Matcher, depth, groups, points
from loaderscope.trace.warning_counts import WarnedCounter

_DEPTHS = 1 << 10  # room for the depths of one lane in a track's number; imports nest at most as deep as Python's recursion
_END_OF_TIME = int(np.iinfo(np.int64).max)

MAX_BYTES = 1 << 20
"""Of one process's text; a process that hangs for long dumps the same again and again."""


class TraceReader:
    """Reads the logs in a folder into a trace. All methods are for one thread.

    Args:
        log_dir: the folder that the trial's processes write to; it need not exist yet.
        trace: filled by `poll` and `finish`.
        num_workers: workers of the trial, whose lanes are then there from the start.
        step: if given, main's STEP spans are repeated on this lane (for machines without device events); not
            those of a step on the CPU once a device tells its times, which it does before the first step.
    """

    def __init__(self, log_dir: str | pathlib.Path, trace: Trace, num_workers: int | None = None, step: LaneFact | None = None) -> None:
        self._trace = trace
        self._sources = Sources(pathlib.Path(log_dir))
        self._epochs = Epochs()
        self._matcher = Matcher()
        self._imports = Imports(trace, self._sources)
        self._warned = WarnedCounter(trace, self._sources)
        self._flights = Flights(trace)
        self._step = step
        self._step_lane = lane_table.lane_of(step) if step is not None else None
        for worker in range(num_workers or 0):
            lane = lane_table.worker_lane(worker)
            trace.lanes.setdefault(lane.key, lane)

    def poll(self) -> bool:
        """Takes in what was written since the last call; says whether there was anything."""
        return self._advance(final=False)

    def stopped(self) -> list[str]:
        """Why processes ended their recording early (a full disk), where they did; their silence says nothing any more."""
        return self._sources.stopped()

    def finish(self) -> None:
        """Takes in the rest, ends open spans at the newest record, and lets go of the files. Nothing may write any more."""
        self._advance(final=True)
        self._sources.close()
        self._trace.notes += self._sources.stopped()
        holes = self._sources.holes()
        if holes:
            self._trace.notes.append(f"{holes} records were begun and not finished by threads that died; they are left out.")

    def _advance(self, final: bool) -> bool:
        trace, sources = self._trace, self._sources
        read_until_ns = trace.newest_ns  # by now, every log has been read up to what was newest at the last call
        found = sources.read(final)
        if not len(found) and not final:
            return False
        batch = self._warned.take_out(found)  # they are no sign that the trial goes on
        if len(batch):
            self._note_times(batch)
            self._epochs.learn(batch)
            if self._step is CPU_STEP and _tells_device_times(batch):
                self._step_lane = None
        others = self._imports.take_out(batch)
        spans = self._matcher.match(others)
        self._add_spans(spans.then(self._close_open(final)), *self._imports.ended(others, final))
        self._add_points(others)
        self._flights.advance(_END_OF_TIME if final else read_until_ns)
        self._publish_open()
        trace.processes = sources.processes(ended=final)
        trace.record_count += len(found)
        trace.version += 1
        return len(found) > 0

    def _note_times(self, batch: Batch) -> None:
        time_ns, duration_ns = batch.records["time_ns"], np.maximum(batch.records["b"], 0)
        if self._trace.origin_ns is None:
            self._trace.origin_ns = int(time_ns.min())
        newest_ns = int((time_ns + np.where(batch.form == COMPLETE, duration_ns, 0)).max())
        self._trace.newest_ns = max(self._trace.newest_ns, newest_ns)

    def _close_open(self, final: bool) -> DecodedSpans:
        """Ends what replaced processes left open, and at the end everything."""
        number = self._matcher.open.source
        replaced, newest_ns = self._sources.replaced()
        end_ns = np.where(replaced, newest_ns, self._trace.newest_ns)[number]
        which = replaced[number] | final
        return self._matcher.close(which, end_ns[which])

    def _add_spans(self, spans: DecodedSpans, imports: DecodedSpans, import_depths: Ints, import_names: Ints) -> None:
        value = np.concatenate((spans.value(), import_names))
        plain = len(spans)
        spans = spans.then(imports)
        batch = spans.batch(self._epochs)
        lane = self._sources.lane_numbers(spans.source, spans.thread, spans.state)
        depths = depth(spans.state, lane == MAIN_NUMBER)
        depths[plain:] = import_depths
        track = lane * _DEPTHS + depths - lane_table.LOWEST_DEPTH
        columns = {"start_ns": spans.start_ns, "end_ns": spans.end_ns, "state": spans.state, "batch": batch, "value": value}
        for number, rows in groups(track, spans.start_ns, spans.end_ns):
            target = self._trace.track(self._sources.lane(number // _DEPTHS), number % _DEPTHS + lane_table.LOWEST_DEPTH)
            append_spans(target, **{name: column[rows] for name, column in columns.items()})
        if self._step_lane:
            steps = (spans.state == State.STEP) & (lane == MAIN_NUMBER)
            for _, rows in groups(np.where(steps, 0, -1), spans.start_ns)[-1:] if steps.any() else ():
                append_spans(self._trace.track(self._step_lane, 0), **{name: column[rows] for name, column in columns.items()})
        self._flights.add_spans(spans.state, spans.end_ns, batch, value)

    def _add_points(self, batch: Batch) -> None:
        found = points(batch, self._epochs)
        lane = self._sources.lane_numbers(found.source, found.thread, found.state)
        columns = {"time_ns": found.time_ns, "state": found.state, "batch": found.batch, "value": found.value}
        for number, rows in groups(lane, found.time_ns):
            target = self._trace.points_of(self._sources.lane(number))
            append_points(target, **{name: column[rows] for name, column in columns.items()})
        self._flights.add_points(found.state, found.time_ns, found.batch)

    def _publish_open(self) -> None:
        begun = self._matcher.open
        state, thread = begun.state, begun.records["thread"].astype(np.int64)
        lane = self._sources.lane_numbers(begun.source, thread, state)
        depths = depth(state, lane == MAIN_NUMBER)
        columns = (lane, depths, state, begun.records["time_ns"], self._matcher.open_batches(self._epochs))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self._trace.open_spans = tuple(OpenSpan(self._sources.lane(number).key, *rest) for number, *rest in rows)


def _tells_device_times(batch: Batch) -> bool:
    return bool((batch.records["kind"] == (State.DEVICE_ANCHOR << FORM_BITS | INSTANT)).any())


def read_stacks(log_dir: str | pathlib.Path) -> str:
    """The text of all stack files of a trial, each under a line that names its process; "" where there is none."""
    folder, parts = pathlib.Path(log_dir), []
    for path in sorted(folder.glob(f"*{STACKS_SUFFIX}")):
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", "replace").strip()
        if text:
            parts.append(f"{_title(folder, path.name[: -len(STACKS_SUFFIX)])}:\n{text}")
    return "\n\n".join(parts)


def _title(folder: pathlib.Path, stem: str) -> str:
    chain = Chain(folder, stem)
    chain.read_header()
    chain.close()
    worker = chain.header.get(Header.WORKER)
    name = f"worker-{worker}" if isinstance(worker, int) else str(chain.header.get(Header.ROLE, "process"))
    return f"{name} (pid {stem.partition('-')[0]})"
