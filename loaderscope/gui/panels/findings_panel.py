"""The findings: what is wrong with the pipeline and what to do about it."""

from __future__ import annotations

import html
from collections.abc import Sequence

from PySide6.QtCore import QPoint, Qt, QUrl, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QTextFrame
from PySide6.QtWidgets import QApplication, QTextBrowser, QVBoxLayout, QWidget

from loaderscope.analysis.text_table import TextTable
from loaderscope.analysis.tried_remedies import TriedRemedy
from loaderscope.analysis.worker_rules import TITLE as RULES_TITLE
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import Recommendation, SettingResult
from loaderscope.gui.panels.finding_cards import Card, finding_card, recommendation_card, tried_card
from loaderscope.gui.style.palette import Palette
from loaderscope.gui.style.theme import current_palette

EMPTY = "What is wrong with the pipeline, and what to do about it, appears here as soon as something is measured."
NOTHING = "Nothing is wrong as far as these trials can tell."
EMPTY_OF_TRAINING = "What is wrong with the loaders, and what to do about it, appears here as soon as the training has ended."
NOTHING_OF_TRAINING = "Nothing is wrong as far as this recording can tell."

NO_RULES = TextTable((), ())

_KEYS_TEXT = "Up and Down choose a finding, Enter shows its first place on the timeline, Tab goes to its buttons and links."


