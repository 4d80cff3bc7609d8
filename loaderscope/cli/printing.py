"""Standard output."""

from __future__ import annotations

import json
from typing import Any

UNLIMITED_COLUMNS = 10_000  # into a pipe or file nothing is cut off


def print_document(document: dict[str, Any], as_json: bool) -> None:
    """Prints a session's document, as it is or as tables."""
    if as_json:
        print_json(document)
    else:
        from loaderscope.session.table import format_table

        print(format_table(document))


def print_json(document: dict[str, Any]) -> None:
    """Prints one JSON document."""
    print(json.dumps(document, indent=1, allow_nan=False))
