"""What other programs took of the cores: when a trial is disturbed, which trial counts then, and what the verdict says."""

import dataclasses

import pytest
import synthetic
from rows import config_of, failed, made_up, measure_trace
from synthetic import MS

from loaderscope.agent.messages import Target, TrialOrder, TrialOutcome
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.disturbance import find_disturbance, mark_replaced, run_delay_s
from loaderscope.analysis.epochs import read_epochs
from loaderscope.analysis.recommend import recommend
from loaderscope.analysis.steady import find_steady
from loaderscope.analysis.training import Training
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.analysis.verdict import judge
from loaderscope.facts.evidence import Disturbance, OtherProgram
from loaderscope.facts.lanes import OTHERS_SERIES, RUN_DELAY_SERIES, STOLEN_SERIES, THROTTLED_SERIES
from loaderscope.facts.request import Request
from loaderscope.facts.run import PlannedTrial, Run
from loaderscope.trace.model import SeriesInfo

BURNER = OtherProgram("python3 burn.py", 2, 1.2)
DELAY = f"{RUN_DELAY_SERIES}/main"


def trace_with(**cores):
    """A trial of 0.8 s with samples every 100 ms; `cores` are values by key of a series, or functions of the seconds since it began."""
    trace = synthetic.make_trace(num_workers=0, batches=100, fetch_ns=6 * MS, step_ns=1 * MS)
    for key, value in cores.items():
        columns = trace.series_of(SeriesInfo(key, key.partition("/")[0], key, "%", None, 100 * MS))
        for tenth in range(1, 12):
            level = value(tenth / 10) if callable(value) else value
            columns.append(time_ns=trace.origin_ns + tenth * 100 * MS, value=100 * level)
    return trace


def found_in(trace, usable_cores=2):
    steady = find_steady(trace, read_epochs(trace), config_of(0))
    return find_disturbance(trace, steady, usable_cores, [BURNER])


def test_a_trial_without_readings_says_nothing():
    assert found_in(trace_with()) is None


def test_the_loss_is_what_others_took_as_far_as_the_trial_waited_for_it():
    found = found_in(trace_with(**{OTHERS_SERIES: 1.0, DELAY: 0.3}))
    assert found.part == "steady"
    assert found.seconds == pytest.approx(0.78, abs=0.05)
    assert (found.others_cores, found.run_delay_cores, found.lost_cores) == pytest.approx((1.0, 0.3, 0.3))
    assert found.is_disturbed
    assert found.programs == [BURNER]


def test_a_program_on_an_idle_core_does_not_disturb():
    assert not found_in(trace_with(**{OTHERS_SERIES: 1.0, DELAY: 0.01})).is_disturbed


def test_more_workers_than_cores_disturb_nobody_but_themselves():
    found = found_in(trace_with(**{OTHERS_SERIES: 0.02, DELAY: 1.0, f"{RUN_DELAY_SERIES}/worker-0": 1.0}))
    assert found.run_delay_cores == pytest.approx(2.0)
    assert found.lost_cores == pytest.approx(0.02)
    assert not found.is_disturbed


def test_where_the_run_delay_is_unknown_more_than_a_tenth_of_a_core_disturbs():
    assert not found_in(trace_with(**{OTHERS_SERIES: 0.08})).is_disturbed
    found = found_in(trace_with(**{OTHERS_SERIES: 0.15}))
    assert found.is_disturbed
    assert found.run_delay_cores is None


def test_time_that_other_virtual_machines_took_is_lost_though_nobody_waited():
    assert found_in(trace_with(**{OTHERS_SERIES: 0.0, DELAY: 0.0, STOLEN_SERIES: 0.2})).is_disturbed


def test_waiting_that_the_limit_of_the_container_explains_is_not_due_to_others():
    assert not found_in(trace_with(**{OTHERS_SERIES: 30.0, DELAY: 0.5, THROTTLED_SERIES: 0.5}), usable_cores=2).is_disturbed


def test_on_many_cores_a_little_is_negligible():
    trace = trace_with(**{OTHERS_SERIES: 0.2, DELAY: 0.2})
    assert found_in(trace, usable_cores=2).is_disturbed
    assert not found_in(trace, usable_cores=64).is_disturbed


