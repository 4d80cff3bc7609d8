"""Painting of lanes: exact rectangles with names while few spans are visible, stacks of exact shares when many are."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import QRectF, Qt

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.canvas import Canvas, colour, ink
from loaderscope.gui.timeline.columns import paint_columns
from loaderscope.gui.timeline.layout import PlacedRow
from loaderscope.gui.timeline.lod import Ints
from loaderscope.gui.timeline.states import STYLES, level_in, word
from loaderscope.gui.timeline.strips import Strip, level_px, strips
from loaderscope.trace.model import epoch_and_batch

EXACT_SPANS = 5_000
"""About as many rectangles fit into a frame."""

_LEAST_EXACT = 60
"""Each strip may have so many rectangles, however many strips there are."""

_NAMED = frozenset((State.FETCH, State.STEP, State.DEVICE_STEP))
"""States that carry their batch as text; the others carry their word where it fits."""

_HOLDS_OTHERS = frozenset((State.WAIT, State.ITERATOR, State.MAIN_IMPORT, State.LOOP_ENTRY))
"""States with spans nested in them, which keep their name above those."""

_BEYOND_PX = 64.0
"""The raster engine counts in 16 bits: what reaches further out of sight is cut."""


def paint_spans(canvas: Canvas, rows: Sequence[PlacedRow]) -> None:
    """The spans of all lanes and queue slots among rows, in one pass for each nesting level."""
    view_ns, part_ns = canvas.view_ns, canvas.part_ns
    # what every strip may cost, so that the sum of them fits into a frame; decided by the whole view, so that a part looks as all does
    most = max(EXACT_SPANS // max(sum(len(placed.row.lanes) for placed in rows), 1), _LEAST_EXACT)
    levels: dict[int, tuple[list[tuple[Strip, Ints]], list[Strip]]] = {}
    for strip in strips(canvas.scene, rows, canvas.top):
        exact, many = levels.setdefault(strip.level, ([], []))
        first, last = strip.index.rows_between(*view_ns)
        if last - first > most:
            many.append(strip)
        else:
            exact.append((strip, _drawn_rows(strip, *part_ns)))
    for exact, many in levels.values():
        if many:
            paint_columns(canvas, many)
        if exact:
            _paint_exact(canvas, exact)
    for placed in rows:
        if placed.row.kind == "lane":
            _paint_open(canvas, placed)
    # names come last: what is nested in a span would cover them
    for exact, _ in levels.values():
        for strip, drawn in exact:
            if strip.is_named and len(drawn):
                _paint_names(canvas, strip, drawn)


@functools.lru_cache(maxsize=256)
def _mask(states: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """True for the numbers of states."""
    mask = np.zeros(max(STYLES) + 1, bool)
    mask[list(states)] = True
    return mask


def _drawn_rows(strip: Strip, start_ns: int, end_ns: int) -> Ints:
    first, last = strip.index.rows_between(start_ns, end_ns)
    rows = np.arange(first, last)
    if len(strip.states) < len(strip.index.states):
        rows = rows[_mask(strip.states).take(strip.index.state[first:last], mode="clip")]
    return rows


def _paint_exact(canvas: Canvas, exact: Sequence[tuple[Strip, Ints]]) -> None:
    """Rectangles of all strips, batched by colour."""
    counts = [len(rows) for _, rows in exact]
    start_ns, end_ns, states = (
        np.concatenate([getattr(strip.index, name)[rows] for strip, rows in exact]) for name in ("start_ns", "end_ns", "state")
    )
    y = np.repeat([float(strip.y) for strip, _ in exact], counts)
    height = np.repeat([float(strip.height) for strip, _ in exact], counts)
    # the SVG generator does not clip
    beyond = _BEYOND_PX if canvas.is_raster else 0.0
    left = np.maximum(canvas.x_of(start_ns), canvas.left + canvas.x0 - beyond)
    right = np.minimum(canvas.x_of(end_ns), canvas.left + canvas.x1 + beyond)
    width = np.maximum(right - left, 1 / canvas.ratio)
    width[width > 5] -= 1  # a gap of one pixel tells neighbours apart
    for state in np.flatnonzero(np.bincount(states)).tolist():
        style = STYLES[state]
        mine = np.flatnonzero(states == state)
        boxes = list(map(QRectF, left[mine].tolist(), y[mine].tolist(), width[mine].tolist(), height[mine].tolist()))
        canvas.painter.setPen(Qt.PenStyle.NoPen)
        canvas.painter.setBrush(colour(canvas.palette.role(style.role)))
        canvas.painter.drawRects(boxes)
        if style.hatched:
            canvas.hatch([boxes[at] for at in np.flatnonzero(width[mine] >= 2).tolist()], canvas.palette.waiting_hatch)


def _paint_names(canvas: Canvas, strip: Strip, rows: Ints) -> None:
    """Names inside the spans that have room, in the part of the bar that nothing nested covers."""
    index = strip.index
    low, high = float(canvas.left), float(canvas.left + canvas.layout.plot_width)
    left = np.maximum(canvas.x_of(index.start_ns[rows]), low)
    room = np.minimum(canvas.x_of(index.end_ns[rows]), high) - left - 1
    wide = np.flatnonzero(room >= 9)
    if not len(wide):
        return
    states, batches = index.state[rows], index.batch[rows]
    # a bare number is shown where the longest one in sight would fit, so that they do not come and go along a lane
    digits = len(str(epoch_and_batch(max(int(batches.max()), 0))[1]))
    inner = level_px(strip.lane_height, 1)
    for state in np.flatnonzero(np.bincount(states[wide])).tolist():
        covered = strip.level == 0 and strip.holds_others and state in _HOLDS_OTHERS
        height = strip.lane_height - inner if covered else inner if strip.level else strip.lane_height
        y = strip.lane_y + (strip.lane_height - height if strip.level else 0)
        if height < 11:
            continue
        font = canvas.small_font if height < 16 else canvas.label_font
        number_px = font.digit_advance * digits + 3
        least_px = number_px if state in _NAMED else 9.0 if state == State.IMPORT else font.advance(word(state)) + 8
        style = STYLES[state]
        fill = canvas.palette.role(style.role)
        canvas.painter.setFont(font.font)
        canvas.painter.setPen(colour(canvas.palette.text) if style.hatched else ink(fill))
        for at in wide[(states[wide] == state) & (room[wide] >= min(least_px, font.advance(word(state)) + 8))].tolist():
            batch = int(batches[at])
            text = word(state)
            if state in _NAMED and batch >= 0:
                number = epoch_and_batch(batch)[1]
                text = f"batch {number}"
                if font.advance(text) + 8 > room[at]:
                    text = str(number)
            elif state == State.IMPORT:
                text = canvas.scene.trace.names.get(int(index.value[rows[at]]), text)
            advance = font.advance(text)
            if (number_px if text.isdigit() else advance + 8) > room[at]:
                continue
            x = left[at] + min((room[at] - advance) / 2, 5.0)
            if style.hatched:
                # a hatched bar needs a quiet ground under its name
                tall = min(13.0, height)
                canvas.painter.fillRect(QRectF(x - 3, y + (height - tall) / 2, advance + 6, tall), colour(fill))
            canvas.write(x, y, height, text, font)


def _paint_open(canvas: Canvas, placed: PlacedRow) -> None:
    """Spans that have not ended, up to the newest record; they are paler, because their end is not known."""
    newest = canvas.scene.trace.newest_ns
    y, height = canvas.top + placed.bar_y, placed.bar_height
    for span in canvas.scene.open_spans(placed.row.lanes[0]):
        level = level_in(placed.row.lane_kind, span.state)
        if level is None:
            continue
        low, high = canvas.x_of(np.array([span.start_ns, max(newest, span.start_ns)], np.int64)).tolist()
        low, high = max(low, canvas.left - 20.0), min(high, canvas.left + canvas.layout.plot_width + 20.0)
        if high - low < 1 / canvas.ratio:
            continue
        part = level_px(height, level)
        box = QRectF(low, y + height - part, high - low, part)
        style = STYLES[span.state]
        canvas.painter.setOpacity(0.55)
        canvas.painter.fillRect(box, colour(canvas.palette.role(style.role)))
        canvas.painter.setOpacity(1.0)
        if style.hatched:
            canvas.hatch([box], canvas.palette.waiting_hatch)
