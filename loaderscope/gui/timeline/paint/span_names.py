"""Paints names inside spans that have room for one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.data.state_styles import STYLES, state_title
from loaderscope.gui.timeline.data.strips import Strip, StripSpans, level_px
from loaderscope.gui.timeline.paint.canvas import Canvas, TextFont, colour, text_colour
from loaderscope.trace.model import epoch_and_batch

_NAMED = frozenset((State.FETCH, State.STEP, State.DEVICE_STEP, State.DEVICE_STREAM))
"""States whose name is their batch; other states show their title if it fits."""

_HOLDS_OTHERS = frozenset((State.WAIT, State.ITERATOR, State.MAIN_IMPORT, State.LOOP_ENTRY))
"""States with nested spans; their name is above those."""

_LEAST_ROOM_PX = 9
_LONGEST_PX = 180
"""Limit for the width of a name."""

NAME_REACH_PX = _LONGEST_PX + 20
"""A name is at the visible begin of its span. So if an edge of the view cuts a span, a pan changes pixels up to this far from the edge."""


def paint_names(canvas: Canvas, strips: Sequence[Strip], spans: StripSpans) -> None:
    """Paints the names of spans, each in the part of the bar that no nested span covers.

    Args:
        canvas: paints its columns x0 to x1.
        strips: the strips of the spans.
        spans: all spans in sight, also outside the columns, so that a part looks like the whole.
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
        index = strips[strip_of[first]].index
        batch[first:last] = index.at_hand.batch[spans.row[wide[first:last]] - index.first_at_hand]
    # a span shows a bare number if the longest number in sight would fit, so that numbers do not come and go along a lane
    longest = np.maximum.reduceat(batch, firsts).tolist()
    digits = {number: len(str(epoch_and_batch(max(each, 0))[1])) for number, each in zip(strip_of[firsts].tolist(), longest, strict=True)}
    chosen = np.flatnonzero(in_part)
    chosen = chosen[np.argsort(spans.state[wide[chosen]], kind="stable")]
    rows = wide[chosen]
    kinds = [(strip.level, strip.holds_others, strip.lane_height) for strip in strips]
    styles: dict[tuple[object, ...], _NameStyle | None] = {}
    current: _NameStyle | None = None
    columns = (strip_of[chosen], spans.state[rows], batch[chosen], spans.row[rows], left[rows], right[rows] - left[rows] - 1)
    for number, state, batch_id, row, x, room in zip(*(column.tolist() for column in columns), strict=True):
        key = (kinds[number], state, digits[number])
        if key not in styles:
            styles[key] = _name_style(canvas, strips[number], state, digits[number])
        name_style = styles[key]
        if name_style is None or room < name_style.least_px:
            continue
        text = name_style.word
        if name_style.is_numbered and batch_id >= 0:
            batch_number = str(epoch_and_batch(batch_id)[1])
            text = f"batch {batch_number}"
            if name_style.font.advance(text) + 8 > room:
                text = batch_number
        elif state == State.IMPORT:
            text = name_style.font.fitted(
                canvas.scene.trace.name(strips[number].lane, int(strips[number].index.part(row, row + 1).value[0])) or text, _LONGEST_PX
            )
        advance = name_style.font.advance(text)
        if (name_style.number_px if text.isdigit() else advance + 8) > room:
            continue
        if current is None or name_style.font is not current.font or name_style.ink != current.ink:
            canvas.painter.setFont(name_style.font.font)
            canvas.painter.setPen(name_style.ink)
            current = name_style
        y = strips[number].lane_y + name_style.below
        at = x + min((room - advance) / 2, 5.0)
        if name_style.ground:
            tall = min(13.0, name_style.height)
            canvas.painter.fillRect(QRectF(at - 3, y + (name_style.height - tall) / 2, advance + 6, tall), colour(name_style.ground))
        canvas.write(at, y, name_style.height, text, name_style.font)


@dataclasses.dataclass
class _NameStyle:
    """How to write the names of a state in strips that are alike.

    Attributes:
        below: pixels from the top of the lane's bar to the part for names.
        height: height of that part.
        ground: the colour under a name; "" for none. A hatched bar needs a plain one.
        least_px: a span with less room gets no name.
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


def _name_style(canvas: Canvas, strip: Strip, state: int, digits: int) -> _NameStyle | None:
    """Returns the style of a state's names in a strip; None if the bar is too low for text."""
    inner = level_px(strip.lane_height, 1)
    covered = strip.level == 0 and strip.holds_others and state in _HOLDS_OTHERS
    height = strip.lane_height - inner if covered else inner if strip.level else strip.lane_height
    if height < 11:
        return None
    below = strip.lane_height - height if strip.level else 0.0
    font = canvas.small_font if height < 16 else canvas.label_font
    number_px = font.digit_advance * digits + 3
    word_px = font.advance(state_title(state)) + 8
    least_px = number_px if state in _NAMED else float(_LEAST_ROOM_PX) if state == State.IMPORT else word_px
    style = STYLES[state]
    fill = canvas.palette.role(style.role)
    pen, ground = (colour(canvas.palette.text), fill) if style.is_hatched else (text_colour(fill), "")
    return _NameStyle(font, pen, ground, below, height, state_title(state), state in _NAMED, min(least_px, word_px), number_px)
