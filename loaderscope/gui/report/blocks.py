"""The parts of a report, the same for every file format."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable, Iterator, Sequence

from loaderscope.analysis.text_table import TextTable
from loaderscope.gui.panels.finding_cards import Card
from loaderscope.gui.style.figures import Figure

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:[kMGT]?B|[nµm]?s|min|h)\b)")


def unbroken(text: str) -> str:
    """Returns a text in which no line breaks between a number and its unit."""
    return _BEFORE_UNIT.sub("\u00a0", text)


@dataclasses.dataclass(frozen=True)
class Words:
    """A paragraph of simple HTML."""

    html: str


@dataclasses.dataclass(frozen=True)
class TableRow:
    """Cells of one row, and a note below them that says why some are empty."""

    cells: tuple[str, ...]
    is_best: bool = False
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Titles of columns with their meanings, and rows.

    Attributes:
        names: how many columns at the left hold words, aligned to the left; the other columns hold numbers.
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
        make_figure: returns it for a width in logical pixels.
        alt_text: describes it for readers who cannot see it.
        is_half: two half pictures are placed side by side if there is room.
        make_parts: returns it, for a width and a largest height, as several figures; for pages that are too low for the whole.
    """

    caption: str
    make_figure: Callable[[int], Figure]
    alt_text: str
    is_half: bool = False
    make_parts: Callable[[int, float], Sequence[Figure]] | None = None


Block = Words | Card | Table | Facts | Picture


@dataclasses.dataclass(frozen=True)
class Section:
    """Blocks below a heading."""

    heading: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Report:
    """The whole report.

    Attributes:
        target: the name of the measured target.
        script: the file name of its script.
        summary: the run in a sentence or two; empty if the first section begins with the same words.
    """

    target: str
    script: str
    summary: str
    sections: tuple[Section, ...]
    colophon: str


def table_blocks(table: TextTable) -> Iterator[Block]:
    """Yields the legend above the rows, and below them what could not be measured. The columns of words are the first ones."""
    if table.rows:
        if table.legend:
            yield Words(html.escape(f"{table.legend[0].upper()}{table.legend[1:]}."))
        names = next((number for number, column in enumerate(table.columns) if not column.is_text), len(table.columns))
        titles, tips = zip(*((column.title, column.meaning) for column in table.columns), strict=True)
        yield Table(titles, tips, tuple(map(TableRow, table.rows)), names=names)
    for problem in table.problems:
        yield Words(html.escape(problem))
