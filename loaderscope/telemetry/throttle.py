"""The reasons for which a GPU throttles, in words."""

from __future__ import annotations

THROTTLING = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""Bits of nvmlClocksEventReasons (nvml.h). Left out is 0x04, the software power cap: every busy GPU runs under it."""

ALL_REASONS = sum(THROTTLING)


def throttling_in_words(reasons: int) -> list[str]:
    """The names of the reasons in `reasons`, a value of the series `gpu-N/throttle`."""
    return [text for bit, text in THROTTLING.items() if reasons & bit]
