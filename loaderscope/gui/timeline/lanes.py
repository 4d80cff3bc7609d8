"""Painting of spans: exact rectangles with names while few are visible, stacks of exact shares when many are."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QImage

from loaderscope.agent.layout import State
from loaderscope.gui.timeline.canvas import HATCH_PX, Canvas, colour, ink
from loaderscope.gui.timeline.layout import PlacedRow, slot_px
from loaderscope.gui.timeline.lod import Ints, TrackIndex, stack_heights
from loaderscope.gui.timeline.scene import drawn_states, levels
from loaderscope.gui.timeline.states import STYLES, level_in, word
from loaderscope.trace.model import epoch_and_batch

EXACT_SPANS = 5_000
"""About as many rectangles fit into a frame."""

_LEVEL_PART = (1.0, 0.58, 0.3)
"""Part of the bar's height that each nesting level takes, from the bottom."""

_NAMED = frozenset((State.FETCH, State.STEP, State.DEVICE_STEP))
"""States that carry their batch as text; the others carry their word where it fits."""

_HOLDS_OTHERS = frozenset((State.WAIT, State.ITERATOR, State.MAIN_IMPORT, State.LOOP_ENTRY))
"""States with spans nested in them, which keep their name above those."""


def paint_lane(canvas: Canvas, placed: PlacedRow, exact_spans: int) -> None:
    """One lane; `exact_spans` is how many rectangles it may cost."""
    kind, lane = placed.row.lane_kind, placed.row.lanes[0]
    indexes = canvas.scene.tracks(lane)
    y, height = canvas.top + placed.bar_y, placed.bar_height
    found = levels(indexes, kind)
    tracks = [(level, index, drawn_states(index, kind, level)) for level in found for index in indexes]
    for level, index, states in tracks:
        if states:
            part = _part_px(height, level)
            _paint_track(canvas, index, states, y=y + height - part, height=part, exact_spans=exact_spans, marked=level == 0)
    _paint_open(canvas, lane, kind, y, height)
    for level, index, states in tracks:
        # names come last: what is nested in a span would cover them
        if states and level < 2:
            nested = level + 1 in found
            free = height - _part_px(height, 1) if level == 0 else _part_px(height, 1)
            _paint_names(canvas, index, states, lane=(y, height), free=free, level=level, nested=nested, exact_spans=exact_spans)


def paint_flight(canvas: Canvas, placed: PlacedRow, exact_spans: int) -> None:
    """All queue slots of the batches in flight, compact."""
    pitch = slot_px(placed)
    for slot, lane in enumerate(placed.row.lanes):
        y = canvas.top + placed.bar_y + slot * pitch
        for index in canvas.scene.tracks(lane):
            states = drawn_states(index, "flight", 0)
            if states:
                _paint_track(canvas, index, states, y=y, height=max(pitch - 1, 1), exact_spans=exact_spans, marked=False)


def _part_px(height: float, level: int) -> int:
    return max(round(height * _LEVEL_PART[min(level, len(_LEVEL_PART) - 1)]), 3)


def _exact_rows(canvas: Canvas, index: TrackIndex, states: list[int], exact_spans: int) -> Ints | None:
    """The rows to draw as rectangles, or None where there are too many."""
    first, last = index.rows_between(*canvas.part_ns)
    if last - first > exact_spans:
        return None
    rows = np.arange(first, last)
    if len(states) < len(index.states):
        rows = rows[np.isin(index.state[first:last], states)]
    return rows


def _paint_track(canvas: Canvas, index: TrackIndex, states: list[int], *, y: float, height: float, exact_spans: int, marked: bool) -> None:
    rows = _exact_rows(canvas, index, states, exact_spans)
    if rows is not None:
        _paint_exact(canvas, index, rows, y, height)
        return
    _paint_columns(canvas, index, states, y, height)
    if marked:
        _mark_outliers(canvas, index, states, y)


