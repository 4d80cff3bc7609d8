"""Columns and sentences as a terminal shows them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Set

GAP = "  "

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:[µm]?s|min|h|[kMGT]?B)\b)")
_HARD_SPACE = "\u00a0"


def align(rows: list[list[str]], left: Set[int]) -> list[str]:
    """Rows of cells as lines; the columns in `left` begin at the left, numbers at the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        GAP.join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def wrap(text: str, width: int, indent: str = "") -> str:
    """The text in lines of this width, the further ones indented."""
    held_together = _BEFORE_UNIT.sub(_HARD_SPACE, text)
    return textwrap.fill(held_together, width, subsequent_indent=indent, break_on_hyphens=False).replace(_HARD_SPACE, " ")
