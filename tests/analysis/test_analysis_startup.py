"""Start-up phases, what they explain, and the culprit."""

import pytest
import synthetic
from reference import reference_trace
from rows import config_of, measure, measure_trace
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import read_epochs
from loaderscope.analysis.startup.culprit import StartFacts, dominating_part, find_culprit
from loaderscope.analysis.startup.first_batch import find_startup
from loaderscope.facts.startup_results import LineCost, SentPart
from loaderscope.trace import lane_table
from loaderscope.trace.model import ProcessInfo, Trace


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_phases_explain_the_time_to_the_first_batch(start_method, workers):
    startup = measure(40, num_workers=workers, start_method=start_method, startup_ns=900 * MS).startup
    assert 0.95 <= startup.explained_share <= 1.0


def test_a_gap_between_phases_is_not_explained():
    simulation = synthetic.simulate(num_workers=1, start_method="spawn", startup_ns=900 * MS, batches=20)
    for process in simulation.processes:  # without the import of main, two thirds of the start-up are in the dark
        process.records = [record for record in process.records if record.state not in (State.MAIN_IMPORT, State.IMPORT)]
    startup = measure_trace(reference_trace(simulation), config_of(1), 20).startup
    assert startup.explained_share < 0.5


def test_mains_waiting_is_no_phase():
    simulation = synthetic.simulate(num_workers=2, start_method="fork", startup_ns=500 * MS, batches=20)
    for process in simulation.processes[1:]:
        process.records = []
    startup = measure_trace(reference_trace(simulation), config_of(2), 20).startup
    assert startup.explained_share < 0.05


def test_the_culprit_of_spawn_is_the_import_of_main_with_its_heaviest_module():
    culprit = measure(40, start_method="spawn", startup_ns=1500 * MS).startup.culprit
    assert culprit.phase == "main_import"
    assert culprit.seconds == pytest.approx(1.0, abs=0.01)
    assert "torch takes 0.50 s" in culprit.detail


def test_slow_serial_starts_are_charged_to_the_start_calls():
    culprit = measure(40, num_workers=4, start_method="spawn", start_ns=800 * MS, startup_ns=900 * MS).startup.culprit
    assert culprit.phase in ("start_worker", "pickle")
    assert "kB pickled" in culprit.detail


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
    startup = measure_trace(reference_trace(simulation), config_of(1), 20).startup
    send = next(phase for phase in startup.phases if phase.phase == "first_send")
    assert send.seconds == pytest.approx(0.007)


def test_until_iter_returns_its_own_work_is_the_path_and_not_what_workers_do_meanwhile():
    trace = Trace()
    trace.origin_ns = 0

    def add(lane, depth, state, start_ms, end_ms, batch=-1):
        columns = {"start_ns": start_ms * MS, "end_ns": end_ms * MS, "state": int(state), "batch": batch, "value": 0}
        trace.track(lane, depth).append(**columns)

    add(lane_table.MAIN_LANE, lane_table.BRACKET_DEPTH, State.EPOCH, 0, 100)
    add(lane_table.MAIN_LANE, 0, State.ITERATOR, 0, 60)
    add(lane_table.MAIN_LANE, 1, State.START_WORKER, 0, 10)
    add(lane_table.MAIN_LANE, 0, State.WAIT, 60, 100, batch=0)
    worker = lane_table.worker_lane(0)
    add(worker, 0, State.MAIN_IMPORT, 10, 60)
    add(worker, 0, State.FETCH, 60, 95, batch=0)
    add(worker, 0, State.SEND, 95, 96, batch=0)
    startup = find_startup(trace, read_epochs(trace))
    assert startup.culprit.phase == "iterator"
    assert startup.culprit.seconds == pytest.approx(0.050)
    assert startup.explained_share == pytest.approx(0.96)  # what main did with the last 4 ms was not recorded


class Made:
    """A trace made by hand, in milliseconds."""

    def __init__(self):
        self.trace = Trace()
        self.trace.origin_ns = 0

    def add(self, lane, depth, state, start_ms, end_ms, batch=-1, value=0):
        columns = {"start_ns": int(start_ms * MS), "end_ns": int(end_ms * MS), "state": int(state), "batch": batch, "value": value}
        self.trace.track(lane, depth).append(**columns)

    def named(self, lane, depth, state, start_ms, end_ms, name):
        number = len(self.trace.names)
        self.trace.names[number] = name
        self.add(lane, depth, state, start_ms, end_ms, value=number)

    def startup(self, sent=None):
        return find_startup(self.trace, read_epochs(self.trace), sent)


