"""The headline above all views: the run in a sentence or two."""

from __future__ import annotations

import html
import math
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent, QTextDocument
from PySide6.QtWidgets import QLabel, QMainWindow, QSizePolicy, QToolBar

from loaderscope.analysis.verdict import Verdict
from loaderscope.gui.panels.run_kind_choice import TRAINING
from loaderscope.gui.window.setup import Setup

MOST_LINES = 4
"""Of a longer headline whole sentences are left out."""

MOST_LINES_BESIDE = 3
"""A headline that needs more lines beside the buttons gets a row of its own."""

BESIDE_HEADLINE_PX = 60
"""Margins and spacing of the two toolbars."""

_HINT = "Open a script, or drop one on this window. Loaderscope finds the loaders in it and measures which settings suit them."


def headline_sentence(verdict: Verdict, setup: Setup, running: bool, is_training: bool = False, is_stopping: bool = False) -> str:
    """Returns what the run shows, or what to do next if there is no run yet.

    Args:
        verdict: on the run.
        setup: describes the next run.
        running: whether the run goes on.
        is_training: whether it is a training that is recorded.
        is_stopping: whether the user asked it to end.
    """
    target, problem = setup.target_panel.current_target, setup.target_panel.problem.text().partition("\n")[0]
    experiment = verdict.experiment
    has_result = verdict.recommendation is not None or (experiment is not None and any(cost.num_workers for cost in experiment.costs))
    if has_result or (verdict.summary and not running):
        return verdict.summary
    if is_training and is_stopping:
        return "The training was sent Ctrl+C. What it does then, such as saving a checkpoint, may take a while; Kill ends it at once."
    if is_training:
        return "Recording the training. Each loader appears as soon as it is iterated; what the training waited for is said at its end."
    if running:
        return "Measuring. The first setting appears as soon as its trial is done."
    if setup.script and (problem or setup.problem):
        return problem or setup.problem
    if setup.kind is TRAINING and not setup.problem:
        return f"Ready. Press Record to run {Path(setup.script).name} as it is: the training runs for real."
    if target is not None and not setup.problem:
        return f"Ready. Choose what to sweep at the left, then press Start to measure {target.name}."
    return _HINT


class Headline(QLabel):
    """A label that takes all the width there is, and as many lines as its sentences need.

    Of a text that needs more than `MOST_LINES` it leaves out whole sentences at the end, which the tool tip and the views still have.

    Signals:
        sentenceChanged: another text is shown.
    """

    sentenceChanged = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._sentence = ""
        self._lines_px = 0
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("What the run shows")

    def show_sentence(self, sentence: str) -> None:
        """Shows the text with its first sentence in bold; the tool tip holds the whole text."""
        if sentence != self._sentence:
            self._sentence = sentence
            self.setToolTip(sentence)
            self._fit()
            self.sentenceChanged.emit()

    def lines_at(self, width: int) -> int:
        """Returns how many lines the whole text takes in a width."""
        return round(self._height_of(self._sentence, width) / self.fontMetrics().lineSpacing())

    def _fit(self) -> None:
        """Shows as many sentences as fit, and at least the first."""
        text, most_px = self._sentence, (MOST_LINES + 0.5) * self.fontMetrics().lineSpacing()
        while self._height_of(text, self.width()) > most_px and ". " in text.removesuffix(". "):
            text = text.rpartition(". ")[0].removesuffix(".") + "."
        self.setText(_headline_html(text))
        self._lines_px = math.ceil(self._height_of(text, self.width()))
        self.updateGeometry()

    def _height_of(self, text: str, width: int) -> float:
        document = QTextDocument()
        document.setDefaultFont(self.font())
        document.setDocumentMargin(0)
        document.setHtml(_headline_html(text))
        document.setTextWidth(max(width - 8, 1))
        return document.size().height()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def sizeHint(self) -> QSize:
        return QSize(400, max(self._lines_px + 2, 2 * self.fontMetrics().lineSpacing()))

    def minimumSizeHint(self) -> QSize:
        return QSize(60, self.sizeHint().height())


class HeadlineBar(QToolBar):
    """The headline with what stands at its right: beside the buttons, or in a row of its own where it would need many lines."""

    def __init__(self, headline: Headline, export: QAction, buttons: QToolBar, window: QMainWindow) -> None:
        super().__init__("Headline")
        self._headline, self._buttons, self._window = headline, buttons, window
        self.setObjectName("headline")
        self.setMovable(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.addWidget(headline)
        self.addAction(export)
        self._export = self.widgetForAction(export)
        window.addToolBar(self)
        headline.sentenceChanged.connect(self.choose_row)

    def choose_row(self) -> None:
        """Moves the headline to the row in which it is readable; to be called when the window has another width."""
        beside_px = self._window.width() - self._buttons.sizeHint().width() - self._export.sizeHint().width() - BESIDE_HEADLINE_PX
        needs_row = self._headline.lines_at(beside_px) > MOST_LINES_BESIDE
        if needs_row != self._window.toolBarBreak(self):
            if needs_row:
                self._window.insertToolBarBreak(self)
            else:
                self._window.removeToolBarBreak(self)


def _headline_html(text: str) -> str:
    """Returns the text with its first sentence in bold."""
    head, dot, rest = text.partition(". ")
    return f"<b>{html.escape(head + dot.strip())}</b> {html.escape(rest)}" if text else ""
