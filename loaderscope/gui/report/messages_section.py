"""What the script warned of, logged and printed to stderr, as the report tells it."""

from __future__ import annotations

import html
from collections.abc import Sequence

from loaderscope.analysis.script_messages import ScriptMessage, distinct_messages, processes_text, similar_texts_text, trials_text
from loaderscope.facts.results import TrialResult
from loaderscope.facts.statuses import status_of
from loaderscope.facts.text import count_text
from loaderscope.gui.report.blocks import Words
from loaderscope.gui.style.palette import LIGHT

MOST_TEXTS = 60


def said_blocks(results: Sequence[TrialResult]) -> tuple[Words, ...]:
    """A paragraph a text, whole."""
    said = distinct_messages((result.id, result.warnings) for result in results)
    run = [result for result in results if status_of(result.status).was_tried]
    blocks = [_words(row, len(run)) for row in said[:MOST_TEXTS]]
    if len(said) > MOST_TEXTS:
        blocks.append(Words(f"And {count_text(len(said) - MOST_TEXTS, 'other text')}, which the session holds."))
    return tuple(blocks)


def _words(row: ScriptMessage, trials: int) -> Words:
    times = f" ×{row.count}" if row.count > 1 else ""
    facts = (processes_text(row.processes), trials_text(row.trials, trials), row.place or "")
    about = html.escape(" · ".join(fact for fact in facts if fact))
    muted = f" <span style='color:{LIGHT.muted}'>{about}</span>" if about else ""
    lines = "<br>".join(_line(line) for line in row.text.splitlines())
    return Words(f"<b>{html.escape(row.kind)}</b>{times}{muted}<br>{lines}{similar_texts_text(row)}")


def _line(line: str) -> str:
    text = line.lstrip(" ")
    return "&nbsp;" * (len(line) - len(text)) + html.escape(text)
