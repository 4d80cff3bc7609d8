"""How lanes draw each state, and at which nesting level."""

from __future__ import annotations

from loaderscope.facts.lanes import MAIN, STATES
from loaderscope.trace.model import STATE_NAMES

STYLES = {fact.state: fact for fact in STATES}
"""The states that lanes draw, in the order of stacking."""

LEVEL_PARTS = (1.0, 0.58, 0.3)
"""The part of the bar's height that each nesting level takes, from the bottom."""


def nesting_level(kind: str, state: int) -> int | None:
    """Returns the nesting level at which a lane of a kind draws a state; None if it does not draw the state.

    The lane of main has levels of its own: with 0 workers main fetches and collates inside its wait.
    """
    style = STYLES.get(state)
    if style is None:
        return None
    return style.level if style.level_in_main is None or kind != MAIN.kind else style.level_in_main


def state_title(state: int) -> str:
    """Returns the title of a state."""
    style = STYLES.get(state)
    return style.title if style else STATE_NAMES.get(state, f"state {state}").replace("_", " ")
