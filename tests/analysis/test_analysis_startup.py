"""Start-up phases, what they explain, and the culprit."""

import pytest
import synthetic
from rows import config_of, measure, measure_trace
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import read_epochs
from loaderscope.analysis.startup import find_startup
from loaderscope.trace import lanes
from loaderscope.trace.model import Trace


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_phases_explain_the_time_to_the_first_batch(start_method, workers):
    startup = measure(40, num_workers=workers, start_method=start_method, startup_ns=900 * MS).startup
    assert 0.95 <= startup.explained_share <= 1.0


def test_a_gap_between_phases_is_not_explained():
    simulation = synthetic.simulate(num_workers=1, start_method="spawn", startup_ns=900 * MS, batches=20)
    for process in simulation.processes:  # without the import of main, two thirds of the start-up are in the dark
        process.records = [record for record in process.records if record.state not in (State.MAIN_IMPORT, State.IMPORT)]
    startup = measure_trace(synthetic.reference_trace(simulation), config_of(1), 20).startup
    assert startup.explained_share < 0.5


def test_mains_waiting_is_no_phase():
    simulation = synthetic.simulate(num_workers=2, start_method="fork", startup_ns=500 * MS, batches=20)
    for process in simulation.processes[1:]:
        process.records = []
    startup = measure_trace(synthetic.reference_trace(simulation), config_of(2), 20).startup
    assert startup.explained_share < 0.05


def test_the_culprit_of_spawn_is_the_import_of_main_with_its_heaviest_module():
    culprit = measure(40, start_method="spawn", startup_ns=1500 * MS).startup.culprit
    assert culprit.phase == "main_import"
    assert culprit.seconds == pytest.approx(1.0, abs=0.01)
    assert "torch takes 0.50 s" in culprit.detail


def test_slow_serial_starts_are_charged_to_the_start_calls():
    culprit = measure(40, num_workers=4, start_method="spawn", start_ns=800 * MS, startup_ns=900 * MS).startup.culprit
    assert culprit.phase in ("start_worker", "pickle")
    assert "KiB pickled" in culprit.detail


def test_phases_say_process_epoch_and_when_they_began():
    startup = measure(20, num_workers=2, epochs=2, start_ns=2 * MS, startup_ns=30 * MS).startup
    starts = [(phase.epoch, phase.process) for phase in startup.phases if phase.phase == "first_fetch"]
    assert sorted(starts) == [(0, "worker-0"), (0, "worker-1"), (1, "worker-0"), (1, "worker-1")]
    first = next(phase for phase in startup.phases if phase.phase == "first_fetch" and phase.process == "worker-0")
    assert first.start_s == pytest.approx(0.030)
    assert first.seconds == pytest.approx(0.004)
    assert {phase.process for phase in startup.phases if phase.phase in ("iterator", "start_worker")} == {"main"}


def test_persistent_workers_start_once():
    phases = measure(20, num_workers=2, epochs=2, persistent_workers=True).startup.phases
    assert {phase.epoch for phase in phases if phase.phase == "loop_entry"} == {0}
    assert {phase.epoch for phase in phases if phase.phase == "first_fetch"} == {0, 1}
    later = [phase for phase in phases if phase.epoch == 1]
    assert all(phase.start_s >= 0 for phase in later)


def test_sending_goes_on_in_the_feeder_thread_after_the_put():
    simulation = synthetic.simulate(num_workers=1, batches=20, send_ns=0)
    worker = simulation.processes[1]
    put = next(record for record in worker.records if record.state == State.SEND)
    worker.span(put.time_ns, put.time_ns + 7 * MS, State.SERIALISE, put.a, 4096)
    startup = measure_trace(synthetic.reference_trace(simulation), config_of(1), 20).startup
    send = next(phase for phase in startup.phases if phase.phase == "first_send")
    assert send.seconds == pytest.approx(0.007)


def test_until_iter_returns_its_own_work_is_the_path_and_not_what_workers_do_meanwhile():
    trace = Trace()
    trace.origin_ns = 0

    def add(lane, depth, state, start_ms, end_ms, batch=-1):
        columns = {"start_ns": start_ms * MS, "end_ns": end_ms * MS, "state": int(state), "batch": batch, "value": 0}
        trace.track(lane, depth).append(**columns)

    add(lanes.MAIN_LANE, lanes.BRACKET_DEPTH, State.EPOCH, 0, 100)
    add(lanes.MAIN_LANE, 0, State.ITERATOR, 0, 60)
    add(lanes.MAIN_LANE, 1, State.START_WORKER, 0, 10)
    add(lanes.MAIN_LANE, 0, State.WAIT, 60, 100, batch=0)
    worker = lanes.worker_lane(0)
    add(worker, 0, State.MAIN_IMPORT, 10, 60)
    add(worker, 0, State.FETCH, 60, 95, batch=0)
    add(worker, 0, State.SEND, 95, 96, batch=0)
    startup = find_startup(trace, read_epochs(trace))
    assert startup.culprit.phase == "iterator"
    assert startup.culprit.seconds == pytest.approx(0.050)
    assert startup.explained_share == pytest.approx(0.96)  # what main did with the last 4 ms was not recorded