def _paint_exact(canvas: Canvas, index: TrackIndex, rows: Ints, y: float, height: float) -> None:
    left = canvas.x_of(index.start_ns[rows])
    # the raster engine counts in 16 bits; hatching goes on where it would be; the SVG generator does not clip
    beyond = 64.0 if canvas.is_raster else 0.0
    right = np.minimum(canvas.x_of(index.end_ns[rows]), canvas.left + canvas.x1 + beyond)
    low = canvas.left + canvas.x0 - beyond
    left = np.where(left < low, low - ((low - left) % HATCH_PX if canvas.is_raster else 0.0), left)
    width = np.maximum(right - left, 1 / canvas.ratio)
    width = np.where(width > 5, width - 1, width)  # a gap of one pixel tells neighbours apart
    states = index.state[rows]
    painter = canvas.painter
    for state in np.unique(states).tolist():
        style = STYLES[state]
        mine = np.flatnonzero(states == state)
        boxes = [QRectF(x, y, w, height) for x, w in zip(left[mine].tolist(), width[mine].tolist(), strict=True)]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour(canvas.palette.role(style.role)))
        painter.drawRects(boxes)
        if style.hatched:
            canvas.hatch([box for box in boxes if box.width() >= 2], canvas.palette.waiting_hatch)


def _paint_names(
    canvas: Canvas,
    index: TrackIndex,
    states: list[int],
    *,
    lane: tuple[float, float],
    free: float,
    level: int,
    nested: bool,
    exact_spans: int,
) -> None:
    """Names inside the spans that have room, in the part of the bar that nothing nested covers."""
    rows = _exact_rows(canvas, index, states, exact_spans)
    if rows is None or not len(rows):
        return
    low, high = float(canvas.left), float(canvas.left + canvas.layout.plot_width)
    left = np.maximum(canvas.x_of(index.start_ns[rows]), low)
    room = np.minimum(canvas.x_of(index.end_ns[rows]), high) - left - 1
    # a bare number is shown where the longest one in sight would fit, so that they do not come and go along a lane
    digits = len(str(epoch_and_batch(max(int(index.batch[rows].max()), 0))[1]))
    for at in np.flatnonzero(room >= 9).tolist():
        row = int(rows[at])
        state = int(index.state[row])
        covered = level == 0 and nested and state in _HOLDS_OTHERS
        height = free if covered or level else lane[1]
        y = lane[0] + (lane[1] - height if level else 0)
        if height < 11:
            continue
        font, metrics = (canvas.small_font, canvas.small_metrics) if height < 16 else (canvas.label_font, canvas.label_metrics)
        for text in _names(index, row, state, canvas.scene.trace.names):
            advance = metrics.horizontalAdvance(text)
            needed = metrics.horizontalAdvance("0") * max(digits, len(text)) + 3 if text.isdigit() else advance + 8
            if needed <= room[at]:
                break
        else:
            continue
        style = STYLES[state]
        fill = canvas.palette.role(style.role)
        indent = min((room[at] - advance) / 2, 5.0)
        if style.hatched:
            # a hatched bar needs a quiet ground under its name
            tall = min(13.0, height)
            canvas.painter.fillRect(QRectF(left[at] + indent - 3, y + (height - tall) / 2, advance + 6, tall), colour(fill))
        canvas.painter.setFont(font)
        canvas.painter.setPen(colour(canvas.palette.text) if style.hatched else ink(fill))
        box = QRectF(left[at] + indent, y, advance + 2, height)
        canvas.painter.drawText(box, int(Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextSingleLine), text)


def _names(index: TrackIndex, row: int, state: int, names: dict[int, str]) -> tuple[str, ...]:
    """What a span can be called, longest first."""
    batch = int(index.batch[row])
    if state in _NAMED and batch >= 0:
        number = epoch_and_batch(batch)[1]
        return (f"batch {number}", f"{number}")
    if state == State.IMPORT:
        return (names.get(int(index.value[row]), word(state)),)
    return (word(state),)


def _paint_columns(canvas: Canvas, index: TrackIndex, states: list[int], y: float, height: float) -> None:
    ratio = canvas.ratio if canvas.is_raster else 1.0
    columns = max(round((canvas.x1 - canvas.x0) * ratio), 1)
    tall = max(round(height * ratio), 1)
    edges = canvas.edges(columns)
    busy = index.busy_ns(edges, states)
    if not busy:
        return
    shares = np.stack([busy[state] for state in busy]) / np.maximum(np.diff(edges), 1)
    heights = stack_heights(shares, tall)
    if canvas.is_raster:
        first_column = round((canvas.viewport.start / canvas.viewport.span * canvas.layout.plot_width + canvas.x0) * ratio)
        image = _stack_image(canvas, list(busy), heights, tall, first_column)
        canvas.painter.drawImage(QPointF(canvas.left + canvas.x0, y), image)
    else:
        _stack_rectangles(canvas, list(busy), heights, y + height)


