"""Finds settings with more workers than usable cores."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.results import Finding, SettingResult
from loaderscope.facts.settings import same_but
from loaderscope.facts.text import bytes_text, duration_text

MIN_GAIN = 1.05
"""A training at least so many times as fast is a gain."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the setting with most workers, if these are more than the cores."""
    cpus = context.usable_cpus
    if cpus is None:
        return []
    above = [setting for setting in context.settings if setting.config.num_workers > cpus and context.trials_of(setting)]
    if not above:
        return []
    most = max(above, key=lambda setting: setting.config.num_workers)
    within = _best_within(context, most, cpus)
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
    return [
        Finding(
            code="more-workers-than-cores",
            severity="info" if pays or gain is None else context.severity_of(most),
            trials=[number for setting in above for number in setting.trials],
            message=message,
            evidence={
                "usable_cpus": cpus,
                "num_workers": most.config.num_workers,
                "speed_ratio": None if gain is None else round(gain, 4),
            },
            advice="So many pay only while most of them wait, for a disk or the network."
            if pays or gain is None
            else f"Use at most {cpus} workers.",
        )
    ]


def _best_within(context: Context, most: SettingResult, cpus: int) -> SettingResult | None:
    """Returns the setting with the shortest training that differs in workers only and has no more of them than there are cores."""
    alike = [
        setting
        for setting in context.settings
        if setting.config.num_workers <= cpus and same_but("num_workers", setting.config, most.config) and setting.train_s
    ]
    return min(alike, key=lambda setting: setting.train_s or 0.0, default=None)
