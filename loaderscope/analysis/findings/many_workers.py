"""Finds more workers than usable cores: in a measured setting, or in the user's own, which was not measured."""

from __future__ import annotations

import dataclasses

from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.intervals import mean
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Finding
from loaderscope.facts.measures import NOTABLE_SHARE
from loaderscope.facts.results import SettingResult
from loaderscope.facts.settings import same_but
from loaderscope.facts.text import bytes_text, count_text, duration_text, share_text

MIN_GAIN = 1.05
"""A training at least so many times as fast is a gain."""
LEAST_CPU_SHARE = 0.2
"""Where a fetch computes for less of its time, its waiting decides how many workers pay, and only a trial can tell."""
ABOVE_USEFUL = 1.5
"""So many times the workers that keep all cores busy are too many."""
NOTABLE_BYTES = 1 << 30
"""So much memory for nothing is a warning."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the setting with most workers, if these are more than the cores, and one about the user's own."""
    cpus = context.usable_cpus
    if cpus is None:
        return []
    return [*_measured(context, cpus), *_unmeasured(context, cpus)]


def _measured(context: Context, cpus: int) -> list[Finding]:
    above = [setting for setting in context.settings if setting.config.num_workers > cpus and context.trials_of(setting)]
    if not above:
        return []
    most = max(above, key=lambda setting: setting.config.num_workers)
    within = _best_within(context, most.config, cpus)
    gain = None
    if within is not None and within.train_s is not None and most.train_s:
        gain = within.train_s / most.train_s
    name = context.name_of(most.config)
    message = f"{name} {'are' if context.recorded is None else 'has'} more workers than the {cpus} usable cores: they take turns."
    message = message[:1].upper() + message[1:]
    if within is not None and gain is not None:
        message += f" The training takes {duration_text(most.train_s)} instead of {duration_text(within.train_s)} with "
        message += context.name_of(within.config)
        if most.peak_total_bytes is not None and within.peak_total_bytes is not None:
            message += f", and {bytes_text(most.peak_total_bytes)} of memory instead of {bytes_text(within.peak_total_bytes)}"
        message += "."
    pays = gain is not None and gain >= MIN_GAIN
    is_wasted = gain is not None and not pays
    saved_s = context.gain_between(most, within) if within is not None and is_wasted else None
    return [
        Finding(
            code="more-workers-than-cores",
            severity=context.severity_of(most) if is_wasted else "info",
            trials=[number for setting in above for number in setting.trials],
            message=message,
            evidence={
                "usable_cpus": cpus,
                "num_workers": most.config.num_workers,
                "speed_ratio": None if gain is None else round(gain, 4),
            },
            advice=f"Use at most {cpus} workers." if is_wasted else "So many pay only while most of them wait, for a disk or the network.",
            gain_s=saved_s if saved_s is not None and saved_s.value > 0 else None,
            change=f"num_workers={within.config.num_workers}" if within is not None and is_wasted else "",
        )
    ]


def _unmeasured(context: Context, cpus: int) -> list[Finding]:
    """Returns a forecast for the user's own setting: its workers are known to compute, so that more of them than cores take turns."""
    current = context.current
    if current is None or current.num_workers <= cpus or current.backend == "thread" or context.recorded is not None:
        return []
    if any(setting.config.num_workers >= current.num_workers for setting in context.settings):
        return []
    within = _best_within(context, current, cpus)
    cpu_share = _cpu_share(context)
    if within is None or cpu_share is None or cpu_share < LEAST_CPU_SHARE:
        return []
    useful = cpus / cpu_share
    if current.num_workers < ABOVE_USEFUL * useful:
        return []
    best, extra = within.config.num_workers, current.num_workers - within.config.num_workers
    worker_bytes, start_s = _worker_bytes(context), _start_seconds(context)
    saved_s = None if start_s is None or current.persistent_workers else extra * start_s * _epochs(context, within)
    extra_bytes = None if worker_bytes is None else extra * worker_bytes
    is_slower = saved_s is not None and saved_s >= NOTABLE_SHARE * (saved_s + (within.train_s or 0.0))
    costs = [
        *([f"{duration_text(extra * start_s)} to start them before each epoch"] if start_s is not None else []),
        *([f"{bytes_text(extra_bytes)} of memory"] if extra_bytes is not None else []),
    ]
    return [
        Finding(
            code="too-many-workers",
            severity="warning" if is_slower or (extra_bytes or 0) >= NOTABLE_BYTES else "info",
            trials=within.trials,
            message=(
                f"The loader has num_workers={current.num_workers} for {count_text(cpus, 'usable core')}. A fetch computes "
                f"{share_text(cpu_share)} of its time, so that {count_text(round(useful), 'worker')} keep all cores busy; others only "
                f"take turns. The fastest measured setting has {best}."
                + (f" The {extra} above that cost about {' and '.join(costs)}." if costs else "")
            ),
            evidence={
                "usable_cpus": cpus,
                "num_workers": current.num_workers,
                "best_num_workers": best,
                "fetch_cpu_share": round(cpu_share, 4),
                "useful_workers": round(useful, 1),
                "start_worker_s": start_s,
                "worker_bytes": worker_bytes,
            },
            advice=f"Use {count_text(best, 'worker')}.",
            gain_s=None if saved_s is None else Estimate(saved_s),
            change=f"num_workers={best}",
        )
    ]


def _best_within(context: Context, config: TrialConfig, cpus: int) -> SettingResult | None:
    """Returns the setting with the shortest training that differs in workers only and has no more of them than there are cores."""
    within = [setting for setting in context.settings if setting.config.num_workers <= cpus and setting.train_s]
    alike = [setting for setting in within if same_but("num_workers", setting.config, _closed(config, setting.config))]
    return min(alike, key=lambda setting: setting.train_s or 0.0, default=None)


def _closed(config: TrialConfig, other: TrialConfig) -> TrialConfig:
    """Returns a setting with another's values where the script leaves them open."""
    names = ("start_method", "batch_size", "prefetch_factor", "persistent_workers", "in_order", "backend")
    return dataclasses.replace(config, **{name: getattr(other, name) for name in names if getattr(config, name) is None})


def _cpu_share(context: Context) -> float | None:
    """Returns the processor time of a fetch as a share of its time, without the time for which its process waited for a core."""
    shares = []
    for trial in context.good:
        share = trial.signs.fetch_cpu_share if trial.signs is not None else None
        if share is not None:
            delay = (trial.disturbance.run_delay_cores if trial.disturbance is not None else None) or 0.0
            had_core = 1.0 - delay / max(1, trial.config.num_workers)
            shares.append(share / had_core if had_core > share else 1.0)
    return max(shares, default=None)


def _worker_bytes(context: Context) -> float | None:
    """Returns the memory that a worker has for itself, on average over the trials."""
    workers = [worker for trial in context.good if trial.memory is not None for worker in trial.memory.workers]
    known = [worker.peak_uss_bytes for worker in workers if worker.peak_uss_bytes is not None]
    return mean(known) if known else None


def _start_seconds(context: Context) -> float | None:
    """Returns the seconds for which main starts one worker, on average; it starts one after another."""
    startups = [trial.startup for trial in context.good if trial.startup is not None]
    known = [phase.seconds for startup in startups for phase in startup.phases if phase.phase == "start_worker"]
    return mean(known) if known else None


def _epochs(context: Context, setting: SettingResult) -> float:
    return mean([context.training.epochs_of(trial) for trial in context.trials_of(setting)])
