"""What a trial reports of its device agrees with the log of the device itself."""

import numpy as np
import pytest
from accelerator_log import Kind
from loops import BATCH_SIZE, Loop, periods, truth_of
from running import request, run_pool

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.span_lookup import spans_of, union

pytestmark = pytest.mark.slow

MS = 1_000_000
POINT = 0.01
NARROW = 10 * POINT
"""How far apart the bounds of the busy share may be where a step takes 5 ms or more. Like the other tolerances it allows for a busy
machine; the benchmark measures how far they are."""

COMPUTE_HEAVY = Loop("busy(20_000)")
STARVED = Loop("busy(5_000)", sample_s=0.006)


def run(script, loop=STARVED, **options):
    """One trial: its result and its trace."""
    on_device = {"device": loop.device, "h2d": loop.h2d} if loop.h2d is not None else {}
    values = {"consumer": Consumer("script"), "batches": 60, "batch_size": (BATCH_SIZE,), **on_device, **options}
    sink = run_pool(request(script.path, **values))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    return result, sink.traces[result.id]


def device_steps(trace):
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    assert list(steps.start_ns) == sorted(steps.start_ns)
    return steps


def compare(write_device_script, loop, workers=0, **options):
    """Runs a loop and holds its shares against the truth; returns both."""
    script = write_device_script(loop.script())
    result, trace = run(script, loop, workers=(workers,), **options)
    records = script.records()
    truth = truth_of(records, result, trace)
    assert result.gpu_busy_share_low - POINT / 10 <= truth.busy <= result.gpu_busy_share + POINT / 10
    assert result.data_stall_share_low - POINT / 10 <= truth.stall <= result.data_stall_share_high + POINT / 10
    if result.device_clock_error_s < 0.001:
        assert result.data_stall_share == pytest.approx(truth.stall, abs=5 * POINT)
    if loop.h2d == "overlapped":
        assert result.copy_overlap_share == pytest.approx(truth.overlap, abs=10 * POINT)
    return result, trace, records, truth


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loop", [COMPUTE_HEAVY, STARVED], ids=["compute-heavy", "starved"])
def test_device_times_agree_with_the_log_of_the_device(write_device_script, loop, workers):
    result, trace, records, truth = compare(write_device_script, loop, workers)
    steps = device_steps(trace)
    kernel_starts, kernel_ends = periods(records, Kind.KERNEL)
    error_ns = result.device_clock_error_s * 1e9
    assert steps.size == len(kernel_ends) == 60
    assert np.abs(steps.end_ns - kernel_ends).max() <= error_ns
    assert (kernel_starts - steps.start_ns).min() >= -error_ns  # a step begins before the host has issued its kernel
    assert result.gpu_busy_share - result.gpu_busy_share_low <= NARROW
    assert (result.gpu_busy_share > 0.9) is (loop is COMPUTE_HEAVY)
    assert truth.host_waits == []
    assert not [note for note in result.notes if "evice" in note]


def test_a_pause_of_the_host_within_a_step_is_between_the_bounds(write_device_script):
    paused = Loop("busy(3_000); time.sleep(0.004); busy(3_000); torch.accelerator.synchronize()")
    result, _, _, truth = compare(write_device_script, paused)
    assert truth.busy < result.gpu_busy_share - 10 * POINT  # so the upper bound alone would mislead
    assert [note for note in result.notes if "--gpu-window" in note]


def test_a_step_on_a_stream_of_its_own_counts_as_busy(write_device_script):
    result, trace, _, truth = compare(write_device_script, Loop("with stream: busy(5_000)", sample_s=0.002))
    assert truth.busy > 0.3
    assert result.gpu_busy_share - result.gpu_busy_share_low <= NARROW
    assert spans_of(trace, "device-stream", State.DEVICE_STREAM).size > 50


def test_a_step_on_more_streams_than_are_followed_has_a_lower_bound_only(write_device_script):
    loop = Loop(
        "for one in streams:\n    with one: busy(2_000)", sample_s=0.003, before="streams = [torch.Stream('simgpu:0') for _ in range(12)]"
    )
    result, _ = run(write_device_script(loop.script()), loop)
    assert (result.gpu_busy_share, result.data_stall_share) == (None, None)
    assert 0 < result.gpu_busy_share_low < 1
    assert [note for note in result.notes if "lower bound" in note]


@pytest.mark.parametrize("h2d", ["blocking", "non_blocking", "overlapped"])
def test_copies_are_placed_where_the_device_made_them(write_device_script, h2d):
    loop = Loop("busy(3_000)", copy_ms=8, h2d=h2d, sample_s=0.0002)
    result, trace, records, truth = compare(write_device_script, loop, workers=2, pin_memory=(True,))
    assert result.gpu_busy_share - result.gpu_busy_share_low <= NARROW
    assert (truth.overlap > 0.3) is (h2d == "overlapped")
    copies = spans_of(trace, "device-transfer", State.DEVICE_TRANSFER)
    _, copy_ends = periods(records, Kind.COPY_TO_DEVICE)
    error_ns = result.device_clock_error_s * 1e9
    assert np.abs(copies.end_ns - copy_ends[-copies.size :]).max() <= error_ns
    assert len(truth.host_waits) == 0 or h2d == "blocking"


def test_overlapped_copies_run_beside_a_step_that_waits_for_the_device(write_device_script):
    loop = Loop("busy(10_000); torch.accelerator.synchronize()", copy_ms=6, h2d="overlapped", sample_s=0.0002)
    result, *_ = compare(write_device_script, loop, workers=2)
    assert result.copy_overlap_share > 0.5


