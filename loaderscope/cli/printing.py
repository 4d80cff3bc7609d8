"""Standard output."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from loaderscope.cli.outcome import UsageError

UNLIMITED_COLUMNS = 10_000  # into a pipe or file nothing is cut off


def print_document(document: dict[str, Any], as_json: bool) -> None:
    """Prints a session's document, as it is or as tables."""
    if as_json:
        print_json(document)
    else:
        from loaderscope.cli.terminal.results_table import format_table

        print_text(format_table(document))


def print_json(document: dict[str, Any]) -> None:
    """Prints one JSON document."""
    print_text(json.dumps(document, indent=1, allow_nan=False))


def print_text(text: str) -> None:
    """Prints some text at once.

    Raises:
        UsageError: standard output cannot be written, e.g. to a disk that is full.
        BrokenPipeError: nobody reads it any more.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise UsageError(f"standard output cannot be written: {error.strerror or error}") from error


def discard_output() -> None:
    """What could not be written is tried again at the end of the process: let it go nowhere then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
