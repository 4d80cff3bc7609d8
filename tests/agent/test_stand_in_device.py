"""Whole trials with a device that is not there: the script puts a stand-in under torch.Event, torch.Stream and torch.accelerator.

It runs on the host's clock, takes what is put on a stream in turn and never makes the host wait, as CUDA does; so what each
figure must be is known from what the script asks of it.
"""

import numpy as np
import pytest
from agent_interpreter import needs
from running import request, run_pool, write_script

from loaderscope.agent.layout import State
from loaderscope.agent.messages import Consumer
from loaderscope.analysis.span_lookup import spans_of

pytestmark = needs("hasattr(torch, 'accelerator')", "this torch has no torch.accelerator")

MS = 1_000_000
STAND_IN = """
    import time
    import torch
    from torch.utils.data import Dataset

    PACE = 1.0001  # of the device's clock against the host's
    free_ns = {}  # when a stream has done what was put on it

    class Stream:
        def __init__(self, device=None):
            self.device, self.stream_id = torch.device("cuda", 0), len(free_ns) + 1
            free_ns[self.stream_id] = 0

    default = Stream()

    def work(seconds, stream=default):
        free_ns[stream.stream_id] = max(time.perf_counter_ns(), free_ns[stream.stream_id]) + int(seconds * 1e9)

    class Event:
        def __init__(self, device=None, *, enable_timing=False):
            self.at_ns = None

        def record(self, stream):
            work(0, stream)
            self.at_ns = free_ns[stream.stream_id]

        def query(self):
            return self.at_ns is None or self.at_ns <= time.perf_counter_ns()

        def synchronize(self):
            while not self.query():
                pass

        def elapsed_time(self, other):
            if not (self.query() and other.query()):
                raise RuntimeError("Both events must be completed before calculating elapsed time.")
            return (other.at_ns - self.at_ns) * PACE / 1e6

    def synchronize(device=None):
        while max(free_ns.values()) > time.perf_counter_ns():
            pass

    class Waiting(Dataset):
        def __len__(self):
            return 100_000
        def __getitem__(self, index):
            time.sleep(0.002)
            return torch.zeros(4)

    train_set = Waiting()

    def make_train_step():
        torch.Event, torch.Stream = Event, Stream
        for name, value in dict(
            current_accelerator=lambda: torch.device("cuda"), device_count=lambda: 1, current_device_index=lambda: 0,
            current_stream=lambda device: default, synchronize=synchronize, is_available=lambda: True,
        ).items():
            setattr(torch.accelerator, name, value)
        torch.cuda.is_initialized, torch.cuda.device_count, torch.cuda.memory_reserved = (lambda: True), (lambda: 1), (lambda index: 1)
        torch.cuda.get_device_properties = lambda index: None
        return lambda batch: work(STEP_S)
"""


def run(folder, step_s, **options):
    values = {"consumer": Consumer("script"), "batches": 60, "batch_size": (4,), **options}
    sink = run_pool(request(write_script(folder, STAND_IN.replace("STEP_S", str(step_s))), **values))
    (result,) = sink.results
    assert result.status == "ok", (result.error, sink.output)
    assert not [note for note in result.notes if "evice times" in note]
    return result, sink.traces[result.id]


def device_steps(trace):
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    assert list(steps.start_ns) == sorted(steps.start_ns)
    return steps


def test_a_device_that_waits_for_data_is_shown_idle_while_main_waits(tmp_path):
    result, trace = run(tmp_path, 0.004, epochs=2)
    steps = device_steps(trace)
    assert steps.size == len(set(steps.batch.tolist())) == 120
    assert np.median(steps.end_ns - steps.start_ns) == pytest.approx(4 * MS, rel=0.05)
    batch_s = 1 / result.samples_per_second.value * 4
    assert result.gpu_busy_share == pytest.approx(0.004 / batch_s, rel=0.15)
    assert result.data_stall_share == pytest.approx(1 - result.gpu_busy_share, abs=0.1)
    assert result.gpu_busy_share + result.data_stall_share + result.gpu_other_idle_share == pytest.approx(1.0, abs=1e-12)
    assert result.wait_share + result.transfer_share + result.step_share + result.other_share == pytest.approx(1.0, abs=1e-12)
    assert "step" not in trace.lanes  # no second lane that calls it a step on the CPU


def test_a_device_that_lags_behind_the_host_sets_the_pace(tmp_path):
    result, trace = run(tmp_path, 0.020, epochs=2)
    steps = device_steps(trace)
    assert steps.size == len(set(steps.batch.tolist())) == 120  # those of the first epoch, too, that come after the second has begun
    assert 4 / result.samples_per_second.value == pytest.approx(0.020, rel=0.05)
    assert result.gpu_busy_share > 0.95
