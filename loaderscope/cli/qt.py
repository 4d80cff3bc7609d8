"""What commands do with Qt. They report what Qt lacks before they load it."""

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
    """Writes a session as reports, or with `trials` the timelines of these as one figure.

    Raises:
        UsageError: the session cannot be read, Qt is incomplete, or a file cannot be written.
    """
    from loaderscope.gui.window.display import has_display
    from loaderscope.session.file import SessionError

    read_document(session)  # an error of the session comes before one of Qt
    _require_packages(visible=False)
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with _import_error_as_usage_error():
        from loaderscope.gui.report.write_report import write_report, write_timeline
    try:
        if trials:
            write_timeline(session, outputs[0], trials)
        else:
            write_report(session, outputs)
    except (SessionError, ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def start_window(
    path: Path | None = None,
    demo: Request | None = None,
    module: str | None = None,
    python: str | None = None,
    script_args: Sequence[str] = (),
) -> int:
    """Opens the window, and returns its exit status when the user closes it.

    Raises:
        UsageError: there is no display, or Qt is incomplete.
    """
    from loaderscope.gui.window.display import has_display

    _require_packages(visible=has_display())
    if not has_display() and not os.environ.get("QT_QPA_PLATFORM"):
        raise UsageError("there is no display here for a window; `run`, `show` and `report` need none")
    with _import_error_as_usage_error():
        from loaderscope.gui.window.app import start
    return start(None if path is None else str(path), demo, module=module, python=python, script_args=script_args)


def _require_packages(visible: bool) -> None:
    """Raises a UsageError that names missing system packages: Qt itself would end the process if its window system did not load."""
    from loaderscope.gui.window.display import missing_packages, missing_sentence

    packages = missing_packages(visible)
    if packages:
        raise UsageError(missing_sentence(packages, "open a window" if visible else "draw"))


@contextmanager
def _import_error_as_usage_error() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"Qt cannot be loaded: {error}") from error
