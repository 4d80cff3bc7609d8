"""`loaderscope show`: prints the results of a session."""

from __future__ import annotations

import argparse
from pathlib import Path

from loaderscope.cli.files import read_document
from loaderscope.cli.outcome import OK
from loaderscope.cli.printing import add_json_option, print_document

NAME = "show"
HELP = "print the results, recommendation and findings of a session"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="SESSION")
    add_json_option(parser)


def run(options: argparse.Namespace) -> int:
    print_document(read_document(Path(options.session)), options.json)
    return OK
