"""The report painted: on the pages of a PDF, or as one tall page in an SVG or a PNG."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMarginsF, QRectF, Qt
from PySide6.QtGui import QColor, QPageLayout, QPageSize, QPainter, QPdfWriter

from loaderscope.gui.report.blocks import Report
from loaderscope.gui.report.painted_blocks import MARGIN_PX, Piece, pieces_of
from loaderscope.gui.style.figures import PDF_DPI, Figure, font_of, painting, whole_file
from loaderscope.gui.style.palette import LIGHT

WIDTH_PX = 860
TALL_WIDTH_PX = 1100

_PAGE_MARGIN_MM = 13.0
_FOOT_PX = 26


@dataclasses.dataclass(frozen=True)
class Placed:
    """A piece with its place on a page."""

    y: float
    piece: Piece


def write_pdf(report: Report, path: Path) -> None:
    """On A4 pages with numbers.

    Raises:
        FigureError: it cannot be written.
    """
    with whole_file(path) as part:
        writer = QPdfWriter(os.fspath(part))
        writer.setResolution(PDF_DPI)
        margins = QMarginsF(_PAGE_MARGIN_MM, _PAGE_MARGIN_MM, _PAGE_MARGIN_MM, _PAGE_MARGIN_MM)
        page = QPageSize(QPageSize.PageSizeId.A4)
        writer.setPageLayout(QPageLayout(page, QPageLayout.Orientation.Portrait, margins, QPageLayout.Unit.Millimeter))
        writer.setTitle(_title(report))
        writer.setCreator("Loaderscope")
        scale = writer.width() / WIDTH_PX
        tall = writer.height() / scale - _FOOT_PX
        pages = in_pages(pieces_of(report, WIDTH_PX, tall), tall)
        with painting(writer) as painter:
            painter.scale(scale, scale)
            for number, placed in enumerate(pages, 1):
                if number > 1:
                    writer.newPage()
                _paint_pieces(painter, placed)
                _paint_foot(painter, _title(report), f"{number} / {len(pages)}", tall)


def tall_page(report: Report) -> Figure:
    """Everything on one page as a figure."""
    pieces = pieces_of(report, TALL_WIDTH_PX, math.inf)
    (placed,) = in_pages(pieces, math.inf)
    width = TALL_WIDTH_PX + 2 * MARGIN_PX
    height = math.ceil(placed[-1].y + placed[-1].piece.height) + 2 * MARGIN_PX

    def paint(painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, width, height), QColor(LIGHT.base))
        painter.translate(MARGIN_PX, MARGIN_PX)
        _paint_pieces(painter, placed)

    return Figure(_title(report), paint, width, height)


def in_pages(pieces: Sequence[Piece], tall: float) -> list[list[Placed]]:
    """Pieces on pages of a height: none is cut, and no page ends with one that stays with the next where both fit on one."""
    pages: list[list[Placed]] = [[]]
    y = 0.0
    for group in _kept_together(pieces, tall):
        needed = sum(piece.above + piece.height for piece in group)
        if pages[-1] and y + needed > tall:
            pages.append([])
            y = 0.0
            repeated = group[0].repeated
            if repeated is not None:
                pages[-1].append(Placed(0.0, repeated))
                y = repeated.height
        for piece in group:
            y += piece.above if pages[-1] else 0.0
            pages[-1].append(Placed(y, piece))
            y += piece.height
    return pages


def _kept_together(pieces: Sequence[Piece], tall: float) -> list[list[Piece]]:
    """Pieces that stay with each other, as far as they fit on a page of this height."""
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        group = groups[-1]
        if group and (not group[-1].stays_with_next or sum(one.above + one.height for one in [*group, piece]) > tall):
            groups.append([])
        groups[-1].append(piece)
    return groups


def _paint_pieces(painter: QPainter, placed: Sequence[Placed]) -> None:
    for one in placed:
        painter.save()
        painter.translate(0, one.y)
        one.piece.paint(painter)
        painter.restore()


def _paint_foot(painter: QPainter, left: str, right: str, tall: float) -> None:
    painter.setFont(font_of(10))
    painter.setPen(QColor(LIGHT.muted))
    box = QRectF(0, tall + 8, WIDTH_PX, _FOOT_PX - 8)
    middle = Qt.AlignmentFlag.AlignVCenter
    painter.drawText(box, Qt.AlignmentFlag.AlignRight | middle, right)
    painter.drawText(box, Qt.AlignmentFlag.AlignLeft | middle, painter.fontMetrics().elidedText(left, Qt.TextElideMode.ElideRight, 700))


def _title(report: Report) -> str:
    return f"{report.target} of {report.script} – Loaderscope"
