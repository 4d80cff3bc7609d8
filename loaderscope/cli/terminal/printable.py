"""Makes texts of scripts and sessions safe for a terminal."""

from __future__ import annotations

from loaderscope.facts.text import THIN_SPACE


def printable(text: str) -> str:
    """Returns the text without control characters, so that a session from elsewhere cannot steer the terminal.

    Plain spaces replace the thin ones between thousands, which many an encoding lacks.
    """
    plain = text.replace(THIN_SPACE, " ")
    return "".join(c if c == "\n" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)
