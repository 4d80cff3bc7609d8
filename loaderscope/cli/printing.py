"""Standard output."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loaderscope import __version__
from loaderscope.cli.outcome import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from loaderscope.agent.messages import ErrorInfo

MIN_COLUMNS = 40


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else to standard output")


def print_document(document: dict[str, Any], as_json: bool) -> None:
    """Prints the document of a session, as JSON or as tables."""
    if as_json:
        print_json(document)
    else:
        from loaderscope.cli.terminal.results_table import results_page

        print_page(results_page(document))


def print_json(document: dict[str, Any]) -> None:
    """Prints one JSON document. Raises as `print_page` does."""
    with _write_errors_as_usage_errors():
        print(json.dumps(document, indent=1, allow_nan=False), flush=True)


def print_error_document(error: ErrorInfo) -> None:
    """Prints the JSON document of a command that did nothing, unless standard output cannot be written."""
    from loaderscope.session.secret_masking import mask_document

    document = {"loaderscope": __version__, "schema": 1, "error": mask_document(error.to_json())}
    try:
        print_json(document)
    except UsageError:  # the command fails for another reason, which standard error has
        return
    except BrokenPipeError:
        discard_output()


def print_page(page: RenderableType, pipe_columns: int | None = None) -> None:
    """Prints a page of `cli.terminal` and flushes it.

    Args:
        page: what to print.
        pipe_columns: its width if standard output is no terminal; None for that of the variable COLUMNS, or else 80.

    Raises:
        UsageError: standard output cannot be written, e.g. because the disk is full.
        BrokenPipeError: the reader has closed the pipe.
    """
    from loaderscope.cli.terminal.console import TerminalConsole

    columns = max(MIN_COLUMNS, shutil.get_terminal_size().columns)
    if pipe_columns is not None and not sys.stdout.isatty():
        columns = pipe_columns
    with _write_errors_as_usage_errors():
        TerminalConsole(sys.stdout, columns).print(page, crop=False)


@contextmanager
def _write_errors_as_usage_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise UsageError(f"standard output cannot be written: {error.strerror or error}") from error


def discard_output() -> None:
    """Redirects standard output to nowhere: Python writes what is still buffered at its end, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
