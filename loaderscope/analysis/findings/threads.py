"""Compares threads with worker processes: what they give, what the interpreter's lock (GIL) costs, what its absence would gain.

CPU time over wall time inside a fetch shows the cost of the lock: it is near 1 while a fetch computes undisturbed, and falls when
threads take turns at the lock. It is low in any case while the fetch waits for a disk or the network.
"""

from __future__ import annotations

import dataclasses

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.intervals import mean
from loaderscope.facts.findings import Finding
from loaderscope.facts.measures import BATCH_THROUGHPUT, THROUGHPUT
from loaderscope.facts.results import SettingResult
from loaderscope.facts.settings import normalise
from loaderscope.facts.text import share_text

CONTENDED_SHARE = 0.80
"""Threads contend for the lock if a fetch has less than this share of the processor time that it has elsewhere."""

WAITING_SHARE = 0.30
"""A fetch that computes for a smaller share of its time waits, in threads and processes alike."""

AS_FAST_RATIO = 0.95


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A setting with threads and the setting to compare it with; shares are CPU time over wall time of the fetches."""

    threads: SettingResult
    other: SettingResult
    ratio: float
    threads_share: float | None
    other_share: float | None

    @property
    def is_contended(self) -> bool:
        if self.threads_share is None or self.other_share is None or self.threads.config.num_workers < 2:
            return False
        return self.other_share > WAITING_SHARE and self.threads_share < CONTENDED_SHARE * self.other_share


def find(context: Context) -> list[Finding]:
    """Returns one finding about the most threads that can be compared with processes, else with fewer threads or none."""
    pairs = [pair for setting in context.settings if (pair := _pair(context, setting)) is not None]
    if not pairs:
        return []
    pair = max(pairs, key=lambda pair: (pair.other.config.backend == "process", pair.threads.config.num_workers, -pair.ratio))
    generators = _shared_generators(context)
    sentences = (_rates_text(context, pair), _lock_text(pair, context.free_threaded), _caveat_text(generators))
    message = " ".join(sentence for sentence in sentences if sentence)
    return [
        Finding(
            code="threads",
            severity="info",
            trials=[*pair.threads.trials, *pair.other.trials],
            message=message,
            evidence={
                "throughput_ratio": round(pair.ratio, 4),
                "fetch_cpu_share_threads": pair.threads_share,
                "fetch_cpu_share_compared": pair.other_share,
                "compared_with": dataclasses.asdict(pair.other.config),
                "free_threaded": context.free_threaded,
                "shared_generators": generators,
            },
            advice=_advice(context, pair),
        )
    ]


def _pair(context: Context, setting: SettingResult) -> _Pair | None:
    rate = setting.rate
    if setting.config.backend != "thread" or rate is None:
        return None
    other = _counterpart(context, setting)
    if other is None or other.rate is None or not other.rate.value:
        return None
    return _Pair(setting, other, rate.value / other.rate.value, _cpu_share(context, setting), _cpu_share(context, other))


def _counterpart(context: Context, setting: SettingResult) -> SettingResult | None:
    """The same setting with processes, the fastest of several start methods; else with the fewest threads, or none."""
    timed = [other for other in context.settings if other.rate is not None and other is not setting]
    processes = [other for other in timed if _setting_with_threads(other) == setting.config and other.config.backend == "process"]
    if processes:
        return max(processes, key=lambda other: other.rate.value if other.rate else 0.0)
    fewer = [
        other
        for other in timed
        if other.config.backend in (None, "thread")
        and other.config.num_workers < min(setting.config.num_workers, 2)
        and other.config.batch_size == setting.config.batch_size
    ]
    return min(fewer, key=lambda other: -other.config.num_workers, default=None)


def _setting_with_threads(setting: SettingResult) -> object:
    return normalise(dataclasses.replace(setting.config, backend="thread"))


def _cpu_share(context: Context, setting: SettingResult) -> float | None:
    signs = [trial.signs for trial in context.trials_of(setting) if trial.signs is not None]
    known = [found.fetch_cpu_share for found in signs if found.fetch_cpu_share is not None]
    return mean(known) if known else None


def _shared_generators(context: Context) -> list[str]:
    return sorted({name for trial in context.good for name in trial.shared_generators or ()})


def _rates_text(context: Context, pair: _Pair) -> str:
    threads, other = pair.threads.rate, pair.other.rate
    assert threads is not None
    assert other is not None
    unit = THROUGHPUT.unit if pair.threads.samples_per_second is not None else BATCH_THROUGHPUT.unit
    give = "gives" if pair.other.config.num_workers == 1 else "give"
    return (
        f"With {context.name_of(pair.threads.config)} the loader gives {threads.value:,.0f} {unit}, {pair.ratio:.2f} times the "
        f"{other.value:,.0f} that {context.name_of(pair.other.config)} {give}."
    )


def _lock_text(pair: _Pair, free_threaded: bool | None) -> str:
    threads, other = pair.threads_share, pair.other_share
    if threads is None or other is None:
        return ""
    shares = f"a fetch has a processor {share_text(threads)} of its time in a thread, and {share_text(other)} {_elsewhere_text(pair)}"
    if free_threaded:
        return f"This interpreter runs without the GIL: {shares}."
    if pair.is_contended:
        return (
            f"The threads take turns at the interpreter's lock (GIL): {shares}; so it waits for the lock about "
            f"{share_text(1 - threads / other)} of its time."
        )
    if pair.ratio < AS_FAST_RATIO:
        return shares[:1].upper() + shares[1:] + "."
    if other <= WAITING_SHARE:
        return f"A fetch computes only {share_text(other)} of its time and waits for the rest, when others can run: the GIL costs little."
    return f"The GIL costs little: {shares}."


def _elsewhere_text(pair: _Pair) -> str:
    return "in a worker process" if pair.other.config.backend == "process" else "when it is alone"


def _caveat_text(generators: list[str]) -> str:
    if not generators:
        return ""
    return f"The batches are not comparable: the dataset draws from process-wide generators ({', '.join(generators)}), which threads share."


def _advice(context: Context, pair: _Pair) -> str:
    none_such = "DataLoader itself has no setting for threads."
    if context.free_threaded:
        return f"{none_such} This figure tells what it could gain from one here."
    if pair.is_contended:
        reach = "as fast as processes" if pair.other.config.backend == "process" else "faster with every thread"
        return f"In a free-threaded Python (3.13t and newer) there is no such lock: threads could be {reach}. {none_such}"
    if pair.ratio < AS_FAST_RATIO:
        return f"Whether a free-threaded Python would help cannot be told from these trials. {none_such}"
    return f"A free-threaded Python gains little here. {none_such}"
