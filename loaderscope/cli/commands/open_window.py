"""`loaderscope [open]`: opens the window."""

from __future__ import annotations

import argparse
from pathlib import Path

from loaderscope.cli.outcome import UsageError
from loaderscope.cli.qt import start_window

NAME = "open"
HELP = "open the window, with a script or a session file"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="SCRIPT | SESSION", nargs="?")
    parser.add_argument("--python", metavar="INTERPRETER", help="the Python that has your torch (this one)")


def run(options: argparse.Namespace) -> int:
    path = existing_path(options.path) if options.path is not None else None
    return start_window(path=path, python=options.python, script_args=options.script_args)


def existing_path(name: str) -> Path:
    """Returns the path of a script or session.

    Raises:
        UsageError: the file does not exist. The name may be a misspelt command.
    """
    path = Path(name)
    if not path.exists():
        raise UsageError(f"there is neither a file nor a command {name}")
    return path
