"""The visible spans as a table: what the timeline shows, in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from loaderscope.facts.text import count_text, duration_text, grouped_text
from loaderscope.gui.panels.data_table import DataTable, FairColumns
from loaderscope.gui.panels.table_model import TableModel, number_column, text_column
from loaderscope.gui.timeline.data.alignment import trial_prefix
from loaderscope.gui.timeline.data.hover_card import state_word
from loaderscope.gui.timeline.data.scene import Scene, full_label
from loaderscope.gui.timeline.data.span_query import SpanRef, samples_of
from loaderscope.gui.timeline.data.span_rows import MOST_ROWS, Listing, list_spans
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import epoch_and_batch

_LEAST_INTERVAL_MS = 250
_PAUSE_FACTOR = 20
"""While the view moves, the panel waits this many times as long as it took to list the spans before it does so again."""

START_COLUMN = 4


def _epoch(_scene: Scene, listing: Listing, row: int) -> int | None:
    batch_id = int(listing.batch[row])
    return epoch_and_batch(batch_id)[0] if batch_id >= 0 else None


def _batch(_scene: Scene, listing: Listing, row: int) -> int | None:
    batch_id = int(listing.batch[row])
    return epoch_and_batch(batch_id)[1] if batch_id >= 0 else None


def _start_s(scene: Scene, listing: Listing, row: int) -> float:
    return (int(listing.start_ns[row]) - scene.origin_ns) / 1e9


def _duration_s(_scene: Scene, listing: Listing, row: int) -> float:
    return int(listing.duration_ns[row]) / 1e9


def _cpu_s(_scene: Scene, listing: Listing, row: int) -> float | None:
    cpu_ns = int(listing.cpu_ns[row])
    return cpu_ns / 1e9 if cpu_ns >= 0 else None


def _sample_count(scene: Scene, listing: Listing, row: int) -> int | None:
    return len(samples_of(scene, listing.span(row))) or None


class SpansModel(TableModel[int]):
    """Spans by their row in a listing: no object is made of a span that is not on the screen."""

    def __init__(self) -> None:
        self._scene: Scene | None = None
        self._listing: Listing | None = None
        super().__init__(
            (
                text_column(
                    "lane",
                    "Process, device or queue slot",
                    self._of_span(lambda _scene, listing, row: listing.label(row)),
                    sort_key=self._of_span(lambda _scene, listing, row: int(listing.track[row])),
                ),
                text_column(
                    "state",
                    "What it did",
                    self._of_span(lambda scene, listing, row: state_word(scene, listing.span(row))),
                    sort_key=self._of_span(lambda _scene, listing, row: int(listing.state[row])),
                ),
                number_column("batch", "Number of the batch within its epoch", self._of_span(_batch)),
                number_column("epoch", "Number of the epoch", self._of_span(_epoch)),
                number_column(
                    "start",
                    "Begin, from the first record of the trial",
                    self._of_span(_start_s),
                    duration_text,
                    "s",
                    sorts_as_given=True,  # a listing is sorted by start
                ),
                number_column("duration", "From begin to end", self._of_span(_duration_s), duration_text, "s"),
                number_column(
                    "CPU time",
                    "Processor time of the thread while it fetched; much less than the duration: it waited",
                    self._of_span(_cpu_s),
                    duration_text,
                    "s",
                ),
                number_column(
                    "samples",
                    "How many samples were fetched, where that was recorded",
                    self._of_span(_sample_count),
                    sorts_as_given=True,  # counting the samples of every span takes too long
                ),
            ),
            sort_column=START_COLUMN,
        )

    def set_listing(self, scene: Scene | None, listing: Listing | None) -> None:
        """Shows other spans."""
        self._scene, self._listing = scene, listing
        self.set_rows(range(len(listing)) if listing is not None else ())

    def span_in(self, line: int) -> SpanRef | None:
        """Returns the span in a line of the table."""
        return self._listing.span(self.row(line)) if self._listing is not None else None

    def find_span(self, span: SpanRef) -> int | None:
        """Returns the line of a span, or None if the table does not have it."""
        row = self._listing.find(span) if self._listing is not None else None
        return self.find(row) if row is not None else None

    def _of_span(self, value: Callable[[Scene, Listing, int], Any]) -> Callable[[int], Any]:
        """Returns `value` as a function of the row of the present listing."""

        def of_row(row: int) -> Any:
            return value(self._scene, self._listing, row) if self._scene is not None and self._listing is not None else None

        return of_row


class SpansPanel(QWidget):
    """The table under a choice of lanes. A row and its span in the timeline are selected together."""

    def __init__(self, timeline: TimelineWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timeline = timeline
        self.model = SpansModel()
        self.table = DataTable("Spans in sight", self.model)
        FairColumns(self.table.horizontalHeader())
        self.table.rowChosen.connect(self._go_to)
        self.table.selectionModel().currentRowChanged.connect(lambda index, _before: self._go_to(index.row()))
        self.lanes = QComboBox()
        self.lanes.setAccessibleName("Lane whose spans are listed")
        self.lanes.setToolTip("Lane whose spans are listed")
        self.lanes.currentIndexChanged.connect(lambda _index: self._update())
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
        self._update_timer = QTimer(self, singleShot=True, interval=_LEAST_INTERVAL_MS)
        self._update_timer.timeout.connect(self._update)
        self._outdated = True
        for signal in (timeline.rangeChanged, timeline.traceGrew, timeline.traceShown):
            signal.connect(self._update_soon)
        timeline.spanSelected.connect(self._select)
        self._list_lanes()
        self._describe(None)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._outdated:
            self._update_timer.start(0)

    def _update_soon(self, *_signal_arguments: object) -> None:
        self._outdated = True
        if self.isVisible() and not self._update_timer.isActive():
            self._update_timer.start()

    def _update(self) -> None:
        """Lists the spans that are visible now, unless nobody sees the table."""
        if not self.isVisible():
            return
        self._outdated = False
        begin_s = time.perf_counter()
        scene = self._timeline.scene
        self._list_lanes()
        lane = self.lanes.currentData()
        listing = None
        if scene is not None and not scene.is_empty:
            listing = list_spans(scene, *self._timeline.visible_range_ns(), None if lane is None else (lane,))
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_listing(scene, listing)
        self._describe(listing)
        self._select(self._timeline.selected)
        took_s = time.perf_counter() - begin_s
        self._update_timer.setInterval(max(_LEAST_INTERVAL_MS, round(took_s * 1000 * _PAUSE_FACTOR)))

    def _list_lanes(self) -> None:
        """Offers the present lanes; the chosen lane stays chosen."""
        scene = self._timeline.scene
        keys = [lane for row in scene.rows for lane in row.lanes] if scene is not None else []
        offered = [self.lanes.itemData(index) for index in range(1, self.lanes.count())]
        if keys == offered and self.lanes.count():
            return
        chosen = self.lanes.currentData()
        with QSignalBlocker(self.lanes):
            self.lanes.clear()
            self.lanes.addItem("all lanes", None)
            for key in keys:
                lane = scene.lane(key) if scene is not None else None
                self.lanes.addItem(full_label(lane.label, lane.group) if lane is not None else key, key)
            self.lanes.setCurrentIndex(max(self.lanes.findData(chosen), 0) if chosen is not None else 0)

    def _describe(self, listing: Listing | None) -> None:
        """Writes above the table how many spans it lists."""
        scene = self._timeline.scene
        if listing is None or scene is None:
            text = "The spans of the timeline are listed here once there are some."
        elif listing.is_whole:
            text = f"{trial_prefix(scene)}{count_text(len(listing), 'span')} in sight"
        else:
            listed, most = grouped_text(len(listing)), grouped_text(MOST_ROWS)
            text = f"{trial_prefix(scene)}The first {listed} of more than {most} spans in sight: zoom in to see all."
        self.note.setText(text)

    def _go_to(self, line: int) -> None:
        span = self.model.span_in(line) if line >= 0 else None
        if span is not None and span != self._timeline.selected:
            self._timeline.go_to(span)

    def _select(self, span: SpanRef | None) -> None:
        """Selects the row of a span without a signal."""
        if not self.isVisible():
            return
        line = self.model.find_span(span) if span is not None else None
        self.table.select_row(line)
        if line is not None:
            self.table.scrollTo(self.model.index(line, 0))
