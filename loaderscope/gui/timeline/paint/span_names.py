"""Names inside spans that have room for one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.state_styles import STYLES, word
from loaderscope.gui.timeline.data.strips import Strip, StripSpans, level_px
from loaderscope.gui.timeline.paint.canvas import Canvas, TextFont, colour, ink
from loaderscope.trace.model import epoch_and_batch

_NAMED = frozenset((State.FETCH, State.STEP, State.DEVICE_STEP))
"""States that carry their batch as text; the others carry their word where it fits."""

_HOLDS_OTHERS = frozenset((State.WAIT, State.ITERATOR, State.MAIN_IMPORT, State.LOOP_ENTRY))
"""States with spans nested in them, which keep their name above those."""

_LEAST_ROOM_PX = 9
_LONGEST_PX = 180
"""No name is longer."""

NAME_REACH_PX = _LONGEST_PX + 20
"""A name stands at the visible begin of its span, so where the edge of the view cuts a span, panning changes what is this near to it."""


def paint_names(canvas: Canvas, strips: Sequence[Strip], spans: StripSpans) -> None:
    """Names of spans, each in the part of the bar that nothing nested covers.

    Args:
        canvas: its columns x0 to x1 are painted.
        strips: those that the spans are of.
        spans: all that are in sight, also beside the columns, so that a part looks as all does.
    """
    low, high = (float(canvas.left + x) for x in canvas.sight)
    left = np.maximum(canvas.x_of(spans.start_ns), low)
    end = canvas.x_of(spans.end_ns)
    right = np.minimum(end, high)
    is_named = np.array([strip.is_named for strip in strips], bool)
    wide = np.flatnonzero((right - left - 1 >= _LEAST_ROOM_PX) & is_named[spans.strip])
    in_part = (left[wide] < canvas.left + canvas.x1) & (right[wide] >= canvas.left + canvas.x0)
    in_part &= (left[wide] >= canvas.left + canvas.names_from) & (end[wide] <= canvas.left + canvas.names_to)
    if not in_part.any():
        return
    batch = np.empty(len(wide), np.int64)
    strip_of = spans.strip[wide]
    firsts = np.flatnonzero(np.diff(strip_of, prepend=-1))
    for first, last in itertools.pairwise([*firsts.tolist(), len(wide)]):
        batch[first:last] = strips[strip_of[first]].index.batch[spans.row[wide[first:last]]]
    # a bare number is shown where the longest one in sight would fit, so that they do not come and go along a lane
    longest = np.maximum.reduceat(batch, firsts).tolist()
    digits = {number: len(str(epoch_and_batch(max(each, 0))[1])) for number, each in zip(strip_of[firsts].tolist(), longest, strict=True)}
    mine = np.flatnonzero(in_part)
    mine = mine[np.argsort(spans.state[wide[mine]], kind="stable")]
    rows = wide[mine]
    likes = [(strip.level, strip.holds_others, strip.lane_height) for strip in strips]
    hands: dict[tuple[object, ...], _Hand | None] = {}
    written: _Hand | None = None
    columns = (strip_of[mine], spans.state[rows], batch[mine], spans.row[rows], left[rows], right[rows] - left[rows] - 1)
    for number, state, batch_id, row, x, room in zip(*(column.tolist() for column in columns), strict=True):
        key = (likes[number], state, digits[number])
        if key not in hands:
            hands[key] = _hand(canvas, strips[number], state, digits[number])
        hand = hands[key]
        if hand is None or room < hand.least_px:
            continue
        text = hand.word
        if hand.is_numbered and batch_id >= 0:
            batch_number = str(epoch_and_batch(batch_id)[1])
            text = f"batch {batch_number}"
            if hand.font.advance(text) + 8 > room:
                text = batch_number
        elif state == State.IMPORT:
            text = hand.font.fitted(canvas.scene.trace.names.get(int(strips[number].index.value[row]), text), _LONGEST_PX)
        advance = hand.font.advance(text)
        if (hand.number_px if text.isdigit() else advance + 8) > room:
            continue
        if written is None or hand.font is not written.font or hand.ink != written.ink:
            canvas.painter.setFont(hand.font.font)
            canvas.painter.setPen(hand.ink)
            written = hand
        y = strips[number].lane_y + hand.below
        at = x + min((room - advance) / 2, 5.0)
        if hand.ground:
            tall = min(13.0, hand.height)
            canvas.painter.fillRect(QRectF(at - 3, y + (hand.height - tall) / 2, advance + 6, tall), colour(hand.ground))
        canvas.write(at, y, hand.height, text, hand.font)


@dataclasses.dataclass
class _Hand:
    """How the names of a state are written in strips that are alike.

    Attributes:
        below: pixels from the top of the lane's bar to the part that a name has.
        ground: the colour under a name: a hatched bar needs a quiet one.
        least_px: with less room there is none.
        number_px: the room that a number takes.
    """

    font: TextFont
    ink: QColor
    ground: str
    below: float
    height: float
    word: str
    is_numbered: bool
    least_px: float
    number_px: float


def _hand(canvas: Canvas, strip: Strip, state: int, digits: int) -> _Hand | None:
    """None where the bar is too low for text."""
    inner = level_px(strip.lane_height, 1)
    covered = strip.level == 0 and strip.holds_others and state in _HOLDS_OTHERS
    height = strip.lane_height - inner if covered else inner if strip.level else strip.lane_height
    if height < 11:
        return None
    below = strip.lane_height - height if strip.level else 0.0
    font = canvas.small_font if height < 16 else canvas.label_font
    number_px = font.digit_advance * digits + 3
    word_px = font.advance(word(state)) + 8
    least_px = number_px if state in _NAMED else float(_LEAST_ROOM_PX) if state == State.IMPORT else word_px
    style = STYLES[state]
    fill = canvas.palette.role(style.role)
    pen, ground = (colour(canvas.palette.text), fill) if style.is_hatched else (ink(fill), "")
    return _Hand(font, pen, ground, below, height, word(state), state in _NAMED, min(least_px, word_px), number_px)
