"""The timeline as a figure for a report: PNG, SVG or PDF through the paint function of the screen."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence

from PySide6.QtGui import QPainter

from loaderscope.facts.run import Mark
from loaderscope.gui.style.figures import Figure, FigureError, ensure_application
from loaderscope.gui.style.palette import LIGHT, Palette
from loaderscope.gui.timeline.data.alignment import PART_KINDS, Part, parts_of
from loaderscope.gui.timeline.data.arrangement import Arranged, Arrangement, arrange
from loaderscope.gui.timeline.data.row_layout import AXIS_PX, MINIMAP_PX, Layout, place
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.viewport import Viewport, fitted
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.timeline_painter import paint, viewport_of
from loaderscope.trace.model import Trace

WIDTH_PX = 1400

_LANE_PX = 4  # room that each row gets beyond the least it needs

NOT_ARRANGED = Arrangement()

CONTINUED = " · continued"

_WORTH_CUTTING = 0.33
"""With less room than this left on a page, a timeline that is cut begins on the next."""


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
    palette: Palette = LIGHT,
) -> Figure:
    """The timeline of a trace as a figure.

    Works without a window and without a display.

    Args:
        trace: what to draw.
        title: stands above the timeline.
        caption: stands below it, wrapped; settings and environment belong here.
        width: logical pixels (at 96 to the inch).
        height: logical pixels without the caption; None for what the rows need.
        range_ns: absolute start and end; None for the whole trial.
        arrangement: how the rows are arranged.
        below: another trace and its title, drawn below on the same axis, both aligned at their first batch.
        arrows: those of the trace, and of the one below.
        marks: likewise.
        palette: colours; light for print.

    Raises:
        FigureError: a trace to be aligned never had a batch.
    """
    ensure_application()
    frame = _Frame(width, height, arrangement)
    panels = _panels([(trace, title), *([below] if below else [])], frame, range_ns, arrows, marks)
    hidden = max((panel.arranged.hidden_words for panel in panels), key=len)
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
    """The timelines of one or two traces as several figures, none taller than a height, cut between rows.

    Each part has an axis, and the lane of main, which the others are read against.

    Args:
        shown: traces with their titles, from top to bottom.
        width: logical pixels.
        tallest: likewise; a part with a single row may be taller.
        arrows: those of each trace.
        marks: likewise.
        palette: colours.

    Raises:
        FigureError: one of two traces never had a batch.
    """
    ensure_application()
    pages: list[list[_Panel]] = [[]]
    for panel in _panels(shown, _Frame(width, None, NOT_ARRANGED), None, arrows, marks):
        room = tallest - sum(one.layout.height for one in pages[-1])
        for part in _cut(panel, room if room >= _WORTH_CUTTING * tallest else tallest, tallest):
            if pages[-1] and part.layout.height > tallest - sum(one.layout.height for one in pages[-1]):
                pages.append([])
            pages[-1].append(part)
    return [_figure(page, "", palette) for page in pages]


def _figure(panels: Sequence[_Panel], caption: str, palette: Palette) -> Figure:
    """Panels below each other."""

    def paint_body(painter: QPainter) -> None:
        for panel in panels:
            paint(painter, panel.scene, panel.view, panel.layout, palette, arrows=panel.arrows, marks=panel.marks)
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


def _panels(
    shown: Sequence[tuple[Trace, str]],
    frame: _Frame,
    range_ns: tuple[int, int] | None,
    arrows: Sequence[LateArrows],
    marks: Sequence[Sequence[Mark]],
) -> list[_Panel]:
    """What is shown of traces, with what lies over it."""
    panels = _bare_panels(shown, frame, range_ns, [bool(its) for its in marks])
    over = itertools.zip_longest(panels, arrows[: len(panels)], marks[: len(panels)])
    return [dataclasses.replace(panel, arrows=its_arrows, marks=its_marks or ()) for panel, its_arrows, its_marks in over]


def _bare_panels(
    shown: Sequence[tuple[Trace, str]], frame: _Frame, range_ns: tuple[int, int] | None, are_marked: Sequence[bool]
) -> list[_Panel]:
    """Traces with their titles, one below the other. Each that is marked has an axis, where the flags of its marks stand."""
    scenes = [Scene(trace, title) for trace, title in shown]
    view = viewport_of(scenes[0], *(range_ns or (None, None)))
    if len(scenes) == 1:
        return [_panel(scenes[0], view, frame)]
    parts = parts_of(scenes, [title for _, title in shown])
    if parts is None:
        raise FigureError("Trials are aligned at their first batch, and one of these never had one.")
    if range_ns is None:
        view = fitted(*parts[0].bounds)
    panels = []
    for scene, part, is_marked in zip(scenes, parts, [*are_marked, False, False], strict=False):
        scene.axis_zero = part.zero
        its = dataclasses.replace(part, has_axis=part.has_axis or is_marked)
        its_frame = dataclasses.replace(frame, height=frame.height and frame.height // len(parts), part=its)
        panels.append(_panel(scene, view.panned(part.zero - parts[0].zero), its_frame))
    return panels


@dataclasses.dataclass(frozen=True)
class _Frame:
    """What is known of a panel before its rows are; a `height` of None is what they need."""

    width: int
    height: int | None
    arrangement: Arrangement
    part: Part | None = None


def _panel(scene: Scene, view: Viewport, frame: _Frame) -> _Panel:
    part = frame.part
    arranged = arrange([row for row in scene.rows if part is None or row.kind in PART_KINDS], frame.arrangement)
    axis_px = AXIS_PX if part is None or part.has_axis else 0
    minimap_px = MINIMAP_PX if part is None else 0

    def placed(height: int) -> Layout:
        return place(arranged.rows, frame.width, height, heights=arranged.heights, minimap_px=minimap_px, axis_px=axis_px)

    return _Panel(scene, view, placed(frame.height or _natural_px(placed(0))), arranged)


def _natural_px(least: Layout) -> int:
    """The height of a figure by the least height that its rows need."""
    return least.header_height + least.content_height + _LANE_PX * len(least.rows) if least.rows else 240


def _cut(panel: _Panel, first: float, tallest: float) -> list[_Panel]:
    """A panel that is taller than `tallest` in parts that are not, the first no taller than `first`; the lane of main stands in each."""
    if panel.layout.height <= tallest:
        return [panel]
    main = [row for row in panel.arranged.rows if row.lane_kind == "main"]
    parts: list[_Panel] = []
    rest = list(panel.arranged.rows)
    while rest:
        for count in range(len(rest), 0, -1):
            rows = rest[:count] if not parts else [*main, *rest[:count]]
            minimap_px = 0 if parts else panel.layout.minimap_px
            least = place(rows, panel.layout.width, 0, dense=True, minimap_px=minimap_px)
            if _natural_px(least) <= (tallest if parts else first) or count == 1:
                break
        scene = copy.copy(panel.scene)
        scene.title += CONTINUED if parts else ""
        layout = place(rows, panel.layout.width, _natural_px(least), dense=True, minimap_px=minimap_px)
        parts.append(dataclasses.replace(panel, scene=scene, layout=layout))
        rest = [row for row in rest[count:] if row not in main]
    return parts
