"""What reports are made of, whatever they are written as."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

from loaderscope.gui.style.figures import Figure

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:[kMGT]?B|[nµm]?s|min|h)\b)")


def unbroken(text: str) -> str:
    """A text in which no line ends between a number and its unit."""
    return _BEFORE_UNIT.sub("\u00a0", text)


@dataclasses.dataclass(frozen=True)
class Words:
    """A paragraph of simple HTML."""

    html: str


@dataclasses.dataclass(frozen=True)
class TableRow:
    """Cells, and a sentence below them that says why some are empty."""

    cells: tuple[str, ...]
    is_best: bool = False
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Titles of columns, what each means, and rows.

    Attributes:
        names: so many columns at the left hold words, which begin at its left edge; the others hold numbers.
    """

    titles: tuple[str, ...]
    tips: tuple[str, ...]
    rows: tuple[TableRow, ...]
    names: int = 0


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names with their values."""

    entries: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure that can be painted for any width.

    Attributes:
        caption: what it shows, in a sentence.
        figure: gives it for a width in logical pixels.
        told: what can be seen in it, for those who cannot see it.
        is_half: two of them stand side by side where there is room.
        parts: cuts it, at a width, into figures that are no taller than a height, for where it is too tall for a page.
    """

    caption: str
    figure: Callable[[int], Figure]
    told: str
    is_half: bool = False
    parts: Callable[[int, float], Sequence[Figure]] | None = None


Block = Words | Table | Facts | Picture


@dataclasses.dataclass(frozen=True)
class Section:
    """Blocks below a heading."""

    heading: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Report:
    """What stands in the report.

    Attributes:
        target: what was measured, and the name of its script.
        summary: the run in a sentence or two, where the first section does not begin with them.
    """

    target: str
    script: str
    summary: str
    sections: tuple[Section, ...]
    colophon: str
