"""What commands print, as plain text."""

from __future__ import annotations

import io
from typing import Any

from rich.console import RenderableType

from loaderscope.cli.terminal.console import TerminalConsole
from loaderscope.cli.terminal.results_table import results_page


def plain_text(page: RenderableType, columns: int = 80) -> str:
    """What a pipe gets of a page."""
    stream = io.StringIO()
    TerminalConsole(stream, columns).print(page, crop=False)
    return stream.getvalue().removesuffix("\n")


def format_table(document: dict[str, Any], width: int = 80) -> str:
    """What a pipe gets of the results in the JSON document of a run."""
    return plain_text(results_page(document), width)
