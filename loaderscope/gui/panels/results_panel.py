"""The results: one row a setting, sortable, growing while the sweep runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QPoint, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QAbstractItemView, QLabel, QMenu, QStackedLayout, QTableView, QWidget

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.measures import MEASURES, Measure, Shown
from loaderscope.facts.results import Recommendation
from loaderscope.facts.settings import SETTINGS, Setting, setting_text, value_text, varying
from loaderscope.facts.statuses import status_of
from loaderscope.gui.panels.column_widths import FairColumns
from loaderscope.gui.run.run_state import SettingRow
from loaderscope.gui.style.theme import current_palette

Index = QModelIndex | QPersistentModelIndex


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: what it sorts by (a Python scalar or None), how it reads, and what its title means.

    Attributes:
        key: the field of the setting, or the key of the figure, that it shows.
        setting: the row of the table of settings that it is made from.
        measure: the row of the table of figures that it is made from.
    """

    key: str
    title: str
    tip: str
    value: Callable[[SettingRow], Any]
    text: Callable[[SettingRow], str]
    numeric: bool = True
    setting: Setting | None = None
    measure: Measure | None = None


def _of_setting(setting: Setting) -> Column:
    remark, meaning = _REMARKS.get(setting.field, (_no_remark, ""))

    def text(row: SettingRow) -> str:
        return value_text(setting.of(row.config)) + remark(row)

    def value(row: SettingRow) -> Any:
        found = setting.of(row.config)
        return f"{found}{remark(row)}" if remark(row) else found

    return Column(setting.field, setting.label, setting.tip + meaning, value, text, numeric=False, setting=setting)


def _no_remark(_row: SettingRow) -> str:
    return ""


_REMARKS: dict[str, tuple[Callable[[SettingRow], str], str]] = {
    "start_method": (lambda row: " +" if row.config.forkserver_preload else "", "; +: the fork server has preloaded modules"),
    "backend": (lambda row: " ≠" if row.incomparable else "", "; ≠: its batches are not those of the other backend"),
}
"""What stands behind a value in the column of a setting, and what it means."""


def _of_measure(measure: Measure) -> Column:
    def value(row: SettingRow) -> float | None:
        return measure.of(row.setting) if row.setting is not None else None

    return Column(measure.key, measure.title, measure.tip, value, lambda row: measure.text(value(row)), measure=measure)


def _number_text(row: SettingRow) -> str:
    count = len(row.trials)
    return f"{row.planned_id} ×{count}" if count > 1 else str(row.planned_id)


_NUMBER = Column(
    "trials", "#", "Number of the trial; × how often the setting was measured", lambda row: row.planned_id, _number_text, numeric=False
)
_STATUS = Column(
    "status",
    "status",
    "Whether the setting's trials ended well",
    lambda row: row.status,
    lambda row: status_of(row.status).word,
    numeric=False,
)

COLUMNS: tuple[Column, ...] = (
    _NUMBER,
    _STATUS,
    *(_of_setting(setting) for setting in SETTINGS),
    *(_of_measure(measure) for measure in MEASURES if measure.shown is not Shown.NEVER),
)


def visible_columns(rows: list[SettingRow]) -> set[int]:
    """Indexes of the columns that say something: axes that were not swept and figures nobody could take need none."""
    shown, told = set(), varying([row.config for row in rows])
    for index, column in enumerate(COLUMNS):
        values = {column.value(row) for row in rows}
        if column.setting is not None:
            wanted = column.setting.always_a_column or column.setting.field in told
        elif column.measure is not None:
            wanted = column.measure.shown.among(values)
        else:
            wanted = column is not _STATUS or not values <= {"ok"}
        if wanted:
            shown.add(index)
    return shown


