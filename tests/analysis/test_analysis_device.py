"""What the device, or the accelerator that a simulated step stands for, did in steady state; and what the exact window adds."""

import dataclasses

import pytest
import synthetic
from rows import config_of, made_up, measure, measure_trace
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialOrder, TrialOutcome
from loaderscope.analysis.combine_repeats import combine
from loaderscope.analysis.findings import Context, find_all
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.analysis.training import Training
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.results import GpuWindow, OperatorCost
from loaderscope.facts.run import PlannedTrial
from loaderscope.trace.lane_table import DEVICE_EXACT_LANE, DEVICE_OVERLAP_LANE, DEVICE_STEP_LANE, DEVICE_TRANSFER_LANE, MAIN_LANE


@pytest.mark.parametrize("device_ns", [5 * MS, 11 * MS, 14 * MS])
def test_the_shares_of_the_gpu_add_up_to_the_whole(device_ns):
    # One batch: 10 ms waiting, 5 ms of step on the host; the device's part of it may be shorter or go on longer.
    row = measure(60, num_workers=0, fetch_ns=10 * MS, collate_ns=0, step_ns=5 * MS, other_ns=0, device_ns=device_ns)
    assert row.gpu_busy_share + row.data_stall_share + row.gpu_other_idle_share == pytest.approx(1.0)


def test_idling_while_main_is_at_its_step_is_no_data_stall():
    row = measure(60, num_workers=0, fetch_ns=10 * MS, collate_ns=0, step_ns=10 * MS, other_ns=0, device_ns=4 * MS)
    assert row.data_stall_share == pytest.approx(0.5)
    assert row.gpu_busy_share == pytest.approx(0.2)
    assert row.gpu_other_idle_share == pytest.approx(0.3)


def run(consumer, **scenario):
    trace = synthetic.make_trace(num_workers=0, batches=60, collate_ns=0, other_ns=0, **scenario)
    order = TrialOrder(0, "", config_of(0), batches=60, consumer=consumer)
    outcome = TrialOutcome(1.0, 60, 60 * 32, [60], False, False, None)
    return analyse(trace, PlannedTrial(0, 0, config_of(0)), order, TrialEnd("ok", None, outcome, 1.0, 0.02))


def test_a_simulated_step_tells_how_busy_an_accelerator_of_its_time_would_be():
    row = run(Consumer("burn", 15.0), fetch_ns=10 * MS, step_ns=30 * MS)  # the burn takes longer: it competes for cores
    assert row.accelerator_share == pytest.approx(15 / 40, rel=0.01)
    assert row.step_share == pytest.approx(30 / 40, rel=0.01)
    assert row.gpu_busy_share is None


@pytest.mark.parametrize("consumer", [Consumer("script"), Consumer("none"), Consumer("cuda", 20.0), Consumer("sleep", 0.0)])
def test_only_a_simulated_step_stands_for_an_accelerator(consumer):
    assert run(consumer, fetch_ns=10 * MS, step_ns=30 * MS).accelerator_share is None


def findings(rows, consumer):
    return {
        finding.code: finding
        for finding in find_all(Context(rows, combine(rows, Training(10)), None, rows[0].config, consumer, Training(10)))
    }


