"""The one formatter: durations, sizes, rates, shares, counts and lists as every output writes them."""

from __future__ import annotations

from collections.abc import Sequence

MISSING = "–"
"""Replaces an unknown value."""

THIN_SPACE = "\u202f"
"""Separates the thousands of a number."""

_MINUTES_FROM_S = 99.95
_HOUR_S = 3600.0


def duration_text(seconds: float | None) -> str:
    """Returns a duration with about three digits: 38 µs, 0.4 ms, 12.3 ms, 1.24 s, 2 min 10 s, 3 h 05 min."""
    if seconds is None:
        return MISSING
    if seconds < 0:
        return "−" + duration_text(-seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995e-6:
        return f"{seconds * 1e9:.0f} ns"
    if seconds < 0.9995e-4:
        return f"{_three_digits(seconds * 1e6)} µs"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e3:.2g} ms"
    if seconds < 0.9995:
        return f"{_three_digits(seconds * 1e3)} ms"
    if seconds < _MINUTES_FROM_S:
        return f"{_three_digits(seconds)} s"
    return _clock(seconds)


def duration_ns_text(nanoseconds: float) -> str:
    """Returns a duration in nanoseconds as text, like `duration_text`."""
    return duration_text(nanoseconds / 1e9)


def rough_duration_text(seconds: float) -> str:
    """Returns an estimated duration: 40 s, 2 min 10 s, 1 h 20 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 600:
        tens = round(seconds / 10) * 10
        return f"{tens // 60} min {tens % 60:02d} s" if tens % 60 else f"{tens // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(count: float | None) -> str:
    """Returns a size with decimal units, as system monitors print them: 588 kB, 1.6 MB, 412 MB, 3.2 GB."""
    if count is None:
        return MISSING
    value, unit = count, "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            break
        value /= 1000
    digits = 1 if unit in ("MB", "GB", "TB") and abs(value) < 99.95 else 0
    return f"{value:.{digits}f}".removesuffix(".0") + f" {unit}"


def share_text(value: float | None) -> str:
    """Returns a share from 0 to 1 in per cent; only exact shares read 0 or 100: <1 %, 26 %, >99 %."""
    if value is None:
        return MISSING
    if 0 < value < 0.005:
        return "<1 %"
    if 0.995 <= value < 0.9995:
        return ">99 %"
    return f"{value * 100:.0f} %"


def cores_text(value: float, usable: int) -> str:
    """Returns a number of cores among those that may be used: 1.2 of 2 cores, 0.08 of 1 core."""
    number = f"{value:.2f}" if value < 0.095 else f"{value:.1f}"
    return f"{number} of {count_text(usable, 'core')}"


def share_range_text(low: float, high: float) -> str:
    """Returns two shares as a range, or as one if both read the same: 26 % to 41 %, 26 %."""
    first, last = share_text(low), share_text(high)
    return first if first == last else f"{first} to {last}"


def share_bounds_text(low: float | None, high: float | None) -> str:
    """Returns a share that lies between two bounds, of which one may be unknown: 26 % to 41 %, at least 26 %, at most 41 %."""
    if low is not None and high is not None:
        return share_range_text(low, high)
    if low is not None:
        return f"at least {share_text(low)}"
    return MISSING if high is None else f"at most {share_text(high)}"


def uncertainty_text(share: float | None) -> str:
    """Returns half an interval as a share of its value: 2.1 %; > 99 % if the interval reaches below 0, as the value is hardly known."""
    if share is None:
        return MISSING
    return f"{share * 100:.1f} %" if share < 1 else "> 99 %"


def rate_text(value: float | None) -> str:
    """Returns samples a second with at least three digits, thousands separated: 1.25, 12.5, 12 500."""
    if value is None:
        return MISSING
    return grouped_text(round(value)) if value >= 99.5 else f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def grouped_text(value: int) -> str:
    """Returns a whole number with its thousands separated."""
    return f"{value:,}".replace(",", THIN_SPACE)


def mean_count_text(value: float | None) -> str:
    """Returns a mean of whole numbers: 2, 2.5, 12 500."""
    if value is None:
        return MISSING
    return grouped_text(round(value)) if value >= 99.5 or value == round(value) else f"{value:.1f}"


def count_text(value: int, noun: str) -> str:
    """Returns a number and its noun: 1 trial, 14 trials, 12 000 samples, 2 processes, 3 batches."""
    plural = noun if value == 1 else f"{noun}es" if noun.endswith(("s", "tch")) else f"{noun}s"
    return f"{grouped_text(value)} {plural}"


def enumerated(names: Sequence[str], most: int = 3) -> str:
    """Returns names as a list in a sentence: a, b and c; a, b, c and 4 more."""
    if len(names) <= 1:
        return "".join(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
