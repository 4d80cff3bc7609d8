"""Runs programs in a pseudo terminal, and reads what they leave on its screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

COLOUR = re.compile(r"\x1b\[(?:\d+;)*[39]\d(?:;\d+)*m")
"""Sets the colour of the text; bold and dim text are no colours."""

_STEP = re.compile(r"\r|\n|\x1b\[\d*[AK]|\x1b\[[\d;]*m|[^\r\n\x1b]+|\x1b[^m]*m?")


class PseudoTerminal:
    """A program whose standard output and error are a terminal.

    Attributes:
        process: the program. Its standard input is a pipe.
        output: what it has written so far.
    """

    def __init__(self, arguments: list[str], folder: pathlib.Path, columns: int = 100, **environment: str) -> None:
        self._controller, self._device = os.openpty()
        self.resize(columns)
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=kept | {"TERM": "xterm"} | environment,
            stdin=subprocess.PIPE,
            stdout=self._device,
            stderr=self._device,
            text=True,
        )
        os.close(self._device)
        self.output = ""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, is_enough: Callable[[str], object]) -> None:
        """Reads on until the whole output is enough or the program has closed the terminal."""
        while not is_enough(self.output):
            data = b""
            with contextlib.suppress(OSError):  # Linux reports a terminal that nobody writes to any more as an error
                data = os.read(self._controller, 65536)
            if not data:
                return
            self.output += data.decode("utf-8", "replace")

    def end(self) -> str:
        """Reads until the program ends, and returns its whole output."""
        self.read_until(lambda output: False)
        self.process.wait(timeout=60)
        assert self.process.stdin is not None
        self.process.stdin.close()
        os.close(self._controller)
        return self.output


def loaderscope_in_terminal(folder: pathlib.Path, *arguments: str, columns: int = 100, **environment: str) -> str:
    """Runs a command in a terminal, and returns what it wrote."""
    return PseudoTerminal([sys.executable, "-m", "loaderscope", *arguments], folder, columns, **environment).end()


def screen_lines(output: str) -> list[str]:
    """Returns the lines that a terminal shows after this output, up to the cursor.

    Raises:
        AssertionError: the output has an escape sequence other than for styles, for erasing a line and for moving the cursor up.
    """
    lines, row, column = [""], 0, 0
    for step in _STEP.findall(output):
        if step == "\r":
            column = 0
        elif step == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif step.startswith("\x1b"):
            if step.endswith("A"):
                row -= int(step[2:-1])
            elif step == "\x1b[2K":
                lines[row] = ""
            else:
                assert re.fullmatch(r"\x1b\[[\d;]*m", step), repr(step)
        else:
            lines[row] = lines[row][:column].ljust(column) + step + lines[row][column + len(step) :]
            column += len(step)
    return lines[: row + 1]
