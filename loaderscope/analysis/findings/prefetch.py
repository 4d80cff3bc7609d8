"""Compares settings that differ in prefetch_factor alone: whether a longer queue is faster, or only holds more memory."""

from __future__ import annotations

from loaderscope.analysis.findings.context import Context
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import SettingResult
from loaderscope.facts.settings import same_but
from loaderscope.facts.text import bytes_text, duration_text

CODE = "prefetch"

MIN_GAIN_SHARE = 0.05
"""A training that is shorter by less is as long."""
NOTABLE_BYTES = 1 << 28
"""A queue that holds so much more without a gain holds it for nothing."""


def find(context: Context) -> list[Finding]:
    """Returns at most one finding about the subject's prefetch_factor, by the trials of others."""
    subject = context.subject
    if subject is None or not subject.config.num_workers or not subject.train_s:
        return []
    alike = [setting for setting in context.settings if same_but("prefetch_factor", subject.config, setting.config)]
    others = [setting for setting in alike if setting is not subject]
    for other in sorted(others, key=lambda setting: setting.train_s or float("inf")):
        found = _deeper(context, subject, other) or _shallower(subject, other)
        if found is not None:
            return [found]
    return []


def _deeper(context: Context, subject: SettingResult, other: SettingResult) -> Finding | None:
    """Returns a finding if a longer queue is surely faster: with uneven fetches a short one runs empty."""
    gain_s = context.gain_between(subject, other)
    if gain_s is None or gain_s.ci95 is None or not subject.train_s or gain_s.ci95[0] < MIN_GAIN_SHARE * subject.train_s:
        return None
    if (other.config.prefetch_factor or 0) <= (subject.config.prefetch_factor or 0):
        return None
    change = f"prefetch_factor={other.config.prefetch_factor}"
    return Finding(
        code=CODE,
        severity=context.severity_of_gain(subject, gain_s),
        trials=[*subject.trials, *other.trials],
        message=(
            f"The queue of ready batches runs empty: with {change} the training takes {duration_text(other.train_s)} instead of "
            f"{duration_text(subject.train_s)} with prefetch_factor={subject.config.prefetch_factor}."
        ),
        evidence={"train_s": subject.train_s, "train_s_with_change": other.train_s, "least_gain_share": MIN_GAIN_SHARE},
        advice="A longer queue bridges fetches that take long now and then.",
        gain_s=gain_s,
        change=change,
    )


def _shallower(subject: SettingResult, other: SettingResult) -> Finding | None:
    """Returns a finding if a shorter queue is as fast and holds much less."""
    mine, theirs = subject.config.prefetch_factor or 0, other.config.prefetch_factor or 0
    if theirs >= mine or subject.batch_bytes is None or not subject.train_s or not other.train_s:
        return None
    held_bytes = subject.batch_bytes * subject.config.num_workers * (mine - theirs)
    if held_bytes < NOTABLE_BYTES or other.train_s > (1 + MIN_GAIN_SHARE) * subject.train_s:
        return None
    return Finding(
        code=CODE,
        severity="info",
        trials=[*subject.trials, *other.trials],
        message=(
            f"prefetch_factor={mine} holds up to {bytes_text(held_bytes)} more in ready batches than prefetch_factor={theirs}, and the "
            f"training takes {duration_text(subject.train_s)} instead of {duration_text(other.train_s)}."
        ),
        evidence={"held_bytes": held_bytes, "least_bytes": NOTABLE_BYTES},
        advice="A shorter queue is as fast here.",
        change=f"prefetch_factor={theirs}",
    )
