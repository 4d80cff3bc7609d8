"""Names inside spans that have room for one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.canvas import Canvas, colour, ink
from loaderscope.gui.timeline.drawn import Spans
from loaderscope.gui.timeline.lod import Floats, Ints
from loaderscope.gui.timeline.states import STYLES, word
from loaderscope.gui.timeline.strips import Strip, level_px
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


def paint_names(canvas: Canvas, strips: Sequence[Strip], spans: Spans) -> None:
    """Names of spans, each in the part of the bar that nothing nested covers.

    Args:
        canvas: its columns x0 to x1 are painted.
        strips: those that the spans are of.
        spans: all that are in sight, also beside the columns, so that a part looks as all does.
    """
    low, high = float(canvas.left), float(canvas.left + canvas.layout.plot_width)
    left = np.maximum(canvas.x_of(spans.start_ns), low)
    right = np.minimum(canvas.x_of(spans.end_ns), high)
    room = right - left - 1
    is_named = np.array([strip.is_named for strip in strips], bool)
    wide = np.flatnonzero((room >= _LEAST_ROOM_PX) & is_named[spans.strip])
    in_part = (left < canvas.left + canvas.x1) & (right >= canvas.left + canvas.x0)
    for number in np.unique(spans.strip[wide]).tolist():
        mine = wide[spans.strip[wide] == number]
        _paint_strip(canvas, strips[number], spans, mine, _Places(left, room, in_part))


@dataclasses.dataclass
class _Places:
    """For each span: where what is seen of it begins, its room for a name, and whether it reaches into the columns to paint."""

    left: Floats
    room: Floats
    in_part: npt.NDArray[np.bool_]


def _paint_strip(canvas: Canvas, strip: Strip, spans: Spans, wide: Ints, places: _Places) -> None:
    states, batches = spans.state[wide], strip.index.batch[spans.row[wide]]
    left, room = places.left, places.room
    # a bare number is shown where the longest one in sight would fit, so that they do not come and go along a lane
    digits = len(str(epoch_and_batch(max(int(batches.max()), 0))[1]))
    inner = level_px(strip.lane_height, 1)
    for state in np.flatnonzero(np.bincount(states)).tolist():
        covered = strip.level == 0 and strip.holds_others and state in _HOLDS_OTHERS
        height = strip.lane_height - inner if covered else inner if strip.level else strip.lane_height
        if height < 11:
            continue
        y = strip.lane_y + (strip.lane_height - height if strip.level else 0)
        font = canvas.small_font if height < 16 else canvas.label_font
        number_px = font.digit_advance * digits + 3
        word_px = font.advance(word(state)) + 8
        least_px = number_px if state in _NAMED else float(_LEAST_ROOM_PX) if state == State.IMPORT else word_px
        style = STYLES[state]
        fill = canvas.palette.role(style.role)
        canvas.painter.setFont(font.font)
        canvas.painter.setPen(colour(canvas.palette.text) if style.hatched else ink(fill))
        mine = np.flatnonzero(places.in_part[wide] & (states == state) & (room[wide] >= min(least_px, word_px)))
        for at, batch in zip(wide[mine].tolist(), batches[mine].tolist(), strict=True):
            text = word(state)
            if state in _NAMED and batch >= 0:
                number = epoch_and_batch(batch)[1]
                text = f"batch {number}"
                if font.advance(text) + 8 > room[at]:
                    text = str(number)
            elif state == State.IMPORT:
                text = font.fitted(canvas.scene.trace.names.get(int(strip.index.value[spans.row[at]]), text), _LONGEST_PX)
            advance = font.advance(text)
            if (number_px if text.isdigit() else advance + 8) > room[at]:
                continue
            x = left[at] + min((room[at] - advance) / 2, 5.0)
            if style.hatched:
                # a hatched bar needs a quiet ground under its name
                tall = min(13.0, height)
                canvas.painter.fillRect(QRectF(x - 3, y + (height - tall) / 2, advance + 6, tall), colour(fill))
            canvas.write(x, y, height, text, font)
