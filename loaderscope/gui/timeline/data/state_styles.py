"""How each state is drawn, and where on its lane."""

from __future__ import annotations

from loaderscope.facts.lanes import MAIN, STATES
from loaderscope.trace.model import STATE_NAMES

STYLES = {fact.state: fact for fact in STATES}
"""The states that are drawn, in the order in which they are stacked."""

LEVEL_PARTS = (1.0, 0.58, 0.3)
"""Part of the bar's height that each nesting level takes, from the bottom."""


def level_in(kind: str, state: int) -> int | None:
    """The nesting level at which a lane draws a state, or None where it does not draw it.

    With 0 workers main fetches and collates inside its wait.
    """
    style = STYLES.get(state)
    if style is None:
        return None
    return style.level if style.level_in_main is None or kind != MAIN.kind else style.level_in_main


def word(state: int) -> str:
    """What a state is called."""
    style = STYLES.get(state)
    return style.title if style else STATE_NAMES.get(state, f"state {state}").replace("_", " ")
