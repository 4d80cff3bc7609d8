"""The timeline as a figure (PNG, SVG or PDF), painted by the same function as the screen."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence

from PySide6.QtGui import QPainter

from loaderscope.facts.run import Mark
from loaderscope.gui.style.figures import Figure, FigureError, ensure_application
from loaderscope.gui.style.palette import LIGHT, Palette
from loaderscope.gui.timeline.data.alignment import PART_KINDS, Part, align_parts
from loaderscope.gui.timeline.data.arrangement import Arranged, Arrangement, arrange
from loaderscope.gui.timeline.data.row_layout import AXIS_PX, EXPOSED_PX, MINIMAP_PX, Layout, place_rows
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.viewport import Viewport, fitted
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.places import ShownPlaces
from loaderscope.gui.timeline.paint.timeline_painter import paint, viewport_of
from loaderscope.trace.model import Trace

WIDTH_PX = 1400

_LANE_PX = 4  # room for each row beyond the least that it needs

NOT_ARRANGED = Arrangement()

CONTINUED = " · continued"

_WORTH_CUTTING = 0.33
"""If less than this part of a page is left, a timeline that must be cut begins on the next page."""


def timeline_figure(
    trace: Trace,
    *,
    title: str = "",
    caption: str = "",
    width: int = WIDTH_PX,
    height: int | None = None,
    range_ns: tuple[int, int] | None = None,
    arrangement: Arrangement = NOT_ARRANGED,
    below: tuple[Trace, str] | None = None,
    arrows: Sequence[LateArrows] = (),
    marks: Sequence[Sequence[Mark]] = (),
    places: ShownPlaces | None = None,
    palette: Palette = LIGHT,
) -> Figure:
    """Returns the timeline of a trace as a figure.

    Works without a window and without a display.

    Args:
        trace: the trace to draw.
        title: the text above the timeline.
        caption: the text below it, wrapped; for settings and environment.
        width: logical pixels (at 96 to the inch).
        height: logical pixels without the caption; None for the height that the rows need.
        range_ns: absolute start and end; None for the whole trial.
        arrangement: the user's arrangement of the rows.
        below: another trace and its title, to draw below on the same axis; both are aligned at their first batch.
        arrows: the arrows of the trace, and of the trace below.
        marks: the marks of the trace, and of the trace below.
        places: where a finding shows in the trace; None for none.
        palette: the colours; light for print.

    Raises:
        FigureError: a trace to be aligned never had a batch.
    """
    ensure_application()
    frame = _Frame(width, height, arrangement)
    panels = _panels([(trace, title), *([below] if below else [])], frame, range_ns, arrows, marks)
    panels[0] = dataclasses.replace(panels[0], places=places)
    hidden = max((panel.arranged.hidden_text for panel in panels), key=len)
    return _figure(panels, " · ".join(part for part in (caption, hidden) if part), palette)


def timeline_parts(
    shown: Sequence[tuple[Trace, str]],
    *,
    width: int,
    tallest: float,
    arrows: Sequence[LateArrows] = (),
    marks: Sequence[Sequence[Mark]] = (),
    palette: Palette = LIGHT,
) -> list[Figure]:
    """Returns the timelines of one or two traces as several figures of limited height, cut between rows.

    Each part has an axis and the lane of main, with which readers compare other lanes.

    Args:
        shown: traces with their titles, from top to bottom.
        width: logical pixels.
        tallest: limit for the height, logical pixels; a part with a single row may be taller.
        arrows: the arrows of each trace.
        marks: the marks of each trace.
        palette: the colours.

    Raises:
        FigureError: one of two traces never had a batch.
    """
    ensure_application()
    pages: list[list[_Panel]] = [[]]
    for panel in _panels(shown, _Frame(width, None, NOT_ARRANGED), None, arrows, marks):
        room = tallest - sum(one.layout.height for one in pages[-1])
        for part in _cut_into_parts(panel, room if room >= _WORTH_CUTTING * tallest else tallest, tallest):
            if pages[-1] and part.layout.height > tallest - sum(one.layout.height for one in pages[-1]):
                pages.append([])
            pages[-1].append(part)
    return [_figure(page, "", palette) for page in pages]


def _figure(panels: Sequence[_Panel], caption: str, palette: Palette) -> Figure:
    """Returns a figure of panels, one below the other."""

    def paint_body(painter: QPainter) -> None:
        for panel in panels:
            paint(
                painter,
                panel.scene,
                panel.view,
                panel.layout,
                palette,
                arrows=panel.arrows,
                marks=panel.marks,
                places=panel.places,
            )
            painter.translate(0, panel.layout.height)

    tall = sum(panel.layout.height for panel in panels)
    return Figure(panels[0].scene.title, paint_body, panels[0].layout.width, tall, caption, palette)


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One timeline of a figure."""

    scene: Scene
    view: Viewport
    layout: Layout
    arranged: Arranged
    arrows: LateArrows | None = None
    marks: Sequence[Mark] = ()
    places: ShownPlaces | None = None


