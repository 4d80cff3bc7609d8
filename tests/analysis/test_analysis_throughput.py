"""Throughput, intervals and epochs against arithmetic."""

import msgspec
import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import config_of, measure, measure_trace
from synthetic import MS, US

from loaderscope.agent.layout import State
from loaderscope.agent.messages import ErrorInfo, TrialOrder, TrialOutcome
from loaderscope.analysis.epochs import read_epochs
from loaderscope.analysis.steady import batches_for_interval, find_steady
from loaderscope.analysis.throughput import samples_per_batch
from loaderscope.analysis.trial import TrialEnd, analyse
from loaderscope.facts.run import PlannedTrial
from loaderscope.trace.model import Trace
from loaderscope.trace.reader import TraceReader


@settings(max_examples=25, deadline=None)
@given(
    workers=st.integers(0, 6),
    prefetch=st.integers(2, 4),
    fetch_ms=st.integers(1, 40),
    step_ms=st.one_of(st.none(), st.integers(1, 40)),
    startup_ms=st.integers(5, 400),
)
def test_throughput_follows_from_the_slower_of_workers_and_main(workers, prefetch, fetch_ms, step_ms, startup_ms):
    step_ns = None if step_ms is None else step_ms * MS
    row = measure(120, num_workers=workers, prefetch_factor=prefetch, fetch_ns=fetch_ms * MS, step_ns=step_ns, startup_ns=startup_ms * MS)
    make_ms, use_ms = fetch_ms + 1 + (0.1 if workers else 0), (step_ms or 0) + 0.02 + (0.05 if workers else 0)
    batch_ms = max(make_ms / workers, use_ms) if workers else make_ms + use_ms
    assert row.samples_per_second.value == pytest.approx(32_000 / batch_ms, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(workers=st.integers(0, 5), fetch_ms=st.integers(1, 20), step_ms=st.integers(1, 20), transfer_ms=st.integers(0, 5))
def test_shares_add_up_to_one_and_are_what_main_did(workers, fetch_ms, step_ms, transfer_ms):
    row = measure(100, num_workers=workers, fetch_ns=fetch_ms * MS, step_ns=step_ms * MS, transfer_ns=transfer_ms * MS)
    assert row.wait_share + row.transfer_share + row.step_share + row.other_share == pytest.approx(1.0)
    batch_s = 32 / row.samples_per_second.value
    assert row.step_share == pytest.approx(step_ms / 1000 / batch_s, rel=0.02)
    assert row.transfer_share == pytest.approx(transfer_ms / 1000 / batch_s, rel=0.02)


def test_the_first_prefetch_window_and_the_draining_tail_are_left_out():
    trace = synthetic.make_trace(num_workers=4, batches=100, prefetch_factor=3)
    steady = find_steady(trace, read_epochs(trace), config_of(4, prefetch_factor=3))
    (window,) = steady.windows
    assert window.first >= 12
    assert window.last <= 88


def test_a_stock_that_piled_up_during_a_slow_first_step_is_not_counted_as_throughput():
    # 16 batches lie ready after the first step. The others are a little faster than the workers and eat the stock up slowly.
    row = measure(
        300,
        num_workers=2,
        prefetch_factor=8,
        fetch_ns=19 * MS,
        collate_ns=0,
        send_ns=0,
        step_ns=lambda batch: 2000 * MS if batch == 0 else 9 * MS,
    )
    assert row.samples_per_second.value == pytest.approx(32 / 0.0095, rel=0.01)


def test_blocks_are_multiples_of_the_number_of_workers():
    for workers, batches in ((1, 40), (3, 100), (8, 100), (8, 2000)):
        trace = synthetic.make_trace(num_workers=workers, batches=batches)
        steady = find_steady(trace, read_epochs(trace), config_of(workers))
        assert steady.block_batches % workers == 0
        assert all((window.last - window.first) % steady.block_batches == 0 for window in steady.windows)


def test_bursts_do_not_widen_the_interval():
    # All workers start at once and take equally long, so their batches arrive together.
    row = measure(200, num_workers=4, start_ns=0, step_ns=None, fetch_ns=40 * MS)
    low, high = row.samples_per_second.ci95
    assert (high - low) / row.samples_per_second.value < 0.001


def test_noise_gives_an_interval_that_covers_the_truth():
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 2 * MS, 2000).astype(int)
    row = measure(2000, num_workers=0, fetch_ns=lambda batch: 20 * MS + int(noise[batch]), collate_ns=0, step_ns=None, other_ns=0)
    low, high = row.samples_per_second.ci95
    assert low < 32 / 0.020 < high
    assert 0.002 < (high - low) / row.samples_per_second.value < 0.05


@pytest.mark.parametrize(
    ("batches", "has_value", "has_interval"), [(8 + 24, True, True), (8 + 23, True, False), (8 + 8, True, False), (8 + 7, False, False)]
)
def test_six_blocks_for_an_interval_and_two_for_a_value(batches, has_value, has_interval):
    row = measure(batches, num_workers=4, prefetch_factor=1)
    assert (row.samples_per_second is not None) == has_value
    assert (row.samples_per_second is not None and row.samples_per_second.ci95 is not None) == has_interval
    assert (row.samples_per_second_reason is None) == has_interval
    if not has_interval:
        assert f"{batches} batches" in row.samples_per_second_reason
        assert row.samples_per_second_reason.endswith("32 batches an epoch are enough.")


