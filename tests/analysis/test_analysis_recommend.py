"""Repeats together, projected training, ties and the recommendation."""

import pytest
from rows import config_of, failed, made_up, measure
from synthetic import MS

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.training import Training, train_seconds, training_of
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.request import Request
from loaderscope.facts.results import EpochTimes
from loaderscope.facts.text import count_text


def advise(trials, current=None, train_epochs=10, gpus=0, cpus=4):
    training = training_of(Request("/x/train.py", train_epochs=train_epochs), trials, current)
    return recommend(combine(trials, training), trials, current, cpus, gpus, training)


def test_training_time_is_start_up_steady_state_and_end_of_every_epoch():
    trial = made_up(
        0, config_of(2), 1000, first_batch_s=2.0, length=10_000, epochs=[EpochTimes(2.0, 10.0, 0.5, 312)], epoch_s=Estimate(12.5)
    )
    assert train_seconds(trial, Training(10)) == pytest.approx(125)


def test_persistent_workers_pay_their_start_up_once():
    scenario = {"num_workers": 2, "start_method": "spawn", "startup_ns": 1500 * MS, "length": 32 * 200}
    each, once = measure(100, **scenario), measure(100, persistent_workers=True, **scenario)
    saved = train_seconds(each, Training(10)) - train_seconds(once, Training(10))
    assert saved == pytest.approx(9 * 1.5, rel=0.02)
    assert each.epoch_s.value == pytest.approx(once.epoch_s.value, rel=0.01)  # the epoch that was measured is a first one
    assert advise([each, once]).config.persistent_workers


def test_a_single_epoch_gains_nothing_from_persistent_workers():
    scenario = {"num_workers": 2, "start_method": "spawn", "startup_ns": 1500 * MS, "length": 32 * 200}
    each, once = measure(100, **scenario), measure(100, persistent_workers=True, **scenario)
    assert train_seconds(each, Training(1)) == pytest.approx(train_seconds(once, Training(1)), rel=0.01)


def test_measured_later_epochs_are_taken_as_they_were():
    epochs = [EpochTimes(5.0, 10.0, 0.0, 312), EpochTimes(1.0, 10.0, 0.0, 312), EpochTimes(1.0, 10.0, 0.0, 312)]
    trial = made_up(0, config_of(2), 1000, length=10_000, epochs=epochs, epoch_s=Estimate(10 + 7 / 3))
    assert train_seconds(trial, Training(11)) == pytest.approx(5 + 10 * 1 + 11 * 10)


def test_a_dataset_of_unknown_length_is_judged_by_a_thousand_batches():
    slow, fast = measure(100, num_workers=1), measure(100, num_workers=4)
    assert slow.epoch_s is None
    found = advise([slow, fast])
    assert found.fastest.num_workers == 4
    assert f"finish {count_text(1000, 'batch')} in about" in found.why
    assert "not known how many an epoch has" in found.why
    assert found.caveat is None


def test_repeats_are_one_setting_and_failed_ones_only_count_as_trials():
    config = config_of(2)
    trials = [
        made_up(0, config, 1000, repeat=0),
        made_up(1, config, 1040, repeat=1),
        made_up(2, config, 1020, repeat=2),
        failed(3, config, "hung", status="timeout"),
    ]
    (setting,) = combine(trials, Training(10))
    assert setting.trials == [0, 1, 2, 3]
    assert setting.samples_per_second.value == pytest.approx(1020)
    low, high = setting.samples_per_second.ci95
    assert (high - low) / 2 == pytest.approx(4.303 * 20 / 3**0.5, rel=1e-3)  # Student's t with two degrees of freedom


def test_two_repeats_span_both_intervals():
    config = config_of(2)
    (setting,) = combine([made_up(0, config, 1000, 10), made_up(1, config, 1100, 20, repeat=1)], Training(10))
    assert setting.samples_per_second.ci95 == (990, 1120)


def test_skipped_settings_have_no_row():
    trials = [made_up(0, config_of(2), 1000), failed(1, config_of(4), "limit", status="skipped")]
    assert len(combine(trials, Training(10))) == 1


def test_the_fastest_setting_wins_when_it_is_clearly_faster():
    found = advise([made_up(workers, config_of(workers), 1000 * workers + 500, 5) for workers in (0, 1, 2)])
    assert found.config == found.fastest == config_of(2)
    assert found.ties == []


def test_among_ties_the_one_with_fewer_workers_wins():
    rates = {1: 1000, 2: 1990, 4: 2000, 8: 1985}
    found = advise([made_up(workers, config_of(workers), rate, 60) for workers, rate in rates.items()])
    assert found.fastest == config_of(4)
    assert found.config == config_of(2)
    assert set(found.ties) == {config_of(4), config_of(8)}
    assert "cannot be told from it" in found.why


