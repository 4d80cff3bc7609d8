"""Files that commands read and write, checked before the work begins."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from loaderscope.cli.outcome import UsageError

SESSION_SUFFIX = ".loaderscope"
FIGURE_SUFFIXES = (".html", ".pdf", ".png", ".svg")


def existing_script(name: str) -> Path:
    """Returns the absolute path of a script.

    Raises:
        UsageError: the file does not exist, or is a folder.
    """
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a folder, not a script")
    if not path.exists():
        raise UsageError(f"there is no file {name}")
    return path.absolute()


def chosen_script(options: argparse.Namespace) -> Path:
    """Returns the absolute path of the script that a command line names, as SCRIPT or by `-m MODULE`.

    Raises:
        UsageError: it names none or both, or there is no such script.
    """
    if options.module is None:
        if options.script is None:
            raise UsageError("a script is missing: SCRIPT, or -m MODULE")
        return existing_script(options.script)
    if options.script is not None:
        raise UsageError(f"give either {options.script} or -m {options.module}; arguments of the script itself follow after --")
    return script_of_module(options.module, options.cwd or os.getcwd(), options.python)


def script_of_module(name: str, cwd: str, python: str | None) -> Path:
    """Returns the absolute path of the file that `python -m NAME` would run in the folder `cwd`.

    Raises:
        UsageError: there is no such module.
    """
    from loaderscope.sweep.module_file import NoModuleError, module_file

    try:
        return Path(module_file(name, cwd, python))
    except NoModuleError as error:
        raise UsageError(str(error)) from error


def check_writable(path: Path, force: bool) -> None:
    """Checks that a command may write a file; `force` allows it to overwrite one.

    Raises:
        UsageError: it may not.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; --force overwrites it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder {path.parent.absolute()} cannot be written to; -o names another place")


def unused_path(path: Path) -> Path:
    """Returns the path, with a number added if a session, report or figure of that name exists."""
    candidate, number = path, 1
    while any(candidate.with_suffix(suffix).exists() for suffix in (SESSION_SUFFIX, ".html", ".png")):
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def read_document(session: Path) -> dict[str, Any]:
    """Returns the JSON document of a session file.

    Raises:
        UsageError: the file does not exist, or is not a session.
    """
    from loaderscope.session.file import SessionError, SessionFile

    if not session.exists():
        raise UsageError(f"there is no file {session}")
    try:
        with SessionFile.open(session) as opened:
            document: dict[str, Any] = opened.document()
            return document
    except SessionError as error:
        raise UsageError(str(error)) from error
