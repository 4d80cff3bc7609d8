"""Arrows from a late span of a worker to the end of main's wait for it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QPolygonF

from loaderscope.agent.layout import State
from loaderscope.analysis.late_batches import MAIN, Waits, lane_of, long_waits
from loaderscope.gui.timeline.data import span_query
from loaderscope.gui.timeline.data.level_of_detail import Ints
from loaderscope.gui.timeline.data.row_layout import PlacedRow
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.paint.canvas import Canvas, colour

MOST_ARROWS = 12

_LEAST_PX = 6.0
"""Narrower waits get no arrow until the user zooms in."""

_MOST_SEARCHED = 4096
"""With more late waits than this in sight, only those among the longest waits of the trial can get an arrow."""

_INSIDE_PX = 4.0
_HEAD_PX = 6.0
_DOT_PX = 2.0

ArrowEnds = tuple[float, float, float, float]
"""x and y of the begin of an arrow, and x and y of its tip."""


@dataclasses.dataclass(frozen=True)
class Arrow:
    """An arrow from a moment on a worker's lane to a moment on main's lane, absolute times.

    Attributes:
        loader: the prefix of both lanes in a scene of several loaders; else empty.
    """

    lane: str
    from_ns: int
    to_ns: int
    loader: str = ""

    @property
    def main(self) -> str:
        """The lane at which it points."""
        return self.loader + MAIN


@dataclasses.dataclass(frozen=True)
class _LateWaits:
    """The late waits of one loader.

    Attributes:
        longest: the `_MOST_SEARCHED` longest of all of them.
    """

    all: Waits
    longest: Waits

    def costliest_between(self, start_ns: int, end_ns: int, least_ns: float) -> tuple[Waits, Ints]:
        """Returns waits, and the rows of the `MOST_ARROWS` longest in a range that take at least `least_ns`, longest first."""
        waits = self.all
        first, last = _rows_between(waits, start_ns, end_ns)
        if last - first > _MOST_SEARCHED:
            waits = self.longest
            first, last = _rows_between(waits, start_ns, end_ns)
        duration = waits.end_ns[first:last] - waits.start_ns[first:last]
        rows = np.flatnonzero(duration >= least_ns)
        if len(rows) > MOST_ARROWS:
            rows = rows[np.argpartition(duration[rows], -MOST_ARROWS)[-MOST_ARROWS:]]
        return waits, rows[np.argsort(-duration[rows], kind="stable")] + first


def _late_waits(waits: Waits) -> _LateWaits:
    late = long_waits(waits)
    late = late.pick(np.flatnonzero(late.cause_end_ns >= 0))
    return _LateWaits(late, late.pick(np.sort(late.costliest(_MOST_SEARCHED))))


class LateArrows:
    """The arrows of one timeline: for the costliest waits in sight, unless the user switches them off, and for emphasised spans."""

    def __init__(self) -> None:
        self.shown = True
        self._late: dict[str, _LateWaits] | None = None  # by the prefix of their loader
        self._cached: tuple[SpanRef, int, Arrow | None] | None = None

    @property
    def are_known(self) -> bool:
        """Whether the waits of the trial are known."""
        return self._late is not None

    def set_waits(self, waits: Waits | Mapping[str, Waits] | None) -> None:
        """Takes the explained waits of the trial, of several loaders by their prefixes; None if they are not known (yet)."""
        by_loader = {"": waits} if isinstance(waits, Waits) else waits or {}
        late = {loader: _late_waits(each) for loader, each in by_loader.items() if len(each)}
        self._late = late or None

    def in_sight(self, start_ns: int, end_ns: int, least_ns: float) -> list[Arrow]:
        """Returns the arrows of the costliest late waits in a range that take at least `least_ns`, costliest first."""
        if not self.shown or self._late is None:
            return []
        found: list[tuple[int, Arrow]] = []
        for loader, late in self._late.items():
            waits, rows = late.costliest_between(start_ns, end_ns, least_ns)
            arrows = ((int(waits.duration_ns[row]), _arrow_of(waits, row, loader)) for row in rows.tolist())
            found += [(duration_ns, arrow) for duration_ns, arrow in arrows if arrow is not None]
        found.sort(key=lambda pair: -pair[0])
        return [arrow for _, arrow in found[:MOST_ARROWS]]

    def of_span(self, scene: Scene, span: SpanRef | None) -> Arrow | None:
        """Returns the arrow of a span if it is a wait of main that brought a batch of a worker."""
        if span is None or span.lane != span.loader + MAIN or span.state != State.WAIT or span.batch < 0:
            return None
        if self._cached is None or self._cached[:2] != (span, scene.version):
            self._cached = (span, scene.version, _arrow_of(span_query.explain_wait(scene, span), 0, span.loader))
        return self._cached[2]


def paint_arrows(canvas: Canvas, arrows: LateArrows, *emphasised: SpanRef | None) -> None:
    """Paints the arrows in sight as thin lines, and the arrows of emphasised spans (under the mouse, selected) as strong ones."""
    start_ns, end_ns = canvas.view_ns
    thin = arrows.in_sight(start_ns, end_ns, _LEAST_PX * canvas.viewport.span / canvas.layout.plot_width)
    strong = [arrow for span in emphasised if (arrow := arrows.of_span(canvas.scene, span)) is not None]
    thin = [arrow for arrow in thin if arrow not in strong]
    if not thin and not strong:
        return
    painter, layout, palette = canvas.painter, canvas.layout, canvas.palette
    painter.save()
    painter.setClipRect(QRectF(canvas.left, layout.header_height, layout.plot_width, layout.height - layout.header_height))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _paint_thin(canvas, arrow_ends(canvas, thin))
    ground, ink = colour(palette.base), colour(palette.accent)
    for place in arrow_ends(canvas, strong):
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for pen in (QPen(ground, 4.2), QPen(ink, 2.0)):
            painter.setPen(pen)
            painter.drawPath(_path([place]))
        _paint_ends(painter, [place], ground, 2.2)
        _paint_ends(painter, [place], ink, 1.0)
    painter.restore()


def arrow_ends(canvas: Canvas, arrows: Sequence[Arrow]) -> list[ArrowEnds]:
    """Returns the ends of arrows in the widget; leaves out arrows of lanes that are not visible."""
    rows: dict[str, PlacedRow] = {}
    for placed in canvas.layout.rows:
        if placed.row.kind == "lane" and not canvas.layout.is_covered(placed, canvas.scroll_y):
            rows.update(dict.fromkeys(placed.row.lanes, placed))
    shown = [(arrow, rows[arrow.lane], rows[arrow.main]) for arrow in arrows if arrow.lane in rows and arrow.main in rows]
    if not shown:
        return []
    x = canvas.x_of(np.array([moment for arrow, _, _ in shown for moment in (arrow.from_ns, arrow.to_ns)], np.int64)).tolist()
    ends = []
    for (_, row, main), x0, x1 in zip(shown, x[::2], x[1::2], strict=True):
        upwards = main.y < row.y
        y0 = row.bar_y + (_INSIDE_PX if upwards else row.bar_height - _INSIDE_PX)
        y1 = main.bar_y + (main.bar_height - _INSIDE_PX if upwards else _INSIDE_PX)
        ends.append((x0, canvas.top + y0, x1, canvas.top + y1))
    return ends


def _paint_thin(canvas: Canvas, ends: Sequence[ArrowEnds]) -> None:
    """Paints thin lines with a seam of the background's colour, so that they are visible on any lane."""
    painter, path = canvas.painter, _path(ends)
    ground, ink = QColor(colour(canvas.palette.base)), QColor(colour(canvas.palette.text))
    ground.setAlphaF(0.55)
    ink.setAlphaF(0.8)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    # Qt draws lines of one device pixel ten times as fast as wider ones, so several of them make a line.
    strands = max(round(canvas.ratio), 1) if canvas.is_raster else 1
    shifts = [(number - (strands - 1) / 2) / strands for number in range(strands)]
    seam = (strands + 1) / 2 / strands
    for value, offsets in ((ground, [-seam, seam]), (ink, shifts)):
        pen = QPen(value, 1.0)
        pen.setCosmetic(canvas.is_raster)
        painter.setPen(pen)
        for offset in offsets:
            painter.translate(offset, 0.0)
            painter.drawPath(path)
            painter.translate(-offset, 0.0)
    _paint_ends(painter, ends, ground, 1.2)
    _paint_ends(painter, ends, ink, 0.0)


