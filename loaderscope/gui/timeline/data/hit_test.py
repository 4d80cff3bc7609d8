"""What lies under the mouse. No Qt."""

from __future__ import annotations

import dataclasses

from loaderscope.gui.timeline.data import hover_card, span_query
from loaderscope.gui.timeline.data.hover_card import Card
from loaderscope.gui.timeline.data.row_layout import Layout
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_query import SpanRef
from loaderscope.gui.timeline.data.viewport import Viewport

_HIT_PX = 2.0
"""How far beside a sliver still counts as on it."""


@dataclasses.dataclass
class Pointer:
    """Where the mouse is, the span there, the spans of its batch in every lane, and what to say about it."""

    x: float
    y: float
    span: SpanRef | None = None
    lit: tuple[SpanRef, ...] = ()
    card: Card | None = None


def point(scene: Scene | None, span: SpanRef | None, x: float, y: float) -> Pointer:
    """A pointer at a place, on a span or on none."""
    if span is None or scene is None:
        return Pointer(x, y)
    lit = tuple(span_query.spans_of_batch(scene, span.batch, span.start_ns)) if span.batch >= 0 else (span,)
    return Pointer(x, y, span, lit, hover_card.describe(scene, span))


def span_under(scene: Scene, view: Viewport, layout: Layout, scroll_y: int, at: tuple[float, float]) -> SpanRef | None:
    """The span at a place of the widget."""
    x, y = at
    if scene.is_empty or not 0 <= x - layout.label_width <= layout.plot_width:
        return None
    placed = layout.row_at(y, scroll_y)
    if placed is None or placed.row.kind not in ("lane", "flight"):
        return None
    lane = layout.flight_lane_at(placed, y, scroll_y) if placed.row.kind == "flight" else placed.row.lanes[0]
    if lane is None:
        return None
    down = (y - layout.header_height + scroll_y - placed.bar_y) / placed.bar_height
    slack_ns = round(_HIT_PX * view.span / layout.plot_width)
    time_ns = scene.origin_ns + round(view.time_at(x - layout.label_width, layout.plot_width))
    return span_query.span_at(scene, lane, time_ns, slack_ns, down)
