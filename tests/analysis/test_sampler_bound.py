"""The sampler's work in main: measured from its spans, and told where main waits for it."""

import dataclasses

import pytest
from rows import made_up, measure
from synthetic import MS

from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.training import Training
from loaderscope.facts.evidence import BatchCosts, LaneSpan, SamplerWork

SLOW = {"sampler_ns": 10 * MS, "fetch_ns": 2 * MS, "step_ns": None, "length": 3200}


def find(*trials, current=None, consumer=None, epochs=10):
    training = Training(epochs)
    context = Context(list(trials), combine(trials, training), None, current, consumer, training, usable_cpus=2)
    return {finding.code: finding for finding in find_all(context)}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_that_main_waits_for_is_named_with_its_share_and_place(workers):
    trial = measure(100, num_workers=workers, **SLOW)
    finding = find(trial)["sampler-bound"]
    per_batch_s = 0.01307 if workers else 0.01302  # with unpacking; fetch and collate where there is no worker
    assert finding.evidence["sampler"] == "Neighbours" and finding.evidence["place"] == "/a/train.py:7"
    assert "Neighbours (/a/train.py:7)" in finding.message
    assert trial.sampler.batch_s == pytest.approx(0.01, rel=0.02)
    assert finding.evidence["sampler_share"] == pytest.approx(0.01 / (0.01007 if workers else per_batch_s), rel=0.02)
    assert finding.severity == "warning"
    assert "collate_fn" in finding.change


def test_what_workers_on_all_cores_would_save_is_the_gain():
    finding = find(measure(100, num_workers=2, **SLOW))["sampler-bound"]
    # a batch takes 10.07 ms; two workers make one of 10 + 2 + 1 + 0.05 ms in half of that
    assert finding.gain_s.value == pytest.approx(1000 * (0.01007 - 0.01305 / 2), rel=0.02)


def test_its_longest_spans_are_shown_in_mains_lane():
    finding = find(measure(100, num_workers=2, **SLOW))["sampler-bound"]
    assert {(place.trial, place.lane) for place in finding.places} == {(0, "main")}
    assert all(place.seconds == pytest.approx(0.01) for place in finding.places)


def test_a_sampler_beside_busy_workers_or_of_little_time_is_no_finding():
    busy = measure(100, num_workers=2, fetch_ns=30 * MS, sampler_ns=5 * MS, step_ns=None, length=3200)
    assert "sampler-bound" not in find(busy)
    short = measure(100, num_workers=0, fetch_ns=10 * MS, sampler_ns=1 * MS, step_ns=None, length=3200)
    assert "sampler-bound" not in find(short)
    assert "sampler-bound" not in find(measure(100, num_workers=2, step_ns=None, length=3200))


def test_advice_on_a_slow_input_leaves_workers_and_dataset_alone_where_the_sampler_is_the_limit():
    trial = measure(100, num_workers=2, **{**SLOW, "step_ns": 1 * MS})
    found = find(trial, consumer=Consumer("script"))
    assert found["sampler-bound"].severity == "warning"
    assert "sampler-bound" in found["input-bound"].advice
    assert found["input-bound"].severity == "info"


def starting(start_s, epoch_s=20.0, name="WeightedRandomSampler"):
    work = SamplerWork(name, None, 0.001, 1e-5, start_s, start_s, start_s, [LaneSpan("main", 0.1, start_s)])
    config = TrialConfig(0, 32)
    row = made_up(0, config, 32_000 / epoch_s, first_batch_s=start_s, sampler=work, batch_costs=BatchCosts(0.01, 0.001))
    return dataclasses.replace(row, epoch_batches=1000)


def test_work_before_each_epoch_counts_by_its_part_of_the_training():
    finding = find(starting(2.0))["sampler-bound"]
    assert finding.gain_s.value == pytest.approx(20.0)
    assert (finding.severity, finding.evidence["epoch_start_s"]) == ("warning", 2.0)
    assert "searchsorted" in finding.change
    assert "sampler-bound" not in find(starting(2.0, epoch_s=100.0))
    assert "sampler-bound" not in find(starting(0.05, epoch_s=0.5))


def test_the_start_of_an_epoch_is_measured_beyond_the_usual_work_for_a_batch():
    trial = measure(40, num_workers=2, epochs=2, sampler_ns=1 * MS, sampler_start_ns=300 * MS, step_ns=None)
    assert trial.sampler.epoch_start_s == pytest.approx(0.3)
    assert trial.sampler.first_batch_s == pytest.approx(0.305)  # two batches for each of two workers, and one more within the first next
    assert trial.sampler.total_s == pytest.approx(2 * (0.3 + 40 * 0.001))


def test_persistent_workers_are_not_promised_to_spare_the_samplers_work():
    slow = {"fetch_ns": 1 * MS, "step_ns": None, "length": 1280}
    by_sampler = measure(40, num_workers=2, epochs=2, sampler_start_ns=3000 * MS, **slow)
    by_workers = measure(40, num_workers=2, epochs=2, startup_ns=3000 * MS, **slow)
    assert "start-up-every-epoch" not in find(by_sampler)
    assert "start-up-every-epoch" in find(by_workers)
