"""The commands that need Qt: what is missing for it is told before it is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loaderscope.cli.files import read_document
from loaderscope.cli.outcome import UsageError

if TYPE_CHECKING:
    from loaderscope.facts.request import Request


def draw_session(session: Path, outputs: Sequence[Path], trials: Sequence[int] | None = None) -> None:
    """Writes reports or figures of a session; with `trials` the timeline of these.

    Raises:
        UsageError: that is not possible.
    """
    from loaderscope.gui.window.display import has_display
    from loaderscope.session.file import SessionError

    read_document(session)  # what is wrong with the session is told before what is wrong with Qt
    _need_qt(visible=False)
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with _qt_errors():
        from loaderscope.gui.report.write_report import write_report, write_timeline
    try:
        if trials:
            write_timeline(session, outputs[0], trials)
        else:
            write_report(session, outputs)
    except (SessionError, ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def start_window(path: Path | None = None, demo: Request | None = None, python: str | None = None, script_args: Sequence[str] = ()) -> int:
    """Opens the window and returns its exit status when it is closed.

    Raises:
        UsageError: there is no display, or Qt is not complete.
    """
    from loaderscope.gui.window.display import has_display

    _need_qt(visible=has_display())
    if not has_display() and not os.environ.get("QT_QPA_PLATFORM"):
        raise UsageError("there is no display here for a window; `run`, `show` and `report` need none")
    with _qt_errors():
        from loaderscope.gui.window.app import start
    return start(None if path is None else str(path), demo, python=python, script_args=script_args)


def _need_qt(visible: bool) -> None:
    """Says which packages are missing before Qt finds out, which ends the process where its window system cannot be loaded."""
    from loaderscope.gui.window.display import missing_packages, missing_sentence

    packages = missing_packages(visible)
    if packages:
        raise UsageError(missing_sentence(packages, "open a window" if visible else "draw"))


@contextmanager
def _qt_errors() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"Qt cannot be loaded: {error}") from error
