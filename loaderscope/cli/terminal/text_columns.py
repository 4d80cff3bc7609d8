"""Aligns columns and wraps sentences for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Set

GAP = "  "

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:[µm]?s|min|h|[kMGT]?B)\b)")
_HARD_SPACE = "\u00a0"


def align(rows: list[list[str]], left: Set[int]) -> list[str]:
    """Returns a line for each row. The columns in `left` are aligned to the left, others, which hold numbers, to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        GAP.join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def wrap(text: str, width: int, indent: str = "") -> str:
    """Returns the text in lines of at most `width` columns, which never separate a number from its unit.

    Args:
        text: a sentence or more.
        width: columns of the terminal.
        indent: begins every line but the first.
    """
    text_with_hard_spaces = _BEFORE_UNIT.sub(_HARD_SPACE, text)
    return textwrap.fill(text_with_hard_spaces, width, subsequent_indent=indent, break_on_hyphens=False).replace(_HARD_SPACE, " ")
