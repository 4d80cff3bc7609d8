"""Reads Jupyter notebooks: the code of their cells as plain Python, without the parts that only IPython understands.

Magics and shell commands are left out, except those that change the working directory or the environment. No line moves, so a line
of a cleaned cell is the same line in the notebook.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, List, NamedTuple, Optional, Tuple

NOTEBOOK_SUFFIX = ".ipynb"

_CELL_MAGICS_AROUND_PYTHON = ("time", "timeit", "capture", "prun", "memit")
"""Cell magics whose body is Python that runs here; the cell of any other is left out."""
_LINE_MAGICS_BEFORE_PYTHON = ("time", "timeit", "prun", "memit")
"""Line magics that stand before a statement."""
_APPLIED_MAGICS = ("cd", "env", "set_env")
"""Line magics that `notebook_shell` carries out."""

_CELL_MAGIC = re.compile(r"\s*%%(?P<name>\w+)")
_MAGIC = re.compile(r"%(?P<name>\w+)\s*(?P<rest>.*)$")
_OPTIONS = re.compile(r"(?:-[a-zA-Z]\s*\d*\s+)+")
_HELP = re.compile(r"\?{1,2}\s*%{0,2}[\w.*]+$|%{0,2}[A-Za-z_*][\w.*]*\s*\?{1,2}$")
_ASSIGNMENT = re.compile(r"(?P<names>[A-Za-z_][\w.,\s\[\]'\"]*?)\s*=\s*(?P<command>[!%].*)$")


class NotebookError(Exception):
    """The file is no notebook that can be run; the message is the rest of a sentence that begins with its name."""


class Cell(NamedTuple):
    """A cell of Python code.

    Attributes:
        number: as Jupyter numbers it (`In [1]`) when it runs all cells: empty ones and those of text have none.
        source: its code, cleaned; empty where the whole cell was left out.
    """

    number: int
    source: str


class Notebook(NamedTuple):
    """A notebook: its cells of code in order, and sentences on what was left out."""

    cells: Tuple[Cell, ...]
    notes: Tuple[str, ...]


class CleanedCell(NamedTuple):
    """A cell without what only IPython understands.

    Attributes:
        source: its Python code.
        dropped_count: lines that were left out.
        magic: the cell magic for which the whole cell was left out; None for any other cell.
    """

    source: str
    dropped_count: int = 0
    magic: Optional[str] = None


def read_notebook(text: str) -> Notebook:
    """Returns the notebook of an .ipynb file, of any version of the format that has cells or worksheets.

    Raises:
        NotebookError: the text is no notebook, its language is not Python, or it has no code.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotebookError("is no notebook: its JSON is damaged (%s)" % error) from None
    raw_cells = _raw_cells(content)
    language = _language(content.get("metadata"))
    if not language.startswith("python"):
        raise NotebookError("is a notebook in %s, not in Python" % language)
    sources = [source for source in map(_code_of, raw_cells) if source.strip()]
    if not sources:
        raise NotebookError("is a notebook without code")
    cleaned = [clean_cell(source, "cell %d" % number) for number, source in enumerate(sources, 1)]
    return Notebook(tuple(Cell(number, cell.source) for number, cell in enumerate(cleaned, 1)), _notes(cleaned))


def _raw_cells(content: Any) -> List[Any]:
    if isinstance(content, dict):
        sheets = content.get("worksheets")  # until version 3 of the format
        parts = [content] if not isinstance(sheets, list) else [sheet for sheet in sheets if isinstance(sheet, dict)]
        lists = [part["cells"] for part in parts if isinstance(part.get("cells"), list)]
        if lists:
            return [cell for cells in lists for cell in cells]
    raise NotebookError("is no notebook: it holds no cells")


def _language(metadata: Any) -> str:
    """The language of a notebook in lower case; `python` where it names none."""
    entries = metadata if isinstance(metadata, dict) else {}
    for entry, key in (("kernelspec", "language"), ("language_info", "name")):
        part = entries.get(entry)
        if isinstance(part, dict) and isinstance(part.get(key), str) and part[key]:
            return str(part[key]).lower()
    return "python"


