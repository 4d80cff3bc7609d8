"""Colours by role, light and dark, without Qt.

The state colours are the Okabe-Ito set (Okabe and Ito, "Color Universal Design", 2008). They are lightened or darkened for either
background, until people without red, green or blue cones also distinguish colours that lie side by side. A colour means the
same in every view. Stalls are hatched, so that no reading depends on hue alone.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Palette:
    """Named roles; every value is `#rrggbb`."""

    name: str
    # surfaces and text
    window: str  # behind panels
    base: str  # behind data: timeline, tables, charts, text fields
    raised: str  # buttons, chips, table headers
    hover: str  # a raised surface under the mouse
    border: str
    grid: str  # lines behind data
    text: str
    muted: str  # text of second rank
    accent: str  # selection, focus, the primary button
    accent_text: str  # on accent
    good: str
    warning: str
    error: str
    crosshair: str
    card: str  # hover card
    # states
    fetch: str
    collate: str
    send: str
    step: str
    transfer: str
    issuing: str
    waiting: str
    waiting_hatch: str
    startup_dark: str
    startup: str
    startup_light: str
    ready: str
    waiting_for_earlier: str
    pin: str
    own: str
    # lines of plots; processes get them in this order
    lines: tuple[str, ...]

    def role(self, name: str) -> str:
        """Returns the colour of a role by the role's name.

        Raises:
            AttributeError: there is no such role.
        """
        value: str = getattr(self, name)
        return value


LIGHT = Palette(
    name="light",
    window="#f4f5f8",
    base="#ffffff",
    raised="#ffffff",
    hover="#e9edf3",
    border="#c9cdd6",
    grid="#e9ebf0",
    text="#15181e",
    muted="#646b7a",
    accent="#0072b2",
    accent_text="#ffffff",
    good="#14805c",
    warning="#a86a00",
    error="#c4420a",
    crosshair="#0072b2",
    card="#ffffff",
    fetch="#2a80c4",
    collate="#dc9a0c",
    send="#8a4d8d",
    step="#1c7d5a",
    transfer="#6bc6a5",
    issuing="#c4d3cb",
    waiting="#e3e5ea",
    waiting_hatch="#a3a9b5",
    startup_dark="#936f30",
    startup="#bea471",
    startup_light="#ddcaa6",
    ready="#9ccbe4",
    waiting_for_earlier="#a38d00",
    pin="#405ac2",
    own="#9aa0ac",
    lines=("#0782db", "#de9c16", "#9e649f", "#1b9068", "#7b5f3e", "#495dbf", "#ce5113", "#3aaabb"),
)

DARK = Palette(
    name="dark",
    window="#1f2229",
    base="#16181d",
    raised="#2c3038",
    hover="#373c46",
    border="#3c414c",
    grid="#252931",
    text="#e8eaee",
    muted="#949aa6",
    accent="#56b4e9",
    accent_text="#0b1118",
    good="#3fbf92",
    warning="#e6a92a",
    error="#ee6a3c",
    crosshair="#56b4e9",
    card="#262a32",
    fetch="#3f8fd6",
    collate="#e3a41f",
    send="#9470a1",
    step="#1db789",
    transfer="#8ad9bb",
    issuing="#44544d",
    waiting="#2b2e36",
    waiting_hatch="#646a77",
    startup_dark="#8d6c37",
    startup="#695434",
    startup_light="#aa8a5c",
    ready="#376f8f",
    waiting_for_earlier="#e8dc4a",
    pin="#86a2c9",
    own="#666c78",
    lines=("#5aa1f7", "#e4a30b", "#9c7bb5", "#2dae84", "#a28255", "#637ce9", "#e95618", "#4dc8dc"),
)

PALETTES = {palette.name: palette for palette in (LIGHT, DARK)}


def luminance(colour: str) -> float:
    """Returns the relative luminance of `#rrggbb`, 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[position : position + 2], 16) / 255 for position in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Returns the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    brighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def text_on(colour: str) -> str:
    """Returns near-black or white, whichever is more readable on a colour."""
    dark, light = "#10131a", "#ffffff"
    # the factor prefers white: on saturated mid-tones it looks like part of the bar, while black looks printed over it
    return light if contrast(light, colour) * 1.7 >= contrast(dark, colour) else dark