def started_by_spawn(workers=1, blocked=False):
    """Each worker imports the script for 1000 ms; with `blocked` its start lasts as long, else 10 ms."""
    made = Made()
    starts = [number * 1010 if blocked else number * 10 for number in range(workers)]
    iterated = starts[-1] + (1010 if blocked else 10)
    first = max(iterated, 1020)
    made.add(lane_table.MAIN_LANE, lane_table.BRACKET_DEPTH, State.EPOCH, 0, first + 100)
    made.add(lane_table.MAIN_LANE, 0, State.ITERATOR, 0, iterated)
    made.add(lane_table.MAIN_LANE, 0, State.WAIT, iterated, first, batch=0)
    for number, start in enumerate(starts):
        worker = lane_table.worker_lane(number)
        made.trace.processes.append(ProcessInfo(worker.key, 100 + number, 0))
        made.add(lane_table.MAIN_LANE, 1, State.START_WORKER, start, start + (1010 if blocked else 10), value=100 + number)
        made.add(lane_table.MAIN_LANE, 2, State.PICKLE, start, start + 2, value=80_000 if blocked else 800)
        made.add(worker, 0, State.MAIN_IMPORT, start + 5, start + 1005)
        made.add(worker, lane_table.OWN_DEPTH, State.OWN, start + 2, start + 5)
        made.add(worker, lane_table.OWN_DEPTH, State.OWN, start + 5, start + 9)
        made.add(worker, 0, State.FETCH, first - 5, first - 1, batch=number)
        made.add(worker, 0, State.SEND, first - 1, first, batch=number)
    return made


def test_imports_are_a_tree_with_own_and_total_times():
    made = started_by_spawn()
    worker = lane_table.worker_lane(0)
    made.named(worker, 1, State.IMPORT, 10, 710, "torch")
    made.named(worker, 2, State.IMPORT, 20, 330, "torch._C")
    made.named(worker, 2, State.IMPORT, 330, 430, "numpy")
    made.named(worker, 1, State.IMPORT, 710, 730, "json")
    imports = made.startup().imports
    assert [(cost.name, cost.parent) for cost in imports] == [("torch._C", "torch"), ("torch", None), ("numpy", "torch"), ("json", None)]
    assert [cost.own_s for cost in imports] == pytest.approx([0.31, 0.29, 0.1, 0.02])
    assert [cost.total_s for cost in imports] == pytest.approx([0.31, 0.7, 0.1, 0.02])
    assert imports[0].first_start_s == pytest.approx(0.02)


def test_of_every_worker_its_packages_are_told_each_with_all_that_it_imports():
    made = started_by_spawn(workers=2)
    for number, later in ((0, 0), (1, 100)):
        worker = lane_table.worker_lane(number)
        made.named(worker, 1, State.IMPORT, 10, 710 + later, "torch")
        made.named(worker, 2, State.IMPORT, 20, 430, "torch._C")
        made.named(worker, 3, State.IMPORT, 30, 130, "numpy")
        made.named(worker, 4, State.IMPORT, 40, 120, "numpy.core")
        made.named(worker, 1, State.IMPORT, 820, 850, "torch.late")
        made.named(worker, 1, State.IMPORT, 850, 852, "light")
    found = made.startup().start_imports
    first = [(one.name, one.within) for one in found if one.process == "worker-0"]
    assert first == [("torch", None), ("numpy", "torch"), ("torch.late", None)]
    assert [one.seconds for one in found if one.name == "torch"] == pytest.approx([0.7, 0.8])


def test_of_many_imports_the_heaviest_are_kept_with_their_ancestors():
    made = started_by_spawn()
    worker = lane_table.worker_lane(0)
    made.named(worker, 1, State.IMPORT, 5, 1000, "outer")
    for number in range(60):
        made.named(worker, 2, State.IMPORT, 10 + 16 * number, 10 + 16 * number + 15, f"outer.part{number}")
        made.named(worker, 3, State.IMPORT, 10 + 16 * number, 10 + 16 * number + 14, f"outer.part{number}.inner")
    names = {cost.name for cost in made.startup().imports}
    assert "outer" in names
    assert len(names) < 121
    assert all(name.removesuffix(".inner") in names for name in names)


