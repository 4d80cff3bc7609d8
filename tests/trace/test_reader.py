"""The reader against the slow reference, for whole logs and for logs that grow."""

import numpy as np
import pytest
from reference import reference_trace
from support_traces import assert_same_trace, in_order
from synthetic import MS, US, LogWriter, simulate, write_logs

from loaderscope.agent import layout
from loaderscope.agent.layout import State
from loaderscope.facts.lanes import CPU_STEP, READY, SIMULATED_STEP, WAITING_FOR_EARLIER
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace, TrackKey, batch_id
from loaderscope.trace.reader import TraceReader, read_stacks

SCENARIOS = {
    "no workers": {"num_workers": 0, "sample_events": True},
    "two workers": {},
    "no step": {"step_ns": None, "num_workers": 3},
    "spawn, two epochs, pinned": {"start_method": "spawn", "epochs": 2, "pin_ns": 100 * US},
    "persistent, three epochs": {"persistent_workers": True, "epochs": 3},
    "a slow batch holds up others": {"fetch_ns": lambda batch: 60 * MS if batch == 3 else 4 * MS, "num_workers": 4, "batches": 40},
    "out of order": {"in_order": False, "fetch_ns": lambda batch: (1 + batch % 5) * MS, "num_workers": 4},
    "device": {"device_ns": 1 * MS, "transfer_ns": 200 * US},
}


def read_at_once(folder, **options):
    trace = Trace()
    reader = TraceReader(folder, trace, **options)
    reader.finish()
    return trace


