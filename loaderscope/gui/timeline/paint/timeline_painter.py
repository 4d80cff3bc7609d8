"""The one function that paints a timeline, for the screen, PNG, SVG and PDF alike."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter

from loaderscope.facts.lanes import lane_kind
from loaderscope.facts.run import Mark
from loaderscope.facts.text import count_text, duration_ns_text, duration_text, share_text
from loaderscope.gui.style.palette import Palette
from loaderscope.gui.timeline.data import time_axis
from loaderscope.gui.timeline.data.row_layout import EXPOSED_PX, MINIMAP_PX, TITLE_PX, Layout, PlacedRow
from loaderscope.gui.timeline.data.scene import Scene, busy_share
from loaderscope.gui.timeline.data.viewport import Viewport
from loaderscope.gui.timeline.paint import lane_painter, plots
from loaderscope.gui.timeline.paint.annotations import (
    paint_marks,
    paint_optimizer_steps,
    paint_profiler_start,
    paint_thinned,
    paint_thinned_names,
)
from loaderscope.gui.timeline.paint.arrows import LateArrows, paint_arrows
from loaderscope.gui.timeline.paint.canvas import Canvas, colour
from loaderscope.gui.timeline.paint.places import ShownPlaces, paint_places

OVERVIEW_STALE_SHARE = 0.02
"""The minimap of a growing trial is computed again each time the trial has grown by this share of the minimap's range."""

AXIS_WORDS = "since first batch"
"""The text left of an axis of several trials."""

EMPTY_TITLE = "No trial yet"
EMPTY_TEXT = "With a script open, press Start or Record: every worker, the main process and the GPU then appear here while they run."
PREPARING_TEXT = "Every span is looked through once; the window stays usable meanwhile."
UNSHOWN_TITLE = "The trace could not be shown; the terminal tells why."
WAITING_TEXT = "The trial has started; its first events appear as soon as its processes write them."

IDLE_TEXT = "nothing in sight"
"""Stands in the row of a folded loader in place of its spans."""

_OVERHANG_PX = 8.0
"""The last label of the axis may reach this far beyond the plots."""


def paint(
    painter: QPainter,
    scene: Scene | None,
    viewport: Viewport,
    layout: Layout,
    palette: Palette,
    *,
    scroll_y: int = 0,
    arrows: LateArrows | None = None,
    marks: Sequence[Mark] = (),
    places: ShownPlaces | None = None,
) -> None:
    """Paints a whole timeline, with marks, arrows and places of a finding, and without what follows the mouse.

    Args:
        painter: open on any device; its font sets the family.
        scene: the scene to show; None for no trial.
        viewport: the visible range.
        layout: the places of rows.
        palette: the colours.
        scroll_y: how far the rows are scrolled, logical pixels.
        arrows: the arrows of the costliest waits; None for none.
        marks: the user's marks.
        places: where a finding shows; None for none.
    """
    if scene is None or scene.is_empty:
        paint_empty(painter, scene, layout, palette)
        return
    canvas = Canvas(painter, scene, viewport, layout, palette, scroll_y)
    scene.read(*canvas.view_ns)
    canvas.fill(0, 0, layout.width, layout.height, palette.base)
    paint_header(canvas)
    paint_axis(canvas)
    paint_plot_area(canvas)
    paint_reasons(canvas)
    paint_scales(canvas)
    if places is not None:
        paint_places(canvas, places)
    paint_marks(canvas, marks, None)
    if arrows is not None:
        paint_arrows(canvas, arrows)
    paint_labels(canvas)


def paint_header(canvas: Canvas) -> None:
    """Paints title, legend and minimap."""
    _paint_title(canvas)
    if canvas.layout.minimap_px:
        _paint_minimap(canvas)
    if canvas.layout.exposed_y is not None:
        paint_exposed(canvas)


