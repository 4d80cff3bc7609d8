"""Selects the batches of a trial's steady state, and divides them into blocks.

It leaves out the first prefetch window (main asked for those batches before it took the first) and the tail in which main hands
out no more indices and the queue only drains: `num_workers * prefetch_factor` batches each. With 0 workers it leaves out the
first and the last batch (lazy initialisation, a smaller batch).

A stock of ready batches that piled up while main was busy elsewhere (a slow first step) may last longer than that. `drained`
counts the batches that main took from the stock, so that the pace can be corrected to one that workers can sustain.

Batches arrive in bursts of `num_workers`, so the length of a block is a multiple of it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from loaderscope.agent.epoch_count import EPOCHS_FOR_INTERVAL
from loaderscope.agent.layout import State
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.epochs import EpochRun
from loaderscope.analysis.span_lookup import Int64Array, covered_ns, spans_of, worker_lanes
from loaderscope.trace.model import Trace

MIN_BLOCKS_VALUE = 2
MIN_BLOCKS_INTERVAL = 6
TARGET_BLOCKS = 16
"""Longer blocks are less correlated with their neighbours, and more than about 16 blocks hardly narrow Student's t."""

DEFAULT_PREFETCH_FACTOR = 2  # torch/utils/data/dataloader.py, with workers


@dataclasses.dataclass(frozen=True)
class Window:
    """The steady batches `first` to `last` (exclusive) of one epoch; a whole number of blocks."""

    epoch: EpochRun
    first: int
    last: int

    @property
    def host_bounds_ns(self) -> tuple[int, int]:
        """Returns start and end of the window on the main process's clock."""
        return int(self.epoch.host_done_ns[self.first - 1]), int(self.epoch.host_done_ns[self.last - 1])


