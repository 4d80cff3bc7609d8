"""Statistics of the measured range, else of what is in sight: a row for each state of each lane."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from loaderscope.facts.text import duration_ns_text, grouped_text, share_text
from loaderscope.gui.panels.column_widths import FairColumns
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.run.newest_only import NewestOnly
from loaderscope.gui.timeline.data.alignment import named
from loaderscope.gui.timeline.data.range_statistics import RangeSurvey, StateStatistics, survey
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget

AT_ONCE = 30_000
"""So many spans are looked at without another thread: a few milliseconds."""

_LEAST_MS = 250
_PAUSE = 10
"""The statistics of a view that moves on take no more than one part in so many of the time."""

Index = QModelIndex | QPersistentModelIndex


@dataclasses.dataclass(frozen=True)
class _Column:
    """One column: its value (seconds for durations), how it reads, and what its title means."""

    title: str
    tip: str
    value: Callable[[StateStatistics], Any]
    text: Callable[[Any], str] = str
    unit: str = ""

    @property
    def is_number(self) -> bool:
        return self.text is not str


def _duration(title: str, tip: str, nanoseconds: Callable[[StateStatistics], float]) -> _Column:
    return _Column(title, tip, lambda row: nanoseconds(row) / 1e9, lambda value: duration_ns_text(value * 1e9), "s")


COLUMNS = (
    _Column("lane", "Process or device", lambda row: row.filled.label),
    _Column("state", "What it did", lambda row: row.filled.word),
    _Column("count", "Spans that touch the range", lambda row: row.count, grouped_text),
    _duration("total", "Time that they fill of the range", lambda row: row.filled.total_ns),
    _Column("share", "Part of the range that they fill", lambda row: row.filled.share, share_text, "0 to 1"),
    _duration("mean", "Mean duration of whole spans, also where they reach over an edge", lambda row: row.mean_ns),
    _duration("p95", "95 % of the spans are shorter than this", lambda row: row.p95_ns),
    _duration("longest", "Duration of the longest span; click or Enter goes there", lambda row: row.longest.duration_ns),
)


class SelectionModel(QAbstractTableModel):
    """Rows of statistics; sorts by itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[StateStatistics] = []
        self._given: list[StateStatistics] = []  # in the order of the lanes
        self._sort: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def set_rows(self, rows: list[StateStatistics]) -> None:
        """Takes the rows of another range; where the states are the same, the selection stays."""
        ordered = self._sorted(rows)
        same = [_key(row) for row in ordered] == [_key(row) for row in self._rows]
        self._given = rows
        if same:
            self._rows = ordered
            if ordered:
                self.dataChanged.emit(self.index(0, 0), self.index(len(ordered) - 1, len(COLUMNS) - 1))
            return
        self.beginResetModel()
        self._rows = ordered
        self.endResetModel()

    def row(self, number: int) -> StateStatistics:
        return self._rows[number]

    def copied_row(self, number: int) -> list[Any]:
        """The values of a row, as they are copied."""
        return [column.value(self._rows[number]) for column in COLUMNS]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sort = (column, order)
        self.layoutAboutToBeChanged.emit()
        before = {index: _key(self._rows[index.row()]) for index in self.persistentIndexList()}
        self._rows = self._sorted(self._given)
        places = {_key(row): number for number, row in enumerate(self._rows)}
        for index, key in before.items():
            self.changePersistentIndex(index, self.index(places[key], index.column()))
        self.layoutChanged.emit()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section].title
        if role == Qt.ItemDataRole.ToolTipRole:
            return COLUMNS[section].tip
        return _alignment(COLUMNS[section]) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.text(column.value(self._rows[index.row()]))
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip
        return _alignment(column) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def _sorted(self, rows: list[StateStatistics]) -> list[StateStatistics]:
        column, order = self._sort
        if column < 1:  # lanes stand as in the timeline
            return rows[::-1] if order == Qt.SortOrder.DescendingOrder else rows
        return sorted(rows, key=COLUMNS[column].value, reverse=order == Qt.SortOrder.DescendingOrder)


def _key(row: StateStatistics) -> tuple[str, int, int]:
    return row.filled.lane, row.longest.track, row.filled.state


def _alignment(column: _Column) -> Qt.AlignmentFlag:
    return (Qt.AlignmentFlag.AlignRight if column.is_number else Qt.AlignmentFlag.AlignLeft) | Qt.AlignmentFlag.AlignVCenter


class SelectionPanel(QWidget):
    """The table, with a line above it that says which range it is about."""

    def __init__(self, timeline: TimelineWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timeline = timeline
        self.model = SelectionModel()
        titles = [f"{column.title} ({column.unit})" if column.unit else column.title for column in COLUMNS]
        self.table = DataTable("Statistics of the measured range", titles, self.model.copied_row)
        self.table.setModel(self.model)
        FairColumns(self.table.horizontalHeader())
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.rowChosen.connect(lambda row: timeline.go_to(self.model.row(row).longest))
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setContentsMargins(10, 5, 10, 5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.note)
        layout.addWidget(self.table, 1)
        self._work: NewestOnly[tuple[list[StateStatistics], float]] = NewestOnly(self._take, self)
        self._soon = QTimer(self, singleShot=True, interval=_LEAST_MS)
        self._soon.timeout.connect(self._look)
        self._outdated = True
        for signal in (timeline.rangeMeasured, timeline.rangeChanged, timeline.traceGrew, timeline.traceShown):
            signal.connect(self._changed)
        self._tell(None, False)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._outdated:
            self._soon.start(0)

    def _changed(self, *_what: object) -> None:
        self._outdated = True
        if self.isVisible() and not self._soon.isActive() and not self._work.busy:
            self._soon.start()

    def _look(self) -> None:
        """Looks at the range of now."""
        if not self.isVisible():
            return
        self._outdated = False
        timeline = self._timeline
        if timeline.scene is None or timeline.scene.is_empty:
            self._tell(None, False)
            self.model.set_rows([])
            return
        measured = timeline.measured
        start_ns, end_ns = timeline.visible_range_ns()
        scene = timeline.scene
        start_ns, end_ns = max(start_ns, scene.origin_ns), min(end_ns, scene.origin_ns + round(scene.total_ns))
        looked_at = measured if measured is not None else survey(scene, start_ns, end_ns)
        self._tell(looked_at, measured is not None)

        def work() -> tuple[list[StateStatistics], float]:
            begin = time.perf_counter()
            return looked_at.statistics(), time.perf_counter() - begin

        if looked_at.span_count <= AT_ONCE:
            self._take(work())
        else:
            self._work.ask(work)

    def _take(self, answer: tuple[list[StateStatistics], float]) -> None:
        rows, seconds = answer
        self._soon.setInterval(max(_LEAST_MS, round(seconds * 1000 * _PAUSE)))
        if self._timeline.scene is not None:
            self.model.set_rows(rows)
        if self._outdated and self.isVisible():
            self._soon.start()

    def _tell(self, shown: RangeSurvey | None, is_measured: bool) -> None:
        scene = self._timeline.scene
        if shown is None or scene is None:
            self.note.setText("Drag over the timeline to measure a range of it.")
            return
        begin_ns = shown.start_ns - scene.origin_ns - (scene.axis_zero or 0.0)
        times = f"{duration_ns_text(shown.duration_ns)} from {duration_ns_text(begin_ns)}"
        if is_measured:
            self.note.setText(f"{named(scene)}Measured range: {times}. Enter in the timeline zooms into it, Esc clears it.")
        else:
            self.note.setText(f"{named(scene)}What is in sight: {times}. Drag over the timeline to measure a part of it.")
