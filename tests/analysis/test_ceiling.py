"""The ceiling: what a perfect loader would reach, how it is known, and what is said of it."""

import dataclasses
import io

import pytest
import support_session
import synthetic
from rows import config_of, failed, made_up

from loaderscope.agent.messages import Consumer, TrialOrder
from loaderscope.agent.trials import outcome_without_ceiling
from loaderscope.analysis.ceiling import ceiling_sentence
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.analysis.verdict import judge
from loaderscope.cli.terminal.progress import SweepProgress
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.measures import throughput_of
from loaderscope.facts.results import COMPUTED, MEASURED, Ceiling, SettingResult
from loaderscope.facts.run import PlannedTrial
from loaderscope.session.document import build_document

STEP = Consumer("script")


def run_with(consumer):
    run = support_session.make_run()
    return dataclasses.replace(run, request=dataclasses.replace(run.request, consumer=consumer))


def perfect(number, rate, half=0.0, **changes):
    return made_up(number, config_of(0, **changes), rate, half, perfect_loader=True, wait_share=0.0, other_share=0.0)


def verdict_of(*trials, consumer=STEP):
    return judge(run_with(consumer), list(trials))


def test_the_perfect_loader_is_no_setting_of_the_sweep():
    trials = made_up(0, config_of(0), 100.0, 1.0), made_up(1, config_of(2), 300.0, 3.0), perfect(2, 900.0, 9.0)
    with_ceiling, without = verdict_of(*trials), verdict_of(*trials[:2])
    assert with_ceiling.settings == without.settings
    assert with_ceiling.recommendation.config == without.recommendation.config == config_of(2)
    assert with_ceiling.recommendation.ties == without.recommendation.ties
    assert [finding.code for finding in with_ceiling.findings] == [finding.code for finding in without.findings]
    assert [row.trials for row in with_ceiling.perfect_loaders] == [[2]]


def test_the_ceiling_is_that_of_the_recommended_setting():
    verdict = verdict_of(made_up(0, config_of(0), 100.0, 1.0), made_up(1, config_of(2), 300.0, 3.0), perfect(2, 400.0, 4.0))
    ceiling = verdict.ceiling
    assert (ceiling.trial, ceiling.source) == (2, MEASURED)
    assert ceiling.samples_per_second.value == pytest.approx(400.0)
    assert ceiling.saves_share == pytest.approx(0.25)
    low, high = ceiling.saves_ci95
    assert low == pytest.approx(1 - 303 / 396) and high == pytest.approx(1 - 297 / 404)


def test_what_serving_from_memory_took_does_not_count():
    served = dataclasses.replace(perfect(1, 380.0), wait_share=0.05)
    ceiling = verdict_of(made_up(0, config_of(0), 200.0), served).ceiling
    assert ceiling.samples_per_second.value == pytest.approx(400.0)
    on_device = dataclasses.replace(served, data_stall_share=0.0)  # main waited while the device worked
    assert verdict_of(made_up(0, config_of(0), 200.0), on_device).ceiling.samples_per_second.value == pytest.approx(380.0)


def test_the_row_of_the_perfect_loader_and_its_line_show_the_rate_of_the_ceiling():
    served = dataclasses.replace(perfect(1, 380.0), wait_share=0.05)
    verdict = verdict_of(made_up(0, config_of(0), 200.0), served)
    (row,) = verdict.perfect_loaders
    assert row.samples_per_second == verdict.ceiling.samples_per_second
    assert row.wait_share is None  # of serving
    stream = io.StringIO()
    SweepProgress(stream).trial_finished(served, None)
    assert throughput_of(row) in stream.getvalue()


def test_a_row_of_the_perfect_loader_below_a_setting_has_no_rate():
    verdict = verdict_of(made_up(0, config_of(0), 900.0, 1.0), perfect(1, 400.0, 1.0))
    assert [row.rate for row in verdict.perfect_loaders] == [None]
    assert verdict.ceiling is None


def test_a_perfect_loader_that_could_not_serve_is_no_failure_and_says_why():
    config, outcome = config_of(0), outcome_without_ceiling("no ceiling: odd", 1.0)
    trace = synthetic.make_trace(batches=50, num_workers=0)
    planned = PlannedTrial(1, 0, config, perfect_loader=True)
    row = analyse(trace, planned, TrialOrder(1, "", config, batches=50), TrialEnd("ok", None, outcome, 1.0, 0.02))
    assert (row.samples_per_second, row.batches_per_second, row.wait_share) == (None, None, None)
    verdict = verdict_of(made_up(0, config, 200.0), row)
    assert verdict.ceiling is None and not [finding for finding in verdict.findings if finding.code == "trial-failed"]
    assert verdict.recommendation.config == config
    stream = io.StringIO()
    SweepProgress(stream).trial_finished(row, None)
    assert "no ceiling: odd" in stream.getvalue()