def _code_of(cell: Any) -> str:
    """The source of a cell; empty for a cell of text."""
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return ""
    source = cell.get("source", cell.get("input", ""))  # `input` until version 3
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _notes(cells: List[CleanedCell]) -> Tuple[str, ...]:
    """One sentence on what was left out of a notebook; none if it is plain Python."""
    line_count = sum(cell.dropped_count for cell in cells)
    magics = [cell.magic for cell in cells if cell.magic is not None]
    parts = []
    if line_count:
        parts.append("%d line%s of magics and shell commands" % (line_count, "s" if line_count > 1 else ""))
    if magics:
        names = ", ".join(dict.fromkeys("%%" + name for name in magics))
        parts.append("%d cell%s (%s)" % (len(magics), "s" if len(magics) > 1 else "", names))
    return ("The notebook runs without %s." % " and ".join(parts),) if parts else ()


def clean_cell(source: str, place: str) -> CleanedCell:
    """Returns a cell as Python.

    Args:
        source: the cell's text.
        place: where it is, for the error of a variable whose shell command is not run.
    """
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")  # the ends of lines that Python knows, and no others
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    match = _CELL_MAGIC.match(lines[first])
    if match is not None:
        if match.group("name") not in _CELL_MAGICS_AROUND_PYTHON:
            return CleanedCell("", 0, match.group("name"))
        lines[first] = ""
    if _is_python("\n".join(lines)):
        return CleanedCell("\n".join(lines))
    return _clean_lines(lines, place)


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _clean_lines(lines: List[str], place: str) -> CleanedCell:
    statements, cleaned, dropped_count = _OpenStatement(), [], 0
    continues_dropped = False
    for number, line in enumerate(lines, 1):
        if continues_dropped:
            replacement: Optional[_Replacement] = _Replacement("", True)
        else:
            replacement = None if statements.is_open else _replacement(line, "%s, line %d" % (place, number))
        if replacement is not None and replacement.is_dropped:
            dropped_count += 1
            continues_dropped = line.rstrip().endswith("\\")
        else:
            continues_dropped = False
        cleaned.append(line if replacement is None else replacement.text)
        statements.add_line(cleaned[-1])
    return CleanedCell("\n".join(cleaned), dropped_count)


class _Replacement(NamedTuple):
    """Python for a line that only IPython understands; `is_dropped`: nothing of the line runs."""

    text: str
    is_dropped: bool


def _replacement(line: str, place: str) -> Optional[_Replacement]:
    """Returns Python for a line at the begin of a statement; None for a line that is Python already."""
    text = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    if text.startswith("!") or _HELP.match(text):
        return _Replacement(indent + "pass", True)
    magic = _MAGIC.match(text)
    if magic is not None:
        statement = _statement_of(magic)
        return _Replacement(indent + (statement or "pass"), not statement)
    assignment = _ASSIGNMENT.match(text)
    if assignment is None:
        return None
    command = assignment.group("command")
    magic = _MAGIC.match(command)
    value = _statement_of(magic) if magic is not None and magic.group("name") in _LINE_MAGICS_BEFORE_PYTHON else ""
    if value:
        return _Replacement("%s%s = %s" % (indent, assignment.group("names"), value), False)
    call = "get_ipython().not_run(%r, %r)" % (command.rstrip("\\ "), place)
    return _Replacement("%s%s = %s" % (indent, assignment.group("names"), call), True)


def _statement_of(magic: "re.Match[str]") -> str:
    """Returns the Python that a line magic runs, or that carries it out; empty if it is left out."""
    name, rest = magic.group("name"), magic.group("rest").strip()
    if name in _LINE_MAGICS_BEFORE_PYTHON:
        return _OPTIONS.sub("", rest, count=1) if rest.startswith("-") else rest
    if name in _APPLIED_MAGICS and rest:
        return "get_ipython().run_line_magic(%r, %r)" % (name, rest)
    return ""


class _OpenStatement:
    """Follows lines of code and knows whether the next one continues a statement: in brackets, in a string, or behind a backslash."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._is_continued = False

    @property
    def is_open(self) -> bool:
        return self._depth > 0 or bool(self._quote) or self._is_continued

    def add_line(self, line: str) -> None:
        position, in_comment = 0, False
        while position < len(line) and not in_comment:
            character = line[position]
            if self._quote:
                if line.startswith(self._quote, position):
                    position += len(self._quote)
                    self._quote = ""
                else:
                    position += 2 if character == "\\" else 1
                continue
            if character in "'\"":
                self._quote = character * 3 if line.startswith(character * 3, position) else character
                position += len(self._quote)
                continue
            in_comment = character == "#"
            self._depth = max(0, self._depth + (character in "([{") - (character in ")]}"))
            position += 1
        self._is_continued = line.endswith("\\") and not in_comment
        if len(self._quote) == 1 and not self._is_continued:
            self._quote = ""  # a string in single quotes ends with its line
