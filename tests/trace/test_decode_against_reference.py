"""Any records, in any pieces, give what the slow reference gives."""

import pathlib
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from reference import reference_trace
from support_traces import assert_same_trace
from synthetic import MAIN_PID, START_NS, LogWriter, Process, Simulation

from loaderscope.agent.layout import FEEDER_THREAD, MAIN_THREAD, PIN_THREAD, SIZED_STATES, Role, State, batch_and_bytes, batch_of_epoch
from loaderscope.trace.model import Trace
from loaderscope.trace.reader import TraceReader

OUTER = {
    Role.MAIN: (State.TRANSFER, State.STEP, State.WAIT),
    Role.WORKER: (State.INDEX_WAIT, State.FETCH, State.COLLATE, State.SEND),
}
INNER = {State.WAIT: (State.RECEIVE, State.DESERIALISE, State.FETCH, State.COLLATE)}
OTHER = {Role.MAIN: (PIN_THREAD, State.PIN), Role.WORKER: (FEEDER_THREAD, State.SERIALISE)}


@st.composite
def processes(draw, role, number):
    """A process with random spans on two threads, some begun and never ended, some ended and never begun, some in one record."""
    process = Process(MAIN_PID + number, role, None if role == Role.MAIN else number - 1, START_NS + number)
    now, begun = START_NS, set()
    if role == Role.MAIN:
        process.begin(now, State.EPOCH, draw(st.integers(0, 3)))
    for _ in range(draw(st.integers(0, 12))):
        now += draw(st.integers(1, 1000))
        state, batch = draw(st.sampled_from(OUTER[role])), draw(st.integers(0, 5))
        what = draw(st.sampled_from(["span", "span", "span", "span", "begin", "end", "instant", "epoch"]))
        if what == "epoch" and role == Role.MAIN:
            process.end(now, State.EPOCH, 0, 3)
            process.begin(now, State.EPOCH, draw(st.integers(0, 9)))
        elif what == "instant":
            process.instant(now, State.SAMPLE, draw(st.integers(-1, 50)), batch)
        if what == "end" and state in begun:
            continue  # would end around the spans in between, as no thread does
        if what in ("span", "begin"):
            process.begin(now, state, batch)
            begun.add(state)
        if what == "span":
            for inner in draw(st.lists(st.sampled_from(INNER.get(state, (State.SAMPLE,))), max_size=2)):
                now += draw(st.integers(1, 50))
                if inner == State.SAMPLE:
                    process.instant(now, inner, 3, batch)
                else:
                    add_span(process, now, 5, inner, draw(st.integers(-1, 5)), draw(st.integers(0, 2**33)), whole=draw(st.booleans()))
                    now += 5
            now += draw(st.integers(1, 1000))
        if what in ("span", "end"):
            process.end(now, state, batch, draw(st.integers(0, 1000)))
            begun.discard(state)
        if draw(st.booleans()):
            thread, other = OTHER[role]
            add_span(process, now, 1, other, batch, 7, thread=thread, whole=draw(st.booleans()))
            now += 1
        if role == Role.MAIN and draw(st.booleans()):  # of any epoch: a device may lag behind
            process.complete(now, 1, State.DEVICE_STEP, batch_of_epoch(draw(st.integers(0, 9)), draw(st.integers(-1, 5))))
            now += 1
    return process


def add_span(process, start_ns, duration_ns, state, batch, size, thread=MAIN_THREAD, whole=False):
    """A span in two records, or in one."""
    if whole:
        a = batch_and_bytes(batch, size) if state in SIZED_STATES else batch
        process.complete(start_ns, duration_ns, state, a, thread)
    else:
        process.span(start_ns, start_ns + duration_ns, state, batch, size, thread)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_records_in_any_pieces_give_the_reference(data):
    found = [data.draw(processes(Role.MAIN, 0))] + [data.draw(processes(Role.WORKER, i)) for i in (1, 2)]
    simulation = Simulation(found)
    trace = Trace()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        reader = TraceReader(folder, trace)
        writers = {process.pid: LogWriter(folder, process) for process in found}
        times = sorted({record.time_ns for process in found for record in process.records})
        cuts = data.draw(st.lists(st.sampled_from(times), max_size=3)) if times else []
        done = dict.fromkeys(writers, 0)
        for cut in [*sorted(cuts), 2**62]:
            for process in found:
                due = [record for record in process.records if record.time_ns <= cut]
                writers[process.pid].write(due[done[process.pid] :])
                done[process.pid] = len(due)
            reader.poll()
        for writer in writers.values():
            writer.close()
        leave_out_flights(trace)
        expected = reference_trace(simulation, finish=False)
        assert_same_trace(trace, expected, but=("origin_ns", "processes"))
        reader.finish()


def leave_out_flights(trace):
    """The simulation of the reference says nothing about these."""
    trace.series.clear()
    for key in [key for key in trace.tracks if key.lane.startswith("flight-")]:
        del trace.tracks[key], trace.lanes[key.lane]
