"""The findings: what is wrong with the pipeline and what to do about it."""

from __future__ import annotations

import html
from collections.abc import Sequence

from PySide6.QtCore import QUrl, Signal
from PySide6.QtWidgets import QTextBrowser, QVBoxLayout, QWidget

from loaderscope.facts.results import Finding, Recommendation
from loaderscope.facts.settings import setting_text
from loaderscope.gui.style.palette import Palette
from loaderscope.gui.style.theme import current_palette

EMPTY = "What is wrong with the pipeline, and what to do about it, appears here as soon as something is measured."
NOTHING = "Nothing is wrong as far as these trials can tell."
EMPTY_OF_TRAINING = "What is wrong with the loaders, and what to do about it, appears here as soon as the training has ended."
NOTHING_OF_TRAINING = "Nothing is wrong as far as this recording can tell."


START_UP_VIEWS = {
    "large-pickle": "Sent",
    "serial-starts": "Sent",
    "heavy-imports": "Imports",
    "expensive-top-level": "Imports",
    "start-up-every-epoch": "Experiment",
}
"""For codes of findings about start-up: the start-up view that shows more."""


class FindingsPanel(QWidget):
    """Findings, most severe first, under the recommendation.

    Signals:
        trialChosen: id of the trial whose link the user clicked.
        startupViewChosen: name of the start-up view whose link the user clicked.
        epochsChosen: number of epochs with which the user wants to run the sweep again.
        trainingSettingsChosen: the user wants to try settings in the training that was recorded.
    """

    trialChosen = Signal(int)
    startupViewChosen = Signal(str)
    epochsChosen = Signal(int)
    trainingSettingsChosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = QTextBrowser()
        self.view.setAccessibleName("Findings")
        self.view.setOpenLinks(False)
        self.view.setStyleSheet("border: 0")
        self.view.document().setDocumentMargin(8)
        self.view.anchorClicked.connect(self._clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self._shown_html = ""
        self.set_findings((), None, False)

    def set_findings(
        self, findings: Sequence[Finding], recommendation: Recommendation | None, has_measured: bool, is_training: bool = False
    ) -> None:
        """Shows the findings, unless they are shown already.

        Args:
            findings: what is wrong.
            recommendation: the setting to use, if one is recommended.
            has_measured: whether a trial has ended.
            is_training: whether the run records a training.
        """
        empty, nothing = (EMPTY_OF_TRAINING, NOTHING_OF_TRAINING) if is_training else (EMPTY, NOTHING)
        palette = current_palette()
        blocks = findings_blocks(findings, recommendation, palette, trial_word="loader" if is_training else "trial")
        text = "".join(f'<p style="margin:0 0 9px 0">{block}</p>' for block in blocks)
        if not text:
            text = f'<p style="color:{palette.muted}">{nothing if has_measured else empty}</p>'
        elif is_training:
            link = f'<a style="color:{palette.accent}" href="training:settings">Try other settings in this training</a>'
            text = f'<p style="margin:0 0 9px 0">{link}</p>{text}'
        if text != self._shown_html:
            self._shown_html = text
            position = self.view.verticalScrollBar().value()
            self.view.setHtml(text)
            self.view.verticalScrollBar().setValue(position)

    def _clicked(self, url: QUrl) -> None:
        if url.scheme() == "startup":
            self.startupViewChosen.emit(url.path())
        elif url.scheme() == "epochs":
            self.epochsChosen.emit(int(url.path()))
        elif url.scheme() == "training":
            self.trainingSettingsChosen.emit()
        else:
            self.trialChosen.emit(int(url.path()))


def findings_blocks(
    findings: Sequence[Finding], recommendation: Recommendation | None, palette: Palette, links: bool = True, trial_word: str = "trial"
) -> list[str]:
    """Returns recommendation and findings as paragraphs of simple HTML, for the panel and the report.

    Args:
        findings: what is wrong.
        recommendation: the setting to use, if one is recommended.
        palette: the colours.
        links: whether links lead to trials and views.
        trial_word: what a trial is called in front of its link.
    """
    blocks = []
    if recommendation is not None:
        name = f'<b style="color:{palette.good}">★ use {html.escape(setting_text(recommendation.config))}</b>'
        block = f"{name}<br>{html.escape(recommendation.why)}"
        if recommendation.caveat is not None:
            block += f'<br><span style="color:{palette.muted}">{html.escape(recommendation.caveat)}</span>'
            if links:
                block += f' <a style="color:{palette.accent}" href="epochs:2">measure a second epoch</a>'
        blocks.append(block)
    order = {"error": 0, "warning": 1, "info": 2}
    colours = {"error": palette.error, "warning": palette.warning, "info": palette.accent}
    for finding in sorted(findings, key=lambda finding: order.get(finding.severity, 3)):
        colour = colours.get(finding.severity, palette.muted)
        block = f'<b style="color:{colour}">{html.escape(finding.code)}</b> · {html.escape(finding.message)}'
        if finding.advice:
            block += f'<br><span style="color:{palette.muted}">{html.escape(finding.advice)}</span>'
        if finding.trials and links:
            links_to_trials = ", ".join(
                f'<a style="color:{palette.accent}" href="trial:{trial}">{trial}</a>' for trial in finding.trials[:6]
            ) + (" …" if len(finding.trials) > 6 else "")
            trials = trial_word if len(finding.trials) == 1 else f"{trial_word}s"
            block += f'&nbsp; <span style="color:{palette.muted}">{trials}&nbsp;{links_to_trials}</span>'
        if finding.code in START_UP_VIEWS and links:
            block += f' · <a style="color:{palette.accent}" href="startup:{START_UP_VIEWS[finding.code]}">look into it</a>'
        blocks.append(block)
    return blocks
