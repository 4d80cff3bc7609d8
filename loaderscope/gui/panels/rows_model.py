"""Rows of values with columns that say how they sort and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QWidget

Row = TypeVar("Row")
Index = QModelIndex | QPersistentModelIndex


@dataclasses.dataclass(frozen=True)
class RowColumn(Generic[Row]):
    """One column: what it sorts by and what is copied (a Python scalar or None), how it reads, and what its title means."""

    title: str
    tip: str
    value: Callable[[Row], Any]
    text: Callable[[Row], str]
    unit: str = ""
    is_number: bool = True


class RowsModel(QAbstractTableModel, Generic[Row]):
    """Sorts by itself; what is missing is always last. Numbers begin with the largest."""

    def __init__(self, columns: Sequence[RowColumn[Row]], sorted_by: int, tip: Callable[[Row], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns = tuple(columns)
        self._tip = tip
        self._rows: list[Row] = []
        self._sort = (sorted_by, Qt.SortOrder.DescendingOrder)

    @property
    def titles(self) -> list[str]:
        """Titles of what is copied."""
        return [f"{column.title} ({column.unit})" if column.unit else column.title for column in self._columns]

    def row(self, index: int) -> Row:
        return self._rows[index]

    def values(self, index: int) -> list[Any]:
        """What is copied of a row."""
        return [column.value(self._rows[index]) for column in self._columns]

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Shows other rows."""
        self.beginResetModel()
        self._rows = self._sorted(rows)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sort = (column, order)
        self.layoutAboutToBeChanged.emit()
        before = [(index, self._rows[index.row()]) for index in self.persistentIndexList()]
        self._rows = self._sorted(self._rows)
        for index, row in before:  # what was selected stays selected
            self.changePersistentIndex(index, self.index(self._rows.index(row), index.column()))
        self.layoutChanged.emit()

    def _sorted(self, rows: Sequence[Row]) -> list[Row]:
        column, order = self._sort
        value = self._columns[column].value
        known = sorted((row for row in rows if value(row) is not None), key=value, reverse=order == Qt.SortOrder.DescendingOrder)
        return known + [row for row in rows if value(row) is None]

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self._columns[section]
        return {
            Qt.ItemDataRole.DisplayRole: column.title,
            Qt.ItemDataRole.ToolTipRole: column.tip,
            Qt.ItemDataRole.TextAlignmentRole: Qt.AlignmentFlag.AlignCenter if column.is_number else _alignment(column),
        }.get(Qt.ItemDataRole(role))

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row)
        return _alignment(column) if role == Qt.ItemDataRole.TextAlignmentRole else None


def _alignment(column: RowColumn[Any]) -> Qt.AlignmentFlag:
    return (Qt.AlignmentFlag.AlignRight if column.is_number else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter
