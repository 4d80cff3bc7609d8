"""Timeline and charts as pictures in files, painted by the functions that paint the window."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QMarginsF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QImage, QPageSize, QPainter, QPdfWriter
from PySide6.QtSvg import QSvgGenerator

from loaderscope.gui.charts.chart import Paint, paint_chart
from loaderscope.gui.display import has_display
from loaderscope.gui.palette import LIGHT, Palette
from loaderscope.gui.run_state import environment_text
from loaderscope.gui.timeline.layout import place
from loaderscope.gui.timeline.painter import paint, viewport_of
from loaderscope.gui.timeline.scene import Scene
from loaderscope.gui.words import consumer_text
from loaderscope.sweep.sink import Run
from loaderscope.trace.model import Trace

FORMATS = (".png", ".svg", ".pdf")
TIMELINE_SIZE = (1600, 720)
CAPTION_PX = 26
FONT_PX = 12
PDF_DPI = 144
Draw = Callable[[QPainter], None]


def ensure_application() -> QGuiApplication:
    """The Qt application that painting text needs; one without a display where there is none."""
    existing = QGuiApplication.instance()
    if isinstance(existing, QGuiApplication):
        return existing
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    return QGuiApplication(["loaderscope"])


def caption_of(run: Run | None) -> str:
    """Settings and environment in a line, so that a figure can stand alone."""
    if run is None:
        return ""
    parts = [
        f"{run.target.name} of {Path(run.script).name}",
        f"consumer: {consumer_text(run.request.consumer)}",
        environment_text(run.environment),
    ]
    return " · ".join(part for part in parts if part)


def timeline_drawing(
    trace: Trace, title: str, caption: str, view_ns: tuple[int, int] | None = None, palette: Palette = LIGHT
) -> tuple[tuple[int, int], Draw]:
    """Size in logical pixels, and what draws the timeline with its caption. `view_ns`: the visible range, None for all."""
    scene = Scene(trace, title)
    width, height = TIMELINE_SIZE
    needed = place(scene.rows, width, 0)
    height = max(
        320, min(height, needed.header_height + needed.content_height + 8 * len(scene.rows)), needed.header_height + needed.content_height
    )
    layout = place(scene.rows, width, height)
    start, end = view_ns if view_ns is not None else (None, None)

    def draw(painter: QPainter) -> None:
        paint(painter, scene, viewport_of(scene, start, end), layout, palette)
        painter.setClipping(False)
        painter.fillRect(QRectF(0, height, width, CAPTION_PX), QColor(palette.base))
        painter.setPen(QColor(palette.muted))
        painter.drawText(QRectF(10, height, width - 20, CAPTION_PX), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, caption)

    return (width, height + CAPTION_PX), draw


def chart_drawing(paint_function: Paint, data: object, size: tuple[int, int], palette: Palette = LIGHT) -> Draw:
    """What draws a chart of this size."""

    def draw(painter: QPainter) -> None:
        paint_chart(painter, QRectF(0, 0, *size), paint_function, data, palette)

    return draw


def save_timeline(
    trace: Trace, path: Path, title: str, caption: str, view_ns: tuple[int, int] | None = None, *, scale: float = 2.0
) -> None:
    """Writes a timeline as PNG (at `scale`), SVG or PDF, by the name's ending, in the light theme for print.

    Raises:
        ValueError: the ending names none of these.
        OSError: the file cannot be written.
    """
    ensure_application()
    size, draw = timeline_drawing(trace, title, caption, view_ns)
    save(path, size, draw, scale=scale)


def save(path: Path, size: tuple[int, int], draw: Draw, *, scale: float = 2.0) -> None:
    """Writes a drawing as PNG, SVG or PDF; see `save_timeline`."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"the name of a figure must end in {', '.join(FORMATS)}, {path.name} does not")
    path.open("wb").close()  # Qt writes nothing and says nothing where it may not: this raises the reason
    if suffix == ".png":
        if not image_of(size, draw, scale).save(str(path), "PNG"):
            raise OSError(f"{path} cannot be written")
    elif suffix == ".svg":
        generator = QSvgGenerator()
        generator.setFileName(str(path))
        generator.setSize(QSize(*size))
        generator.setViewBox(QRectF(0, 0, *size))
        generator.setTitle("Loaderscope")
        _draw_on(generator, draw, 1.0)
    else:
        writer = QPdfWriter(str(path))
        writer.setResolution(PDF_DPI)
        writer.setPageSize(QPageSize(QSizeF(size[0] * 0.5, size[1] * 0.5), QPageSize.Unit.Point))
        writer.setPageMargins(QMarginsF(0, 0, 0, 0))
        writer.setTitle("Loaderscope")
        _draw_on(writer, draw, PDF_DPI / 72 * 0.5)


def image_of(size: tuple[int, int], draw: Draw, scale: float = 2.0) -> QImage:
    """A drawing as an image with `scale` device pixels a logical one."""
    image = QImage(round(size[0] * scale), round(size[1] * scale), QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(QColor(LIGHT.base))
    _draw_on(image, draw, 1.0)
    return image


def png_bytes(image: QImage) -> bytes:
    """An image as the bytes of a PNG file."""
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return bytes(content.data())


def _draw_on(device: QImage | QSvgGenerator | QPdfWriter, draw: Draw, factor: float) -> None:
    painter = QPainter(device)
    painter.scale(factor, factor)
    font = QFont(painter.font())
    font.setPixelSize(FONT_PX)
    painter.setFont(font)
    draw(painter)
    painter.end()
