"""Tables of aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from loaderscope.cli.terminal.console import UNLIMITED_COLUMNS
from loaderscope.cli.terminal.printable import printable

_GAP_COLUMNS = 2


class TableColumn(NamedTuple):
    """A column with all its cells; `rank` as in `facts.measures.Measure`: 0 always shown, the highest left out first."""

    title: str
    cells: Sequence[str] | Sequence[Text]
    rank: int = 0
    is_text: bool = False


class FittingTable:
    """A table that leaves out its least important columns on a narrow terminal."""

    def __init__(self, columns: Sequence[TableColumn], row_styles: Sequence[str]) -> None:
        """Takes all columns; `row_styles` has a style, or nothing, for each row."""
        self._columns, self._row_styles = columns, row_styles

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table(self.fitting(console, options))

    def fitting(self, console: Console, options: ConsoleOptions) -> list[TableColumn]:
        """Returns the columns that are shown on a console."""
        columns = list(self._columns)
        while least_important := max((column.rank for column in columns), default=0):
            if self._table(columns).columns(console) <= options.max_width:
                break
            del columns[max(number for number, column in enumerate(columns) if column.rank == least_important)]
        return columns

    def _table(self, columns: Sequence[TableColumn]) -> AlignedTable:
        table = AlignedTable()
        for column in columns:
            table.add_column(column.title, column.is_text)
        for number, style in enumerate(self._row_styles):
            table.add_row(*(column.cells[number] for column in columns), style=style)
        return table


class AlignedTable:
    """A table without lines. The edge of the terminal cuts its rows off."""

    def __init__(self) -> None:
        self._table = Table(box=None, pad_edge=False, padding=(0, _GAP_COLUMNS, 0, 0), header_style="heading")

    def add_column(self, title: str, is_text: bool) -> None:
        """Adds a column, aligned to the left if it holds text, and to the right if it holds numbers."""
        self._table.add_column(_cell(title), justify="left" if is_text else "right", no_wrap=True)

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        self._table.add_row(*map(_cell, cells), style=style)

    def columns(self, console: Console) -> int:
        """Returns the width of the whole table on a console."""
        return console.measure(self._table, options=console.options.update(max_width=UNLIMITED_COLUMNS)).maximum

    def lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        """Returns the titles and rows as they fit a console, without spaces at their ends."""
        whole_lines = console.render_lines(self._table, options.update(max_width=UNLIMITED_COLUMNS), pad=False)
        return [_without_spaces_at_end(Segment.adjust_line_length(line, options.max_width, pad=False)) for line in whole_lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(console, options):
            yield from line
            yield Segment.line()


def _cell(content: str | Text) -> Text:
    return content if isinstance(content, Text) else Text(printable(content).replace("\n", " "))


def _without_spaces_at_end(line: list[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    if kept:
        kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
    return kept
