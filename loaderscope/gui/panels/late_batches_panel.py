"""The costliest waits of the main process: which batch each was for, and what kept that batch."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHeaderView, QLabel, QStackedLayout, QVBoxLayout, QWidget

from loaderscope.analysis.late_batches import NO_WORKER, Cause
from loaderscope.facts.evidence import LateBatch
from loaderscope.facts.text import MISSING, count_text, duration_text, share_text
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.panels.late_batch_search import LateSearch, LateWaits, ListedBatch
from loaderscope.gui.panels.table_model import CENTRE, TableModel, number_column, text_column
from loaderscope.gui.style.words import CAUSE_MEANINGS, batches_text, cause_text, worker_text
from loaderscope.gui.timeline.data import span_query
from loaderscope.gui.timeline.data.alignment import trial_prefix
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import batch_id

SUMMARISED_WAITS = 10
"""The summary is about at most this many of the costliest waits."""

NAMED_SAMPLE_SHARE = 0.2
"""A cause names the slowest sample of a fetch if that sample took at least this share of the fetch."""

EMPTY = (
    "Each time the main process waits for a batch, what kept that batch is listed here:\n"
    "which worker, which sample, and how many batches lay ready behind it."
)
NOTHING = "The main process has not waited for a batch in this trial."

LEAST_VISIBLE_SHARE = 0.02
"""The timeline zooms to a chosen wait that takes a smaller share of the visible range."""

EPOCH_COLUMN, CAUSE_COLUMN, LOADER_COLUMN = 2, 3, 7


def _cause(late: LateBatch) -> Cause:
    return Cause[(late.cause or "unknown").upper()]


def reason_text(late: LateBatch) -> str:
    """Returns what kept a batch, such as: worker 2 fetched 310 ms, sample 4711 took 290 ms."""
    cause = _cause(late)
    worker = NO_WORKER if late.worker is None else late.worker
    text = cause_text(worker, cause, duration_text(late.charged_s.get(cause.name.lower())))
    if cause is Cause.FETCH and late.sample_s is not None and late.sample_s >= NAMED_SAMPLE_SHARE * late.fetch_s:
        text += f", {'one sample' if late.sample is None else f'sample {late.sample}'} took {duration_text(late.sample_s)}"
    return text


def _charges_text(late: LateBatch) -> str:
    """Returns everything that a wait was spent on, a line for each cause."""
    lines = [f"The main process waited {duration_text(late.wait_s)} for batch {late.batch} of epoch {late.epoch}:"]
    charged = sorted(late.charged_s.items(), key=lambda item: -item[1])
    lines += [f"{duration_text(seconds)}: {CAUSE_MEANINGS[Cause[name.upper()]]}" for name, seconds in charged]
    if late.held_up:
        lines.append(f"{batches_text(late.held_up)} lay ready behind it, for up to {duration_text(late.held_up_s)}")
    return "\n".join(lines)


def _key(late: ListedBatch) -> tuple[str, int, int]:
    return late.loader, late.epoch, late.batch


class LateBatchesModel(TableModel[ListedBatch]):
    """The costliest waits."""

    def __init__(self) -> None:
        self._total_s = 0.0
        super().__init__(
            (
                number_column("wait", "How long the main process waited for the batch", lambda late: late.wait_s, duration_text, "s"),
                number_column("batch", "Number of the batch within its epoch", lambda late: late.batch),
                number_column("epoch", "Number of the epoch", lambda late: late.epoch),
                text_column("cause", "What most of the wait was spent on", reason_text),
                number_column(
                    "held up",
                    "How many later batches were ready and had to wait for this one, as batches are handed out in order",
                    lambda late: late.held_up,
                    lambda batches: str(batches) if batches else MISSING,
                ),
                number_column("of all", "Part of all waiting for batches in this trial", self._share, share_text),
                number_column(
                    "starts", "Begin of the wait, from the first record of the trial", lambda late: late.start_s, duration_text, "s"
                ),
                text_column("loader", "Where the script makes the loader", lambda late: late.loader_title),
            ),
            sort_order=Qt.SortOrder.DescendingOrder,
            key=_key,
            tip=_charges_text,
            number_title_alignment=CENTRE,
        )

    def set_waits(self, rows: Sequence[ListedBatch], total_s: float) -> None:
        """Shows other waits; `total_s` is all the time that the trial waited."""
        self._total_s = total_s
        self.set_rows(rows)

    def _share(self, late: LateBatch) -> float | None:
        return late.wait_s / self._total_s if self._total_s else None


def summary_text(late: LateWaits) -> str:
    """Returns a sentence about the costliest waits, and what most of them have in common."""
    total_s = late.total_ns / 1e9
    worst = late.costliest[:SUMMARISED_WAITS]
    if not worst or not total_s:
        return NOTHING
    share = share_text(sum(row.wait_s for row in worst) / total_s)
    count = late.count
    if count <= len(worst):
        text = f"Main waited {duration_text(total_s)} for {batches_text(count)}"
    else:
        text = f"The {len(worst)} costliest of {count_text(count, 'wait')} make {share} of the waiting"
    notes = []
    (loader, worker), times = collections.Counter((row.loader_title, row.worker) for row in worst).most_common(1)[0]
    if worker is not None and len(worst) > 1 and 2 * times > len(worst):
        notes.append(f"{'all' if times == len(worst) else times} of them were {worker_text(worker)}{f' of {loader}' if loader else ''}")
    starts = sum(_cause(row) is Cause.START for row in worst)
    if starts:
        notes.append(f"{starts} {'was' if starts == 1 else 'were'} for workers that had to start")
    return text + ("; " + ", ".join(notes) if notes else "") + "."


class LateBatchesPanel(QWidget):
    """The table under a sentence that sums it up, or a hint until it has rows."""

    def __init__(self, timeline: TimelineWidget, search: LateSearch, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._timeline = timeline
        self.model = LateBatchesModel()
        self.table = DataTable("Costliest waits for batches", self.model)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(CAUSE_COLUMN, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(LOADER_COLUMN, QHeaderView.ResizeMode.ResizeToContents)
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
        search.waitsFound.connect(self._show)
        timeline.rangeChanged.connect(self._show_summary)

    def _show(self, late: LateWaits | None) -> None:
        current = self.table.currentIndex()
        selected = self.model.row(current.row()) if current.isValid() else None
        rows = late.costliest if late is not None else ()
        with QSignalBlocker(self.table.selectionModel()):
            self.model.set_waits(rows, late.total_ns / 1e9 if late is not None else 0.0)
        if selected is not None:
            self.table.select_row(self.model.find(_key(selected)))
        self.table.setColumnHidden(EPOCH_COLUMN, not any(row.epoch for row in rows))
        self.table.setColumnHidden(LOADER_COLUMN, not any(row.loader for row in rows))
        self._summary = summary_text(late) if late is not None else ""
        self._show_summary()
        self.empty.setText(EMPTY if late is None else NOTHING)
        self._stack.setCurrentIndex(1 if rows else 0)

    def _show_summary(self, *_range: object) -> None:
        """Writes the summary above the table; of two compared trials it names the one that it is about."""
        scene = self._timeline.scene
        self.note.setText(trial_prefix(scene) + self._summary if scene is not None and self._summary else self._summary)

    def _go_to(self, row: int) -> None:
        """Selects the wait of a row in the timeline and brings it into sight."""
        scene, late = self._timeline.scene, self.model.row(row)
        if scene is None or late.start_s is None:
            return
        near_ns = scene.origin_ns + round((late.start_s + late.wait_s) * 1e9)
        span = span_query.wait_for(scene, batch_id(late.epoch, late.batch), near_ns, late.loader)
        if span is None:
            return
        self._timeline.go_to(span)
        low_ns, high_ns = self._timeline.visible_range_ns()
        if not low_ns <= span.start_ns < span.end_ns <= high_ns or span.duration_ns < LEAST_VISIBLE_SHARE * (high_ns - low_ns):
            self._timeline.focus_span()