class ResultsModel(QAbstractTableModel):
    """Rows of settings; sorts by itself, what is missing always last."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[SettingRow] = []
        self._best: TrialConfig | None = None
        self._ties: tuple[TrialConfig, ...] = ()
        self._sort: tuple[int, Qt.SortOrder] = (0, Qt.SortOrder.AscendingOrder)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def row(self, index: int) -> SettingRow:
        return self._rows[index]

    def find(self, config: TrialConfig) -> int | None:
        """Position of a setting."""
        return next((i for i, row in enumerate(self._rows) if row.config == config), None)

    def find_trial(self, trial_id: int) -> int | None:
        """Position of the setting that a trial belongs to."""
        for i, row in enumerate(self._rows):
            if row.planned_id == trial_id or any(trial.id == trial_id for trial in row.trials):
                return i
        return None

    def set_rows(self, rows: list[SettingRow], recommendation: Recommendation | None) -> None:
        """Takes the rows of a run; selection survives where the settings stay the same."""
        self._best = recommendation.config if recommendation is not None else None
        self._ties = tuple(recommendation.ties) if recommendation is not None else ()
        ordered = self._sorted(rows)
        if [row.config for row in ordered] == [row.config for row in self._rows]:
            self._rows = ordered
            if ordered:
                self.dataChanged.emit(self.index(0, 0), self.index(len(ordered) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self._rows = ordered
        self.endResetModel()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sort = (column, order)
        self.layoutAboutToBeChanged.emit()
        before = {index: self._rows[index.row()].config for index in self.persistentIndexList()}
        self._rows = self._sorted(self._rows)
        for index, config in before.items():
            row = self.find(config)
            self.changePersistentIndex(index, self.index(row, index.column()) if row is not None else QModelIndex())
        self.layoutChanged.emit()

    def _sorted(self, rows: list[SettingRow]) -> list[SettingRow]:
        column, order = self._sort
        value = COLUMNS[column].value
        known = [row for row in rows if value(row) is not None]
        known.sort(key=value, reverse=order == Qt.SortOrder.DescendingOrder)
        return known + [row for row in rows if value(row) is None]

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        if role == Qt.ItemDataRole.ToolTipRole:
            return COLUMNS[section].tip
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(COLUMNS[section])
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            text = column.text(row)
            return f"★ {text}" if index.column() == 0 and row.config == self._best else text
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return self._alignment(column)
        if role == Qt.ItemDataRole.ForegroundRole:
            palette = current_palette()
            colour_role = status_of(row.status).role
            if colour_role and (column is _STATUS or not status_of(row.status).is_outcome):
                return QColor(palette.role(colour_role))
            if index.column() == 0 and row.config == self._best:
                return QColor(palette.good)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row)
        return None

    def _tip(self, row: SettingRow) -> str:
        lines = [setting_text(row.config)]
        if row.config == self._best:
            lines.append("★ recommended")
        elif row.config in self._ties:
            lines.append("as fast as the recommended setting, within what can be measured")
        lines += [text for text in (row.reason, row.incomparable) if text]
        return "\n".join(lines)

    @staticmethod
    def _alignment(column: Column) -> Qt.AlignmentFlag:
        side = Qt.AlignmentFlag.AlignRight if column.numeric else Qt.AlignmentFlag.AlignHCenter
        return side | Qt.AlignmentFlag.AlignVCenter


class ResultsPanel(QWidget):
    """The table, or what will stand there. `trialChosen` when the user picks a row, `compareRequested` to see one below the other."""

    trialChosen = Signal(int)
    compareRequested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ResultsModel()
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setAccessibleName("Results, one row a setting")
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setShowGrid(False)
        self.table.setAlternatingRowColors(True)
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(23)
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(58)
        FairColumns(header)
        self._empty = QLabel("Every setting of the sweep becomes a row here as soon as it is measured.\nClick a row to see its timeline.")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setProperty("role", "muted")
        self._empty.setBackgroundRole(QPalette.ColorRole.Base)
        self._empty.setAutoFillBackground(True)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.table)
        self.table.selectionModel().currentRowChanged.connect(self._row_changed)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(lambda place: self.menu(place).popup(self.table.viewport().mapToGlobal(place)))

    def set_rows(self, rows: list[SettingRow], recommendation: Recommendation | None) -> None:
        """Shows the rows and keeps the selected setting selected."""
        current = self.table.currentIndex()
        config = self.model.row(current.row()).config if current.isValid() and current.row() < self.model.rowCount() else None
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_rows(rows, recommendation)
            if config is not None:
                self._select(self.model.find(config))
        self._stack.setCurrentIndex(1 if rows else 0)
        self._hide_idle_columns(rows)

    def _hide_idle_columns(self, rows: list[SettingRow]) -> None:
        shown = visible_columns(rows)
        for index in range(len(COLUMNS)):
            if self.table.isColumnHidden(index) != (index not in shown):
                self.table.setColumnHidden(index, index not in shown)

    def select_trial(self, trial_id: int) -> None:
        """Marks the row that a trial belongs to, without telling anyone."""
        with QSignalBlocker(self.table.selectionModel()):
            self._select(self.model.find_trial(trial_id))
        self.table.viewport().update()

    def menu(self, place: QPoint) -> QMenu:
        """What can be done with the row at a place; it deletes itself. Nothing is chosen by opening it."""
        menu = QMenu(self.table)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        index = self.table.indexAt(place)
        row = self.model.row(index.row()) if index.isValid() else None
        if row is not None and not status_of(row.status).without_timeline:
            menu.addAction("Show its timeline", lambda: self.trialChosen.emit(row.trial_id))
            menu.addAction("Compare with the shown trial", lambda: self.compareRequested.emit(row.trial_id))
        return menu

    def _select(self, row: int | None) -> None:
        if row is None:
            self.table.clearSelection()
            return
        self.table.setCurrentIndex(self.model.index(row, max(0, self.table.currentIndex().column())))
        self.table.selectRow(row)

    def _row_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.trialChosen.emit(self.model.row(current.row()).trial_id)
