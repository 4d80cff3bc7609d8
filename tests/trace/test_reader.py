"""The reader against the slow reference of `synthetic`, for whole logs and for logs that grow."""

import pytest
from support_traces import assert_same_trace
from synthetic import MS, US, LogWriter, reference_trace, simulate, write_logs

from loaderscope.trace.model import Trace, TrackKey
from loaderscope.trace.reader import TraceReader

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
