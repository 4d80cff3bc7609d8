"""The report as pieces to be painted one below the other: paragraphs, rows of tables, figures. No page cuts a piece."""

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

from loaderscope.gui.panels.finding_cards import Card
from loaderscope.gui.report.blocks import Block, Facts, Picture, Report, Table, TableRow, Words, unbroken
from loaderscope.gui.style.figures import Figure, font_of
from loaderscope.gui.style.palette import LIGHT

GAP_PX = 12
MARGIN_PX = 36
"""Free space around a report that is one tall page."""

_FONT_PX = 13
_SMALL_PX = 11
_CELL_PX = 5
_CARD_PX = 11.0
"""From the left edge of a card to its text."""

_WIDEST_CELL_PX = 380.0
_ABOVE_PX = 120.0
"""Room for a heading and a few lines above the tallest figure, so that both fit on one page."""

_LEAST_FACTOR = 0.85
"""A figure that fits a page only below this scale is spread over several pages."""

_BEST = "#e3f0f9"
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of the report that is on one page as a whole.

    Attributes:
        height: logical pixels.
        paint: paints it with the top left corner at (0, 0).
        above: free space above it in logical pixels, left out at the top of a page.
        stays_with_next: whether no page may end with it.
        repeated: the piece that is painted above it if a page begins with it.
    """

    height: float
    paint: Callable[[QPainter], object]
    above: float = 0.0
    stays_with_next: bool = False
    repeated: Piece | None = None


def pieces_of(report: Report, width: int, tallest: float) -> list[Piece]:
    """Returns the pieces of a report from top to bottom.

    Args:
        report: the content.
        width: of the pieces, in logical pixels.
        tallest: greatest height of a figure with its heading, in logical pixels; taller ones are scaled down or cut.
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
    introductions = {id(block) for block, below in itertools.pairwise(blocks) if isinstance(below, Picture | Table)}
    for is_half, group in itertools.groupby(blocks, lambda block: isinstance(block, Picture) and block.is_half):
        if is_half:
            pictures = [block for block in group if isinstance(block, Picture)]
            for first in range(0, len(pictures), 2):
                yield _side_by_side(pictures[first : first + 2], width)
        else:
            for block in group:
                yield from _block(block, width, tallest, stays_with_next=id(block) in introductions)


def _block(block: Block, width: int, tallest: float, *, stays_with_next: bool) -> Iterable[Piece]:
    """`stays_with_next`: whether the words introduce the block below them."""
    match block:
        case Words(text):
            return [_words(text, width, above=7, stays_with_next=stays_with_next)]
        case Card(colour, text):
            return [_card(colour, text, width)]
        case Facts(entries):
            return [_fact(name, value, width, is_last=number == len(entries) - 1) for number, (name, value) in enumerate(entries)]
        case Table():
            return _table(block, width)
        case Picture():
            return _picture(block, width, tallest - _ABOVE_PX)


def _words(text: str, width: float, pixels: int = _FONT_PX, *, above: float = 0.0, stays_with_next: bool = False) -> Piece:
    document = _document(text, width, pixels)
    return Piece(document.size().height(), lambda painter: _draw(document, painter), above, stays_with_next)


def _card(colour: str, text: str, width: float) -> Piece:
    """Returns a text beside a line in a colour."""
    document = _document(text, width - _CARD_PX)
    height = document.size().height()

    def paint(painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, 3, height), QColor(colour))
        painter.translate(_CARD_PX, 0)
        _draw(document, painter)

    return Piece(height, paint, above=9)


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
    """Draws the text in the colours of print, whatever the theme of the window."""
    context = QAbstractTextDocumentLayout.PaintContext()
    palette = QPalette(context.palette)
    palette.setColor(QPalette.ColorRole.Text, QColor(LIGHT.text))
    context.palette = palette
    document.documentLayout().draw(painter, context)


def _fact(name: str, value: str, width: float, *, is_last: bool) -> Piece:
    names_px = 130.0
    key = _document(f"<span style='color:{LIGHT.muted}'>{html.escape(name)}</span>", names_px)
    content = _document(html.escape(value), width - names_px)

    def paint(painter: QPainter) -> None:
        _draw(key, painter)
        painter.translate(names_px, 0)
        _draw(content, painter)

    return Piece(max(key.size().height(), content.size().height()), paint, above=3, stays_with_next=not is_last)


