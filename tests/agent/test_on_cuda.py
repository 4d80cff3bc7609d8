"""What only a real GPU can show: `pytest -m gpu -s tests/agent/test_on_cuda.py` prints the figures that the README states.

It takes at most 4 minutes and needs neither Qt nor a display. What does not need CUDA itself also runs on the simulated accelerator, with
the slow tests.
"""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from agent_interpreter import AGENT_PYTHON
from gpu_scripts import BROKEN, COMPUTE, CONVOLUTIONS, DRIFT, EVENTS, GRAPH, MIB, PLAIN, WAITING_SET, copies, cuda_device, simulated_device
from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.span_lookup import covered_ns, intersection, spans_of
from loaderscope.telemetry.nvml import Nvml

ROOT = pathlib.Path(__file__).parents[2]

NEEDS_CUDA = (pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"))
pytestmark = pytest.mark.timeout(120)


def needs_cuda(test):
    """Marks a test that cannot use the simulated accelerator."""
    for mark in NEEDS_CUDA:
        test = mark(test)
    return test


@pytest.fixture(scope="module", params=[pytest.param("cuda:0", marks=NEEDS_CUDA), pytest.param("simgpu:0", marks=pytest.mark.slow)])
def device(request, tmp_path_factory):
    """A CUDA device, and the simulated accelerator for what needs none."""
    if request.param == "cuda:0":
        return cuda_device()
    return simulated_device(tmp_path_factory.mktemp("simgpu"))


@pytest.fixture(scope="module", autouse=True)
def seconds_in_all():
    begin_s = time.perf_counter()
    yield
    say(f"all of this took {time.perf_counter() - begin_s:.0f} s")


def value_on(device, text, *arguments):
    """The value that a program prints as JSON; it runs in a process of its own, where it can use the device."""
    command = [AGENT_PYTHON, "-c", device.setup + text, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run(folder, text, workers=(0,), **options):
    """One trial, with 0 workers unless told otherwise: its result and its trace."""
    values = {"consumer": Consumer("script"), "batches": 60, "batch_size": (4,), "timeout_s": 60.0, "load_timeout_s": 60.0}
    sink = run_pool(request(write_script(folder, text), workers, **{**values, **options}))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    return result, sink.traces[result.id]


def say(*lines):
    """Prints figures, in lines of their own beside pytest's."""
    print("", *lines, sep="\n  ")


def device_spans(trace):
    """Periods between events, and those of the profiler."""
    transfers, steps = spans_of(trace, "device-transfer", State.DEVICE_TRANSFER), spans_of(trace, "device-step", State.DEVICE_STEP)
    events = np.concatenate((transfers.start_ns, steps.start_ns)), np.concatenate((transfers.end_ns, steps.end_ns))
    work = spans_of(trace, "device-exact", State.DEVICE_WORK)
    return events, (work.start_ns, work.end_ns)


def busy_shares(result, trace):
    """The busy share of the profiled window: by events, and by the profiler's union of kernels, copies and memsets."""
    events, work = device_spans(trace)
    assert len(work[0]), result.gpu_window
    low_ns, high_ns = int(work[0].min()), int(work[1].max())
    return tuple(covered_ns(*periods, low_ns, high_ns) / (high_ns - low_ns) for periods in (events, work))


def anchor_errors_us(trace):
    view = trace.points["main"].view()
    return view["value"][view["state"] == int(State.DEVICE_ANCHOR)] / 1e3


def assert_adds_up(result):
    assert result.wait_share + result.transfer_share + result.step_share + result.other_share == pytest.approx(1.0, abs=1e-9)
    assert result.gpu_busy_share_low <= result.gpu_busy_share
    assert result.gpu_busy_share + result.data_stall_share + result.gpu_other_idle_share == pytest.approx(1.0, abs=0.01)


def shares(result):
    return (
        f"busy {result.gpu_busy_share_low:.3f} to {result.gpu_busy_share:.3f}, data stall {result.data_stall_share:.3f}, "
        f"other idle {result.gpu_other_idle_share:.3f}; "
        f"main: wait {result.wait_share:.3f}, transfer {result.transfer_share:.3f}, step {result.step_share:.3f}, "
        f"other {result.other_share:.3f}"
    )


@pytest.fixture(scope="module")
def compute_run(device, tmp_path_factory):
    return run(tmp_path_factory.mktemp("compute"), device.setup + COMPUTE, batches=150, gpu_window=30)


@needs_cuda
def test_where_this_was_measured():
    nvml = Nvml()
    say(
        f"Python {platform.python_version()} on {sys.platform}, torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"{torch.cuda.get_device_name(0)}",
        f"NVML: {[(gpu.name, gpu.uuid[:12]) for gpu in nvml.gpus]}, not available: {nvml.unavailable}",
        f"events: {'activity_type' if hasattr(torch._C._autograd._KinetoEvent, 'activity_type') else 'is_user_annotation'}",
    )
    nvml.close()


def test_events_agree_with_the_profiler_on_a_loop_of_long_kernels(device, compute_run):
    result, trace = compute_run
    by_events, exact = busy_shares(result, trace)
    say(
        f"{device.name}, compute-heavy: events {by_events:.4f}, profiler {exact:.4f} of the profiled window; "
        f"window's own figure {result.gpu_window.busy_share:.4f}",
        f"measured epochs: {shares(result)}",
        f"heaviest: {[(row.name, round(row.self_device_s, 4)) for row in result.gpu_window.operators[:3]]}",
    )
    assert_adds_up(result)
    assert 0.1 < exact < 0.99
    assert by_events == pytest.approx(exact, abs=device.agree_within)
    assert result.gpu_window.busy_share == pytest.approx(exact, abs=0.05)  # the one is cut at the ends of steps
    if device.is_cuda:
        assert any(operator.name == "aten::mm" and operator.self_device_s > 0 for operator in result.gpu_window.operators)


@pytest.mark.parametrize("h2d", ["non_blocking", "overlapped"])
def test_events_agree_with_the_profiler_on_a_loop_of_large_copies(device, tmp_path, h2d):
    result, trace = run(tmp_path, copies(device, 0.008), gpu_window=30, device=device.name, h2d=h2d, batch_size=(1,))
    by_events, exact = busy_shares(result, trace)
    say(
        f"{device.name}, copy-heavy, {h2d}: events {by_events:.4f}, profiler {exact:.4f} of the profiled window",
        f"measured epochs: {shares(result)}",
    )
    assert_adds_up(result)
    assert by_events == pytest.approx(exact, abs=device.agree_within)


def test_pinned_copies_are_no_slower_and_only_those_on_a_stream_of_their_own_overlap_the_step(device, tmp_path):
    gb_per_s, overlap = {}, {}
    for name, is_pinned, h2d in (("pageable", False, "blocking"), ("pinned", True, "non_blocking"), ("overlapped", True, "overlapped")):
        _, trace = run(tmp_path / name, copies(device, 0, is_pinned), device=device.name, h2d=h2d, batch_size=(1,), batches=40)
        transfers, steps = spans_of(trace, "device-transfer", State.DEVICE_TRANSFER), spans_of(trace, "device-step", State.DEVICE_STEP)
        starts, ends = intersection((transfers.start_ns, transfers.end_ns), (steps.start_ns, steps.end_ns))
        lengths_ns = transfers.end_ns - transfers.start_ns
        gb_per_s[name] = device.copy_bytes / float(np.median(lengths_ns))
        overlap[name] = int((ends - starts).sum()) / int(lengths_ns.sum())
    say(
        f"{device.name}, copies of {device.copy_bytes / MIB:g} MiB to the device: "
        + ", ".join(f"{name} {gb_per_s[name]:.3g} GB/s, {overlap[name]:.1%} of their time beside a step" for name in gb_per_s)
    )
    assert gb_per_s["pinned"] > 0.9 * gb_per_s["pageable"]
    assert max(overlap["pageable"], overlap["pinned"]) < 0.01
    assert overlap["overlapped"] > 0.1


def test_device_times_stand_where_the_profiler_sees_the_kernels(device, compute_run):
    """Two clocks that know nothing of each other: anchors on a side stream, and the profiler's Unix times."""
    result, trace = compute_run
    _, (work_starts, work_ends) = device_spans(trace)
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    first, last = np.searchsorted(work_starts, steps.start_ns - 1_000_000), np.searchsorted(work_ends, steps.end_ns + 1_000_000) - 1
    seen = (steps.start_ns > work_starts[0] - 1_000_000) & (steps.end_ns < work_ends[-1] + 1_000_000) & (last >= first)
    before_us = (work_starts[first[seen]] - steps.start_ns[seen]) / 1e3
    after_us = (steps.end_ns[seen] - work_ends[last[seen]]) / 1e3
    errors_us = anchor_errors_us(trace)
    stated_us = (result.device_clock_error_s + result.gpu_window.clock_error_s) * 1e6
    seconds = (trace.newest_ns - trace.origin_ns) / 1e9
    say(
        f"{device.name}: {len(errors_us)} anchors in {seconds:.1f} s, error bounds {errors_us.min():.1f} to {errors_us.max():.1f} µs "
        f"(median {np.median(errors_us):.1f}); stated for the trial {result.device_clock_error_s * 1e6:.1f} µs, "
        f"for the profiler {result.gpu_window.clock_error_s * 1e6:.1f} µs",
        f"{len(before_us)} steps: the first kernel begins {np.percentile(before_us, [0, 50, 100]).round(1)} µs (least, median, most) after "
        f"the step's event, the last ends {np.percentile(after_us, [0, 50, 100]).round(1)} µs before the one behind it",
    )
    assert len(errors_us) >= 3  # the first, the last and some of the loop
    assert result.device_clock_error_s < 200e-6
    assert len(before_us) > 20
    assert min(before_us.min(), after_us.min()) > -stated_us - 50  # CUPTI states no error of its own


def test_the_drift_of_the_devices_clock_is_seen_in_its_events(device):
    drift_ppm, error_ppm = value_on(device, f"SECONDS = {5 if device.is_cuda else 0.5}\n" + DRIFT)
    say(f"{device.name}: the device's clock runs {drift_ppm:+.2f} ± {error_ppm:.2f} ppm faster than the host's")
    if device.drift_ppm is None:
        assert abs(drift_ppm) < 1000  # a system may slew its clock by 500 ppm
    else:
        assert drift_ppm == pytest.approx(device.drift_ppm, abs=error_ppm)


@needs_cuda
def test_a_synthetic_load_takes_about_the_time_that_was_asked_for(tmp_path):
    result, trace = run(tmp_path, WAITING_SET, consumer=Consumer("device", 10.0), device="cuda")
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    mean_ms = float(np.mean(steps.end_ns[5:] - steps.start_ns[5:])) / 1e6
    say(f"asked for 10 ms, {mean_ms:.2f} ms on the device; {[note for note in result.notes if 'synthetic' in note]}")
    assert_adds_up(result)
    assert mean_ms == pytest.approx(10.0, rel=0.15)


@pytest.mark.parametrize("device", [pytest.param("cuda:0", marks=NEEDS_CUDA)], indirect=True)
def test_the_trials_gpu_is_found_by_its_uuid_and_sampled(device, compute_run):
    result, trace = compute_run
    keys = sorted(key for key in trace.series if key.startswith("gpu-"))
    gpus = {key: reason for key, reason in trace.unavailable.items() if key.startswith("gpu")}
    used = [float(trace.series[key][1].view()["value"].max()) for key in keys if key.endswith("/utilisation")]
    say(
        f"sampled: {keys}; not available: {gpus}",
        f"highest utilisation {used} %, energy of 1,000 samples {result.energy_per_1000_samples_j} J ({result.energy_reason}), "
        f"sampling took {result.own_cost.nvml_seconds} s of NVML in {result.seconds:.1f} s",
    )
    assert not gpus.keys() & {"gpu", "gpu_devices", "gpu_unknown"}
    assert len({key.partition("/")[0] for key in keys}) == 1
    assert used and used[0] > 10


@pytest.mark.parametrize("pin_memory", [False, True])
def test_workers_feed_the_gpu_with_and_without_pinned_memory(device, tmp_path, pin_memory):
    batch_mib = 8 * 3 * device.image_side**2 * 4 / MIB
    script = device.setup + f"IMAGE_SIDE = {device.image_side}\n" + PLAIN
    result, trace = run(tmp_path, script, (2,), pin_memory=(pin_memory,), device=device.name, h2d="non_blocking", batch_size=(8,))
    transfers = spans_of(trace, "device-transfer", State.DEVICE_TRANSFER)
    say(
        f"{device.name}, pin_memory={pin_memory}: {result.samples_per_second.value:.0f} samples/s, a copy of {batch_mib:.2g} MiB "
        f"{float(np.median(transfers.end_ns - transfers.start_ns)) / 1e6:.2f} ms on the device; {shares(result)}"
    )
    assert_adds_up(result)
    assert result.pinned is pin_memory
    assert (spans_of(trace, "pin", State.PIN).size > 0) is pin_memory


@needs_cuda
def test_a_step_that_captures_a_graph_is_left_in_peace(tmp_path):
    result, trace = run(tmp_path, GRAPH, batches=60)
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    say(f"graph of one product: {float(np.median(steps.end_ns - steps.start_ns)) / 1e6:.2f} ms a replay; {shares(result)}")
    assert steps.size == 60
    assert not [note for note in result.notes if "device times" in note]


@needs_cuda
def test_a_kernel_that_fails_fails_its_trial_and_no_more(tmp_path):
    sink = run_pool(request(write_script(tmp_path, BROKEN), consumer=Consumer("script"), batches=100, batch_size=(4,), timeout_s=60.0))
    (result,) = sink.results
    say(f"{result.status}: {result.error.kind}: {result.error.message[:200]}")
    assert result.status == "failed"
    assert "CUDA error" in result.error.message or "device-side assert" in result.error.message


@needs_cuda
def test_recording_costs_a_real_training_step_next_to_nothing(start_agent, write):
    agent = start_agent()
    agent.load(write(CONVOLUTIONS))
    agent.attach("train_set")
    config, ratios, seconds_a_batch = TrialConfig(0, 32), [], []
    for number in range(12):  # the first pair warms up; which comes first alternates
        seconds = {}
        for record in (True, False) if number % 2 else (False, True):
            seconds[record] = agent.trial(config, Consumer("script"), batches=150, record=record).seconds
        ratios.append(seconds[True] / seconds[False])
        seconds_a_batch.append(seconds[False] / 150)
    ratio = statistics.median(ratios[1:])
    say(
        f"recorded over plain, median of {len(ratios) - 1} pairs: {ratio:.4f} ({min(ratios[1:]):.4f} to {max(ratios[1:]):.4f}); "
        f"{statistics.median(seconds_a_batch[1:]) * 1e3:.2f} ms a batch of 32 without"
    )
    assert ratio < 1.05


def test_the_events_of_a_batch_cost_microseconds(device, log_dir):
    costs_us, failure = value_on(device, f"BATCHES = {5000 if device.is_cuda else 1000}\n" + EVENTS, str(log_dir))
    say(f"{device.name}, events of a step, placed and recorded: {statistics.median(costs_us):.1f} µs a batch")
    assert failure == ""
    if device.is_cuda:  # the simulated one shares the processor
        assert statistics.median(costs_us) < 100


@needs_cuda
def test_polling_nvml_is_cheap():
    nvml = Nvml()
    if not nvml.devices:
        pytest.skip(f"NVML gives no device: {nvml.unavailable}")
    costs_s = {}
    for name, look in (("utilisation and memory", nvml.fast), ("power, clocks and the rest", nvml.slow)):
        look(nvml.devices, time.perf_counter_ns())
        begin_s = time.perf_counter()
        for _ in range(50):
            look(nvml.devices, time.perf_counter_ns())
        costs_s[name] = (time.perf_counter() - begin_s) / 50
    begin_s = time.perf_counter()
    pcie = nvml.pcie(nvml.devices)
    pcie_s = time.perf_counter() - begin_s
    nvml.close()
    say(
        ", ".join(f"{name}: {seconds * 1e6:.0f} µs a reading" for name, seconds in costs_s.items()),
        f"PCIe, both directions: {pcie_s * 1e3:.1f} ms ({[round(sample.value / 1e6) for sample in pcie]} MB/s); {nvml.unavailable}",
    )
    assert costs_s["utilisation and memory"] < 0.005 and costs_s["power, clocks and the rest"] < 0.05
