"""The simulated accelerator does what PyTorch's own devices do, and its log is exact."""

import os
import time

import pytest
import torch
from accelerator_log import Kind
from agent_interpreter import CHOSEN_PYTHON
from torch.profiler import ProfilerActivity, profile

pytestmark = pytest.mark.skipif(CHOSEN_PYTHON is not None, reason="the accelerator is built for the torch of another interpreter")

MS = 1_000_000
COPY_BYTES_PER_NS = 0.1
COPY_NS = 10_000  # of the smallest copy, see source/operators.cpp
HOST_FLOATS = 250_000


# What runs in the process of the accelerator. Each function returns facts, for the tests to judge.


def time_a_kernel():
    one = torch.ones(1, device="simgpu")
    before, after = (torch.Event(device="simgpu", enable_timing=True) for _ in range(2))
    began_ns = time.perf_counter_ns()
    before.record()
    torch.simgpu.busy(one, 30_000)
    after.record()
    queued_ns = time.perf_counter_ns()
    is_early = after.query()
    with pytest.raises(RuntimeError):
        before.elapsed_time(after)
    after.synchronize()
    return {
        "began_ns": began_ns,
        "queued_ns": queued_ns,
        "was_passed": [is_early, after.query()],
        "ended_ns": time.perf_counter_ns(),
        "elapsed_ms": before.elapsed_time(after),
    }


def time_a_kernel_of_a_fast_clock():
    torch.simgpu.set_drift_ppm(100_000)
    try:
        return time_a_kernel()
    finally:
        torch.simgpu.set_drift_ppm(0)


def copy_beside_a_kernel():
    one, host = torch.ones(1, device="simgpu"), torch.rand(HOST_FLOATS).pin_memory()
    torch.simgpu.set_copy_rate(COPY_BYTES_PER_NS)
    torch.simgpu.busy(one, 30_000)
    main, side = torch.accelerator.current_stream(), torch.Stream("simgpu")
    with side:
        moved = host.to("simgpu", non_blocking=True)
    main.wait_stream(side)
    torch.simgpu.busy(moved, 5_000)
    with torch.Stream("simgpu") as third:
        third.wait_stream(side)
        torch.simgpu.busy(moved, 1_000)
    torch.accelerator.synchronize()
    return torch.equal(moved.cpu(), host)


def copy_in_each_way():
    torch.simgpu.set_copy_rate(COPY_BYTES_PER_NS)
    plain, pinned = torch.rand(HOST_FLOATS), torch.rand(HOST_FLOATS).pin_memory()
    target = torch.empty(HOST_FLOATS, device="simgpu")
    for host in (plain, pinned):
        for non_blocking in (False, True):
            target.copy_(host, non_blocking=non_blocking)
    for host in (plain, pinned):
        for non_blocking in (False, True):
            host.copy_(target, non_blocking=non_blocking)


def use_two_devices():
    ones = [torch.ones(1, device=f"simgpu:{index}") for index in range(2)]
    for one in ones:
        torch.simgpu.busy(one, 10_000)
    events = [torch.Event(device=f"simgpu:{index}", enable_timing=True) for index in range(2)]
    for index, event in enumerate(events):
        event.record(torch.accelerator.current_stream(f"simgpu:{index}"))
        event.synchronize()
    with pytest.raises(RuntimeError):
        events[0].elapsed_time(events[1])
    with torch.accelerator.device_index(1):
        inside = torch.empty(1, device="simgpu").device.index, torch.accelerator.current_device_index()
    moved = (ones[0] + 1).to("simgpu:1")
    with pytest.raises(RuntimeError):
        torch.ones(1, device="simgpu:2")
    return {
        "count": torch.accelerator.device_count(),
        "inside": inside,
        "after": torch.accelerator.current_device_index(),
        "moved": (moved.device.index, moved.item()),
    }


def wait_in_each_way():
    one, event = torch.ones(1, device="simgpu"), torch.Event(device="simgpu")
    ways = {
        Kind.WAIT_FOR_STREAM: torch.accelerator.current_stream().synchronize,
        Kind.WAIT_FOR_DEVICE: torch.accelerator.synchronize,
        Kind.WAIT_FOR_EVENT: event.synchronize,
    }
    for wait in ways.values():
        torch.simgpu.busy(one, 3_000)
        event.record()
        wait()
    return list(ways)


def read_pinned_batches(start_method):
    torch.ones(1, device="simgpu")  # workers are forked from a process that has started the device
    data = [torch.full((10,), float(index)) for index in range(32)]
    workers = {"num_workers": 0} if start_method is None else {"num_workers": 2, "multiprocessing_context": start_method}
    loader = torch.utils.data.DataLoader(data, batch_size=8, pin_memory=True, **workers)
    return [(batch.is_pinned(), batch[1:].is_pinned(), batch.to("simgpu", non_blocking=True).sum().item()) for batch in loader]


def hold_memory():
    held = [torch.simgpu.memory_reserved(1)]
    tensor = torch.zeros(1000, device="simgpu:1")
    held += [torch.simgpu.memory_reserved(1), torch.accelerator.memory_allocated(1)]
    del tensor
    return [*held, torch.simgpu.memory_reserved(1)]


def train(device):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3)]
    model = torch.nn.Sequential(*layers)
    images, labels = torch.rand(8, 3, 8, 8), torch.randint(0, 3, (8,))
    model, images, labels = model.to(device), images.to(device), labels.to(device)
    optimizer, losses = torch.optim.AdamW(model.parameters()), []
    for _ in range(4):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def profile_work():
    one, host = torch.ones(1, device="simgpu"), torch.ones(10)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.PrivateUse1]) as profiler:
        torch.simgpu.busy(one, 2_000)
        host.to("simgpu")
        torch.accelerator.synchronize()
    events = profiler.profiler.kineto_results.events()
    return [(event.name(), event.duration_ns()) for event in events if event.device_type() == torch.autograd.DeviceType.PrivateUse1]