def test_events_that_are_seen_late_widen_the_shares_and_are_told(write_device_script):
    loop = Loop("busy(5_000)", sample_s=0.003, before="torch.simgpu.set_event_delay_ms(100)")
    result, *_ = compare(write_device_script, loop)
    assert result.device_clock_error_s == pytest.approx(0.05, rel=0.2)
    assert result.data_stall_share_high - result.data_stall_share_low > 20 * POINT
    assert [note for note in result.notes if "± 50" in note]


def test_a_device_that_is_very_slow_to_show_events_delays_a_trial_by_seconds_only(write_device_script):
    loop = Loop("busy(5_000)", before="torch.simgpu.set_event_delay_ms(1_500)")
    result, _ = run(write_device_script(loop.script()), loop, batches=20)
    assert result.seconds < 20  # 16 anchors alone would take 24 s


@pytest.mark.parametrize("h2d", ["blocking", "non_blocking"])
def test_a_trial_that_hangs_on_its_device_names_it(write_device_script, h2d):
    script = write_device_script(Loop("busy(60_000_000)").script())
    sink = run_pool(request(script.path, consumer=Consumer("script"), device="simgpu:0", h2d=h2d, batches=3, timeout_s=3.0))
    (result,) = sink.results
    assert result.error.kind == "hung"
    assert "was waiting for simgpu:0 to finish" in result.error.message


def test_a_device_that_is_lost_at_the_end_costs_its_times_and_not_the_trial(write_device_script):
    loop = Loop("busy(1_000); count.append(1); len(count) == 20 and torch.simgpu.lose_device()", before="count = []")
    script = write_device_script(loop.script())
    sink = run_pool(request(script.path, consumer=Consumer("script"), batches=40, batch_size=(4,)))
    (result,) = sink.results
    assert result.status == "failed"
    assert "device lost" in result.error.message


def test_pinned_batches_reach_the_device(write_device_script):
    result, _ = run(write_device_script(STARVED.script()), pin_memory=(True,), batches=8)
    assert result.pinned is True


def test_a_synthetic_load_keeps_the_current_accelerator_busy_for_the_time_that_was_asked_for(write_device_script):
    loop = Loop("pass", h2d=None)
    result, trace = run(write_device_script(loop.script().partition("def make_train_step")[0]), loop, consumer=Consumer("device", 5.0))
    steps = device_steps(trace)
    lengths_ns = steps.end_ns - steps.start_ns
    assert [note for note in result.notes if "on simgpu" in note]
    assert steps.size == 60
    assert lengths_ns.sum() == pytest.approx(60 * 5 * MS, rel=0.1)


def test_a_device_that_waits_for_data_is_shown_idle_while_main_waits(write_device_script):
    loop = Loop("busy(4_000)", sample_s=0.002, h2d=None)
    result, trace = run(write_device_script(loop.script()), loop, epochs=2)
    steps = device_steps(trace)
    assert steps.size == len(set(steps.batch.tolist())) == 120
    assert np.median(steps.end_ns - steps.start_ns) == pytest.approx(4 * MS, rel=0.05)
    batch_s = 1 / result.samples_per_second.value * BATCH_SIZE
    assert result.gpu_busy_share == pytest.approx(0.004 / batch_s, rel=0.15)
    assert result.data_stall_share == pytest.approx(1 - result.gpu_busy_share, abs=0.1)
    assert result.gpu_busy_share + result.data_stall_share + result.gpu_other_idle_share == pytest.approx(1.0, abs=1e-12)
    assert result.wait_share + result.transfer_share + result.step_share + result.other_share == pytest.approx(1.0, abs=1e-12)
    assert "step" not in trace.lanes  # no second lane that calls it a step on the CPU


def test_a_device_that_lags_behind_the_host_sets_the_pace(write_device_script):
    loop = Loop("busy(20_000)", sample_s=0.002, h2d=None)
    result, trace = run(write_device_script(loop.script()), loop, epochs=2)
    steps = device_steps(trace)
    assert steps.size == len(set(steps.batch.tolist())) == 120  # those of the first epoch, too, that come after the second has begun
    assert BATCH_SIZE / result.samples_per_second.value == pytest.approx(0.020, rel=0.05)
    assert result.gpu_busy_share > 0.95


def test_the_profiled_window_agrees_with_the_log_of_the_device(write_device_script):
    script = write_device_script(STARVED.script())
    result, trace = run(script, batches=30, gpu_window=20)
    window = result.gpu_window
    assert (window.steps, window.reason) == (20, None)
    profiled = spans_of(trace, "device-exact", State.DEVICE_WORK)
    starts, ends = union(*periods(script.records(), *(kind for kind in Kind if kind.is_work)))
    low_ns, high_ns = profiled.start_ns[1], profiled.end_ns[-2]  # the window may cut the first and the last
    is_inside = (starts >= low_ns - window.clock_error_s * 1e9) & (ends <= high_ns + window.clock_error_s * 1e9)
    assert profiled.size > window.steps  # a copy and a kernel of each batch
    assert np.abs(starts[is_inside] - profiled.start_ns[1:-1]).max() <= window.clock_error_s * 1e9
    assert np.abs(ends[is_inside] - profiled.end_ns[1:-1]).max() <= window.clock_error_s * 1e9
