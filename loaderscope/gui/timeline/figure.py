"""The timeline as a figure for a report: PNG, SVG or PDF through the paint function of the screen."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import sys
from collections.abc import Sequence

from PySide6.QtCore import QMarginsF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QFont, QGuiApplication, QImage, QPageLayout, QPageSize, QPainter, QPdfWriter
from PySide6.QtSvg import QSvgGenerator

from loaderscope.gui.palette import LIGHT, Palette
from loaderscope.gui.timeline.aligned import PART_KINDS, Part, parts_of
from loaderscope.gui.timeline.arrangement import Arranged, Arrangement, arrange
from loaderscope.gui.timeline.arrows import LateArrows
from loaderscope.gui.timeline.canvas import colour
from loaderscope.gui.timeline.layout import AXIS_PX, MINIMAP_PX, Layout, place
from loaderscope.gui.timeline.painter import paint, viewport_of
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.timeline.viewport import Viewport, fitted
from loaderscope.trace.model import Trace

WIDTH_PX = 1400
FORMATS = (".png", ".svg", ".pdf")

_CAPTION_FONT_PX = 11
_CAPTION_PAD_PX = 12
_LANE_PX = 4  # room that each row gets beyond the least it needs
_DPI = 96
_PDF_DPI = 1200

NOT_ARRANGED = Arrangement()

_application: QGuiApplication | None = None


class FigureError(Exception):
    """A figure could not be written; the message is a sentence for the user."""


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
        palette: colours; light for print.

    Returns:
        The path.

    Raises:
        FigureError: the format is unknown, the file cannot be written, or a trace to be aligned never had a batch.
    """
    target = pathlib.Path(path)
    ensure_application()
    panels = _panels([(trace, title), *([below] if below else [])], width, height, range_ns, arrangement)
    figure = _Figure(panels, caption, palette, arrows)
    suffix = target.suffix.lower()
    if suffix == ".png":
        if not figure.image(scale).save(os.fspath(target)):
            raise FigureError(f"The figure could not be written to {target}.")
    elif suffix == ".svg":
        figure.write_svg(target, title)
    elif suffix == ".pdf":
        figure.write_pdf(target, title)
    else:
        raise FigureError(f"A figure can be written as {', '.join(FORMATS)}, not as “{suffix or target.name}”.")
    return target


def render_image(
    trace: Trace,
    *,
    title: str = "",
    caption: str = "",
    width: int = WIDTH_PX,
    scale: float = 2.0,
    range_ns: tuple[int, int] | None = None,
    arrangement: Arrangement = NOT_ARRANGED,
    below: tuple[Trace, str] | None = None,
    arrows: Sequence[LateArrows] = (),
) -> QImage:
    """The same as an image, for the clipboard."""
    ensure_application()
    panels = _panels([(trace, title), *([below] if below else [])], width, None, range_ns, arrangement)
    return _Figure(panels, caption, LIGHT, arrows).image(scale)


def ensure_application() -> None:
    """Text needs an application object; without a display an offscreen one will do."""
    global _application
    if QGuiApplication.instance() is not None:
        return
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _application = QGuiApplication([])


@dataclasses.dataclass(frozen=True)
class _Panel:
    """One timeline of a figure."""

    scene: Scene
    view: Viewport
    layout: Layout
    arranged: Arranged