def test_what_recording_took_beside_the_step_does_not_count_and_widens_the_interval():
    recorded = dataclasses.replace(perfect(1, 380.0), wait_share=0.02, other_share=0.03)
    ceiling = verdict_of(made_up(0, config_of(0), 200.0), recorded).ceiling
    assert ceiling.samples_per_second.value == pytest.approx(380.0 / 0.95)
    low, high = ceiling.samples_per_second.ci95
    assert low == pytest.approx(380.0 / 0.95) and high == pytest.approx(380.0 / 0.92)


def test_a_ceiling_of_another_batch_size_says_nothing():
    assert verdict_of(made_up(0, config_of(0), 200.0), perfect(1, 400.0, batch_size=64)).ceiling is None


def test_a_perfect_loader_that_failed_leaves_the_ceiling_unknown():
    broken = dataclasses.replace(failed(1, config_of(0), "ValueError"), perfect_loader=True)
    verdict = verdict_of(made_up(0, config_of(0), 200.0), broken)
    assert verdict.ceiling is None
    assert verdict.recommendation.config == config_of(0)


@pytest.mark.parametrize("kind", ["sleep", "burn"])
def test_a_simulated_step_needs_no_trial(kind):
    trial = made_up(0, config_of(0), 200.0, 2.0)
    ceiling = verdict_of(trial, consumer=Consumer(kind, 80.0)).ceiling
    assert (ceiling.trial, ceiling.source) == (None, COMPUTED)
    assert ceiling.samples_per_second == Estimate(32 / 0.08)
    assert ceiling.saves_share == pytest.approx(0.5)


def test_without_a_step_there_is_no_ceiling():
    assert verdict_of(made_up(0, config_of(0), 200.0), consumer=Consumer("none")).ceiling is None


def test_a_setting_that_beats_the_ceiling_saves_nothing():
    assert verdict_of(made_up(0, config_of(0), 410.0, 4.0), perfect(1, 400.0, 4.0)).ceiling.saves_share == 0.0


def test_a_ceiling_that_a_setting_is_far_above_is_none():
    assert verdict_of(made_up(0, config_of(0), 400.0, None), made_up(1, config_of(2), 500.0, None), perfect(2, 410.0, None)).ceiling is None


def sentence(value, interval, source=MEASURED, waiting=None):
    setting = dataclasses.replace(SettingResult(config_of(2), [1]), train_s=3600.0, wait_share=waiting)
    return ceiling_sentence(Ceiling(Estimate(400.0), value, 2, source, None, interval), setting)


def test_where_little_is_left_one_should_look_elsewhere():
    text = sentence(0.05, (0.02, 0.1))
    assert "10 %" in text and "look elsewhere" in text  # the upper end of the interval: at most
    assert "6 min" in text


def test_where_much_is_left_the_waiting_is_named():
    text = sentence(0.94, (0.9, 0.95), waiting=0.93)
    assert "94 %" in text and "waiting" in text and "look elsewhere" not in text


@pytest.mark.parametrize("waiting", [0.05, None])
def test_what_is_no_waiting_is_not_called_so(waiting):
    text = sentence(0.4, (0.35, 0.45), waiting=waiting)  # workers that take the cores from the step, or a thread that reads ahead
    assert "40 %" in text and "waiting" not in text and "look elsewhere" not in text


def test_where_nothing_is_left_no_share_is_told():
    text = sentence(0.0, (0.0, 0.0))
    assert "look elsewhere" in text and "%" not in text


@pytest.mark.parametrize("interval", [(0.05, 0.4), None])
def test_where_the_noise_decides_nothing_is_said(interval):
    assert sentence(0.2, interval) == ""


@pytest.mark.parametrize(("of_setting", "of_perfect"), [(None, 4.0), (3.0, None)])
def test_a_rate_without_an_interval_leaves_none_to_what_could_be_saved(of_setting, of_perfect):
    verdict = verdict_of(made_up(0, config_of(0), 200.0, of_setting), perfect(1, 400.0, of_perfect))
    assert (verdict.ceiling.saves_share, verdict.ceiling.saves_ci95) == (pytest.approx(0.5), None)
    assert "50 %" not in verdict.recommendation.why


@pytest.mark.parametrize("change", [{"pin_memory": True}, {"threads": 4}])
def test_a_setting_is_compared_with_the_perfect_loader_of_its_kind(change):
    plain, other = made_up(0, config_of(0), 100.0), made_up(1, config_of(0, **change), 200.0)
    verdict = verdict_of(plain, other, perfect(2, 300.0), perfect(3, 400.0, **change))
    assert verdict.recommendation.config == other.config
    assert verdict.ceiling.trial == 3


def test_a_computed_ceiling_says_so():
    assert "computed" in sentence(0.94, (0.9, 0.95), source=COMPUTED)


def test_the_document_tells_the_ceiling_and_keeps_it_out_of_the_results():
    document = build_document(run_with(STEP), [made_up(0, config_of(0), 200.0), perfect(1, 400.0)])
    assert document["ceiling"]["trial"] == 1
    assert [trial["perfect_loader"] for trial in document["trials"]] == [False, True]
    assert [row["trials"] for row in document["results"]] == [[0]]
    assert document["recommendation"]["why"] in document["summary"] or "50 %" in document["summary"]