def test_the_mark_is_passed_from_90_percent_on_and_the_cheapest_setting_that_passes_is_named():
    rows = [made_up(0, config_of(1), 100.0, accelerator_share=0.55), made_up(1, config_of(2), 180.0, accelerator_share=0.9)]
    rows.append(made_up(2, config_of(4), 190.0, accelerator_share=0.97))
    found = findings(rows, Consumer("sleep", 20.0))["accelerator-idles"]
    assert (
        found.message == "An accelerator that needs 20 ms a batch would be busy 55 % of the time with 1 worker · fork · batch 32: "
        "misses the mark of 90 %."
    )
    assert found.advice == "It is passed with 2 workers · fork · batch 32."
    rows[0] = dataclasses.replace(rows[0], accelerator_share=0.93)
    found = findings(rows, Consumer("sleep", 20.0))["accelerator-kept-busy"]
    assert found.message.endswith("busy 93 % of the time with 1 worker · fork · batch 32: passes the mark of 90 %.")
    assert "accelerator-idles" not in findings([made_up(0, config_of(1), 100.0)], Consumer("script"))
    rows[0] = dataclasses.replace(rows[0], accelerator_share=0.8997)
    found = findings(rows, Consumer("sleep", 20.0))["accelerator-idles"]
    assert found.message.endswith("busy 89.9 % of the time with 1 worker · fork · batch 32: misses the mark of 90 %.")


def test_an_exact_window_is_told_beside_the_bounds():
    window = GpuWindow(20, 0.4, 0.631, None, 4e-6, [OperatorCost("aten::mm", 20, 0.01, 0.2)])
    shares = {"gpu_busy_share": 0.78, "gpu_busy_share_low": 0.74, "data_stall_share": 0.1, "gpu_other_idle_share": 0.12}
    rows = [made_up(0, config_of(2), 100.0, **shares, gpu_window=window)]
    found = findings(rows, Consumer("script"))
    assert "busy 63 % of the time" in found["exact-window"].message and "74 % to 78 %" in found["exact-window"].message
    assert (
        "idles for want of data 10 % of the time, is busy 74 % to 78 % and idles for other reasons 12 %"
        in found["partly-input-bound"].message
    )
    unseen = dataclasses.replace(rows[0], gpu_busy_share=None, data_stall_share=None, gpu_other_idle_share=None)
    assert "at least 74 %" in findings([unseen], Consumer("script"))["exact-window"].message
    rows[0] = dataclasses.replace(rows[0], gpu_window=dataclasses.replace(window, busy_share=None, reason="no accelerator"))
    assert "exact-window" not in findings(rows, Consumer("script"))


def test_what_follows_the_measured_epochs_changes_no_figure():
    def two_epochs():
        return synthetic.make_trace(num_workers=2, batches=60, epochs=2, step_ns=2 * MS, device_ns=2 * MS, sample_events=True)

    alone = measure_trace(
        synthetic.make_trace(num_workers=2, batches=60, epochs=1, step_ns=2 * MS, device_ns=2 * MS, sample_events=True), config_of(2), 60
    )
    trace = two_epochs()
    epochs = trace.tracks["main", -1].view()
    starts_ns = int(epochs["start_ns"][1])
    trace.points_of(MAIN_LANE).append(time_ns=[starts_ns - 1], state=[int(State.EXACT_WINDOW)], batch=[-1], value=[10])
    trace.track(DEVICE_EXACT_LANE, 0).append(
        start_ns=[starts_ns], end_ns=[starts_ns + 5], state=[int(State.DEVICE_WORK)], batch=[-1], value=[0]
    )
    row = measure_trace(trace, config_of(2), 60)
    assert len(row.epochs) == 1
    assert dataclasses.replace(row, own_cost=None) == dataclasses.replace(alone, own_cost=None)
    assert len(measure_trace(two_epochs(), config_of(2), 60, epochs=2).epochs) == 2


def test_copies_beside_a_simulated_step_do_not_end_its_batches():
    trace = synthetic.make_trace(num_workers=0, batches=20, step_ns=5 * MS, transfer_ns=1 * MS)
    alone = measure_trace(synthetic.make_trace(num_workers=0, batches=20, step_ns=5 * MS, transfer_ns=1 * MS), config_of(0), 20)
    steps = spans_of(trace, "main", State.TRANSFER)
    rows = {"start_ns": steps.start_ns, "end_ns": steps.end_ns, "batch": steps.batch, "value": steps.value}
    trace.track(DEVICE_TRANSFER_LANE, 0).append(**rows, state=[int(State.DEVICE_TRANSFER)] * steps.size)
    row = measure_trace(trace, config_of(0), 20)
    assert row.samples_per_second == alone.samples_per_second
    assert 0 < row.gpu_busy_share < 0.2


