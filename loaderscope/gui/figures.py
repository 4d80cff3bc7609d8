"""Charts as images, and the caption that lets a figure stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QBuffer, QByteArray, QIODevice, QRectF
from PySide6.QtGui import QFont, QImage, QPainter

from loaderscope.gui.charts.chart import Paint, paint_chart
from loaderscope.gui.palette import LIGHT, Palette
from loaderscope.gui.run_state import environment_text
from loaderscope.gui.words import consumer_text
from loaderscope.sweep.sink import Run

FONT_PX = 12
Data = TypeVar("Data")


def caption_of(run: Run | None) -> str:
    """Settings and environment in a line."""
    if run is None:
        return ""
    parts = (f"{run.target.name} of {Path(run.script).name}", f"consumer: {consumer_text(run.request.consumer)}")
    return " · ".join((*parts, environment_text(run.environment)))


def chart_image(paint: Paint[Data], data: Data, size: tuple[int, int], *, scale: float = 2.0, palette: Palette = LIGHT) -> QImage:
    """A chart of `size` logical pixels, with `scale` device pixels for each; needs a Qt application."""
    image = QImage(round(size[0] * scale), round(size[1] * scale), QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    painter = QPainter(image)
    font = QFont(painter.font())
    font.setPixelSize(FONT_PX)
    painter.setFont(font)
    paint_chart(painter, QRectF(0, 0, *size), paint, data, palette)
    painter.end()
    return image


def png_bytes(image: QImage) -> bytes:
    """An image as the bytes of a PNG file."""
    content = QByteArray()
    buffer = QBuffer(content)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")  # type: ignore[call-overload]
    return bytes(content.data())
