"""The console of `rich` as every command uses it: with our styles, and with all texts printed literally."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.text import Text
from rich.theme import Theme

from loaderscope.cli.terminal.printable import printable

UNLIMITED_COLUMNS = 10_000  # a pipe or file has no edge at which to cut lines off

THEME = Theme(
    {
        "error": "bold red",
        "warning": "yellow",
        "info": "cyan",
        "muted": "dim",
        "heading": "bold",
        "recommended": "bold green",
    }
)
"""The styles by name. The roles in `facts.statuses.Status.role` and the severities of findings are names of styles."""


class TerminalConsole(Console):
    """Writes to a stream. Escape sequences reach only a terminal."""

    def __init__(self, stream: TextIO, columns: int | None = None) -> None:
        """Makes a console.

        Args:
            stream: a terminal, a pipe or a file.
            columns: the width; None for that of the terminal, also after the user resizes it.
        """
        super().__init__(
            file=stream,
            width=columns,
            theme=THEME,
            force_terminal=stream.isatty(),  # FORCE_COLOR would let rich write escape sequences to a pipe
            force_jupyter=False,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def on_broken_pipe(self) -> None:
        """Leaves a closed pipe to the caller: rich itself would end the process."""
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError

    def show_cursor(self, show: bool = True) -> bool:
        """Leaves the cursor visible, so that a process that is stopped or killed cannot leave it hidden."""
        return False


def unwrapped(text: str, style: str = "") -> Text:
    """Returns a line that is printed whole, however narrow the terminal is."""
    return Text(printable(text), style, no_wrap=True, overflow="ignore")


def stacked(parts: Iterable[RenderableType | None]) -> RenderableType | None:
    """Returns the parts one below the other; None if there are none."""
    present = [part for part in parts if part is not None]
    return Group(*present) if present else None


def spaced(parts: Iterable[RenderableType | None]) -> RenderableType:
    """Returns the parts one below the other with an empty line between them."""
    lines: list[RenderableType] = []
    for part in parts:
        if part is not None:
            lines += [Text(), part] if lines else [part]
    return Group(*lines)
