"""Compares a setting with the remedy of a finding that was tried beside it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.findings import Remedy
from loaderscope.facts.measures import THROUGHPUTS
from loaderscope.facts.request import Request
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import bytes_text, duration_text, rate_text

NOTABLE_CHANGE = 0.05
"""Memory, and the length of the training, are told if they change by this share."""

_COMPARED: tuple[tuple[str, Callable[[float], str], str], ...] = (
    *((measure.field, rate_text, f" {measure.unit}") for measure in THROUGHPUTS),
    ("epoch_s", duration_text, " an epoch"),
)
"""Figures of a setting, how they are written, and their units: the first that both have is compared."""


@dataclasses.dataclass(frozen=True)
class TriedRemedy:
    """What a remedy gave.

    Attributes:
        remedy: the remedy.
        trials_before: of the setting without it.
        trials_after: of the setting with it.
        before: the rate without it, in samples or else in batches a second; without rates the seconds of an epoch.
        after: the same with it.
        ratio: how many times as fast it is with the remedy.
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
    """Returns the comparison of each remedy with the only setting of its run; none where one of them has no figures (yet)."""
    if request.remedy is None or len(settings) != 1:
        return []
    return [one for remedy in remedies if (one := _compare(settings[0], remedy)) is not None]


def _compare(setting: SettingResult, remedied: SettingResult) -> TriedRemedy | None:
    remedy = remedied.remedy
    for field, write, unit in _COMPARED:
        before, after = getattr(setting, field), getattr(remedied, field)
        if remedy is not None and before is not None and after is not None and before.value > 0 and after.value > 0:
            ratio = _ratio(after, before) if field == "epoch_s" else _ratio(before, after)
            ranges = f"before {_range_text(before, write)}{unit}, after {_range_text(after, write)}{unit}"
            others = _training_words(setting.train_s, remedied.train_s) + _memory_words(setting.peak_total_bytes, remedied.peak_total_bytes)
            sentence = f"{remedy.change}: {ranges}: {_verdict(ratio)}.{others}"
            return TriedRemedy(remedy, setting.trials, remedied.trials, before, after, ratio, sentence)
    return None


def _ratio(before: Estimate, after: Estimate) -> Estimate:
    """Returns the quotient; its interval adds the relative half-widths as independent errors."""
    value, widths = after.value / before.value, (before.relative_half_width, after.relative_half_width)
    if widths[0] is None or widths[1] is None:
        return Estimate(value)
    half = value * math.hypot(widths[0], widths[1])
    return Estimate(value, (max(value - half, 0.0), value + half))


def _range_text(estimate: Estimate, write: Callable[[float], str]) -> str:
    if estimate.ci95 is None:
        return write(estimate.value)
    low, high = map(write, estimate.ci95)
    return low if low == high else f"{low} to {high}"


def _verdict(ratio: Estimate) -> str:
    if ratio.ci95 is None:
        return f"{ratio.value:.2f} times; no interval is known"
    low, high = ratio.ci95
    bounds = f"{ratio.value:.2f} times ({low:.2f} to {high:.2f})"
    return f"no difference that can be told, {bounds}" if low <= 1.0 <= high else bounds


def _training_words(before_s: float | None, after_s: float | None) -> str:
    """Returns what becomes of the training, which start-up lengthens, too."""
    if not before_s or not after_s or abs(after_s - before_s) < NOTABLE_CHANGE * before_s:
        return ""
    return f" The training: before {duration_text(before_s)}, after {duration_text(after_s)}."


def _memory_words(before_bytes: int | None, after_bytes: int | None) -> str:
    if not before_bytes or not after_bytes or abs(after_bytes - before_bytes) < NOTABLE_CHANGE * before_bytes:
        return ""
    return f" Peak memory: before {bytes_text(before_bytes)}, after {bytes_text(after_bytes)}."
