"""A table of measured values that can be copied into other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, QMimeData, QModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QTableView

COPIED_ROWS = 100_000

CopiedRow = Callable[[int], list[Any]]


class DataTable(QTableView):
    """Rows that are chosen with a click or Enter and copied with Ctrl+C, with titles and plain numbers.

    Signals:
        rowChosen: number of the row that was clicked or on which Enter was pressed.
    """

    rowChosen = Signal(int)

    def __init__(self, name: str, titles: list[str], copied_row: CopiedRow) -> None:
        """`titles` and `copied_row` tell what is copied of a row."""
        super().__init__()
        self._titles, self._copied_row = titles, copied_row
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(58)
        self.clicked.connect(self._chosen)

    def copy(self) -> None:
        """Puts the selected rows, or all, on the clipboard: as tab-separated text and as CSV."""
        rows = sorted({index.row() for index in self.selectionModel().selectedRows()}) or range(self.model().rowCount())
        lines = [self._titles, *(self._copied_row(row) for row in rows[:COPIED_ROWS])]
        data = QMimeData()
        data.setText("".join("\t".join(map(_text, line)) + "\n" for line in lines))
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([_text(value) for value in line] for line in lines)
        data.setData("text/csv", buffer.getvalue().encode())
        QApplication.clipboard().setMimeData(data)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Copy):
            event.accept()  # before the window takes it for one of its own
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._chosen(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _chosen(self, index: QModelIndex) -> None:
        if index.isValid():
            self.rowChosen.emit(index.row())


def _text(value: object) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
