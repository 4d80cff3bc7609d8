"""Why a GPU runs slower than it could, in words."""

from __future__ import annotations

THROTTLING = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""nvml.h, nvmlClocksEventReasons; 0x04, the software power cap, is how every busy GPU runs and is no throttling."""

ALL_REASONS = sum(THROTTLING)


def throttling_in_words(reasons: int) -> list[str]:
    """The names of the throttle reasons in a value of `gpu-N/throttle`."""
    return [text for bit, text in THROTTLING.items() if reasons & bit]
