"""Which files a command reads and may write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from loaderscope.cli.outcome import UsageError

SESSION_SUFFIX = ".loaderscope"
FIGURE_SUFFIXES = (".html", ".pdf", ".png", ".svg")


def script_path(name: str) -> Path:
    """The script of that name.

    Raises:
        UsageError: there is none.
    """
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"{name} is a folder, not a script")
    if not path.exists():
        raise UsageError(f"there is no file {name}")
    return path.absolute()


def may_write(path: Path, force: bool) -> None:
    """Looks whether a file may be made.

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


def free_name(path: Path) -> Path:
    """The path itself, or with a number if it, or the report beside it, is taken."""
    candidate, number = path, 1
    while any(candidate.with_suffix(suffix).exists() for suffix in (SESSION_SUFFIX, ".html", ".png")):
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def read_document(session: Path) -> dict[str, Any]:
    """The JSON document of a session file.

    Raises:
        UsageError: it is none.
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
