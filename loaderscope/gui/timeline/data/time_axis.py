"""Ticks of the time axis, and texts for sampled values. No Qt."""

from __future__ import annotations

import dataclasses
import functools
import math

from loaderscope.facts.text import bytes_text

UNITS = (("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9))
_THIN = "\u2009"
_SINGULAR = {"batches": "batch", "threads": "thread", "cores": "core", "switches": "switch"}
"""Singular of the units that are words."""


@dataclasses.dataclass(frozen=True)
class Tick:
    """A labelled place on the axis, in nanoseconds since the origin."""

    time: float
    label: str


@dataclasses.dataclass(frozen=True)
class Ticks:
    """The ticks of a range. Relative labels ("+2 µs") count from `base`; None for labels with full times."""

    major: tuple[Tick, ...]
    minor: tuple[float, ...]
    base: Tick | None = None


@functools.lru_cache(maxsize=16)
def ticks(start: float, span: float, width_px: float, least_px: float = 74.0) -> Ticks:
    """Returns ticks at round times, at least `least_px` apart.

    Args:
        start: left edge, nanoseconds since the origin.
        span: nanoseconds across.
        width_px: pixels across.
        least_px: room that a label needs.
    """
    step, parts = _tick_step(span / max(width_px, 1.0) * least_px)
    first = math.ceil(start / step - 1e-9)
    last = math.floor((start + span) / step + 1e-9)
    magnitude = max(abs(start), abs(start + span), step)
    name, unit = _unit_for(magnitude)
    decimals = max(0, round(-math.log10(step / unit) + 0.499))
    base = None
    if decimals > 3:
        # far into the trace and zoomed in: one full time, and labels relative to it
        coarse = 10.0 ** (math.floor(math.log10(step) + 1e-9) + 3)
        base_time = math.floor(start / coarse) * coarse
        base = Tick(base_time, _full_time_text(base_time))
        name, unit = _unit_for(step * 10)
        decimals = max(0, round(-math.log10(step / unit) + 0.499))
    major = []
    for number in range(first, last + 1):
        time = number * step
        shown = time - base.time if base else time
        label = "0" if abs(shown) < step / 2 else f"{shown / unit:.{decimals}f} {name}"
        major.append(Tick(time, f"+{label}" if base else label))
    small = step / parts
    minor = tuple(
        number * small
        for number in range(math.ceil(start / small), math.floor((start + span) / small) + 1)
        if number % parts and span / small < width_px / 5
    )
    return Ticks(tuple(major), minor, base)


def quantity(value: float, unit: str) -> str:
    """Returns a sampled value with its unit."""
    if unit in ("bytes", "bytes/s"):
        return bytes_text(value) + unit.removeprefix("bytes")
    if value == 1:
        unit = _SINGULAR.get(unit, unit)
    return f"{value:,.{0 if abs(value) >= 100 or value == int(value) else 1}f} {unit}".replace(",", _THIN).rstrip()


def _tick_step(least: float) -> tuple[float, int]:
    """Returns the smallest round step of at least `least` nanoseconds, and the number of parts into which minor ticks divide it."""
    if least > 30e9:
        for seconds, parts in ((60, 6), (120, 4), (300, 5), (600, 5), (1800, 6), (3600, 6), (7200, 4), (21600, 6)):
            if least <= seconds * 1e9:
                return seconds * 1e9, parts
    power = 10.0 ** math.floor(math.log10(max(least, 1.0)))
    for factor, parts in ((1, 5), (2, 4), (5, 5), (10, 5)):
        if power * factor >= least * (1 - 1e-9):
            return max(power * factor, 1.0), parts
    return power * 10, 5


def _unit_for(size: float) -> tuple[str, float]:
    name, unit = UNITS[0]
    for candidate, value in UNITS:
        if size >= value:
            name, unit = candidate, value
    return name, unit


def _full_time_text(time: float) -> str:
    name, unit = _unit_for(abs(time))
    return f"{time / unit:.9f}".rstrip("0").rstrip(".") + f" {name}"
