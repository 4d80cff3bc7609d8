"""Divides the time from `iter(loader)` to the first batch by phase and process, and computes how much of it phases explain.

The critical path of the first batch runs backwards from its delivery: main receives and deserialises it; before that its worker
sends, collates, fetches, waits for indices and starts up; before that main's `iter()` starts all workers. A moment is explained
if a phase on that path covers it. Main's waiting is no phase: of main's time blocked in the queue only the part after the
worker's send counts, while the batch is on its way.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN, EpochRun
from loaderscope.analysis.span_lookup import LOADING_LANES, SpanColumns, SpanLookup, complement, worker_lanes
from loaderscope.analysis.startup.culprit import StartFacts, find_culprit
from loaderscope.analysis.startup.main_import import read_imports, read_lines, read_start_imports
from loaderscope.facts.phases import PRECEDENCE
from loaderscope.facts.startup_results import Culprit, Phase, SentPart, StartImport, Startup
from loaderscope.trace.model import Trace

NS = 1e-9

PIN_LANE = "pin"

ONCE_PHASES = {
    State.CREATE: "create",
    State.BOOT: "boot",
    State.MAIN_IMPORT: "main_import",
    State.UNPICKLE: "unpickle",
    State.LOOP_ENTRY: "loop_entry",
    State.WORKER_INIT: "worker_init",
}
FIRST_PHASES = {
    State.FETCH: "first_fetch",
    State.COLLATE: "first_collate",
    State.SEND: "first_send",
}
MAIN_PHASES = {
    State.ITERATOR: "iterator",
    State.SERVER_START: "server_start",
    State.START_WORKER: "start_worker",
    State.PICKLE: "pickle",
}


@dataclasses.dataclass(frozen=True)
class _Interval:
    process: str
    phase: str
    start_ns: int
    end_ns: int


def find_startup(trace: Trace, epochs: list[EpochRun], sent: Sequence[SentPart] | None = None) -> Startup | None:
    """Returns the start-up of a trial. Phases and `start_imports` cover all epochs, everything else the first one.

    Args:
        trace: of the trial.
        epochs: of the trial.
        sent: what each worker is sent, if it was weighed.
    """
    if not epochs:
        return None
    phases: list[Phase] = []
    imports: list[StartImport] = []
    explained: float | None = None
    look = SpanLookup(trace)
    facts = _start_facts(look, epochs[0], sent)
    culprit: Culprit | None = None
    for epoch in epochs:
        intervals = _main_intervals(look, epoch)
        for number, lane in worker_lanes(look.trace).items():
            intervals += _worker_intervals(look, lane, f"worker-{number}", epoch)
            imports += read_start_imports(look, lane, epoch.index, epoch.start_ns, epoch.end_ns)
        critical = _first_batch_process(look, epoch)
        intervals += _receive_intervals(look, epoch, critical)
        shown = sorted([*intervals, *_shutdown_intervals(look, epoch)], key=lambda interval: (interval.start_ns, interval.process))
        phases += [
            Phase(epoch.index, item.process, item.phase, (item.start_ns - epoch.start_ns) * NS, (item.end_ns - item.start_ns) * NS)
            for item in shown
        ]
        if epoch is epochs[0] and epoch.batches:
            path = [item for item in intervals if item.process in {MAIN, critical}]
            path = _through_the_pipe(path, critical)
            charged = _charge(path, epoch.start_ns, int(epoch.wait_end_ns[0]), epoch.iterator_end_ns)
            total_ns = int(epoch.wait_end_ns[0]) - epoch.start_ns
            explained = sum(charged.values()) / total_ns if total_ns > 0 else None
            culprit = find_culprit({phase: ns * NS for phase, ns in charged.items()}, facts)
    return Startup(explained, culprit, phases, facts.imports, facts.lines, facts.own_s, facts.serial_starts, start_imports=imports)


def _start_facts(look: SpanLookup, epoch: EpochRun, sent: Sequence[SentPart] | None) -> StartFacts:
    low_ns, high_ns = epoch.start_ns, _first_delivery_ns(epoch)
    process = _first_batch_process(look, epoch)
    starts = look.in_main(State.START_WORKER).starting_in(low_ns, high_ns)
    pickles = look.in_main(State.PICKLE).starting_in(low_ns, high_ns)
    own = look(process, State.OWN).starting_in(low_ns, high_ns)
    return StartFacts(
        worker=process,
        starts_s=((starts.end_ns - starts.start_ns) * NS).tolist(),
        pickled_bytes=int(pickles.value.max()) if pickles else None,
        first_index_s=_first_index_s(look, epoch, starts),
        first_state_s=_first_state_s(look, epoch),
        imports=read_imports(look, process, low_ns, high_ns),
        lines=read_lines(look, process, low_ns, high_ns),
        own_s=float((own.end_ns - own.start_ns).sum()) * NS if own else None,
        serial_starts=_starts_are_serial(look, epoch, starts),
        sent=sent,
    )


def _first_index_s(look: SpanLookup, epoch: EpochRun, starts: SpanColumns) -> float | None:
    """Returns the seconds that the sampler took for the first indices that main sent to a worker, with what `_first_state_s` returns."""
    points = look.trace.points.get(MAIN)
    if points is None:
        return None
    seen = points.view()
    times_ns = seen["time_ns"].astype(np.int64)
    given_ns = times_ns[(seen["state"] == int(State.INDEX_PUT)) & (times_ns >= epoch.start_ns)]
    asked_ns = int(starts.end_ns.max()) if starts else epoch.start_ns
    return max(0, int(given_ns.min()) - asked_ns) * NS if len(given_ns) else None


def _first_state_s(look: SpanLookup, epoch: EpochRun) -> float:
    """Returns how long main waited for its workers' answers while it made the iterator: torchdata's asks them for their first state."""
    answers = look.in_main(State.RECEIVE).starting_in(epoch.start_ns, epoch.iterator_end_ns)
    return float((answers.end_ns - answers.start_ns).sum()) * NS


def _starts_are_serial(look: SpanLookup, epoch: EpochRun, starts: SpanColumns) -> bool | None:
    """Whether most starts lasted until their worker had imported the script, because main waits while the pipe is full.

    A fork sends nothing. None with fewer than two workers.
    """
    if starts.size < 2:
        return None
    lane_of_pid = {process.pid: process.name for process in look.trace.processes}
    blocked = 0
    for pid, end_ns in zip(starts.value.tolist(), starts.end_ns.tolist(), strict=True):
        imports = look(lane_of_pid.get(pid, ""), State.MAIN_IMPORT).starting_in(epoch.start_ns, epoch.end_ns)
        blocked += bool(imports) and end_ns >= int(imports.end_ns[0])
    return blocked > starts.size / 2


def _main_intervals(look: SpanLookup, epoch: EpochRun) -> list[_Interval]:
    spans = look.in_main(*MAIN_PHASES).starting_in(epoch.start_ns, _first_delivery_ns(epoch))
    found = [
        _Interval(MAIN, MAIN_PHASES[State(state)], start, _server_end_ns(look, start, end) if state == State.SERVER_START else end)
        for state, start, end in zip(spans.state.tolist(), spans.start_ns.tolist(), spans.end_ns.tolist(), strict=True)
    ]
    for state, phase in ((State.FETCH, "first_fetch"), (State.COLLATE, "first_collate")):  # with 0 workers
        work = look.in_main(state).starting_in(epoch.start_ns, _first_delivery_ns(epoch))
        if work:
            found.append(_Interval(MAIN, phase, int(work.start_ns[0]), int(work.end_ns[0])))
        if work and state is State.FETCH:
            found += _sampler_intervals(look, int(work.start_ns[0]))
    return found


def _sampler_intervals(look: SpanLookup, fetch_ns: int) -> list[_Interval]:
    """Returns the time before a fetch within main's `next`, in which the sampler runs, even if that `next` returned no batch."""
    waits = look(MAIN, State.WAIT)
    around = waits.pick((waits.start_ns <= fetch_ns) & (waits.end_ns >= fetch_ns))
    return [_Interval(MAIN, "index_wait", int(around.start_ns[-1]), fetch_ns)] if around else []


