"""When a slow fetch is a finding about the dataset, and when it may be chance."""

import dataclasses

import pytest
import synthetic
from rows import config_of, made_up, measure_trace
from synthetic import MS

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.training import Training
from loaderscope.facts.evidence import BatchCosts, Disturbance, LateBatch, Signs
from loaderscope.facts.findings import Remedy
from loaderscope.facts.lanes import RUN_DELAY_SERIES
from loaderscope.trace.model import SeriesInfo


def late(sample=None, batch=41, epoch=0, fetch_s=0.3, cpu_s=None, delay_s=0.0):
    return LateBatch(epoch, batch, 1, fetch_s, fetch_s, sample, fetch_s, fetch_cpu_s=cpu_s, run_delay_s=delay_s)


def trial(number, *late_batches, workers=2, held_up=0.5, batch_size=32, **fields):
    signs = Signs(fetch_s=0.005, held_up_share=held_up, late_batches=list(late_batches))
    return made_up(number, config_of(workers, batch_size=batch_size), 1000, signs=signs, **fields)


def slow_sample(*trials):
    found = find_all(Context(list(trials), combine(trials, Training(10)), None, None, None, Training(10)))
    return next((finding for finding in found if finding.code == "slow-sample"), None)


def test_one_slow_fetch_that_waited_is_no_finding():
    assert slow_sample(trial(0, late(sample=7))) is None


def test_one_slow_fetch_that_computed_is_a_finding():
    assert slow_sample(trial(0, late(sample=7, cpu_s=0.28))).evidence["sample"] == 7
    assert slow_sample(trial(0, late(sample=7, cpu_s=0.01))) is None


@pytest.mark.parametrize("delay_s", [0.0, None])
def test_the_same_sample_in_another_epoch_or_trial_is_a_finding(delay_s):
    assert slow_sample(trial(0, late(7, 3, 0, delay_s=delay_s), late(7, 9, 1, delay_s=delay_s))).evidence["sample"] == 7
    found = slow_sample(trial(0, late(7, delay_s=delay_s)), trial(1, late(7, 90, delay_s=delay_s), workers=4, batch_size=16))
    assert found.trials == [0, 1]


def test_different_samples_are_no_finding():
    assert slow_sample(trial(0, late(7, 3, 0), late(8, 9, 1)), trial(1, late(9))) is None


def test_where_samples_are_unknown_the_same_batch_of_another_trial_is_the_same_data():
    assert slow_sample(trial(0, late(None, 41)), trial(1, late(None, 41), workers=4))
    assert slow_sample(trial(0, late(None, 41)), trial(1, late(None, 40), workers=4)) is None
    assert slow_sample(trial(0, late(None, 41)), trial(1, late(None, 41), workers=4, batch_size=16)) is None


def test_the_same_batch_proves_nothing_where_it_may_have_waited_for_a_core():
    assert slow_sample(trial(0, late(None, 41, delay_s=None)), trial(1, late(None, 41, delay_s=None), workers=4)) is None


def test_a_fetch_that_only_waited_for_a_core_is_never_a_finding():
    assert slow_sample(trial(0, late(7, delay_s=0.29)), trial(1, late(7, delay_s=0.31))) is None
    assert slow_sample(trial(0, *(late(number, number, delay_s=0.29) for number in range(5)))) is None


def test_a_fetch_that_is_slow_beyond_its_waiting_for_a_core_counts():
    assert slow_sample(trial(0, late(7, fetch_s=0.6, delay_s=0.2)), trial(1, late(7, fetch_s=0.6, delay_s=0.3)))


def test_a_proven_sample_also_counts_in_the_trial_in_which_it_waited_for_a_core():
    alone = [trial(number, late(7), workers=number, held_up=None) for number in range(2)]
    assert slow_sample(*alone, trial(2, late(7, delay_s=0.4))).trials == [2]


def test_several_slow_samples_of_one_trial_are_a_finding():
    assert slow_sample(trial(0, late(1, 1), late(2, 2))) is None
    assert slow_sample(trial(0, late(1, 1), late(2, 2), late(3, 3)))
    assert slow_sample(trial(0, late(1, 1), late(2, 2), late(3, 3, delay_s=None))) is None


