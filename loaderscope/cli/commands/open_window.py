"""`loaderscope [open]`: opens the window."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from loaderscope.cli.files import script_of_module
from loaderscope.cli.outcome import UsageError
from loaderscope.cli.qt import start_window
from loaderscope.sweep.options import add_module_option

NAME = "open"
HELP = "open the window, with a script or a session file"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="SCRIPT | SESSION", nargs="?")
    add_module_option(parser)
    parser.add_argument("--python", metavar="INTERPRETER", help="the Python that has your torch (this one)")


def run(options: argparse.Namespace) -> int:
    if options.module is not None and options.path is not None:
        raise UsageError(f"give either {options.path} or -m {options.module}")
    if options.module is not None:
        path: Path | None = script_of_module(options.module, os.getcwd(), options.python)
    else:
        path = existing_path(options.path) if options.path is not None else None
    return start_window(path=path, module=options.module, python=options.python, script_args=options.script_args)


def existing_path(name: str) -> Path:
    """Returns the path of a script or session.

    Raises:
        UsageError: the file does not exist. The name may be a misspelt command.
    """
    path = Path(name)
    if not path.exists():
        raise UsageError(f"there is neither a file nor a command {name}")
    return path