def _stack_image(canvas: Canvas, states: list[int], heights: Ints, tall: int, first_column: int) -> QImage:
    columns = heights.shape[1]
    from_bottom = np.arange(tall)[::-1, None]
    which = np.zeros((tall, columns), np.uint8)
    for top in np.cumsum(heights, axis=0):
        which += from_bottom >= top
    styles = [STYLES[state] for state in states]
    fills = [colour(canvas.palette.role(style.role)).rgba() for style in styles]
    pixels = np.array([*fills, 0], np.uint32)[which]
    if any(style.hatched for style in styles):
        lines = [colour(canvas.palette.waiting_hatch).rgba() if style.hatched else fill for style, fill in zip(styles, fills, strict=True)]
        pitch = round(HATCH_PX * canvas.ratio)
        across = (np.arange(columns)[None, :] + first_column + np.arange(tall)[:, None]) % pitch < max(round(canvas.ratio), 1)
        pixels[across] = np.array([*lines, 0], np.uint32)[which[across]]
    image = QImage(pixels.data, columns, tall, columns * 4, QImage.Format.Format_ARGB32_Premultiplied).copy()
    image.setDevicePixelRatio(canvas.ratio)
    return image


def _stack_rectangles(canvas: Canvas, states: list[int], heights: Ints, bottom: float) -> None:
    """For vector formats: neighbouring columns of equal height become one rectangle."""
    low = np.zeros(heights.shape[1], np.int64)
    x = canvas.left + canvas.x0
    for state, part in zip(states, heights, strict=True):
        high = low + part
        changes = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
        starts = np.concatenate(([0], changes))
        ends = np.concatenate((changes, [len(low)]))
        style = STYLES[state]
        boxes = [
            QRectF(x + start, bottom - high[start], end - start, part[start])
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            if part[start]
        ]
        canvas.painter.setPen(Qt.PenStyle.NoPen)
        canvas.painter.setBrush(colour(canvas.palette.role(style.role)))
        canvas.painter.drawRects(boxes)
        if style.hatched:
            canvas.hatch([box for box in boxes if box.width() >= 2], canvas.palette.waiting_hatch)
        low = high


def _mark_outliers(canvas: Canvas, index: TrackIndex, states: list[int], y: float) -> None:
    """A notch above each column that hides a span much longer than its state usually takes."""
    start_ns, end_ns = canvas.part_ns
    boxes = []
    for state in states:
        rows = index.outliers(state, start_ns, end_ns, most=canvas.x1 - canvas.x0)
        if not len(rows):
            continue
        # what is wide enough to be seen by itself needs no mark
        hidden = index.end_ns[rows] - index.start_ns[rows] < 3 * canvas.viewport.span / canvas.layout.plot_width
        boxes += [QRectF(x, y - 2, 2, 3) for x in np.unique(canvas.x_of(index.start_ns[rows[hidden]])).tolist()]
    if boxes:
        canvas.painter.setPen(Qt.PenStyle.NoPen)
        canvas.painter.setBrush(colour(canvas.palette.text))
        canvas.painter.drawRects(boxes)


def _paint_open(canvas: Canvas, lane: str, kind: str, y: float, height: float) -> None:
    """Spans that have not ended, up to the newest record; their right edge is left ragged by a lighter end."""
    newest = canvas.scene.trace.newest_ns
    for span in canvas.scene.open_spans(lane):
        level = level_in(kind, span.state)
        if level is None:
            continue
        low, high = canvas.x_of(np.array([span.start_ns, max(newest, span.start_ns)], np.int64)).tolist()
        low, high = max(low, canvas.left - 20.0), min(high, canvas.left + canvas.layout.plot_width + 20.0)
        if high - low < 1 / canvas.ratio:
            continue
        part = max(round(height * _LEVEL_PART[min(level, len(_LEVEL_PART) - 1)]), 3)
        box = QRectF(low, y + height - part, high - low, part)
        style = STYLES[span.state]
        canvas.painter.setOpacity(0.55)
        canvas.painter.fillRect(box, colour(canvas.palette.role(style.role)))
        canvas.painter.setOpacity(1.0)
        if style.hatched:
            canvas.hatch([box], canvas.palette.waiting_hatch)
