"""The busy periods of the device in a recorded training agree with the log of the device itself."""

import numpy as np
import pytest
from accelerator_log import Kind
from loops import periods
from running import CollectingSink, request

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN
from loaderscope.analysis.span_lookup import intersection, spans_of
from loaderscope.sweep.training_run import TrainingRun

SCRIPT = """
import time
import torch
from torch.utils.data import DataLoader, Dataset

class Waiting(Dataset):
    def __len__(self):
        return {samples}
    def __getitem__(self, index):
        time.sleep(0.0025)
        return torch.full((1000,), float(index))

if __name__ == "__main__":
    torch.simgpu.set_drift_ppm(100)
    loader = DataLoader(Waiting(), batch_size=4, num_workers=2, pin_memory=True)
    test = DataLoader(Waiting(), batch_size=4)
    weights = torch.ones(1, device="simgpu")
    for number, batch in enumerate(loader):
        moved = batch.to("simgpu", non_blocking=True)
        torch.simgpu.busy(weights, 4_000)
        if number == 150:
            for batch in test:
                torch.simgpu.busy(weights, 1_000)
                break
        if number == {end}:
            torch.simgpu.lose_device()
"""


def record(write_device_script, samples=2400, end=-1):
    """Runs a training; returns its exit status, the script, and the results and traces of its loaders."""
    script = write_device_script(SCRIPT.format(samples=samples, end=end))
    sink = CollectingSink()
    status = TrainingRun(request(script.path), sink).run()
    return status, script, sink


def test_periods_stand_where_the_device_worked_and_nothing_waits_for_it(write_device_script):
    status, script, sink = record(write_device_script)
    result, other = sink.results
    assert (status, result.batches, other.batches) == (0, 600, 1)
    trace, records = sink.traces[result.id], script.records()
    steps = spans_of(trace, "device-step", State.DEVICE_STEP)
    kernel_starts, kernel_ends = periods(records, Kind.KERNEL)
    assert 100 < steps.size < 600  # none before the first anchor, and none after the last
    of_kernel = np.searchsorted(kernel_ends, steps.end_ns - 1_000_000)
    error_ns = result.device_clock_error_s * 1e9
    assert np.abs(kernel_ends[of_kernel] - steps.end_ns).max() <= error_ns
    assert len(set(steps.batch.tolist())) == steps.size
    assert result.gpu_busy_share_low <= result.gpu_busy_share
    assert not [record for record in records if not record.kind.is_work and record.start_ns > kernel_starts[0]]
    assert spans_of(trace, MAIN, State.STEP).size == 600
    assert spans_of(trace, "pin", State.PIN).size == 600
    assert not spans_of(sink.traces[other.id], "pin", State.PIN)
    assert result.devices == ["Simulated accelerator"]


def test_waits_while_the_device_works_are_not_exposed(write_device_script):
    _, script, sink = record(write_device_script)
    result = sink.results[0]
    waits = spans_of(sink.traces[result.id], MAIN, State.ITERATOR, State.WAIT)
    kernels = periods(script.records(), Kind.KERNEL)
    steps = spans_of(sink.traces[result.id], "device-step", State.DEVICE_STEP)
    is_known = (kernels[1] >= steps.start_ns[0]) & (kernels[0] <= steps.end_ns[-1])
    starts, ends = intersection((waits.start_ns, waits.end_ns), (kernels[0][is_known], kernels[1][is_known]))
    hidden_s = float((ends - starts).sum()) / 1e9
    assert hidden_s > 0.2 * result.loader.wait_s
    assert result.loader.wait_s - result.loader.exposed_s == pytest.approx(hidden_s, rel=0.1)
    assert result.loader.process.exposed_s < result.loader.process.wait_s


def test_a_lost_device_fails_the_training_as_without_us(write_device_script, capfd):
    status, _, sink = record(write_device_script, samples=200, end=30)
    assert status == 1
    assert "device lost" in capfd.readouterr().err
    assert sink.results[0].batches in (31, 32)  # the thread that pins the next batch may find out first
