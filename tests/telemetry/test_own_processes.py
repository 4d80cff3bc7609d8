"""A trial's own processes: their threads, what they wait for, their cores, and processes beside the workers."""

import os
import subprocess
import sys

import psutil
import pytest
from running import until, write_script

from loaderscope.facts.lanes import BESIDE_SERIES, OTHER_THREADS_SERIES, WORKERS_AFFINITY_SERIES
from loaderscope.facts.thread_waits import ThreadWait
from loaderscope.telemetry.core_use import CoreUse
from loaderscope.telemetry.own_processes import OwnProcesses
from loaderscope.telemetry.processes import ProcessSampler

if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from loaderscope.telemetry.cores_linux import Cores

WORK = """
    import hashlib, os, sys, threading
    block = bytes(1 << 20)

    def burn():
        end = os.times().user + 0.8
        while os.times().user < end:
            hashlib.sha256(block).digest()  # without the lock of Python

    for line in sys.stdin:
        if line == "threads\\n":
            started = [threading.Thread(target=burn) for _ in range(2)]
            for thread in started:
                thread.start()
            for thread in started:
                thread.join()
        elif line == "fork\\n":
            child = os.fork()
            if not child:
                sys.stdin.close()
                burn()
                os.read(int(sys.argv[1]), 1)
                os._exit(0)
            print(child, flush=True)
            continue
        print(0, flush=True)
"""


class Program:
    """A process that computes in threads, or forks a child that computes, on request; a forked child ends with it."""

    def __init__(self, folder) -> None:
        self._read, self._write = os.pipe()
        command = [sys.executable, str(write_script(folder, WORK, "work.py")), str(self._read)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[self._read])
        self.pid = self.process.pid

    def do(self, what: str) -> int:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        os.write(self._write, b"xx")
        self.process.kill()
        self.process.communicate()
        os.close(self._read)
        os.close(self._write)


@pytest.fixture
def program(tmp_path):
    made = Program(tmp_path)
    made.do("nothing")
    yield made
    made.close()


def values(samples, key):
    return [sample.value for sample in samples if sample.info.key == key]


def test_threads_beside_the_first_are_counted_by_what_they_compute(program):
    cores, own = Cores(), OwnProcesses()
    named = [("worker-0", program.pid)]
    before = cores.read(named)
    program.do("threads")
    after = cores.read(named)
    assert after.other_threads_s["worker-0"] >= 0.0  # threads that have ended are counted no more
    program.process.stdin.write("threads\n")
    program.process.stdin.flush()
    assert until(lambda: cores.read(named).other_threads_s["worker-0"] > after.other_threads_s["worker-0"] + 0.1)
    (percent,) = values(own.samples(before, cores.read(named)), f"{OTHER_THREADS_SERIES}/worker-0")
    assert percent > 0
    program.process.stdout.readline()


def test_a_process_that_main_forked_is_sampled_beside_the_workers_once_it_computes(program):
    cores, own = Cores(), OwnProcesses()
    named = [("main", program.pid)]
    before = cores.read(named)
    child = program.do("fork")
    assert until(lambda: psutil.Process(child).cpu_times().user >= 0.5)
    after = cores.read(named)
    assert after.beside_s[child] == pytest.approx(0.7, abs=0.25)
    (sample,) = [sample for sample in own.samples(before, after) if sample.info.key == f"{BESIDE_SERIES}-{child}"]
    assert sample.value > 0
    assert sample.info.process == f"process {child}"  # it runs no program of its own
    assert cores.read([*named, ("worker-0", child)]).beside_s == {}


def test_an_idle_process_beside_the_workers_has_no_series():
    last, now = (CoreUse(time_ns, 0.0, None, 0.0, frozenset(), {}, beside_s={7: used_s}) for time_ns, used_s in ((0, 1.0), (10**9, 1.01)))
    assert OwnProcesses().samples(last, now) == []


def test_what_a_process_waits_for_is_seen(program, tmp_path):
    sampler = ProcessSampler(tmp_path)

    def waits():
        return values(sampler.sample_waits([("worker-0", program.pid)]), "waits_for/worker-0")

    assert until(lambda: waits() == [ThreadWait.PROCESS])  # it reads a pipe
    assert sampler.sample_waits([("worker-0", 2**22 + 1)]) == []  # no such process


def test_the_cores_of_all_workers_together_are_counted_once(program, tmp_path):
    core = psutil.Process().cpu_affinity()[0]
    psutil.Process(program.pid).cpu_affinity([core])
    sampler = ProcessSampler(tmp_path)
    both = [("main", os.getpid()), ("worker-0", program.pid), ("worker-1", program.pid)]
    assert values(sampler.sample(both), WORKERS_AFFINITY_SERIES) == [1]
    assert values(sampler.sample([("main", os.getpid())]), WORKERS_AFFINITY_SERIES) == []
