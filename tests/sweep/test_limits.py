"""Limits of the machine, forecasts and estimates of time."""

import ctypes
import dataclasses
import os
import sys

import psutil
import pytest

from loaderscope.agent.messages import Consumer, ErrorInfo, TrialConfig
from loaderscope.analysis.startup.preloading import ScriptImport
from loaderscope.facts.request import Request
from loaderscope.facts.results import Memory, TrialResult, WorkerMemory
from loaderscope.facts.run import PlannedTrial
from loaderscope.facts.startup_results import SentPart
from loaderscope.sweep import machine as this_machine
from loaderscope.sweep import machine_linux, machine_windows
from loaderscope.sweep.forecast import data_cost
from loaderscope.sweep.machine import Machine
from loaderscope.sweep.machine_limits import (
    TRIAL_BYTES,
    DataCost,
    Measured,
    commit_sentence,
    corrected,
    estimate,
    forecast,
    limit_reason,
    mark_limits,
    pickle_warnings,
    seconds_left,
    workers_that_fit,
)

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
    cost = DataCost(worker_bytes=GIB)
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


def test_the_forecast_rests_on_the_process_that_was_probed():
    light, heavy = DataCost(main_bytes=200 * MIB, worker_bytes=150 * MIB), DataCost(main_bytes=2200 * MIB, worker_bytes=2000 * MIB)
    for setting, more in ((config(0), 2000), (config(2), 2000), (config(2, start_method="spawn"), 2000 + 2 * 1850)):
        assert forecast(setting, heavy).memory_bytes - forecast(setting, light).memory_bytes == more * MIB


