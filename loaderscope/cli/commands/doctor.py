"""`loaderscope doctor`: reports what this machine and an interpreter offer, and measures starts with `--selftest`."""

from __future__ import annotations

import argparse

from loaderscope import __version__
from loaderscope.agent.messages import ErrorInfo
from loaderscope.cli.outcome import OK, WRONG_REQUEST, UsageError
from loaderscope.cli.printing import add_json_option, print_json, print_page
from loaderscope.sweep.options import add_narrowing_options

NAME = "doctor"
HELP = "tell what this machine and an interpreter offer: torch, start methods, GPU, shared memory, limits"

SELFTEST_COLUMNS = 100
"""The width of the self-test's page in a file."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", metavar="INTERPRETER", help="the Python to look at (this one)")
    parser.add_argument("--selftest", action="store_true", help="measure how workers start here, in at most five minutes, to be mailed")
    parser.add_argument("-o", "--output", metavar="FILE", help="the session file of the self-test (none is kept)")
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    add_narrowing_options(parser)
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    from loaderscope.cli.commands.doctor_selftest import run_selftest
    from loaderscope.cli.terminal.console import UNLIMITED_COLUMNS
    from loaderscope.cli.terminal.examination_page import examination_page
    from loaderscope.cli.terminal.selftest_page import selftest_page
    from loaderscope.gui.window.display import window_problem
    from loaderscope.session.secret_masking import mask_document
    from loaderscope.sweep.doctor import examine

    if not options.selftest and (options.output or options.num_workers or options.start_method):
        raise UsageError("--output, --num-workers and --start-method belong to --selftest")
    examination = examine(options.python, window_problem())
    status = OK if examination["interpreter"]["error"] is None else WRONG_REQUEST
    if options.selftest and status == OK:
        status, examination["selftest"] = run_selftest(options)
    examination = mask_document(examination)  # users mail it
    if options.json:
        problem = examination["interpreter"]["error"]
        error = None if problem is None else ErrorInfo("unsupported", problem).to_json()
        print_json({"loaderscope": __version__, "schema": 1, **examination, "error": error})
        return status
    print_page(examination_page(examination), UNLIMITED_COLUMNS)
    if "selftest" in examination:
        print_page("", SELFTEST_COLUMNS)
        print_page(selftest_page(examination["selftest"], examination["machine"]), SELFTEST_COLUMNS)
    return status
