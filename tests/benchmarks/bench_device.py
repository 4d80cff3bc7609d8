"""Prints the shares that trials report of the simulated accelerator beside the truth from its log, for all kinds of loops.

pytest -m benchmark -s tests/benchmarks/bench_device.py
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest
from running import request, run_pool

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.span_lookup import spans_of

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "accelerator"))

from accelerator_library import library_for_agent
from accelerator_log import Kind
from device_script import write_script_on_device
from loops import BATCH_SIZE, Loop, periods, truth_of

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]

BATCHES = 120
WIDEST_BOUNDS_POINTS, LARGEST_STALL_ERROR_POINTS, LARGEST_OVERLAP_ERROR_POINTS = 3.0, 2.0, 3.0
"""Budgets. The first holds for steps of 5 ms and more that leave the host."""

SYNCHRONISED = "torch.accelerator.synchronize()"
LOOPS = {
    "compute-heavy, 20 ms": Loop("busy(20_000)"),
    "compute-heavy, 5 ms": Loop("busy(5_000)"),
    "compute-heavy, 0.2 ms": Loop("busy(200)", sample_s=0.0),
    "copy-heavy, blocking": Loop("busy(5_000)", copy_ms=16, h2d="blocking"),
    "copy-heavy, non-blocking": Loop("busy(5_000)", copy_ms=16),
    "copy-heavy, overlapped": Loop("busy(5_000)", copy_ms=16, h2d="overlapped"),
    "overlapped, synchronised": Loop(f"busy(15_000); {SYNCHRONISED}", copy_ms=10, h2d="overlapped"),
    "starved, 20 ms": Loop("busy(20_000)", sample_s=0.015),
    "starved, 5 ms": Loop("busy(5_000)", sample_s=0.006),
    "starved, 0.2 ms": Loop("busy(200)", sample_s=0.002),
    "paused in the step": Loop("busy(3_000); time.sleep(0.004); busy(3_000)", sample_s=0.003),
    "paused, synchronised": Loop(f"busy(3_000); time.sleep(0.004); busy(3_000); {SYNCHRONISED}"),
    "on a stream of its own": Loop("with stream: busy(5_000)", sample_s=0.002),
    "device 1": Loop("busy(5_000)", sample_s=0.003, device="simgpu:1"),
}
SHORT_OR_PAUSED = ("0.2 ms", "paused", "synchronised")


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_shares_of_the_device_against_its_log(tmp_path, start_method):
    library, reason = library_for_agent()
    if library is None:
        pytest.skip(reason)
    titles = ("busy low", "truth", "busy high", "stall", "truth", "overlap", "truth", "end", "start", "stated", "early", "syncs")
    print(
        f"\n{start_method}; shares in %, errors of edges in µs"
        + f"\n{'loop':28}{'workers':>8}"
        + "".join(f"{title:>10}" for title in titles)
    )
    misses = []
    for name, loop in LOOPS.items():
        for workers in (0, 2):
            folder = tmp_path / f"{name.replace(' ', '-')}-{workers}"
            folder.mkdir()
            misses += measure(library, folder, name, loop, workers, start_method)
    print("misses: " + ("; ".join(misses) or "none"))


def measure(library, folder, name, loop, workers, start_method):
    """Prints one row and returns the missed budgets."""
    script = write_script_on_device(library, folder, loop.script())
    values = {"batches": BATCHES, "batch_size": (BATCH_SIZE,), "device": loop.device, "h2d": loop.h2d, "consumer": Consumer("script")}
    sink = run_pool(request(script.path, (workers,), start_method, **values))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    records, trace = script.records(), sink.traces[result.id]
    truth = truth_of(records, result, trace)
    stated_us = result.device_clock_error_s * 1e6
    end_us, start_us, early_us = edge_errors_us(loop, records, trace)
    own_waits = [wait for wait in truth.host_waits if wait.kind not in loop_waits(loop)]
    percent = [
        result.gpu_busy_share_low, truth.busy, result.gpu_busy_share, result.data_stall_share, truth.stall, result.copy_overlap_share,
        truth.overlap if loop.h2d == "overlapped" else None,
    ]  # fmt: skip
    cells = ["         –" if value is None else f"{100 * value:10.1f}" for value in percent] + [
        f"{value:10.1f}" for value in (end_us, start_us, stated_us, early_us)
    ]
    print(f"{name:28}{workers:8}" + "".join(cells) + f"{len(own_waits):10}", flush=True)
    checks = {
        "truth is not between the bounds": not result.gpu_busy_share_low - 5e-4 <= truth.busy <= result.gpu_busy_share + 5e-4,
        "bounds": not any(word in name for word in SHORT_OR_PAUSED)
        and 100 * (result.gpu_busy_share - result.gpu_busy_share_low) > WIDEST_BOUNDS_POINTS,
        "stall": 100 * abs(result.data_stall_share - truth.stall) > LARGEST_STALL_ERROR_POINTS,
        "overlap": loop.h2d == "overlapped" and 100 * abs(result.copy_overlap_share - truth.overlap) > LARGEST_OVERLAP_ERROR_POINTS,
        "edges": max(end_us, start_us) > stated_us,
        "synchronisations": bool(own_waits),
    }
    return [f"{name}, {workers} workers: {what}" for what, is_missed in checks.items() if is_missed]


def loop_waits(loop):
    """The kinds of waits that the loop asks for itself."""
    kinds = {Kind.WAIT_FOR_DEVICE} if SYNCHRONISED in loop.step else set()
    return kinds | ({Kind.WAIT_FOR_STREAM} if loop.h2d == "blocking" else set())


def edge_errors_us(loop, records, trace):
    """The largest errors of ends of steps and copies, of their starts beyond the range in which they are said to lie, and that range.

    A start lies between the event before the work and the time at which the host had issued it; the third figure is the median of how
    much later than that event a copy began.

    Left out are ends of work that the device had done before the host could mark its end (of short work, and of steps that wait for the
    device), as these are said to be unsure, and steps of several kernels.
    """
    step = (
        ("device-stream", State.DEVICE_STREAM, State.DEVICE_STREAM_ISSUE, Kind.KERNEL)
        if "stream:" in loop.step
        else ("device-step", State.DEVICE_STEP, State.DEVICE_STEP_ISSUE, Kind.KERNEL)
    )
    ends, starts, early = [0.0], [0.0], 0.0
    for lane, state, issue, kind in (
        step,
        ("device-transfer", State.DEVICE_TRANSFER, State.DEVICE_TRANSFER_ISSUE, Kind.COPY_TO_DEVICE),
    ):
        spans, issues = spans_of(trace, lane, state), spans_of(trace, lane, issue)
        true_starts, true_ends = (times[-spans.size :] for times in periods(records, kind))  # the step's maker copied something, too
        if not spans or (kind == Kind.KERNEL and loop.step.count("busy(") > 1):
            continue
        issue_ends = dict(zip(issues.start_ns.tolist(), issues.end_ns.tolist(), strict=True))
        latest = np.array([issue_ends.get(start, start) for start in spans.start_ns.tolist()])
        ends.append(float(np.abs(spans.end_ns - true_ends)[latest < spans.end_ns].max(initial=0)) / 1e3)
        outside = np.maximum(spans.start_ns - true_starts, true_starts - latest)
        starts.append(float(outside.max(initial=0)) / 1e3)
        if kind == Kind.COPY_TO_DEVICE:
            early = float(np.median(true_starts - spans.start_ns)) / 1e3
    return max(ends), max(starts), early