@dataclasses.dataclass(frozen=True)
class Steady:
    """The steady part of a trial.

    Attributes:
        block_batches: batches in a block.
        block_ns: duration of every block of all windows.
        drained: batches by which the stock of ready batches shrank during each window.
        reason: one sentence on why there are too few blocks for a value or an interval, or None.
    """

    windows: list[Window]
    block_batches: int
    block_ns: Int64Array
    drained: list[int]
    reason: str | None

    @property
    def blocks(self) -> int:
        return len(self.block_ns)

    @property
    def batches(self) -> int:
        return sum(window.last - window.first for window in self.windows)

    @property
    def host_bounds_ns(self) -> list[tuple[int, int]]:
        """Start and end of each window on the main process's clock."""
        return [window.host_bounds_ns for window in self.windows]

    def covered_ns(self, start_ns: Int64Array, end_ns: Int64Array) -> int:
        """Returns how much of it some spans cover; spans that overlap count once."""
        return sum(covered_ns(start_ns, end_ns, low, high) for low, high in self.host_bounds_ns)

    def covered_share(self, start_ns: Int64Array, end_ns: Int64Array) -> float | None:
        """Returns the share of it that some spans cover; None if it is empty."""
        total_ns = sum(high - low for low, high in self.host_bounds_ns)
        return self.covered_ns(start_ns, end_ns) / total_ns if total_ns > 0 else None

    def of_epoch(self, index: int) -> Steady:
        """Returns the part that lies in one epoch."""
        parts = [
            (window, drained, np.full((window.last - window.first) // self.block_batches, window.epoch.index == index))
            for window, drained in zip(self.windows, self.drained, strict=True)
        ]
        is_inside = np.concatenate([inside for _, _, inside in parts]) if parts else np.empty(0, np.bool_)
        own = [(window, drained) for window, drained, _ in parts if window.epoch.index == index]
        return Steady([window for window, _ in own], self.block_batches, self.block_ns[is_inside], [drained for _, drained in own], None)


def edge_batches(config: TrialConfig) -> int:
    """Returns the number of batches left out at each end of an epoch."""
    if not config.num_workers:
        return 1
    return config.num_workers * (config.prefetch_factor or DEFAULT_PREFETCH_FACTOR)


def batches_for_rate(config: TrialConfig, warm_up: int = 0) -> int:
    """Returns the fewest batches of an epoch that give a throughput; `warm_up`: see `find_steady`."""
    edge = edge_batches(config)
    return max(edge, warm_up) + edge + MIN_BLOCKS_VALUE * max(config.num_workers, 1)


def batches_for_interval(config: TrialConfig) -> int:
    """Returns the fewest batches of an epoch that give an interval."""
    return 2 * edge_batches(config) + MIN_BLOCKS_INTERVAL * max(config.num_workers, 1)


def find_steady(  # noqa: PLR0917
    trace: Trace, epochs: list[EpochRun], config: TrialConfig, full_batches: int | None = None, warm_up: int = 0, gave_all: bool = False
) -> Steady:
    """Returns the steady part of a trial.

    Args:
        trace: of the trial.
        epochs: of the trace.
        config: the setting of the trial.
        full_batches: batches of a full epoch, if known: more cannot be asked for.
        warm_up: batches at the start of the trial that are left out at least.
        gave_all: whether the script of a training gave no more batches, so that it is no use to ask for more.
    """
    burst, edge = max(config.num_workers, 1), edge_batches(config)
    sent_ns = _sent_ns(trace)
    candidates = []
    for epoch in epochs:
        first = edge if epoch.index else max(edge, warm_up)
        last = epoch.batches - (edge if epoch.complete else 0)
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
    drained = [_drained(window, burst, sent_ns) for window in windows]
    return Steady(windows, block, block_ns, drained, _reason(len(block_ns), epochs, config, full_batches, gave_all))


def _sent_ns(trace: Trace) -> Int64Array:
    ends = [(spans_of(trace, lane, State.TRANSMIT) or spans_of(trace, lane, State.SEND)).end_ns for lane in worker_lanes(trace).values()]
    return np.sort(np.concatenate(ends)) if ends else np.empty(0, np.int64)


def _drained(window: Window, burst: int, sent_ns: Int64Array) -> int:
    """Returns by how many batches the stock of ready batches shrank during a window; 0 up to a burst, which is chance."""
    epoch = window.epoch
    taken = np.array([window.first, window.last])
    before = int(np.searchsorted(sent_ns, epoch.start_ns))
    ready = np.searchsorted(sent_ns, epoch.host_done_ns[taken - 1], side="right") - before - taken
    fewer = int(ready[0] - ready[1])
    return fewer if len(sent_ns) and fewer > burst else 0


def _reason(blocks: int, epochs: list[EpochRun], config: TrialConfig, full_batches: int | None, gave_all: bool) -> str | None:
    if blocks >= MIN_BLOCKS_INTERVAL:
        return None
    received = sum(epoch.batches for epoch in epochs)
    edge = edge_batches(config)
    workers = "1 worker" if config.num_workers == 1 else f"{config.num_workers} workers"
    left_out = "the first and the last batch" if not config.num_workers else f"the first and last {edge} batches of an epoch ({workers})"
    missing = "no throughput" if blocks < MIN_BLOCKS_VALUE else "no interval"
    have = f"{received} batch{' leaves' if received == 1 else 'es leave'} {blocks} block{'' if blocks == 1 else 's'} in steady state"
    advice = "the script gave no more" if gave_all else f"{_enough_text(config, full_batches)} are enough"
    return f"{missing}: {have} after {left_out}; {advice}."


def _enough_text(config: TrialConfig, full_batches: int | None) -> str:
    """Returns the batches that give an interval, or the options that do so if an epoch has not so many."""
    enough = batches_for_interval(config)
    if full_batches is None or full_batches >= enough:
        return f"{enough} batches an epoch"
    blocks_in_epoch = (full_batches - 2 * edge_batches(config)) // max(config.num_workers, 1)
    epochs = math.ceil(MIN_BLOCKS_INTERVAL / blocks_in_epoch) if blocks_in_epoch > 0 else EPOCHS_FOR_INTERVAL
    return f"all {full_batches} batches of several epochs (--batches all --epochs {epochs})"
