"""The simulated accelerator does what PyTorch's own devices do, and its log is exact."""

import io
import os
import time
import uuid

import pytest
import simgpu
import torch
from accelerator_log import Kind
from agent_interpreter import CHOSEN_PYTHON
from torch.profiler import ProfilerActivity, profile

from loaderscope.agent.messages import Consumer
from loaderscope.agent.training_step import make_step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHOSEN_PYTHON is not None, reason="the accelerator is built for the torch of another interpreter"),
]

MS = 1_000_000
COPY_BYTES_PER_NS = 0.1
COPY_NS = 10_000  # of the smallest copy, see source/operators.cpp
OPERATIONS_PER_NS = 20_000  # of a matrix product, likewise
EVENT_DELAY_MS = 200
LOAD_STEPS = 20
HOST_FLOATS = 250_000


# Functions that run in the process of the accelerator. Each returns facts, and the tests judge them.


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


def see_an_event_late():
    one = torch.ones(1, device="simgpu")
    before, after = (torch.Event(device="simgpu", enable_timing=True) for _ in range(2))
    torch.simgpu.set_event_delay_ms(EVENT_DELAY_MS)
    try:
        before.record()
        torch.simgpu.busy(one, 1_000)
        after.record()
        torch.accelerator.synchronize()
        was_passed = [after.query()]
        after.synchronize()
        return {"was_passed": [*was_passed, after.query()], "elapsed_ms": before.elapsed_time(after)}
    finally:
        torch.simgpu.set_event_delay_ms(0)


def use_a_lost_device():
    one, event, stream = torch.ones(1, device="simgpu"), torch.Event(device="simgpu"), torch.accelerator.current_stream()
    event.record()
    torch.simgpu.lose_device()
    uses = [
        lambda: torch.simgpu.busy(one, 1_000),
        lambda: torch.ones(1).to("simgpu"),
        lambda: torch.ones(1, device="simgpu"),
        event.record,
        event.query,
        event.synchronize,
        stream.query,
        stream.synchronize,
        lambda: stream.wait_event(event),
        torch.accelerator.synchronize,
    ]
    return [error_of(use) for use in uses]


def error_of(function):
    with pytest.raises(RuntimeError) as caught:
        function()
    return str(caught.value).splitlines()[0]


def name_devices():
    properties = [torch.simgpu.get_device_properties(index) for index in range(torch.simgpu.device_count())]
    names = [torch.simgpu.get_device_name(index) for index in range(len(properties))]
    return names, [(device.name, str(device.uuid)) for device in properties], torch.simgpu.is_initialized()


def multiply_matrices():
    first, second, out = torch.rand(1000, 500), torch.rand(500, 2000), torch.ones(1000, 2000, device="simgpu")
    on_device = first.to("simgpu"), second.to("simgpu")
    result = torch.mm(*on_device)
    torch.mm(*on_device, out=out)
    event = torch.Event(device="simgpu")
    event.record()
    return torch.equal(result.cpu(), torch.mm(first, second)), torch.equal(out.cpu(), torch.ones(1000, 2000))


def step_with_a_load():
    step = make_step(Consumer("cuda", 4.0), {}, "simgpu")
    torch.accelerator.synchronize()
    began_ns = time.perf_counter_ns()
    for _ in range(LOAD_STEPS):
        step(None)
    return began_ns


def copy_much():
    host, target = torch.zeros(1 << 25), torch.zeros(1 << 25, device="simgpu")
    began_ns = time.perf_counter_ns()
    target.copy_(host, non_blocking=True)
    return began_ns, time.perf_counter_ns()


def save_and_load():
    file = io.BytesIO()
    torch.save({"weights": torch.arange(4.0, device="simgpu:1")}, file)
    loaded = []
    for place in (None, "cpu", "simgpu:0"):
        file.seek(0)
        loaded.append(torch.load(file, map_location=place)["weights"])
    return [(str(tensor.device), tensor.tolist()) for tensor in loaded]


class MadeOnDevice(torch.utils.data.Dataset):
    """Samples that workers compute on the device."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return (torch.full((2,), float(index), device="simgpu") * 2).cpu()


class Load:
    """Loads the accelerator in a worker."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __call__(self, worker):
        simgpu.load(*self.arguments)


def use_in_spawned_workers(*arguments_of_load):
    torch.ones(1, device="simgpu")
    loader = torch.utils.data.DataLoader(
        MadeOnDevice(), batch_size=4, num_workers=2, multiprocessing_context="spawn", worker_init_fn=Load(*arguments_of_load)
    )
    return [batch[:, 0].tolist() for batch in loader]


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
    """Returns what happened to a child that used the device: 0: it worked, 2: torch refused it, 3: another error."""
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


