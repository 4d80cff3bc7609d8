"""The spans in sight as a table: what the timeline shows, in words."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QItemSelectionModel, QModelIndex, QPersistentModelIndex, QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from loaderscope.facts.text import MISSING, count_text, duration_ns_text, grouped_text
from loaderscope.gui.panels.column_widths import FairColumns
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.timeline.data.alignment import named
from loaderscope.gui.timeline.data.hover_card import state_word
from loaderscope.gui.timeline.data.level_of_detail import Ints
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef, samples_of
from loaderscope.gui.timeline.data.span_rows import MOST_ROWS, Listing, list_spans
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import epoch_and_batch

_LEAST_MS = 250
_PAUSE = 20
"""Listing a view that moves on takes no more than one part in so many of the time."""

LANE, STATE, BATCH, EPOCH, START, DURATION, CPU, SAMPLES = range(8)
TITLES = ("lane", "state", "batch", "epoch", "start", "duration", "CPU time", "samples")
TIPS = (
    "Process, device or queue slot",
    "What it did",
    "Number of the batch within its epoch",
    "Number of the epoch",
    "Begin, from the first record of the trial",
    "From begin to end",
    "Processor time of the thread while it fetched; much less than the duration: it waited",
    "How many samples were fetched, where that was recorded",
)
COPIED_TITLES = ("lane", "state", "batch", "epoch", "start (s)", "duration (s)", "CPU time (s)", "samples")

Index = QModelIndex | QPersistentModelIndex


class SpansModel(QAbstractTableModel):
    """Spans of a listing; only what is asked for is made into texts. Sorts by itself."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Scene | None = None
        self._listing: Listing | None = None
        self._order = np.empty(0, np.int64)
        self._sort: tuple[int, Qt.SortOrder] = (START, Qt.SortOrder.AscendingOrder)

    def set_listing(self, scene: Scene | None, listing: Listing | None) -> None:
        """Shows other spans."""
        self.beginResetModel()
        self._scene, self._listing = scene, listing
        self._put_in_order()
        self.endResetModel()

    def span_of(self, row: int) -> SpanRef | None:
        """The span of a row."""
        return self._listing.span(int(self._order[row])) if self._listing is not None else None

    def find(self, span: SpanRef) -> int | None:
        """The row of a span."""
        at = self._listing.find(span) if self._listing is not None else None
        return int(np.flatnonzero(self._order == at)[0]) if at is not None else None

    def copied_row(self, row: int) -> list[Any]:
        """The values of a row, as they are copied."""
        return [self._value(row, column) for column in range(len(TITLES))]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._order)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(TITLES)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sort = (column, order)
        self.layoutAboutToBeChanged.emit()
        before = [(index, self._order[index.row()]) for index in self.persistentIndexList()]
        self._put_in_order()
        for index, at in before:
            self.changePersistentIndex(index, self.index(int(np.flatnonzero(self._order == at)[0]), index.column()))
        self.layoutChanged.emit()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return TITLES[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS[section]
        return _alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self._value(index.row(), index.column())
        if value is None:
            return MISSING
        return duration_ns_text(value * 1e9) if index.column() in (START, DURATION, CPU) else str(value)

    def _value(self, row: int, column: int) -> Any:
        """A Python scalar; seconds for times; None where there is none."""
        listing, scene = self._listing, self._scene
        if listing is None or scene is None:
            return None
        at = int(self._order[row])
        batch = int(listing.batch[at])
        if column == LANE:
            return listing.label(at)
        if column == STATE:
            return state_word(scene, listing.span(at))
        if column in (BATCH, EPOCH):
            return epoch_and_batch(batch)[column == BATCH] if batch >= 0 else None
        if column == START:
            return (int(listing.start_ns[at]) - scene.origin_ns) / 1e9
        if column == DURATION:
            return int(listing.duration_ns[at]) / 1e9
        if column == CPU:
            cpu_ns = int(listing.cpu_ns[at])
            return cpu_ns / 1e9 if cpu_ns >= 0 else None
        return len(samples_of(scene, listing.span(at))) or None

    def _put_in_order(self) -> None:
        listing = self._listing
        if listing is None:
            self._order = np.empty(0, np.int64)
            return
        column, order = self._sort
        keys: dict[int, Ints] = {
            LANE: listing.track.astype(np.int64),
            STATE: listing.state,
            BATCH: listing.batch & ((1 << 40) - 1),
            EPOCH: listing.batch >> 40,
        }
        keys |= {DURATION: listing.duration_ns, CPU: listing.cpu_ns}
        key = keys.get(column, listing.start_ns)
        self._order = np.argsort(-key if order == Qt.SortOrder.DescendingOrder else key, kind="stable")


def _alignment(column: int) -> Qt.AlignmentFlag:
    return (Qt.AlignmentFlag.AlignLeft if column in (LANE, STATE) else Qt.AlignmentFlag.AlignRight) | Qt.AlignmentFlag.AlignVCenter


class SpansPanel(QWidget):
    """The table under a choice of lanes. The selected row and the timeline's selected span are one."""

    def __init__(self, timeline: TimelineWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timeline = timeline
        self.model = SpansModel()
        self.table = DataTable("Spans in sight", list(COPIED_TITLES), self.model.copied_row)
        self.table.setModel(self.model)
        FairColumns(self.table.horizontalHeader())
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(START, Qt.SortOrder.AscendingOrder)
        self.table.rowChosen.connect(self._go_to)
        self.table.selectionModel().currentRowChanged.connect(lambda index, _before: self._go_to(index.row()))
        self.lanes = QComboBox()
        self.lanes.setAccessibleName("Lane whose spans are listed")
        self.lanes.setToolTip("Lane whose spans are listed")
        self.lanes.currentIndexChanged.connect(lambda _at: self._look())
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        line = QHBoxLayout()
        line.setContentsMargins(8, 4, 10, 4)
        line.setSpacing(10)
        line.addWidget(self.lanes)
        line.addWidget(self.note, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(line)
        layout.addWidget(self.table, 1)
        self._soon = QTimer(self, singleShot=True, interval=_LEAST_MS)
        self._soon.timeout.connect(self._look)
        self._outdated = True
        for signal in (timeline.rangeChanged, timeline.traceGrew, timeline.traceShown):
            signal.connect(self._changed)
        timeline.spanSelected.connect(self._select)
        self._list_lanes()
        self._tell(None)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._outdated:
            self._soon.start(0)

    def _changed(self, *_what: object) -> None:
        self._outdated = True
        if self.isVisible() and not self._soon.isActive():
            self._soon.start()

    def _look(self) -> None:
        if not self.isVisible():
            return
        self._outdated = False
        begin = time.perf_counter()
        scene = self._timeline.scene
        self._list_lanes()
        lane = self.lanes.currentData()
        listing = None
        if scene is not None and not scene.is_empty:
            listing = list_spans(scene, *self._timeline.visible_range_ns(), None if lane is None else (lane,))
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_listing(scene, listing)
        self._tell(listing)
        self._select(self._timeline.selected)
        self._soon.setInterval(max(_LEAST_MS, round((time.perf_counter() - begin) * 1000 * _PAUSE)))

    def _list_lanes(self) -> None:
        """The lanes there are now; the one that is chosen stays chosen."""
        scene = self._timeline.scene
        keys = [lane for row in scene.rows for lane in row.lanes] if scene is not None else []
        known = [self.lanes.itemData(at) for at in range(1, self.lanes.count())]
        if keys == known and self.lanes.count():
            return
        chosen = self.lanes.currentData()
        with QSignalBlocker(self.lanes):
            self.lanes.clear()
            self.lanes.addItem("all lanes", None)
            for key in keys:
                lane = scene.lane(key) if scene is not None else None
                self.lanes.addItem(lane.label if lane is not None else key, key)
            self.lanes.setCurrentIndex(max(self.lanes.findData(chosen), 0) if chosen is not None else 0)

    def _tell(self, listing: Listing | None) -> None:
        scene = self._timeline.scene
        if listing is None or scene is None:
            text = "The spans of the timeline are listed here once there are some."
        elif listing.is_whole:
            text = f"{named(scene)}{count_text(len(listing), 'span')} in sight"
        else:
            shown, known = grouped_text(len(listing)), grouped_text(MOST_ROWS)
            text = f"{named(scene)}The first {shown} of more than {known} spans in sight: zoom in to see all."
        self.note.setText(text)

    def _go_to(self, row: int) -> None:
        span = self.model.span_of(row) if row >= 0 else None
        if span is not None and span != self._timeline.selected:
            self._timeline.go_to(span)

    def _select(self, span: SpanRef | None) -> None:
        """Marks the row of a span, without telling anyone."""
        if not self.isVisible():
            return
        row = self.model.find(span) if span is not None else None
        with QSignalBlocker(self.table.selectionModel()):
            selection = self.table.selectionModel()
            if row is None:
                selection.clear()
            else:
                kind = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
                selection.setCurrentIndex(self.model.index(row, max(self.table.currentIndex().column(), 0)), kind)
                self.table.scrollTo(self.model.index(row, 0))
        self.table.viewport().update()
