"""What each worker is sent, as areas."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter

from loaderscope.facts.results import SentPart
from loaderscope.facts.text import bytes_text, duration_text, share_text
from loaderscope.gui.charts.drawing import Hit, draw_empty, elided
from loaderscope.gui.charts.legend import Entry, draw_legend
from loaderscope.gui.style.palette import Palette, text_on

EMPTY = "What each worker is sent when it starts was not weighed in this run."
NOTHING = "Nothing that each worker is sent weighs anything."

OWNERS: dict[str, tuple[str, str]] = {
    "dataset": ("fetch", "dataset"),
    "sampler": ("collate", "sampler"),
    "collate_fn": ("step", "collate_fn"),
    "worker_init_fn": ("pin", "worker_init_fn"),
    "other": ("own", "other"),
}
"""Colour role and name of what an attribute belongs to."""

Rect = tuple[float, float, float, float]
"""Left, top, width, height."""


@dataclasses.dataclass(frozen=True)
class SentData:
    """The parts, largest first; None: they were not weighed."""

    parts: tuple[SentPart, ...] | None = None


def sent_data(sent: Sequence[SentPart] | None) -> SentData:
    """What the tree map shows."""
    if sent is None:
        return SentData()
    return SentData(tuple(sorted((part for part in sent if part.bytes > 0), key=lambda part: -part.bytes)))


def squarify(sizes: Sequence[float], area: Rect) -> list[Rect]:
    """Rectangles with areas in proportion to sizes, as near to squares as rows of them allow.

    Source: Bruls, Huizing and van Wijk, "Squarified treemaps" (2000).

    Args:
        sizes: above 0, largest first.
        area: all of which is filled.
    """
    total, found, at = sum(sizes), [], 0
    left, top, width, height = area
    scale = width * height / total if total > 0 else 0.0
    while at < len(sizes):
        side = min(width, height)
        count = 1
        while at + count < len(sizes) and _worst(sizes[at : at + count + 1], side, scale) <= _worst(sizes[at : at + count], side, scale):
            count += 1
        row = sizes[at : at + count]
        thickness = sum(row) * scale / side if side > 0 else 0.0
        offset = 0.0
        for size in row:
            length = size * scale / thickness if thickness > 0 else 0.0
            upright = width >= height
            found.append((left, top + offset, thickness, length) if upright else (left + offset, top, length, thickness))
            offset += length
        if width >= height:
            left, width = left + thickness, max(0.0, width - thickness)
        else:
            top, height = top + thickness, max(0.0, height - thickness)
        at += count
    return found


def _worst(row: Sequence[float], side: float, scale: float) -> float:
    """The largest ratio of sides in a row of sizes along a side."""
    whole = sum(row) * scale
    if whole <= 0 or side <= 0:
        return float("inf")
    return max(side * side * max(row) * scale / whole**2, whole**2 / (side * side * min(row) * scale))


def paint_sent(painter: QPainter, area: QRectF, data: SentData, palette: Palette) -> list[Hit]:
    """Draws the parts as areas and says what each is."""
    if not data.parts:
        draw_empty(painter, area, EMPTY if data.parts is None else NOTHING, palette)
        return []
    owners = {part.owner for part in data.parts}
    used = draw_legend(painter, [Entry(palette.role(role), name) for key, (role, name) in OWNERS.items() if key in owners], area, palette)
    place = area.adjusted(0, used, 0, 0)
    total = sum(part.bytes for part in data.parts)
    metrics = QFontMetricsF(painter.font())
    hits = []
    rects = squarify([float(part.bytes) for part in data.parts], (place.left(), place.top(), place.width(), place.height()))
    for part, rect in zip(data.parts, rects, strict=True):
        box = QRectF(*rect)
        colour = palette.role(OWNERS.get(part.owner, OWNERS["other"])[0])
        inner = box.adjusted(0.5, 0.5, -0.5, -0.5) if min(box.width(), box.height()) > 3 else box
        painter.fillRect(inner, QColor(colour))
        lines = [part.attribute, part.type_name, f"{bytes_text(part.bytes)} · {share_text(part.bytes / total)}"]
        room = int((box.height() - 6) // metrics.height())
        if room >= 1 and box.width() > 36:
            painter.setPen(QColor(text_on(colour)))
            shown = lines if room >= 3 else [lines[0], lines[2]][:room]
            for index, line in enumerate(shown):
                row = QRectF(box.left() + 5, box.top() + 3 + index * metrics.height(), box.width() - 10, metrics.height())
                painter.drawText(row, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, elided(painter, line, row.width()))
        lines.append(f"pickle {duration_text(part.pickle_s)}, unpickle {duration_text(part.unpickle_s)}")
        hits.append(Hit(box, "\n".join([*lines, part.error] if part.error else lines)))
    return hits
