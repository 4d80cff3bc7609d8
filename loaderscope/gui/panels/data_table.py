"""The table of the panels: it shows a model of rows, shares its width among columns, and copies its rows for other programs."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

from PySide6.QtCore import QEvent, QItemSelectionModel, QMimeData, QModelIndex, QObject, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QApplication, QHeaderView, QTableView

from loaderscope.gui.panels.table_model import TableModel

COPIED_ROWS = 100_000


class DataTable(QTableView):
    """Rows that the user sorts by a title, chooses with a click or Enter, and copies with Ctrl+C.

    Signals:
        rowChosen: number of the row that was clicked or on which Enter was pressed.
    """

    rowChosen = Signal(int)

    def __init__(self, name: str, model: TableModel[Any]) -> None:
        """Shows a model; `name` is for screen readers."""
        super().__init__()
        self._model = model
        self.setModel(model)
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
        header.setSortIndicator(model.sort_column, model.sort_order)
        self.setSortingEnabled(True)
        self.clicked.connect(self._emit_chosen)

    def select_row(self, number: int | None) -> None:
        """Selects one row, or none, without a signal that the selection changed."""
        selection = self.selectionModel()
        with QSignalBlocker(selection):
            if number is None:
                selection.clear()
            else:
                command = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
                selection.setCurrentIndex(self._model.index(number, max(0, self.currentIndex().column())), command)
        self.viewport().update()  # the blocked signals would have done it

    def copy(self) -> None:
        """Puts the shown columns of the selected rows, or of all, on the clipboard: as tab-separated text and as CSV.

        Values are plain numbers; their units are in the titles.
        """
        rows = sorted({index.row() for index in self.selectionModel().selectedRows()}) or range(self._model.rowCount())
        is_shown = [not self.isColumnHidden(column) for column in range(self._model.columnCount())]
        lines = [self._model.titles, *(self._model.values(row) for row in rows[:COPIED_ROWS])]
        cells = [[_copied_text(value) for value in itertools.compress(line, is_shown)] for line in lines]
        data = QMimeData()
        data.setText("".join("\t".join(line) + "\n" for line in cells))
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(cells)
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
            self._emit_chosen(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _emit_chosen(self, index: QModelIndex) -> None:
        if index.isValid():
            self.rowChosen.emit(index.row())


class FairColumns(QObject):
    """Makes the columns of a header equally wide, but none narrower than its title or its need. It lives as long as the header."""

    def __init__(self, header: QHeaderView) -> None:
        super().__init__(header)
        self._header = header
        self._is_sharing = False
        self._needs_px: dict[int, int] = {}
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.viewport().installEventFilter(self)
        header.sectionCountChanged.connect(lambda _old, _new: self._share_width())
        header.sectionResized.connect(self._resized)

    def need(self, section: int, width_px: int) -> None:
        """Sets how wide a column must be for its contents."""
        if width_px != self._needs_px.get(section):
            self._needs_px[section] = width_px
            self._share_width()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.StyleChange):
            self._share_width()
        return super().eventFilter(watched, event)

    def _resized(self, section: int, _old_px: int, new_px: int) -> None:
        """Follows columns that appear, too, and columns that are about to be hidden: their new width is 0."""
        self._share_width(left_out=section if not new_px else None)

    def _share_width(self, left_out: int | None = None) -> None:
        if self._is_sharing:
            return
        self._is_sharing = True
        header = self._header
        shown = [section for section in range(header.count()) if section != left_out and not header.isSectionHidden(section)]
        least_px = {
            section: max(header.sectionSizeHint(section), header.minimumSectionSize(), self._needs_px.get(section, 0)) for section in shown
        }
        left_px = header.viewport().width()
        for done, section in enumerate(sorted(shown, key=least_px.__getitem__, reverse=True)):  # what wide titles leave is shared
            width_px = max(left_px // (len(shown) - done), least_px[section])
            header.resizeSection(section, width_px)
            left_px -= width_px
        self._is_sharing = False


def _copied_text(value: object) -> str:
    return "" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)
