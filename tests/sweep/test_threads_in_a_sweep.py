"""Trials with threads, from the agent to the row: lanes, processes, start-up, and what the GIL does to a fetch."""

import os

import pytest
from running import nothing_left_of, request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.analysis.span_lookup import spans_of

SCRIPT = """
    import time
    from torch.utils.data import Dataset, IterableDataset

    class Base(Dataset):
        def __len__(self):
            return 4000

    class Computing(Base):
        def __getitem__(self, index):
            end = time.thread_time() + 0.002
            while time.thread_time() < end:
                pass
            return index

    class Sleeping(Base):
        def __getitem__(self, index):
            time.sleep(0.002)
            return index

    class Hanging(Base):
        def __getitem__(self, index):
            time.sleep(3600 if index == 8 else 0)
            return index

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(100))

    computing, sleeping, hanging, stream = Computing(), Sleeping(), Hanging(), Stream()
"""


@pytest.fixture(autouse=True)
def nothing_stays():
    yield
    assert nothing_left_of(os.getpid())


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    script = write_script(tmp_path_factory.mktemp("threads"), SCRIPT)

    def run(target, workers=(2,), **options):
        return run_pool(request(script, workers, target=target, batch_size=(4,), **{"backend": ("thread",), "batches": 24, **options}))

    return run


def test_a_trial_has_a_lane_for_each_thread_and_one_process(sweep):
    sink = sweep("sleeping", epochs=2, persistent_workers=(True,))
    (result,), trace = sink.results, sink.traces[0]
    assert (result.status, result.batches, result.samples) == ("ok", 48, 192)
    assert [process.name for process in trace.processes] == ["main"]
    for worker in (0, 1):
        fetches = spans_of(trace, f"worker-{worker}", State.FETCH)
        assert fetches.size == 24
        assert (fetches.value > 0).all(), "CPU time of every fetch"
        assert spans_of(trace, f"worker-{worker}", State.SEND).size == 24
        assert spans_of(trace, f"worker-{worker}", State.CREATE).size == 1, "persistent threads start once"
    assert spans_of(trace, "main", State.FETCH).size == 0
    assert any(key.lane.startswith("flight-") for key in trace.tracks)
    assert "uss/worker-0" not in trace.series
    assert result.memory.peak_total_bytes
    assert result.memory.workers == []
    phases = {(phase.process, phase.phase) for phase in result.startup.phases}
    assert {("main", "start_worker"), ("worker-0", "create"), ("worker-0", "loop_entry"), ("worker-0", "first_fetch")} <= phases
    assert result.startup.explained_share > 0.9


def test_the_processor_time_of_a_fetch_tells_computing_from_waiting(sweep):
    shares = {}
    for target in ("computing", "sleeping"):
        shares[target] = sweep(target).results[0].signs.fetch_cpu_share
    assert 0 < 2 * shares["sleeping"] < shares["computing"]


def test_threads_that_compute_wait_for_each_other(sweep):
    """Two processes on one processor would as well, so the comparison is of one thread with two."""
    one, four = (result.signs.fetch_cpu_share for result in sweep("computing", (1, 4)).results)
    assert four < 0.7 * one


def test_every_trial_has_an_agent_of_its_own(sweep):
    sink = sweep("sleeping", (1, 2), batches=4)
    pids = {process.pid for trace in sink.traces.values() for process in trace.processes}
    assert len(pids) == 2


def test_a_dataset_that_hangs_ends_with_its_agent(sweep):
    (result,) = sweep("hanging", timeout_s=2.0).results
    assert (result.status, result.error.kind) == ("timeout", "hung")
    assert "worker-0" in result.error.message or "worker 0" in result.error.message
    assert "__getitem__" in result.error.traceback, "the stacks of all threads"


def test_an_iterable_dataset_is_skipped_with_the_reason(sweep):
    (result,) = sweep("stream").results
    assert result.status == "skipped"
    assert "iterable" in result.error.message
