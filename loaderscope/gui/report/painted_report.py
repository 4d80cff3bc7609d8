"""Paints the report on the pages of a PDF, or as one tall page for an SVG or a PNG."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMarginsF, QRectF, Qt
from PySide6.QtGui import QColor, QPageLayout, QPageSize, QPainter

from loaderscope.gui.report.blocks import Report
from loaderscope.gui.report.painted_blocks import MARGIN_PX, Piece, pieces_of
from loaderscope.gui.style.figures import Figure, atomic_file, font_of, painting, pdf_device
from loaderscope.gui.style.palette import LIGHT

WIDTH_PX = 860
TALL_WIDTH_PX = 1100

_PAGE_MARGIN_MM = 13.0
_FOOT_PX = 26


@dataclasses.dataclass(frozen=True)
class PlacedPiece:
    """A piece with its place on a page, in logical pixels from the top."""

    y: float
    piece: Piece


def write_pdf(report: Report, path: Path) -> None:
    """Writes the report on numbered A4 pages.

    Raises:
        FigureError: the file cannot be written.
    """
    margins = QMarginsF(_PAGE_MARGIN_MM, _PAGE_MARGIN_MM, _PAGE_MARGIN_MM, _PAGE_MARGIN_MM)
    layout = QPageLayout(QPageSize(QPageSize.PageSizeId.A4), QPageLayout.Orientation.Portrait, margins, QPageLayout.Unit.Millimeter)
    with atomic_file(path) as part, pdf_device(part, layout, _title(report)) as writer:
        scale = writer.width() / WIDTH_PX
        page_px = writer.height() / scale - _FOOT_PX
        pages = split_into_pages(pieces_of(report, WIDTH_PX, page_px), page_px)
        with painting(writer) as painter:
            painter.scale(scale, scale)
            for number, placed in enumerate(pages, 1):
                if number > 1:
                    writer.newPage()
                _paint_pieces(painter, placed)
                _paint_foot(painter, _title(report), f"{number} / {len(pages)}", page_px)


def tall_page(report: Report) -> Figure:
    """Returns the whole report as one figure."""
    pieces = pieces_of(report, TALL_WIDTH_PX, math.inf)
    (placed,) = split_into_pages(pieces, math.inf)
    width = TALL_WIDTH_PX + 2 * MARGIN_PX
    height = math.ceil(placed[-1].y + placed[-1].piece.height) + 2 * MARGIN_PX

    def paint(painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, width, height), QColor(LIGHT.base))
        painter.translate(MARGIN_PX, MARGIN_PX)
        _paint_pieces(painter, placed)

    return Figure(_title(report), paint, width, height)


def split_into_pages(pieces: Sequence[Piece], page_px: float) -> list[list[PlacedPiece]]:
    """Returns the pieces of each page. No page cuts a piece, or ends with one that stays with the next if both fit on one page."""
    pages: list[list[PlacedPiece]] = [[]]
    y = 0.0
    for group in _group_pieces(pieces, page_px):
        group_px = sum(piece.above + piece.height for piece in group)
        if pages[-1] and y + group_px > page_px:
            pages.append([])
            y = 0.0
            repeated = group[0].repeated
            if repeated is not None:
                pages[-1].append(PlacedPiece(0.0, repeated))
                y = repeated.height
        for piece in group:
            y += piece.above if pages[-1] else 0.0
            pages[-1].append(PlacedPiece(y, piece))
            y += piece.height
    return pages


def _group_pieces(pieces: Sequence[Piece], page_px: float) -> list[list[Piece]]:
    """Returns the pieces in groups that stay together, each no higher than a page."""
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        group = groups[-1]
        if group and (not group[-1].stays_with_next or sum(one.above + one.height for one in [*group, piece]) > page_px):
            groups.append([])
        groups[-1].append(piece)
    return groups


def _paint_pieces(painter: QPainter, placed: Sequence[PlacedPiece]) -> None:
    for one in placed:
        painter.save()
        painter.translate(0, one.y)
        one.piece.paint(painter)
        painter.restore()


def _paint_foot(painter: QPainter, left: str, right: str, page_px: float) -> None:
    painter.setFont(font_of(10))
    painter.setPen(QColor(LIGHT.muted))
    box = QRectF(0, page_px + 8, WIDTH_PX, _FOOT_PX - 8)
    middle = Qt.AlignmentFlag.AlignVCenter
    painter.drawText(box, Qt.AlignmentFlag.AlignRight | middle, right)
    painter.drawText(box, Qt.AlignmentFlag.AlignLeft | middle, painter.fontMetrics().elidedText(left, Qt.TextElideMode.ElideRight, 700))


def _title(report: Report) -> str:
    return f"{report.target} of {report.script} – Loaderscope"
