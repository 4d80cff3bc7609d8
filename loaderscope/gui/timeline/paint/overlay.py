"""Paints the overlay, which changes with the mouse: crosshair, lit batch, measured range, hover card."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from loaderscope.facts.lanes import lane_kind
from loaderscope.facts.run import Mark
from loaderscope.facts.text import duration_ns_text, share_text
from loaderscope.gui.timeline.data.hover_card import Card, Pointer
from loaderscope.gui.timeline.data.range_statistics import RangeSurvey
from loaderscope.gui.timeline.data.row_layout import MINIMAP_PX, PlacedRow
from loaderscope.gui.timeline.data.scene import Row, Scene, drawn_states
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.span_search import Search
from loaderscope.gui.timeline.data.state_styles import STYLES
from loaderscope.gui.timeline.paint import plots
from loaderscope.gui.timeline.paint.annotations import paint_hits, paint_marks
from loaderscope.gui.timeline.paint.arrows import LateArrows, paint_arrows
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.places import ShownPlaces, paint_places

_PAD = 10.0
_LINE_PX = 17.0
_BESIDE_PX = 16.0


@dataclasses.dataclass
class OverlayContent:
    """What the overlay of a timeline shows.

    Attributes:
        dragging: the mouse moves with a button held, which hides the hover card.
        current_mark: the mark that the user set or went to last.
        search: the current search; None for none.
        places: where the selected finding shows; None for none.
    """

    pointer: Pointer | None = None
    selected: SpanRef | None = None
    measured: RangeSurvey | None = None
    dragging: bool = False
    marks: tuple[Mark, ...] = ()
    current_mark: Mark | None = None
    search: Search | None = None
    arrows: LateArrows | None = None
    places: ShownPlaces | None = None


def paint_overlay(canvas: Canvas, content: OverlayContent, *, focused: bool) -> None:
    """Paints the overlay over a timeline that was painted with the same scene, viewport and layout."""
    pointer, measured, dragging = content.pointer, content.measured, content.dragging
    painter, layout = canvas.painter, canvas.layout
    painter.save()
    _paint_window_on_minimap(canvas)
    area = QRectF(canvas.left, layout.axis_y, layout.plot_width + 8, layout.height - layout.axis_y)
    painter.setClipRect(area)
    if measured is not None:
        _paint_measured(canvas, measured)
    if content.places is not None:
        paint_places(canvas, content.places)
    paint_marks(canvas, content.marks, content.current_mark)
    painter.setClipRect(area.adjusted(0, layout.header_height - layout.axis_y, 0, 0))
    if content.search is not None:
        paint_hits(canvas, content.search)
    if content.arrows is not None:
        paint_arrows(canvas, content.arrows, content.selected, pointer.span if pointer is not None else None)
    if pointer is not None and pointer.lit:
        for span in pointer.lit:
            _paint_outline(canvas, span, canvas.palette.text, 1.6)
    if content.selected is not None:
        _paint_outline(canvas, content.selected, canvas.palette.accent, 2.0)
    painter.setClipping(False)
    if pointer is not None and not dragging and pointer.y >= layout.axis_y:
        _paint_crosshair(canvas, pointer)
    if measured is not None and not (pointer is not None and pointer.card and not dragging):
        _paint_measured_card(canvas, measured)
    elif pointer is not None and pointer.card is not None and not dragging:
        width = _card_size(canvas, pointer.card)[0]
        left = pointer.x + _BESIDE_PX
        _paint_card(canvas, pointer.card, left if left + width < layout.width - 4 else max(pointer.x - 16 - width, 4.0), pointer.y)
    if focused:
        painter.setPen(QPen(colour(canvas.palette.accent), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(QRectF(0.5, 0.5, layout.width - 1, layout.height - 1))
    painter.restore()


def _paint_outline(canvas: Canvas, span: SpanRef, value: str, width: float) -> None:
    box = canvas.span_box(span)
    if box is None:
        return
    canvas.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    canvas.painter.setPen(QPen(colour(value), width))
    canvas.painter.setBrush(Qt.BrushStyle.NoBrush)
    canvas.painter.drawRect(box.adjusted(-0.5, -0.5, 0.5 if box.width() > 3 else 1.5, 0.5))
    canvas.painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


def _paint_window_on_minimap(canvas: Canvas) -> None:
    """Paints the visible range on the minimap."""
    layout, extent = canvas.layout, canvas.scene.extent
    if not layout.minimap_px:
        return
    low = max(extent.x_of(canvas.viewport.start, layout.plot_width), 0.0)
    high = min(extent.x_of(canvas.viewport.end, layout.plot_width), float(layout.plot_width))
    if high - low >= layout.plot_width - 1:
        return
    box = QRectF(canvas.left + low, layout.minimap_y + 1, max(high - low, 3.0), MINIMAP_PX - 4)
    fill = QColor(colour(canvas.palette.accent))
    fill.setAlphaF(0.18)
    canvas.painter.fillRect(box, fill)
    canvas.painter.setPen(QPen(colour(canvas.palette.accent), 1))
    canvas.painter.setBrush(Qt.BrushStyle.NoBrush)
    canvas.painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))


def _paint_crosshair(canvas: Canvas, pointer: Pointer) -> None:
    layout, palette, painter = canvas.layout, canvas.palette, canvas.painter
    if not canvas.left <= pointer.x <= canvas.left + layout.plot_width:
        return
    x = round(pointer.x) + 0.5
    painter.setPen(QPen(colour(palette.crosshair), 1, Qt.PenStyle.DashLine))
    painter.drawLine(QPointF(x, layout.header_height), QPointF(x, layout.height))
    time = canvas.viewport.time_at(pointer.x - canvas.left, layout.plot_width)
    if layout.axis_px:
        _paint_tag(canvas, duration_ns_text(time - (canvas.scene.axis_zero or 0.0)), x, layout.header_height - 17.0)
    moment = canvas.scene.origin_ns + round(time)
    painter.setClipRect(QRectF(canvas.left, layout.header_height, layout.plot_width, layout.height - layout.header_height))
    for placed in layout.rows:
        if placed.row.kind in ("plot", "group"):
            _paint_readings(canvas, placed, moment, x)
    painter.setClipping(False)


def _paint_readings(canvas: Canvas, placed: PlacedRow, moment: int, x: float) -> None:
    """Paints the values of a plot under the crosshair as dots and a text; for a group of lanes, how many lanes are in each state."""
    if placed.row.kind == "group":
        words = group_states_text(canvas.scene, placed.row, moment)
        readings = plots.Readings((), words) if words else None
    else:
        readings = plots.readings(canvas, placed, moment)
    if not readings:
        return
    painter, palette = canvas.painter, canvas.palette
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    for value, y in readings.dots:
        painter.setBrush(colour(value))
        painter.drawEllipse(QPointF(x, y), 2.6, 2.6)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    advance = canvas.small_font.advance(readings.text) + 8
    at = x + 7 if x + 7 + advance < canvas.left + canvas.layout.plot_width else x - 7 - advance
    box = QRectF(at, canvas.top + placed.bar_y + 1, advance, 14)
    ground = QColor(colour(palette.card))
    ground.setAlphaF(0.88)
    painter.fillRect(box, ground)
    canvas.text(box.adjusted(4, 0, 0, 0), readings.text, palette.text, canvas.small_font)


def group_states_text(scene: Scene, row: Row, moment_ns: int) -> str:
    """Says how many lanes of a group are in each state at a moment, e.g. `9 fetch   1 collate   2 idle`; "" outside the trace."""
    if not scene.origin_ns <= moment_ns <= scene.trace.end_ns:
        return ""
    lanes_in: Counter[int] = Counter()
    for lane in row.lanes:
        for index in scene.tracks(lane):
            if not index.is_at_hand(moment_ns, moment_ns + 1):
                return ""
            at = index.row_at(moment_ns)
            state = -1 if at is None else int(index.part(at, at + 1).state[0])
            if state in drawn_states(index.states, row.lane_kind, 0):
                lanes_in[state] += 1
                break
    idle = len(row.lanes) - lanes_in.total()
    parts = [f"{lanes_in[state]} {style.title}" for state, style in STYLES.items() if lanes_in[state]]
    return "   ".join([*parts, *([f"{idle} idle"] if idle else [])])


def _paint_tag(canvas: Canvas, text: str, x: float, y: float) -> None:
    """Paints a small label on the axis."""
    advance = canvas.small_font.advance(text) + 10
    left = min(max(x - advance / 2, canvas.left), canvas.left + canvas.layout.plot_width - advance)
    box = QRectF(left, y, advance, 15)
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    canvas.painter.setBrush(colour(canvas.palette.crosshair))
    canvas.painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    canvas.painter.drawRoundedRect(box, 3, 3)
    canvas.painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    canvas.text(box, text, canvas.palette.accent_text, canvas.small_font, Qt.AlignmentFlag.AlignHCenter)


def _paint_measured(canvas: Canvas, measured: RangeSurvey) -> None:
    left, right = canvas.x_of(np.array([measured.start_ns, measured.end_ns], np.int64)).tolist()
    left, right = max(left, canvas.left - 10.0), min(right, canvas.left + canvas.layout.plot_width + 10.0)
    if right < left:
        return
    fill = QColor(colour(canvas.palette.accent))
    fill.setAlphaF(0.14)
    top, height = float(canvas.layout.axis_y), float(canvas.layout.height - canvas.layout.axis_y)
    canvas.painter.fillRect(QRectF(left, top, right - left, height), fill)
    for x in (left, right):
        canvas.fill(x, top, 1, height, canvas.palette.accent)


def _paint_measured_card(canvas: Canvas, measured: RangeSurvey) -> None:
    """Paints a card with the busy share of each lane in the measured range."""
    lines = []
    for placed in canvas.layout.rows:
        row = placed.row
        if row.kind != "lane":
            continue
        states = [item for item in measured.states if item.lane == row.lanes[0]]
        kind = lane_kind(row.lane_kind)
        total = sum(item.share for item in states if item.state in kind.busy_states)
        parts = ", ".join(f"{item.word} {share_text(item.share)}" for item in states if item.share >= 0.005)
        lines.append((row.full_label, f"{kind.busy_word} {share_text(total)}", parts if len(parts) < 70 else "", False))
    if len(lines) > 14:
        lines = [*lines[:13], (f"and {len(lines) - 13} more", "", "", False)]
    title = f"{duration_ns_text(measured.duration_ns)} measured"
    card = Card(title, tuple(lines))
    layout = canvas.layout
    left, right = canvas.x_of(np.array([measured.start_ns, measured.end_ns], np.int64)).tolist()
    width = _card_size(canvas, card)[0] + _BESIDE_PX
    if right + width <= layout.width:
        _paint_card(canvas, card, max(right, float(canvas.left)) + _BESIDE_PX)
    elif left - width >= 4:
        _paint_card(canvas, card, min(left, float(layout.width)) - width)
    else:
        # no card may cover the measured range, so only its duration is painted; the Selection tab has the rest
        _paint_tag(canvas, title, min(max((left + right) / 2, canvas.left), layout.width), layout.axis_y + 1)


def _card_size(canvas: Canvas, card: Card) -> tuple[float, float, float]:
    """Returns width and height of a card, and the width of its names."""
    label = canvas.label_font
    names = max((label.advance(line[0]) for line in card.lines), default=0.0) + 16
    values = max((label.advance(line[1] + ("   " + line[2] if line[2] else "")) for line in card.lines), default=0.0)
    width = max(names + values, canvas.bold_font.advance(card.title)) + 2 * _PAD + 4
    return min(width, canvas.layout.width - 16.0), (len(card.lines) + 1) * _LINE_PX + 2 * _PAD - 1, names


def _paint_card(canvas: Canvas, card: Card, left: float, y: float = 0.0) -> None:
    """Paints a card with its left edge at `left`, a little below `y`, inside the widget."""
    painter, palette, layout = canvas.painter, canvas.palette, canvas.layout
    label, bold = canvas.label_font, canvas.bold_font
    width, height, names = _card_size(canvas, card)
    top = min(max(y + 14, layout.header_height + 4.0), max(layout.height - height - 4, 2.0))
    box = QRectF(round(left) + 0.5, round(top) + 0.5, width, height)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    shadow = QColor(0, 0, 0, 40)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(shadow)
    painter.drawRoundedRect(box.adjusted(-1, 1, 2, 4), 6, 6)
    painter.setPen(QPen(colour(palette.border), 1))
    painter.setBrush(colour(palette.card))
    painter.drawRoundedRect(box, 5, 5)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    inner = box.adjusted(_PAD, _PAD - 2, -_PAD, 0)
    canvas.text(QRectF(inner.left(), inner.top(), inner.width(), _LINE_PX), card.title, palette.text, bold)
    for number, (name, value, remark, alarm) in enumerate(card.lines, start=1):
        y = inner.top() + number * _LINE_PX + 2
        canvas.text(QRectF(inner.left(), y, names, _LINE_PX), name, palette.muted, canvas.label_font)
        at = inner.left() + names
        canvas.text(QRectF(at, y, inner.right() - at, _LINE_PX), value, palette.error if alarm else palette.text, canvas.label_font)
        at += label.advance(value + "   ")
        if remark and at < inner.right():
            canvas.text(QRectF(at, y, inner.right() - at, _LINE_PX), remark, palette.muted, canvas.label_font)