def _picture(picture: Picture, width: int, tallest: float) -> Iterator[Piece]:
    """Yields the picture as one piece, or as several if its letters would become too small to read."""
    figure, caption = picture.make_figure(width), _caption(picture, width)
    room = tallest - caption.size().height() - 4
    if figure.size.height() * _LEAST_FACTOR > room and picture.make_parts is not None:
        *parts, figure = picture.make_parts(width, room)
        for part in parts:
            yield _figure_piece(part, width, room, None)
    elif figure.size.height() > room:  # made for a greater width, it still fills the page when it is scaled down
        figure = picture.make_figure(round(width * figure.size.height() / room))
    yield _figure_piece(figure, width, room, caption)


def _figure_piece(figure: Figure, width: int, room: float, caption: QTextDocument | None) -> Piece:
    """Returns a figure with its caption, as wide as the page unless it would then be taller than `room`."""
    factor = min(width / figure.size.width(), room / figure.size.height())

    def paint(painter: QPainter) -> None:
        _paint_figure(painter, figure, factor)
        for x in (-MARGIN_PX - 1.0, width + 1.0):  # the SVG generator does not clip paint outside the figure
            painter.fillRect(QRectF(x, 0, MARGIN_PX, figure.size.height() * factor), QColor(LIGHT.base))
        if caption is not None:
            painter.translate(0, figure.size.height() * factor + 4)
            _draw(caption, painter)

    return Piece(figure.size.height() * factor + (4 + caption.size().height() if caption is not None else 0), paint, above=8)


def _side_by_side(pictures: Sequence[Picture], width: int) -> Piece:
    half = (width - GAP_PX) // 2 if len(pictures) > 1 else min(width, 620)
    figures = [picture.make_figure(half) for picture in pictures]
    captions = [_caption(picture, half) for picture in pictures]
    tallest = max(figure.size.height() for figure in figures)

    def paint(painter: QPainter) -> None:
        for figure, caption in zip(figures, captions, strict=True):
            painter.save()
            _paint_figure(painter, figure, 1.0)
            painter.translate(0, tallest + 4)
            _draw(caption, painter)
            painter.restore()
            painter.translate(half + GAP_PX, 0)

    return Piece(tallest + 4 + max(caption.size().height() for caption in captions), paint, above=10)


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
    """Yields the titles, which are repeated on every page, and each row as a piece. A table that is too wide gets smaller letters."""
    metrics, bold = QFontMetricsF(font_of(_FONT_PX)), QFontMetricsF(_bold())
    natural_px = []
    for number, title in enumerate(table.titles):
        cells = [(bold if row.is_best else metrics).horizontalAdvance(row.cells[number]) for row in table.rows]
        natural_px.append(min(max([bold.horizontalAdvance(title), *cells]), _WIDEST_CELL_PX) + 2 * _CELL_PX)
    factor = min(width / sum(natural_px), 1.0)
    extra_px = max(width / factor - sum(natural_px), 0) / len(natural_px)
    columns = [column_px + min(extra_px, 24.0) for column_px in natural_px]
    line_px = metrics.height() + 6
    titles = _table_line(table.titles, columns, line_px, factor, names=table.names, is_head=True)
    head = Piece(line_px * factor, titles, 6, stays_with_next=True)
    yield head
    for row in table.rows:
        note = _document(html.escape(row.note), sum(columns) - 2 * _CELL_PX, _SMALL_PX) if row.note else None
        row_px = line_px + (note.size().height() + 6 if note is not None else 0)
        yield Piece(row_px * factor, _table_line(row.cells, columns, line_px, factor, names=table.names, row=row, note=note), repeated=head)


def _table_line(
    cells: Sequence[str],
    columns: Sequence[float],
    line_px: float,
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
            painter.fillRect(QRectF(0, 0, sum(columns), line_px), QColor(_BEST))
        painter.setFont(_bold() if is_head or is_best else font_of(_FONT_PX))
        painter.setPen(QColor(LIGHT.text))
        x = 0.0
        for number, (cell, width) in enumerate(zip(cells, columns, strict=True)):
            box = QRectF(x + _CELL_PX, 0, width - 2 * _CELL_PX, line_px)
            text = (
                cell if width < _WIDEST_CELL_PX else painter.fontMetrics().elidedText(cell, Qt.TextElideMode.ElideMiddle, int(box.width()))
            )
            painter.drawText(box, _LEFT if number < names else _RIGHT, text)
            x += width
        painter.fillRect(QRectF(0, line_px - 1, x, 1), QColor(LIGHT.border if is_head else LIGHT.grid))
        if note is not None:
            painter.translate(_CELL_PX, line_px + 2)
            _draw(note, painter)

    return paint


def _bold() -> QFont:
    font = font_of(_FONT_PX)
    font.setBold(True)
    return font
