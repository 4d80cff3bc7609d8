"""Threads of libraries within workers, and workers that are pinned to few cores."""

import dataclasses

import pytest
from rows import config_of, made_up

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.training import Training
from loaderscope.facts.evidence import Disturbance, FetchUse, Signs
from loaderscope.facts.findings import Remedy

STORM = FetchUse(fetch_share=0.95, worker_cores=1.9, other_threads_cores=0.9, run_delay_cores=2.1)
PINNED = FetchUse(fetch_share=0.95, worker_cores=0.98, allowed_cores=1, run_delay_cores=0.95)


def trial(number, workers, use, rate=1000.0, **fields):
    signs = Signs(fetch_s=0.05, fetch_cpu_share=0.9, fetch_use=use)
    return made_up(number, config_of(workers), rate, signs=signs, **fields)


def found(*trials, usable_cpus=2, remedies=(), current=None):
    training = Training(10)
    context = Context(
        list(trials),
        combine(trials, training),
        None,
        current,
        None,
        training,
        usable_cpus=usable_cpus,
        remedies=combine(remedies, training),
    )
    return {finding.code: finding for finding in find_all(context)}


def test_threads_far_above_the_cores_are_told_with_a_remedy_that_can_be_tried():
    finding = found(trial(0, 2, STORM))["thread-storm"]
    assert (finding.severity, finding.trials, finding.config) == ("info", [0], config_of(2))
    assert dict(finding.remedy.environment)["OMP_NUM_THREADS"] == "1"
    assert finding.evidence["runnable_threads"] == pytest.approx(4.0)
    assert "cpu-bound" not in found(trial(0, 2, STORM))


@pytest.mark.parametrize(
    "changes",
    [
        {"worker_cores": 0.3, "other_threads_cores": 0.2, "run_delay_cores": 1.5},  # threads that mostly wait, beside other programs
        {"other_threads_cores": 0.1},  # the thread that sends
        {"run_delay_cores": 0.1},  # threads that take turns at the lock of Python
        {"other_threads_cores": None},
    ],
)
def test_threads_that_are_fine_are_no_storm(changes):
    assert "thread-storm" not in found(trial(0, 2, dataclasses.replace(STORM, **changes)))


def test_many_workers_with_a_thread_each_are_no_storm():
    use = FetchUse(worker_cores=2.0, other_threads_cores=0.0, run_delay_cores=6.0)
    assert "thread-storm" not in found(trial(0, 8, use))


def test_a_tried_remedy_gives_the_gain_and_the_severity():
    remedy = Remedy("thread-storm", "OMP_NUM_THREADS=1")
    tried = trial(1, 2, FetchUse(), 2000.0, remedy=remedy)
    finding = found(trial(0, 2, STORM), remedies=[tried])["thread-storm"]
    assert finding.gain_s.value == pytest.approx(160)
    assert finding.severity == "warning"
    assert finding.remedy is None
    worse = found(trial(0, 2, STORM), remedies=[trial(1, 2, FetchUse(), 900.0, remedy=remedy)])["thread-storm"]
    assert worse.severity == "info"


def test_workers_that_share_a_core_are_told_with_what_others_would_gain():
    finding = found(trial(0, 2, PINNED, wait_share=0.9))["cpu-affinity"]
    assert (finding.severity, finding.trials) == ("warning", [0])
    assert finding.evidence["allowed_cores"] == 1
    assert finding.gain_s.value == pytest.approx(0.9 * 0.475 * 320)


def test_workers_with_enough_cores_are_not_called_pinned():
    assert "cpu-affinity" not in found(trial(0, 2, dataclasses.replace(PINNED, allowed_cores=2)))
    assert "cpu-affinity" not in found(trial(0, 1, PINNED))  # one worker needs one core
    assert "cpu-affinity" not in found(trial(0, 2, dataclasses.replace(PINNED, allowed_cores=2)), usable_cpus=8)  # one each
    assert "cpu-affinity" not in found(trial(0, 2, dataclasses.replace(PINNED, allowed_cores=None)))


def test_pinned_workers_that_hardly_wait_for_a_core_are_information():
    assert found(trial(0, 2, dataclasses.replace(PINNED, run_delay_cores=0.01)))["cpu-affinity"].severity == "info"
    beside = Disturbance("steady", 1.0, 2, 1.0, 0.9, 0.9, is_disturbed=True)
    assert found(trial(0, 2, PINNED, disturbance=beside))["cpu-affinity"].gain_s is None
