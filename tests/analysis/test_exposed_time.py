"""What a recorded training spent on its loaders, computed from traces whose every time is known."""

import dataclasses

import numpy as np
import pytest
from recorded_loaders import BEGAN_NS, TRAINING_S, Loader, ns, train_and_test, training

from loaderscope.agent.layout import State
from loaderscope.analysis.exposed_time import MOST_BINS, MOST_GAPS, with_exposed_time
from loaderscope.analysis.recorded_training import gaps_of_results, loaders_of_results, training_of_results, training_sentence


def test_the_waits_of_main_are_exposed_in_all_for_each_loader_and_epoch():
    results = training(*train_and_test())
    whole = training_of_results(results)
    assert (whole.exposed_s, whole.wait_s, whole.exposed_share) == pytest.approx((10, 10, 0.1))
    train, test = loaders_of_results(results)
    assert (train["exposed_s"], test["exposed_s"]) == pytest.approx((7, 3))
    assert train["exposed_share"] == pytest.approx(0.07)
    assert [epoch["exposed_s"] for epoch in train["epochs"]] == pytest.approx([5, 2])
    assert [epoch["start_s"] for epoch in train["epochs"]] == pytest.approx([10, 50])
    assert [epoch["first_batch_s"] for epoch in train["epochs"]] == pytest.approx([3, 2])
    assert [epoch["until_next_s"] for epoch in train["epochs"]] == pytest.approx([10, 40])
    assert [epoch["steps_per_second"] for epoch in train["epochs"]] == pytest.approx([2 / 31, 1 / 10])
    assert train["steps_per_second"] == pytest.approx(3 / 41)
    assert whole.first_batch_s == pytest.approx(13)
    assert "10 %" in training_sentence(whole, results)
    assert "train.py:87" in training_sentence(whole, results)


def test_waits_of_nested_loaders_count_once_in_all():
    outer = Loader("train.py:1").epoch(10, 10, (30, 40), end_s=40)
    inner = Loader("train.py:2").epoch(12, 12, (20, 22), end_s=25)
    results = training(outer, inner)
    assert [one["exposed_s"] for one in loaders_of_results(results)] == pytest.approx([20, 11])
    assert training_of_results(results).exposed_s == pytest.approx(20)


def test_while_a_device_works_nothing_is_exposed():
    train, test = train_and_test()
    train.device_step(8, 12)
    test.device_step(20.5, 26, 0)
    results = training(train, test)
    whole = training_of_results(results)
    assert (whole.wait_s, whole.exposed_s) == pytest.approx((10, 10 - 2 - 0.5 - 1))
    assert [one["exposed_s"] for one in loaders_of_results(results)] == pytest.approx([7 - 2 - 0.5, 3 - 1])
    assert [one["wait_s"] for one in loaders_of_results(results)] == pytest.approx([7, 3])
    assert loaders_of_results(results)[0]["epochs"][0]["exposed_s"] == pytest.approx(5 - 2.5)


def test_the_process_that_lost_most_stands_for_the_training():
    alone = Loader("rank.py:1", pid=22).epoch(10, 10, (50, 60), end_s=60)
    results = training(*train_and_test(), alone)
    whole = training_of_results(results)
    assert (whole.pid, whole.exposed_s, whole.batches) == (22, pytest.approx(40), 5)
    assert training_sentence(whole, results).endswith("for the loader made at rank.py:1.")
    assert {(gap.before, gap.after) for gap in gaps_of_results(results)} == {(None, "rank.py:1"), ("rank.py:1", None)}


def test_the_shares_over_time_add_up_to_the_exposed_time():
    whole = training_of_results(training(*train_and_test()))
    assert whole.bin_s == 0.5
    assert len(whole.exposed_shares) == MOST_BINS
    assert sum(whole.exposed_shares) * whole.bin_s == pytest.approx(10)
    assert whole.exposed_shares[20:27] == pytest.approx([1, 1, 1, 1, 1, 1, 0])  # 10 to 13 s
    short = training_of_results(training(Loader("a.py:1").epoch(0.01, 0.01, (0.12, 0.15), end_s=0.15), seconds=0.15))
    assert short.exposed_shares == pytest.approx([0.9, 0.4])  # the last bin is half as wide


def test_the_longest_times_outside_loaders_name_the_line_and_the_loaders_around_them():
    train, test = train_and_test()
    train.seen_in("a/train.py:60 in save", 42, 44)
    train.seen_in("a/train.py:70 in log", 44, 47)
    train.seen_in("a/train.py:60 in save", 47, 49)
    gaps = {round(gap.start_s): gap for gap in gaps_of_results(training(train, test))}
    assert {start: (gap.before, gap.after, gap.seconds) for start, gap in gaps.items() if gap.in_step_of is None} == {
        0: (None, "train.py:87", pytest.approx(10)),
        41: ("train.py:87", "train.py:87", pytest.approx(9)),
        60: ("train.py:87", None, pytest.approx(40)),
    }
    assert gaps[41].line == "a/train.py:60 in save"
    assert gaps[60].line is None