# The tests


def kernels(outcome):
    return [record for record in outcome.records if record.kind == Kind.KERNEL]


def kinds(outcome):
    return [record.kind for record in outcome.records]


def test_a_kernel_runs_while_the_host_goes_on_and_events_give_its_time(device_process):
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


def test_an_event_that_is_seen_late_keeps_its_time(device_process):
    outcome = device_process.run(see_an_event_late)
    (kernel,), (wait,) = kernels(outcome), [record for record in outcome.records if record.kind == Kind.WAIT_FOR_EVENT]
    assert outcome.value["was_passed"] == [False, True]
    assert wait.end_ns >= kernel.end_ns + EVENT_DELAY_MS * MS
    assert outcome.value["elapsed_ms"] < EVENT_DELAY_MS


def test_a_lost_device_raises_whatever_is_asked_of_it(fresh_device_process):
    assert set(fresh_device_process.run(use_a_lost_device).value) == {"simgpu error: device lost"}


def test_each_device_has_a_name_and_a_uuid_and_is_not_started_to_give_them(fresh_device_process):
    names, properties, is_started = fresh_device_process.run(name_devices).value
    assert names == [name for name, _ in properties] == ["Simulated accelerator"] * 2
    assert len({str(uuid.UUID(text)) for _, text in properties}) == 2
    assert is_started is False


def test_a_matrix_product_into_a_tensor_takes_its_time_and_computes_nothing(device_process):
    outcome = device_process.run(multiply_matrices)
    (kernel,) = kernels(outcome)
    assert kernel.end_ns - kernel.start_ns == 2 * 1000 * 500 * 2000 // OPERATIONS_PER_NS
    assert outcome.value == (True, True)


def test_the_load_of_the_product_runs_while_the_host_goes_on(device_process):
    outcome = device_process.run(step_with_a_load)
    work = [record for record in outcome.records if record.start_ns >= outcome.value]
    assert {record.kind for record in work} == {Kind.KERNEL}
    assert sum(record.end_ns - record.start_ns for record in work) == pytest.approx(LOAD_STEPS * 4 * MS, rel=0.2)


def test_a_copy_starts_when_it_is_queued_and_not_when_the_host_has_moved_the_data(device_process):
    outcome = device_process.run(copy_much)
    began_ns, returned_ns = outcome.value
    assert outcome.records[-1].start_ns - began_ns < returned_ns - outcome.records[-1].start_ns


def test_tensors_are_saved_and_loaded(device_process):
    values = [0.0, 1.0, 2.0, 3.0]
    assert device_process.run(save_and_load).value == [("simgpu:1", values), ("cpu", values), ("simgpu:0", values)]


def test_spawned_workers_may_use_the_device_that_main_uses(fresh_device_process, simgpu_library):
    stem = fresh_device_process.log_stem
    outcome = fresh_device_process.run(use_in_spawned_workers, str(simgpu_library), str(stem))
    assert outcome.value == [[0.0, 2.0, 4.0, 6.0], [8.0, 10.0, 12.0, 14.0]]
    assert len(list(stem.parent.glob(f"{stem.name}.*"))) == 3


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
def test_a_loader_pins_its_batches_for_the_device(any_device_process, start_method):
    sums = [float(10 * sum(range(begin, begin + 8))) for begin in range(0, 32, 8)]
    assert any_device_process.run(read_pinned_batches, start_method).value == [(True, True, total) for total in sums]


def test_memory_is_held_as_long_as_its_tensor_lives(any_device_process):
    before, held, allocated, after = any_device_process.run(hold_memory).value
    assert (held - before, allocated - before, after - before) == (4000, 4000, 0)


def test_a_model_learns_the_same_on_the_device_as_on_the_cpu(any_device_process):
    on_device, on_cpu = (any_device_process.run(train, device).value for device in ("simgpu", "cpu"))
    assert on_device == pytest.approx(on_cpu, rel=1e-4)
    assert on_device[-1] < on_device[0]


def test_the_profiler_of_torch_sees_kernels_and_copies(device_process):
    outcome = device_process.run(profile_work)
    work = [record for record in outcome.records if record.kind.is_work][-2:]
    names = {Kind.KERNEL: "kernel", Kind.COPY_TO_DEVICE: "Memcpy HtoD"}
    assert sorted(outcome.value) == sorted((names[record.kind], record.end_ns - record.start_ns) for record in work)


def test_a_forked_child_may_use_the_device_only_if_its_parent_has_not(fresh_device_process):
    assert fresh_device_process.run(fork_before_and_after_the_start).value == (0, 2)
