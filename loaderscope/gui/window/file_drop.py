"""Scripts and sessions that are dropped on the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QWidget

from loaderscope.gui.window.save_dialogs import SESSION_SUFFIX


class FileDrop(QObject):
    """Opens the file that is dropped on a window."""

    def __init__(self, window: QWidget, open_path: Callable[[str], object]) -> None:
        super().__init__(window)
        self._open_path = open_path
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, _window: QObject, event: QEvent) -> bool:
        if not isinstance(event, QDropEvent) or event.type() not in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            return False
        path = _dropped(event)
        if path is None:
            return False
        event.acceptProposedAction()
        if not isinstance(event, QDragEnterEvent):
            QTimer.singleShot(0, self, lambda: self._open_path(path))  # a question to the user must not hold up whoever dropped
        return True


def _dropped(event: QDropEvent) -> str | None:
    """The script or session that is being dropped, if it is one."""
    paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
    fitting = [path for path in paths if Path(path).suffix in (".py", SESSION_SUFFIX)]
    return fitting[0] if len(fitting) == 1 else None
