"""The costliest waits of the main process: for which batch, and what kept it."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from PySide6.QtCore import QItemSelectionModel, QSignalBlocker, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHeaderView, QLabel, QStackedLayout, QVBoxLayout, QWidget

from loaderscope.analysis.late_batches import NO_WORKER, Cause
from loaderscope.facts.results import LateBatch
from loaderscope.facts.text import MISSING, count_text, duration_text, share_text
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.panels.late_batch_search import LateSearch, LateWaits
from loaderscope.gui.panels.rows_model import RowColumn, RowsModel
from loaderscope.gui.run.wait_causes import MEANINGS, batches_text, cause_text, worker_text
from loaderscope.gui.timeline.data import span_query
from loaderscope.gui.timeline.data.alignment import named
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import batch_id

SUMMED_UP = 10

TOLD_SHARE = 0.2
"""Part of a fetch that its slowest sample takes at least to be told."""

EMPTY = (
    "Each time the main process waits for a batch, what kept that batch is listed here:\n"
    "which worker, which sample, and how many batches lay ready behind it."
)
NOTHING = "The main process has not waited for a batch in this trial."

LEAST_SHARE = 0.02
"""A wait that takes less of what is in sight is zoomed to."""

EPOCH_COLUMN, CAUSE_COLUMN = 2, 3


def _cause(late: LateBatch) -> Cause:
    return Cause[(late.cause or "unknown").upper()]


def reason_text(late: LateBatch) -> str:
    """What kept a batch: worker 2 fetched 310 ms, sample 4711 took 290 ms."""
    cause = _cause(late)
    worker = NO_WORKER if late.worker is None else late.worker
    text = cause_text(worker, cause, duration_text(late.charged_s.get(cause.name.lower())))
    if cause is Cause.FETCH and late.sample_s is not None and late.sample_s >= TOLD_SHARE * late.fetch_s:
        text += f", {'one sample' if late.sample is None else f'sample {late.sample}'} took {duration_text(late.sample_s)}"
    return text


def _charges_text(late: LateBatch) -> str:
    """All that a wait was spent on, a line each."""
    lines = [f"The main process waited {duration_text(late.wait_s)} for batch {late.batch} of epoch {late.epoch}:"]
    charged = sorted(late.charged_s.items(), key=lambda item: -item[1])
    lines += [f"{duration_text(seconds)}: {MEANINGS[Cause[name.upper()]]}" for name, seconds in charged]
    if late.held_up:
        lines.append(f"{batches_text(late.held_up)} lay ready behind it, for up to {duration_text(late.held_up_s)}")
    return "\n".join(lines)


def _columns(total_s: float) -> tuple[RowColumn[LateBatch], ...]:
    def share(late: LateBatch) -> float | None:
        return late.wait_s / total_s if total_s else None

    return (
        RowColumn(
            "wait", "How long the main process waited for the batch", lambda late: late.wait_s, lambda late: duration_text(late.wait_s), "s"
        ),
        RowColumn("batch", "Number of the batch within its epoch", lambda late: late.batch, lambda late: str(late.batch)),
        RowColumn("epoch", "Number of the epoch", lambda late: late.epoch, lambda late: str(late.epoch)),
        RowColumn("cause", "What most of the wait was spent on", reason_text, reason_text, is_number=False),
        RowColumn(
            "held up",
            "How many later batches were ready and had to wait for this one, as batches are handed out in order",
            lambda late: late.held_up,
            lambda late: str(late.held_up) if late.held_up else MISSING,
        ),
        RowColumn("of all", "Part of all waiting for batches in this trial", share, lambda late: share_text(share(late))),
        RowColumn(
            "starts",
            "Begin of the wait, from the first record of the trial",
            lambda late: late.start_s,
            lambda late: duration_text(late.start_s),
            "s",
        ),
    )


class LateBatchesModel(RowsModel[LateBatch]):
    """Waits, as they were found."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_columns(0.0), 0, _charges_text, parent)

    def set_waits(self, rows: Sequence[LateBatch], total_s: float) -> None:
        """Shows other waits; `total_s` is all waiting of the trial."""
        self._columns = _columns(total_s)
        self.set_rows(rows)

    def find(self, late: LateBatch) -> int | None:
        """The row of the same wait."""
        return next((at for at, row in enumerate(self._rows) if (row.epoch, row.batch) == (late.epoch, late.batch)), None)