def test_a_line_that_takes_longer_than_any_import_is_the_culprits_detail():
    made = started_by_spawn()
    worker = lane_table.worker_lane(0)
    made.named(worker, 1, State.IMPORT, 10, 300, "torch")
    made.named(worker, lane_table.LINE_DEPTH, State.LINE_IMPORTS, 5, 295, "3 import torch")
    made.named(worker, lane_table.LINE_DEPTH, State.LINE, 295, 945, "17 dataset = Big(1, 2)")
    made.named(worker, lane_table.LINE_DEPTH, State.LINE_IMPORTS, 945, 995, "17 dataset = Big(1, 2)")
    startup = made.startup()
    assert startup.lines[0] == LineCost(3, "import torch", pytest.approx(0.29), pytest.approx(0.29))
    assert startup.lines[1] == LineCost(17, "dataset = Big(1, 2)", pytest.approx(0.7), pytest.approx(0.05))
    assert startup.culprit.phase == "main_import"
    assert "line 17 of it, dataset = Big(1, 2), takes 0.65 s" in startup.culprit.detail


def test_an_import_deep_inside_is_named_with_the_one_that_the_script_makes():
    made = started_by_spawn()
    worker = lane_table.worker_lane(0)
    made.named(worker, 1, State.IMPORT, 10, 910, "library")
    made.named(worker, 2, State.IMPORT, 20, 900, "library.kernels")
    assert "the import of library takes 0.90 s of it, 0.88 s of that library.kernels" in made.startup().culprit.detail


def test_starts_that_wait_for_their_worker_are_serial_and_say_what_is_sent():
    sent = [SentPart("dataset", "dataset.rows", "list of Row", 79_000, 0.1, 0.1, None)]
    startup = started_by_spawn(workers=3, blocked=True).startup(sent)
    assert startup.serial_starts is True
    assert startup.culprit.phase == "start_worker"
    assert "does not fit into the pipe" in startup.culprit.detail
    assert "dataset.rows (a list of Row)" in startup.culprit.detail
    assert started_by_spawn(workers=3).startup().serial_starts is False


def test_with_one_worker_what_it_does_while_main_writes_is_what_takes_the_time():
    startup = started_by_spawn(workers=1, blocked=True).startup()
    assert startup.serial_starts is None
    assert startup.culprit.phase == "main_import"
    assert startup.culprit.seconds == pytest.approx(1.0)
    assert startup.explained_share > 0.98


def test_the_fork_server_has_started_when_its_first_child_runs():
    made = started_by_spawn(workers=1, blocked=True)
    made.add(lane_table.MAIN_LANE, 2, State.SERVER_START, 2, 1010)
    made.add(lane_table.worker_lane(0), 0, State.CREATE, 2, 4)
    startup = made.startup()
    (server,) = [phase for phase in startup.phases if phase.phase == "server_start"]
    assert server.seconds == pytest.approx(0.002)
    assert startup.culprit.phase == "main_import"


def test_the_tools_own_part_is_told_and_is_a_phase_where_nothing_else_is():
    startup = started_by_spawn().startup()
    assert startup.own_s == pytest.approx(0.007)
    (own,) = [phase for phase in startup.phases if phase.phase == "own"]
    assert (own.process, own.seconds) == ("worker-0", pytest.approx(0.003))
    assert measure(40, start_method="fork").startup.own_s is None


def test_the_shutdown_at_an_epochs_end_is_a_phase():
    phases = measure(20, num_workers=2, epochs=2).startup.phases
    shutdowns = [phase for phase in phases if phase.phase == "shutdown"]
    assert [(phase.epoch, phase.process) for phase in shutdowns] == [(0, "main"), (1, "main")]
    fetched = max(phase.start_s for phase in phases if phase.phase == "first_fetch")
    assert all(phase.start_s > fetched for phase in shutdowns)


def test_an_import_that_only_unpickling_makes_is_named_and_not_what_is_sent():
    made = started_by_spawn()
    worker = lane_table.worker_lane(0)
    made.named(worker, 1, State.IMPORT, 10, 310, "torch")
    made.add(worker, 0, State.UNPICKLE, 1005, 3005)
    made.named(worker, 1, State.IMPORT, 1010, 2910, "package.data")
    made.named(worker, 2, State.IMPORT, 1020, 2520, "package.heavy")
    made.add(lane_table.MAIN_LANE, 0, State.WAIT, 1020, 3010, batch=1)
    made.trace.tracks[(lane_table.MAIN_LANE.key, 0)].view()["end_ns"][1] = 3010 * MS  # the first batch came when that was over
    startup = made.startup([SentPart("collate_fn", "collate_fn", "function", 66, 1e-5, 1e-5, None)])
    phases = {"torch": "main_import", "package.data": "unpickle", "package.heavy": "unpickle"}
    assert {cost.name: cost.phase for cost in startup.imports} == phases
    assert startup.culprit.phase == "unpickle"
    assert "the import of package.data, which that needs and the script does not import, takes 1.90 s" in startup.culprit.detail
    assert startup.culprit.detail.endswith(", 1.50 s of that package.heavy")