class CardBrowser(QTextBrowser):
    """Shows cards, one below the other.

    Signals:
        cardClicked: the number of the card that was clicked beside its links.
        stepped: 1 or -1: the user wants the next or the previous card.
        entered: the user pressed Enter on the chosen card.
    """

    cardClicked = Signal(int)
    stepped = Signal(int)
    entered = Signal()

    def cards(self) -> list[QTextFrame]:
        """Returns the frames of the cards from top to bottom."""
        return self.document().rootFrame().childFrames()

    def card_at(self, place: QPoint) -> int | None:
        """Returns the number of the card at a place of the view; None beside all."""
        position = self.cursorForPosition(place).position()
        return next((number for number, one in enumerate(self.cards()) if one.firstPosition() <= position <= one.lastPosition()), None)

    def bring_into_sight(self, number: int) -> None:
        """Scrolls so that a card is seen, its beginning first."""
        frames = self.cards()
        if 0 <= number < len(frames):
            box = self.document().documentLayout().frameBoundingRect(frames[number])
            bar, height = self.verticalScrollBar(), self.viewport().height()
            if box.bottom() > bar.value() + height:
                bar.setValue(round(box.bottom() - height))
            if box.top() < bar.value():
                bar.setValue(round(box.top()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        is_on_link = self.textCursor().hasSelection() and self.textCursor().charFormat().isAnchor()
        if event.modifiers() not in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            super().keyPressEvent(event)
        elif event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.stepped.emit(1 if event.key() == Qt.Key.Key_Down else -1)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not is_on_link:
            self.entered.emit()
        else:
            super().keyPressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        place = event.position().toPoint()
        number = self.card_at(place)
        is_taken = bool(self.anchorAt(place)) or self.textCursor().hasSelection()
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton and number is not None and not is_taken:
            self.cardClicked.emit(number)


class FindingsPanel(QWidget):
    """Cards of the findings in the order of the verdict, between what was tried and what is recommended.

    Signals:
        trialChosen: id of the trial whose link the user clicked.
        startupViewChosen: name of the start-up view whose link the user clicked.
        epochsChosen: number of epochs with which the user wants to run the sweep again.
        trainingSettingsChosen: the user wants to try settings in the training that was recorded.
        findingSelected: the selected `Finding`, or None.
        placeChosen: the `Place` on a timeline that the user wants to see.
        remedyChosen: the `Finding` whose remedy the user wants to try.
    """

    trialChosen = Signal(int)
    startupViewChosen = Signal(str)
    epochsChosen = Signal(int)
    trainingSettingsChosen = Signal()
    findingSelected = Signal(object)
    placeChosen = Signal(object)
    remedyChosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = CardBrowser()
        self.view.setAccessibleName("Findings")
        self.view.setAccessibleDescription(_KEYS_TEXT)
        self.view.setOpenLinks(False)
        self.view.setStyleSheet("border: 0")
        self.view.document().setDocumentMargin(6)
        self.view.anchorClicked.connect(self._clicked)
        self.view.cardClicked.connect(self._card_clicked)
        self.view.stepped.connect(self._step)
        self.view.entered.connect(self.show_first_place)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self._findings: tuple[Finding, ...] = ()
        self._recommendation: Recommendation | None = None
        self._settings: tuple[SettingResult, ...] = ()
        self._tried: tuple[TriedRemedy, ...] = ()
        self._rules = NO_RULES
        self._are_rules_shown = False
        self._has_measured = self._is_training = False
        self._selected: Finding | None = None
        self._shown_html = ""
        self._show()

    @property
    def selected(self) -> Finding | None:
        """The selected finding."""
        return self._selected

    def set_findings(
        self,
        findings: Sequence[Finding],
        recommendation: Recommendation | None,
        has_measured: bool,
        is_training: bool = False,
        *,
        settings: Sequence[SettingResult] = (),
        tried: Sequence[TriedRemedy] = (),
        rules: TextTable = NO_RULES,
    ) -> None:
        """Shows the findings, unless they are shown already. A selected one stays selected if it is still there.

        Args:
            findings: what is wrong, in the order in which it is shown.
            recommendation: the setting to use, if one is recommended.
            has_measured: whether a trial has ended.
            is_training: whether the run records a training.
            settings: of the run.
            tried: remedies that were tried.
            rules: the usual rules for the number of workers, beside what was measured.
        """
        self._findings, self._recommendation = tuple(findings), recommendation
        self._has_measured, self._is_training = has_measured, is_training
        self._settings, self._tried, self._rules = tuple(settings), tuple(tried), rules
        before = self._selected
        self._selected = next((one for one in findings if before is not None and _is_same(one, before)), None)
        self._show()
        if self._selected != before:
            self.findingSelected.emit(self._selected)

    def select(self, finding: Finding | None) -> None:
        """Selects a finding: its card shows all, and its places are marked on the timeline."""
        self._selected = finding
        self._show()
        if finding is not None:
            self.view.bring_into_sight(self._cards_above + self._findings.index(finding))
        self.findingSelected.emit(finding)

    def show_first_place(self) -> None:
        """Asks for the first place of the selected finding, or else of the first finding, on the timeline."""
        if self._selected is None and self._findings:
            self.select(self._findings[0])
        if self._selected is not None and self._selected.places:
            self.placeChosen.emit(self._selected.places[0])

    @property
    def _cards_above(self) -> int:
        """The number of cards above the findings."""
        return len(self._tried)

    def _show(self) -> None:
        palette = current_palette()
        detailed = self._selected if self._selected is not None else next(iter(self._findings), None)
        cards = [tried_card(one, palette) for one in self._tried]
        ground = [""] * len(cards)
        for number, finding in enumerate(self._findings):
            cards.append(
                finding_card(
                    finding,
                    palette,
                    number=number,
                    trial_word="loader" if self._is_training else "trial",
                    settings=() if self._is_training else self._settings,
                    has_details=finding is detailed,
                    can_try=not self._is_training,
                )
            )
            ground.append(palette.hover if finding is self._selected else "")
        if self._recommendation is not None:  # below: the headline says it, too
            cards.append(recommendation_card(self._recommendation, palette, has_links=True))
            ground.append("")
        text = "".join(map(_card_html, cards, ground))
        if not text:
            empty, nothing = (EMPTY_OF_TRAINING, NOTHING_OF_TRAINING) if self._is_training else (EMPTY, NOTHING)
            text = f'<p style="color:{palette.muted}">{nothing if self._has_measured else empty}</p>'
        elif self._is_training:
            link = f'<a style="color:{palette.accent}" href="settings:training">Try other settings in this training</a>'
            text = f'<p style="margin:0 0 6px 0">{link}</p>{text}'
        text += self._rules_html(palette)
        if text != self._shown_html:
            self._shown_html = text
            position = self.view.verticalScrollBar().value()
            self.view.setHtml(text)
            self.view.verticalScrollBar().setValue(position)

    def _rules_html(self, palette: Palette) -> str:
        """Returns the title of the rules, and below it their table if it is unfolded."""
        if not self._rules.rows:
            return ""
        arrow = "▾" if self._are_rules_shown else "▸"
        link = f'<a style="color:{palette.accent}; text-decoration:none" href="rules:">{arrow} {RULES_TITLE}</a>'
        text = f'<p style="margin:6px 0 3px 0">{link}</p>'
        if self._are_rules_shown:
            heads = "".join(f'<th align="left">{html.escape(column.title)}</th>' for column in self._rules.columns)
            rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rules.rows)
            text += f'<table cellspacing="0" cellpadding="3"><tr>{heads}</tr>{rows}</table>'
        return text

    def _step(self, step: int) -> None:
        """Selects the finding below (1) or above (-1) the selected one."""
        if not self._findings:
            return
        if self._selected is None:
            self.select(self._findings[0 if step > 0 else -1])
            return
        number = self._findings.index(self._selected) + step
        if 0 <= number < len(self._findings):
            self.select(self._findings[number])

    def _card_clicked(self, card: int) -> None:
        number = card - self._cards_above
        if 0 <= number < len(self._findings):
            self.select(self._findings[number])
            self.show_first_place()

    def _clicked(self, url: QUrl) -> None:
        scheme, path = url.scheme(), url.path()
        if scheme == "startup":
            self.startupViewChosen.emit(path)
        elif scheme == "epochs":
            self.epochsChosen.emit(int(path))
        elif scheme == "settings":
            self.trainingSettingsChosen.emit()
        elif scheme == "rules":
            self._are_rules_shown = not self._are_rules_shown
            self._show()
        elif scheme == "trial":
            self.trialChosen.emit(int(path))
        else:
            self._act(scheme, self._findings[int(path)])

    def _act(self, action: str, finding: Finding) -> None:
        """Does what a button of a finding says."""
        if action == "copy":
            QApplication.clipboard().setText(finding.change)
        elif action == "try":
            self.remedyChosen.emit(finding)
        else:
            self.select(finding)
            self.show_first_place()


def _card_html(card: Card, ground: str) -> str:
    """Returns a card as a table: its edge, and its text on a ground."""
    shade = f' bgcolor="{ground}"' if ground else ""
    edge = f'<td width="3" bgcolor="{card.colour}"></td>'
    text = f'<td{shade} style="padding-left:7px; padding-right:4px; padding-bottom:2px">{card.html}</td>'
    return f'<table width="100%" cellspacing="0" cellpadding="0" style="margin-bottom:6px"><tr>{edge}{text}</tr></table>'


def _is_same(finding: Finding, before: Finding) -> bool:
    """Whether a finding is one of before, which more trials may support by now."""
    return (finding.code, finding.trials[:1]) == (before.code, before.trials[:1])
