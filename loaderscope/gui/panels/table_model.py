"""The model of every table of the panels: rows of values under columns that know how they read and sort."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor

from loaderscope.facts.text import MISSING

Row = TypeVar("Row")
Index = QModelIndex | QPersistentModelIndex

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
CENTRE = Qt.AlignmentFlag.AlignCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclasses.dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table.

    Attributes:
        title: heads the column.
        tip: says what the title means.
        value: returns what the column sorts by and what is copied: a Python scalar, or None where it is unknown.
        text: returns what a cell shows.
        unit: unit of the value; the title has it in brackets when the table is copied.
        alignment: of the cells, and of the title except where the model has another for titles of numbers.
        sort_key: returns what the column sorts by in place of the value.
        sorts_as_given: whether sorting by this column keeps the order in which the rows were set, or reverses it.
    """

    title: str
    tip: str
    value: Callable[[Row], Any]
    text: Callable[[Row], str]
    unit: str = ""
    alignment: Qt.AlignmentFlag = RIGHT
    sort_key: Callable[[Row], Any] | None = None
    sorts_as_given: bool = False


def number_column(
    title: str,
    tip: str,
    value: Callable[[Row], Any],
    to_text: Callable[[Any], str] = str,
    unit: str = "",
    *,
    sorts_as_given: bool = False,
) -> Column[Row]:
    """Returns a column of numbers; `to_text` turns a number into what its cell shows."""

    def text(row: Row) -> str:
        number = value(row)
        return MISSING if number is None else to_text(number)

    return Column(title, tip, value, text, unit, sorts_as_given=sorts_as_given)


def text_column(
    title: str,
    tip: str,
    text: Callable[[Row], str],
    *,
    sort_key: Callable[[Row], Any] | None = None,
    sorts_as_given: bool = False,
) -> Column[Row]:
    """Returns a column of texts; they are copied as the cells show them."""
    return Column(title, tip, text, text, "", LEFT, sort_key, sorts_as_given)


class TableModel(QAbstractTableModel, Generic[Row]):
    """Rows that it sorts itself; rows whose value is unknown are always last."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        *,
        sort_column: int = 0,
        sort_order: Qt.SortOrder = Qt.SortOrder.AscendingOrder,
        key: Callable[[Row], Hashable] | None = None,
        tip: Callable[[Row], str] | None = None,
        colour: Callable[[Row, int], QColor | None] | None = None,
        number_title_alignment: Qt.AlignmentFlag = RIGHT,
    ) -> None:
        """Makes a model without rows.

        Args:
            columns: the columns, from left to right.
            sort_column: number of the column that the rows are sorted by at first.
            sort_order: the direction in which they are sorted at first.
            key: returns what identifies a row. Rows with the keys of the rows before take their places and stay selected.
            tip: returns the tool tip of a row; without it each cell has the tip of its column.
            colour: returns the colour of the text in a row and column, or None for that of the theme.
            number_title_alignment: alignment of the titles of columns whose cells are aligned to the right.
        """
        super().__init__()
        self.columns = tuple(columns)
        self.sort_column, self.sort_order = sort_column, sort_order
        self._key, self._tip, self._colour = key, tip, colour
        self._number_title_alignment = number_title_alignment
        self._given: list[Row] = []
        self._order: list[int] = []  # for each row of the table its number among the given rows

    @property
    def titles(self) -> list[str]:
        """Titles with units, for copying."""
        return [f"{column.title} ({column.unit})" if column.unit else column.title for column in self.columns]

    def row(self, number: int) -> Row:
        """Returns the row in a line of the table."""
        return self._given[self._order[number]]

    def values(self, number: int) -> list[Any]:
        """Returns the values in a line of the table, for copying."""
        row = self.row(number)
        return [column.value(row) for column in self.columns]

    def find(self, key: Hashable) -> int | None:
        """Returns the line of the row with this key (of this very row in a model without keys), or None."""
        for number, at in enumerate(self._order):
            row = self._given[at]
            if (row if self._key is None else self._key(row)) == key:
                return number
        return None

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Shows other rows. Selection survives where the model has keys and each line keeps its key."""
        given = list(rows)
        order = self._sorted(given)
        keeps_keys = self._key is not None and self._keys(given, order) == self._keys(self._given, self._order)
        if not keeps_keys:
            self.beginResetModel()
        self._given, self._order = given, order
        if not keeps_keys:
            self.endResetModel()
        elif order:
            self.dataChanged.emit(self.index(0, 0), self.index(len(order) - 1, len(self.columns) - 1))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.sort_column, self.sort_order = column, order
        self.layoutAboutToBeChanged.emit()
        before = [(index, self._order[index.row()]) for index in self.persistentIndexList()]
        self._order = self._sorted(self._given)
        lines = {at: number for number, at in enumerate(self._order)}
        for index, at in before:  # selected rows stay selected
            self.changePersistentIndex(index, self.index(lines[at], index.column()))
        self.layoutChanged.emit()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._number_title_alignment if column.alignment == RIGHT else column.alignment
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self.row(index.row()), self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip if self._tip is None else self._tip(row)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return column.alignment
        if role == Qt.ItemDataRole.ForegroundRole and self._colour is not None:
            return self._colour(row, index.column())
        return None

    def _keys(self, given: list[Row], order: list[int]) -> list[Hashable]:
        return [self._key(given[at]) for at in order] if self._key is not None else []

    def _sorted(self, given: list[Row]) -> list[int]:
        """Returns the numbers of the given rows in the order of the table."""
        column = self.columns[self.sort_column]
        descending = self.sort_order == Qt.SortOrder.DescendingOrder
        if column.sorts_as_given:
            return list(range(len(given)))[:: -1 if descending else 1]
        keys = list(map(column.sort_key or column.value, given))
        known = [at for at, key in enumerate(keys) if key is not None]
        unknown = [at for at, key in enumerate(keys) if key is None]
        return sorted(known, key=keys.__getitem__, reverse=descending) + unknown
