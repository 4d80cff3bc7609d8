"""The results: one row for each setting, which the user can sort while the sweep still adds rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

from PySide6.QtCore import QModelIndex, QPoint, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QAbstractItemView, QLabel, QMenu, QStackedLayout, QWidget

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.findings import change_of
from loaderscope.facts.measures import MEASURES, Measure, Shown
from loaderscope.facts.purposes import trial_setting_text
from loaderscope.facts.results import Recommendation
from loaderscope.facts.settings import SETTINGS, Setting, value_text, varying_fields
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import MISSING, bytes_text, duration_text
from loaderscope.gui.panels.data_table import DataTable, FairColumns
from loaderscope.gui.panels.table_model import CENTRE, Column, TableModel
from loaderscope.gui.run.run_state import SettingRow
from loaderscope.gui.style.theme import current_palette

ROW_HEIGHT_PX = 23

_UNITS = {duration_text: "s", bytes_text: "bytes"}
"""The units of the values that these formatters take."""


@dataclasses.dataclass(frozen=True)
class ResultColumn(Column[SettingRow]):
    """A column of the results.

    Attributes:
        setting: the row of the table of settings that it shows, if any.
        measure: the row of the table of measures that it shows, if any.
    """

    setting: Setting | None = None
    measure: Measure | None = None


def _setting_column(setting: Setting) -> ResultColumn:
    remark, meaning = _REMARKS.get(setting.field, (_no_remark, ""))

    def is_hidden(row: SettingRow) -> bool:
        return row.purpose.hides_workers and setting.field == "num_workers"

    def text(row: SettingRow) -> str:
        if is_hidden(row):
            return "perfect"
        return value_text(setting.of(row.config)) + remark(row)

    def value(row: SettingRow) -> Any:
        plain = None if is_hidden(row) else setting.of(row.config)
        return text(row) if isinstance(plain, bool) or remark(row) else plain

    return ResultColumn(setting.label, setting.tip + meaning, value, text, alignment=CENTRE, setting=setting)


def _no_remark(_row: SettingRow) -> str:
    return ""


_REMARKS: dict[str, tuple[Callable[[SettingRow], str], str]] = {
    "start_method": (lambda row: " +" if row.config.forkserver_preload else "", "; +: the fork server has preloaded modules"),
    "backend": (lambda row: " ≠" if row.incomparable_reason else "", "; ≠: its batches are not those of the other backend"),
}
"""By the field of a setting: returns the mark behind its value, and what the tip of the column says about the mark."""


def _measure_column(measure: Measure) -> ResultColumn:
    def value(row: SettingRow) -> float | None:
        return measure.of(row.setting) if row.setting is not None else None

    def text(row: SettingRow) -> str:
        return measure.text_of(row.setting) if row.setting is not None else measure.text(None)

    return ResultColumn(measure.title, measure.tip, value, text, _UNITS.get(measure.text, ""), measure=measure)


def _number_text(row: SettingRow) -> str:
    count = len(row.counted)
    return f"{row.planned_id} ×{count}" if count > 1 else str(row.planned_id)


_NUMBER = ResultColumn(
    "#", "Number of the trial; × how often the setting was measured", lambda row: row.planned_id, _number_text, alignment=CENTRE
)
_STATUS = ResultColumn(
    "status",
    "Whether the setting's trials ended well",
    lambda row: row.status,
    lambda row: status_of(row.status).word,
    alignment=CENTRE,
)

PERFECT_LOADER_TIP = "Its batches are served from memory: no loader can make this step faster"

LOADER_MARGINS_PX = 24
"""Beside a loader's name in its cell."""

EMPTY = "Every setting of a sweep, and every loader of a training, becomes a row here.\nClick a row to see its timeline."

_LOADER = ResultColumn(
    "loader",
    "Where the script makes the loader",
    lambda row: row.loader or None,
    lambda row: row.loader,
    alignment=CENTRE,
)


_REMEDY = ResultColumn(
    "remedy",
    "What is changed to test the remedy of a finding",
    lambda row: change_of(row.remedy) or None,
    lambda row: change_of(row.remedy) or MISSING,
    alignment=CENTRE,
)


def _row_key(row: SettingRow) -> Hashable:
    """Returns what identifies a row: its setting; in a recorded training its loader, as several may have one setting."""
    if row.loader:
        return row.config, row.planned_id
    return row.config if row.purpose.is_of_setting else (row.config, row.purpose, row.remedy)


COLUMNS: tuple[ResultColumn, ...] = (
    _NUMBER,
    _STATUS,
    _LOADER,
    _REMEDY,
    *(_setting_column(setting) for setting in SETTINGS),
    *(_measure_column(measure) for measure in MEASURES if measure.shown is not Shown.NEVER),
)