def _panels(
    shown: Sequence[tuple[Trace, str]], width: int, height: int | None, range_ns: tuple[int, int] | None, arrangement: Arrangement
) -> list[_Panel]:
    """Traces with their titles, one below the other."""
    scenes = [Scene(trace, title) for trace, title in shown]
    view = viewport_of(scenes[0], *(range_ns or (None, None)))
    if len(scenes) == 1:
        return [_panel(scenes[0], view, _Frame(width, height, arrangement))]
    parts = parts_of(scenes, [title for _, title in shown])
    if parts is None:
        raise FigureError("Trials are aligned at their first batch, and one of these never had one.")
    if range_ns is None:
        view = fitted(*parts[0].bounds)
    panels = []
    for scene, part in zip(scenes, parts, strict=True):
        scene.axis_zero = part.zero
        frame = _Frame(width, height and height // len(parts), arrangement, part)
        panels.append(_panel(scene, view.panned(part.zero - parts[0].zero), frame))
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


class _Figure:
    def __init__(self, panels: Sequence[_Panel], caption: str, palette: Palette, arrows: Sequence[LateArrows]) -> None:
        self._panels, self._palette, self._arrows = panels, palette, arrows
        hidden = max((panel.arranged.hidden_words for panel in panels), key=len)
        self._caption = " · ".join(part for part in (caption, hidden) if part)
        self._width, self._height = panels[0].layout.width, sum(panel.layout.height for panel in panels)
        self._caption_height = self._measure_caption()

    @property
    def size(self) -> QSizeF:
        return QSizeF(self._width, self._height + self._caption_height)

    def image(self, scale: float) -> QImage:
        size = self.size
        image = QImage(round(size.width() * scale), round(size.height() * scale), QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(scale)
        image.setDotsPerMeterX(round(_DPI * scale / 0.0254))
        image.setDotsPerMeterY(round(_DPI * scale / 0.0254))
        painter = QPainter(image)
        self._paint(painter)
        painter.end()
        return image

    def write_svg(self, path: pathlib.Path, title: str) -> None:
        generator = QSvgGenerator()
        generator.setFileName(os.fspath(path))
        generator.setSize(QSize(round(self.size.width()), round(self.size.height())))
        generator.setViewBox(QRectF(0, 0, self.size.width(), self.size.height()))
        generator.setResolution(_DPI)
        generator.setTitle(title)
        generator.setDescription(self._caption)
        self._paint_on(generator, 1.0, path)

    def write_pdf(self, path: pathlib.Path, title: str) -> None:
        writer = QPdfWriter(os.fspath(path))
        writer.setResolution(_PDF_DPI)
        page = QPageSize(self.size * (72 / _DPI), QPageSize.Unit.Point, "figure", QPageSize.SizeMatchPolicy.ExactMatch)
        writer.setPageLayout(QPageLayout(page, QPageLayout.Orientation.Portrait, QMarginsF(0, 0, 0, 0)))
        writer.setTitle(title)
        writer.setCreator("Loaderscope")
        self._paint_on(writer, _PDF_DPI / _DPI, path)

    def _paint_on(self, device: QSvgGenerator | QPdfWriter, scale: float, path: pathlib.Path) -> None:
        painter = QPainter()
        if not painter.begin(device):
            raise FigureError(f"The figure could not be written to {path}.")
        painter.scale(scale, scale)
        self._paint(painter)
        painter.end()

    def _paint(self, painter: QPainter) -> None:
        painter.setFont(QGuiApplication.font())
        painter.save()
        for panel, arrows in itertools.zip_longest(self._panels, self._arrows[: len(self._panels)]):
            paint(painter, panel.scene, panel.view, panel.layout, self._palette, arrows=arrows)
            painter.translate(0, panel.layout.height)
        painter.restore()
        if self._caption:
            painter.fillRect(QRectF(0, self._height, self._width, self._caption_height), colour(self._palette.base))
            painter.setFont(self._caption_font())
            painter.setPen(colour(self._palette.muted))
            painter.drawText(self._caption_box(), int(Qt.AlignmentFlag.AlignLeft) | int(Qt.TextFlag.TextWordWrap), self._caption)

    def _measure_caption(self) -> int:
        if not self._caption:
            return 0
        image = QImage(1, 1, QImage.Format.Format_RGB32)
        painter = QPainter(image)
        painter.setFont(self._caption_font())
        flags = int(Qt.AlignmentFlag.AlignLeft) | int(Qt.TextFlag.TextWordWrap)
        needed = painter.boundingRect(QRectF(0, 0, self._width - 20, 1000), flags, self._caption)
        painter.end()
        return round(needed.height()) + 2 * _CAPTION_PAD_PX

    def _caption_box(self) -> QRectF:
        top = self._height + _CAPTION_PAD_PX
        return QRectF(10, top, self._width - 20, self._caption_height - _CAPTION_PAD_PX)

    def _caption_font(self) -> QFont:
        font = QFont(QGuiApplication.font())
        font.setPixelSize(_CAPTION_FONT_PX)
        return font