def test_only_the_steady_state_counts():
    start = found_in(trace_with(**{OTHERS_SERIES: 0.0, DELAY: 0.0}))
    trace = trace_with(**{OTHERS_SERIES: lambda second: 2.0 if second > 0.9 else 0.0, DELAY: lambda second: 2.0 if second > 0.9 else 0.0})
    assert not start.is_disturbed
    assert not found_in(trace).is_disturbed


def test_a_trial_that_is_too_short_for_the_counters_is_not_judged():
    trace = synthetic.make_trace(num_workers=0, batches=20, fetch_ns=6 * MS)
    trace.series_of(SeriesInfo(OTHERS_SERIES, "others", "", "%", None, 100 * MS)).append(time_ns=trace.origin_ns + 150 * MS, value=150.0)
    assert found_in(trace) is None


def test_the_run_delay_about_a_fetch_is_that_of_the_readings_that_touch_it():
    trace = trace_with(**{DELAY: lambda second: second})
    zero = trace.origin_ns
    assert run_delay_s(trace, "main", zero + 110 * MS, zero + 190 * MS) == pytest.approx(0.02)
    assert run_delay_s(trace, "main", zero + 150 * MS, zero + 250 * MS) == pytest.approx(0.05)
    assert run_delay_s(trace, "main", zero + 1050 * MS, zero + 1150 * MS) is None
    assert run_delay_s(trace, "worker-0", zero, zero + 100 * MS) is None


def analysed(trace):
    planned = PlannedTrial(0, 0, config_of(0))
    outcome = TrialOutcome(1.0, 100, 3200, [100], False, False, None)
    end = TrialEnd("ok", None, outcome, 0.8, 0.02, usable_cores=2, other_programs=[BURNER])
    return analyse(trace, planned, TrialOrder(0, "", planned.config, batches=100), end, dataset_length=6400)


def test_a_disturbed_trial_has_its_rate_and_no_interval():
    quiet = measure_trace(trace_with(), config_of(0), 100, length=6400)
    row = analysed(trace_with(**{OTHERS_SERIES: 1.0, DELAY: 0.5}))
    assert quiet.samples_per_second.ci95 is not None
    assert row.samples_per_second.value == pytest.approx(quiet.samples_per_second.value)
    assert row.samples_per_second.ci95 is None
    assert row.epoch_s.ci95 is None
    assert BURNER.name in row.samples_per_second_reason
    assert row.disturbed_share == pytest.approx(0.5)
    assert any(BURNER.name in note for note in row.notes)


def test_a_trial_beside_a_harmless_program_keeps_its_interval_and_notes_the_program():
    row = analysed(trace_with(**{OTHERS_SERIES: 1.0, DELAY: 0.0}))
    assert row.samples_per_second.ci95 is not None
    assert any(BURNER.name in note for note in row.notes)


def test_a_trial_on_an_idle_machine_has_no_note():
    assert analysed(trace_with(**{OTHERS_SERIES: 0.01, DELAY: 0.0})).notes == []


def disturbance(lost_cores, others_cores=None):
    others = lost_cores if others_cores is None else others_cores
    return Disturbance("steady", 1.0, 2, others, lost_cores, lost_cores, lost_cores > 0.05, [BURNER] if lost_cores else [])


def row(number, workers, rate, lost_cores=0.0, repeat=0, **fields):
    return made_up(
        number, config_of(workers), rate, repeat=repeat, disturbance=disturbance(lost_cores), disturbed_share=lost_cores / 2, **fields
    )


def replaced(results):
    return {result.id: result.replaced_by for result in mark_replaced(results)}


def test_the_repeat_of_a_disturbed_trial_counts_in_its_place():
    results = [row(0, 0, 100, 1.0), row(1, 2, 100), row(2, 0, 200, replaces=0)]
    assert replaced(results) == {0: 2, 1: None, 2: None}
    marked = mark_replaced(results)[0]
    assert any("trial 2" in note for note in marked.notes)
    assert mark_replaced(mark_replaced(results)) == mark_replaced(results)


def test_of_a_trial_and_its_repeats_the_least_disturbed_counts():
    results = [row(0, 0, 100, 1.0), row(1, 0, 150, 0.4, replaces=0), row(2, 0, 120, 0.7, replaces=0)]
    assert replaced(results) == {0: 1, 1: None, 2: 1}


