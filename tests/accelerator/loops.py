"""Loops on the simulated accelerator, and the truth about them from its log, for tests and for the benchmark that prints the table."""

from __future__ import annotations

import dataclasses

import numpy as np
from accelerator_log import Kind, Record

from loaderscope.agent.layout import State
from loaderscope.analysis.epochs import MAIN, read_epochs
from loaderscope.analysis.span_lookup import complement, covered_ns, intersection, spans_of
from loaderscope.analysis.steady import find_steady
from loaderscope.facts.results import TrialResult
from loaderscope.trace.model import Trace

BATCH_SIZE = 4

_SCRIPT = """
import time
import torch
from torch.utils.data import Dataset

class Waiting(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        time.sleep({sample_s})
        return torch.full(({sample_floats},), float(index))

train_set = Waiting()

def make_train_step():
    {before}
    torch.simgpu.set_drift_ppm({drift_ppm})
    torch.simgpu.set_copy_rate({copy_bytes_per_ns})
    weights = torch.ones(1, device="{device}")
    stream = torch.Stream("{device}")
    def busy(microseconds):
        torch.simgpu.busy(weights, microseconds)
    def step(batch):
{step}
    return step
"""


@dataclasses.dataclass(frozen=True)
class Loop:
    """A script with a dataset that waits and a step on the device.

    Attributes:
        step: statements of the step; `busy(microseconds)` queues a kernel, `stream` is a second stream.
        sample_s: how long a sample takes.
        copy_ms: how long the copy of a batch takes.
        h2d: how batches are copied; None leaves them on the host.
        drift_ppm: how much faster the device's clock runs.
        device: its name.
        before: a statement that is run before the first batch.
    """

    step: str
    sample_s: float = 0.0005
    copy_ms: float = 0.05
    h2d: str | None = "non_blocking"
    drift_ppm: float = 100.0
    device: str = "simgpu:0"
    before: str = ""

    def script(self) -> str:
        """Returns the script."""
        floats = 50_000 if self.copy_ms >= 1 else 1000
        return _SCRIPT.format(
            sample_s=self.sample_s,
            sample_floats=floats,
            drift_ppm=self.drift_ppm,
            copy_bytes_per_ns=floats * 4 * BATCH_SIZE / (self.copy_ms * 1e6),
            device=self.device,
            before=self.before or "pass",
            step="\n".join(f"        {line}" for line in self.step.splitlines()),
        )


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the device did within the steady windows of a trial, from its log.

    Attributes:
        busy, stall, other_idle: shares of the time; stall: it idles while main waits for data.
        overlap: share of the time of copies to the device during which a kernel ran; None without copies.
        host_waits: when the host waited for the device.
        bounds_ns: the windows.
    """

    busy: float
    stall: float
    other_idle: float
    overlap: float | None
    host_waits: list[Record]
    bounds_ns: list[tuple[int, int]]


def periods(records: list[Record], *kinds: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of the records of these kinds."""
    of_kinds = sorted((record.start_ns, record.end_ns) for record in records if record.kind in kinds)
    starts, ends = zip(*of_kinds, strict=True) if of_kinds else ((), ())
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def truth_of(records: list[Record], result: TrialResult, trace: Trace) -> Truth:
    """The truth in the product's own steady windows."""
    steady = find_steady(trace, read_epochs(trace), result.config)
    bounds_ns = [window.host_bounds_ns for window in steady.windows]
    total_ns = sum(high - low for low, high in bounds_ns)
    work, kernels, copies = (
        periods(records, *kinds) for kinds in ([kind for kind in Kind if kind.is_work], [Kind.KERNEL], [Kind.COPY_TO_DEVICE])
    )
    waits = spans_of(trace, MAIN, State.WAIT)
    busy_ns = sum(covered_ns(*work, low, high) for low, high in bounds_ns)
    stalled = [intersection(complement(*work, low, high), (waits.start_ns, waits.end_ns)) for low, high in bounds_ns]
    stall_ns = sum(int((ends - starts).sum()) for starts, ends in stalled)
    copied_ns = sum(covered_ns(*copies, low, high) for low, high in bounds_ns)
    beside_ns = sum(covered_ns(*intersection(copies, kernels), low, high) for low, high in bounds_ns)
    return Truth(
        busy=busy_ns / total_ns,
        stall=stall_ns / total_ns,
        other_idle=1 - (busy_ns + stall_ns) / total_ns,
        overlap=beside_ns / copied_ns if copied_ns else None,
        host_waits=[
            record for record in records if not record.kind.is_work and any(low < record.start_ns < high for low, high in bounds_ns)
        ],
        bounds_ns=bounds_ns,
    )
