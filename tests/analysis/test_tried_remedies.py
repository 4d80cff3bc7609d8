"""A remedy beside its setting, before and after; and the rules for the number of workers beside what was measured."""

import dataclasses

import pytest
from rows import config_of, made_up
from support_session import make_run

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.training import Training
from loaderscope.analysis.tried_remedies import tried_remedies
from loaderscope.analysis.verdict import judge
from loaderscope.analysis.worker_rules import worker_rules, worker_rules_table
from loaderscope.facts.findings import Remedy
from loaderscope.facts.request import RemedyToTry, Request
from loaderscope.facts.text import MISSING
from loaderscope.session.document import build_document

REMEDY = Remedy("memory-growth", "MALLOC_ARENA_MAX=2", (("MALLOC_ARENA_MAX", "2"),))
OWN = config_of(2)
REQUEST = Request("train.py", remedy=RemedyToTry(REMEDY, OWN))


def trials_of(before, after, remedied=OWN, **fields):
    plain = [made_up(2 * number, OWN, rate, repeat=number) for number, rate in enumerate(before)]
    tried = [made_up(2 * number + 1, remedied, rate, repeat=number, remedy=REMEDY, **fields) for number, rate in enumerate(after)]
    return plain, tried


def compared(before, after, **fields):
    plain, tried = trials_of(before, after, **fields)
    (one,) = tried_remedies(REQUEST, combine(plain, Training(1)), combine(tried, Training(1)))
    return one


def test_a_remedy_is_compared_with_its_setting_by_an_interval():
    one = compared((310.0, 316.0, 322.0), (480.0, 490.0, 500.0))
    assert one.ratio.value == pytest.approx(490 / 316)
    assert one.ratio.ci95 is not None and one.ratio.ci95[0] < one.ratio.value < one.ratio.ci95[1]
    assert one.is_told_apart
    assert (one.trials_before, one.trials_after) == ([0, 2, 4], [1, 3, 5])


def test_rates_whose_intervals_overlap_are_not_told_apart():
    assert not compared((310.0, 330.0, 350.0), (320.0, 340.0, 360.0)).is_told_apart


def test_one_repeat_of_each_is_no_proof_without_an_interval():
    one = compared((300.0,), (600.0,))
    plain, tried = (
        [dataclasses.replace(row, samples_per_second=dataclasses.replace(row.samples_per_second, ci95=None)) for row in rows]
        for rows in trials_of((300.0,), (600.0,))
    )
    (bare,) = tried_remedies(REQUEST, combine(plain, Training(1)), combine(tried, Training(1)))
    assert one.is_told_apart and not bare.is_told_apart


def test_peak_memory_is_told_where_it_changes():
    plain, tried = (
        [dataclasses.replace(row, memory=made_up(0, OWN, 1.0, peak_bytes=size).memory) for row in rows]
        for rows, size in zip(trials_of((300.0,), (300.0,)), (1_200_000_000, 800_000_000), strict=True)
    )
    (one,) = tried_remedies(REQUEST, combine(plain, Training(1)), combine(tried, Training(1)))
    assert "1.2 GB" in one.sentence and "800 MB" in one.sentence


def test_without_rates_the_time_of_an_epoch_is_compared():
    plain, tried = ([dataclasses.replace(row, samples_per_second=None) for row in rows] for rows in trials_of((100.0,) * 3, (200.0,) * 3))
    (one,) = tried_remedies(REQUEST, combine(plain, Training(1)), combine(tried, Training(1)))
    assert (one.before.value, one.after.value) == (pytest.approx(320.0), pytest.approx(160.0))
    assert one.ratio.value == pytest.approx(2.0)


def test_nothing_is_compared_before_both_have_a_rate_or_without_such_a_request():
    plain, tried = trials_of((300.0,), (600.0,))
    settings, remedies = combine(plain, Training(1)), combine(tried, Training(1))
    assert tried_remedies(REQUEST, settings, []) == [] == tried_remedies(REQUEST, [], remedies)
    assert tried_remedies(Request("train.py"), settings, remedies) == []


def test_the_verdict_on_such_a_run_begins_with_it_and_never_recommends_the_remedys_row():
    plain, tried = trials_of((300.0, 301.0, 302.0), (600.0, 601.0, 602.0), config_of(2, in_order=False))
    run = make_run(workers=(2,))
    run = dataclasses.replace(run, request=dataclasses.replace(run.request, remedy=RemedyToTry(REMEDY, config_of(2, in_order=False))))
    verdict = judge(run, [*plain, *tried])
    (one,) = verdict.tried
    assert one.sentence in verdict.summary
    assert verdict.recommendation is not None and verdict.recommendation.config == OWN
    (told,) = build_document(run, [*plain, *tried])["tried_remedies"]
    assert told["remedy"]["change"] == REMEDY.change and told["ratio"]["value"] == pytest.approx(one.ratio.value)


def test_each_rule_stands_beside_the_fastest_setting_within_it():
    settings = combine([made_up(number, config_of(number), 100.0 * (number + 1)) for number in (0, 2, 4, 8)], Training(1))
    by_rule = {row[0]: row[2] for row in worker_rules_table(settings, None, gpu_count=2).rows}
    assert "100 samples/s with 0 workers" in by_rule["0"]
    assert "with 4 workers" in by_rule["2–4"] and "with 8 workers" in by_rule["4–8"]
    assert "with 8 workers" in by_rule["4 × GPUs"]
    assert by_rule["16 and more"] == MISSING


def test_without_gpus_or_measurements_a_rule_has_nothing_beside_it():
    settings = combine([made_up(0, config_of(0), 100.0)], Training(1))
    assert {row[0]: row[2] for row in worker_rules_table(settings, None, gpu_count=0).rows}["4 × GPUs"] == MISSING
    assert worker_rules_table([], None, gpu_count=2).rows == ()
    assert len(worker_rules(1)) == 5
