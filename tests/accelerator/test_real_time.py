"""Streams that work in real time: whoever forgets to wait for one gets wrong data."""

import time
from unittest import mock

import pytest
import torch
from accelerator_log import Kind
from agent_interpreter import CHOSEN_PYTHON

from loaderscope.agent.transfer import Transfer

pytestmark = pytest.mark.skipif(CHOSEN_PYTHON is not None, reason="the accelerator is built for the torch of another interpreter")

SIZE = 1000
SLOW_BYTES_PER_NS = 0.0002  # a copy of that many floats takes 20 ms

# Functions that run in the process of the accelerator.


def read_what_another_stream_copies(waits):
    host, target = torch.rand(SIZE).pin_memory(), torch.zeros(SIZE, device="simgpu")
    side = torch.Stream("simgpu")
    with slow_copies(), side:
        target.copy_(host, non_blocking=True)
    if waits:
        torch.accelerator.current_stream().wait_stream(side)
    read = target.cpu()
    torch.accelerator.synchronize()
    return torch.equal(read, host), torch.equal(target.cpu(), host)


class slow_copies:  # noqa: N801
    def __enter__(self):
        torch.simgpu.set_copy_rate(SLOW_BYTES_PER_NS)

    def __exit__(self, *error):
        torch.simgpu.set_copy_rate(8.0)


class Heedless(torch.Stream):
    """A stream that never waits for another one."""

    def wait_stream(self, other):
        pass


def heedless_stream(device):
    stream = CURRENT_STREAM(device)
    return Heedless(stream_id=stream.stream_id, device_index=stream.device_index, device_type=stream.device_type)


CURRENT_STREAM = torch.accelerator.current_stream


def transfer_batches(waits):
    batches = [torch.full((SIZE,), float(number)).pin_memory() for number in range(4)]
    transfer = Transfer("simgpu", "overlapped")
    current_stream = CURRENT_STREAM if waits else heedless_stream
    are_right = []
    with mock.patch("torch.accelerator.current_stream", current_stream):
        for batch in batches:
            with slow_copies():
                moved = transfer.issue(batch)
            transfer.hand_over(moved)
            are_right.append(torch.equal(moved.cpu(), batch))
    torch.accelerator.synchronize()
    return are_right


def overwrite_the_source(is_pinned):
    host, target = torch.zeros(SIZE), torch.zeros(SIZE, device="simgpu")
    host = host.pin_memory() if is_pinned else host
    with slow_copies():
        target.copy_(host, non_blocking=True)
    host.fill_(1.0)
    return target.cpu().unique().tolist()


def drop_tensors_of_a_copy():
    before = torch.simgpu.memory_reserved(0)
    with slow_copies():
        target = torch.rand(SIZE).pin_memory().to("simgpu", non_blocking=True)
        del target
    during = torch.simgpu.memory_reserved(0)
    torch.accelerator.synchronize()
    return during - before, torch.simgpu.memory_reserved(0) - before


def time_a_kernel():
    one = torch.ones(1, device="simgpu")
    before, after = (torch.Event(device="simgpu", enable_timing=True) for _ in range(2))
    before.record()
    torch.simgpu.busy(one, 30_000)
    after.record()
    was_passed = [after.query()]
    after.synchronize()
    return [*was_passed, after.query()], before.elapsed_time(after), time.perf_counter_ns()


def choose_after_the_start():
    with pytest.raises(RuntimeError):
        torch.ops.simgpu.set_in_real_time(False)


# The tests


@pytest.mark.parametrize("waits", [True, False])
def test_data_of_another_stream_are_right_only_for_who_waits(real_time_device_process, waits):
    assert real_time_device_process.run(read_what_another_stream_copies, waits).value == (waits, True)


@pytest.mark.parametrize("waits", [True, False])
def test_overlapped_transfers_give_right_data_only_because_they_wait(real_time_device_process, waits):
    assert real_time_device_process.run(transfer_batches, waits).value == [waits] * 4


@pytest.mark.parametrize(("is_pinned", "values"), [(True, [1.0]), (False, [0.0])])
def test_only_pinned_memory_is_read_when_the_copy_runs(real_time_device_process, is_pinned, values):
    assert real_time_device_process.run(overwrite_the_source, is_pinned).value == values


def test_memory_is_held_until_its_copy_has_ended(real_time_device_process):
    assert real_time_device_process.run(drop_tensors_of_a_copy).value == (4 * SIZE, 0)


def test_a_kernel_runs_while_the_host_goes_on_and_events_give_its_time(real_time_device_process):
    outcome = real_time_device_process.run(time_a_kernel)
    (kernel,) = [record for record in outcome.records if record.kind == Kind.KERNEL]
    was_passed, elapsed_ms, ended_ns = outcome.value
    assert was_passed == [False, True]
    assert 30.0 <= (kernel.end_ns - kernel.start_ns) / 1e6 <= elapsed_ms
    assert kernel.end_ns <= ended_ns


def test_the_mode_cannot_change_once_the_device_has_started(real_time_device_process):
    real_time_device_process.run(time_a_kernel)
    real_time_device_process.run(choose_after_the_start)
