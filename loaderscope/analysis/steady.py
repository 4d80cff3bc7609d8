"""Which batches of a trial were measured in steady state, and how they fall into blocks.

Left out are the first prefetch window (those batches were asked for before the first was taken) and the tail in which no
index is handed out any more and the queue only drains: `num_workers * prefetch_factor` batches each. With 0 workers it is
the first and the last batch (lazy initialisation, a smaller batch). Where a stock of ready batches, piled up while the
workers started, is still being eaten at the start of the window, the window starts later.

Batches arrive in bursts of `num_workers`, so what is counted are blocks whose length is a multiple of it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from loaderscope.agent.layout import State
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.spans import Int64Array, spans_of, worker_lanes
from loaderscope.trace.model import Trace

MIN_BLOCKS_VALUE = 2
MIN_BLOCKS_INTERVAL = 6
TARGET_BLOCKS = 16
"""Longer blocks are less correlated with their neighbours; beyond about 16 of them Student's t gains next to nothing."""

DEFAULT_PREFETCH_FACTOR = 2  # torch/utils/data/dataloader.py, with workers


@dataclasses.dataclass(frozen=True)
class Window:
    """Steady batches `first` to `last` (exclusive) of one epoch; a whole number of blocks."""

    epoch: EpochRun
    first: int
    last: int

    @property
    def host_bounds_ns(self) -> tuple[int, int]:
        """Start and end of the window on the main process's clock."""
        return int(self.epoch.host_done_ns[self.first - 1]), int(self.epoch.host_done_ns[self.last - 1])


@dataclasses.dataclass(frozen=True)
class Steady:
    """The steady part of a trial.

    Attributes:
        block_batches: batches in a block.
        block_ns: duration of every block of all windows.
        reason: one sentence on why there are too few blocks for a value or an interval, or None.
    """

    windows: list[Window]
    block_batches: int
    block_ns: Int64Array
    reason: str | None

    @property
    def blocks(self) -> int:
        return len(self.block_ns)

    @property
    def batches(self) -> int:
        return sum(window.last - window.first for window in self.windows)


def edge_batches(config: TrialConfig) -> int:
    """Batches left out at each end of an epoch."""
    if not config.num_workers:
        return 1
    return config.num_workers * (config.prefetch_factor or DEFAULT_PREFETCH_FACTOR)


def batches_for_interval(config: TrialConfig) -> int:
    """The fewest batches an epoch must have to give an interval."""
    return 2 * edge_batches(config) + MIN_BLOCKS_INTERVAL * max(config.num_workers, 1)


def find_steady(trace: Trace, epochs: list[EpochRun], config: TrialConfig) -> Steady:
    """The steady part of a trial."""
    burst, edge = max(config.num_workers, 1), edge_batches(config)
    sent_ns = _sent_ns(trace)
    candidates = []
    for epoch in epochs:
        last = epoch.batches - (edge if epoch.complete else 0)
        first = _after_stock(epoch, edge, last, burst, sent_ns)
        if last - first >= burst:
            candidates.append((epoch, first, last))
    available = sum(last - first for _, first, last in candidates)
    longest = max((last - first for _, first, last in candidates), default=0)
    block = burst * max(1, min(available // (burst * TARGET_BLOCKS), longest // burst))
    windows, durations = [], []
    for epoch, first, last in candidates:
        count = (last - first) // block
        if count:
            windows.append(Window(epoch, first, first + count * block))
            durations.append(np.diff(epoch.done_ns[first - 1 : first + count * block : block]))
    block_ns = np.concatenate(durations) if durations else np.empty(0, np.int64)
    return Steady(windows, block, block_ns, _reason(len(block_ns), epochs, config))


def _sent_ns(trace: Trace) -> Int64Array:
    ends = [spans_of(trace, lane, State.SEND).end_ns for lane in worker_lanes(trace).values()]
    return np.sort(np.concatenate(ends)) if ends else np.empty(0, np.int64)


def _after_stock(epoch: EpochRun, first: int, last: int, burst: int, sent_ns: Int64Array) -> int:
    """The first steady batch: later than `first` while more batches lie ready than usual, but at most half way."""
    sent = sent_ns[(sent_ns >= epoch.start_ns) & (sent_ns < epoch.end_ns)]
    if last - first < 2 * burst or not len(sent):
        return first
    done_ns = epoch.host_done_ns[first - 1 : last - 1]
    ready = np.searchsorted(sent, done_ns, side="right") - np.arange(first, last)
    usual = ready <= np.median(ready) + burst
    return first + min(int(np.argmax(usual)), (last - first) // 2)


def _reason(blocks: int, epochs: list[EpochRun], config: TrialConfig) -> str | None:
    if blocks >= MIN_BLOCKS_INTERVAL:
        return None
    received = sum(epoch.batches for epoch in epochs)
    edge = edge_batches(config)
    workers = "1 worker" if config.num_workers == 1 else f"{config.num_workers} workers"
    left_out = "the first and the last batch" if not config.num_workers else f"the first and last {edge} batches of an epoch ({workers})"
    missing = "no throughput" if blocks < MIN_BLOCKS_VALUE else "no interval"
    have = f"{received} batches leave {blocks} block{'' if blocks == 1 else 's'} in steady state"
    return f"{missing}: {have} after {left_out}; {batches_for_interval(config)} batches an epoch are enough."