def overview_columns(layout: Layout) -> int:
    """Returns the number of parts into which the minimap divides the trial."""
    return max(layout.plot_width // 3, 1)


def paint_axis(canvas: Canvas) -> None:
    """Paints the axis. Its labels depend on the whole view."""
    layout = canvas.layout
    if not layout.axis_px:
        return
    marks = _ticks(canvas)
    _paint_axis_words(canvas, marks)
    canvas.painter.save()
    canvas.painter.setClipRect(QRectF(canvas.left, layout.axis_y, layout.plot_width + _OVERHANG_PX, layout.axis_px))
    _paint_axis(canvas, marks)
    canvas.painter.restore()


def paint_plot_area(canvas: Canvas) -> tuple[bool, ...]:
    """Paints the columns x0 to x1 of a canvas: everything that a pan moves.

    Returns:
        For each strip whether its spans were painted one by one. If that changes, the whole strip looks different.
    """
    painter, layout, palette = canvas.painter, canvas.layout, canvas.palette
    painter.save()
    left, width = canvas.left + canvas.x0, canvas.x1 - canvas.x0
    are_exact: list[bool] = []
    painter.setClipRect(QRectF(left, layout.header_height, width, layout.height - layout.header_height))
    paint_thinned(canvas)
    for time in _grid_times(canvas, _ticks(canvas)):
        x = canvas.pixel_at(time)
        canvas.line(x, layout.header_height, x, layout.height, palette.grid)
    for x in canvas.x_of(canvas.scene.epoch_starts_ns()).tolist():
        canvas.line(x, layout.header_height, x, layout.height, palette.border)
    if canvas.scene.axis_zero is not None:
        x = canvas.pixel_at(canvas.scene.axis_zero)
        canvas.line(x, layout.header_height, x, layout.height, palette.muted)
    for band, visible in bands(canvas, left, width):
        painter.setClipRect(band)
        for y in layout.rules:
            canvas.line(left, canvas.top + y, left + width, canvas.top + y, palette.border)
        with_spans = [placed for placed in visible if placed.row.is_folded or placed.row.kind in ("lane", "group", "flight")]
        are_exact += lane_painter.paint_spans(canvas, with_spans)
        for placed in visible:
            if placed.row.kind == "plot":
                plots.paint_plot(canvas, placed)
            elif placed.row.kind == "lane" and placed.row.lane_kind == "main":
                paint_profiler_start(canvas, placed)
                paint_optimizer_steps(canvas, placed)
    painter.restore()
    return tuple(are_exact)


def paint_scales(canvas: Canvas) -> None:
    """Paints what stays in its place during a pan: scales of plots, names of thinned ranges, and what loaders gave and cost."""
    canvas.painter.save()
    for band, visible in bands(canvas, canvas.left, canvas.layout.plot_width):
        canvas.painter.setClipRect(band)
        for placed in visible:
            if placed.row.kind == "plot":
                plots.paint_scale(canvas, placed)
            elif placed.row.kind == "title":
                _paint_loader_use(canvas, placed)
            elif placed.row.lane_kind == "main":
                paint_thinned_names(canvas, placed)
    canvas.painter.restore()


def paint_reasons(canvas: Canvas) -> None:
    """Paints the rows of text: a reason instead of a plot, the title of a loader. A pan does not move them."""
    left, width = canvas.left, canvas.layout.plot_width
    canvas.painter.save()
    for band, visible in bands(canvas, left, width):
        canvas.painter.setClipRect(band)
        for placed in visible:
            if placed.row.is_text:
                canvas.fill(left, canvas.top + placed.y + 1, width, placed.height - 1, canvas.palette.base)
                _paint_row_text(canvas, placed)
    canvas.painter.restore()


def paint_labels(canvas: Canvas, painted: dict[str, str] | None = None, turn: int = 0, turns: int = 1) -> None:
    """Paints the label column, which a pan does not move.

    Args:
        canvas: a canvas of the whole timeline.
        painted: by row, the second line of the painted label. The function skips labels with the same line, and updates it.
        turn: with several turns, paints only the rows of this turn.
        turns: number of turns.
    """
    painted = {} if painted is None else painted
    painter, layout, palette = canvas.painter, canvas.layout, canvas.palette
    painter.save()
    if not canvas.is_raster:
        # the SVG generator does not clip, so this covers lines of plots that come from outside
        canvas.fill(0, layout.header_height, canvas.left, layout.height - layout.header_height, palette.base)
        right = canvas.left + layout.plot_width
        canvas.fill(right, layout.header_height, layout.width - right, layout.height - layout.header_height, palette.base)
    for band, visible in bands(canvas, 0, canvas.left):
        painter.setClipRect(band)
        for y in layout.rules:
            canvas.line(0, canvas.top + y, canvas.left, canvas.top + y, palette.border)
        for placed in visible[turn % turns :: turns]:
            second = second_line(canvas, placed)
            if painted.get(placed.row.key) != second:
                painted[placed.row.key] = second
                _paint_label(canvas, placed, second)
    painter.restore()


def _paint_label(canvas: Canvas, placed: PlacedRow, second: str) -> None:
    palette = canvas.palette
    y = canvas.top + placed.y
    canvas.fill(0, y, canvas.left, placed.height, palette.base)
    width = canvas.left - 18.0
    if placed.row.kind == "title":
        _paint_loader_title(canvas, placed)
        return
    middle = y + placed.height / 2
    if placed.chevron:
        _paint_chevron(canvas, placed.chevron, middle - (7 if placed.has_two_lines and second else 0))
    if placed.has_two_lines and second:
        canvas.text(QRectF(10, middle - 14, width, 14), placed.row.label, palette.text, canvas.label_font)
        canvas.text(QRectF(10, middle - 1, width, 13), second, palette.muted, canvas.small_font)
        return
    canvas.text(QRectF(10, y, width, placed.height), placed.row.label, palette.text, canvas.label_font)
    taken = canvas.label_font.advance(placed.row.label) + 6
    short = second.rpartition(" ")[0].rpartition(" ")[2] + " %" if second.endswith("%") else second
    if second and width - taken > 20:
        box = QRectF(10 + taken, y, width - taken, placed.height)
        canvas.text(box, short, palette.muted, canvas.small_font, Qt.AlignmentFlag.AlignRight)


def _paint_chevron(canvas: Canvas, chevron: str, middle: float) -> None:
    """Paints a chevron that points down while the lanes are expanded, and right while one row stands for them."""
    places = ((2, -1.5), (8, -1.5), (5, 2.5)) if chevron == "open" else ((3, -3), (7, 0), (3, 3))
    painter = canvas.painter
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(colour(canvas.palette.muted))
    painter.drawPolygon([QPointF(x, middle + y) for x, y in places])
    painter.restore()


def second_line(canvas: Canvas, placed: PlacedRow) -> str:
    """Returns the text of a label below the name, about the visible range."""
    row = placed.row
    if row.kind == "plot":
        return plots.summary(canvas, placed)
    if row.kind == "flight":
        return f"{len(row.lanes)} slots" if len(row.lanes) > 1 else "1 slot"
    if row.is_text or row.is_folded:
        return ""
    kind = lane_kind(row.lane_kind)
    start, end = canvas.view_ns
    end = min(end, canvas.scene.trace.end_ns)
    start = max(start, canvas.scene.origin_ns)
    if end <= start:
        return ""
    shares = [busy_share(canvas.scene, lane, kind.busy_states, start, end) for lane in row.lanes]
    return f"{kind.busy_word} {share_text(sum(shares) / len(shares))}"


def bands(canvas: Canvas, left: float, width: float) -> list[tuple[QRectF, list[PlacedRow]]]:
    """Returns the band of the scrolling rows and that of the frozen rows: each with its box in the widget and its visible rows."""
    layout, visible = canvas.layout, canvas.layout.visible_rows(canvas.scroll_y)
    top = layout.header_height + layout.frozen_height
    bands = [(QRectF(left, top, width, layout.height - top), [placed for placed in visible if not placed.is_frozen])]
    if layout.frozen_height:
        frozen = QRectF(left, layout.header_height, width, layout.frozen_height)
        bands.append((frozen, [placed for placed in visible if placed.is_frozen]))
    return bands


def _paint_title(canvas: Canvas) -> None:
    """Paints the title on the left and the legend on the right."""
    palette, painter = canvas.palette, canvas.painter
    x = float(canvas.layout.width - 10)
    entries = canvas.scene.legend()
    title_px = canvas.label_font.advance(canvas.scene.title) + 30 + canvas.layout.notice_px
    while entries and x - sum(canvas.label_font.advance(word) + 30 for word, _, _ in entries) - 4 < title_px:
        entries = entries[:-1]  # the most important entries come first
    for word, role, hatched in reversed(entries):
        x -= canvas.label_font.advance(word)
        canvas.text(QRectF(x, 0, canvas.label_font.advance(word) + 2, TITLE_PX), word, palette.muted, canvas.label_font)
        x -= 16
        box = QRectF(x, TITLE_PX / 2 - 5, 10, 10)
        painter.fillRect(box, colour(palette.role(role)))
        if hatched:
            painter.save()
            painter.setClipRect(box)
            full = Canvas(painter, canvas.scene, Viewport(0.0, 1.0), canvas.layout, palette)
            full.x0 = -canvas.left
            full.hatch([box], palette.waiting_hatch)
            painter.restore()
        x -= 14
    canvas.text(QRectF(10, 0, max(x - 10, 0), TITLE_PX), canvas.scene.title, palette.text, canvas.label_font)


def _paint_minimap(canvas: Canvas) -> None:
    """Paints how busy the workers were over the whole trial."""
    palette, layout = canvas.palette, canvas.layout
    whole = "training" if any(row.kind == "title" for row in canvas.scene.rows) else "trial"
    words = f"{whole} so far" if canvas.scene.is_live else f"whole {whole}"
    canvas.text(QRectF(10, layout.minimap_y, canvas.left - 18, MINIMAP_PX), words, palette.muted, canvas.small_font)
    bars = canvas.scene.overview(overview_columns(layout), OVERVIEW_STALE_SHARE)
    # with many idle workers only the shape is of interest, so the fullest part sets the scale
    tall = (MINIMAP_PX - 6) / max(float(bars.max()), 0.05)
    width = layout.plot_width / len(bars)
    overlap = 0.0 if canvas.is_raster else 0.4
    bottom = layout.minimap_y + MINIMAP_PX - 3
    boxes = [
        QRectF(canvas.left + number * width, bottom - max(value * tall, 0.5), width + overlap, max(value * tall, 0.5))
        for number, value in enumerate(bars.tolist())
        if value > 0
    ]
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    canvas.painter.setBrush(colour(palette.fetch))
    canvas.painter.setOpacity(0.6)
    canvas.painter.drawRects(boxes)
    canvas.painter.setOpacity(1.0)
    canvas.line(canvas.left, bottom, canvas.left + layout.plot_width, bottom, palette.border)


def _grid_times(canvas: Canvas, marks: time_axis.Ticks) -> list[float]:
    """Returns the times of vertical lines: the labelled ticks. On a raster, which clips, also the ticks beside the view, as a line may be
    wider than a device pixel.
    """
    times = [tick.time for tick in marks.major]
    if len(times) < 2 or not canvas.is_raster:
        return times
    step, (first, last) = times[1] - times[0], canvas.part
    before, after = max(math.ceil((times[0] - first) / step), 1), max(math.ceil((last - times[-1]) / step), 1)
    return [
        *(times[0] - number * step for number in range(1, before + 1)),
        *times,
        *(times[-1] + number * step for number in range(1, after + 1)),
    ]


def _ticks(canvas: Canvas) -> time_axis.Ticks:
    """Returns the ticks of the axis, with labels that count from its zero."""
    zero = canvas.scene.axis_zero or 0.0
    marks = time_axis.ticks(canvas.viewport.start - zero, canvas.viewport.span, canvas.layout.plot_width)
    if not zero:
        return marks
    major = tuple(dataclasses.replace(tick, time=tick.time + zero) for tick in marks.major)
    return dataclasses.replace(marks, major=major, minor=tuple(time + zero for time in marks.minor))


def _paint_axis_words(canvas: Canvas, marks: time_axis.Ticks) -> None:
    """Paints the text left of the axis: the full time to which its labels are relative, or the moment from which they count."""
    words = marks.base.label if marks.base is not None else "" if canvas.scene.axis_zero is None else AXIS_WORDS
    box = QRectF(10, canvas.layout.axis_y, canvas.left - 14, canvas.layout.axis_px - 5)
    canvas.fill(0, box.top(), canvas.left, canvas.layout.axis_px, canvas.palette.base)
    canvas.text(box, words, canvas.palette.muted, canvas.small_font)


def _paint_axis(canvas: Canvas, marks: time_axis.Ticks) -> None:
    palette, layout = canvas.palette, canvas.layout
    bottom, right = layout.header_height, canvas.left + layout.plot_width
    view = canvas.viewport
    minor = (canvas.left + np.floor((np.array(marks.minor) - view.start) / view.span * layout.plot_width + 0.5)).tolist()
    canvas.fill_boxes([QRectF(x, bottom - 3, 1, 3) for x in minor if canvas.left <= x < right], palette.border)
    places = [canvas.pixel_at(tick.time) for tick in marks.major]
    canvas.fill_boxes([QRectF(x, bottom - 5, 1, 5) for x in places], palette.muted)
    font = canvas.small_font
    canvas.painter.setFont(font.font)
    canvas.painter.setPen(colour(palette.muted))
    for x, tick in zip(places, marks.major, strict=True):
        advance = font.advance(tick.label)
        at = min(max(x - advance / 2 - 1, canvas.left - 1.0), right + _OVERHANG_PX - advance - 2)
        canvas.write(at + 1, layout.axis_y, bottom - layout.axis_y - 5, tick.label, font)


def exposed_words(scene: Scene) -> str:
    """Returns how much exposed loading time there was so far; "" if it cannot be told (yet)."""
    exposed = scene.exposed()
    # no share: the timeline begins later than the training, whose share is told
    return f"exposed {duration_text(exposed.seconds)}" if exposed is not None else ""


def paint_exposed(canvas: Canvas) -> None:
    """Paints below the minimap how much of each moment was exposed loading time, and beside it how much that is so far."""
    exposed, layout, palette = canvas.scene.exposed(), canvas.layout, canvas.palette
    top = layout.exposed_y
    if exposed is None or top is None:
        return
    canvas.fill(0, top, layout.width, EXPOSED_PX, palette.base)
    canvas.text(QRectF(10, top, canvas.left - 18, EXPOSED_PX), exposed_words(canvas.scene), palette.muted, canvas.small_font)
    columns = overview_columns(layout)
    shares = exposed.shares_between(canvas.scene.extent.edges_ns(columns, 0))
    width, tall, bottom = layout.plot_width / columns, EXPOSED_PX - 3, top + EXPOSED_PX - 1
    boxes = [
        QRectF(canvas.left + number * width, bottom - max(share * tall, 1.0), width, max(share * tall, 1.0))
        for number, share in enumerate(shares.tolist())
        if share > 0.005
    ]
    canvas.painter.setPen(Qt.PenStyle.NoPen)
    canvas.painter.setBrush(colour(palette.warning))
    canvas.painter.drawRects(boxes)


def _paint_loader_title(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints the name of a loader. It begins in the column of labels, and reaches into the plot area unless spans are drawn there."""
    y, right = canvas.top + placed.y, canvas.left - 4 if placed.row.is_folded else canvas.left + canvas.layout.plot_width
    if placed.chevron:
        _paint_chevron(canvas, placed.chevron, y + placed.height / 2)
    canvas.text(QRectF(10, y, right - 10, placed.height), placed.row.label, canvas.palette.text, canvas.bold_font)


def _paint_loader_use(canvas: Canvas, placed: PlacedRow) -> None:
    """Paints beside the name of a loader its process, and at the right what it gave and cost; of a folded one only if it idles in sight."""
    row, font, palette = placed.row, canvas.label_font, canvas.palette
    if row.is_folded and canvas.scene.is_loader_active(row.loader, *canvas.view_ns):
        return
    beside = " · ".join(filter(None, (row.text, IDLE_TEXT if row.is_folded else "")))
    x = max(canvas.left + 4.0, 0.0 if row.is_folded else 22 + canvas.bold_font.advance(row.label))
    box = QRectF(x, canvas.top + placed.y, max(canvas.left + canvas.layout.plot_width - 4 - x, 0), placed.height)
    canvas.text(box, beside, palette.muted, font)
    use = canvas.scene.use_of_loader(row.loader)
    words = [count_text(use.batches, "batch")] if use.batches else []
    words += [f"waited {duration_ns_text(use.waited_ns)}"] if use.waited_ns else []
    box.setLeft(x + font.advance(beside) + 12)
    if box.width() > 0:
        canvas.text(box, " · ".join(words), palette.muted, font, Qt.AlignmentFlag.AlignRight)


def _paint_row_text(canvas: Canvas, placed: PlacedRow) -> None:
    if placed.row.kind == "title":
        _paint_loader_title(canvas, placed)
        return
    box = QRectF(canvas.left + 2, canvas.top + placed.y, canvas.layout.plot_width - 4, placed.height)
    text = placed.row.text if placed.row.text.lower().startswith("not available") else f"not available – {placed.row.text}"
    canvas.text(box, text, canvas.palette.muted, canvas.label_font)


def paint_empty(painter: QPainter, scene: Scene | None, layout: Layout, palette: Palette) -> None:
    """Paints a message for a missing or empty scene."""
    painter.fillRect(QRectF(0, 0, layout.width, layout.height), colour(palette.base))
    if scene is None:
        paint_message(painter, layout, palette, EMPTY_TITLE, EMPTY_TEXT)
    else:
        paint_message(painter, layout, palette, scene.title or "Starting", WAITING_TEXT)


def paint_message(painter: QPainter, layout: Layout, palette: Palette, title: str, text: str) -> None:
    """Paints a title and a text in place of a timeline."""
    font = painter.font()
    font.setPixelSize(15)
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(colour(palette.text))
    middle = layout.height / 2
    centre = int(Qt.AlignmentFlag.AlignHCenter)
    painter.drawText(QRectF(20, middle - 44, layout.width - 40, 24), centre, title)
    font.setPixelSize(12)
    font.setBold(False)
    painter.setFont(font)
    painter.setPen(colour(palette.muted))
    box = QRectF(max(layout.width / 2 - 260, 20), middle - 12, min(520, layout.width - 40), 60)
    painter.drawText(box, centre | int(Qt.TextFlag.TextWordWrap), text)


def viewport_of(scene: Scene | None, start_ns: int | None = None, end_ns: int | None = None) -> Viewport:
    """Returns a viewport for a range of absolute times, or for the whole trial."""
    if scene is None or scene.is_empty:
        return Viewport(0.0, 1e9)
    if start_ns is None or end_ns is None:
        return scene.extent
    origin = np.int64(scene.origin_ns)
    return Viewport(float(start_ns - origin), float(max(end_ns - start_ns, 1)))
