"""Which programs use the cores beside a trial: with real processes that burn, and with invented readings."""

import subprocess
import sys
import time

import psutil
import pytest
from running import is_alive, until, write_script

from loaderscope.facts.lanes import OTHERS_SERIES, RUN_DELAY_SERIES
from loaderscope.telemetry import cores_anywhere, other_programs
from loaderscope.telemetry.core_use import CoreUse, ProcessTime
from loaderscope.telemetry.other_programs import Cores, OtherPrograms, program_name, programs_between

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BURN = """
    while True:
        pass
"""

FAMILY = """
    import subprocess, sys, time
    burn = "import time; end = time.process_time() + 0.3\\nwhile time.process_time() < end: pass"
    for line in sys.stdin:
        if line == "burn\\n":
            exec(burn)
        elif line == "child\\n":
            subprocess.run([sys.executable, "-c", burn])
        else:
            child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
        print(child.pid if line == "keep\\n" else 0, flush=True)
"""


class Family:
    """A process that burns, or starts children, on request."""

    def __init__(self, folder) -> None:
        script = write_script(folder, FAMILY, "family.py")
        self.process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.named = [("main", self.process.pid)]

    def do(self, what: str) -> int:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture
def family(tmp_path):
    made = Family(tmp_path)
    made.do("burn")
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.fixture
def burners(tmp_path):
    script = write_script(tmp_path, BURN, "burn_the_cores.py")
    started = [subprocess.Popen([sys.executable, str(script)]) for _ in range(2)]
    assert until(lambda: all(burned_s(process) > 0.1 for process in started))
    yield started
    for process in started:
        process.kill()
        process.wait()


def burned_s(process) -> float:
    return psutil.Process(process.pid).cpu_times().user


def test_burning_programs_are_named_and_the_trials_own_are_not(family, burners):
    watched = OtherPrograms(family.named)
    before_s = [burned_s(process) for process in burners]
    family.do("burn")
    assert until(lambda: all(burned_s(process) > before + 0.3 for process, before in zip(burners, before_s, strict=True)))
    samples, use = watched.finish(family.named)
    (burning,) = [program for program in use.programs if "burn_the_cores.py" in program.name]
    assert burning.processes == 2
    assert burning.cores > 0.02
    assert not any("family.py" in program.name for program in use.programs)
    (others,) = [sample for sample in samples if sample.info.key == OTHERS_SERIES]
    assert others.value > 0


@linux
def test_the_work_of_a_trial_stays_its_own_when_the_process_that_did_it_has_ended(family):
    cores = Cores()
    before = cores.read(family.named)
    family.do("child")  # it burns 0.3 s and ends
    after = cores.read(family.named)
    assert 0.25 < after.own_s - before.own_s < 5
    assert after.busy_s - before.busy_s > 0.2


@linux
def test_a_process_that_the_trials_processes_start_is_one_of_them(family):
    child = family.do("keep")
    use = Cores().read(family.named)
    assert use.own_pids >= {family.process.pid, child}


@linux
def test_the_time_of_the_trial_never_falls_when_a_process_leaves_it_unseen(family):
    cores = Cores()
    child = family.do("keep")
    before = cores.read([*family.named, ("helper", child)])
    psutil.Process(child).kill()
    family.process.kill()
    family.process.wait()
    assert until(lambda: not is_alive(child))
    assert cores.read([]).own_s >= before.own_s


@linux
def test_a_thread_that_has_no_core_shows_a_run_delay(family, tmp_path):
    """Both processes may use one core only: one of them always waits."""
    other = Family(tmp_path / "other")
    core = psutil.Process().cpu_affinity()[:1]
    for process in (family.process, other.process):
        psutil.Process(process.pid).cpu_affinity(core)
    cores = Cores()
    named = [*family.named, ("other", other.process.pid)]
    cores.read(named)
    for one in (family, other):
        one.process.stdin.write("burn\n")
        one.process.stdin.flush()
    for one in (family, other):
        one.process.stdout.readline()
    delays = cores.read(named).run_delay_s
    assert delays["main"] + delays["other"] > 0.2
    other.process.kill()
    other.process.communicate()


class Readings:
    """Takes the place of the cores: each reading is 0.5 s after the one before; the test gives all other values."""

    def __init__(self, busy_s, own_s, delay_s=()) -> None:
        self.busy_s, self.own_s, self.delay_s = list(busy_s), list(own_s), list(delay_s)
        self.now_ns = time.perf_counter_ns() - 3_600_000_000_000

    def read(self, named) -> CoreUse:
        self.now_ns += 500_000_000
        delays = {"main": self.delay_s.pop(0)} if self.delay_s else {}
        return CoreUse(self.now_ns, self.busy_s.pop(0), None, self.own_s.pop(0), frozenset(), delays)

    def processes(self) -> dict:
        return {}

    def heat_throttles(self) -> None:
        return None


