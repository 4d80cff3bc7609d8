"""The log: output of the script and remarks of Loaderscope, or in their place the warnings of each trial."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QToolButton, QVBoxLayout, QWidget

from loaderscope.analysis.script_messages import ScriptMessage, distinct_messages, message_line, processes_text
from loaderscope.facts.findings import change_of
from loaderscope.facts.purposes import trial_setting_text
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine
from loaderscope.facts.text import count_text

LINES_KEPT = 20_000
LINE_LENGTH_SHOWN = 2_000
SOURCES = (("everything", None), ("output of the script", "stdout"), ("errors of the script", "stderr"), ("Loaderscope", "loaderscope"))


class LogPanel(QWidget):
    """Lines with a filter; it drops the oldest where there are too many.

    A button shows the warnings of the trials in place of the lines: each text once for each trial, with its count.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: list[LogLine] = []
        self._dropped = 0
        self._results: tuple[TrialResult, ...] = ()
        self.source = QComboBox()
        self.source.setAccessibleName("Source of the lines")
        for text, stream in SOURCES:
            self.source.addItem(text, stream)
        self.source.currentIndexChanged.connect(self._refill)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("filter")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Show only lines that hold this text")
        self.filter.textChanged.connect(self._refill)
        self.warnings = QToolButton()
        self.warnings.setCheckable(True)
        self.warnings.setAccessibleName("Show the warnings by trial")
        self.warnings.toggled.connect(self._show_warnings)
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        line = QHBoxLayout()
        line.setContentsMargins(8, 4, 8, 0)
        line.addWidget(self.source)
        line.addWidget(self.filter, 1)
        line.addWidget(self.warnings)
        line.addWidget(self.note)
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setAccessibleName("Log")
        self.view.setStyleSheet("border: 0")
        self.view.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.view.setMaximumBlockCount(LINES_KEPT)
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.view.setPlaceholderText("What the script prints appears here.")
        self.view.setTabChangesFocus(True)
        self.view.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(line)
        layout.addWidget(self.view)
        self.set_results(())

    def clear(self) -> None:
        self._lines = []
        self._dropped = 0
        self.set_results(())
        self._refill()

    def set_results(self, results: Sequence[TrialResult]) -> None:
        """Takes the trials that have ended; the button shows their warnings."""
        self._results = tuple(result for result in results if result.warnings)
        count = len(distinct_messages((result.id, result.warnings) for result in self._results))
        self.warnings.setText(f"Warnings ({count})" if count else "Warnings")
        self.warnings.setEnabled(bool(count))
        self.warnings.setToolTip(
            f"{count_text(count, 'text')} that the script warned of, logged or printed to stderr in its trials: each once, with its count"
            if count
            else "No trial has warned of anything, logged a warning or an error, or printed to stderr"
        )
        if not count:
            self.warnings.setChecked(False)
        elif self.warnings.isChecked():
            self._refill()

    def add(self, lines: Sequence[LogLine], missed: int = 0) -> None:
        """Appends lines. `missed` earlier lines were dropped before they reached this panel."""
        if not lines and not missed:
            return
        self._lines.extend(lines)
        excess = max(0, len(self._lines) - LINES_KEPT)
        self._dropped += missed + excess
        del self._lines[:excess]
        texts = [] if self.warnings.isChecked() else [self._text(line) for line in lines if self._passes_filter(line)]
        if texts:
            bar = self.view.verticalScrollBar()
            at_end = bar.value() >= bar.maximum() - 2
            self.view.appendPlainText("\n".join(texts))
            if at_end:
                bar.setValue(bar.maximum())
        self._show_dropped_count()

    def _passes_filter(self, line: LogLine) -> bool:
        stream = self.source.currentData()
        return (stream is None or line.stream == stream) and self.filter.text().lower() in line.text.lower()

    @staticmethod
    def _text(line: LogLine) -> str:
        text = line.text if len(line.text) <= LINE_LENGTH_SHOWN else line.text[:LINE_LENGTH_SHOWN] + " …"
        source = "" if line.trial is None else f"#{line.trial}"
        return f"{source:>4}  {'· ' if line.stream == 'loaderscope' else ''}{text}"

    def _show_warnings(self, shown: bool) -> None:
        self.source.setEnabled(not shown)
        mode = QPlainTextEdit.LineWrapMode
        self.view.setLineWrapMode(mode.WidgetWidth if shown else mode.NoWrap)
        self._refill()

    def _warning_lines(self) -> list[str]:
        """Returns the warnings that pass the filter, under a line for each trial."""
        lines = []
        for result in self._results:
            texts = [_warning_text(row) for row in distinct_messages([(result.id, result.warnings)])]
            passing = [text for text in texts if self.filter.text().lower() in text.lower()]
            name = trial_setting_text(result.config, result.purpose, change_of(result.remedy))
            lines += [f"#{result.id}  {name}", *(f"  {text}" for text in passing)] if passing else []
        return lines

    def _refill(self) -> None:
        if self.warnings.isChecked():
            self.view.setPlainText("\n".join(self._warning_lines()))
            self.note.setText("")
            return
        self.view.setPlainText("\n".join(self._text(line) for line in self._lines if self._passes_filter(line)))
        self.view.verticalScrollBar().setValue(self.view.verticalScrollBar().maximum())
        self._show_dropped_count()

    def _show_dropped_count(self) -> None:
        if self.warnings.isChecked():
            return
        self.note.setText(f"{self._dropped} earlier lines not kept" if self._dropped else "")


def _warning_text(row: ScriptMessage) -> str:
    text = message_line(row)
    shown = text if len(text) <= LINE_LENGTH_SHOWN else text[:LINE_LENGTH_SHOWN] + " …"
    who = f" in {processes_text(row.processes)}" if row.processes else ""
    return f"{row.kind}{f' ×{row.count}' if row.count > 1 else ''}{who}: {shown}"
