"""Tables of the start-up views: what each worker is sent, what it imports, and the lines of the script's own top level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTreeWidget, QTreeWidgetItem

from loaderscope.facts.results import ImportCost, LineCost, SentPart
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.panels.rows_model import RowColumn, RowsModel
from loaderscope.gui.style.theme import current_palette

SECONDS_ROLE = int(Qt.ItemDataRole.UserRole)
WIDE_PX = 140
OPENED_SHARE = 0.1
"""Modules whose imports take such a part of all are shown with what they import."""


class RowsTable(DataTable):
    """A table of rows that sorts."""

    def __init__(self, name: str, model: RowsModel[Any], wide: int, sorted_by: int) -> None:
        """`wide`: the column of names; the last one takes the room that is left."""
        super().__init__(name, model.titles, model.values)
        self.setModel(model)
        self.setSortingEnabled(True)
        self.sortByColumn(sorted_by, Qt.SortOrder.DescendingOrder)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(wide, QHeaderView.ResizeMode.Interactive)
        header.resizeSection(wide, WIDE_PX)
        header.setStretchLastSection(True)


class SentTable(RowsTable):
    """What each worker is sent, a row an attribute."""

    def __init__(self) -> None:
        self._total = 0
        columns: list[RowColumn[SentPart]] = [
            RowColumn(
                "attribute", "What is sent, as the loader calls it", lambda part: part.attribute, lambda part: part.attribute, "", False
            ),
            RowColumn("bytes", "Size of its pickle", lambda part: part.bytes, lambda part: bytes_text(part.bytes)),
            RowColumn("share", "Part of all that is sent", self._share, lambda part: share_text(self._share(part))),
            RowColumn(
                "pickle",
                "Seconds to pickle it, in the main process, for each worker",
                lambda part: part.pickle_s,
                lambda part: duration_text(part.pickle_s),
                "s",
            ),
            RowColumn(
                "unpickle",
                "Seconds to unpickle it, in each worker",
                lambda part: part.unpickle_s,
                lambda part: duration_text(part.unpickle_s),
                "s",
            ),
            RowColumn("type", "Its class, and that of what it holds", lambda part: part.type_name, lambda part: part.type_name, "", False),
        ]
        model: RowsModel[SentPart] = RowsModel(columns, 1, lambda part: part.error or f"{part.attribute}, a {part.type_name}")
        super().__init__("What each worker is sent", model, 0, 1)
        self._parts = model

    def show_sent(self, sent: Sequence[SentPart]) -> None:
        """Shows these parts."""
        self._total = sum(part.bytes for part in sent)
        self._parts.set_rows(sent)

    def _share(self, part: SentPart) -> float | None:
        return part.bytes / self._total if self._total else None


class LinesTable(RowsTable):
    """The lines of the script's own top level."""

    def __init__(self) -> None:
        columns: list[RowColumn[LineCost]] = [
            RowColumn("line", "Its number in the script", lambda line: line.line, lambda line: str(line.line)),
            RowColumn("total", "Seconds on it", lambda line: line.seconds, lambda line: duration_text(line.seconds), "s"),
            RowColumn("own", "Seconds on it without imports", _own_seconds, lambda line: duration_text(_own_seconds(line)), "s"),
            RowColumn("imports", "Seconds of imports on it", lambda line: line.import_s, lambda line: duration_text(line.import_s), "s"),
            RowColumn("text", "What stands there", lambda line: line.text, lambda line: line.text, "", False),
        ]
        model: RowsModel[LineCost] = RowsModel(columns, 1, lambda line: f"line {line.line}: {line.text}")
        super().__init__("Lines of the script's top level", model, 4, 1)
        self._lines = model

    def show_lines(self, lines: Sequence[LineCost]) -> None:
        """Shows these lines."""
        self._lines.set_rows(lines)


def _own_seconds(line: LineCost) -> float:
    return line.seconds - line.import_s


class _Bars(QStyledItemDelegate):
    """Draws a bar behind a time, as long as its part of the largest."""

    largest_s = 0.0

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        seconds = index.data(SECONDS_ROLE)
        if self.largest_s > 0 and isinstance(seconds, float):
            area = QRectF(option.rect).adjusted(2, 3, -2, -3)
            width = area.width() * min(1.0, seconds / self.largest_s)
            colour = QColor(current_palette().startup)
            colour.setAlphaF(0.45)
            painter.fillRect(QRectF(area.right() - width, area.top(), width, area.height()), colour)
        super().paint(painter, option, index)


class _ImportItem(QTreeWidgetItem):
    """A module; sorts by seconds where there are any."""

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        tree = self.treeWidget()
        column = tree.sortColumn() if tree is not None else 0
        mine, theirs = self.data(column, SECONDS_ROLE), other.data(column, SECONDS_ROLE)
        if isinstance(mine, float) and isinstance(theirs, float):
            return mine < theirs
        return self.text(column) < other.text(column)


class ImportTree(QTreeWidget):
    """The modules that a worker imports, below those that import them first."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: list[ImportCost] = []
        self._bars = _Bars(self)
        self.setAccessibleName("Modules that a worker imports")
        self.setColumnCount(3)
        self.setHeaderLabels(["module", "own", "total"])
        tips = ("A module, below the one that imported it first", "Seconds without the modules that it imports itself", "Seconds with them")
        for column, tip in enumerate(tips):
            self.headerItem().setToolTip(column, tip)
        for column in (1, 2):
            self.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignCenter)
            self.setItemDelegateForColumn(column, self._bars)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setUniformRowHeights(True)
        self.setSortingEnabled(True)
        self.sortByColumn(2, Qt.SortOrder.DescendingOrder)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, 92)

    def show_imports(self, imports: Sequence[ImportCost]) -> None:
        """Shows these modules; what is open stays as it is while they are the same."""
        if list(imports) == self._shown:
            return
        self._shown = list(imports)
        self.clear()
        self._bars.largest_s = max((cost.total_s for cost in imports), default=0.0)
        items = {cost.name: _item(cost) for cost in imports}
        for cost in imports:
            parent = items.get(cost.parent) if cost.parent is not None and cost.parent != cost.name else None
            if parent is not None:
                parent.addChild(items[cost.name])
            else:
                self.addTopLevelItem(items[cost.name])
        whole_s = sum(cost.total_s for cost in imports if cost.parent is None)
        for cost in imports:
            items[cost.name].setExpanded(cost.total_s >= OPENED_SHARE * whole_s)


def _item(cost: ImportCost) -> QTreeWidgetItem:
    item = _ImportItem([cost.name, duration_text(cost.own_s), duration_text(cost.total_s)])
    for column, seconds in ((1, cost.own_s), (2, cost.total_s)):
        item.setData(column, SECONDS_ROLE, float(seconds))
        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    by = f"first imported by {cost.parent}" if cost.parent is not None else "imported by the script"
    item.setToolTip(0, f"{cost.name}\n{by}, {duration_text(cost.first_start_s)} after iter(loader)")
    return item