def test_what_a_trial_needed_beyond_its_forecast_is_expected_of_the_others_too():
    cost = DataCost(sample_bytes=MIB)
    expected = forecast(config(0), cost).memory_bytes
    finished = [TrialResult(0, 0, "ok", config(0), memory=Memory(expected + 300 * MIB, []))]
    learnt = corrected(cost, finished)
    for setting in (config(4), config(2, start_method="spawn")):
        assert forecast(setting, learnt).memory_bytes == forecast(setting, cost).memory_bytes + 300 * MIB
    assert corrected(learnt, finished) == learnt
    less = [TrialResult(0, 0, "ok", config(0), memory=Memory(expected // 2, [])), TrialResult(1, 0, "ok", config(1))]
    assert forecast(config(4), corrected(cost, less)) == forecast(config(4), cost)


def test_the_largest_worker_seen_is_expected_of_the_others_of_its_kind():
    cost = DataCost(sample_bytes=MIB)
    seen = Memory(0, [WorkerMemory(0, 500 * MIB, None, None), WorkerMemory(1, 432 * MIB, None, None)])
    learnt = corrected(cost, [TrialResult(0, 0, "ok", config(2, start_method="spawn"), memory=seen)])
    assert (learnt.worker_bytes, learnt.forked_bytes) == ((500 - 32) * MIB, 12 * MIB)
    assert forecast(config(4), learnt) == forecast(config(4), cost)


def test_tensors_of_the_dataset_need_shared_memory_where_workers_are_not_forked():
    tensor = SentPart("dataset", "dataset.x", "Tensor", 363, 1.1, 1e-5, None, shared_bytes=12 * MIB)
    cost, cramped = data_cost({"bytes": 1000}, [tensor]), dataclasses.replace(ROOMY, shared_memory_free_bytes=10 * MIB)
    reason = limit_reason(config(1, start_method="spawn"), cost, cramped)
    assert reason.startswith("The dataset's tensors and the batches in flight need about 12.7 MB in /dev/shm, which has 10.5 MB free")
    assert limit_reason(config(1, start_method="fork"), cost, cramped) is None
    assert limit_reason(config(1, start_method="spawn"), data_cost({"bytes": 1000}), cramped) is None


def test_what_cannot_be_sent_is_told_before_the_sweep_where_workers_are_sent_anything():
    refused = SentPart("dataset", "dataset.transform", "function", 0, 0.0, None, "dataset.transform is a lambda", refused=True)
    unknown = SentPart("dataset", "dataset.items", "list", 0, 0.0, None, "It was not weighed: the time for that was over.")
    sent = [refused, unknown, refused]
    spawn, server = config(2, start_method="spawn"), config(1, start_method="forkserver")
    (sentence,) = pickle_warnings(sent, planned(config(0), config(1), spawn, server))
    assert sentence == f"{refused.error}. Trials with spawn and forkserver will fail."
    threads = config(2, start_method="spawn", backend="thread")
    skipped = PlannedTrial(9, None, spawn, ("limit", "no"))
    assert pickle_warnings(sent, [*planned(config(0), config(1), threads), skipped]) == []
    assert pickle_warnings([unknown], planned(spawn)) == []


WINDOWS = Machine(8, 8, 16 * GIB, 12 * GIB, None, None, 24 * GIB, 20 * GIB)


def test_windows_refuses_workers_when_it_has_promised_all_its_memory():
    assert workers_that_fit(4 * GIB, GIB, GIB) == 3
    assert workers_that_fit(4 * GIB, GIB, 2 * GIB) == 1
    assert workers_that_fit(GIB, 2 * GIB, GIB) == 0
    cost = DataCost(main_bytes=GIB - TRIAL_BYTES, worker_bytes=GIB)
    assert "WinError 1455 is expected from 4 workers on" in commit_sentence(WINDOWS, cost)
    assert commit_sentence(ROOMY, cost) is None
    three, four = (config(workers, start_method="spawn") for workers in (3, 4))
    marked = mark_limits(planned(three, four), cost, WINDOWS, force=False)
    assert marked[0].skip is None
    assert "WinError 1455" in marked[1].skip[1]
    assert "--force" in marked[1].skip[1]


def test_the_commit_charge_is_read_in_pages(monkeypatch):
    class Kernel32:
        def K32GetPerformanceInfo(self, pointer, size):  # noqa: N802
            information = pointer._obj
            assert information.cb == size == ctypes.sizeof(information)
            information.CommitLimit, information.CommitTotal, information.PageSize = 6_291_456, 5_242_880, 4096
            return self.answer

    kernel32 = Kernel32()
    monkeypatch.setattr(machine_windows, "_kernel32", lambda: kernel32)
    kernel32.answer = 1
    assert machine_windows.commit() == (24 * GIB, 20 * GIB)
    kernel32.answer = 0
    assert machine_windows.commit() == (None, None)


@pytest.mark.skipif(ctypes.sizeof(ctypes.c_size_t) != 8, reason="the layout differs on 32 bits")
def test_the_structure_that_windows_fills_has_its_documented_layout():
    assert ctypes.sizeof(machine_windows._PerformanceInformation) == 104
    assert machine_windows._PerformanceInformation.PageSize.offset == 80


def test_on_windows_the_machine_knows_its_commit_charge(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(machine_windows, "commit", lambda: (24 * GIB, 20 * GIB))
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 1, 2], raising=False)
    machine = this_machine.read_machine()
    assert (machine.commit_available_bytes, machine.usable_cpus, machine.shared_memory_free_bytes) == (4 * GIB, 3, None)


def test_the_estimate_follows_the_cost_of_a_sample():
    request = Request("script.py", epochs=1, batches=100, consumer=Consumer("none"))
    cost = DataCost(sample_bytes=100_000, sample_seconds=0.001)
    none, four = (estimate(planned(config(workers)), request, cost, ROOMY, 100_000) for workers in (0, 4))
    assert none.trials == 1
    assert 3.2 < none.seconds < 8
    assert four.seconds < none.seconds
    assert four.peak_bytes > none.peak_bytes


def test_the_estimate_counts_only_what_will_run_and_keeps_the_budget():
    request = Request("script.py", epochs=1, batches=100, max_seconds=5)
    plan = [*planned(config(0), repeats=4), PlannedTrial(4, None, config(2), ("limit", "no"))]
    found = estimate(plan, request, DataCost(sample_seconds=0.01), ROOMY)
    assert (found.trials, found.seconds) == (4, 5)


def test_the_estimate_counts_one_epoch_of_a_perfect_loader():
    request, cost = Request("script.py", epochs=3, batches=100, consumer=Consumer("script")), DataCost(sample_seconds=0.01)
    setting, perfect = PlannedTrial(0, 0, config(0)), PlannedTrial(1, 0, config(0), perfect_loader=True)
    of_setting, of_both = (estimate(plan, request, cost, ROOMY, 100_000).seconds for plan in ([setting], [setting, perfect]))
    assert of_both < 1.5 * of_setting


def test_the_estimate_of_starts_follows_what_the_script_imports():
    request = Request("script.py", batches=8, epochs=3, consumer=Consumer("none"))
    two_processors = dataclasses.replace(ROOMY, usable_cpus=2)

    def seconds(imports, workers, method="spawn", **changes):
        cost = DataCost(sample_seconds=0.0, imports=tuple(ScriptImport(*one) for one in imports))
        return estimate(planned(config(workers, start_method=method, **changes)), request, cost, two_processors, 1000).seconds

    light, heavy = (("torch", 1.0),), (("heavy", 5.0, None), ("torch", 1.0, "heavy"))
    more_s = [seconds(heavy, workers) - seconds(light, workers) for workers in (1, 2, 4)]
    assert more_s == pytest.approx([12.0, 12.0, 24.0])  # 3 starts, of which 4 workers on 2 processors take twice as long
    assert seconds(heavy, 4, persistent_workers=True) - seconds(light, 4, persistent_workers=True) == pytest.approx(8.0)
    assert seconds(heavy, 2, "fork") == seconds(light, 2, "fork")
    preloaded_s = seconds(heavy, 2, "forkserver", forkserver_preload=("heavy", "torch"))
    assert seconds(heavy, 2, "forkserver") - preloaded_s == pytest.approx(3 * 5.0 - 5.4)  # the server imports instead, once
    assert seconds(light, 2) > 3 * (1.0 + 0.4)  # the imports, and what else it takes to start and to end
    assert seconds((), 1) == pytest.approx(seconds((("torch", 1.2),), 1))  # torch is imported by every script
    beside_it = (("heavy", 5.0, None), ("torch", 1.0, None))
    assert seconds(beside_it, 1) - seconds(heavy, 1) == pytest.approx(3 * 1.0)  # of which neither imports the other
    torch_alone = {"forkserver_preload": ("torch",), "method": "forkserver"}
    assert seconds(beside_it, 1, **torch_alone) - seconds(heavy, 1, **torch_alone) == pytest.approx(3 * 1.0 + 1.0)  # and the agent


def test_the_estimate_of_an_experiment_counts_its_controls():
    imports = (ScriptImport("heavy", 5.0), ScriptImport("torch", 1.0))
    sweep, cost = Request("script.py", epochs=1, batches=8), DataCost(sample_seconds=0.0, imports=imports)
    experiment = dataclasses.replace(sweep, startup=True)
    plain, preloading = planned(config(1)), planned(config(1, start_method="forkserver", forkserver_preload=("heavy",)))

    def controls_s(plan):
        return estimate(plan, experiment, cost, ROOMY, 1000).seconds - estimate(plan, sweep, cost, ROOMY, 1000).seconds

    assert 3.0 < controls_s(plain) < 10.0
    assert controls_s(preloading) - controls_s(plain) == pytest.approx((1 + 1) * 5.0, abs=1.0)  # before all trials and before the one


def test_an_unknown_sample_gives_no_time():
    assert estimate(planned(config(0)), Request("script.py", epochs=1), DataCost(), ROOMY).seconds is None


def test_a_short_dataset_makes_short_epochs():
    request, cost = Request("script.py", epochs=1, batches=100), DataCost(sample_seconds=0.01)
    assert estimate(planned(config(0)), request, cost, ROOMY, 64).seconds < estimate(planned(config(0)), request, cost, ROOMY, 6400).seconds


def finished(one, seconds, peak=None, status="ok"):
    return TrialResult(0, 0, status, one, seconds=seconds, memory=None if peak is None else Memory(peak, []))


def test_a_setting_that_ran_before_is_expected_to_take_what_it_took():
    request, cost, length = Request("script.py", epochs=1, batches=50), DataCost(sample_seconds=0.001, sample_bytes=MIB), 100_000
    done = [finished(config(2), 3.0, peak=7 * GIB), finished(config(2), 5.0), finished(config(0), 60.0)]
    again, longer, unlike = (
        estimate(planned(one), asked, cost, ROOMY, length, measured=Measured(request, done))
        for one, asked in (
            (config(2), request),
            (config(2), dataclasses.replace(request, epochs=3)),
            (config(2, start_method="spawn"), request),
        )
    )
    assert again.seconds == pytest.approx(4.0, abs=0.5)
    assert again.peak_bytes == 7 * GIB
    assert longer.seconds == pytest.approx(12.0, abs=1)
    assert unlike.seconds == estimate(planned(config(2, start_method="spawn")), request, cost, ROOMY, length).seconds


def test_more_workers_are_expected_to_be_slower_than_computed_as_fewer_were():
    request, cost, length = Request("script.py", epochs=1, batches=50), DataCost(sample_seconds=0.001), 100_000
    eight = planned(config(8))
    computed = estimate(eight, request, cost, ROOMY, length)
    two = estimate(planned(config(2)), request, cost, ROOMY, length)
    slow = Measured(request, [finished(config(2), 3 * two.seconds, peak=3 * GIB)])
    learnt = estimate(eight, request, cost, ROOMY, length, measured=slow)
    assert learnt.seconds > 2.5 * computed.seconds
    assert learnt.peak_bytes > 2 * GIB + computed.peak_bytes


@pytest.mark.parametrize("done", [(90.0, "failed"), (90.0, "cancelled"), (None, "ok")])
def test_only_trials_that_came_to_their_end_teach_what_others_take(done):
    request, cost = Request("script.py", epochs=1, batches=50), DataCost(sample_seconds=0.001)
    measured = Measured(request, [finished(config(2), done[0], status=done[1])])
    assert estimate(planned(config(2)), request, cost, ROOMY, 1000, measured=measured) == estimate(
        planned(config(2)), request, cost, ROOMY, 1000
    )


@pytest.mark.parametrize("then", [{"gpu_window": 10}, {"consumer": Consumer("sleep", 50.0)}])
def test_trials_with_profiled_steps_or_another_consumer_teach_nothing_about_time(then):
    request, cost = Request("script.py", epochs=1, batches=50, consumer=Consumer("none")), DataCost(sample_seconds=0.001)
    measured = Measured(dataclasses.replace(request, **then), [finished(config(2), 90.0)])
    computed = estimate(planned(config(2)), request, cost, ROOMY, 1000)
    assert estimate(planned(config(2)), request, cost, ROOMY, 1000, measured=measured).seconds == computed.seconds


def test_the_time_of_a_training_is_known_only_from_trials_of_as_many_batches():
    asked = Request("script.py", batches=50, consumer=Consumer("training"))
    cost, done = DataCost(sample_seconds=0.001), [finished(config(2), 8.0), finished(config(0), 20.0)]

    def seconds(measured=None):
        return estimate(planned(config(2), config(0), config(4)), asked, cost, ROOMY, 1000, measured=measured).seconds

    assert seconds() is None
    assert seconds(Measured(asked, done)) == pytest.approx(8 + 20 + 14, abs=2)
    for then in ({"batches": 60}, {"epochs": 2}, {"consumer": Consumer("none")}):
        assert seconds(Measured(dataclasses.replace(asked, **then), done)) is None


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
    assert machine_linux.cgroup_cpus(proc, root) == 1.5
    assert machine_linux.cgroup_memory(proc, root) == (1_000_000_000, 300_000_000)


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
    assert machine_linux.cgroup_cpus(proc, root) == 2.0
    assert machine_linux.cgroup_memory(proc, root) == (2_000_000_000, 500_000_000)


def test_of_groups_around_each_other_the_one_with_least_left_counts(tmp_path):
    files = {
        "a/memory.max": "8000000000\n",
        "a/memory.current": "7900000000\n",
        "a/b/memory.max": "4000000000\n",
        "a/b/memory.current": "1000000000\n",
    }
    proc, root = container(tmp_path, "0::/a/b\n", files)
    assert machine_linux.cgroup_memory(proc, root) == (8_000_000_000, 7_900_000_000)


def test_outside_of_a_container_there_are_no_limits(tmp_path):
    proc, root = container(tmp_path, "0::/\n", {})
    assert machine_linux.cgroup_cpus(proc, root) is None
    assert machine_linux.cgroup_memory(proc, root) == (None, None)


@linux_only
def test_usable_processors_follow_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert this_machine.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_this_machine_has_plausible_limits():
    machine = this_machine.read_machine()
    assert 1 <= machine.usable_cpus <= machine.cpu_count
    assert 0 < machine.memory_available_bytes <= machine.memory_total_bytes
