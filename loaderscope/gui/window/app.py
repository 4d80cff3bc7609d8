"""The program of the window: makes the Qt application, applies its theme, and opens a script or session."""

from __future__ import annotations

import importlib
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
    *,
    module: str | None = None,
    python: str | None = None,
    script_args: Sequence[str] = (),
) -> int:
    """Opens the window and runs until the user closes it.

    Args:
        path: a script or a session file to open.
        demo: a request to open and to start as soon as possible.
        theme: `light` or `dark`; None: the one used last.
        module: the name by which `python -m` runs the script; None: it is run as a file.
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
            script = str(Path(path).expanduser().absolute())
            request = Request(script=script, module=module, python=python, script_args=tuple(script_args))
        QTimer.singleShot(0, lambda: window.open_path(path, request))
    QTimer.singleShot(0, _import_charts)
    return application.exec()


def _import_charts() -> None:
    """Imports what charts need once the window is painted, so that the first chart does not wait for it.

    Not in another thread: pyqtgraph touches every name of Qt, PySide makes each of its types when it is first used,
    and two threads that do so at once crash the program.
    """
    importlib.import_module("loaderscope.gui.charts.plot")


def make_application() -> QApplication:
    """Returns the application object with its names and icon; an existing one as it is."""
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
    """Returns the theme of the desktop; dark if that is unknown."""
    scheme = QGuiApplication.styleHints().colorScheme()
    return {"Light": "light", "Dark": "dark"}.get(scheme.name, "dark")


def _close_on_signals(window: MainWindow) -> None:
    """Makes Ctrl+C in the terminal and SIGTERM close the window without a question and end every process it started."""

    def close(_number: int, _frame: object) -> None:
        window.discard_and_close()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)
    # Python runs signal handlers between bytecodes, so a signal must bring the event loop back to Python
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