def visible_columns(rows: list[SettingRow]) -> set[int]:
    """Returns the numbers of the columns worth showing: without settings that were not swept and measures that have no values."""
    visible, varied = set(), varying_fields([row.config for row in rows])
    for number, column in enumerate(COLUMNS):
        values = {column.value(row) for row in rows}
        if column.setting is not None:
            is_visible = column.setting.always_a_column or column.setting.field in varied
        elif column.measure is not None:
            is_visible = column.measure.shown.among(values)
        elif column in (_LOADER, _REMEDY):
            is_visible = any(values)
        else:
            is_visible = column is not _STATUS or not values <= {"ok"}
        if is_visible:
            visible.add(number)
    return visible


class ResultsModel(TableModel[SettingRow]):
    """Settings with their results; the recommended setting has a star."""

    def __init__(self) -> None:
        self._best: TrialConfig | None = None
        self._ties: tuple[TrialConfig, ...] = ()
        columns = (dataclasses.replace(_NUMBER, text=self._starred_number_text), *COLUMNS[1:])
        super().__init__(columns, key=_row_key, tip=self._row_tip, colour=self._text_colour)

    def find_trial(self, trial_id: int) -> int | None:
        """Returns the line of the setting that a trial belongs to, or None."""
        for line in range(self.rowCount()):
            row = self.row(line)
            if row.planned_id == trial_id or any(trial.id == trial_id for trial in row.trials):
                return line
        return None

    def set_results(self, rows: list[SettingRow], recommendation: Recommendation | None) -> None:
        """Shows the rows of a run; selection survives where the settings stay the same."""
        self._best = recommendation.config if recommendation is not None else None
        self._ties = tuple(recommendation.ties) if recommendation is not None else ()
        self.set_rows(rows)

    def _starred_number_text(self, row: SettingRow) -> str:
        return f"★ {_number_text(row)}" if row.is_of(self._best) else _number_text(row)

    def _text_colour(self, row: SettingRow, column: int) -> QColor | None:
        palette = current_palette()
        status = status_of(row.status)
        if status.role and (COLUMNS[column] is _STATUS or not status.is_outcome):
            return QColor(palette.role(status.role))
        if not row.purpose.is_of_setting:
            return QColor(palette.muted)
        if column == 0 and row.is_of(self._best):
            return QColor(palette.good)
        return None

    def _row_tip(self, row: SettingRow) -> str:
        lines = [trial_setting_text(row.config, row.purpose, change_of(row.remedy))]
        if row.shows_ceiling:
            lines.append(PERFECT_LOADER_TIP)
        if row.is_of(self._best):
            lines.append("★ recommended")
        elif any(row.is_of(tie) for tie in self._ties):
            lines.append("as fast as the recommended setting, within what can be measured")
        lines += [text for text in (row.reason, row.incomparable_reason) if text]
        return "\n".join(lines)


class ResultsPanel(QWidget):
    """The table, or a hint until it has rows.

    Signals:
        trialChosen: id of the trial whose row the user selected or whose timeline they asked for.
        compareRequested: id of the trial whose timeline the user wants to see below the shown timeline.
    """

    trialChosen = Signal(int)
    compareRequested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = ResultsModel()
        self.table = DataTable("Results, one row a setting", self.model)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # the line is at the end of a loader's name
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT_PX)
        self._widths = FairColumns(self.table.horizontalHeader())
        self._empty = QLabel(EMPTY)
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
        """Shows the rows of a run and keeps the selected setting selected."""
        current = self.table.currentIndex()
        key = _row_key(self.model.row(current.row())) if current.isValid() else None
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_results(rows, recommendation)
        if key is not None:
            self.table.select_row(self.model.find(key))
        self._stack.setCurrentIndex(1 if rows else 0)
        self._hide_idle_columns(rows)
        advance = self.table.fontMetrics().horizontalAdvance
        self._widths.need(COLUMNS.index(_LOADER), max((advance(row.loader) + LOADER_MARGINS_PX for row in rows), default=0))

    def _hide_idle_columns(self, rows: list[SettingRow]) -> None:
        visible = visible_columns(rows)
        for number in range(len(COLUMNS)):
            if self.table.isColumnHidden(number) != (number not in visible):
                self.table.setColumnHidden(number, number not in visible)

    def select_trial(self, trial_id: int) -> None:
        """Selects the row that a trial belongs to, without a signal."""
        self.table.select_row(self.model.find_trial(trial_id))

    def menu(self, place: QPoint) -> QMenu:
        """Returns a menu of what can be done with the row at a place. It deletes itself; opening it selects nothing."""
        menu = QMenu(self.table)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        index = self.table.indexAt(place)
        row = self.model.row(index.row()) if index.isValid() else None
        if row is not None and not status_of(row.status).without_timeline:
            menu.addAction("Show its timeline", lambda: self.trialChosen.emit(row.trial_id))
            menu.addAction("Compare with the shown trial", lambda: self.compareRequested.emit(row.trial_id))
        return menu

    def _row_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.trialChosen.emit(self.model.row(current.row()).trial_id)
