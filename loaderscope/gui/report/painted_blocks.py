"""The report in pieces that are painted one below the other and never cut: paragraphs, rows of tables, figures."""

from __future__ import annotations

import dataclasses
import html
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import (
    QAbstractTextDocumentLayout,
    QColor,
    QFont,
    QFontMetricsF,
    QPainter,
    QPalette,
    QPen,
    QTextDocument,
)

from loaderscope.gui.report.blocks import Block, Facts, Picture, Report, Table, TableRow, Words, unbroken
from loaderscope.gui.style.figures import Figure, font_of
from loaderscope.gui.style.palette import LIGHT

GAP_PX = 12
MARGIN_PX = 36
"""Free space around everything, where it is one page."""

_FONT_PX = 13
_SMALL_PX = 11
_CELL_PX = 5
_WIDEST_CELL_PX = 380.0
_ABOVE_PX = 120.0
"""Room for a heading and a few lines above the tallest figure, so that they stand on one page."""

_LEAST_FACTOR = 0.85
"""Figures that would have to be made smaller than this for a page go over several."""

_BEST = "#e3f0f9"
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclasses.dataclass(frozen=True)
class Piece:
    """Something that stands on one page as a whole.

    Attributes:
        height: logical pixels.
        paint: paints it from (0, 0) on.
        above: free space, left out at the top of a page.
        stays_with_next: a page does not end with it.
        repeated: what is painted above it where a page begins with it.
    """

    height: float
    paint: Callable[[QPainter], object]
    above: float = 0.0
    stays_with_next: bool = False
    repeated: Piece | None = None


def pieces_of(report: Report, width: int, tallest: float) -> list[Piece]:
    """The report from top to bottom.

    Args:
        report: what it tells.
        width: of what is painted, logical pixels.
        tallest: pieces are no taller than this; figures are made smaller, or cut.
    """
    title = f"<b>{html.escape(report.target)}</b> <span style='color:{LIGHT.muted}'>of {html.escape(report.script)}</span>"
    pieces = [_words(title, width, 20, stays_with_next=True)]
    if report.summary:
        pieces.append(_words(html.escape(report.summary), width, 15, above=4))
    for section in report.sections:
        pieces.append(_words(f"<b>{html.escape(section.heading)}</b>", width, 16, above=26, stays_with_next=True))
        pieces += _pieces(section.blocks, width, tallest)
    pieces.append(_words(f"<span style='color:{LIGHT.muted}'>{html.escape(report.colophon)}</span>", width, _SMALL_PX, above=20))
    return pieces


def _pieces(blocks: Sequence[Block], width: int, tallest: float) -> Iterator[Piece]:
    about = {id(block) for block, below in itertools.pairwise(blocks) if isinstance(below, Picture | Table)}
    for is_half, group in itertools.groupby(blocks, lambda block: isinstance(block, Picture) and block.is_half):
        if is_half:
            pictures = [block for block in group if isinstance(block, Picture)]
            for first in range(0, len(pictures), 2):
                yield _side_by_side(pictures[first : first + 2], width)
        else:
            for block in group:
                yield from _block(block, width, tallest, stays_with_next=id(block) in about)


def _block(block: Block, width: int, tallest: float, *, stays_with_next: bool) -> Iterable[Piece]:
    """`stays_with_next`: words are about what stands below them."""
    match block:
        case Words(text):
            return [_words(text, width, above=7, stays_with_next=stays_with_next)]
        case Facts(entries):
            return [_fact(name, value, width, is_last=number == len(entries) - 1) for number, (name, value) in enumerate(entries)]
        case Table():
            return _table(block, width)
        case Picture():
            return _picture(block, width, tallest - _ABOVE_PX)


def _words(text: str, width: float, pixels: int = _FONT_PX, *, above: float = 0.0, stays_with_next: bool = False) -> Piece:
    document = _document(text, width, pixels)
    return Piece(document.size().height(), lambda painter: _draw(document, painter), above, stays_with_next)


def _document(text: str, width: float, pixels: int = _FONT_PX) -> QTextDocument:
    document = QTextDocument()
    document.setDocumentMargin(0)
    document.setUseDesignMetrics(True)
    document.setDefaultFont(font_of(pixels))
    document.setHtml(unbroken(text))
    option = document.defaultTextOption()
    option.setWrapMode(option.WrapMode.WrapAtWordBoundaryOrAnywhere)
    document.setDefaultTextOption(option)
    document.setTextWidth(width)
    return document


def _draw(document: QTextDocument, painter: QPainter) -> None:
    """The text in the colours of print, whatever those of the window are."""
    context = QAbstractTextDocumentLayout.PaintContext()
    palette = QPalette(context.palette)
    palette.setColor(QPalette.ColorRole.Text, QColor(LIGHT.text))
    context.palette = palette
    document.documentLayout().draw(painter, context)


def _fact(name: str, value: str, width: float, *, is_last: bool) -> Piece:
    names_px = 130.0
    key = _document(f"<span style='color:{LIGHT.muted}'>{html.escape(name)}</span>", names_px)
    told = _document(html.escape(value), width - names_px)

    def paint(painter: QPainter) -> None:
        _draw(key, painter)
        painter.translate(names_px, 0)
        _draw(told, painter)

    return Piece(max(key.size().height(), told.size().height()), paint, above=3, stays_with_next=not is_last)


