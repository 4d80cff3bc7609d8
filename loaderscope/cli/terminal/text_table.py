"""A table of text cells on a terminal, with the sentences that belong to it."""

from __future__ import annotations

from rich.console import RenderableType

from loaderscope.analysis.text_table import TextTable
from loaderscope.cli.terminal.console import stacked
from loaderscope.cli.terminal.sentence import Sentence
from loaderscope.cli.terminal.table import AlignedTable


def table_section(table: TextTable) -> RenderableType | None:
    """Returns the rows, then the problems, then the legend in parentheses. Without rows only the problems."""
    problems = [Sentence(problem, indent=2) for problem in table.problems]
    if not table.rows:
        return stacked(problems)
    rows = AlignedTable()
    for column in table.columns:
        rows.add_column(column.title, column.is_text)
    for cells in table.rows:
        rows.add_row(*cells)
    return stacked([rows, *problems, Sentence((f"({table.legend})", "muted"))])
