"""Throughput lost to recording: `pytest -m benchmark tests/benchmarks/bench_overhead.py -s` (about 6 minutes).

A plain and a recorded iterator over the same kind of dataset live side by side, each with workers of its own. They take turns:
one is iterated for some tens of milliseconds while the workers of the other have filled their queue and sleep; which one goes
first is drawn for each pair of turns, which gives one ratio. Turns that short see the same other load, so hundreds of them say
more than a few long runs. How the threads of two processes fall into step may stay as it was at their start, so both loaders are
made anew every other second, and what they gave counts as one: their median ratio. Printed is the median of these with a 95 %
interval (order statistics) beside its budget.

Slower samples are left out: a batch of them takes so long that the machine's own pace changes by more than recording could cost.

A sample is a fixed amount of computing. Waiting, or computing until a given time, would hide what recording costs.
"""

import random
import statistics
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from loaderscope.agent import instrument

BATCH_SIZE = 32
PREFETCH_FACTOR = 2
SECONDS = {50: 50, 1000: 50}
"""How long pairs are collected, by microseconds a sample."""
TURN_BATCHES = {50: 24, 1000: 4}
"""Batches of a worker (of main without workers) that are measured in one turn."""
BUDGETS = {50: 0.02, 1000: 0.01}
"""Share of throughput that may be lost, by microseconds a sample."""
LOADERS_S = 2.0
"""For how long turns are taken with the same two iterators."""
PIECE_US = 25
"""Samples compute in pieces so long; in between threads can take turns, as in any Python code."""


def calibrated_zeros() -> "list[int]":
    """A list that takes `PIECE_US` to add up: work that neither allocates nor lets another thread in."""
    zeros = [0] * 10_000
    took_ns = []
    for _ in range(200):
        begin_ns = time.perf_counter_ns()
        sum(zeros)
        took_ns.append(time.perf_counter_ns() - begin_ns)
    return [0] * int(len(zeros) * PIECE_US * 1000 / min(took_ns))


class Computing(Dataset):
    """Computes for a known time a sample, and never ends."""

    def __init__(self, sample_us: int, zeros: "list[int]") -> None:
        self.pieces = sample_us // PIECE_US
        self.zeros = zeros

    def __len__(self) -> int:
        return 1 << 24

    def __getitem__(self, index: int) -> torch.Tensor:
        for _ in range(self.pieces):
            sum(self.zeros)
        return torch.zeros(16)


def turn_s(iterator, settle: int, measured: int) -> float:
    """Seconds for this many batches, once what waited in the queue is used up and the other's workers have filled theirs."""
    for _ in range(settle):
        next(iterator)
    begin = time.perf_counter()
    for _ in range(measured):
        next(iterator)
    return time.perf_counter() - begin


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
    dataset = Computing(sample_us, calibrated_zeros())
    options = {"num_workers": workers, **({"prefetch_factor": PREFETCH_FACTOR} if workers else {})}
    measured = TURN_BATCHES[sample_us] * max(workers, 1)
    settle = 2 * PREFETCH_FACTOR * workers + 1
    order = random.Random(0)

    def switch(recorded: bool) -> None:
        instrument.install() if recorded else instrument.uninstall()

    def turn(iterators, recorded: bool) -> float:
        switch(recorded)
        return turn_s(iterators[recorded], settle, measured)

    def ratio_of_two() -> float:
        """Makes both iterators and takes turns with them; the median ratio."""
        iterators, ratios = {}, []
        for recorded in drawn_order():
            switch(recorded)
            iterators[recorded] = iter(DataLoader(dataset, BATCH_SIZE, **options))
        turn(iterators, False), turn(iterators, True)
        until = time.monotonic() + LOADERS_S
        while not ratios or time.monotonic() < until:
            seconds = {recorded: turn(iterators, recorded) for recorded in drawn_order()}
            ratios.append(seconds[False] / seconds[True])
        return statistics.median(ratios)

    def drawn_order() -> "tuple[bool, bool]":
        first = order.random() < 0.5
        return first, not first

    instrument.install()
    instrument.start_recording(str(tmp_path), 60.0)
    try:
        ratios, until = [], time.monotonic() + SECONDS[sample_us]
        while time.monotonic() < until:
            ratios.append(ratio_of_two())
    finally:
        summary = instrument.stop_recording()
        instrument.uninstall()
    median, low, high = median_with_interval(ratios)
    budget = 1 - BUDGETS[sample_us]
    kept = f"{median:.4f} of the plain throughput [{low:.4f}, {high:.4f}] in {len(ratios)} pairs of loaders"
    print(f"\n{sample_us:6d} µs a sample, {workers} workers: {kept} (budget {budget:.2f})")
    assert summary.records > len(ratios) * measured, "the recorded turns were not recorded"
    assert high > budget - 0.1, "far beyond the budget: broken, not just a busy machine"
