"""The exact window of the shown trial: how busy the GPU was, and the operators that cost most."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QHBoxLayout, QHeaderView, QLabel, QPushButton, QVBoxLayout, QWidget

from loaderscope.facts.results import OperatorCost, TrialResult
from loaderscope.facts.settings import setting_text
from loaderscope.facts.text import count_text, duration_text, grouped_text, share_bounds_text, share_text
from loaderscope.gui.panels.data_table import DataTable
from loaderscope.gui.panels.table_model import CENTRE, TableModel, number_column, text_column

GPU_COLUMN, SHARE_COLUMN = 3, 4

PROFILED_STEPS = 20
"""Number of steps in the window that the button asks for."""

MEASURE_TIP = (
    f"Runs the setting that is shown once more, or all where none is, and profiles {PROFILED_STEPS} steps after it with torch.profiler:\n"
    "exactly when the GPU was busy, and which operators cost most. Another result in the window is replaced (F7)"
)

NOTHING = (
    "The exact window profiles a few steps after the measured epochs of a trial with torch.profiler, and lists the operators that cost "
    "most. It counts for no other figure. This trial has none."
)

OF_TRAINING = "A recorded training is not profiled: that would slow it down. Try settings on its loader to profile some steps of it."

AWAITED = "The setting is measured first; then some more steps are profiled. The operators appear here when the trial is done."


class OperatorsPanel(QWidget):
    """The table under a line that says what was profiled.

    Signals:
        measureRequested: the user asked for an exact window.
    """

    measureRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._result: TrialResult | None = None
        self._hint = NOTHING
        self._window_s = 0.0
        self.model: TableModel[OperatorCost] = TableModel(
            (
                text_column("operator", "Name of the operator, as torch.profiler tells it", lambda row: row.name),
                number_column("calls", "How often it was called in the window", lambda row: row.calls, grouped_text),
                number_column(
                    "CPU itself",
                    "Time on the CPU, without the operators that it calls; of all threads together",
                    lambda row: row.self_cpu_s,
                    duration_text,
                    "s",
                ),
                number_column(
                    "GPU itself",
                    "Time of the kernels and copies that it launched itself",
                    lambda row: row.self_device_s,
                    duration_text,
                    "s",
                ),
                number_column(
                    "of the window",
                    "The larger of the two as a share of the window's length; operators that run side by side add up to more than 100 %",
                    self._share,
                    share_text,
                ),
            ),
            sort_column=SHARE_COLUMN,
            sort_order=Qt.SortOrder.DescendingOrder,
            tip=lambda row: row.name,
            number_title_alignment=CENTRE,
        )
        self.table = DataTable("Operators of the exact window", self.model)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.note = QLabel(NOTHING)
        self.note.setProperty("role", "muted")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        self.measure = QPushButton("Exact window")
        self.measure.setToolTip(MEASURE_TIP)
        self.measure.clicked.connect(self.measureRequested)
        line = QHBoxLayout()
        line.setContentsMargins(10, 5, 10, 5)
        line.addWidget(self.note, 1)
        line.setSpacing(12)
        line.addWidget(self.measure)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(line)
        layout.addWidget(self.table, 1)
        self.setBackgroundRole(QPalette.ColorRole.Base)
        self.setAutoFillBackground(True)
        self.setFocusProxy(self.table)

    def show_result(self, result: TrialResult | None, awaited: bool = False, is_training: bool = False) -> None:
        """Shows the window of a trial.

        Args:
            result: of the trial; None without one.
            awaited: whether the trial still runs and will have a window.
            is_training: whether the run records a training.
        """
        hint = OF_TRAINING if is_training else AWAITED if awaited else NOTHING
        if result is self._result and hint == self._hint:
            return
        self._result, self._hint = result, hint
        window = result.gpu_window if result is not None else None
        if result is None or window is None:
            self.note.setText(hint)
            self.model.set_rows([])
            return
        self._window_s = window.seconds or 0.0
        if not window.steps:
            self.note.setText(_sentence(window.reason or "no exact window"))
        else:
            parts = [f"{count_text(window.steps, 'step')} with {setting_text(result.config)}, profiled in {duration_text(window.seconds)}"]
            parts.append(_busy_text(result) if window.busy_share is not None else window.reason or "no busy share")
            self.note.setText(_sentence("; ".join(parts)))
        has_device = any(operator.self_device_s for operator in window.operators)
        self.table.setColumnHidden(GPU_COLUMN, not has_device)
        self.model.set_rows(window.operators)

    def _share(self, row: OperatorCost) -> float | None:
        return max(row.self_cpu_s, row.self_device_s) / self._window_s if self._window_s else None


def _busy_text(result: TrialResult) -> str:
    """Returns the exact busy share beside its upper bound in the measured epochs."""
    window = result.gpu_window
    exact = f"the GPU was busy {share_text(window.busy_share if window is not None else None)} of it"
    if result.gpu_busy_share_low is None and result.gpu_busy_share is None:
        return exact
    bounds = share_bounds_text(result.gpu_busy_share_low, result.gpu_busy_share)
    return f"{exact} (by the events of its batches {bounds} of the measured epochs)"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
