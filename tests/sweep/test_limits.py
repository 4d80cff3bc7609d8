"""Limits of the machine, forecasts and estimates of time."""

import os
import sys

import pytest

from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig
from loaderscope.analysis.results import TrialResult
from loaderscope.sweep import system
from loaderscope.sweep.limits import DataCost, estimate, forecast, mark_limits, seconds_left
from loaderscope.sweep.request import Request
from loaderscope.sweep.sink import PlannedTrial
from loaderscope.sweep.system import Machine

MIB = 1 << 20
GIB = 1 << 30
ROOMY = Machine(8, 8, 64 * GIB, 64 * GIB, 8 * GIB, 65536)


def config(workers, **changes):
    values = {"num_workers": workers, "batch_size": 32}
    if workers:
        values |= {"prefetch_factor": 2, "persistent_workers": False, "start_method": "fork", "in_order": True, "backend": "process"}
    return TrialConfig(**(values | changes))


def planned(*configs, repeats=1):
    rows = [(repeat, one) for repeat in range(repeats) for one in configs]
    return [PlannedTrial(number, repeat, one) for number, (repeat, one) in enumerate(rows)]


def test_batches_in_flight_count_workers_times_prefetch_and_the_one_in_hand():
    need = forecast(config(4, prefetch_factor=3), DataCost(sample_bytes=MIB, sample_tensors=2))
    assert need.shared_memory_bytes == 13 * 32 * MIB
    assert need.open_files >= 13 * 2


def test_spawned_workers_copy_the_dataset_and_forked_ones_do_not():
    cost = DataCost(dataset_bytes=GIB)
    assert forecast(config(4, start_method="spawn"), cost).memory_bytes > 4 * GIB
    assert forecast(config(4), cost).memory_bytes < GIB


def test_settings_that_fit_are_left_alone():
    plan = planned(config(0), config(8), repeats=2)
    assert mark_limits(plan, DataCost(sample_bytes=600_000), ROOMY, force=False) == plan


@pytest.mark.parametrize(
    ("machine", "word"),
    [
        (Machine(8, 8, GIB, 600 * MIB, None, None), "memory"),
        (Machine(8, 8, 64 * GIB, 64 * GIB, 64 * MIB, None), "/dev/shm"),
        (Machine(8, 8, 64 * GIB, 64 * GIB, None, 40), "files"),
    ],
)
def test_a_setting_that_would_hit_a_limit_is_skipped_once_with_the_reason(machine, word):
    plan = planned(config(0), config(4), repeats=3)
    marked = mark_limits(plan, DataCost(sample_bytes=2 * MIB), machine, force=False)
    (skipped,) = [trial for trial in marked if trial.skip]
    assert (skipped.config, skipped.repeat, skipped.skip[0]) == (config(4), None, "limit")
    assert word in skipped.skip[1]
    assert "--force" in skipped.skip[1]
    assert [trial.id for trial in marked] == list(range(4))
    assert mark_limits(plan, DataCost(sample_bytes=2 * MIB), machine, force=True) == plan


def test_the_estimate_follows_the_cost_of_a_sample():
    request = Request("script.py", batches=100, consumer=Consumer("none"))
    cost = DataCost(sample_bytes=100_000, sample_seconds=0.001)
    none, four = (estimate(planned(config(workers)), request, cost, ROOMY, 100_000) for workers in (0, 4))
    assert none.trials == 1
    assert 3.2 < none.seconds < 8
    assert four.seconds < none.seconds
    assert four.peak_bytes > none.peak_bytes


def test_the_estimate_counts_only_what_will_run_and_keeps_the_budget():
    request = Request("script.py", batches=100, max_seconds=5)
    plan = [*planned(config(0), repeats=4), PlannedTrial(4, None, config(2), ("limit", "no"))]
    found = estimate(plan, request, DataCost(sample_seconds=0.01), ROOMY)
    assert (found.trials, found.seconds) == (4, 5)


def test_an_unknown_sample_gives_no_time():
    assert estimate(planned(config(0)), Request("script.py"), DataCost(), ROOMY).seconds is None


def test_a_short_dataset_makes_short_epochs():
    request, cost = Request("script.py", batches=100), DataCost(sample_seconds=0.01)
    assert estimate(planned(config(0)), request, cost, ROOMY, 64).seconds < estimate(planned(config(0)), request, cost, ROOMY, 6400).seconds


def test_time_left_comes_from_the_trials_that_are_done():
    plan = planned(config(0), config(2), repeats=2)
    done = [TrialResult(0, 0, "ok", config(0), seconds=10.0)]
    assert seconds_left(plan, [], 1.0, None) is None
    assert seconds_left(plan, done, 10.0, None) == pytest.approx(30, abs=3)
    done.append(TrialResult(1, 0, "ok", config(2), seconds=2.0))
    assert seconds_left(plan, done, 12.0, None) == pytest.approx(12, abs=2)
    assert seconds_left(plan, done, 12.0, max_seconds=15.0) == pytest.approx(3)


def test_skipped_trials_take_no_time():
    plan = [PlannedTrial(0, 0, config(0)), PlannedTrial(1, None, config(1), ("limit", "no")), PlannedTrial(2, 0, config(2))]
    skipped = TrialResult(1, None, "skipped", config(1), ErrorInfo("limit", "no"))
    done = [TrialResult(0, 0, "ok", config(0), seconds=4.0)]
    assert seconds_left(plan, done, 4.0, None) == seconds_left(plan, [*done, skipped], 4.0, None) == pytest.approx(4, abs=1)


def container(tmp_path, cgroup, files):
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, root


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


@linux_only
def test_limits_of_a_container_in_version_two(tmp_path):
    files = {
        "a/cpu.max": "150000 100000\n",
        "a/b/cpu.max": "max 100000\n",
        "a/memory.max": "max\n",
        "a/b/memory.max": "1000000000\n",
        "a/b/memory.current": "400000000\n",
        "a/b/memory.stat": "anon 1\ninactive_file 100000000\n",
    }
    proc, root = container(tmp_path, "0::/a/b\n", files)
    assert system.cgroup_cpus(proc, root) == 1.5
    assert system.cgroup_memory(proc, root) == (1_000_000_000, 300_000_000)


@linux_only
def test_limits_of_a_container_in_version_one(tmp_path):
    files = {
        "cpu/docker/x/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_quota_us": "200000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/docker/x/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.limit_in_bytes": "2000000000",
        "memory/memory.usage_in_bytes": "500000000",
    }
    proc, root = container(tmp_path, "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n", files)
    assert system.cgroup_cpus(proc, root) == 2.0
    assert system.cgroup_memory(proc, root) == (2_000_000_000, 500_000_000)


def test_outside_of_a_container_there_are_no_limits(tmp_path):
    proc, root = container(tmp_path, "0::/\n", {})
    assert system.cgroup_cpus(proc, root) is None
    assert system.cgroup_memory(proc, root) == (None, None)


@linux_only
def test_usable_processors_follow_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert system.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_this_machine_has_plausible_limits():
    machine = system.read_machine()
    assert 1 <= machine.usable_cpus <= machine.cpu_count
    assert 0 < machine.memory_available_bytes <= machine.memory_total_bytes
