"""Findings, the recommendation and tried remedies as cards of simple HTML, for the panel and the report. No Qt."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence

from loaderscope.analysis.tried_remedies import TriedRemedy
from loaderscope.facts.finding_codes import finding_code
from loaderscope.facts.finding_text import evidence_lines, evidence_text, gain_text, training_s
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import Recommendation, SettingResult
from loaderscope.facts.settings import setting_text
from loaderscope.gui.style.palette import Palette

START_UP_VIEWS = {
    "large-pickle": "Sent",
    "serial-starts": "Sent",
    "heavy-imports": "Imports",
    "expensive-top-level": "Imports",
    "start-up-every-epoch": "Experiment",
}
"""For codes of findings about start-up: the start-up view that shows more."""

_MOST_LINKS = 6


@dataclasses.dataclass(frozen=True)
class Card:
    """A card.

    Attributes:
        colour: of its edge.
        html: its text.
    """

    colour: str
    html: str


def severity_role(severity: str) -> str:
    """Returns the role of the colour of a severity, in text and on the timeline alike."""
    return {"error": "error", "warning": "warning", "info": "accent"}.get(severity, "muted")


def recommendation_card(recommendation: Recommendation, palette: Palette, *, has_links: bool) -> Card:
    """Returns the setting to use, and why."""
    text = f'<b style="color:{palette.good}">★ use {html.escape(setting_text(recommendation.config))}</b>'
    text += f"<br>{html.escape(recommendation.why)}"
    if recommendation.caveat is not None:
        text += f"<br>{_muted(recommendation.caveat, palette)}"
        if has_links:
            text += f" {_link('epochs:2', 'measure a second epoch', palette)}"
    return Card(palette.good, text)


def tried_card(tried: TriedRemedy, palette: Palette) -> Card:
    """Returns what a remedy gave, before and after."""
    colour = palette.muted
    if tried.is_told_apart:
        colour = palette.good if tried.ratio.value > 1 else palette.warning
    title = f'<b style="color:{colour}">Tried: {html.escape(finding_code(tried.remedy.code).title)}</b>'
    return Card(colour, f"{title}<br>{html.escape(tried.sentence)}")


def finding_card(
    finding: Finding,
    palette: Palette,
    *,
    number: int | None = None,
    trial_word: str = "trial",
    settings: Sequence[SettingResult] = (),
    has_details: bool = True,
    can_try: bool = False,
) -> Card:
    """Returns a finding.

    Args:
        finding: what is wrong.
        palette: the colours.
        number: of the finding, which its buttons and links name; None leaves them out, for print.
        trial_word: what a trial is called in front of its link.
        settings: of the run; the gain is told beside the length of the training with the finding's own.
        has_details: whether advice and change are shown.
        can_try: whether a trial can test its remedy.
    """
    colour = palette.role(severity_role(finding.severity))
    kind = finding_code(finding.code)
    lines = [
        f'<b style="color:{colour}">{html.escape(kind.title)}</b> {_muted(_facts_text(finding, settings), palette)}',
        html.escape(finding.message),
    ]
    if figures := evidence_text(finding.evidence):
        lines.append(_muted(f"measured: {figures}", palette))
    lines += [f"<code>{_code_html(line)}</code>" for line in evidence_lines(finding.evidence)]
    if has_details:
        if finding.advice:
            lines.append(html.escape(finding.advice))
        if finding.change:
            lines.append(f"<code>{_code_html(finding.change)}</code>")
    if number is not None and (actions := _actions(finding, palette, number, trial_word, can_try=can_try)):
        lines.append(actions)
    return Card(colour, "<br>".join(lines))


def _facts_text(finding: Finding, settings: Sequence[SettingResult]) -> str:
    """Returns severity, code and gain in a line. A gain that nobody knows is told where something is to be changed."""
    facts = [finding.severity, finding.code]
    if finding.gain_s is not None or (finding.severity == "warning" and (finding.advice or finding.change)):
        facts.append(gain_text(finding.gain_s, training_s(finding.trials, settings)))
    return " · ".join(facts)


def _actions(finding: Finding, palette: Palette, number: int, trial_word: str, *, can_try: bool) -> str:
    parts = []
    if can_try and finding.remedy is not None and finding.config is not None:
        parts.append(_button(f"try:{number}", "Try it", palette, is_primary=True))
    if finding.change:
        parts.append(_button(f"copy:{number}", "Copy", palette))
    if finding.places:
        parts.append(_button(f"place:{number}", "Show it", palette))
    if finding.trials:
        links = ", ".join(_link(f"trial:{trial}", str(trial), palette) for trial in finding.trials[:_MOST_LINKS])
        more = " …" if len(finding.trials) > _MOST_LINKS else ""
        word = trial_word if len(finding.trials) == 1 else f"{trial_word}s"
        parts.append(f'<span style="color:{palette.muted}">{word}&nbsp;{links}{more}</span>')
    if finding.code in START_UP_VIEWS:
        parts.append(_link(f"startup:{START_UP_VIEWS[finding.code]}", "look into it", palette))
    return "&nbsp;&nbsp; ".join(parts)


def _link(href: str, text: str, palette: Palette) -> str:
    return f'<a style="color:{palette.accent}" href="{href}">{text}</a>'


def _button(href: str, text: str, palette: Palette, *, is_primary: bool = False) -> str:
    ground, ink = (palette.accent, palette.accent_text) if is_primary else (palette.border, palette.text)
    return f'<a style="color:{ink}; background-color:{ground}; text-decoration:none" href="{href}">&nbsp; {text} &nbsp;</a>'


def _muted(text: str, palette: Palette) -> str:
    return f'<span style="color:{palette.muted}">{html.escape(text)}</span>'


def _code_html(code: str) -> str:
    """Returns code whose line breaks and indents stay."""
    lines = code.splitlines()
    return "<br>".join("&nbsp;" * (len(line) - len(line.lstrip(" "))) + html.escape(line.lstrip(" ")) for line in lines)
