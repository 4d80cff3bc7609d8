"""Writes reports and timelines of session files; works without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.gui.report.painted_report import tall_page, write_pdf
from loaderscope.gui.report.timeline_pictures import make_timeline, timelines_figure
from loaderscope.gui.style.figures import FigureError, atomic_file, caption_of, ensure_application
from loaderscope.gui.timeline.paint.timeline_figure import WIDTH_PX as FIGURE_WIDTH_PX
from loaderscope.session.file import SessionFile

PNG_SCALE = 2.0
MAX_SIDE_PX = 32_000
"""Longest side of a picture: Qt cannot paint on larger ones, and few programs show them."""


def write_timeline(session: Path, output: Path, trials: Sequence[int]) -> None:
    """Writes the timeline of one trial, or of two aligned at their first batch, as a figure.

    Args:
        session: the file.
        output: the figure; ends in `.png`, `.svg` or `.pdf`.
        trials: ids of one or two trials, from top to bottom.

    Raises:
        SessionError: the session cannot be read.
        ValueError: a trial has no timeline, or two cannot be aligned.
    """
    ensure_application()
    with SessionFile.open(session) as opened:
        timelines = []
        for number in trials:
            result = next((result for result in opened.results if result.id == number), None)
            trace = opened.trace(number) if result is not None else None
            if result is None or trace is None or trace.origin_ns is None:
                raise ValueError(f"trial {number} has no timeline; `loaderscope show` lists the trials of a session")
            timelines.append(make_timeline(opened, result, trace))
        run = opened.run
    try:
        timelines_figure(timelines, width=FIGURE_WIDTH_PX, caption=caption_of(run)).write(output)
    except FigureError as error:
        raise ValueError(str(error).rstrip(".")) from error


def write_report(session: Path, outputs: Sequence[Path]) -> None:
    """Writes the whole report of a session file.

    Args:
        session: the file.
        outputs: files to write: `.html` as a page for a browser, `.pdf` in pages for print, `.svg` and `.png` as one tall page.

    Raises:
        SessionError: the session cannot be read.
        ValueError: an output has another suffix.
        OSError: an output cannot be written.
    """
    ensure_application(with_widgets=True)
    with SessionFile.open(session) as opened:
        report = build_report(opened)
    for output in outputs:
        suffix = output.suffix.lower()
        try:
            if suffix == ".html":
                page = to_html(report)
                with atomic_file(output) as part:
                    part.write_text(page, encoding="utf-8")
            elif suffix == ".pdf":
                write_pdf(report, output)
            else:
                figure = tall_page(report)
                figure.write(output, min(PNG_SCALE, MAX_SIDE_PX / figure.size.height()))
        except FigureError as error:
            raise OSError(str(error).rstrip(".")) from error