def _panels(
    shown: Sequence[tuple[Trace, str]],
    frame: _Frame,
    range_ns: tuple[int, int] | None,
    arrows: Sequence[LateArrows],
    marks: Sequence[Sequence[Mark]],
) -> list[_Panel]:
    """Returns the timelines of traces, with their arrows and marks."""
    panels = _bare_panels(shown, frame, range_ns, [bool(its) for its in marks])
    over = itertools.zip_longest(panels, arrows[: len(panels)], marks[: len(panels)])
    return [dataclasses.replace(panel, arrows=its_arrows, marks=its_marks or ()) for panel, its_arrows, its_marks in over]


def _bare_panels(
    shown: Sequence[tuple[Trace, str]], frame: _Frame, range_ns: tuple[int, int] | None, are_marked: Sequence[bool]
) -> list[_Panel]:
    """Returns the timelines of traces with titles, from top to bottom. A timeline with marks has an axis, which carries their flags."""
    scenes = [Scene(trace, title) for trace, title in shown]
    view = viewport_of(scenes[0], *(range_ns or (None, None)))
    if len(scenes) == 1:
        return [_panel(scenes[0], view, frame)]
    parts = align_parts(scenes, [title for _, title in shown])
    if parts is None:
        raise FigureError("Trials are aligned at their first batch, and one of these never had one.")
    if range_ns is None:
        view = fitted(*parts[0].bounds_ns)
    panels = []
    for scene, part, is_marked in zip(scenes, parts, [*are_marked, False, False], strict=False):
        scene.axis_zero = part.zero_ns
        its = dataclasses.replace(part, has_axis=part.has_axis or is_marked)
        its_frame = dataclasses.replace(frame, height=frame.height and frame.height // len(parts), part=its)
        panels.append(_panel(scene, view.panned(part.zero_ns - parts[0].zero_ns), its_frame))
    return panels


@dataclasses.dataclass(frozen=True)
class _Frame:
    """What is known of a panel before its rows; a `height` of None means the height that the rows need."""

    width: int
    height: int | None
    arrangement: Arrangement
    part: Part | None = None


def _panel(scene: Scene, view: Viewport, frame: _Frame) -> _Panel:
    part = frame.part
    idle = scene.idle_loaders(scene.origin_ns + round(view.start), scene.origin_ns + round(view.end))
    arranged = arrange([row for row in scene.rows if part is None or row.kind in PART_KINDS], frame.arrangement, idle)
    axis_px = AXIS_PX if part is None or part.has_axis else 0
    minimap_px = MINIMAP_PX + (EXPOSED_PX if scene.tells_exposed else 0) if part is None else 0

    def placed(height: int) -> Layout:
        return place_rows(arranged.rows, frame.width, height, heights=arranged.heights, minimap_px=minimap_px, axis_px=axis_px)

    return _Panel(scene, view, placed(frame.height or _natural_height_px(placed(0))), arranged)


def _natural_height_px(least: Layout) -> int:
    """Returns the height of a figure from a layout with the least height of its rows."""
    return least.header_height + least.content_height + _LANE_PX * len(least.rows) if least.rows else 240


def _cut_into_parts(panel: _Panel, first: float, tallest: float) -> list[_Panel]:
    """Cuts a panel into parts of at most `tallest`, the first of at most `first`. Each part has the lane of main."""
    if panel.layout.height <= tallest:
        return [panel]
    main = [row for row in panel.arranged.rows if row.lane_kind == "main"]
    parts: list[_Panel] = []
    rest = list(panel.arranged.rows)
    while rest:
        for count in range(len(rest), 0, -1):
            rows = rest[:count] if not parts else [*main, *rest[:count]]
            minimap_px = 0 if parts else panel.layout.minimap_px
            least = place_rows(rows, panel.layout.width, 0, dense=True, minimap_px=minimap_px)
            if _natural_height_px(least) <= (tallest if parts else first) or count == 1:
                break
        scene = copy.copy(panel.scene)
        scene.title += CONTINUED if parts else ""
        layout = place_rows(rows, panel.layout.width, _natural_height_px(least), dense=True, minimap_px=minimap_px)
        parts.append(dataclasses.replace(panel, scene=scene, layout=layout))
        rest = [row for row in rest[count:] if row not in main]
    return parts
