"""The menu of recent files: scripts, sessions, and unsaved sweeps of windows that were killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QMenu, QWidget

from loaderscope.gui.run.live_run import WINDOW_PREFIX
from loaderscope.gui.window.save_dialogs import SESSION_SUFFIX
from loaderscope.session.file import SessionError, SessionFile
from loaderscope.sweep.processes.temporary_folders import abandoned, base_folder

UNSAVED_KEPT_S = 7 * 24 * 3600
"""The session of a killed window is offered for this time, then removed."""

MAX_PATHS = 10
EMPTY_TEXT = "Nothing was opened yet"


def unsaved_sessions(base: Path) -> list[Path]:
    """Returns session files of windows that ended without saving or discarding them, newest first; removes old ones."""
    dated: list[tuple[float, Path]] = []
    for folder in abandoned(base, WINDOW_PREFIX):
        files = [(path.stat().st_mtime, path) for path in folder.glob(f"*{SESSION_SUFFIX}")]
        if not files or time.time() - max(files)[0] > UNSAVED_KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
        dated += files
    return [path for _, path in sorted(dated, reverse=True) if _has_results(path)]


def _has_results(path: Path) -> bool:
    """Returns whether a session has anything to save: a window may be killed before its first trial."""
    try:
        with SessionFile.open(path) as session:
            return bool(session.results)
    except SessionError:
        return False


class RecentFiles:
    """The menu of recent files; the window's settings keep their paths."""

    def __init__(self, parent: QWidget, settings: QSettings, open_path: Callable[[str], object], base: Path | None = None) -> None:
        """`base` is the folder that holds the temporary folders of windows."""
        self._settings, self._open_path = settings, open_path
        self._unsaved = unsaved_sessions(base or base_folder())
        self.menu = QMenu("Open recent", parent)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self._fill)

    @property
    def paths(self) -> list[str]:
        """The recent files that still exist, the one opened last first."""
        stored = self._settings.value("recent", [])
        return [str(path) for path in (stored if isinstance(stored, list) else [stored]) if path and Path(str(path)).is_file()]

    @property
    def notice(self) -> str:
        """Says that an unsaved sweep can be opened; empty if there is none."""
        if not self._unsaved:
            return ""
        return "The window ended before a sweep was saved: it is in the menu File, Open recent, for a week."

    def add(self, path: str | Path) -> None:
        """Puts a file that was opened or saved first in the menu."""
        added = str(Path(path).absolute())
        if not any(Path(added) == other for other in self._unsaved):
            self._settings.setValue("recent", [added, *(other for other in self.paths if other != added)][:MAX_PATHS])

    def session_saved(self, source: Path, target: Path) -> None:
        """Adds the saved copy of a session, and removes the source if it is an unsaved sweep of a killed window."""
        self.add(target)
        for path in [path for path in self._unsaved if path.resolve() == source and source != target.resolve()]:
            self._unsaved.remove(path)
            shutil.rmtree(path.parent, ignore_errors=True)

    def _fill(self) -> None:
        self.menu.clear()
        for path in self._unsaved:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime)) if path.exists() else "removed"
            self._add_entry(str(path), f"{path.stem}, not saved when its window ended, {when}")
        if self._unsaved:
            self.menu.addSeparator()
        for recent in self.paths:
            self._add_entry(recent, Path(recent).name)
        if self.menu.isEmpty():
            self.menu.addAction(EMPTY_TEXT).setEnabled(False)

    def _add_entry(self, path: str, text: str) -> None:
        action = self.menu.addAction(text.replace("&", "&&"), lambda: self._open_path(path))
        action.setToolTip(path)
        action.setEnabled(Path(path).is_file())
