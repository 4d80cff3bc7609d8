"""What only a real GPU can show: `pytest -m gpu -s` prints the figures that the README states."""

import statistics
import time

import numpy as np
import pytest
import torch
from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer, TrialConfig
from loaderscope.analysis.spans import covered_ns, intersection, spans_of
from loaderscope.telemetry.nvml import Nvml

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]

AGREE_WITHIN = 0.03
"""Share of the time by which events may differ from the profiler's union, on loops whose kernels take more than 1 ms."""

COMPUTE = """
    import time
    import torch
    from torch.utils.data import Dataset

    class Waiting(Dataset):
        def __len__(self):
            return 100_000
        def __getitem__(self, index):
            time.sleep(0.002)
            return torch.zeros(16)

    train_set = Waiting()

    def make_train_step():
        matrix = torch.rand(4096, 4096, device="cuda")
        def train_step(batch):
            product = matrix
            for _ in range(4):  # kernels of some milliseconds each
                product = torch.mm(matrix, product) / 4096
            product.sum().item()
        return train_step
"""

COPY = """
    import time
    import torch
    from torch.utils.data import Dataset

    class Large(Dataset):
        def __init__(self):
            self.image = torch.zeros(16 * 1024 * 1024)
            if torch.cuda.is_available():
                self.image = self.image.pin_memory()
        def __len__(self):
            return 100_000
        def __getitem__(self, index):
            time.sleep(0.004)
            return self.image

    train_set = Large()

    def collate_fn(samples):
        return samples[0]

    def make_train_step():
        matrix = torch.rand(2048, 2048, device="cuda")
        def train_step(batch):
            for _ in range(8):
                torch.mm(matrix, matrix)
        return train_step
"""

CONVOLUTIONS = """
    import torch
    from torch.utils.data import Dataset

    class Images(Dataset):
        def __len__(self):
            return 100_000
        def __getitem__(self, index):
            return torch.zeros(3, 64, 64), index % 10

    train_set = Images()

    def make_train_step():
        layers = [torch.nn.Conv2d(3, 64, 3), torch.nn.ReLU(), torch.nn.Conv2d(64, 64, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
        model = torch.nn.Sequential(*layers, torch.nn.Linear(64, 10)).cuda()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        def train_step(batch):
            images, labels = (part.cuda(non_blocking=True) for part in batch)
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss.item()
        return train_step
"""


def run(folder, text, **options):
    """One trial with 0 workers: its result and its trace."""
    values = {"consumer": Consumer("script"), "batches": 200, "batch_size": (4,), "timeout_s": 60.0, "load_timeout_s": 120.0}
    sink = run_pool(request(write_script(folder, text), **{**values, **options}))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    return result, sink.traces[result.id]


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


def test_events_agree_with_the_profiler_on_a_loop_of_long_kernels(tmp_path):
    result, trace = run(tmp_path, COMPUTE, gpu_window=40)
    by_events, exact = busy_shares(result, trace)
    print(f"\ncompute-heavy: events {by_events:.3f}, profiler {exact:.3f}, measured epochs {result.gpu_busy_share:.3f}")
    assert result.gpu_window.busy_share == pytest.approx(exact, abs=0.05)  # the one is cut at the ends of steps
    assert 0.1 < exact < 0.99
    assert by_events == pytest.approx(exact, abs=AGREE_WITHIN)
    assert result.gpu_busy_share + result.data_stall_share + result.gpu_other_idle_share == pytest.approx(1.0)
    assert any(operator.name == "aten::mm" and operator.self_device_s > 0 for operator in result.gpu_window.operators)


@pytest.mark.parametrize("h2d", ["blocking", "non_blocking", "overlapped"])
def test_events_agree_with_the_profiler_on_a_loop_of_large_copies(tmp_path, h2d):
    result, trace = run(tmp_path, COPY, gpu_window=40, device="cuda", h2d=h2d, batch_size=(1,))
    by_events, exact = busy_shares(result, trace)
    print(f"\ncopy-heavy, {h2d}: events {by_events:.3f}, profiler {exact:.3f}, measured epochs {result.gpu_busy_share:.3f}")
    assert by_events == pytest.approx(exact, abs=AGREE_WITHIN)


