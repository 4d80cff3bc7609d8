"""Says what limits the fetches of a setting: the processor, the disk, or something that all workers share.

A fetch that waits proves nothing by itself: it may sleep, or wait for the network. So it counts what its thread was seen to wait for.
Time for which a thread is ready and has no core is none of these: all shares are shares of the rest.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.intervals import mean
from loaderscope.facts.evidence import ProcessBeside, Signs
from loaderscope.facts.findings import Place
from loaderscope.facts.results import SettingResult
from loaderscope.facts.settings import same_but
from loaderscope.facts.thread_waits import ThreadWait

MIN_FETCH_SHARE = 0.5
"""Fetches are what limits the loader only if workers fetch for this share of the steady state."""
COMPUTING_SHARE = 0.8
"""A fetch computes if CPU time is this share of its time; the rest is memory that it waits for, and other programs."""
MIN_WAIT_SHARE = 0.25
"""A kind of wait matters from this share of a fetch's time on, at the lower end of its 95 % interval."""
MIN_LOOKS = 20
"""Fewer looks at fetches give no share of waits."""
MIN_DISK_SHARE = 0.05
"""Share of the bytes read that come from disk: below, a fetch waits for the page cache at most."""
BUSY_CORES = 0.5
"""A process beside the workers that takes less, or would if it had a core at once, is not what they wait for."""
SATURATED_CORES = 0.8
"""A process of Python computes on one core at most: from here on it cannot serve more workers."""
MOST_DELAY = 0.8
"""Of a fetch that waits longer for a core, too little is left to tell."""
FLAT_SHARE = 0.35
"""Throughput is flat if it rises by no more than this share of what the added workers would give."""
MIN_SLOWING = 0.6
"""... and a fetch takes longer by this share of what it would if the workers took turns."""

MOST_PLACES = 3


@dataclasses.dataclass(frozen=True)
class Flat:
    """A setting with fewer workers, which is about as fast; ratio: of the throughputs."""

    fewer: SettingResult
    ratio: float


@dataclasses.dataclass(frozen=True)
class Fetching:
    """What the trials of a setting show of its fetches together; shares of their time without what they wait for a core.

    Attributes:
        cpu_share: CPU time.
        fetch_share: share of the steady state for which a worker fetches.
        looks: at what fetches wait for, without those at threads that wait for a core.
        waits: by `ThreadWait.key`.
        disk_share: of the bytes read.
        beside: the busiest process beside the workers.
        longest: places of the longest fetches.
    """

    cpu_share: float | None
    fetch_share: float | None
    looks: int
    waits: dict[str, float]
    disk_share: float | None
    beside: ProcessBeside | None
    longest: list[Place]

    @property
    def is_limit(self) -> bool:
        """Whether the fetches limit the loader."""
        return (self.fetch_share or 0.0) >= MIN_FETCH_SHARE

    def wait(self, *kinds: ThreadWait) -> float:
        """Returns the share of a fetch's time for which it waits for any of these."""
        return min(1.0, sum(self.waits.get(kind.key, 0.0) for kind in kinds))

    def bounds(self, *kinds: ThreadWait) -> tuple[float, float]:
        """Returns the 95 % interval of that share (normal approximation of a binomial)."""
        share = self.wait(*kinds)
        half = 1.96 * math.sqrt(share * (1 - share) / self.looks) if self.looks else 1.0
        return max(0.0, share - half), min(1.0, share + half)

    def waits_for(self, *kinds: ThreadWait) -> bool:
        """Whether it waits for any of these for a notable share of its time."""
        return self.looks >= MIN_LOOKS and self.bounds(*kinds)[0] >= MIN_WAIT_SHARE


@dataclasses.dataclass(frozen=True)
class SharedLimit:
    """Something that all workers share and wait for.

    Attributes:
        fetching: of the setting.
        kinds: what they were seen to wait for.
        process: the process that they wait for; None for a lock.
        flat: a setting with fewer workers that is about as fast, if one was measured.
    """

    fetching: Fetching
    kinds: tuple[ThreadWait, ...]
    process: ProcessBeside | None
    flat: Flat | None

    @property
    def is_saturated(self) -> bool:
        """Whether it is proven that more workers do not help."""
        return self.flat is not None or (self.process is not None and self.process.busy_cores >= SATURATED_CORES)


