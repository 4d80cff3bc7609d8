"""The spans of many strips in one table, and what share of each pixel column they fill: one pass for all lanes. No Qt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from loaderscope.gui.timeline.data.level_of_detail import Ints
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.data.strips import Strip


@dataclasses.dataclass(slots=True)
class StripSpans:
    """Spans of strips, strip after strip, each as long as the table.

    Attributes:
        strip: the strip's place in the list that was asked for.
        row: the row in the strip's index.
        level: the state's place among those that the strip draws.
    """

    strip: Ints
    row: Ints
    start_ns: Ints
    end_ns: Ints
    state: npt.NDArray[np.uint16]
    level: Ints

    def __len__(self) -> int:
        return len(self.row)

    def only(self, rows: npt.NDArray[np.bool_] | Ints) -> StripSpans:
        """Some of them, by a mask or by their places."""
        return StripSpans(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))


_NO_SPANS = np.empty(0, np.int64)

_STATES = max(STYLES) + 2
"""All states that are drawn, and one number for all others."""


def drawn_spans(strips: Sequence[Strip], between: Sequence[tuple[int, int]]) -> StripSpans:
    """The spans that strips draw.

    Args:
        strips: whose.
        between: first row and one past the last row of each.
    """
    parts = [(strip.index, slice(*rows)) for strip, rows in zip(strips, between, strict=True)]
    counts = np.array([max(last - first, 0) for first, last in between], np.int64)
    if not counts.sum():
        return StripSpans(_NO_SPANS, _NO_SPANS, _NO_SPANS, _NO_SPANS, np.empty(0, np.uint16), _NO_SPANS)
    number = np.repeat(np.arange(len(strips)), counts)
    behind = np.array([first for first, _ in between], np.int64) - np.concatenate(([0], np.cumsum(counts)[:-1]))
    state = np.concatenate([index.state[rows] for index, rows in parts])
    kinds = {states: place for place, states in enumerate(dict.fromkeys(strip.states for strip in strips))}
    line = np.array([kinds[strip.states] for strip in strips]) * _STATES
    level = _levels(tuple(kinds)).take(np.repeat(line, counts) + np.minimum(state, _STATES - 1))
    found = StripSpans(
        number,
        np.arange(len(number)) + behind[number],
        np.concatenate([index.start_ns[rows] for index, rows in parts]),
        np.concatenate([index.end_ns[rows] for index, rows in parts]),
        state,
        level,
    )
    is_drawn = level >= 0
    return found if is_drawn.all() else found.only(is_drawn)


@functools.lru_cache(maxsize=256)
def _levels(kinds: tuple[tuple[int, ...], ...]) -> Ints:
    """The place of each state in each list of states, -1 where it is not in it; the last column is for all higher numbers."""
    table = np.full((len(kinds), _STATES), -1, np.int64)
    for line, states in zip(table, kinds, strict=True):
        line[list(states)] = np.arange(len(states))
    return table


def filled_ns(spans: StripSpans, strips: int, edges_ns: Ints) -> tuple[list[int], npt.NDArray[np.float64]]:
    """Time that each state of each strip fills between consecutive edges: what `TrackIndex.busy_ns` says, at a cost by spans.

    Args:
        spans: all that touch the range of the edges.
        strips: how many strips there are.
        edges_ns: int64, ascending, n + 1 values.

    Returns:
        The levels that occur, and (levels, strips, n) whole nanoseconds, in doubles, which hold them exactly for 104 days.
    """
    occurs = np.bincount(spans.level) > 0
    levels, columns = np.flatnonzero(occurs).tolist(), len(edges_ns) - 1
    shape = (len(levels), strips, columns)
    if not levels:
        return levels, np.zeros(shape)
    size = len(levels) * strips * columns
    start_ns = np.clip(spans.start_ns, edges_ns[0], edges_ns[-1])
    end_ns = np.clip(spans.end_ns, edges_ns[0], edges_ns[-1])
    first = np.minimum(edges_ns.searchsorted(start_ns, "right") - 1, columns - 1)
    last = np.maximum(edges_ns.searchsorted(end_ns, "left") - 1, first)
    base = ((np.cumsum(occurs) - 1)[spans.level] * strips + spans.strip) * columns
    inside_ns = (np.minimum(end_ns, edges_ns[first + 1]) - start_ns).astype(np.float64)
    filled = np.zeros(size)
    filled += np.bincount(base + first, inside_ns, size)
    over = np.flatnonzero(last > first)
    if len(over):
        first, last, base = first[over], last[over], base[over]
        filled += np.bincount(base + last, (end_ns[over] - edges_ns[last]).astype(np.float64), size)
        # columns that a span fills from edge to edge: it enters the one after its first and leaves at its last
        between = np.bincount(base + first + 1, minlength=size)
        between -= np.bincount(base + last, minlength=size)
        filled.reshape(shape)[:] += np.cumsum(between, out=between).reshape(shape) * np.diff(edges_ns)
    return levels, filled.reshape(shape)