@pytest.mark.parametrize(("told", "expected"), [(60, 0.4), (30, 0.4), (0, None)])
def test_batches_without_device_times_do_not_pass_for_an_idle_device(told, expected):
    """A trial that is stopped ends before the newest batches were placed on the host's clock."""
    trace = synthetic.make_trace(num_workers=0, batches=60, fetch_ns=10 * MS, collate_ns=0, step_ns=10 * MS, other_ns=0)
    steps = spans_of(trace, "main", State.STEP)
    lane = trace.track(DEVICE_STEP_LANE, 0)
    for start_ns, batch in zip(steps.start_ns[:told], steps.batch[:told], strict=True):
        lane.append(start_ns=[start_ns], end_ns=[start_ns + 8 * MS], state=[int(State.DEVICE_STEP)], batch=[batch], value=[0])
    row = measure_trace(trace, config_of(0), 60)
    assert row.gpu_busy_share == (None if expected is None else pytest.approx(expected, abs=0.01))
    assert row.data_stall_share == (None if expected is None else pytest.approx(0.5, abs=0.01))
    assert row.wait_share == pytest.approx(0.5, abs=0.01)


def test_the_stated_error_of_device_times_is_the_worst_anchors():
    trace = synthetic.make_trace(num_workers=0, batches=20, device_ns=1 * MS)
    assert measure_trace(trace, config_of(0), 20).device_clock_error_s is None
    times = [trace.origin_ns + 1, trace.origin_ns + 2]
    trace.points_of(MAIN_LANE).append(time_ns=times, state=[int(State.DEVICE_ANCHOR)] * 2, batch=[-1, -1], value=[4_000, 12_000])
    assert measure_trace(trace, config_of(0), 20).device_clock_error_s == pytest.approx(12e-6)


def with_issuing(issue_ns, anchor_error_ns=0):
    """A trial of 15 ms a batch, 5 of them on the device, of which the host issues for some time; and its steady row."""
    trace = synthetic.make_trace(num_workers=0, batches=60, fetch_ns=10 * MS, collate_ns=0, step_ns=5 * MS, other_ns=0, device_ns=5 * MS)
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    trace.track(DEVICE_STEP_LANE, 1).append(
        start_ns=steps.start_ns, end_ns=steps.start_ns + issue_ns, state=[int(State.DEVICE_STEP_ISSUE)] * steps.size, batch=steps.batch,
        value=[0] * steps.size,
    )  # fmt: skip
    if anchor_error_ns:
        trace.points_of(MAIN_LANE).append(time_ns=[trace.end_ns], state=[int(State.DEVICE_ANCHOR)], batch=[-1], value=[anchor_error_ns])
    return trace


def test_while_the_host_issues_a_step_the_device_is_not_surely_busy():
    row = measure_trace(with_issuing(2 * MS), config_of(0), 60)
    assert row.gpu_busy_share_low == pytest.approx(3 / 15, abs=1e-3)
    assert row.gpu_busy_share == pytest.approx(5 / 15, abs=1e-3)
    assert row.data_stall_share_low == pytest.approx(row.data_stall_share) == pytest.approx(row.data_stall_share_high)


def test_a_rough_clock_widens_the_bounds_and_is_told():
    row = measure_trace(with_issuing(0, anchor_error_ns=4 * MS), config_of(0), 60)
    assert row.gpu_busy_share_low < 5 / 15 - 0.005 < 5 / 15 + 0.005 < row.gpu_busy_share
    # Each wait of 10 ms lies between two steps: either may reach 4 ms into it, or both may lie further away.
    assert row.data_stall_share_low == pytest.approx(2 / 15, abs=0.02)
    assert row.data_stall_share == pytest.approx(10 / 15, abs=0.02)
    assert [note for note in row.notes if "± 4" in note]
    exact = measure_trace(with_issuing(0, anchor_error_ns=1000), config_of(0), 60)
    assert not [note for note in exact.notes if "±" in note]


