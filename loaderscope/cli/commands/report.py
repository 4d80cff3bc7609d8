"""`loaderscope report`: writes a session as a report, or the timelines of its trials as a figure."""

from __future__ import annotations

import argparse
from pathlib import Path

from loaderscope.cli.files import FIGURE_SUFFIXES, check_writable
from loaderscope.cli.outcome import OK, UsageError
from loaderscope.cli.qt import draw_session

NAME = "report"
HELP = "write a session as a report: a page for a browser, a PDF for print, or one tall picture"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help=f"its ending chooses the kind: {', '.join(FIGURE_SUFFIXES)}")
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    trials_help = "the timeline of a trial as .png, .svg or .pdf; two are drawn one above the other, aligned at their first batch"
    parser.add_argument("--trials", metavar="A[,B]", type=_trial_ids, help=trials_help)


def run(options: argparse.Namespace) -> int:
    output = Path(options.output)
    if output.suffix.lower() not in FIGURE_SUFFIXES:
        raise UsageError(f"the name of the report must end in one of {', '.join(FIGURE_SUFFIXES)}, {output} does not")
    if options.trials and output.suffix.lower() == ".html":
        raise UsageError("--trials draws a figure: the name must end in .png, .svg or .pdf")
    check_writable(output, options.force)
    draw_session(Path(options.session), [output], options.trials)
    return OK


def _trial_ids(text: str) -> tuple[int, ...]:
    """Returns one trial number, or two that a comma separates."""
    parts = text.split(",")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"one trial number or two with a comma are wanted, not {text!r}")
    return tuple(map(int, parts))
