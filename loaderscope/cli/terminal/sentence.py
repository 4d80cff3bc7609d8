"""Sentences that wrap at the edge of a terminal."""

from __future__ import annotations

import re

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from loaderscope.cli.terminal.printable import printable
from loaderscope.facts.text import THIN_SPACE

_LINE_BREAK = re.compile(r"[\n\v\f\r]")
_SPACE_THAT_JOINS = re.compile(f"[\u00a0{THIN_SPACE}]")
_SPACE_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:[µm]?s|min|h|[kMGT]?B)\b)")
_HARD_SPACE = "\ue000"
"""Takes the place of a space at which no line may break. Rich breaks lines at U+00A0, too."""

_CUT_MARK = " …"


class Sentence:
    """A text in lines that fit the terminal and never separate a number from its unit."""

    def __init__(self, *parts: str | tuple[str, str], indent: int = 0, max_lines: int | None = None) -> None:
        """Joins the parts.

        Args:
            parts: texts, or texts with the name of a style.
            indent: columns left free at the beginning of every line but the first.
            max_lines: cuts the text off after this many lines.
        """
        self._text = Text()
        for part in parts:
            text, style = (part, "") if isinstance(part, str) else part
            self._text.append(_in_one_line(text, len(self._text)), style)
        self._text.plain = _SPACE_BEFORE_UNIT.sub(_HARD_SPACE, self._text.plain)
        self._indent = indent
        self._max_lines = max_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        begin, rest = self._text.divide([self._indent])  # so that all lines of the rest have the same width
        columns = max(1, options.max_width - self._indent)
        lines = list(rest.wrap(console, columns))
        for line in lines:
            line.rstrip()
        if self._max_lines is not None and len(lines) > self._max_lines:
            del lines[self._max_lines :]
            lines[-1].truncate(columns - len(_CUT_MARK), overflow="crop")
            lines[-1].append(_CUT_MARK)
        for number, line in enumerate(lines):
            whole = Text(no_wrap=True, overflow="ignore").append_text(Text(" " * self._indent) if number else begin).append_text(line)
            whole.plain = whole.plain.replace(_HARD_SPACE, " ")
            yield whole


def _in_one_line(text: str, column: int) -> str:
    """Returns the text, which begins in a column of its line, with spaces for tabs and line breaks."""
    without_tabs = (" " * column + text).expandtabs()[column:]
    return _HARD_SPACE.join(printable(part) for part in _SPACE_THAT_JOINS.split(_LINE_BREAK.sub(" ", without_tabs)))
