"""Figures: paintings of a fixed size, with a caption that makes them complete, as PNG, SVG, PDF or on the clipboard.

Any single thread may paint the figure of a timeline, only the application's that of a chart; painting needs no window and no display.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from PySide6.QtCore import QBuffer, QIODevice, QMarginsF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QFontInfo,
    QFontMetricsF,
    QGuiApplication,
    QImage,
    QPageLayout,
    QPageSize,
    QPaintDevice,
    QPainter,
    QPdfWriter,
)
from PySide6.QtSvg import QSvgGenerator

from loaderscope import __version__
from loaderscope.facts.consumers import consumer_text
from loaderscope.facts.run import Run, environment_text
from loaderscope.gui.style.palette import LIGHT, Palette

FORMATS = (".png", ".svg", ".pdf")
DPI = 96
PDF_DPI = 1200

_CAPTION_FONT_PX = 11
_CAPTION_PAD_PX = 12
_WRAPPED = int(Qt.AlignmentFlag.AlignLeft) | int(Qt.TextFlag.TextWordWrap)

_FAMILY = re.compile(r'font-family="([^"]*)"')

_application: QGuiApplication | None = None


class FigureError(Exception):
    """A figure could not be written; the message is a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A painting with its size and caption.

    Attributes:
        title: for the properties of the file; a title inside the picture is part of `paint_body`.
        paint_body: paints `width` times `height` logical pixels, at 96 to the inch.
        caption: wrapped below the body.
    """

    title: str
    paint_body: Callable[[QPainter], object]
    width: int
    height: int
    caption: str = ""
    palette: Palette = LIGHT

    @functools.cached_property
    def size(self) -> QSizeF:
        """Logical pixels of the body with the caption."""
        if not self.caption:
            return QSizeF(self.width, self.height)
        box = QFontMetricsF(font_of(_CAPTION_FONT_PX)).boundingRect(QRectF(0, 0, self.width - 20, 10_000), _WRAPPED, self.caption)
        return QSizeF(self.width, self.height + round(box.height()) + 2 * _CAPTION_PAD_PX)

    def paint(self, painter: QPainter) -> None:
        """Paints the body and the caption, with the top left corner at (0, 0)."""
        painter.save()
        painter.setFont(QGuiApplication.font())
        self.paint_body(painter)
        painter.restore()
        if not self.caption:
            return
        painter.save()
        below = QRectF(0, self.height, self.width, self.size.height() - self.height)
        painter.fillRect(below, QColor(self.palette.base))
        painter.setFont(font_of(_CAPTION_FONT_PX))
        painter.setPen(QColor(self.palette.muted))
        painter.drawText(below.adjusted(10, _CAPTION_PAD_PX, -10, 0), _WRAPPED, self.caption)
        painter.restore()

    def image(self, scale: float = 2.0) -> QImage:
        """Returns the figure as an image with `scale` pixels for each logical one.

        Raises:
            FigureError: the image would be too large.
        """
        size = self.size
        image = QImage(round(size.width() * scale), round(size.height() * scale), QImage.Format.Format_RGB32)
        if image.isNull():
            raise FigureError("The figure is too large for a picture of pixels; SVG and PDF have no such limit.")
        image.setDevicePixelRatio(scale)
        image.setDotsPerMeterX(round(DPI * scale / 0.0254))
        image.setDotsPerMeterY(round(DPI * scale / 0.0254))
        with painting(image) as painter:
            painter.fillRect(QRectF(0, 0, size.width(), size.height()), QColor(self.palette.base))
            self.paint(painter)
        return image

    def write(self, path: str | os.PathLike[str], scale: float = 2.0) -> pathlib.Path:
        """Writes the whole figure as PNG, SVG or PDF, or nothing.

        Args:
            path: the file; its suffix chooses the format.
            scale: pixels of a PNG for each logical one.

        Returns:
            The path.

        Raises:
            FigureError: the format is unknown, or the file cannot be written.
        """
        target = pathlib.Path(path)
        suffix = target.suffix.lower()
        if suffix not in FORMATS:
            raise FigureError(f"A figure can be written as {', '.join(FORMATS)}, not as “{suffix or target.name}”.")
        with atomic_file(target) as part:
            if suffix == ".png":
                part.write_bytes(png_bytes(self.image(scale)))
            elif suffix == ".svg":
                content = _memory_buffer()  # Qt would not report that the disk is full
                self._paint_on(_svg_device(content, self.size, self.title, self.caption), 1.0)
                part.write_bytes(_with_known_fonts(_bytes_of(content).decode("utf-8")).encode("utf-8"))
            else:
                page = QPageSize(self.size * (72 / DPI), QPageSize.Unit.Point, "figure", QPageSize.SizeMatchPolicy.ExactMatch)
                with pdf_device(part, QPageLayout(page, QPageLayout.Orientation.Portrait, QMarginsF(0, 0, 0, 0)), self.title) as writer:
                    self._paint_on(writer, PDF_DPI / DPI)
        return target

    def _paint_on(self, device: QSvgGenerator | QPdfWriter, scale: float) -> None:
        with painting(device) as painter:
            painter.scale(scale, scale)
            self.paint(painter)


@contextmanager
def atomic_file(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary file beside the target. Moves it to the target at the end, or removes it if anything fails.

    Raises:
        FigureError: the target cannot be written.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.open("wb").close()  # Qt does not say why it cannot write
        yield part
        part.replace(target)
    except OSError as error:
        raise FigureError(f"The figure could not be written to {target}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def pdf_device(path: pathlib.Path, layout: QPageLayout, title: str) -> Iterator[QPdfWriter]:
    """Yields a paint device for a PDF, and writes the file at the end.

    Qt paints into memory: it would not report that the disk is full.
    """
    content = _memory_buffer()
    writer = QPdfWriter(content)
    writer.setResolution(PDF_DPI)
    writer.setPageLayout(layout)
    writer.setTitle(title)
    writer.setCreator("Loaderscope")
    yield writer
    path.write_bytes(_bytes_of(content))


def _svg_device(content: QBuffer, size: QSizeF, title: str, description: str) -> QSvgGenerator:
    """Returns a paint device for an SVG of a size in logical pixels."""
    generator = QSvgGenerator()
    generator.setOutputDevice(content)
    generator.setSize(QSize(round(size.width()), round(size.height())))
    generator.setViewBox(QRectF(0, 0, size.width(), size.height()))
    generator.setResolution(DPI)
    generator.setTitle(title)
    generator.setDescription(description)
    return generator


def _with_known_fonts(drawing: str) -> str:
    """Returns an SVG with font names that other programs know: the real family for each of the system's names, then a generic one."""
    fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()
    for name in set(_FAMILY.findall(drawing)):
        family = html.unescape(name)
        families = f"'{html.escape(QFontInfo(QFont(family)).family())}', {'monospace' if family == fixed else 'sans-serif'}"
        drawing = drawing.replace(f'font-family="{name}"', f'font-family="{families}"')
    return drawing


