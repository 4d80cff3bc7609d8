"""Findings about what a batch costs on its way: many tensors, small batches, the length of the queue, too many workers."""

import dataclasses

import pytest
from rows import config_of, made_up, measure
from synthetic import MS, US

from loaderscope.agent.messages import Consumer
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.training import Training
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import BatchCosts, Disturbance, LaneSpan, Signs
from loaderscope.facts.results import Memory, WorkerMemory
from loaderscope.facts.startup_results import Phase, Startup

CHEAP = BatchCosts(0.002, 0.0005, 0.0005, 0.006, 0.0002, 600.0, 0.1)


def find(*trials, current=None, consumer=None, cpus=2):
    training = Training(10)
    settings = combine(trials, training)
    context = Context(list(trials), settings, None, current, consumer, training, usable_cpus=cpus)
    return {finding.code: finding for finding in find_all(context)}


def row(number, workers, batch_s, costs, **fields):
    """A trial of 1,000 batches of 32 in an epoch."""
    config = config_of(workers, **fields.pop("config", {}))
    trial = made_up(number, config, 32 / batch_s, batch_costs=costs, batch_s=Estimate(batch_s), wait_share=1.0, **fields)
    return dataclasses.replace(trial, epoch_batches=1000)


def sending(unpack_s=0.0, serialise_s=0.0, receive_s=0.0, fetch_s=0.004, pipe_bytes=240_000.0):
    spans = [LaneSpan("main", 1.0, unpack_s)]
    return BatchCosts(fetch_s, 0.0, serialise_s, receive_s, unpack_s, pipe_bytes, 0.1, spans)


def test_costs_of_a_batch_are_measured_on_its_way():
    trial = measure(100, num_workers=2, fetch_ns=4 * MS, collate_ns=1 * MS, send_ns=200 * US, deserialise_ns=600 * US, step_ns=None)
    costs = trial.batch_costs
    assert (costs.fetch_s, costs.collate_s) == (pytest.approx(0.005), pytest.approx(0.001))
    assert (costs.serialise_s, costs.unpack_s) == (pytest.approx(0.0001), pytest.approx(0.0006))
    assert costs.receive_s == pytest.approx(0.00260 - 0.0006 - 0.00002, rel=0.02)
    assert costs.pipe_bytes == 4096.0
    assert costs.idle_share == pytest.approx(0.0, abs=0.02)
    assert len(costs.unpacking) == 5 and costs.unpacking[0].lane == "main"


def test_workers_that_wait_for_indices_are_idle():
    trial = measure(100, num_workers=2, fetch_ns=2 * MS, collate_ns=0, step_ns=5 * MS)
    assert trial.batch_costs.idle_share == pytest.approx(1 - 2.1 / 2 / 5.07, rel=0.05)


def test_many_tensors_are_told_by_number_with_what_one_tensor_saves():
    trial = row(0, 2, 0.05, sending(unpack_s=0.048), batch_tensors=1600.0, batch_bytes=25_600.0)
    finding = find(trial, current=trial.config)["transfer-bound"]
    assert "1 600 separate tensors" in finding.message.replace("\u202f", " ").replace("\u00a0", " ")
    assert finding.evidence["unpack_share"] == pytest.approx(0.96)
    assert finding.gain_s.value == pytest.approx(10_000 * (0.05 - 0.002))  # main needs 2 ms more, and so do two workers
    assert finding.severity == "warning"
    assert "stack" in finding.change
    assert [(place.trial, place.lane, place.start_s) for place in finding.places] == [(0, "main", 1.0)]


def test_workers_that_pack_for_most_of_their_time_are_told_too():
    trial = row(0, 2, 0.05, sending(unpack_s=0.001, serialise_s=0.09, receive_s=0.04), batch_tensors=1600.0)
    finding = find(trial, current=trial.config)["transfer-bound"]
    assert finding.evidence["send_share"] == pytest.approx(0.9)
    assert finding.gain_s.value == pytest.approx(10_000 * (0.05 - 0.009))


