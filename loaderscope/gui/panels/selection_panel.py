"""Statistics of the measured range, else of the visible range: a row for each state of each lane."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from loaderscope.facts.text import duration_ns_text, duration_text, grouped_text, share_text
from loaderscope.gui.panels.data_table import DataTable, FairColumns
from loaderscope.gui.panels.table_model import Column, TableModel, number_column, text_column
from loaderscope.gui.run.background_work import NewestOnly
from loaderscope.gui.timeline.data.alignment import trial_prefix
from loaderscope.gui.timeline.data.range_statistics import RangeSurvey, StateStatistics, survey
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget

SPANS_WITHOUT_THREAD = 30_000
"""The window's own thread computes statistics of up to this many spans, in a few milliseconds; another thread those of more."""

_LEAST_INTERVAL_MS = 250
_PAUSE_FACTOR = 10
"""While the view moves, the panel waits this many times as long as it took to compute the statistics before it does so again."""


def _duration_column(title: str, tip: str, duration_ns: Callable[[StateStatistics], float | None]) -> Column[StateStatistics]:
    def seconds(row: StateStatistics) -> float | None:
        value_ns = duration_ns(row)
        return None if value_ns is None else value_ns / 1e9

    return number_column(title, tip, seconds, duration_text, "s")


COLUMNS: tuple[Column[StateStatistics], ...] = (
    text_column("lane", "Process or device", lambda row: row.filled.label, sorts_as_given=True),  # lanes in the order of the timeline
    text_column("state", "What it did", lambda row: row.filled.word),
    number_column("count", "Spans that touch the range", lambda row: row.count, grouped_text),
    _duration_column("total", "Time that they fill of the range", lambda row: row.filled.total_ns),
    number_column("share", "Part of the range that they fill", lambda row: row.filled.share, share_text, "0 to 1"),
    _duration_column("mean", "Mean duration of whole spans, also where they reach over an edge", lambda row: row.mean_ns),
    _duration_column("p95", "95 % of the spans are shorter than this", lambda row: row.p95_ns),
    _duration_column(
        "longest",
        "Duration of the longest span; click or Enter goes there",
        lambda row: None if row.longest is None else row.longest.duration_ns,
    ),
)


def _key(row: StateStatistics) -> tuple[str, int, int]:
    return row.filled.lane, row.track, row.filled.state


class SelectionPanel(QWidget):
    """The table under a line that names its range."""

    def __init__(self, timeline: TimelineWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timeline = timeline
        self.model: TableModel[StateStatistics] = TableModel(COLUMNS, key=_key)
        self.table = DataTable("Statistics of the measured range", self.model)
        FairColumns(self.table.horizontalHeader())
        self.table.rowChosen.connect(self._go_to_longest)
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setContentsMargins(10, 5, 10, 5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.note)
        layout.addWidget(self.table, 1)
        self._work: NewestOnly[tuple[list[StateStatistics], float]] = NewestOnly(self._show_statistics, self)
        self._update_timer = QTimer(self, singleShot=True, interval=_LEAST_INTERVAL_MS)
        self._update_timer.timeout.connect(self._update)
        self._outdated = True
        for signal in (timeline.rangeMeasured, timeline.rangeChanged, timeline.traceGrew, timeline.traceShown):
            signal.connect(self._update_soon)
        self._describe_range(None, False)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._outdated:
            self._update_timer.start(0)

    def _update_soon(self, *_signal_arguments: object) -> None:
        self._outdated = True
        if self.isVisible() and not self._update_timer.isActive() and not self._work.busy:
            self._update_timer.start()

    def _update(self) -> None:
        """Shows the statistics of the present range, unless nobody sees the table."""
        if not self.isVisible():
            return
        self._outdated = False
        timeline = self._timeline
        if timeline.scene is None or timeline.scene.is_empty:
            self._describe_range(None, False)
            self.model.set_rows([])
            return
        measured = timeline.measured
        start_ns, end_ns = timeline.visible_range_ns()
        scene = timeline.scene
        start_ns, end_ns = max(start_ns, scene.origin_ns), min(end_ns, scene.origin_ns + round(scene.total_ns))
        surveyed = measured if measured is not None else survey(scene, start_ns, end_ns)
        self._describe_range(surveyed, measured is not None)

        def compute() -> tuple[list[StateStatistics], float]:
            begin_s = time.perf_counter()
            return surveyed.statistics(), time.perf_counter() - begin_s

        if surveyed.span_count <= SPANS_WITHOUT_THREAD:
            self._show_statistics(compute())
        else:
            self._work.ask(compute)

    def _go_to_longest(self, row: int) -> None:
        longest = self.model.row(row).longest
        if longest is not None:
            self._timeline.go_to(longest)

    def _show_statistics(self, computed: tuple[list[StateStatistics], float]) -> None:
        rows, took_s = computed
        self._update_timer.setInterval(max(_LEAST_INTERVAL_MS, round(took_s * 1000 * _PAUSE_FACTOR)))
        if self._timeline.scene is not None:
            self.model.set_rows(rows)
        if self._outdated and self.isVisible():
            self._update_timer.start()

    def _describe_range(self, surveyed: RangeSurvey | None, is_measured: bool) -> None:
        """Writes above the table which range it is about."""
        scene = self._timeline.scene
        if surveyed is None or scene is None:
            self.note.setText("Drag over the timeline to measure a range of it.")
            return
        begin_ns = surveyed.start_ns - scene.origin_ns - (scene.axis_zero or 0.0)
        times = f"{duration_ns_text(surveyed.duration_ns)} from {duration_ns_text(begin_ns)}"
        if is_measured:
            self.note.setText(f"{trial_prefix(scene)}Measured range: {times}. Enter in the timeline zooms into it, Esc clears it.")
        else:
            self.note.setText(f"{trial_prefix(scene)}What is in sight: {times}. Drag over the timeline to measure a part of it.")