def test_a_repeat_that_did_not_end_well_replaces_nothing():
    lost = row(0, 0, 100, 1.0)
    cancelled = dataclasses.replace(failed(1, config_of(0), "limit", status="cancelled"), replaces=0)
    assert replaced([lost, cancelled]) == {0: None, 1: 0}
    broken = dataclasses.replace(failed(1, config_of(0), "ValueError"), replaces=0)
    assert replaced([lost, broken]) == {0: None, 1: None}


def verdict_of(results):
    run = Run(Request("train.py"), {"usable_cpus": 2}, Target("data", "dataset", "Data", "variable"), "train.py", None, [])
    return judge(run, results)


def test_a_replaced_trial_counts_in_no_result():
    verdict = verdict_of([row(0, 0, 100, 1.0), row(1, 0, 200, replaces=0)])
    (setting,) = verdict.settings
    assert (setting.trials, setting.samples_per_second.value) == ([1], 200)
    (finding,) = [finding for finding in verdict.findings if finding.code == "disturbed"]
    assert (finding.severity, finding.trials, finding.evidence["replaced"]) == ("info", [0], [0])
    assert "trust" not in verdict.summary


def test_disturbed_trials_that_count_come_first_in_the_summary_with_the_programs():
    verdict = verdict_of([row(0, 0, 98, 1.0), row(1, 2, 53, 0.9)])
    (finding,) = [finding for finding in verdict.findings if finding.code == "disturbed"]
    assert (finding.severity, finding.trials) == ("warning", [0, 1])
    assert finding.evidence["programs"] == [BURNER]
    assert verdict.summary.startswith(finding.message)
    assert BURNER.name in finding.message


@pytest.mark.parametrize("workers", [(0,), (0, 2)])
def test_a_slight_disturbance_is_reported_in_proportion(workers):
    def message(lost_cores):
        findings = verdict_of([row(number, count, 98, lost_cores) for number, count in enumerate(workers)]).findings
        return next(finding.message for finding in findings if finding.code == "disturbed").partition(":")[0]

    assert "Do not trust" in message(1.0)
    assert message(0.06) != message(1.0)
    assert "little" in message(0.06) or "small" in message(0.06)


def test_the_note_on_a_slight_disturbance_does_not_call_the_figures_worthless():
    (slight,), (grave,) = (analysed(trace_with(**{OTHERS_SERIES: lost, DELAY: lost})).notes for lost in (0.08, 0.5))
    assert "trusted" in grave
    assert "trusted" not in slight


def test_programs_that_nobody_can_see_are_not_to_be_ended():
    def advice(programs):
        trial = row(0, 0, 98, 1.0)
        unseen = dataclasses.replace(trial, disturbance=dataclasses.replace(trial.disturbance, programs=programs))
        return next(finding.advice for finding in verdict_of([unseen]).findings if finding.code == "disturbed")

    assert "End these programs" in advice([BURNER])
    assert "these programs" not in advice([])


def test_an_undisturbed_sweep_has_no_such_finding():
    verdict = verdict_of([row(0, 0, 98, 0.01), row(1, 2, 53)])
    assert not [finding for finding in verdict.findings if finding.code == "disturbed"]


def test_disturbed_repeats_give_no_interval_however_alike():
    settings = combine([row(number, 0, 100 + number, 0.5, repeat=number) for number in range(3)], Training(10))
    assert settings[0].samples_per_second.ci95 is None
    assert settings[0].disturbed_share == pytest.approx(0.25)
    assert (
        combine([row(number, 0, 100 + number, repeat=number) for number in range(3)], Training(10))[0].samples_per_second.ci95 is not None
    )


def test_settings_that_differ_less_than_a_disturbed_one_lost_cannot_be_told_apart():
    def ties(lost_cores):
        trials = [
            row(2 * repeat + workers, workers, rate, lost_cores, repeat) for repeat in range(3) for workers, rate in ((0, 100), (1, 140))
        ]
        return recommend(combine(trials, Training(10)), trials, None, 2, 0, Training(10)).ties

    assert ties(0.0) == []
    assert ties(1.0) == [config_of(0)]