def _server_end_ns(look: SpanLookup, start_ns: int, end_ns: int) -> int:
    """Returns when the fork server had started: when its first child runs. Main may still be writing that child's pickle then."""
    created = [spans.end_ns[spans.end_ns > start_ns] for lane in worker_lanes(look.trace).values() if (spans := look(lane, State.CREATE))]
    return min([end_ns, *(int(ends.min()) for ends in created if len(ends))])


def _shutdown_intervals(look: SpanLookup, epoch: EpochRun) -> list[_Interval]:
    spans = look.in_main(State.SHUTDOWN)
    spans = spans.pick((spans.value == epoch.index) & (spans.start_ns >= epoch.start_ns))
    return [_Interval(MAIN, "shutdown", start, end) for start, end in zip(spans.start_ns.tolist(), spans.end_ns.tolist(), strict=True)]


def _worker_intervals(look: SpanLookup, lane: str, process: str, epoch: EpochRun) -> list[_Interval]:
    once = look(lane, *ONCE_PHASES).starting_in(epoch.start_ns, epoch.end_ns)
    found = [
        _Interval(process, ONCE_PHASES[State(state)], start, end)
        for state, start, end in zip(once.state.tolist(), once.start_ns.tolist(), once.end_ns.tolist(), strict=True)
    ]
    imported = look(lane, State.MAIN_IMPORT)
    own = look(lane, State.OWN).starting_in(epoch.start_ns, epoch.end_ns)
    found += [
        _Interval(process, "own", start, end)
        for start, end in zip(own.start_ns.tolist(), own.end_ns.tolist(), strict=True)
        if not ((imported.start_ns <= start) & (start < imported.end_ns)).any()  # that one is part of the import's phase
    ]
    first_fetch_ns: int | None = None
    for state, phase in FIRST_PHASES.items():
        spans = look(lane, state).starting_in(epoch.start_ns, epoch.end_ns)
        if spans:
            end_ns = _sent_ns(look, lane, int(spans.batch[0]), int(spans.end_ns[0])) if state is State.SEND else int(spans.end_ns[0])
            found.append(_Interval(process, phase, int(spans.start_ns[0]), end_ns))
            first_fetch_ns = int(spans.start_ns[0]) if state is State.FETCH else first_fetch_ns
    if first_fetch_ns is not None:
        waits = look(lane, State.INDEX_WAIT)
        waits = waits.pick((waits.end_ns > epoch.start_ns) & (waits.start_ns < first_fetch_ns))
        found += [
            _Interval(process, "index_wait", max(start, epoch.start_ns), end)
            for start, end in zip(waits.start_ns.tolist(), waits.end_ns.tolist(), strict=True)
        ]
    return found


