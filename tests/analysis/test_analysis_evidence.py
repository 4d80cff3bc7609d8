"""Late batches, waiting fetches and the device."""

import pytest
from rows import measure
from synthetic import MS


def test_a_slow_sample_is_found_with_its_batch_and_worker():
    row = measure(100, num_workers=2, sample_events=True, fetch_ns=lambda batch: 300 * MS if batch == 41 else 5 * MS)
    (late,) = row.signs.late_batches
    assert (late.epoch, late.batch, late.worker) == (0, 41, 1)
    assert late.fetch_s == pytest.approx(0.3)
    assert late.sample in range(41 * 32, 42 * 32)
    assert row.signs.held_up_share > 0.1


def test_what_a_worker_does_once_at_its_first_batch_is_no_slow_sample():
    row = measure(100, num_workers=4, sample_events=True, fetch_ns=lambda batch: 300 * MS if batch == 1 else 5 * MS)
    assert row.signs.late_batches == []


def test_only_waiting_counts_as_held_up_and_not_the_steps_that_follow():
    row = measure(120, num_workers=4, prefetch_factor=4, step_ns=40 * MS, fetch_ns=lambda batch: 2000 * MS if batch == 41 else 5 * MS)
    assert 0.8 * row.wait_share < row.signs.held_up_share <= row.wait_share


def test_even_fetches_hold_nothing_up():
    row = measure(100, num_workers=2)
    assert row.signs.late_batches == []
    assert row.signs.held_up_share < 0.01


def test_fetches_of_microseconds_are_no_slow_samples_however_uneven():
    row = measure(100, num_workers=2, fetch_ns=lambda batch: 2 * MS if batch == 41 else 20_000)
    assert row.signs.late_batches == []


def test_cpu_time_tells_work_from_waiting():
    assert measure(50, fetch_cpu_share=0.25).signs.fetch_cpu_share == pytest.approx(0.25, rel=0.01)


def test_device_idle_while_main_waits_is_a_data_stall():
    # One batch: 10 ms waiting, then the device is busy for the 5 ms of the step.
    row = measure(60, num_workers=0, fetch_ns=10 * MS, collate_ns=0, step_ns=5 * MS, other_ns=0, device_ns=5 * MS)
    assert row.gpu_busy_share == pytest.approx(1 / 3)
    assert row.data_stall_share == pytest.approx(2 / 3)
    assert row.wait_share == pytest.approx(2 / 3)


def test_waiting_while_the_device_is_busy_is_no_stall():
    row = measure(60, num_workers=0, fetch_ns=10 * MS, collate_ns=0, step_ns=1 * MS, other_ns=0, device_ns=11 * MS)
    assert row.gpu_busy_share == pytest.approx(1.0)
    assert row.data_stall_share == pytest.approx(0.0, abs=1e-9)
    assert row.wait_share == pytest.approx(10 / 11)


def test_without_a_device_there_is_neither_share():
    row = measure(60)
    assert row.gpu_busy_share is None
    assert row.data_stall_share is None
