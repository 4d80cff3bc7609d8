"""The evidence and the gain of findings as short texts, for window, report and terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.measures import THROUGHPUT
from loaderscope.facts.results import SettingResult
from loaderscope.facts.text import (
    MISSING,
    bytes_text,
    duration_text,
    enumerated,
    grouped_text,
    mean_count_text,
    rough_duration_text,
    share_text,
)

GAIN_UNKNOWN = "gain not known"
_UNITS = (
    ("_bytes_per_s", lambda value: f"{bytes_text(value)}/s"),
    ("_samples_per_second", THROUGHPUT.with_unit),
    ("_share", share_text),
    ("_shares", share_text),
    ("_bytes", bytes_text),
    ("_ratio", lambda value: f"{value:.2f} ×"),
    ("_ms", lambda value: duration_text(value / 1000)),
    ("_s", duration_text),
)
"""By the end of an evidence's name, which is its unit: how its value is written. Longer ends come first."""
_PLAIN_UNITS = {"seconds": duration_text, "bytes": bytes_text}
_THRESHOLD_WORDS = ("threshold", "least", "most", "min", "max")
"""Words of a name that say that its value is a threshold."""
_PLACES = "places"
"""Names the evidence of where each process stands, a text for each."""
_NO_FIGURES = (_PLACES, "kind", "statuses", "compared_with", "programs")
"""Names of evidence that is written line by line, or that the message says in words."""
_MOST_VALUES = 4


def evidence_figures(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the short figures of an evidence as pairs of name and value, thresholds named as such; unknown values are left out."""
    figures = []
    for name, value in evidence.items():
        if value is None or name in _NO_FIGURES:
            continue
        text = _value_text(name, value)
        if text:
            figures.append((_label(name), text))
    return figures


def evidence_lines(evidence: Mapping[str, Any]) -> list[str]:
    """Returns where each process stands, if the evidence tells it."""
    return [str(line) for line in evidence.get(_PLACES) or ()]


def evidence_text(evidence: Mapping[str, Any]) -> str:
    """Returns the short figures in one line."""
    return " · ".join(f"{name} {value}" for name, value in evidence_figures(evidence))


def gain_text(gain_s: Estimate | None, train_s: float | None = None) -> str:
    """Returns what a remedy saves: saves about 2 min of your 12 min (1 min 30 s to 2 min 20 s).

    Args:
        gain_s: seconds of the user's training; None if not known.
        train_s: how long that training takes, if known.
    """
    if gain_s is None:
        return GAIN_UNKNOWN
    whole = f" of your {rough_duration_text(train_s)}" if train_s is not None and train_s >= gain_s.value else " of your training"
    low_high = "" if gain_s.ci95 is None else f" ({_amount_text(gain_s.ci95[0])} to {_amount_text(gain_s.ci95[1])})"
    return f"saves about {_amount_text(gain_s.value)}{whole}{low_high}"


def training_s(trials: Sequence[int], settings: Sequence[SettingResult]) -> float | None:
    """Returns the projected seconds of the training with the setting of a finding's trials; None if unknown."""
    return next((setting.train_s for setting in settings if not set(trials).isdisjoint(setting.trials)), None)


def _amount_text(seconds: float) -> str:
    return rough_duration_text(seconds) if seconds >= 10 else duration_text(seconds)


def _label(name: str) -> str:
    words = name.split("_")
    is_threshold = any(word in _THRESHOLD_WORDS for word in words)
    for end, _ in _UNITS:
        name = name.removesuffix(end)
    rest = [word for word in name.split("_") if word not in _THRESHOLD_WORDS]
    if is_threshold:
        rest = [] if rest and rest[0] in ("share", "bytes", "s", "seconds") else rest
        return " ".join(["threshold", *rest])
    return " ".join(rest)


def _value_text(name: str, value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, Mapping):
        shown = [f"{key} {_value_text(name, one)}" for key, one in list(value.items())[:_MOST_VALUES] if not isinstance(one, Mapping)]
        more = f" and {len(value) - _MOST_VALUES} more" if len(value) > _MOST_VALUES else ""
        return ", ".join(shown) + more
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return enumerated([_value_text(name, one) for one in value], _MOST_VALUES)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return ""
    written = _PLAIN_UNITS.get(name) or next((write for end, write in _UNITS if name.endswith(end)), None)
    if written is not None:
        return written(value)
    return grouped_text(value) if isinstance(value, int) else mean_count_text(value)
