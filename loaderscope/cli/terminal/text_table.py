"""A table of text cells on a terminal, with the sentences that belong to it."""

from __future__ import annotations

import dataclasses

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult

from loaderscope.analysis.text_table import TextTable
from loaderscope.cli.terminal.console import stacked
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.table import FittingTable, TableColumn


def table_section(table: TextTable) -> RenderableType | None:
    """Returns the rows, then the problems, then the legend in parentheses. Without rows only the problems."""
    return _Section(table) if table.rows else stacked(_problems(table))


class _Section:
    def __init__(self, table: TextTable) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = zip(*self._table.rows, strict=True)
        columns = [TableColumn(one.title, texts, one.rank, one.is_text) for one, texts in zip(self._table.columns, cells, strict=True)]
        rows = FittingTable(columns, [""] * len(self._table.rows))
        shown = {column.title for column in rows.fitting(console, options)}
        explained = dataclasses.replace(self._table, columns=tuple(column for column in self._table.columns if column.title in shown))
        yield Group(rows, *_problems(self._table), Sentence((f"({explained.legend})", "muted")))


def _problems(table: TextTable) -> list[Sentence]:
    return [Sentence(problem, indent=2) for problem in table.problems]
