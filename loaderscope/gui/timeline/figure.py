"""The timeline as a figure for a report: PNG, SVG or PDF through the paint function of the screen."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Sequence

from PySide6.QtGui import QPainter

from loaderscope.gui.figures import Figure, FigureError, ensure_application
from loaderscope.gui.palette import LIGHT, Palette
from loaderscope.gui.timeline.aligned import PART_KINDS, Part, parts_of
from loaderscope.gui.timeline.arrangement import Arranged, Arrangement, arrange
from loaderscope.gui.timeline.arrows import LateArrows
from loaderscope.gui.timeline.layout import AXIS_PX, MINIMAP_PX, Layout, place
from loaderscope.gui.timeline.painter import paint, viewport_of
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.viewport import Viewport, fitted
from loaderscope.session.file import Mark
from loaderscope.trace.model import Trace

WIDTH_PX = 1400

_LANE_PX = 4  # room that each row gets beyond the least it needs

NOT_ARRANGED = Arrangement()


def render(
    trace: Trace,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    caption: str = "",
    width: int = WIDTH_PX,
    height: int | None = None,
    scale: float = 2.0,
    range_ns: tuple[int, int] | None = None,
    arrangement: Arrangement = NOT_ARRANGED,
    below: tuple[Trace, str] | None = None,
    arrows: Sequence[LateArrows] = (),
    marks: Sequence[Sequence[Mark]] = (),
    palette: Palette = LIGHT,
) -> pathlib.Path:
    """Writes the timeline of a trace as a figure.

    Works without a window and without a display.

    Args:
        trace: what to draw.
        path: where to; `.png`, `.svg` or `.pdf` says the format.
        title: stands above the timeline.
        caption: stands below it, wrapped; settings and environment belong here.
        width: logical pixels (at 96 to the inch).
        height: logical pixels without the caption; None for what the rows need.
        scale: pixels of a PNG for each logical one.
        range_ns: absolute start and end; None for the whole trial.
        arrangement: how the rows are arranged.
        below: another trace and its title, drawn below on the same axis, both aligned at their first batch.
        arrows: those of the trace, and of the one below.
        marks: likewise.
        palette: colours; light for print.

    Returns:
        The path.

    Raises:
        FigureError: the format is unknown, the file cannot be written, or a trace to be aligned never had a batch.
    """
    figure = timeline_figure(
        trace,
        title=title,
        caption=caption,
        width=width,
        height=height,
        range_ns=range_ns,
        arrangement=arrangement,
        below=below,
        arrows=arrows,
        marks=marks,
        palette=palette,
    )
    return figure.write(path, scale)


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
    """The timeline of a trace as a figure. The arguments are those of `render`.

    Raises:
        FigureError: a trace to be aligned never had a batch.
    """
    ensure_application()
    frame = _Frame(width, height, arrangement)
    panels = _panels([(trace, title), *([below] if below else [])], frame, range_ns, [bool(its) for its in marks])

    def paint_body(painter: QPainter) -> None:
        for panel, shown, its_marks in itertools.zip_longest(panels, arrows[: len(panels)], marks[: len(panels)]):
            paint(painter, panel.scene, panel.view, panel.layout, palette, arrows=shown, marks=its_marks or ())
            painter.translate(0, panel.layout.height)

    hidden = max((panel.arranged.hidden_words for panel in panels), key=len)
    words = " · ".join(part for part in (caption, hidden) if part)
    return Figure(title, paint_body, width, sum(panel.layout.height for panel in panels), words, palette)


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One timeline of a figure."""

    scene: Scene
    view: Viewport
    layout: Layout
    arranged: Arranged


def _panels(
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

    def placed(height: int) -> Layout:
        axis_px = AXIS_PX if part is None or part.has_axis else 0
        minimap_px = MINIMAP_PX if part is None else 0
        return place(arranged.rows, frame.width, height, heights=arranged.heights, minimap_px=minimap_px, axis_px=axis_px)

    least = placed(0)
    natural = least.header_height + least.content_height + _LANE_PX * len(arranged.rows) if arranged.rows else 240
    return _Panel(scene, view, placed(frame.height or natural), arranged)