def summary_text(late: LateWaits) -> str:
    """The costliest waits in a sentence or two."""
    total_s = int(late.waits.duration_ns.sum()) / 1e9
    worst = late.costliest[:SUMMED_UP]
    if not worst or not total_s:
        return NOTHING
    share = share_text(sum(row.wait_s for row in worst) / total_s)
    count = len(late.waits)
    if count <= len(worst):
        text = f"Main waited {duration_text(total_s)} for {batches_text(count)}"
    else:
        text = f"The {len(worst)} costliest of {count_text(count, 'wait')} make {share} of the waiting"
    notes = []
    worker, times = collections.Counter(row.worker for row in worst).most_common(1)[0]
    if worker is not None and len(worst) > 1 and 2 * times > len(worst):
        notes.append(f"{'all' if times == len(worst) else times} of them were {worker_text(worker)}")
    starts = sum(_cause(row) is Cause.START for row in worst)
    if starts:
        notes.append(f"{starts} {'was' if starts == 1 else 'were'} for workers that had to start")
    return text + ("; " + ", ".join(notes) if notes else "") + "."


class LateBatchesPanel(QWidget):
    """The table under a sentence that sums it up, or what will stand there."""

    def __init__(self, timeline: TimelineWidget, search: LateSearch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timeline = timeline
        self.model = LateBatchesModel()
        self.table = DataTable("Costliest waits for batches", self.model.titles, self.model.values)
        self.table.setModel(self.model)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(CAUSE_COLUMN, QHeaderView.ResizeMode.Stretch)
        header.setDefaultSectionSize(78)
        self.table.rowChosen.connect(self._go_to)
        self.note = QLabel()
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        self.note.setContentsMargins(10, 5, 10, 5)
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.note)
        layout.addWidget(self.table, 1)
        self.empty = QLabel(EMPTY)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        self.empty.setProperty("role", "muted")
        self.empty.setBackgroundRole(QPalette.ColorRole.Base)
        self.empty.setAutoFillBackground(True)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(filled)
        self.setFocusProxy(self.table)
        self._summary = ""
        search.found.connect(self._show)
        timeline.rangeChanged.connect(self._tell)

    def _show(self, late: LateWaits | None) -> None:
        current = self.table.currentIndex()
        kept = self.model.row(current.row()) if current.isValid() else None
        rows = late.costliest if late is not None else ()
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_waits(rows, int(late.waits.duration_ns.sum()) / 1e9 if late is not None else 0.0)
            at = self.model.find(kept) if kept is not None else None
            if at is not None:
                kind = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
                self.table.selectionModel().setCurrentIndex(self.model.index(at, 0), kind)
        self.table.setColumnHidden(EPOCH_COLUMN, not any(row.epoch for row in rows))
        self._summary = summary_text(late) if late is not None else ""
        self._tell()
        self.empty.setText(EMPTY if late is None else NOTHING)
        self._stack.setCurrentIndex(1 if rows else 0)

    def _tell(self, *_range: object) -> None:
        """The summary, and which of two compared trials it is about."""
        scene = self._timeline.scene
        self.note.setText(named(scene) + self._summary if scene is not None and self._summary else self._summary)

    def _go_to(self, row: int) -> None:
        """Shows the wait in the timeline, and selects it."""
        scene, late = self._timeline.scene, self.model.row(row)
        if scene is None or late.start_s is None:
            return
        near_ns = scene.origin_ns + round((late.start_s + late.wait_s) * 1e9)
        span = span_query.wait_for(scene, batch_id(late.epoch, late.batch), near_ns)
        if span is None:
            return
        self._timeline.go_to(span)
        low_ns, high_ns = self._timeline.visible_range_ns()
        if not low_ns <= span.start_ns < span.end_ns <= high_ns or span.duration_ns < LEAST_SHARE * (high_ns - low_ns):
            self._timeline.focus_span()
