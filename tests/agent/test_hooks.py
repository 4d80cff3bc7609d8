"""What the hooks record: every phase under every start method, in pairs, and also of workers that die, hang or fork."""

import functools
import gc
import itertools
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time

import agent_package
import logs
import pytest
from agent_interpreter import AGENT_PYTHON

from loaderscope.agent import layout
from loaderscope.agent.layout import THREAD_CPU_UNKNOWN, Role, State

SCRIPT = pathlib.Path(__file__).parent / "hook_scenarios.py"
BATCHES = 6  # of 24 samples by 4
WORKERS = ("fork", "spawn", "forkserver")


class Run:
    """A scenario that was run to its end, with its logs."""

    def __init__(self, scenario, method, log_dir):
        ended = subprocess.run(
            [AGENT_PYTHON, str(SCRIPT), scenario, method, str(log_dir)], capture_output=True, text=True, timeout=100, check=False
        )
        assert ended.returncode == 0, ended.stderr
        self.told = json.loads(ended.stdout.splitlines()[-1])
        self.stderr = ended.stderr
        self.log_dir = log_dir
        read = logs.read_logs(log_dir)
        (self.main,) = [log for log in read if log.header["role"] == Role.MAIN]
        self.workers = sorted((log for log in read if log.header["role"] == Role.WORKER), key=lambda log: log.header["worker"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a scenario once for all tests of this module."""
    return functools.lru_cache(lambda scenario, method: Run(scenario, method, tmp_path_factory.mktemp(f"{scenario}-{method}")))


def all_spans(run, state):
    return [span for worker in run.workers for span in logs.spans(worker, state)]


@pytest.mark.parametrize("method", ["0", "fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_nothing_unknown_is_told_about_a_checked_torch(run, method):
    assert run("persistent", method).told["notes"] == []


@pytest.mark.parametrize("method", WORKERS)
def test_each_worker_writes_one_log_under_its_number(run, method):
    seen = run("persistent", method)
    assert [worker.header["worker"] for worker in seen.workers] == [0, 1]
    started = {end.a: end.b for _, end in logs.spans(seen.main, State.START_WORKER)}
    assert started == {worker.header["worker"]: worker.header["pid"] for worker in seen.workers}


@pytest.mark.parametrize("method", ["0", *WORKERS])
def test_spans_of_a_thread_nest_and_are_closed(run, method):
    seen = run("persistent", method)
    assert logs.assert_nested(seen.main) == []
    for worker in seen.workers:
        assert logs.assert_nested(worker) == []


@pytest.mark.parametrize("method", ["0", *WORKERS])
def test_every_wait_tells_its_epoch_and_batch(run, method):
    seen = run("persistent", method)
    waits = [(begin.a, end.a) for begin, end in logs.spans(seen.main, State.WAIT)]
    assert waits == [(epoch, batch) for epoch in (0, 1) for batch in [*range(BATCHES), -1]]
    assert [begin.a for begin, _ in logs.spans(seen.main, State.ITERATOR)] == [0, 1]


@pytest.mark.parametrize("method", WORKERS)
def test_every_batch_is_followed_through_all_processes(run, method):
    seen = run("persistent", method)
    expected = sorted([*range(BATCHES)] * 2)
    for state in (State.FETCH, State.COLLATE):
        assert sorted(begin.a for begin, _ in all_spans(seen, state)) == expected
        assert all(begin.a == end.a for begin, end in all_spans(seen, state))
    for state in (State.INDEX_WAIT, State.SEND, State.SERIALISE):
        assert sorted(end.a for _, end in all_spans(seen, state) if end.a >= 0) == expected
    for worker in seen.workers:  # it may end before its queue's thread has noted its last batch, which main has read
        fetched = [begin.a for begin, _ in logs.spans(worker, State.FETCH)]
        assert [end.a for _, end in logs.spans(worker, State.TRANSMIT) if end.a >= 0] in (fetched, fetched[:-1])
    assert sorted(end.a for _, end in logs.spans(seen.main, State.DESERIALISE) if end.a >= 0) == expected
    sizes = sorted(end.b for _, end in logs.spans(seen.main, State.RECEIVE))
    assert sizes == sorted(end.b for _, end in all_spans(seen, State.SERIALISE))
    assert {end.b for _, end in all_spans(seen, State.TRANSMIT)} == set(sizes)
    assert sizes[0] > 0, "bytes"
    for state in (State.INDEX_PUT, State.ARRIVE):
        points = [record for record in seen.main.records if record.state == state]
        assert sorted(point.a for point in points) == expected
        by_worker = {(point.a, point.b) for point in points}
        assert by_worker == {(begin.a, worker.header["worker"]) for worker in seen.workers for begin, _ in logs.spans(worker, State.FETCH)}


@pytest.mark.parametrize("method", WORKERS)
def test_each_batch_that_is_sent_tells_its_tensors_and_bytes(run, method):
    seen = run("persistent", method)
    for worker in seen.workers:
        pickled = [end.b for _, end in logs.spans(worker, State.SERIALISE) if end.a >= 0]
        told = [record for record in worker.records if record.state == State.CONTENTS]
        assert [layout.tensors_of_contents(record.b) for record in told] == [1] * BATCHES
        assert [layout.bytes_of_contents(record.b) for record in told] == [4 * 64 * 4 + size for size in pickled]
        assert [record.a for record in told] == [begin.a for begin, _ in logs.spans(worker, State.FETCH)]


@pytest.mark.parametrize("method", WORKERS)
def test_a_batch_takes_its_steps_in_order_on_one_clock(run, method):
    seen = run("sleep", method) if method == "fork" else run("persistent", method)
    put = {record.a: record.time_ns for record in reversed(seen.main.records) if record.state == State.INDEX_PUT}
    arrive = {record.a: record.time_ns for record in reversed(seen.main.records) if record.state == State.ARRIVE}
    for worker in seen.workers:
        for number in sorted({begin.a for begin, _ in logs.spans(worker, State.FETCH)})[:-1]:  # for the last, see above
            first = {
                state: next(span for span in logs.spans(worker, state) if span[1].a == number)
                for state in (State.FETCH, State.COLLATE, State.SEND, State.SERIALISE, State.TRANSMIT)
            }
            times = [put[number], *(first[state][0].time_ns for state in first), arrive[number]]
            assert times == sorted(times)


@pytest.mark.parametrize("method", WORKERS)
def test_start_up_phases_follow_each_other_without_gaps(run, method):
    seen = run("persistent", method)
    imports = [State.MAIN_IMPORT, State.UNPICKLE] if method != "fork" else []
    for worker in seen.workers:
        phases = []
        for state in (State.CREATE, State.BOOT, *imports, State.LOOP_ENTRY, State.WORKER_INIT, State.INDEX_WAIT):
            found = logs.spans(worker, state)
            assert found, f"{state.name} is missing"
            begin, end = found[0]
            phases.append((begin.time_ns, begin.time_ns + begin.b if begin.form == layout.COMPLETE else end.time_ns))
        assert phases == sorted(phases)
        starts = [(begin, end) for begin, end in logs.spans(seen.main, State.START_WORKER) if begin.a == worker.header["worker"]]
        assert starts[0][0].time_ns <= phases[0][0], "a process is not created before it is asked for"
        own_ns = sum(begin.b for begin, _ in logs.spans(worker, State.OWN))
        gaps_ns = sum(later[0] - earlier[1] for earlier, later in itertools.pairwise(phases)) - own_ns
        assert gaps_ns < 0.05 * (phases[-1][0] - phases[0][0]) + 20_000_000
        assert len(logs.spans(worker, State.LOOP_ENTRY)) == 2, "around the init function"


@pytest.mark.parametrize("method", WORKERS)
def test_main_tells_what_starting_takes(run, method):
    seen = run("persistent", method)
    pickles = logs.spans(seen.main, State.PICKLE)
    if method == "fork":
        assert pickles == []
    else:
        assert [begin.a for begin, _ in pickles] == [0, 1]
        assert all(end.b > 200 for _, end in pickles), "bytes"
    assert len(logs.spans(seen.main, State.SERVER_START)) == (1 if method == "forkserver" else 0)


def test_a_spawned_worker_tells_its_heavy_imports(run):
    seen = run("persistent", "spawn")
    for worker in seen.workers:
        (names_file,) = seen.log_dir.glob(f"{worker.header['pid']}-*{layout.NAMES_SUFFIX}")
        names = [json.loads(line) for line in names_file.read_text().splitlines()]
        imports = {names[begin.a]: begin.b for begin, _ in logs.spans(worker, State.IMPORT)}
        ((begin, end),) = logs.spans(worker, State.MAIN_IMPORT)
        assert max(imports, key=imports.get) == "torch"
        assert 0.5 * (end.time_ns - begin.time_ns) < imports["torch"] <= end.time_ns - begin.time_ns


def test_without_workers_main_fetches_inside_its_wait(run):
    seen = run("persistent", "0")
    waits = logs.spans(seen.main, State.WAIT)
    for state in (State.FETCH, State.COLLATE):
        for begin, end in logs.spans(seen.main, state):
            assert any(outer.time_ns <= begin.time_ns and end.time_ns <= outer_end.time_ns for outer, outer_end in waits)
        assert [begin.a for begin, _ in logs.spans(seen.main, state)] == [*range(BATCHES)] * 2


@pytest.mark.parametrize("method", ["0", "fork"])
def test_slow_samples_are_recorded_one_by_one(run, method):
    seen = run("sleep", method)
    records = [record for log in (seen.main, *seen.workers) for record in log.records if record.state == State.SAMPLE]
    assert sorted((record.b, record.a) for record in records) == [(index // 4, index) for index in range(24)]


@pytest.mark.parametrize("method", ["0", "fork"])
def test_fast_samples_are_recorded_in_some_batches_only(run, method):
    seen = run("fast", method)
    samples = [record for log in (seen.main, *seen.workers) for record in log.records if record.state == State.SAMPLE]
    fetches = [span for log in (seen.main, *seen.workers) for span in logs.spans(log, State.FETCH)]
    assert len(fetches) == 40
    assert 0 < len(samples) <= 400
    assert len(samples) % 100 == 0, "whole batches"
    detailed = {record.b for record in samples}
    assert {end.a for _, end in fetches if end.b != THREAD_CPU_UNKNOWN} == detailed, "the CPU clock is read in these batches alone"


@pytest.mark.parametrize("method", ["0", "fork"])
def test_thread_cpu_time_tells_waiting_from_computing(run, method):
    def cpu_share(scenario):
        seen = run(scenario, method)
        spans = [span for log in (seen.main, *seen.workers) for span in logs.spans(log, State.FETCH)][2:]
        return sum(end.b for _, end in spans) / sum(end.time_ns - begin.time_ns for begin, end in spans), [end.b for _, end in spans]

    sleeping_share, _ = cpu_share("sleep")
    _, burning_ns = cpu_share("burn")
    assert sleeping_share < 0.4
    assert min(burning_ns) >= 4 * 2_000_000, "4 samples of 2 ms CPU time each"


def test_the_end_of_an_iterable_is_no_batch(run):
    seen = run("iterable", "fork")
    handed_out = [end.a for _, end in logs.spans(seen.main, State.WAIT) if end.a >= 0]
    arrived = [record.a for record in seen.main.records if record.state == State.ARRIVE]
    assert len(handed_out) == BATCHES == seen.told["batches"]
    assert sorted(arrived) == sorted(handed_out)


def test_a_killed_worker_loses_nothing(run):
    seen = run("killed", "fork")
    # torch notices by the signal, by asking, or by a batch whose memory can no longer be had from the dead worker
    words = ("killed by signal", "exited unexpectedly", "ConnectionResetError", "ConnectionRefusedError", "FileNotFoundError", "EOFError")
    assert any(word in seen.told["error"] for word in words)
    # the other worker may have been ended at its work, too, by the end of main
    cut_off = [worker for worker in seen.workers if logs.assert_nested(worker)]
    died = [log for log in cut_off if (log.records[-1].state, log.records[-1].a) == (State.SAMPLE, 13)]
    assert len(died) == 1, "the last record names the sample at which the worker died"
    (log,) = died
    assert [record.sequence for record in log.records] == list(range(1, len(log.records) + 1))


def test_a_process_that_the_dataset_forks_writes_nothing_into_the_worker_s_log(run):
    seen = run("fork-inside", "fork")
    assert seen.told["error"] is None
    assert len(seen.workers) == 2
    for log in (seen.main, *seen.workers):
        assert logs.assert_nested(log) == []
        assert [record.sequence for record in log.records] == list(range(1, len(log.records) + 1))


@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_a_full_disk_leaves_the_batches_alone(run, method):
    seen = run("full-disk", method)
    assert seen.told["batches"] == BATCHES
    assert seen.told["error"] is None
    assert seen.workers == []
    assert "loaderscope: worker 0 is not recorded" in seen.stderr


def test_a_process_without_progress_leaves_its_stack(log_dir):
    """Main dumps too: it waits for the worker."""
    process = subprocess.Popen([AGENT_PYTHON, str(SCRIPT), "hang", "fork", str(log_dir)], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        found = wait_for(lambda: [file for file in log_dir.glob("*.stacks") if "hang_here" in file.read_text()])
        assert found, "no stack names the function that hangs"
        assert wait_for(lambda: [file for file in log_dir.glob("*.stacks") if "_try_get_data" in file.read_text()])
    finally:
        kill_group(process)


def wait_for(found, timeout_s=30.0):
    """Polls a file system for what another process writes."""
    pause, deadline_s = threading.Event(), time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        result = found()
        if result:
            return result
        pause.wait(0.05)
    return None


def kill_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_hooks_go_away_again():
    agent_package.load()
    import multiprocessing.process
    import multiprocessing.reduction
    import multiprocessing.spawn

    import torch.utils.data.dataloader as dataloader
    from _loaderscope_agent import instrument

    def hooked():
        return [
            multiprocessing.process.BaseProcess.start, multiprocessing.process.BaseProcess.run, multiprocessing.reduction.dump,
            multiprocessing.spawn.get_command_line, dataloader._DatasetKind.__dict__["create_fetcher"],
            dataloader._BaseDataLoaderIter.__next__, dataloader._MultiProcessingDataLoaderIter.__init__,
            dataloader._MultiProcessingDataLoaderIter.__dict__.get("__next__"),
        ]  # fmt: skip

    before = hooked()
    instrument.install()
    between = hooked()
    assert between[0] is not before[0]
    instrument.install()
    assert hooked() == between, "installing twice changes nothing"
    instrument.uninstall()
    assert hooked() == before


def test_the_iterator_of_an_iterable_dataset_ends_with_the_loaders(tmp_path):
    agent_package.load()
    from _loaderscope_agent import instrument
    from torch.utils.data import DataLoader, IterableDataset

    ended = []

    class Endless(IterableDataset):
        def __iter__(self):
            try:
                yield from itertools.count()
            finally:
                ended.append(True)

    instrument.start_recording(str(tmp_path), 60.0)
    gc.disable()
    try:
        iterator = iter(DataLoader(Endless()))
        next(iterator)
        del iterator
        assert ended, "kept alive by what observes it, until garbage is collected"
    finally:
        gc.enable()
        instrument.stop_recording()
        instrument.uninstall()


def test_an_unknown_body_gives_a_sentence_and_keeps_what_is_sure(monkeypatch):
    agent_package.load()
    import torch.utils.data.dataloader as dataloader
    from _loaderscope_agent import instrument, torch_internals

    def _try_put_index(self):
        """A body of a torch to come, without the names that the hook relies on."""

    def __len__(self):  # noqa: N807
        return 0

    def _get_data(self):
        return self._try_get_data(1)

    monkeypatch.setattr(dataloader._MultiProcessingDataLoaderIter, "_try_put_index", _try_put_index)
    monkeypatch.setattr(dataloader._MultiProcessingDataLoaderIter, "_get_data", _get_data)
    torch_internals.assumption_notes.cache_clear()
    try:
        notes = instrument.install()
        assert dataloader._MultiProcessingDataLoaderIter._try_put_index is _try_put_index, "not hooked"
        assert dataloader._MultiProcessingDataLoaderIter._get_data is not _get_data, "hooked: its names are there"
    finally:
        instrument.uninstall()
        torch_internals.assumption_notes.cache_clear()
    missing, unknown = notes
    assert "_try_put_index" in missing
    assert "handing out of indices cannot be recorded" in missing
    assert "1 of 13 functions" in unknown
    assert "_get_data" in unknown


def test_the_pin_thread_tells_what_it_pins(log_dir, monkeypatch):
    """Torch's own loop, with the two calls that need a device left out."""
    agent_package.load()
    import torch
    from _loaderscope_agent import instrument
    from torch.utils.data._utils import pin_memory

    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setattr(pin_memory, "pin_memory", lambda data, device=None: data)
    coming, pinned, done = queue.Queue(), queue.Queue(), threading.Event()
    instrument.start_recording(str(log_dir), 60.0)
    try:
        thread = threading.Thread(target=pin_memory._pin_memory_loop, args=(coming, pinned, 0, done, "cuda"))
        thread.start()
        for number in range(3):
            coming.put((number, torch.zeros(2)))
        assert [pinned.get(timeout=30)[0] for _ in range(3)] == [0, 1, 2]
        done.set()
        coming.put((None, None))
        thread.join(30)
    finally:
        instrument.stop_recording()
        instrument.uninstall()
    (log,) = logs.read_logs(log_dir)
    pins = logs.spans(log, State.PIN)
    assert [(begin.a, end.a, begin.thread) for begin, end in pins] == [(number, number, layout.PIN_THREAD) for number in range(3)]
    assert all(end.b > 0 for _, end in pins)  # what the thread computed for each