def test_few_tensors_or_little_time_are_no_finding():
    few = row(0, 2, 0.05, sending(unpack_s=0.048), batch_tensors=5.0)
    assert "transfer-bound" not in find(few, current=few.config)
    cheap = row(0, 2, 0.05, sending(unpack_s=0.004, receive_s=0.04, fetch_s=0.09), batch_tensors=1600.0)
    assert "transfer-bound" not in find(cheap, current=cheap.config)


def test_much_that_is_pickled_is_told_by_bytes_and_without_a_promise():
    trial = row(0, 2, 0.05, sending(unpack_s=0.03, pipe_bytes=9e6), batch_tensors=1.0)
    finding = find(trial, current=trial.config)["transfer-bound"]
    assert (finding.gain_s, finding.severity) == (None, "info")
    assert "from_numpy" in finding.change


def test_sending_that_another_setting_suffers_from_gains_what_going_over_to_it_would():
    own = row(0, 0, 0.01, BatchCosts(0.01, 0.0))
    other = row(1, 2, 0.05, sending(unpack_s=0.048), batch_tensors=1600.0)
    finding = find(own, other, current=own.config)["transfer-bound"]
    assert (finding.trials, finding.severity) == ([1], "info")
    assert finding.gain_s.value == pytest.approx(100 - (500 - 480), rel=0.01)


def test_advice_on_a_slow_input_points_at_the_tensors():
    trial = row(0, 2, 0.05, sending(unpack_s=0.048), batch_tensors=1600.0)
    assert "transfer-bound" in find(trial, current=trial.config, consumer=Consumer("script"))["input-bound"].advice


def test_batches_that_cost_more_on_their_way_than_in_their_making_are_small():
    small = row(0, 2, 0.0005, BatchCosts(0.0001, 0.00005, 0.0002, 0.0, 0.0002, 600.0, 0.5))
    finding = find(small, current=small.config)["small-batches"]
    assert finding.evidence["overhead_share"] == pytest.approx(0.95)
    assert (finding.severity, finding.config.batch_size, finding.remedy.change) == ("info", 256, "batch_size=256")
    slow = row(0, 2, 0.01, CHEAP)
    assert "small-batches" not in find(slow, current=slow.config)
    made = row(0, 2, 0.001, BatchCosts(0.0019, 0.0001, 0.0002, 0.0, 0.0002, 600.0, 0.0))
    assert "small-batches" not in find(made, current=made.config)


def queue(number, factor, batch_s, half=0.0, batch_bytes=1000.0):
    trial = row(number, 2, batch_s, CHEAP, config={"prefetch_factor": factor}, batch_bytes=batch_bytes)
    rate = trial.samples_per_second.value
    epoch_s = trial.epoch_s.value
    return dataclasses.replace(
        trial,
        samples_per_second=Estimate(rate, (rate * (1 - half), rate * (1 + half))),
        epoch_s=Estimate(epoch_s, (epoch_s * (1 - half), epoch_s * (1 + half))),
    )


def test_a_longer_queue_that_is_surely_faster_is_advised():
    finding = find(queue(0, 2, 0.02, 0.02), queue(1, 8, 0.015, 0.02), current=config_of(2))["prefetch"]
    assert (finding.change, finding.severity) == ("prefetch_factor=8", "warning")
    assert finding.gain_s.value == pytest.approx(50.0)
    assert "prefetch" not in find(queue(0, 2, 0.02, 0.2), queue(1, 8, 0.015, 0.2), current=config_of(2))


def test_a_queue_that_holds_memory_for_nothing_is_told():
    long, short = queue(0, 8, 0.02, batch_bytes=64e6), queue(1, 2, 0.02)
    finding = find(long, short, current=long.config)["prefetch"]
    assert (finding.change, finding.evidence["held_bytes"]) == ("prefetch_factor=2", 64e6 * 2 * 6)
    assert "prefetch" not in find(queue(0, 8, 0.02), short, current=long.config)