def _path(ends: Sequence[ArrowEnds]) -> QPainterPath:
    """Returns upright curves from the begin of each arrow to the foot of its head."""
    path = QPainterPath()
    for x0, y0, x1, y1 in ends:
        foot_y = y1 + (_HEAD_PX if y1 < y0 else -_HEAD_PX)
        middle = (foot_y + y0) / 2
        path.moveTo(x0, y0)
        path.cubicTo(x0, middle, x1, middle, x1, foot_y)
    return path


def _paint_ends(painter: QPainter, ends: Sequence[ArrowEnds], value: QColor, wider: float) -> None:
    """Paints a dot at the begin of each arrow, and its head."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(value)
    dot = _dot(wider)
    for x0, y0, x1, y1 in ends:
        painter.translate(x0, y0)
        painter.drawPolygon(dot)
        painter.translate(x1 - x0, y1 - y0)
        painter.drawPolygon(_head(wider, y1 < y0))
        painter.translate(-x1, -y1)


@functools.cache
def _head(wider: float, is_upwards: bool) -> QPolygonF:
    down = -1.0 if is_upwards else 1.0
    half, foot = _HEAD_PX / 2 + wider, -down * (_HEAD_PX + wider / 2)
    return QPolygonF([QPointF(0.0, down * wider), QPointF(-half, foot), QPointF(half, foot)])


@functools.cache
def _dot(wider: float) -> QPolygonF:
    """Returns an octagon: at this size it looks like a circle, and Qt paints it in a third of the time."""
    radius, corners = _DOT_PX + wider, np.arange(8) * (np.pi / 4)
    return QPolygonF([QPointF(x, y) for x, y in zip((radius * np.cos(corners)).tolist(), (radius * np.sin(corners)).tolist(), strict=True)])


def _rows_between(waits: Waits, start_ns: int, end_ns: int) -> tuple[int, int]:
    return int(waits.end_ns.searchsorted(np.int64(start_ns), "right")), int(waits.start_ns.searchsorted(np.int64(end_ns)))


def _arrow_of(waits: Waits, row: int, loader: str = "") -> Arrow | None:
    from_ns = int(waits.cause_end_ns[row])
    return Arrow(loader + lane_of(int(waits.worker[row])), from_ns, int(waits.end_ns[row]), loader) if from_ns >= 0 else None