@pytest.fixture
def idle_app(monkeypatch):
    monkeypatch.setattr(other_programs.time, "process_time", lambda: 5.0)


def values(samples, key):
    return [sample.value for sample in samples if sample.info.key == key]


def test_others_take_what_neither_the_trial_nor_the_app_did(monkeypatch, idle_app):
    monkeypatch.setattr(other_programs, "Cores", lambda: Readings([10.0, 10.9], [3.0, 3.2], [1.0, 1.3]))
    samples = OtherPrograms([]).sample_if_due([])
    assert values(samples, OTHERS_SERIES) == [pytest.approx(140)]
    assert values(samples, f"{RUN_DELAY_SERIES}/main") == [pytest.approx(260)]


def test_the_apps_own_work_is_not_that_of_others(monkeypatch):
    own = iter((5.0, 5.7))
    monkeypatch.setattr(other_programs.time, "process_time", lambda: next(own))
    monkeypatch.setattr(other_programs, "Cores", lambda: Readings([10.0, 10.9], [3.0, 3.2]))
    assert values(OtherPrograms([]).sample_if_due([]), OTHERS_SERIES) == [pytest.approx(0)]


def test_an_error_of_the_counters_is_made_up_for_and_never_shown_below_zero(monkeypatch, idle_app):
    monkeypatch.setattr(other_programs, "Cores", lambda: Readings([10.0, 10.5, 11.0], [3.0, 3.52, 4.0]))
    watched = OtherPrograms([])
    assert values(watched.sample_if_due([]), OTHERS_SERIES) == [0]
    assert values(watched.sample_if_due([]), OTHERS_SERIES) == [pytest.approx(0)]


P = 5_000_000
"""No process has a pid from here on: the name of a real one would be looked up."""


def test_programs_are_those_beside_the_trial_that_took_most():
    before = {
        (P + 1, 0): ProcessTime("init", 0, 5.0),
        (P + 10, 0): ProcessTime("main", P + 1, 1.0),
        (P + 20, 0): ProcessTime("busy", P + 1, 9.0),
    }
    after = {
        (P + 1, 0): ProcessTime("init", 0, 5.0),
        (P + 10, 0): ProcessTime("main", P + 1, 3.0),
        (P + 11, 5): ProcessTime("worker", P + 10, 2.0),
        (P + 20, 0): ProcessTime("busy", P + 1, 10.0),
        (P + 30, 7): ProcessTime("new", P + 20, 1.5),
    }
    programs = programs_between(before, after, {P + 10}, 2.0)
    assert [(program.name, program.processes, program.cores) for program in programs] == [("new", 1, 0.75), ("busy", 1, 0.5)]


def test_a_child_that_has_ended_counts_for_its_parent_only_with_its_time_since():
    before = {(P + 50, 0): ProcessTime("make", P + 1, 0.0), (P + 51, 0): ProcessTime("cc", P + 50, 4.0)}
    after = {(P + 50, 0): ProcessTime("make", P + 1, 0.0, reaped_s=6.0)}
    assert [(program.name, program.cores) for program in programs_between(before, after, set(), 2.0)] == [("make", 1.0)]


def test_the_life_of_an_orphan_before_the_trial_does_not_count_for_the_ancestor_that_waits_for_it():
    before = {
        (P + 1, 0): ProcessTime("init", 0, 0.0),
        (P + 50, 0): ProcessTime("shell", P + 1, 0.5),
        (P + 51, 0): ProcessTime("job", P + 50, 40.0),
    }
    after = {(P + 1, 0): ProcessTime("init", 0, 0.0, reaped_s=41.5)}  # the shell ended first, then the job
    assert [(program.name, program.cores) for program in programs_between(before, after, set(), 2.0)] == [("init", 0.5)]


def test_an_interpreter_has_the_name_of_its_script_and_none_of_its_arguments(tmp_path):
    script = write_script(tmp_path, "import sys; sys.stdin.read()", "train.py")
    with subprocess.Popen([sys.executable, str(script), "--token", "secret"], stdin=subprocess.PIPE) as process:
        assert until(lambda: "train.py" in program_name(process.pid, "python"))
        assert "secret" not in program_name(process.pid, "python")
        process.stdin.close()
    assert program_name(process.pid, "gone") == "gone"


def test_elsewhere_than_on_linux_the_time_of_a_process_that_ended_stays_the_trials(family):
    cores = cores_anywhere.Cores()
    before = cores.read(family.named)
    family.do("burn")
    after = cores.read(family.named)
    assert after.own_s - before.own_s > 0.2
    assert after.busy_s > before.busy_s
    assert after.run_delay_s == {}
    assert cores.read([]).own_s == after.own_s
    assert any(pid == family.process.pid and process.used_s > 0.2 for (pid, _), process in cores.processes().items())