@contextmanager
def painting(device: QPaintDevice) -> Iterator[QPainter]:
    """Yields a painter and ends it in every case: Qt crashes if a device is deleted before its painter.

    Raises:
        FigureError: nothing can be painted on the device.
    """
    painter = QPainter()
    if not painter.begin(device):
        raise FigureError("The figure could not be painted into a file.")
    try:
        yield painter
    finally:
        painter.end()


def caption_of(run: Run | None, settings: str = "") -> str:
    """Returns script, settings, machine, versions and date of a run in a line or two; empty without a run."""
    if run is None:
        return ""
    consumer = "" if run.is_training else f"consumer: {consumer_text(run.request.consumer)}"  # the training takes its batches
    parts = [f"{run.target.name} of {pathlib.Path(run.script).name}", settings, consumer]
    parts += [str(run.environment.get("platform") or ""), environment_text(run.environment), f"Loaderscope {__version__}", date_of(run)]
    return " · ".join(part for part in parts if part)


def date_of(run: Run) -> str:
    """Returns the local date on which the run began; empty if it was not recorded."""
    return "" if run.created_unix_s is None else time.strftime("%Y-%m-%d", time.localtime(run.created_unix_s))


def png_bytes(image: QImage) -> bytes:
    """Returns an image as the bytes of a PNG file."""
    content = _memory_buffer()
    image.save(content, "PNG")  # type: ignore[call-overload]
    return _bytes_of(content)


def _memory_buffer() -> QBuffer:
    """Returns an open device that keeps what is written to it."""
    content = QBuffer()
    content.open(QIODevice.OpenModeFlag.WriteOnly)
    return content


def _bytes_of(content: QBuffer) -> bytes:
    return bytes(content.data().data())


def ensure_application(with_widgets: bool = False) -> None:
    """Makes an application object unless there is one: text needs it. Without a display it is an offscreen one.

    Args:
        with_widgets: charts are widgets, and need an application that has them.
    """
    global _application
    if QGuiApplication.instance() is not None:
        return
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if with_widgets:
        from PySide6.QtWidgets import QApplication  # a figure of a timeline does not load the library of widgets

        _application = QApplication([])
    else:
        _application = QGuiApplication([])


def font_of(pixels: int) -> QFont:
    """Returns the application's font with a height in pixels."""
    font = QFont(QGuiApplication.font())
    font.setPixelSize(pixels)
    return font
