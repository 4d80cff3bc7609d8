"""Real processes, sampled from outside."""

import json
import os
import subprocess
import sys
import time
import types

import pytest
from running import until

from loaderscope.agent import layout
from loaderscope.telemetry import processes
from loaderscope.telemetry.processes import ProcessSampler, mapped_log_bytes, process_memory, read_smaps_rollup
from loaderscope.telemetry.sampled_value import append_samples
from loaderscope.telemetry.sampler import Sampler
from loaderscope.trace.model import Trace

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Child:
    """An interpreter that runs one line after the other, and says when each is done."""

    def __init__(self) -> None:
        program = "import sys\nfor line in sys.stdin:\n    exec(line)\n    print('done', flush=True)\n"
        self.process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def do(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def child():
    made = Child()
    made.do("pass")
    yield made
    made.process.kill()
    made.process.communicate()


def newest(samples, key):
    values = [sample.value for sample in samples if sample.info.key == key]
    return values[-1] if values else None


BURN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_a_busy_process_shows_its_cpu_and_an_idle_one_none(child, tmp_path):
    sampler = ProcessSampler(tmp_path)
    sampler.sample([("main", child.pid)])
    began = time.perf_counter()
    child.do(f"exec({BURN!r})")
    busy = newest(sampler.sample([("main", child.pid)]), "cpu/main")
    assert busy == pytest.approx(100 * 0.3 / (time.perf_counter() - began), rel=0.3)  # a busy machine gives it less than a core
    idle = []
    until(lambda: idle.append(sampler.sample([("main", child.pid)])) or len(idle) > 8)
    assert newest(idle[-1], "cpu/main") in (None, 0)


@linux
def test_memory_follows_what_the_process_takes(child, tmp_path):
    before = ProcessSampler(tmp_path).sample([("worker-0", child.pid)])
    child.do("data = bytearray(b'x') * (50 << 20)")
    after = ProcessSampler(tmp_path).sample([("worker-0", child.pid)])
    for key in ("uss/worker-0", "pss/worker-0", "rss/worker-0"):
        assert newest(after, key) - newest(before, key) == pytest.approx(50 << 20, rel=0.05)
    assert newest(after, "uss/worker-0") <= newest(after, "pss/worker-0") <= newest(after, "rss/worker-0")


@linux
def test_memory_is_read_once_a_second_at_most(child, tmp_path):
    sampler = ProcessSampler(tmp_path)
    rounds = [sampler.sample([("main", child.pid)]) for _ in range(20)]
    assert sum(newest(samples, "uss/main") is not None for samples in rounds) == 1


def test_memory_of_a_process_that_is_slow_to_read_is_read_less_often(child, tmp_path, monkeypatch):
    """By clocks of the test: a reading of 50 ms is followed by the next one 5 s later, one of 1 ms by one after a second."""
    clock = types.SimpleNamespace(now_s=100.0, cpu_s=7.0, cost_s=0.05, preempted_s=0.0)

    def read(_process):
        clock.cpu_s += clock.cost_s
        clock.now_s += clock.cost_s + clock.preempted_s
        return {"uss": 1}

    monkeypatch.setattr(processes.time, "monotonic", lambda: clock.now_s)
    monkeypatch.setattr(processes.time, "thread_time", lambda: clock.cpu_s)
    monkeypatch.setattr(processes, "process_memory", read)
    sampler = ProcessSampler(tmp_path)

    def seconds_between_readings():
        begins = []
        while len(begins) < 3:
            begin_s = clock.now_s
            if newest(sampler.sample([("main", child.pid)]), "uss/main") is not None:
                begins.append(begin_s)
            clock.now_s += 0.25
        return begins[-1] - begins[-2]

    assert seconds_between_readings() == pytest.approx(5.0, abs=0.35)
    begin_s = clock.now_s
    while newest(sampler.sample([("main", child.pid), ("worker-0", os.getpid())]), "uss/main") is None:
        clock.now_s += 0.25
    assert clock.now_s - begin_s == pytest.approx(2.5, abs=0.35)  # one that appears shares pages, so sooner than after 5 s
    clock.cost_s, clock.preempted_s = 0.001, 0.05  # another program had the processor
    assert seconds_between_readings() == pytest.approx(1.05, abs=0.35)


def test_memory_of_all_is_read_when_one_appears_as_it_then_shares_what_another_had_alone(child, tmp_path, monkeypatch):
    monkeypatch.setattr(processes.time, "thread_time", lambda: 7.0)  # a reading that costs nothing may follow another at once
    sampler, worker = ProcessSampler(tmp_path), Child()
    worker.do("pass")
    try:
        sampler.sample([("main", child.pid)])
        read = [sampler.sample([("main", child.pid), ("worker-0", worker.pid)]) for _ in range(3)]
        assert [newest(samples, "uss/main") is not None for samples in read] == [True, False, False]
        assert [newest(samples, "uss/worker-0") is not None for samples in read] == [True, False, False]
    finally:
        worker.process.kill()
        worker.process.communicate()
    gone = sampler.sample([("main", child.pid), ("worker-0", worker.pid)], memory_now=True)
    assert newest(gone, "uss/main") is None  # of its pages none is shared any more: beside what the worker had they would count twice
    assert newest(sampler.sample([("main", child.pid)], memory_now=True), "uss/main") is not None


@linux
def test_reads_count_from_the_first_look_for_main_and_from_birth_for_a_worker(child, tmp_path):
    data = tmp_path / "data"
    data.write_bytes(b"d" * (4 << 20))
    child.do(f"open({str(data)!r}, 'rb').read()")
    sampler = ProcessSampler(tmp_path)
    first = sampler.sample([("main", child.pid), ("worker-0", child.pid)])
    assert newest(first, "read_cache/main") + newest(first, "read_disk/main") == 0
    assert newest(first, "read_cache/worker-0") + newest(first, "read_disk/worker-0") >= 4 << 20
    child.do(f"open({str(data)!r}, 'rb').read()")
    second = sampler.sample([("main", child.pid)])
    assert newest(second, "read_cache/main") + newest(second, "read_disk/main") == pytest.approx(4 << 20, rel=0.05)


@linux
def test_what_came_from_the_cache_stays_so_when_a_mapped_file_is_read_from_disk(child, tmp_path, monkeypatch):
    disk_and_cache_bytes = iter([(0, 0), (0, 0), (1000, 5000), (4000, 2000), (4000, 6000)])
    monkeypatch.setattr(processes, "_read_bytes", lambda _process: next(disk_and_cache_bytes))
    sampler = ProcessSampler(tmp_path)
    from_cache = [newest(sampler.sample([("main", child.pid)]), "read_cache/main") for _ in range(4)]
    assert from_cache == [0, 5000, 5000, 6000]


@linux
def test_reads_of_a_workers_earlier_process_are_kept(tmp_path):
    data = tmp_path / "data"
    data.write_bytes(b"d" * (4 << 20))
    sampler = ProcessSampler(tmp_path)
    totals = []
    for _ in range(2):
        one = Child()
        one.do(f"open({str(data)!r}, 'rb').read()")
        samples = sampler.sample([("worker-0", one.pid)])
        totals.append(newest(samples, "read_cache/worker-0") + newest(samples, "read_disk/worker-0"))
        one.process.kill()
        one.process.communicate()
        sampler.sample([])
    assert totals[1] - totals[0] >= 4 << 20


def test_a_process_that_is_gone_gives_nothing(child, tmp_path):
    sampler = ProcessSampler(tmp_path)
    sampler.sample([("main", child.pid)])
    child.process.kill()
    child.process.wait()
    assert sampler.sample([("main", child.pid)]) == []
    assert sampler.unavailable == {}


@linux
def test_a_zombie_gives_no_memory():
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        read_smaps_rollup(zombie.pid)
    zombie.wait()


@linux
def test_the_event_log_is_not_the_users_memory(child, tmp_path):
    """The child maps a full segment, as a recording process does; its memory reads as if it had none."""
    path = tmp_path / f"{child.pid}-123.0000.events"
    header = json.dumps({"pid": child.pid}).encode().ljust(layout.HEADER_BYTES, b"\0")
    records = b"".join(layout.RECORD.pack(1, 0, 0, 1, 0, number + 1) for number in range(layout.SEGMENT_RECORDS - 1))
    path.write_bytes((header + records).ljust(layout.SEGMENT_BYTES, b"\0"))
    before = newest(ProcessSampler(tmp_path / "elsewhere").sample([("main", child.pid)]), "uss/main")
    child.do(f"import mmap; file = open({str(path)!r}, 'r+b'); mapped = mmap.mmap(file.fileno(), 0); mapped[:] = bytes(mapped)")
    with_log = newest(ProcessSampler(tmp_path / "elsewhere").sample([("main", child.pid)]), "uss/main")
    without = newest(ProcessSampler(tmp_path).sample([("main", child.pid)]), "uss/main")
    assert mapped_log_bytes(tmp_path, child.pid) == pytest.approx(layout.SEGMENT_BYTES, abs=8192)
    assert with_log - before >= layout.SEGMENT_BYTES
    assert without == with_log - mapped_log_bytes(tmp_path, child.pid)


def test_the_sampler_samples_while_it_watches_and_only_then(child, tmp_path):
    sampler, trace = Sampler(), Trace()
    began = time.perf_counter()
    try:
        sampler.watch(lambda: [("main", child.pid)], tmp_path)
        assert until(lambda: append_samples(trace, sampler.drain()) and "rss/main" in trace.series and "cpu/main" in trace.series)
        assert trace.series["cpu/main"][0].unit == "%"
        assert trace.series["rss/main"][0].process == "main"
        cost = sampler.stop_watching()
        assert 0 < cost.processes_s < time.perf_counter() - began
        assert (cost.nvml_s is None) == (not sampler.gpus)
        sampler.drain()
        version = trace.version
        assert not append_samples(trace, sampler.drain())
        assert trace.version == version
        if not sampler.gpus:
            assert "gpu" in sampler.unavailable()
    finally:
        sampler.close()


def test_samples_move_to_the_agents_clock(child, tmp_path):
    samples, trace = ProcessSampler(tmp_path).sample([("main", child.pid)]), Trace()
    append_samples(trace, samples, clock_offset_ns=1_000)
    threads = next(sample for sample in samples if sample.info.key == "threads/main")
    assert trace.series["threads/main"][1].view()["time_ns"][0] == threads.time_ns + 1_000


def test_on_windows_private_bytes_and_commit_are_read_beside_the_working_set(monkeypatch):
    full = types.SimpleNamespace(rss=300, uss=100, private=250, pagefile=260)
    process = types.SimpleNamespace(pid=1, memory_full_info=lambda: full)
    monkeypatch.setattr(sys, "platform", "win32")
    assert process_memory(process) == {"uss": 100, "rss": 300, "private": 250, "commit": 260}
