"""The report as one self-contained HTML page: no network, no script, no other file."""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Iterable

from loaderscope.gui.panels.finding_cards import Card
from loaderscope.gui.report.blocks import Block, Facts, Picture, Report, Section, Table, TableRow, Words, unbroken
from loaderscope.gui.style.figures import Figure, png_bytes
from loaderscope.gui.style.palette import LIGHT

WIDTH_PX = 960
HALF_PX = 465
ALONE_PX = 620
"""Widths of whole, half and single half figures. A wide screen shows them at these widths, so that it scales none."""

_CONTENT_PX = WIDTH_PX + 18
_TALLEST_PX = 1180.0
"""A figure of full width that is taller is cut into parts, so that each part fits a printed page."""

_READABLE_PX = 640
"""A narrower screen scrolls a figure instead of making it smaller than this."""

_STYLE = f"""
:root {{ color-scheme: light; }}
body {{ font: 15px/1.5 system-ui, "Segoe UI", sans-serif; color: {LIGHT.text}; background: {LIGHT.window}; margin: 0; }}
main {{ max-width: {_CONTENT_PX}px; margin: 0 auto; padding: 28px 24px 48px; overflow-wrap: anywhere; }}
h1 {{ font-size: 26px; margin: 0 0 4px; line-height: 1.25; }} h2 {{ font-size: 17px; margin: 32px 0 8px; }}
p {{ margin: 0 0 9px; }}
.card {{ margin: 0 0 12px; border-left: 4px solid; padding: 1px 0 1px 11px; }} code {{ font-size: 13px; }}
p.lead {{ font-size: 17px; margin: 6px 0 0; }} .muted {{ color: {LIGHT.muted}; }}
footer {{ margin-top: 28px; color: {LIGHT.muted}; font-size: 13px; }}
figure {{ margin: 12px 0; background: {LIGHT.base}; border: 1px solid {LIGHT.border}; border-radius: 4px; padding: 8px; }}
figure img {{ width: 100%; height: auto; display: block; }} figcaption {{ color: {LIGHT.muted}; font-size: 13px; padding: 4px 4px 0; }}
figure.cut img + img {{ margin-top: 18px; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; gap: 12px; margin: 12px 0; }} .pair figure {{ margin: 0; min-width: 0; }}
.alone {{ max-width: {ALONE_PX + 18}px; }}
table {{ border-collapse: collapse; background: {LIGHT.base}; font-size: 14px; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 4px 8px; border-bottom: 1px solid {LIGHT.grid}; text-align: right; white-space: nowrap; }}
thead th {{ border-bottom: 1px solid {LIGHT.border}; }} tr.best td {{ background: #e3f0f9; font-weight: 600; }}
th.name, td.name {{ text-align: left; white-space: normal; min-width: 90px; }}
td.note {{ text-align: left; white-space: normal; color: {LIGHT.muted}; }}
table.facts th {{ text-align: left; font-weight: inherit; color: {LIGHT.muted}; vertical-align: top; }}
table.facts td {{ text-align: left; white-space: normal; }} .scroll {{ overflow-x: auto; }} section > .scroll {{ margin: 12px 0 14px; }}
@media screen and (min-width: 1100px) {{ /* a wide table goes on to the right, where the window is wider than the text */
  section > .scroll {{ width: max-content; max-width: max(100%, calc(50vw + {_CONTENT_PX // 2 - 40}px)); }}
}}
@media screen and (max-width: 800px) {{
  main {{ padding: 18px 12px 32px; }} .pair {{ display: block; }} .pair figure {{ margin: 12px 0; }}
  figure img {{ min-width: {_READABLE_PX}px; }} .pair img, .alone img {{ min-width: {HALF_PX}px; }}
}}
@page {{ margin: 12mm; }}
@media print {{
  body {{ font-size: 9.5pt; background: none; }} main {{ max-width: none; padding: 0 1px; }} p.lead {{ font-size: 11pt; }}
  h1 {{ font-size: 16pt; }} h2 {{ font-size: 12pt; break-after: avoid; }}
  p:has(+ figure), p:has(+ .pair), p:has(+ .scroll) {{ break-after: avoid; }}
  code {{ font-size: 8.5pt; }} figure, tr, p, td, .facts, .card {{ break-inside: avoid; }} thead {{ display: table-header-group; }}
  figure.cut {{ break-inside: auto; }} figure.cut img {{ break-inside: avoid; }}
  .alone {{ max-width: 66%; }} figure {{ padding: 4px; }} figure img {{ max-height: 235mm; object-fit: contain; }}
  figcaption, footer {{ font-size: 8pt; }} footer {{ break-before: avoid; }}
  th, td {{ padding: 2px 4px; font-size: 7.5pt; }} .scroll {{ overflow: visible; }}
  tr.best td {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
}}
"""