def test_the_batches_that_the_reason_asks_for_are_enough():
    for workers in (0, 1, 3):
        config = config_of(workers)
        assert measure(batches_for_interval(config), num_workers=workers).samples_per_second.ci95 is not None
        assert measure(batches_for_interval(config) - 1, num_workers=workers).samples_per_second.ci95 is None


def test_steady_parts_of_several_epochs_are_taken_together():
    row = measure(16, num_workers=2, epochs=4)
    assert row.samples_per_second.value == pytest.approx(32 / 0.00255, rel=0.001)
    assert row.samples_per_second.ci95 is not None
    assert len(row.epochs) == 4


def test_throughput_ends_where_the_device_ends():
    # The host hands over a step every 3 ms and the device takes 5 ms for it: it falls behind, and its pace is what counts.
    trace = synthetic.make_trace(num_workers=0, batches=60, fetch_ns=1 * MS, collate_ns=0, step_ns=2 * MS, other_ns=0, device_ns=2 * MS)
    lane = trace.lanes["device-step"]
    ends = np.arange(1, 61) * 5 * MS + trace.origin_ns
    batches = trace.track(lane, 0).view()["batch"].copy()
    trace.tracks.clear()
    host = synthetic.make_trace(num_workers=0, batches=60, fetch_ns=1 * MS, collate_ns=0, step_ns=2 * MS, other_ns=0)
    host.lanes["device-step"] = lane
    host.track(lane, 0).append(
        start_ns=ends - 5 * MS, end_ns=ends, state=np.full(60, int(State.DEVICE_STEP)), batch=batches, value=np.zeros(60)
    )
    row = measure_trace(host, config_of(0), 60)
    assert row.samples_per_second.value == pytest.approx(32 / 0.005, rel=1e-6)


def test_parts_of_an_epoch_add_up_to_the_whole():
    simulation = synthetic.simulate(num_workers=2, batches=30, epochs=2)
    row = measure(30, num_workers=2, epochs=2)
    for (begin, end), times in zip(simulation.epochs, row.epochs, strict=True):
        assert times.first_batch_s + times.steady_s + times.end_s == pytest.approx((end - begin) / 1e9)
        assert times.batches == 30


def test_an_epoch_is_projected_to_the_length_of_the_dataset():
    short, full = measure(100, length=32 * 400), measure(400, length=32 * 400)
    assert full.epoch_s.value == pytest.approx(sum((full.epochs[0].first_batch_s, full.epochs[0].steady_s, full.epochs[0].end_s)))
    assert short.epoch_s.value == pytest.approx(full.epoch_s.value, rel=0.005)


def test_a_last_smaller_batch_counts_as_a_batch():
    row = measure(100, length=32 * 399 + 1)
    assert row.epoch_s.value == pytest.approx(measure(100, length=32 * 400).epoch_s.value)


def test_without_a_length_a_cut_epoch_has_no_projection_and_says_so():
    row = measure(100)
    assert row.epoch_s is None
    assert any("length is unknown" in note for note in row.notes)


def test_without_a_length_a_whole_epoch_is_what_it_took():
    trace = synthetic.make_trace(batches=50)
    row = measure_trace(trace, config_of(2), 50, whole=True)
    assert row.epoch_s.value == pytest.approx(sum((row.epochs[0].first_batch_s, row.epochs[0].steady_s, row.epochs[0].end_s)))


def test_a_trial_that_ended_half_way_keeps_what_was_measured(log_dir):
    simulation = synthetic.simulate(num_workers=2, batches=100)
    cut = simulation.hand_overs[61].wait_start_ns + 1 * US  # main waits for batch 61 and will never get it
    for process in simulation.processes:
        process.records = [record for record in process.records if record.time_ns <= cut]
    synthetic.write_logs(simulation, log_dir)
    trace = Trace()
    reader = TraceReader(log_dir, trace)
    reader.poll()
    reader.finish()
    config, error = config_of(2), ErrorInfo("worker-died", "A worker was killed.")
    row = analyse(trace, PlannedTrial(3, 0, config), TrialOrder(3, "", config), TrialEnd("killed", error, None, 2.0, None))
    assert (row.status, row.error, row.batches, row.samples) == ("killed", error, 61, None)
    assert row.samples_per_second.value == pytest.approx(32 / 0.00255, rel=0.01)
    assert row.epochs[0].end_s is None


def test_a_trial_without_a_record_is_a_row_of_unknowns():
    row = measure_trace(Trace(), config_of(2), 0)
    assert row.samples_per_second is None
    assert row.wait_share is None
    assert row.startup is None
    assert row.memory is None


def test_rows_survive_json():
    row = measure(100, length=6400, start_method="spawn", sample_events=True, fetch_ns=lambda batch: 200 * MS if batch == 50 else 5 * MS)
    assert row.signs.late_batches
    assert msgspec.json.decode(msgspec.json.encode(row), type=type(row)) == row


@pytest.mark.parametrize(("samples", "size"), [(3200, 32), (3199, 32), (3169, 32), (3120, 32), (1600, 16)])
def test_smaller_last_batches_do_not_change_the_size_of_a_batch(samples, size):
    outcome = TrialOutcome(1.0, 100, samples, [100], False, False, None)
    assert samples_per_batch(config_of(4), outcome) == size


def test_a_loader_with_batches_of_its_own_has_their_mean():
    outcome = TrialOutcome(1.0, 100, 1234, [100], False, False, None)
    assert samples_per_batch(config_of(2, batch_size=None), outcome) == pytest.approx(12.34)
    assert samples_per_batch(config_of(2, batch_size=None), None) is None