def test_a_cheap_setting_that_looks_far_slower_is_not_chosen_for_its_noise():
    found = advise([made_up(0, config_of(0), 1000, 990), made_up(1, config_of(1), 2000, 60)], current=config_of(0))
    assert found.config == found.fastest == config_of(1)
    assert found.ties == [config_of(0)]
    assert found.why == (
        "1 worker · fork · batch 32 finishes 10 epochs in about 2 min 40 s; "
        "your current setting (0 workers · batch 32, 5 min 20 s) cannot be told from it"
        ". The times vary much; more repeats would tell more."
    )


def test_among_ties_with_equal_workers_the_one_with_less_memory_wins():
    spawned = config_of(2, start_method="spawn")
    found = advise([made_up(0, spawned, 2000, 50, peak_bytes=900), made_up(1, config_of(2), 1999, 50, peak_bytes=300)])
    assert found.config == config_of(2)


def test_paired_differences_find_what_drift_hides():
    # Both settings swing by 30 % from repeat to repeat, but one is 4 % faster in every single one.
    drift = [1000, 1150, 1300]
    two = [made_up(repeat, config_of(2), rate, repeat=repeat) for repeat, rate in enumerate(drift)]
    four = [made_up(10 + repeat, config_of(4), rate * 1.04, repeat=repeat) for repeat, rate in enumerate(drift)]
    assert advise(two + four).config == config_of(4)


def test_paired_differences_that_change_sign_are_a_tie():
    two = [made_up(repeat, config_of(2), rate, repeat=repeat) for repeat, rate in enumerate([1000, 1100, 1050])]
    four = [made_up(10 + repeat, config_of(4), rate, repeat=repeat) for repeat, rate in enumerate([1080, 1050, 1120])]
    assert advise(two + four).config == config_of(2)


def test_a_single_run_is_not_trusted_to_three_percent():
    assert advise([made_up(0, config_of(1), 1000, 0.1), made_up(1, config_of(2), 1025, 0.1)]).config == config_of(1)


def test_the_knee_is_the_fewest_workers_near_the_best_throughput():
    rates = {0: 500, 1: 1000, 2: 1970, 4: 2020, 8: 2030}
    assert advise([made_up(workers, config_of(workers), rate) for workers, rate in rates.items()]).knee == config_of(2)


def test_two_points_have_no_knee():
    assert advise([made_up(0, config_of(0), 500), made_up(1, config_of(1), 1000)]).knee is None


def test_the_rules_of_thumb_are_told_beside():
    trials = [made_up(0, config_of(0), 500)]
    assert (advise(trials).rule_of_thumb, advise(trials, gpus=2).rule_of_thumb) == (None, 8)
    assert advise(trials, cpus=6).torch_suggested == 6


def test_why_compares_with_the_current_setting():
    trials = [made_up(workers, config_of(workers), 1000 * (workers + 1)) for workers in (0, 1, 2)]
    found = advise(trials, current=TrialConfig(num_workers=0, batch_size=32))
    assert found.current == config_of(0)
    assert found.why == (
        "2 workers · fork · batch 32 finish 10 epochs in about 1 min 47 s, 3.0 times as fast as "
        "your current setting (0 workers · batch 32, 5 min 20 s)"
        "; the next best is 1 worker · fork · batch 32 with 2 min 40 s."
    )


def test_a_current_setting_that_was_not_run_is_still_told():
    current = TrialConfig(num_workers=7, batch_size=32, prefetch_factor=2)
    assert advise([made_up(0, config_of(0), 500)], current=current).current == current


def test_a_setting_that_failed_once_is_not_recommended():
    trials = [made_up(0, config_of(0), 500), made_up(1, config_of(2), 2000), failed(2, config_of(2), "worker-died", status="killed")]
    assert advise(trials).config == config_of(0)


def test_nothing_measured_gives_no_recommendation():
    assert advise([failed(0, config_of(0), "ValueError")]) is None
    assert advise([]) is None


def test_threads_are_never_recommended_and_that_is_said():
    threads = config_of(2, backend="thread", start_method=None)
    found = advise([made_up(0, config_of(0), 500), made_up(1, config_of(2), 1000), made_up(2, threads, 2000)])
    assert (found.config, found.fastest, found.ties) == (config_of(2), config_of(2), [])
    assert found.why.endswith("DataLoader has no setting for them.")
    assert "Threads" not in advise([made_up(0, config_of(0), 500)]).why
    assert advise([made_up(0, threads, 2000)]) is None