def use_in_forked_child():
    """What happens to a child that uses the device; the exit status says it, as a child shares nothing else."""
    pid = os.fork()
    if pid == 0:
        try:
            torch.ones(1, device="simgpu")
            os._exit(0)
        except RuntimeError as error:
            os._exit(2 if "forked subprocess" in str(error) else 3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork_before_and_after_the_start():
    assert not torch.simgpu.is_initialized()
    before = use_in_forked_child()
    torch.ones(1, device="simgpu")
    return before, use_in_forked_child()


# What is expected of it


def kernels(outcome):
    return [record for record in outcome.records if record.kind == Kind.KERNEL]


def kinds(outcome):
    return [record.kind for record in outcome.records]


def test_a_kernel_runs_while_the_host_goes_on_and_events_tell_its_time(device_process):
    outcome = device_process.run(time_a_kernel)
    ((_, _, _, start_ns, end_ns),) = kernels(outcome)
    facts = outcome.value
    assert end_ns - start_ns == 30 * MS
    assert facts["began_ns"] <= start_ns <= facts["queued_ns"] < end_ns <= facts["ended_ns"]
    assert facts["was_passed"] == [False, True]
    before_ns = end_ns - facts["elapsed_ms"] * MS  # where the first event lies
    assert facts["began_ns"] - 100 <= before_ns <= start_ns + 100  # elapsed_time is a float32 of milliseconds


def test_a_clock_that_drifts_stretches_the_times_between_events(device_process):
    outcome = device_process.run(time_a_kernel_of_a_fast_clock)
    (kernel,) = kernels(outcome)
    assert outcome.value["elapsed_ms"] >= (kernel.end_ns - kernel.start_ns) / MS * 1.1 - 1e-4
    assert outcome.value["elapsed_ms"] <= (kernel.end_ns - outcome.value["began_ns"]) / MS * 1.1 + 1e-4


def test_a_copy_on_a_stream_of_its_own_overlaps_a_kernel_and_waits_are_kept(device_process):
    outcome = device_process.run(copy_beside_a_kernel)
    first, second, third = kernels(outcome)
    (copy,) = [record for record in outcome.records if record.kind == Kind.COPY_TO_DEVICE and record.stream]
    assert outcome.value is True
    assert len({first.stream, copy.stream, third.stream}) == 3
    assert first.start_ns < copy.start_ns < copy.end_ns < first.end_ns
    assert copy.end_ns - copy.start_ns == COPY_NS + 4 * HOST_FLOATS / COPY_BYTES_PER_NS
    assert second.start_ns == first.end_ns  # both on the default stream, which waits for the copy, too
    assert third.start_ns == copy.end_ns


def test_only_copies_that_must_wait_make_the_host_wait(device_process):
    to_device = [Kind.COPY_TO_DEVICE, Kind.WAIT_FOR_COPY, Kind.COPY_TO_DEVICE] * 2
    to_host = [Kind.COPY_TO_HOST, Kind.WAIT_FOR_COPY] * 2 + [Kind.COPY_TO_HOST, Kind.WAIT_FOR_COPY, Kind.COPY_TO_HOST]
    assert kinds(device_process.run(copy_in_each_way)) == to_device + to_host


def test_two_devices_work_side_by_side(device_process):
    outcome = device_process.run(use_two_devices)
    first, second = kernels(outcome)
    assert (first.device, second.device) == (0, 1)
    assert second.start_ns < first.end_ns
    assert outcome.value == {"count": 2, "inside": (1, 1), "after": 0, "moved": (1, 2.0)}


def test_each_wait_of_the_host_is_logged_once_and_lasts_until_the_work_has_ended(device_process):
    outcome = device_process.run(wait_in_each_way)
    waits = [record for record in outcome.records if not record.kind.is_work and record.kind != Kind.WAIT_FOR_COPY]
    assert [wait.kind for wait in waits] == outcome.value
    for kernel, wait in zip(kernels(outcome), waits, strict=True):
        assert kernel.start_ns < wait.start_ns < kernel.end_ns <= wait.end_ns


@pytest.mark.parametrize("start_method", [None, "fork", "spawn"])
def test_a_loader_pins_its_batches_for_the_device(device_process, start_method):
    sums = [float(10 * sum(range(begin, begin + 8))) for begin in range(0, 32, 8)]
    assert device_process.run(read_pinned_batches, start_method).value == [(True, True, total) for total in sums]


def test_memory_is_held_as_long_as_its_tensor_lives(device_process):
    before, held, allocated, after = device_process.run(hold_memory).value
    assert (held - before, allocated - before, after - before) == (4000, 4000, 0)


def test_a_model_learns_the_same_on_the_device_as_on_the_cpu(device_process):
    on_device, on_cpu = (device_process.run(train, device).value for device in ("simgpu", "cpu"))
    assert on_device == pytest.approx(on_cpu, rel=1e-4)
    assert on_device[-1] < on_device[0]


def test_the_profiler_of_torch_sees_kernels_and_copies(device_process):
    outcome = device_process.run(profile_work)
    work = [record for record in outcome.records if record.kind.is_work][-2:]
    names = {Kind.KERNEL: "busy", Kind.COPY_TO_DEVICE: "Memcpy HtoD"}
    assert sorted(outcome.value) == sorted((names[record.kind], record.end_ns - record.start_ns) for record in work)


def test_a_forked_child_may_use_the_device_only_if_its_parent_has_not(fresh_device_process):
    assert fresh_device_process.run(fork_before_and_after_the_start).value == (0, 2)
