"""What a remedy gains, and how findings are sorted and weighed by it."""

import pytest
from rows import config_of, made_up

from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, order_of
from loaderscope.analysis.training import Training
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding, Remedy
from loaderscope.facts.results import TrialResult

REMEDY = Remedy("slow-sample", "in_order=False")


def context_of(*trials: TrialResult, current=None, remedies=()) -> Context:
    training = Training(10)
    settings = combine(trials, training)
    return Context(list(trials), settings, None, current, None, training, remedies=combine(remedies, training))


def test_a_share_of_the_time_is_that_share_of_the_training():
    context = context_of(made_up(0, config_of(2), 1000.0))  # 32 s an epoch, 10 epochs
    assert context.gain_of_share(context.settings[0], 0.25, 0.2, 0.3) == Estimate(
        pytest.approx(80.0), (pytest.approx(64.0), pytest.approx(96.0))
    )
    assert context.gain_of_share(context.settings[0], 0.25) == Estimate(pytest.approx(80.0))


def test_another_setting_gains_the_difference_of_the_trainings():
    context = context_of(made_up(0, config_of(2), 1000.0, 30.0), made_up(1, config_of(4), 2000.0, 80.0))
    gain = context.gain_between(*context.settings)
    assert gain is not None and gain.ci95 is not None
    assert gain.value == pytest.approx(160.0)
    assert (gain.ci95[1] - gain.ci95[0]) / 2 == pytest.approx(((0.03 * 320) ** 2 + (0.04 * 160) ** 2) ** 0.5)


@pytest.mark.parametrize(
    ("gain", "severity"),
    [
        (Estimate(40.0), "warning"),
        (Estimate(40.0, (10.0, 70.0)), "info"),
        (Estimate(10.0), "info"),
        (None, "info"),
    ],
)
def test_a_warning_needs_a_twentieth_of_the_training_for_sure(gain, severity):
    context = context_of(made_up(0, config_of(2), 1000.0))
    assert context.severity_of_gain(context.settings[0], gain) == severity


def test_a_gain_of_a_setting_that_nobody_uses_is_no_warning():
    context = context_of(made_up(0, config_of(2), 1000.0), made_up(1, config_of(4), 2000.0), current=config_of(4))
    assert context.severity_of_gain(context.settings[0], Estimate(100.0)) == "info"


def test_findings_are_sorted_by_gravity_and_then_by_gain():
    gains = [("info", 900.0), ("warning", None), ("warning", 5.0), ("error", None), ("warning", 50.0)]
    findings = [Finding(str(gain), severity, [], "", {}, "", None if gain is None else Estimate(gain)) for severity, gain in gains]
    ordered = [(finding.severity, finding.code) for finding in sorted(findings, key=order_of)]
    assert ordered == [("error", "None"), ("warning", "50.0"), ("warning", "5.0"), ("warning", "None"), ("info", "900.0")]


def test_trials_of_a_remedy_are_a_row_of_their_own():
    plain = made_up(0, config_of(2), 1000.0)
    tried = [made_up(number, config_of(2), 1500.0, repeat=number - 1, remedy=REMEDY) for number in (1, 2)]
    rows = combine([plain, *tried], Training(10))
    assert [(row.remedy, row.trials) for row in rows] == [(None, [0]), (REMEDY, [1, 2])]
    context = context_of(plain, remedies=tried)
    assert [row.trials for row in context.remedied("slow-sample", context.settings[0])] == [[1, 2]]
    assert context.remedied("hung") == []