FUNCTION = SentPart("collate_fn", "collate_fn", "function", 66, 1e-5, 1e-5, None)


def facts(**known):
    return StartFacts(**{**vars(StartFacts("worker-0", [0.01], 800, None, [], [], None, None, [FUNCTION])), **known})


def detail(phase, seconds, *sent):
    facts = StartFacts("worker-0", [0.01], 800, None, [], [], None, None, [FUNCTION, *sent])
    return find_culprit({phase: seconds}, facts).detail


def test_slow_code_in_unpickling_is_not_blamed_on_the_few_bytes_that_are_sent():
    assert detail("unpickle", 4.0).endswith("4.00 s of it in code that runs then, __setstate__ or __reduce__ of what is sent")
    setstate = SentPart("dataset", "dataset.__setstate__()", "dict", 0, 0.0, None, None)
    assert detail("unpickle", 4.0, setstate).endswith("in code that runs then, dataset.__setstate__()")
    rows = SentPart("dataset", "dataset.rows", "list of Row", 50_000_000, 1.0, 1.5, None)
    assert "dataset.rows (a list of Row)" in detail("unpickle", 4.0, setstate, rows)


def test_what_takes_most_of_the_time_is_named_even_where_other_parts_have_more_bytes():
    prepared = SentPart("dataset", "dataset.__getstate__()", "dict", 0, 3.0, 0.0, None)
    assert dominating_part([FUNCTION, prepared]) is prepared
    assert "most of the time for dataset.__getstate__() (a dict)" in detail("pickle", 3.0, prepared)
    assert dominating_part([FUNCTION]) is None
    tensor = SentPart("dataset", "dataset.x", "Tensor", 363, 1.1, 1e-5, None, shared_bytes=1_200_000_000)
    assert "1.2 GB moved into shared memory first, once, for dataset.x" in detail("pickle", 1.1, tensor)


def test_a_wait_for_the_first_state_of_workers_is_no_slow_sampler():
    """Torchdata's iterator asks each worker for its state before it hands out indices."""
    made = started_by_spawn()
    made.trace.points_of(lane_table.MAIN_LANE).append(time_ns=[900 * MS], state=[int(State.INDEX_PUT)], batch=[0], value=[0])
    iterator = made.trace.tracks[(lane_table.MAIN_LANE.key, 0)].view()
    iterator["end_ns"][0] = 1010 * MS
    made.add(lane_table.MAIN_LANE, 1, State.RECEIVE, 20, 880)
    culprit = made.startup().culprit
    assert culprit.phase == "iterator"
    assert "waits 0.86 s for the first state of its workers" in culprit.detail


def test_a_slow_sampler_is_named_with_and_without_workers():
    made = started_by_spawn()
    made.trace.points_of(lane_table.MAIN_LANE).append(time_ns=[900 * MS], state=[int(State.INDEX_PUT)], batch=[0], value=[0])
    iterator = made.trace.tracks[(lane_table.MAIN_LANE.key, 0)].view()
    iterator["end_ns"][0] = 1010 * MS
    culprit = made.startup().culprit
    assert (culprit.phase, culprit.detail.partition("; ")[2]) == ("iterator", "it waits 0.89 s for the first indices of the sampler")

    alone = Made()
    alone.add(lane_table.MAIN_LANE, lane_table.BRACKET_DEPTH, State.EPOCH, 0, 1100)
    alone.add(lane_table.MAIN_LANE, 0, State.ITERATOR, 0, 2)
    alone.add(lane_table.MAIN_LANE, 0, State.WAIT, 2, 1010, batch=0)
    alone.add(lane_table.MAIN_LANE, 1, State.FETCH, 1000, 1008, batch=0)
    startup = alone.startup()
    assert startup.explained_share > 0.99
    assert (startup.culprit.phase, startup.culprit.detail) == ("index_wait", "the sampler draws the indices of the first batch")
