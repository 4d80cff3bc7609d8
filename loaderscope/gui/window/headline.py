"""The headline above all views: the run in a sentence or two."""

from __future__ import annotations

import html
from pathlib import Path

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent, QTextDocument
from PySide6.QtWidgets import QLabel, QSizePolicy

from loaderscope.analysis.verdict import Verdict
from loaderscope.gui.panels.run_kind_choice import TRAINING
from loaderscope.gui.window.setup import Setup

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
    """A label that takes all the room there is, and two lines if it needs them."""

    def __init__(self) -> None:
        super().__init__()
        self._sentence = ""
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.setAccessibleName("What the run shows")

    def show_sentence(self, sentence: str) -> None:
        """Shows the text with its first sentence in bold; the tool tip holds the whole text."""
        if sentence != self._sentence:
            self._sentence = sentence
            self.setToolTip(sentence)
            self._fit()

    def _fit(self) -> None:
        """Shows the longest beginning of the text that fits."""
        words = self._sentence.split(" ")
        fitting = next((count for count in range(len(words), 0, -1) if self._fits(_headline_html(words, count))), 0)
        self.setText(_headline_html(words, fitting))

    def _fits(self, text: str) -> bool:
        document = QTextDocument()
        document.setDefaultFont(self.font())
        document.setDocumentMargin(0)
        document.setHtml(text)
        document.setTextWidth(max(self.width() - 8, 1))
        return document.size().height() <= 2.2 * self.fontMetrics().lineSpacing()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        return QSize(400, 2 * self.fontMetrics().lineSpacing())

    def minimumSizeHint(self) -> QSize:
        return QSize(60, self.fontMetrics().lineSpacing())


def _headline_html(words: list[str], count: int) -> str:
    """Returns the first `count` words, with an ellipsis if there are more; the first sentence is bold."""
    text = " ".join(words[:count]) + (" …" if count < len(words) else "")
    head, dot, rest = text.partition(". ")
    return f"<b>{html.escape(head + dot.strip())}</b> {html.escape(rest)}" if text else ""