def test_only_copies_on_a_stream_of_their_own_overlap_the_step(tmp_path):
    overlap_ns = {}
    for h2d in ("non_blocking", "overlapped"):
        _, trace = run(tmp_path / h2d, COPY.replace("time.sleep(0.004)", "pass"), device="cuda", h2d=h2d, batch_size=(1,))
        transfers, steps = spans_of(trace, "device-transfer", State.DEVICE_TRANSFER), spans_of(trace, "device-step", State.DEVICE_STEP)
        starts, ends = intersection((transfers.start_ns, transfers.end_ns), (steps.start_ns, steps.end_ns))
        overlap_ns[h2d] = int((ends - starts).sum()) / max(1, int((transfers.end_ns - transfers.start_ns).sum()))
    print(f"\npart of the copies beside a step: {overlap_ns}")
    assert overlap_ns["non_blocking"] < 0.01
    assert overlap_ns["overlapped"] > 0.1


def test_device_times_stand_where_the_profiler_sees_the_kernels(tmp_path):
    """Two clocks that know nothing of each other: anchors on a side stream, and the profiler's Unix times."""
    result, trace = run(tmp_path, COMPUTE, gpu_window=40)
    (step_starts, step_ends), (work_starts, work_ends) = device_spans(trace)
    error_ns = (result.device_clock_error_s + result.gpu_window.clock_error_s) * 1e9
    outside = 0
    for start_ns, end_ns in zip(work_starts.tolist(), work_ends.tolist(), strict=True):
        covered = covered_ns(step_starts - round(error_ns), step_ends + round(error_ns), start_ns, end_ns)
        outside += end_ns - start_ns - covered
    print(
        f"\nerror of the anchors {result.device_clock_error_s * 1e6:.1f} µs, of the profiler {result.gpu_window.clock_error_s * 1e6:.1f} µs"
    )
    anchors = trace.points["main"].view()
    assert np.count_nonzero(anchors["state"] == int(State.DEVICE_ANCHOR)) >= 3  # the first, the last and some of the loop
    assert result.device_clock_error_s < 200e-6
    assert outside < 0.01 * int((work_ends - work_starts).sum())


def test_a_synthetic_load_takes_about_the_time_that_was_asked_for(tmp_path):
    text = COMPUTE.partition("    def make_train_step")[0]
    result, trace = run(tmp_path, text, consumer=Consumer("cuda", 10.0), device="cuda", batches=100)
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    median_ms = float(np.median(steps.end_ns - steps.start_ns)) / 1e6
    print(f"\nasked for 10 ms, {median_ms:.2f} ms on the device; {[note for note in result.notes if 'synthetic' in note]}")
    assert median_ms == pytest.approx(10.0, rel=0.15)


def test_recording_costs_a_real_training_step_next_to_nothing(start_agent, write):
    agent = start_agent()
    agent.load(write(CONVOLUTIONS))
    agent.attach("train_set")
    config, ratios = TrialConfig(0, 32), []
    for number in range(8):  # the first pair warms up; which comes first alternates
        seconds = {}
        for record in (True, False) if number % 2 else (False, True):
            seconds[record] = agent.trial(config, Consumer("script"), batches=150, record=record).seconds
        ratios.append(seconds[True] / seconds[False])
    ratio = statistics.median(ratios[1:])
    print(f"\nrecorded over plain, median of {len(ratios) - 1} pairs: {ratio:.4f} ({min(ratios[1:]):.4f} to {max(ratios[1:]):.4f})")
    assert ratio < 1.05


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
    nvml.close()
    print("\n" + ", ".join(f"{name}: {seconds * 1e6:.0f} µs a reading" for name, seconds in costs_s.items()))
    assert costs_s["utilisation and memory"] < 0.005 and costs_s["power, clocks and the rest"] < 0.05
