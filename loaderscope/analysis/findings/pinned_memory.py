"""Compares pinned with pageable memory, and finds a pin thread that slows the step."""

from __future__ import annotations

import dataclasses

from loaderscope.analysis.findings.context import Context
from loaderscope.analysis.findings.transfer_bound import has_many_tensors
from loaderscope.analysis.intervals import mean
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.text import mean_count_text, share_text

MIN_STEP_SHARE = 0.10
MIN_SLOWDOWN = 1.10
_MIN_DIFFERENCE = 0.03
"""Rates with a smaller relative difference count as alike, whatever their intervals."""


def find(context: Context) -> list[Finding]:
    """Returns one finding about the pair that differs most, and one about the setting whose steps suffer most."""
    found = []
    pairs = [pair for setting in context.settings if (pair := _pair(context, setting)) is not None]
    if pairs:
        found.append(_about_pair(context, *max(pairs, key=lambda pair: abs(_ratio(*pair) - 1.0))))
    slowed = [setting for setting in context.settings if any(_is_slowed(trial) for trial in context.trials_of(setting))]
    if slowed:
        subject = context.subject
        found.append(_about_lock(context, subject if subject in slowed else max(slowed, key=lambda one: _mean_slowing(context, one)[1])))
    return found


def _pair(context: Context, pinned: SettingResult) -> tuple[SettingResult, SettingResult] | None:
    """Returns a setting whose batches were really pinned, and the setting that differs from it only in pin_memory."""
    if not pinned.config.pin_memory or not any(trial.pinned for trial in context.trials_of(pinned)):
        return None
    plain = dataclasses.replace(pinned.config, pin_memory=False)
    other = next((setting for setting in context.settings if setting.config == plain), None)
    if other is None or pinned.rate is None or other.rate is None or not other.rate.value:
        return None
    return pinned, other


def _ratio(pinned: SettingResult, pageable: SettingResult) -> float:
    assert pinned.rate is not None and pageable.rate is not None
    return pinned.rate.value / pageable.rate.value


def _about_pair(context: Context, pinned: SettingResult, pageable: SettingResult) -> Finding:
    ratio = _ratio(pinned, pageable)
    name = context.name_of(pinned.config)
    if not _intervals_are_apart(pinned, pageable) or abs(ratio - 1.0) < _MIN_DIFFERENCE:
        rates = f"Pinned and pageable memory are alike: {name} gives {ratio:.2f} times the throughput of the same setting without pinning"
        advice = ""
    else:
        what = "faster" if ratio > 1 else "slower"
        rates = f"Pinned memory is {what}: {name} gives {ratio:.2f} times the throughput of the same setting without pinning"
        advice = "" if ratio > 1 else "Leave pin_memory off: copying batches into pinned memory costs more than the faster transfer gains."
        if ratio < 1 and has_many_tensors(pinned):
            rates += f", and each of the {mean_count_text(pinned.batch_tensors)} tensors of a batch is pinned by itself"
            advice = "Leave pin_memory off, or let collate_fn make one tensor of them: pinning costs much for each, whatever its size."
    transfers = ""
    if (
        pinned.transfer_share is not None
        and pageable.transfer_share is not None
        and max(pinned.transfer_share, pageable.transfer_share) > 0
    ):
        transfers = (
            f"; the transfer to the device takes {share_text(pinned.transfer_share)} of the time instead of "
            f"{share_text(pageable.transfer_share)}"
        )
    evidence = {
        "throughput_ratio": round(ratio, 4),
        "transfer_share_pinned": pinned.transfer_share,
        "transfer_share_pageable": pageable.transfer_share,
        "batch_tensors": pinned.batch_tensors,
    }
    return Finding("pinned-memory", "info", [*pinned.trials, *pageable.trials], f"{rates}{transfers}.", evidence, advice)


def _intervals_are_apart(pinned: SettingResult, pageable: SettingResult) -> bool:
    """Whether both rates have intervals, and these do not overlap."""
    first, second = pinned.rate, pageable.rate
    if first is None or second is None or first.ci95 is None or second.ci95 is None:
        return False
    return first.ci95[0] > second.ci95[1] or second.ci95[0] > first.ci95[1]


def _is_slowed(trial: TrialResult) -> bool:
    signs = trial.signs
    if signs is None or signs.pin_step_share is None or signs.pin_step_slowdown is None:
        return False
    return signs.pin_step_share >= MIN_STEP_SHARE and signs.pin_step_slowdown >= MIN_SLOWDOWN


def _mean_slowing(context: Context, setting: SettingResult) -> tuple[float, float]:
    """Returns the mean step share and slowdown over the slowed trials of a setting."""
    signs = [trial.signs for trial in context.trials_of(setting) if _is_slowed(trial) and trial.signs is not None]
    return mean([sign.pin_step_share or 0.0 for sign in signs]), mean([sign.pin_step_slowdown or 1.0 for sign in signs])


def _about_lock(context: Context, setting: SettingResult) -> Finding:
    share, slowdown = _mean_slowing(context, setting)
    return Finding(
        code="pin-thread-in-step",
        severity=context.severity_of(setting),
        trials=[trial.id for trial in context.trials_of(setting) if _is_slowed(trial)],
        message=(
            f"With {context.name_of(setting.config)} the pin thread computes during {share_text(share)} of the step, and steps that it "
            f"overlaps take {slowdown:.1f} times as long as the others: both need Python's lock (GIL)."
        ),
        evidence={"pin_step_share": share, "pin_step_slowdown": slowdown},
        advice=(
            "Give the thread less to unpickle and copy: batches of few large tensors rather than many small ones or Python objects. "
            f"Or try pin_memory{' off' if context.recorded is None else '=False'}{context.at_place}."
        ),
    )
