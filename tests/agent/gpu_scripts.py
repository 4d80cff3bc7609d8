"""The devices on which the tests of GPUs run, and the scripts of their trials."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

MIB = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Device:
    """A device on which the tests run.

    Attributes:
        name: as torch names it.
        setup: begins each script: it makes the device available, and defines `make_work(count)`, which returns a function that
            enqueues `count` kernels of some milliseconds, and `end_step()`, which waits where the device could be too slow.
        copy_bytes: the size of a large copy; it takes some milliseconds.
        image_side: width and height of images, of which 8 are such a copy or smaller.
        agree_within: share of the time by which events may differ from the profiler's union, on loops whose kernels take more than 1 ms.
            A device that idles while the host issues work counts as busy, and a host issues slowly while other tests use its cores.
        drift_ppm: by how much the device's clock is known to run faster than the host's; None: unknown.
    """

    name: str
    setup: str
    copy_bytes: int
    image_side: int
    agree_within: float
    drift_ppm: float | None

    @property
    def is_cuda(self) -> bool:
        return self.name.startswith("cuda")


_CUDA = """
import torch
DEVICE = "cuda:0"
def make_work(count):
    matrix = torch.rand(4096, 4096, device=DEVICE)
    def work():
        for _ in range(count):
            torch.mm(matrix, matrix)
    return work
def end_step():
    torch.cuda.synchronize()  # as loss.item() does
"""

_SIMULATED = """
import sys
sys.path.insert(0, {folder!r})
import simgpu
import torch
simgpu.load({library!r}, {log_stem!r})
simgpu.set_drift_ppm({drift_ppm})
simgpu.set_copy_rate(1 / 16)  # bytes a nanosecond: so slow that the time in which the host moves the data does not count
DEVICE = "simgpu:0"
def make_work(count):
    one = torch.ones(1, device=DEVICE)
    return lambda: torch.simgpu.busy(one, 1500 * count)
def end_step():
    pass  # else a host that wakes up late would seem to be a busy device
"""


def cuda_device() -> Device:
    """The first CUDA device."""
    return Device("cuda:0", _CUDA, 128 * MIB, 256, 0.03, None)


def simulated_device(log_folder: pathlib.Path) -> Device:
    """The simulated accelerator; skips the test where it cannot be built."""
    sources = pathlib.Path(__file__).parents[1] / "accelerator"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(sources))
        from accelerator_library import library_for_agent
    library, reason = library_for_agent()
    if library is None:
        pytest.skip(reason)
    drift_ppm = 100.0
    setup = _SIMULATED.format(folder=str(sources), library=str(library), log_stem=str(log_folder / "log"), drift_ppm=drift_ppm)
    return Device("simgpu:0", setup, MIB // 4, 48, 0.1, drift_ppm)


WAITING_SET = """
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
"""

COMPUTE = (
    WAITING_SET
    + """
def make_train_step():
    work = make_work(4)
    def train_step(batch):
        work()
        end_step()
    return train_step
"""
)

COPY = """
import time
import torch
from torch.utils.data import Dataset

class Large(Dataset):
    def __init__(self):
        self.image = torch.zeros(COPY_BYTES // 4)
        if IS_PINNED:
            self.image = self.image.pin_memory()
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep(WAIT_S)
        return self.image

train_set = Large()

def collate_fn(samples):
    return samples[0]

def make_train_step():
    work = make_work(1)
    return lambda batch: work()
"""

PLAIN = """
import torch
from torch.utils.data import Dataset

class Images(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        return torch.full((3, IMAGE_SIDE, IMAGE_SIDE), float(index))

train_set = Images()

def make_train_step():
    work = make_work(1)
    return lambda batch: work()
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

GRAPH = (
    WAITING_SET
    + """
def make_train_step():
    matrix, out = torch.rand(4096, 4096, device="cuda"), torch.empty(4096, 4096, device="cuda")
    graphs = []
    def train_step(batch):
        if not graphs:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                torch.mm(matrix, matrix, out=out)
            torch.cuda.current_stream().wait_stream(side)
            graphs.append(torch.cuda.CUDAGraph())
            with torch.cuda.graph(graphs[0]):
                torch.mm(matrix, matrix, out=out)
        graphs[0].replay()
    return train_step
"""
)

BROKEN = (
    WAITING_SET
    + """
def make_train_step():
    table, calls = torch.zeros(10, device="cuda"), []
    def train_step(batch):
        calls.append(1)
        table[torch.full((4,), 10 if len(calls) > 20 else 1, device="cuda")].sum()
    return train_step
"""
)

DRIFT = """
import json
import time

def passed():
    # An event, the host's time when the device passed it, and the bound of the error; the best of some tries.
    tries = []
    for _ in range(50):
        event = torch.Event(DEVICE, enable_timing=True)
        before_ns = time.perf_counter_ns()
        event.record()
        event.synchronize()
        after_ns = time.perf_counter_ns()
        tries.append(((after_ns - before_ns) / 2, (before_ns + after_ns) / 2, event))
    return min(tries, key=lambda one: one[0])

make_work(1)()
torch.accelerator.synchronize()
first_half_ns, first_ns, first = passed()
time.sleep(SECONDS)
last_half_ns, last_ns, last = passed()
device_ns, host_ns = first.elapsed_time(last) * 1e6, last_ns - first_ns
rounded_ns = device_ns * 2.0**-23  # elapsed_time is a float32
print(json.dumps([(device_ns / host_ns - 1) * 1e6, (first_half_ns + last_half_ns + rounded_ns) / host_ns * 1e6]))
"""

EVENTS = """
import json
import sys
import time
from loaderscope.agent import instrument
from loaderscope.agent.device import DeviceClock

tensor = torch.zeros(1000, device=DEVICE)
clock = DeviceClock(torch.device(DEVICE))

def seconds(is_marked):
    begin_s = time.perf_counter()
    for batch in range(BATCHES):
        before = clock.mark() if is_marked else None
        tensor.zero_()
        if is_marked:
            clock.add(batch, None, clock.since(before))
            clock.poll()
    passed_s = time.perf_counter() - begin_s
    torch.accelerator.synchronize()
    return passed_s

instrument.start_recording(sys.argv[1], 60.0)
seconds(True), seconds(False)
pairs = [(seconds(True), seconds(False)) for _ in range(3)]
clock.finish()
instrument.stop_recording()
print(json.dumps([[(marked - plain) / BATCHES * 1e6 for marked, plain in pairs], clock.failure]))
"""


def copies(device: Device, wait_s: float, is_pinned: bool = True) -> str:
    """A script whose batches are one large tensor each."""
    return device.setup + f"COPY_BYTES, IS_PINNED, WAIT_S = {device.copy_bytes}, {is_pinned}, {wait_s}\n" + COPY