def _receive_intervals(look: SpanLookup, epoch: EpochRun, process: str) -> list[_Interval]:
    """Returns the interval from the worker's send, or main's first look into the queue if that is later, to the delivery."""
    if process == MAIN or not epoch.batches:
        return []
    sends = look(process, State.SEND)
    sends = sends.pick(sends.batch == epoch.batch[0])
    delivered_ns = _first_delivery_ns(epoch)
    sent_ns = _sent_ns(look, process, int(epoch.batch[0]), int(sends.end_ns[0])) if sends else delivered_ns
    start_ns = max(sent_ns, int(epoch.wait_start_ns[0]))
    taking = [look(lane, State.RECEIVE, State.DESERIALISE, State.PIN) for lane in (*LOADING_LANES, PIN_LANE)]
    starts = np.concatenate([spans.start_ns for spans in taking])
    ends = np.concatenate([spans.end_ns for spans in taking])
    relevant = (ends > epoch.start_ns) & (starts < delivered_ns)
    if not relevant.any():
        return []
    deserialise = np.concatenate([spans.start_ns[spans.state != int(State.RECEIVE)] for spans in taking])
    deserialise = deserialise[(deserialise >= epoch.start_ns) & (deserialise < delivered_ns)]
    # Without a recorded send, the batch is known to be under way only from the moment that main unpacks it.
    start_ns = min(start_ns, int(deserialise.min())) if len(deserialise) and not sends else start_ns
    return [_Interval(MAIN, "first_receive", start_ns, delivered_ns)] if start_ns < delivered_ns else []