def test_where_the_system_counts_no_run_delay_an_idle_machine_makes_the_same_batch_certain():
    idle, busy = (Disturbance("steady", 1.0, 2, others, None, others, others > 0.1) for others in (0.0, 1.5))
    both = [(late(None, 41, delay_s=None), workers) for workers in (2, 4)]
    assert slow_sample(*(trial(number, one, workers=workers, disturbance=idle) for number, (one, workers) in enumerate(both)))
    assert slow_sample(*(trial(number, one, workers=workers, disturbance=busy) for number, (one, workers) in enumerate(both))) is None


def test_the_row_of_a_trial_has_what_the_slow_fetch_computed_and_how_long_it_waited_for_a_core():
    trace = synthetic.make_trace(
        num_workers=2, batches=100, fetch_ns=lambda batch: 300 * MS if batch == 41 else 5 * MS, fetch_cpu_share=0.25
    )
    delays = trace.series_of(SeriesInfo(f"{RUN_DELAY_SERIES}/worker-1", RUN_DELAY_SERIES, "", "%", "worker-1", 100 * MS))
    for tenth in range(1, 30):
        delays.append(time_ns=trace.origin_ns + tenth * 100 * MS, value=10.0)
    (found,) = measure_trace(trace, config_of(2), 100).signs.late_batches
    assert found.fetch_cpu_s == pytest.approx(0.075)
    assert 0.03 <= found.run_delay_s <= 0.05


def with_gain(idle_share, held_up=0.4, environment=None, **fields):
    """The finding about two slow samples of 0.3 s, before which main waits."""
    waits = [dataclasses.replace(late(7, 3, cpu_s=0.29), start_s=2.0, held_up=3), dataclasses.replace(late(9, 8, cpu_s=0.29), start_s=5.0)]
    row = trial(0, *waits, held_up=held_up, batch_costs=BatchCosts(0.005, 0.0, idle_share=idle_share), **fields)
    found = find_all(
        Context([row], combine([row], Training(10)), None, None, None, Training(10), environment=environment or {"torch": "2.13.0+cpu"})
    )
    return next(finding for finding in found if finding.code == "slow-sample")


def test_without_order_main_gains_the_waits_but_no_more_than_workers_idle():
    assert with_gain(idle_share=0.9).gain_s.value == pytest.approx(0.4 * 320)  # 10 epochs of 32 s
    assert with_gain(idle_share=0.2).gain_s.value == pytest.approx(0.2 * 320)
    assert with_gain(idle_share=0.2).severity == "warning"
    assert with_gain(idle_share=0.01).severity == "info"


def test_slow_samples_and_the_batches_behind_them_are_named_and_placed():
    finding = with_gain(idle_share=0.9)
    assert finding.evidence["samples"] == [7, 9]
    assert "3 later batches" in finding.message
    assert [(place.lane, place.start_s, place.seconds) for place in finding.places] == [("main", 2.0, 0.3), ("main", 5.0, 0.3)]


def test_no_order_can_be_tried_where_torch_and_setting_have_it():
    finding = with_gain(idle_share=0.9)
    assert (finding.remedy.code, finding.remedy.change, finding.config.in_order) == ("slow-sample", "in_order=False", False)
    assert with_gain(idle_share=0.9, environment={"torch": "2.5.1"}).remedy is None
    assert with_gain(idle_share=0.9, workers=1).remedy is None


def test_a_tried_remedy_tells_the_gain_itself():
    waits = [late(7, 3, cpu_s=0.29), late(9, 8, cpu_s=0.29)]
    row = trial(0, *waits)
    tried = made_up(1, config_of(2, in_order=False), 1600, remedy=Remedy("slow-sample", "in_order=False"))
    context = Context([row], combine([row], Training(10)), None, None, None, Training(10), remedies=combine([tried], Training(10)))
    (finding,) = [finding for finding in find_all(context) if finding.code == "slow-sample"]
    assert finding.gain_s.value == pytest.approx(320 - 200)
