"""What was opened last, to be opened again: scripts, sessions, and sweeps that were not saved when their window was killed."""

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
"""So long the session of a window that was killed is offered, then it is removed."""

MOST = 10
NONE = "Nothing was opened yet"


def unsaved_sessions(base: Path) -> list[Path]:
    """Session files of windows that ended without saving or discarding them, newest first; old ones are removed."""
    found: list[tuple[float, Path]] = []
    for folder in abandoned(base, WINDOW_PREFIX):
        files = [(path.stat().st_mtime, path) for path in folder.glob(f"*{SESSION_SUFFIX}")]
        if not files or time.time() - max(files)[0] > UNSAVED_KEPT_S:
            shutil.rmtree(folder, ignore_errors=True)
        found += files
    return [path for _, path in sorted(found, reverse=True) if _has_results(path)]


def _has_results(path: Path) -> bool:
    """Whether there is anything to be saved: a window may be killed before its first trial."""
    try:
        with SessionFile.open(path) as session:
            return bool(session.results)
    except SessionError:
        return False


class RecentFiles:
    """The menu of them. Paths are remembered with the window's settings."""

    def __init__(self, parent: QWidget, settings: QSettings, open_path: Callable[[str], object], base: Path | None = None) -> None:
        """`base`: where temporary folders are."""
        self._settings, self._open_path = settings, open_path
        self._unsaved = unsaved_sessions(base or base_folder())
        self.menu = QMenu("Open recent", parent)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self._fill)

    @property
    def paths(self) -> list[str]:
        """Files that are still there, those opened last first."""
        known = self._settings.value("recent", [])
        return [str(path) for path in (known if isinstance(known, list) else [known]) if path and Path(str(path)).is_file()]

    @property
    def notice(self) -> str:
        """That there is something to be saved still; empty where there is not."""
        if not self._unsaved:
            return ""
        return "The window ended before a sweep was saved: it is in the menu File, Open recent, for a week."

    def add(self, path: str | Path) -> None:
        """A file was opened or saved."""
        added = str(Path(path).absolute())
        if not any(Path(added) == other for other in self._unsaved):
            self._settings.setValue("recent", [added, *(other for other in self.paths if other != added)][:MOST])

    def saved(self, source: Path, target: Path) -> None:
        """A session was copied to another file: what a window had left unsaved is no longer needed then."""
        self.add(target)
        for path in [path for path in self._unsaved if path.resolve() == source and source != target.resolve()]:
            self._unsaved.remove(path)
            shutil.rmtree(path.parent, ignore_errors=True)

    def _fill(self) -> None:
        self.menu.clear()
        for path in self._unsaved:
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime)) if path.exists() else "removed"
            self._offer(str(path), f"{path.stem}, not saved when its window ended, {when}")
        if self._unsaved:
            self.menu.addSeparator()
        for known in self.paths:
            self._offer(known, Path(known).name)
        if self.menu.isEmpty():
            self.menu.addAction(NONE).setEnabled(False)

    def _offer(self, path: str, text: str) -> None:
        action = self.menu.addAction(text.replace("&", "&&"), lambda: self._open_path(path))
        action.setToolTip(path)
        action.setEnabled(Path(path).is_file())