def fetching_of(context: Context, setting: SettingResult) -> Fetching | None:
    """Returns what a setting's trials show of its fetches; None without evidence."""
    trials = context.trials_of(setting)
    uses = [(trial, trial.signs.fetch_use) for trial in trials if trial.signs is not None and trial.signs.fetch_use is not None]
    if not uses:
        return None
    looks = sum(use.looks for _, use in uses)
    keys = {key for _, use in uses for key in use.waits}
    waits = {key: sum(use.looks * use.waits.get(key, 0.0) for _, use in uses) / looks for key in keys} if looks else {}
    cpu_share = _mean(context, setting, lambda signs: signs.fetch_cpu_share)
    delays = [use.run_delay_cores / setting.config.num_workers for _, use in uses if use.run_delay_cores is not None]
    with_core = 1 - min(mean(delays) if delays else 0.0, max(0.0, waits.get(ThreadWait.NOTHING.key, 1.0) - (cpu_share or 0.0)), MOST_DELAY)
    places = [Place(trial.id, fetch.lane, fetch.start_s, fetch.seconds) for trial, use in uses for fetch in use.longest]
    return Fetching(
        cpu_share=None if cpu_share is None else cpu_share / with_core,
        fetch_share=_mean(context, setting, lambda signs: signs.fetch_use.fetch_share if signs.fetch_use is not None else None),
        looks=round(looks * with_core),
        waits={wait.key: waits[wait.key] / with_core for wait in ThreadWait if wait.key in waits and wait is not ThreadWait.NOTHING},
        disk_share=max((trial.disk_share for trial in trials if trial.disk_share is not None), default=None),
        beside=max((use.beside[0] for _, use in uses if use.beside), key=lambda process: process.busy_cores, default=None),
        longest=sorted(places, key=lambda place: -place.seconds)[:MOST_PLACES],
    )


def shared_limit_of(context: Context, setting: SettingResult) -> SharedLimit | None:
    """Returns what all workers of a setting wait for: a process of the script's, or a lock; None if nothing such is proven."""
    fetching = fetching_of(context, setting)
    if fetching is None or not fetching.is_limit or setting.config.backend == "thread":
        return None
    if (fetching.cpu_share or 0.0) >= COMPUTING_SHARE:
        return None
    flat = _flat(context, setting)
    beside = fetching.beside if fetching.beside is not None and fetching.beside.busy_cores >= BUSY_CORES else None
    if beside is not None and fetching.waits_for(ThreadWait.PROCESS):
        return SharedLimit(fetching, (ThreadWait.PROCESS,), beside, flat)
    if fetching.waits_for(ThreadWait.FILE_LOCK):
        return SharedLimit(fetching, (ThreadWait.FILE_LOCK,), None, flat)
    if flat is not None and fetching.waits_for(ThreadWait.LOCK):
        return SharedLimit(fetching, (ThreadWait.LOCK,), None, flat)
    return None


def _flat(context: Context, setting: SettingResult) -> Flat | None:
    """Returns a setting with fewer workers that is about as fast, because each of its fetches takes so much less time."""
    fetch_s = _mean(context, setting, lambda signs: signs.fetch_s)
    if setting.rate is None or fetch_s is None:
        return None
    for fewer in sorted(context.settings, key=lambda one: one.config.num_workers):
        workers, rate = fewer.config.num_workers, fewer.rate
        if not 0 < workers < setting.config.num_workers or rate is None or not rate.value:
            continue
        fewer_fetch_s = _mean(context, fewer, lambda signs: signs.fetch_s)
        if not same_but("num_workers", fewer.config, setting.config) or not fewer_fetch_s:
            continue
        added = setting.config.num_workers / workers - 1
        ratio = setting.rate.value / rate.value
        if ratio - 1 <= FLAT_SHARE * added and fetch_s / fewer_fetch_s - 1 >= MIN_SLOWING * added:
            return Flat(fewer, ratio)
    return None


def _mean(context: Context, setting: SettingResult, figure: Callable[[Signs], float | None]) -> float | None:
    signs = [trial.signs for trial in context.trials_of(setting) if trial.signs is not None]
    known = [value for one in signs if (value := figure(one)) is not None]
    return mean(known) if known else None
