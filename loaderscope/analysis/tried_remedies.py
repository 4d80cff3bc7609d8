"""Compares a setting with the remedy of a finding that was tried beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from loaderscope.facts.request import Request
from loaderscope.facts.results import Estimate, Remedy, SettingResult
from loaderscope.facts.text import bytes_text, rate_text

NOTABLE_BYTES_SHARE = 0.05
"""Memory is told if it changes by this share."""


@dataclasses.dataclass(frozen=True)
class TriedRemedy:
    """What a remedy gave.

    Attributes:
        remedy: the remedy.
        trials_before: of the setting without it.
        trials_after: of the setting with it.
        before: the rate without it, in samples or else in batches a second.
        after: the rate with it.
        ratio: after over before.
        sentence: all that in words.
    """

    remedy: Remedy
    trials_before: list[int]
    trials_after: list[int]
    before: Estimate
    after: Estimate
    ratio: Estimate
    sentence: str

    @property
    def is_told_apart(self) -> bool:
        """Whether the two rates surely differ."""
        return self.ratio.ci95 is not None and not self.ratio.ci95[0] <= 1.0 <= self.ratio.ci95[1]


def tried_remedies(request: Request, settings: Sequence[SettingResult], remedies: Sequence[SettingResult]) -> list[TriedRemedy]:
    """Returns the comparison of each remedy with the only setting of its run; none where one of them has no rate (yet)."""
    if request.remedy is None or len(settings) != 1:
        return []
    return [one for remedy in remedies if (one := _compare(settings[0], remedy)) is not None]


def _compare(setting: SettingResult, remedied: SettingResult) -> TriedRemedy | None:
    before, after, remedy = setting.rate, remedied.rate, remedied.remedy
    if before is None or after is None or remedy is None:
        return None
    ratio = _ratio(before, after)
    unit = "samples/s" if setting.samples_per_second is not None else "batches/s"
    sentence = f"{remedy.change}: before {_rate_range(before)} {unit}, after {_rate_range(after)} {unit}: {_verdict(ratio)}."
    memory = _memory_words(setting.peak_total_bytes, remedied.peak_total_bytes)
    return TriedRemedy(remedy, setting.trials, remedied.trials, before, after, ratio, f"{sentence}{memory}")


def _ratio(before: Estimate, after: Estimate) -> Estimate:
    """Returns the quotient; its interval adds the relative half-widths as independent errors."""
    value, widths = after.value / before.value, (before.relative_half_width, after.relative_half_width)
    if widths[0] is None or widths[1] is None:
        return Estimate(value)
    half = value * math.hypot(widths[0], widths[1])
    return Estimate(value, (max(value - half, 0.0), value + half))


def _rate_range(rate: Estimate) -> str:
    if rate.ci95 is None:
        return rate_text(rate.value)
    low, high = map(rate_text, rate.ci95)
    return low if low == high else f"{low} to {high}"


def _verdict(ratio: Estimate) -> str:
    if ratio.ci95 is None:
        return f"{ratio.value:.2f} times, with too few repeats for an interval"
    low, high = ratio.ci95
    bounds = f"{ratio.value:.2f} times ({low:.2f} to {high:.2f})"
    return f"no difference that can be told, {bounds}" if low <= 1.0 <= high else bounds


def _memory_words(before_bytes: int | None, after_bytes: int | None) -> str:
    if not before_bytes or not after_bytes or abs(after_bytes - before_bytes) < NOTABLE_BYTES_SHARE * before_bytes:
        return ""
    return f" Peak memory: before {bytes_text(before_bytes)}, after {bytes_text(after_bytes)}."