def _picture(picture: Picture, width: int, tallest: float) -> Iterator[Piece]:
    """As one piece, or as several where its letters would become too small to be read."""
    figure, caption = picture.figure(width), _caption(picture, width)
    room = tallest - caption.size().height() - 4
    if figure.size.height() * _LEAST_FACTOR > room and picture.parts is not None:
        *parts, figure = picture.parts(width, room)
        for part in parts:
            yield _drawn(part, width, room, None)
    elif figure.size.height() > room:  # made wider before it is made smaller, it still fills the page
        figure = picture.figure(round(width * figure.size.height() / room))
    yield _drawn(figure, width, room, caption)


def _drawn(figure: Figure, width: int, room: float, caption: QTextDocument | None) -> Piece:
    """A figure with what is said below it, as wide as the page unless it is too tall for the room that there is."""
    factor = min(width / figure.size.width(), room / figure.size.height())

    def paint(painter: QPainter) -> None:
        _paint_figure(painter, figure, factor)
        for x in (-MARGIN_PX - 1.0, width + 1.0):  # the SVG generator does not clip what sticks out
            painter.fillRect(QRectF(x, 0, MARGIN_PX, figure.size.height() * factor), QColor(LIGHT.base))
        if caption is not None:
            painter.translate(0, figure.size.height() * factor + 4)
            _draw(caption, painter)

    return Piece(figure.size.height() * factor + (4 + caption.size().height() if caption is not None else 0), paint, above=8)


def _side_by_side(pictures: Sequence[Picture], width: int) -> Piece:
    half = (width - GAP_PX) // 2 if len(pictures) > 1 else min(width, 620)
    figures = [picture.figure(half) for picture in pictures]
    captions = [_caption(picture, half) for picture in pictures]
    tall = max(figure.size.height() for figure in figures)

    def paint(painter: QPainter) -> None:
        for figure, caption in zip(figures, captions, strict=True):
            painter.save()
            _paint_figure(painter, figure, 1.0)
            painter.translate(0, tall + 4)
            _draw(caption, painter)
            painter.restore()
            painter.translate(half + GAP_PX, 0)

    return Piece(tall + 4 + max(caption.size().height() for caption in captions), paint, above=10)


def _caption(picture: Picture, width: float) -> QTextDocument:
    return _document(f"<span style='color:{LIGHT.muted}'>{html.escape(picture.caption)}</span>", width, _SMALL_PX)


def _paint_figure(painter: QPainter, figure: Figure, factor: float) -> None:
    painter.save()
    painter.scale(factor, factor)
    figure.paint(painter)
    painter.restore()
    painter.setPen(QPen(QColor(LIGHT.border), 1))
    painter.drawRect(QRectF(0, 0, figure.size.width() * factor, figure.size.height() * factor))


# Tables


def _table(table: Table, width: float) -> Iterator[Piece]:
    """Each row by itself, below titles that are told again on every page. A table that is too wide gets smaller letters."""
    metrics, bold = QFontMetricsF(font_of(_FONT_PX)), QFontMetricsF(_bold())
    natural = []
    for number, title in enumerate(table.titles):
        cells = [(bold if row.is_best else metrics).horizontalAdvance(row.cells[number]) for row in table.rows]
        natural.append(min(max([bold.horizontalAdvance(title), *cells]), _WIDEST_CELL_PX) + 2 * _CELL_PX)
    factor = min(width / sum(natural), 1.0)
    extra = max(width / factor - sum(natural), 0) / len(natural)
    columns = [part + min(extra, 24.0) for part in natural]
    line_px = metrics.height() + 6
    titles = _table_line(table.titles, columns, line_px, factor, names=table.names, is_head=True)
    head = Piece(line_px * factor, titles, 6, stays_with_next=True)
    yield head
    for row in table.rows:
        note = _document(html.escape(row.note), sum(columns) - 2 * _CELL_PX, _SMALL_PX) if row.note else None
        tall = line_px + (note.size().height() + 6 if note is not None else 0)
        yield Piece(tall * factor, _table_line(row.cells, columns, line_px, factor, names=table.names, row=row, note=note), repeated=head)


def _table_line(
    cells: Sequence[str],
    columns: Sequence[float],
    tall: float,
    factor: float,
    *,
    names: int,
    is_head: bool = False,
    row: TableRow | None = None,
    note: QTextDocument | None = None,
) -> Callable[[QPainter], None]:
    is_best = row is not None and row.is_best

    def paint(painter: QPainter) -> None:
        painter.scale(factor, factor)
        if is_best:
            painter.fillRect(QRectF(0, 0, sum(columns), tall), QColor(_BEST))
        painter.setFont(_bold() if is_head or is_best else font_of(_FONT_PX))
        painter.setPen(QColor(LIGHT.text))
        x = 0.0
        for number, (cell, wide) in enumerate(zip(cells, columns, strict=True)):
            box = QRectF(x + _CELL_PX, 0, wide - 2 * _CELL_PX, tall)
            text = (
                cell if wide < _WIDEST_CELL_PX else painter.fontMetrics().elidedText(cell, Qt.TextElideMode.ElideMiddle, int(box.width()))
            )
            painter.drawText(box, _LEFT if number < names else _RIGHT, text)
            x += wide
        painter.fillRect(QRectF(0, tall - 1, x, 1), QColor(LIGHT.border if is_head else LIGHT.grid))
        if note is not None:
            painter.translate(_CELL_PX, tall + 2)
            _draw(note, painter)

    return paint


def _bold() -> QFont:
    font = font_of(_FONT_PX)
    font.setBold(True)
    return font