def span_rows(trace, lane, depth, state):
    view = trace.tracks[TrackKey(lane, depth)].view()
    rows = view["state"] == state
    return {name: column[rows] for name, column in view.items()}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_reads_what_the_reference_reads(log_dir, scenario):
    simulation = simulate(**SCENARIOS[scenario])
    write_logs(simulation, log_dir)
    assert_same_trace(read_at_once(log_dir), reference_trace(simulation))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_logs_that_grow_give_the_same_trace(log_dir, scenario):
    simulation = simulate(**SCENARIOS[scenario])
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    assert reader.poll() is False
    writers, written = {}, 0
    times = sorted({record.written_ns for process in simulation.processes for record in process.records})
    for limit_ns in times[5 :: len(times) // 23] + times[-1:]:
        for process in simulation.processes:
            due = [record for record in process.records if record.written_ns <= limit_ns]
            done = writers[process.pid][1] if process.pid in writers else 0
            if len(due) > done:
                if process.pid not in writers:
                    writers[process.pid] = (LogWriter(log_dir, process), 0)
                writers[process.pid][0].write(due[done:])
                writers[process.pid] = (writers[process.pid][0], len(due))
        version = trace.version
        assert reader.poll() is True
        assert trace.version > version
        assert trace.record_count > written
        written = trace.record_count
    assert reader.poll() is False
    reader.finish()
    for writer, _ in writers.values():
        writer.close()
    assert_same_trace(trace, reference_trace(simulation), but=("lanes",))


def test_spans_lie_where_their_state_belongs(log_dir):
    write_logs(simulate(start_method="spawn"), log_dir)
    trace = read_at_once(log_dir)
    assert len(span_rows(trace, "main", -1, State.EPOCH)["start_ns"]) == 1
    assert len(span_rows(trace, "main", 0, State.STEP)["start_ns"]) == 20
    assert len(span_rows(trace, "main", 1, State.START_WORKER)["start_ns"]) == 2
    assert span_rows(trace, "main", 1, State.START_WORKER)["value"].tolist() == [2000, 2001]
    assert span_rows(trace, "worker-0", 0, State.FETCH)["batch"].tolist() == [batch_id(0, i) for i in range(0, 20, 2)]
    assert (span_rows(trace, "worker-0", 0, State.FETCH)["value"] == 2 * MS).all()


def test_imports_nest_by_depth_and_carry_their_name(log_dir):
    write_logs(simulate(start_method="spawn"), log_dir)
    trace = read_at_once(log_dir)
    for lane in ("worker-0", "worker-1"):
        outer, inner = span_rows(trace, lane, 1, State.IMPORT), span_rows(trace, lane, 2, State.IMPORT)
        assert [trace.names[value] for value in outer["value"].tolist()] == ["torch"]
        assert [trace.names[value] for value in inner["value"].tolist()] == ["numpy"]
        assert outer["start_ns"][0] <= inner["start_ns"][0] <= inner["end_ns"][0] <= outer["end_ns"][0]


def test_imports_nest_alike_however_they_are_read(log_dir):
    simulation = simulate(num_workers=1, start_method="spawn", batches=1)
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    with LogWriter(log_dir, simulation.processes[1]) as writer:
        for record in simulation.processes[1].records:
            writer.write([record])
            reader.poll()
    reader.finish()
    assert [len(trace.tracks[TrackKey("worker-0", depth)].view()["state"] == State.IMPORT) for depth in (1, 2)] == [3, 1]
    assert trace.names[int(span_rows(trace, "worker-0", 2, State.IMPORT)["value"][0])] == "numpy"


def test_imports_may_nest_as_deep_as_they_like(log_dir):
    simulation = simulate(num_workers=1, start_method="spawn", batches=1)
    worker = simulation.processes[1]
    start_ns = next(record.time_ns for record in worker.records if record.state == State.MAIN_IMPORT)
    worker.records = [record for record in worker.records if record.state != State.IMPORT]
    for depth in range(150):
        worker.names.append(f"module{depth}")
        worker.complete(start_ns + depth, 1000 - 2 * depth, State.IMPORT, len(worker.names) - 1)
    write_logs(simulation, log_dir)
    trace = read_at_once(log_dir)
    for depth in (0, 1, 149):
        (value,) = span_rows(trace, "worker-0", lane_table.IMPORT_DEPTH + depth, State.IMPORT)["value"].tolist()
        assert trace.names[value] == f"module{depth}"
    assert "worker-0" in trace.lanes
    assert set(trace.lanes) == set(reference_trace(simulate(num_workers=1, start_method="spawn", batches=1)).lanes)


def test_lines_of_the_script_carry_their_text_and_lie_apart(log_dir):
    simulation = simulate(num_workers=1, start_method="spawn", batches=1)
    worker = simulation.processes[1]
    at = next(number for number, record in enumerate(worker.records) if record.state == State.MAIN_IMPORT and record.form == layout.END)
    start_ns, later, worker.records = worker.records[at].time_ns - 10 * MS, worker.records[at + 1 :], worker.records[: at + 1]
    worker.names.append("12 model = Model()")
    worker.complete(start_ns, 3 * MS, State.LINE, len(worker.names) - 1)
    worker.complete(start_ns + 3 * MS, 1 * MS, State.LINE_IMPORTS, len(worker.names) - 1)
    worker.records += later
    write_logs(simulation, log_dir)
    trace = read_at_once(log_dir)
    for state, duration_ns in ((State.LINE, 3 * MS), (State.LINE_IMPORTS, 1 * MS)):
        rows = span_rows(trace, "worker-0", lane_table.LINE_DEPTH, state)
        assert (rows["end_ns"] - rows["start_ns"]).tolist() == [duration_ns]
        assert trace.names[int(rows["value"][0])] == "12 model = Model()"


def test_a_batch_that_comes_in_its_turn_is_not_held_up(log_dir):
    write_logs(simulate(num_workers=2, batches=10), log_dir)
    trace = read_at_once(log_dir)
    states = {
        state for key, columns in trace.tracks.items() if key.lane.startswith("flight-") for state in columns.view()["state"].tolist()
    }
    assert states == {READY}


def test_a_batch_that_is_held_up_waits_for_the_earlier_one(log_dir):
    write_logs(simulate(num_workers=2, batches=6, fetch_ns=lambda batch: 100 * MS if batch == 2 else 1 * MS, step_ns=0), log_dir)
    trace = read_at_once(log_dir)
    rows = [view for key, columns in trace.tracks.items() if key.lane.startswith("flight-") for view in [columns.view()]]
    held = {
        int(b): int(e - s)
        for v in rows
        for b, s, e, state in zip(v["batch"], v["start_ns"], v["end_ns"], v["state"], strict=True)
        if state == WAITING_FOR_EARLIER
    }
    ready = {int(b) for view in rows for b, state in zip(view["batch"], view["state"], strict=True) if state == READY}
    assert ready == {batch_id(0, i) for i in range(6)}
    assert set(held) == {batch_id(0, 3), batch_id(0, 5)}
    assert held[batch_id(0, 3)] > 90 * MS


def test_queue_depth_and_outstanding_follow_the_prefetch_window(log_dir):
    write_logs(simulate(num_workers=2, batches=12, step_ns=100 * MS), log_dir)
    trace = read_at_once(log_dir)
    outstanding = trace.series["outstanding"][1].view()["value"]
    assert (outstanding.max(), outstanding[-1]) == (4, 0)
    depth = trace.series["queue_depth"][1].view()["value"]
    assert (depth.max(), depth.min(), depth[-1]) == (4, 0, 0)


def test_no_workers_have_neither_flights_nor_queue(log_dir):
    write_logs(simulate(num_workers=0), log_dir)
    trace = read_at_once(log_dir)
    assert not [key for key in trace.lanes if key.startswith("flight")]
    assert not trace.series


def test_an_epoch_that_follows_has_processes_of_its_own_on_the_same_lane(log_dir):
    write_logs(simulate(epochs=3), log_dir)
    trace = read_at_once(log_dir)
    assert [process.name for process in trace.processes] == ["main"] + ["worker-0", "worker-1"] * 3
    assert all(process.ended_ns is not None for process in trace.processes)
    fetches = span_rows(trace, "worker-1", 0, State.FETCH)
    assert fetches["batch"].tolist() == [batch_id(epoch, i) for epoch in range(3) for i in range(1, 20, 2)]
    assert (np.diff(fetches["start_ns"]) > 0).all()


def test_workers_of_the_thread_backend_have_lanes_of_their_own(log_dir):
    simulation = simulate(num_workers=0, batches=0)
    for worker in range(2):
        simulation.main.span(10**13, 10**13 + 5, State.FETCH, worker, 3, thread=layout.THREAD_WORKER_BASE + worker)
    write_logs(simulation, log_dir)
    trace = read_at_once(log_dir)
    for worker in range(2):
        assert span_rows(trace, f"worker-{worker}", 0, State.FETCH)["batch"].tolist() == [batch_id(0, worker)]


def test_worker_lanes_are_there_before_the_workers(log_dir):
    trace = Trace()
    TraceReader(log_dir / "not made yet", trace, num_workers=2).poll()
    assert list(trace.lanes) == ["worker-0", "worker-1"]


def test_steps_are_repeated_on_a_lane_with_the_given_name(log_dir):
    write_logs(simulate(), log_dir)
    trace = read_at_once(log_dir, step=SIMULATED_STEP)
    assert trace.lanes["step"].label == "simulated step"
    expected = span_rows(trace, "main", 0, State.STEP)
    for name, column in trace.tracks[TrackKey("step", 0)].view().items():
        np.testing.assert_array_equal(column, expected[name])


def test_a_step_is_not_said_to_be_on_the_cpu_where_a_device_tells_its_times(log_dir):
    simulation = simulate(device_ns=1 * MS)
    main = simulation.processes[0]
    main.instant(main.opened_ns + 1, State.DEVICE_ANCHOR, 4_000)
    main.records.insert(0, main.records.pop())
    write_logs(simulation, log_dir)
    assert "step" not in read_at_once(log_dir, step=CPU_STEP).lanes
    assert "step" in read_at_once(log_dir, step=SIMULATED_STEP).lanes


def test_what_is_open_is_told_and_closed_at_the_end(log_dir):
    simulation = simulate(batches=4)
    stop_ns = next(r.time_ns for r in simulation.processes[1].records if r.state == State.COLLATE)
    for process in simulation.processes:
        process.records = [record for record in process.records if record.written_ns <= stop_ns]
    write_logs(simulation, log_dir)
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    reader.poll()
    expected = reference_trace(simulation, finish=False)
    assert sorted(trace.open_spans, key=in_order) == sorted(expected.open_spans, key=in_order)
    assert {span.state for span in trace.open_spans} >= {State.EPOCH, State.WAIT, State.COLLATE}
    reader.finish()
    assert trace.open_spans == ()
    collate = span_rows(trace, "worker-0", 0, State.COLLATE)
    assert (collate["end_ns"][-1], collate["batch"][-1]) == (trace.newest_ns, batch_id(0, 0))
    assert span_rows(trace, "main", 0, State.WAIT)["batch"].tolist() == [-1]


def test_a_killed_worker_ends_where_the_next_one_begins(log_dir):
    simulation = simulate(num_workers=1, epochs=2)
    victim = simulation.processes[1]
    victim.records = victim.records[: next(i for i, r in enumerate(victim.records) if r.state == State.FETCH) + 1]
    write_logs(simulation, log_dir)
    trace = read_at_once(log_dir)
    fetch = span_rows(trace, "worker-0", 0, State.FETCH)
    assert fetch["end_ns"][0] == victim.records[-1].time_ns
    assert len(fetch["start_ns"]) == 21
    assert trace.processes[1].ended_ns == victim.records[-1].time_ns


def test_a_process_that_does_not_say_which_worker_it_is_gets_a_lane(log_dir):
    simulation = simulate(num_workers=1)
    simulation.processes[1].worker = None
    write_logs(simulation, log_dir)
    trace = read_at_once(log_dir)
    assert trace.lanes["process-2000"].kind == "worker"


def test_why_recording_stopped_is_noted(log_dir):
    simulation = simulate()
    write_logs(simulation, log_dir)
    with LogWriter(log_dir, simulation.main) as writer:
        writer.write(simulation.main.records)
        writer.write_header(**{layout.Header.STOPPED: "The disk is full."})
    assert read_at_once(log_dir).notes == ["The disk is full."]


def test_logs_of_another_layout_are_left_alone(log_dir):
    simulation = simulate(num_workers=0)
    with LogWriter(log_dir, simulation.main) as writer:
        writer.write(simulation.main.records)
        writer.write_header(**{layout.Header.VERSION: layout.LAYOUT_VERSION + 1})
    assert read_at_once(log_dir).record_count == 0


def test_stacks_are_told_with_the_name_of_their_process(log_dir):
    simulation = simulate(num_workers=1)
    write_logs(simulation, log_dir)
    assert read_stacks(log_dir) == ""
    for process, text in zip(simulation.processes, ("  File a\n", "  File \xff b\n"), strict=True):
        (log_dir / f"{process.pid}-{process.opened_ns}{layout.STACKS_SUFFIX}").write_bytes(text.encode("latin-1"))
    assert read_stacks(log_dir) == "main (pid 1000):\nFile a\n\nworker-0 (pid 2000):\nFile \N{REPLACEMENT CHARACTER} b"
