"""Finds workers that may use fewer cores than they need, because the script or a library of it pins them."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.fetch_limits import fetching_of
from loaderscope.analysis.intervals import mean
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.evidence import FetchUse
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import count_text

_CHANGE = "os.sched_setaffinity(0, range(os.cpu_count()))  # first line of worker_init_fn"


def find(context: Context) -> list[Finding]:
    """Returns one finding about the subject, or else about the setting whose workers lack most cores."""
    pinned = [(setting, missing) for setting in context.settings if (missing := _missing_cores(context, setting)) > 0]
    if not pinned:
        return []
    subject = context.subject
    setting, missing = max(pinned, key=lambda pair: (pair[0] is subject, pair[1]))
    uses = _uses(context, setting)
    allowed, cpus = min(use.allowed_cores or 0 for use in uses), context.usable_cpus or 1
    delays = [use.run_delay_cores for use in uses if use.run_delay_cores is not None]
    gain = _gain(context, setting, allowed, delays)
    waits = f", and {mean(delays):.1f} of their threads wait for a core all the time" if delays else ""
    return [
        Finding(
            code="cpu-affinity",
            severity=context.severity_of_gain(setting, gain),
            trials=setting.trials,
            message=(
                f"With {context.name_of(setting.config)} all workers together may use {allowed} of {count_text(cpus, 'core')}{waits}: "
                "their CPU affinity is narrower than that of the program that started the script."
            ),
            evidence={
                "allowed_cores": allowed,
                "usable_cpus": cpus,
                "num_workers": setting.config.num_workers,
                "missing_cores": missing,
                "run_delay_cores": round(mean(delays), 4) if delays else None,
            },
            advice=(
                f"Find what sets the affinity (a library such as OpenMP with OMP_PROC_BIND or GOMP_CPU_AFFINITY, or the script), or give "
                f"each worker all {count_text(cpus, 'core')} again."
            ),
            gain_s=gain,
            places=fetching.longest if (fetching := fetching_of(context, setting)) is not None else [],
            change=_CHANGE,
        )
    ]


def _uses(context: Context, setting: SettingResult) -> list[FetchUse]:
    signs = [trial.signs for trial in context.trials_of(setting) if trial.signs is not None]
    return [one.fetch_use for one in signs if one.fetch_use is not None and one.fetch_use.allowed_cores is not None]


def _missing_cores(context: Context, setting: SettingResult) -> int:
    """Returns how many of the cores that the workers could use they may not use; workers with a core of their own lack none."""
    allowed = [use.allowed_cores or 0 for use in _uses(context, setting)]
    if context.usable_cpus is None or not allowed or setting.config.backend != "process":
        return 0
    return max(0, min(setting.config.num_workers, context.usable_cpus) - max(allowed))


def _gain(context: Context, setting: SettingResult, allowed: int, delays: list[float]) -> Estimate | None:
    """Returns what more cores save: as far as workers wait for a core, and no more than the cores that they lack give."""
    trials = context.trials_of(setting)
    if not delays or any(trial.is_disturbed for trial in trials):
        return None
    workers, reachable = setting.config.num_workers, min(setting.config.num_workers, context.usable_cpus or 1)
    waiting_share = min(1 - allowed / reachable, mean(delays) / workers)
    share = (setting.wait_share if setting.wait_share is not None else 1.0) * waiting_share
    return context.gain_of_share(setting, share)
