"""Columns that share the width of a table."""

from __future__ import annotations

from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QTableView

from loaderscope.gui.panels.data_table import FairColumns


def make_table(qtbot, titles: list[str], width: int) -> QTableView:
    table = QTableView()
    qtbot.addWidget(table)
    table.verticalHeader().hide()
    table.setModel(QStandardItemModel(0, len(titles)))
    table.model().setHorizontalHeaderLabels(titles)
    FairColumns(table.horizontalHeader())
    table.resize(width, 200)
    with qtbot.waitExposed(table):
        table.show()
    return table


def widths(table: QTableView) -> list[int]:
    return [table.columnWidth(column) for column in range(table.model().columnCount())]


def test_columns_share_the_width_and_no_title_is_cut(qtbot):
    table = make_table(qtbot, ["a", "b", "a title that needs more than its share", "d"], 600)
    header = table.horizontalHeader()
    assert sum(widths(table)) == header.viewport().width()
    assert widths(table)[2] == header.sectionSizeHint(2) > widths(table)[0]
    assert max(widths(table)[::3]) - min(widths(table)[::3]) <= 1


def test_columns_follow_the_width_and_what_is_hidden(qtbot):
    table = make_table(qtbot, ["a", "b", "c"], 600)
    table.resize(900, 200)
    assert sum(widths(table)) == table.horizontalHeader().viewport().width()
    table.setColumnHidden(1, True)
    assert sum(widths(table)) == table.horizontalHeader().viewport().width()


def test_titles_stay_whole_in_a_table_that_is_too_narrow(qtbot):
    table = make_table(qtbot, ["samples/s", "first batch", "memory"], 60)
    header = table.horizontalHeader()
    assert all(width >= header.sectionSizeHint(column) for column, width in enumerate(widths(table)))
    assert table.horizontalScrollBar().maximum() > 0