def _sent_ns(look: SpanLookup, lane: str, batch: int, put_ns: int) -> int:
    """Returns when a batch had left the worker: the put may return while the queue's thread still serialises and writes."""
    serialised = look(lane, State.SERIALISE, State.TRANSMIT)
    ends = serialised.end_ns[serialised.batch == batch]
    return max(put_ns, int(ends.max())) if len(ends) else put_ns


def _first_delivery_ns(epoch: EpochRun) -> int:
    return int(epoch.wait_end_ns[0]) if epoch.batches else epoch.end_ns


def _first_batch_process(look: SpanLookup, epoch: EpochRun) -> str:
    """Returns the lane that made the first batch: a worker's, or main with 0 workers. If unknown, the first worker: torch asks it first."""
    lanes = list(worker_lanes(look.trace).values())
    if epoch.batches:
        for lane in lanes:
            if (look(lane, State.FETCH, State.SEND).batch == epoch.batch[0]).any():
                return lane
    return lanes[0] if lanes and not look.in_main(State.FETCH) else MAIN


def _through_the_pipe(path: list[_Interval], worker: str) -> list[_Interval]:
    """Returns the path with main's wait for a single worker to read its pickle replaced by what the worker does meanwhile.

    With several workers the path stays as it is: their starts one after another take the time.
    """
    starts = [item for item in path if item.phase == "start_worker"]
    if len(starts) != 1:
        return path
    written_ns = max([item.end_ns for item in path if item.phase == "pickle"], default=starts[0].end_ns)
    meanwhile = [
        _Interval(MAIN, item.phase, max(item.start_ns, written_ns), min(item.end_ns, starts[0].end_ns))
        for item in path
        if item.process == worker and item.phase in ONCE_PHASES.values()
    ]
    covered = [item for item in meanwhile if item.end_ns > item.start_ns]
    rest = [_Interval(MAIN, "start_worker", *piece) for piece in _uncovered_pieces(starts[0], covered)]
    return [item for item in path if item is not starts[0]] + covered + rest


def _uncovered_pieces(whole: _Interval, parts: list[_Interval]) -> list[tuple[int, int]]:
    """Returns the pieces of an interval that no part covers."""
    starts, ends = (np.array([getattr(part, name) for part in parts], np.int64) for name in ("start_ns", "end_ns"))
    low, high = complement(starts, ends, whole.start_ns, whole.end_ns)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _charge(path: list[_Interval], low_ns: int, high_ns: int, iterator_end_ns: int) -> dict[str, int]:
    """Returns the nanoseconds of [low_ns, high_ns] by phase; every moment is charged once.

    Until `iter()` returns, only main's phases count; the worker's phases count from then on.
    """
    clipped = []
    for item in path:
        start = max(item.start_ns, low_ns if item.process == MAIN else iterator_end_ns)
        end = min(item.end_ns, high_ns)
        if end > start:
            clipped.append((start, end, PRECEDENCE.index(item.phase), item.phase))
    edges = sorted({edge for start, end, _, _ in clipped for edge in (start, end)})
    charged: dict[str, int] = {}
    for low, high in itertools.pairwise(edges):
        covering = [(rank, phase) for start, end, rank, phase in clipped if start <= low and end >= high]
        if covering:
            phase = min(covering)[1]
            charged[phase] = charged.get(phase, 0) + high - low
    return charged
