"""A table as plain text cells, from which the terminal and the report make theirs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: one or two words.
        is_text: it holds words, not numbers.
        meaning: explains a title that needs it.
        rank: 0 for a column that is always shown; where there is no room, the highest is left out first.
    """

    title: str
    is_text: bool = False
    meaning: str = ""
    rank: int = 0


@dataclasses.dataclass(frozen=True)
class TextTable:
    """A table with the sentences that belong to it.

    Attributes:
        columns: from left to right.
        rows: a cell for each column.
        problems: a sentence for each thing that could not be measured and has no row.
        remark: explains the rows; empty if the meanings of the columns do.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...] = ()
    remark: str = ""

    @property
    def legend(self) -> str:
        """The remark, and the meaning of each column that needs one."""
        meanings = (f"{column.title}: {column.meaning}" for column in self.columns if column.meaning)
        return "; ".join([*([self.remark] if self.remark else []), *meanings])