def test_a_rough_clock_gives_no_verdict_on_the_device():
    known = made_up(0, config_of(2), 100.0, wait_share=0.5, data_stall_share=0.0, data_stall_share_low=0.0, data_stall_share_high=0.02)
    assert "compute-bound" in findings([known], Consumer("script"))
    rough = dataclasses.replace(known, data_stall_share_high=0.4)
    found = findings([rough], Consumer("script"))["input-bound"]
    assert "the main process waits for data" in found.message


def test_the_input_costs_no_more_than_the_time_for_which_the_device_may_idle():
    shares = {"wait_share": 0.3, "gpu_busy_share_low": 0.97}
    found = findings([made_up(0, config_of(2), 100.0, **shares), made_up(1, config_of(1), 90.0, **shares)], Consumer("script"))
    message = found["compute-bound"].message
    assert "input-bound" not in found
    assert "30 %" in message  # of the time main waits
    subject = findings([made_up(0, config_of(2), 100.0, **shares)], Consumer("script"))["compute-bound"]
    assert "30 %" in subject.message and "at least 97 %" in subject.message


def test_settings_whose_stall_is_not_known_alike_are_compared_by_the_waits_of_main():
    known = made_up(0, config_of(1), 90.0, wait_share=0.6, data_stall_share=0.3)
    unknown = made_up(1, config_of(2), 100.0, wait_share=0.5)
    subject = made_up(2, config_of(4), 200.0, wait_share=0.0, data_stall_share=0.0)
    rows = [known, unknown, subject]
    context = Context(rows, combine(rows, Training(10)), None, subject.config, Consumer("script"), Training(10))
    message = next(finding.message for finding in find_all(context) if finding.code == "input-bound")
    assert "main process waits" in message and "50 % to 60 %" in message


def test_work_that_nothing_reports_makes_the_busy_share_a_lower_bound():
    trace = with_issuing(0)
    order = TrialOrder(0, "", config_of(0), batches=60, consumer=Consumer("script"))
    outcome = TrialOutcome(1.0, 60, 60 * 32, [60], False, False, None, works_unseen=True)
    row = analyse(trace, PlannedTrial(0, 0, config_of(0)), order, TrialEnd("ok", None, outcome, 1.0, 0.02))
    assert row.gpu_busy_share_low == pytest.approx(5 / 15, abs=1e-3)
    assert (row.gpu_busy_share, row.data_stall_share, row.gpu_other_idle_share) == (None, None, None)


def test_the_share_of_copies_that_ran_beside_a_step_comes_from_what_the_device_reported():
    trace = with_issuing(0)
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    for lane, state, end_ns in (
        (DEVICE_TRANSFER_LANE, State.DEVICE_TRANSFER, steps.end_ns - MS),
        (DEVICE_OVERLAP_LANE, State.DEVICE_OVERLAP, steps.start_ns + MS),
    ):
        trace.track(lane, 0).append(
            start_ns=steps.start_ns, end_ns=end_ns, state=[int(state)] * steps.size, batch=steps.batch, value=[0] * steps.size
        )
    outcome = TrialOutcome(1.0, 60, 60 * 32, [60], False, False, None)
    orders = {h2d: TrialOrder(0, "", config_of(0), batches=60, h2d=h2d) for h2d in ("overlapped", "non_blocking")}
    ended = TrialEnd("ok", None, outcome, 1.0, 0.02)
    shares = {h2d: analyse(trace, PlannedTrial(0, 0, config_of(0)), order, ended).copy_overlap_share for h2d, order in orders.items()}
    assert shares == {"overlapped": pytest.approx(1 / 4, abs=1e-3), "non_blocking": None}