def test_only_the_longest_gaps_are_kept_in_the_order_of_time():
    loader = Loader("a.py:1")
    for number in range(MOST_GAPS + 10):
        loader.epoch(number + 0.5 - number / 100, number + 0.5, (number + 0.6, number + 0.9), end_s=number + 0.95)
    gaps = gaps_of_results(training(loader))
    assert len(gaps) == MOST_GAPS
    assert [gap.start_s for gap in gaps] == sorted(gap.start_s for gap in gaps)
    assert gaps[0].start_s == 0.0
    assert max(gap.seconds for gap in gaps) == pytest.approx(TRAINING_S - 29.95)


def test_a_step_far_longer_than_most_is_a_gap_without_the_epochs_in_it():
    steps = [(10 + number, 10.9 + number) for number in range(20)]
    train = Loader("a.py:1").epoch(10, 10, *steps, (30, 55), end_s=56)
    train.seen_in("a.py:9 in evaluate", 45, 50)
    test = Loader("a.py:2").epoch(40, 40.5, (41, 42), end_s=43)
    gaps = [gap for gap in gaps_of_results(training(train, test)) if gap.in_step_of is not None]
    assert [(gap.start_s, gap.seconds, gap.in_step_of, gap.line) for gap in gaps] == [
        (pytest.approx(30), pytest.approx(10), "a.py:1", None),
        (pytest.approx(43), pytest.approx(12), "a.py:1", "a.py:9 in evaluate"),
    ]


def test_an_epoch_that_is_left_early_ends_when_the_script_turns_to_another_loader():
    test = Loader("a.py:2").epoch(5, 5, (6, 7), (8, 40), end_s=40, is_left=True).epoch(40, 40.5, (41, 42), end_s=43)
    train = Loader("a.py:1").epoch(10, 11, (12, 20), end_s=20)
    results = training(train, test)
    assert [epoch["seconds"] for epoch in loaders_of_results(results)[1]["epochs"]] == pytest.approx([5, 3])
    assert ("a.py:1", "a.py:2", pytest.approx(20)) in [(gap.before, gap.after, gap.seconds) for gap in gaps_of_results(results)]


def test_steps_of_optimizers_belong_to_the_innermost_epoch():
    train, test = train_and_test()
    train.optimizer_steps(19, 52.5, 53)
    test.optimizer_steps(28)
    test.optimizer_steps(39)  # recorded beside the loader that was iterated last
    results = training(train, test)
    assert [one["optimizer_steps"] for one in loaders_of_results(results)] == [4, 1]
    assert loaders_of_results(results)[0]["optimizer_steps_per_second"] == pytest.approx(4 / 41)
    assert training_of_results(results).optimizer_steps == 5
    assert training_of_results(training(*train_and_test())).optimizer_steps is None


def test_a_loader_in_a_thread_is_not_waited_for():
    train, test = train_and_test()
    results = training(train, test, in_threads=[test])
    assert training_of_results(results).exposed_s == pytest.approx(7)
    assert loaders_of_results(results)[1]["exposed_s"] is None
    assert loaders_of_results(results)[1]["epochs"][0]["exposed_s"] is None


def test_a_session_without_these_figures_shows_the_waits():
    results = training(*train_and_test())
    older = [
        dataclasses.replace(one, loader=dataclasses.replace(one.loader, exposed_s=None, epochs=[], process=None, optimizer_steps=None))
        for one in results
    ]
    whole = training_of_results(older)
    assert (whole.exposed_s, whole.exposed_shares, whole.bin_s) == (pytest.approx(10), [], None)
    assert gaps_of_results(older) == []
    assert [one["exposed_s"] for one in loaders_of_results(older)] == pytest.approx([7, 3])
    assert [epoch["batches"] for epoch in loaders_of_results(older)[0]["epochs"]] == [2, 1]


def test_a_fault_is_logged_and_leaves_the_results_as_they_are():
    results = training(*train_and_test())
    log = []
    assert with_exposed_time(results, [None, None], BEGAN_NS, log.append) == results
    assert "Traceback" in log[0]


def test_a_loader_that_gave_no_batch_is_no_fault():
    empty = Loader("a.py:1")
    empty.main.begin(ns(1), State.EPOCH, 0)
    results = training(empty, Loader("a.py:2"))
    assert training_of_results(results).first_batch_s is None
    assert np.array(training_of_results(results).exposed_shares).sum() == 0


def test_loaders_that_threads_iterate_are_counted_as_unknown():
    train, test = train_and_test()
    results = training(train, test, in_threads=(test,))
    assert "1 loader" in training_sentence(training_of_results(results), results)
    results = training(train, test)
    assert "unknown" not in training_sentence(training_of_results(results), results)
