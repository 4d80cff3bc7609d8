"""The window's program: the Qt application, its look, and what is opened in it."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSettings, QSocketNotifier, QTimer
from PySide6.QtGui import QGuiApplication, QIcon
from PySide6.QtWidgets import QApplication

from loaderscope import __version__
from loaderscope.facts.request import Request
from loaderscope.gui.style.theme import apply_theme
from loaderscope.gui.window.main_window import MainWindow
from loaderscope.gui.window.save_dialogs import SESSION_SUFFIX
from loaderscope.resource_files import resource_folder


def start(
    path: str | None = None,
    demo: Request | None = None,
    theme: str | None = None,
    python: str | None = None,
    script_args: Sequence[str] = (),
) -> int:
    """Opens the window and runs until it is closed.

    Args:
        path: a script or a session file to open.
        demo: a request to open and start at once.
        theme: `light` or `dark`; None: as last time.
        python: interpreter for the script.
        script_args: the script's own arguments.

    Returns:
        The exit status.
    """
    application = make_application()
    settings = QSettings()
    apply_theme(application, theme or str(settings.value("theme", default_theme())))
    window = MainWindow(settings)
    window.show()
    _close_on_signals(window)
    if demo is not None:
        QTimer.singleShot(0, lambda: window.open_request(demo, start=True))
    elif path is not None:
        request = None
        if Path(path).suffix != SESSION_SUFFIX:
            request = Request(script=str(Path(path).expanduser().absolute()), python=python, script_args=tuple(script_args))
        QTimer.singleShot(0, lambda: window.open_path(path, request))
    return application.exec()


def make_application() -> QApplication:
    """The application object with its names and icon; the one that exists already, if there is one."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    application = QApplication(sys.argv[:1])
    application.setApplicationName("Loaderscope")
    application.setOrganizationName("loaderscope")
    application.setApplicationVersion(__version__)
    application.setDesktopFileName("loaderscope")
    application.setWindowIcon(QIcon(str(resource_folder() / "icons" / "loaderscope.svg")))
    return application


def default_theme() -> str:
    """What the desktop uses; dark where it does not say."""
    scheme = QGuiApplication.styleHints().colorScheme()
    return {"Light": "light", "Dark": "dark"}.get(scheme.name, "dark")


def _close_on_signals(window: MainWindow) -> None:
    """Ctrl+C in the terminal and a request to terminate end the window without a question, with every process it started."""

    def close(_number: int, _frame: object) -> None:
        window.discard_and_close()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)
    # Python runs its handlers between bytecodes, so the event loop must come back to Python when a signal arrives
    if sys.platform == "win32":
        timer = QTimer(window, interval=500)
        timer.timeout.connect(lambda: None)
        timer.start()
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    notifier = QSocketNotifier(reader.fileno(), QSocketNotifier.Type.Read, window)
    notifier.activated.connect(lambda: reader.recv(64))

    def disconnect() -> None:
        signal.set_wakeup_fd(-1)
        reader.close()
        writer.close()

    window.destroyed.connect(disconnect)
