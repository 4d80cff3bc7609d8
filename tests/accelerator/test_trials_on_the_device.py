"""What a trial reports of its device agrees with the log of the device itself."""

import numpy as np
import pytest
from accelerator_log import Kind
from running import request, run_pool

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.epochs import MAIN, read_epochs
from loaderscope.analysis.span_lookup import complement, covered_ns, intersection, spans_of, union
from loaderscope.analysis.steady import find_steady

BATCH_SIZE = 4
MS = 1_000_000
SCRIPT = """
import time
import torch
from torch.utils.data import Dataset

class Waiting(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep({sample_s})
        return torch.full((1000,), float(index))

train_set = Waiting()

def make_train_step():
    weights = torch.ones(1, device="simgpu")
    torch.simgpu.set_drift_ppm(100)
    return lambda batch: torch.simgpu.busy(weights, {step_us})
"""
COMPUTE_HEAVY = {"sample_s": 0.0005, "step_us": 20_000}
STARVED = {"sample_s": 0.006, "step_us": 5_000}
POINT = 0.01


def run(script, **options):
    """One trial: its result and its trace."""
    values = {"consumer": Consumer("script"), "batches": 60, "batch_size": (BATCH_SIZE,), **options}
    sink = run_pool(request(script.path, **values))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    assert not [note for note in result.notes if "evice times" in note]
    return result, sink.traces[result.id]


def device_steps(trace):
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    assert list(steps.start_ns) == sorted(steps.start_ns)
    return steps


def periods(records, *kinds):
    """Starts and ends of the records of these kinds."""
    of_kinds = sorted((record.start_ns, record.end_ns) for record in records if record.kind in kinds)
    starts, ends = zip(*of_kinds, strict=True) if of_kinds else ((), ())
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def true_shares(records, result, trace):
    """The busy share and the data stall share of the trial's steady windows, from the log."""
    steady = find_steady(trace, read_epochs(trace), result.config)
    bounds = [window.host_bounds_ns for window in steady.windows]
    total_ns = sum(high - low for low, high in bounds)
    work, waits = periods(records, *(kind for kind in Kind if kind.is_work)), spans_of(trace, MAIN, State.WAIT)
    busy_ns = stalled_ns = 0
    for low, high in bounds:
        busy_ns += covered_ns(*work, low, high)
        starts, ends = intersection(complement(*work, low, high), (waits.start_ns, waits.end_ns))
        stalled_ns += int((ends - starts).sum())
    return busy_ns / total_ns, stalled_ns / total_ns, bounds


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("loop", [COMPUTE_HEAVY, STARVED], ids=["compute-heavy", "starved"])
def test_device_times_agree_with_the_log_of_the_device(write_device_script, loop, workers):
    script = write_device_script(SCRIPT.format(**loop))
    result, trace = run(script, workers=(workers,), device="simgpu:0", h2d="non_blocking")
    records = script.records()

    steps = device_steps(trace)
    kernel_starts, kernel_ends = periods(records, Kind.KERNEL)
    error_ns = result.device_clock_error_s * 1e9
    assert steps.size == len(kernel_ends) == 60
    assert np.abs(steps.end_ns - kernel_ends).max() <= error_ns
    assert (kernel_starts - steps.start_ns).min() >= -error_ns  # a step begins before the host has issued its kernel

    busy, stalled, bounds = true_shares(records, result, trace)
    issuing = result.transfer_share + result.step_share  # a device that idles then counts as busy: its events were recorded before
    assert result.data_stall_share == pytest.approx(stalled, abs=2 * POINT)
    assert -POINT / 10 <= result.gpu_busy_share - busy <= issuing + POINT / 2
    assert (result.gpu_busy_share > 0.9) is (loop is COMPUTE_HEAVY)

    waits = [record for record in records if not record.kind.is_work]
    assert not [wait for wait in waits if any(low < wait.start_ns < high for low, high in bounds)]


def test_pinned_batches_reach_the_device(write_device_script):
    result, _ = run(write_device_script(SCRIPT.format(**STARVED)), pin_memory=(True,), device="simgpu:0", h2d="non_blocking", batches=8)
    assert result.pinned is True


def test_a_synthetic_load_keeps_the_current_accelerator_busy_for_the_time_that_was_asked_for(write_device_script):
    script = write_device_script(SCRIPT.format(**STARVED).partition("def make_train_step")[0])
    result, trace = run(script, consumer=Consumer("device", 5.0))
    steps = device_steps(trace)
    lengths_ns = steps.end_ns - steps.start_ns
    assert [note for note in result.notes if "on simgpu" in note]
    assert steps.size == 60
    # A product that takes longer than a step comes in some batches only, and the last may be owed at the end.
    assert lengths_ns.sum() == pytest.approx(60 * 5 * MS, rel=0.2, abs=int(lengths_ns.max()))


def test_a_device_that_waits_for_data_is_shown_idle_while_main_waits(write_device_script):
    result, trace = run(write_device_script(SCRIPT.format(sample_s=0.002, step_us=4_000)), epochs=2)
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
    result, trace = run(write_device_script(SCRIPT.format(sample_s=0.002, step_us=20_000)), epochs=2)
    steps = device_steps(trace)
    assert steps.size == len(set(steps.batch.tolist())) == 120  # those of the first epoch, too, that come after the second has begun
    assert BATCH_SIZE / result.samples_per_second.value == pytest.approx(0.020, rel=0.05)
    assert result.gpu_busy_share > 0.95


def test_the_profiled_window_agrees_with_the_log_of_the_device(write_device_script):
    script = write_device_script(SCRIPT.format(**STARVED))
    result, trace = run(script, device="simgpu:0", h2d="non_blocking", batches=30, gpu_window=20)
    window = result.gpu_window
    assert (window.steps, window.reason) == (20, None)
    profiled = spans_of(trace, "device-exact", State.DEVICE_WORK)
    starts, ends = union(*periods(script.records(), *(kind for kind in Kind if kind.is_work)))
    low_ns, high_ns = profiled.start_ns[1], profiled.end_ns[-2]  # the window may cut the first and the last
    is_inside = (starts >= low_ns - window.clock_error_s * 1e9) & (ends <= high_ns + window.clock_error_s * 1e9)
    assert profiled.size > window.steps  # a copy and a kernel of each batch
    assert np.abs(starts[is_inside] - profiled.start_ns[1:-1]).max() <= window.clock_error_s * 1e9
    assert np.abs(ends[is_inside] - profiled.end_ns[1:-1]).max() <= window.clock_error_s * 1e9