def computing(number, workers, batch_s, cpu_share=0.98, worker_bytes=50 << 20):
    phases = [Phase(0, "main", "start_worker", 0.0, 0.02)] * workers
    memory = Memory(1 << 30, [WorkerMemory(one, worker_bytes, None, None) for one in range(workers)])
    signs = Signs(fetch_s=0.01, fetch_cpu_share=cpu_share)
    return row(number, workers, batch_s, CHEAP, signs=signs, memory=memory, startup=Startup(1.0, None, phases))


def test_more_workers_than_cores_are_forecast_for_a_setting_that_was_not_measured():
    own = dataclasses.replace(config_of(64), start_method=None)
    finding = find(computing(0, 0, 0.02), computing(1, 1, 0.021), computing(2, 2, 0.011), current=own)["too-many-workers"]
    assert (finding.trials, finding.severity, finding.change) == ([2], "warning", "num_workers=2")
    assert finding.gain_s.value == pytest.approx(62 * 0.02 * 10)
    assert finding.evidence["num_workers"] == 64
    assert "3.3 GB" in finding.message


def test_workers_that_wait_or_were_measured_get_no_forecast():
    own = config_of(64)
    assert "too-many-workers" not in find(computing(0, 0, 0.02, cpu_share=0.1), computing(1, 2, 0.011, cpu_share=0.1), current=own)
    measured = find(computing(0, 2, 0.011), computing(1, 64, 0.012), current=own)
    assert "too-many-workers" not in measured
    assert measured["more-workers-than-cores"].change == "num_workers=2"
    assert measured["more-workers-than-cores"].gain_s.value == pytest.approx(10.0, rel=0.01)
    assert "too-many-workers" not in find(computing(0, 0, 0.02), computing(1, 2, 0.011), current=config_of(2))


def stateful(keep_s, receive_s=0.018, loader_class="StatefulDataLoader"):
    trial = row(0, 2, 0.02, BatchCosts(0.02, 0.0, 0.0001, receive_s, 0.0001, 600.0, 0.0, [], keep_s))
    training = Training(10)
    context = Context([trial], combine([trial], training), None, trial.config, None, training, usable_cpus=2, loader_class=loader_class)
    return {finding.code: finding for finding in find_all(context)}


def test_snapshots_at_each_step_are_told_by_what_they_cost():
    finding = stateful(0.02)["states-saved"]
    assert (finding.severity, finding.change) == ("warning", "snapshot_every_n_steps=100")
    assert finding.evidence["snapshot_share"] == 0.5
    assert finding.gain_s.value == pytest.approx(10_000 * 0.01)  # two workers take them at the same time
    assert stateful(0.02, receive_s=0.0001)["states-saved"].severity == "info"  # main hardly waits for workers
    assert "states-saved" not in stateful(0.001)
    assert "states-saved" not in stateful(0.02, loader_class="DataLoader")


def test_the_time_between_a_batch_and_its_sending_is_measured():
    assert measure(100, num_workers=2, step_ns=None).batch_costs.keep_s == 0.0


def test_a_fetch_that_waited_for_a_core_computes_all_the_same():
    beside = Disturbance("steady", 5.0, 2, 1.9, 0.85, 0.85, True)
    trials = [dataclasses.replace(computing(0, 0, 0.1, cpu_share=0.14), disturbance=beside)]
    assert find(*trials, current=config_of(64))["too-many-workers"].evidence["fetch_cpu_share"] == pytest.approx(0.14 / 0.15, abs=0.001)


def test_so_many_workers_as_waiting_fetches_can_use_get_no_forecast():
    half = [computing(0, 0, 0.02, cpu_share=0.5), computing(1, 2, 0.011, cpu_share=0.5)]
    assert "too-many-workers" not in find(*half, current=config_of(4))
    assert "too-many-workers" in find(*half, current=config_of(8))
