"""Throughput lost to recording: `pytest -m benchmark tests/benchmarks/bench_overhead.py -s`.

Plain and recorded epochs of one and the same dataset alternate in one process, in an order that is drawn for each pair, and
each pair gives one ratio. Printed is the median ratio of throughputs with a 95 % interval (order statistics) beside its
budget. On a busy machine single ratios swing by tens of percent; the interval says how far the median can be trusted.
"""

import random
import statistics
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from loaderscope.agent import instrument

BATCH_SIZE = 32
SECONDS_A_RUN = 0.4
PAIRS = {50: 25, 1000: 25, 10_000: 5}
"""By microseconds a sample; a run has at least 12 batches."""
BUDGETS = {50: 0.02, 1000: 0.01, 10_000: 0.01}
"""Share of throughput that may be lost, by microseconds a sample."""


class Computing(Dataset):
    """Computes for a known time a sample; waiting would hide what recording costs."""

    def __init__(self, sample_us: int, length: int) -> None:
        self.sample_ns = sample_us * 1000
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        end_ns = time.perf_counter_ns() + self.sample_ns
        while time.perf_counter_ns() < end_ns:
            pass
        return torch.zeros(16)


def steady_rate(loader: DataLoader) -> float:
    """Batches a second between the second batch and the last; start-up is not what is asked for here."""
    times = [time.perf_counter() for _ in loader]
    return (len(times) - 2) / (times[-1] - times[1])


def median_with_interval(ratios: "list[float]") -> "tuple[float, float, float]":
    """The median and the order statistics that hold it with about 95 % (binomial, normal approximation)."""
    ordered = sorted(ratios)
    half = 0.98 * len(ordered) ** 0.5
    low, high = round(len(ordered) / 2 - half) - 1, round(len(ordered) / 2 + half)
    return statistics.median(ordered), ordered[max(low, 0)], ordered[min(high, len(ordered) - 1)]


@pytest.mark.benchmark
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("sample_us", list(BUDGETS))
def test_throughput_kept(sample_us, workers, tmp_path):
    batches = max(12, int(SECONDS_A_RUN * 1e6 / (sample_us * BATCH_SIZE)) * max(workers, 1))
    dataset = Computing(sample_us, batches * BATCH_SIZE)
    order = random.Random(0)

    def rate(recorded: bool) -> float:
        if not recorded:
            instrument.uninstall()
            return steady_rate(DataLoader(dataset, BATCH_SIZE, num_workers=workers))
        instrument.install()
        instrument.start_recording(str(tmp_path), 60.0)
        try:
            return steady_rate(DataLoader(dataset, BATCH_SIZE, num_workers=workers))
        finally:
            instrument.stop_recording()

    rate(False)
    ratios = []
    for _ in range(PAIRS[sample_us]):
        first = order.random() < 0.5
        rates = {recorded: rate(recorded) for recorded in (first, not first)}
        ratios.append(rates[True] / rates[False])
    instrument.uninstall()
    median, low, high = median_with_interval(ratios)
    budget = 1 - BUDGETS[sample_us]
    kept = f"{median:.4f} of the plain throughput [{low:.3f}, {high:.3f}]"
    print(f"\n{sample_us:6d} µs a sample, {workers} workers: {kept} (budget {budget:.2f})")
    assert high > budget - 0.1, "far beyond the budget: broken, not just a busy machine"
