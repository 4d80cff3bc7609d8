"""Tables of the start-up views: what each worker is sent, what it imports, and the lines of the script's top level."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTreeWidget, QTreeWidgetItem

from loaderscope.facts.startup_results import ImportCost, LineCost, SentPart
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.panels.table_model import CENTRE, RIGHT, TableModel, number_column, text_column
from loaderscope.gui.style.theme import current_palette

SECONDS_ROLE = int(Qt.ItemDataRole.UserRole)
NAME_WIDTH_PX = 140
EXPANDED_SHARE = 0.1
"""The tree shows what a module imports if that takes at least this part of all import time."""


def _fit_columns(table: DataTable, name_column: int) -> None:
    """Makes columns as wide as their contents, except the column of names; the last one takes the remaining width."""
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(name_column, QHeaderView.ResizeMode.Interactive)
    header.resizeSection(name_column, NAME_WIDTH_PX)
    header.setStretchLastSection(True)


class SentTable(DataTable):
    """What each worker is sent: a row for each attribute of the loader."""

    def __init__(self) -> None:
        self._total_bytes = 0
        self._parts: TableModel[SentPart] = TableModel(
            (
                text_column("attribute", "What is sent, as the loader calls it", lambda part: part.attribute),
                number_column("bytes", "Size of its pickle", lambda part: part.bytes, bytes_text),
                number_column("share", "Part of all that is sent", self._share, share_text),
                number_column(
                    "pickle", "Seconds to pickle it, in the main process, for each worker", lambda part: part.pickle_s, duration_text, "s"
                ),
                number_column("unpickle", "Seconds to unpickle it, in each worker", lambda part: part.unpickle_s, duration_text, "s"),
                text_column("type", "Its class, and that of what it holds", lambda part: part.type_name),
            ),
            sort_column=1,
            sort_order=Qt.SortOrder.DescendingOrder,
            tip=lambda part: part.error or f"{part.attribute}, a {part.type_name}",
            number_title_alignment=CENTRE,
        )
        super().__init__("What each worker is sent", self._parts)
        _fit_columns(self, name_column=0)

    def show_sent(self, sent: Sequence[SentPart]) -> None:
        """Shows these parts."""
        self._total_bytes = sum(part.bytes for part in sent)
        self._parts.set_rows(sent)

    def _share(self, part: SentPart) -> float | None:
        return part.bytes / self._total_bytes if self._total_bytes else None


class LinesTable(DataTable):
    """The lines of the script's top level and how long they took."""

    def __init__(self) -> None:
        self._lines: TableModel[LineCost] = TableModel(
            (
                number_column("line", "Its number in the script", lambda line: line.line),
                number_column("total", "Seconds on it", lambda line: line.seconds, duration_text, "s"),
                number_column("own", "Seconds on it without imports", lambda line: line.seconds - line.import_s, duration_text, "s"),
                number_column("imports", "Seconds of imports on it", lambda line: line.import_s, duration_text, "s"),
                text_column("text", "What stands there", lambda line: line.text),
            ),
            sort_column=1,
            sort_order=Qt.SortOrder.DescendingOrder,
            tip=lambda line: f"line {line.line}: {line.text}",
            number_title_alignment=CENTRE,
        )
        super().__init__("Lines of the script's top level", self._lines)
        _fit_columns(self, name_column=4)

    def show_lines(self, lines: Sequence[LineCost]) -> None:
        """Shows these lines."""
        self._lines.set_rows(lines)


class _Bars(QStyledItemDelegate):
    """Draws a bar behind each time, as long as the time is relative to the largest."""

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
    """A module; columns of seconds sort by them, the others by text."""

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        tree = self.treeWidget()
        column = tree.sortColumn() if tree is not None else 0
        mine, theirs = self.data(column, SECONDS_ROLE), other.data(column, SECONDS_ROLE)
        if isinstance(mine, float) and isinstance(theirs, float):
            return mine < theirs
        return self.text(column) < other.text(column)


class ImportTree(QTreeWidget):
    """The modules that a worker imports, each below the module that imported it first."""

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
            self.headerItem().setTextAlignment(column, CENTRE)
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
        """Shows these modules. Expanded modules stay expanded where the modules are the same as before."""
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
        all_s = sum(cost.total_s for cost in imports if cost.parent is None)
        for cost in imports:
            items[cost.name].setExpanded(cost.total_s >= EXPANDED_SHARE * all_s)


def _item(cost: ImportCost) -> QTreeWidgetItem:
    item = _ImportItem([cost.name, duration_text(cost.own_s), duration_text(cost.total_s)])
    for column, seconds in ((1, cost.own_s), (2, cost.total_s)):
        item.setData(column, SECONDS_ROLE, float(seconds))
        item.setTextAlignment(column, RIGHT)
    by = f"first imported by {cost.parent}" if cost.parent is not None else "imported by the script"
    item.setToolTip(0, f"{cost.name}\n{by}, {duration_text(cost.first_start_s)} after iter(loader)")
    return item
