"""Standard output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from loaderscope.cli.outcome import UsageError

UNLIMITED_COLUMNS = 10_000  # a pipe or file has no edge at which to cut lines off


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else to standard output")


def print_document(document: dict[str, Any], as_json: bool) -> None:
    """Prints the document of a session, as JSON or as tables."""
    if as_json:
        print_json(document)
    else:
        from loaderscope.cli.terminal.results_table import format_table

        print_text(format_table(document))


def print_json(document: dict[str, Any]) -> None:
    """Prints one JSON document."""
    print_text(json.dumps(document, indent=1, allow_nan=False))


def print_text(text: str) -> None:
    """Prints a text and flushes it.

    Raises:
        UsageError: standard output cannot be written, e.g. because the disk is full.
        BrokenPipeError: the reader has closed the pipe.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise UsageError(f"standard output cannot be written: {error.strerror or error}") from error


def discard_output() -> None:
    """Redirects standard output to nowhere: Python writes what is still buffered at its end, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
