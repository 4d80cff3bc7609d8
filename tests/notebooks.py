"""Notebooks for tests."""

import json
from typing import Any


def notebook_text(*cells: str, language: str = "python", old_format: bool = False) -> str:
    """The text of a notebook with these cells of code, behind a cell of text."""
    key = "input" if old_format else "source"
    parts: list[dict[str, Any]] = [{"cell_type": "markdown", "source": ["# A lesson"]}]
    parts += [{"cell_type": "code", key: cell.splitlines(keepends=True), "metadata": {}, "outputs": []} for cell in cells]
    content: dict[str, Any] = {"metadata": {"kernelspec": {"language": language}}, "nbformat": 3 if old_format else 4}
    return json.dumps(content | ({"worksheets": [{"cells": parts}]} if old_format else {"cells": parts}))