def to_html(report: Report) -> str:
    """Returns the whole page."""
    title = html.escape(f"{report.target} of {report.script} – Loaderscope")
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    head = f"<meta charset='utf-8'>{view}<title>{title}</title><style>{_STYLE}</style>"
    parts = [
        f"<h1>{html.escape(report.target)} <span class='muted'>of {html.escape(report.script)}</span></h1>",
        *([f"<p class='lead'>{unbroken(html.escape(report.summary))}</p>"] if report.summary else []),
        *(_section(section) for section in report.sections),
        f"<footer>{html.escape(report.colophon)}</footer>",
    ]
    body = "\n".join(parts)
    return f"<!doctype html><html lang='en'><head>{head}</head><body><main>\n{body}\n</main></body></html>\n"


def _section(section: Section) -> str:
    return "\n".join((f"<section><h2>{html.escape(section.heading)}</h2>", *_blocks(section.blocks), "</section>"))


def _blocks(blocks: Iterable[Block]) -> Iterable[str]:
    for is_half, group in itertools.groupby(blocks, lambda block: isinstance(block, Picture) and block.is_half):
        members = list(group)
        if not is_half:
            yield from map(_block, members)
        else:
            yield f"<div class='{'pair' if len(members) > 1 else 'alone'}'>"
            yield from (_picture(block, HALF_PX if len(members) > 1 else ALONE_PX) for block in members if isinstance(block, Picture))
            yield "</div>"


def _block(block: Block) -> str:
    match block:
        case Words(text):
            return f"<p>{unbroken(text)}</p>"
        case Card(colour, text):
            return f"<div class='card' style='border-color:{colour}'>{unbroken(text)}</div>"
        case Picture():
            return _picture(block, WIDTH_PX)
        case Facts(entries):
            rows = (f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in entries)
            return f"<table class='facts'>{''.join(rows)}</table>"
        case Table():
            return _table(block)


def _picture(picture: Picture, width: int) -> str:
    figures = [picture.make_figure(width)]
    if picture.make_parts is not None and figures[0].size.height() > _TALLEST_PX:
        figures = list(picture.make_parts(width, _TALLEST_PX))
    images = "".join(_image(figure, picture.alt_text if not number else "continued") for number, figure in enumerate(figures))
    cut = " class='cut'" if len(figures) > 1 else ""
    return f"<figure{cut}><div class='scroll'>{images}</div><figcaption>{html.escape(picture.caption)}</figcaption></figure>"


def _image(figure: Figure, alt_text: str) -> str:
    source = "data:image/png;base64," + base64.b64encode(png_bytes(figure.image())).decode("ascii")
    return f"<img src='{source}' alt='{html.escape(alt_text)}' width='{figure.width}' height='{round(figure.size.height())}'>"


def _table(table: Table) -> str:
    head = "".join(
        f"<th scope='col'{_class_attribute(number, table)} title='{html.escape(tip)}'>{html.escape(title)}</th>"
        for number, (title, tip) in enumerate(zip(table.titles, table.tips, strict=True))
    )
    rows = "".join(_row(row, table) for row in table.rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _class_attribute(column: int, table: Table) -> str:
    return " class='name'" if column < table.names else ""


def _row(row: TableRow, table: Table) -> str:
    cells = "".join(f"<td{_class_attribute(number, table)}>{html.escape(cell)}</td>" for number, cell in enumerate(row.cells))
    note = f"<tr><td colspan='{len(row.cells)}' class='note'>{html.escape(row.note)}</td></tr>" if row.note else ""
    return f"<tr{' class=best' if row.is_best else ''}>{cells}</tr>{note}"
