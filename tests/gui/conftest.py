"""Windows for tests: with settings of their own, closed with everything they started."""

from __future__ import annotations

import pathlib

import pytest
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

from loaderscope.gui.theme import apply_theme


@pytest.fixture
def settings(tmp_path: pathlib.Path) -> QSettings:
    """Settings that no other test sees."""
    return QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def window(qtbot, settings):
    """An open window. A question about unsaved results is answered with "discard"; what it starts ends with the test."""
    from loaderscope.gui.main_window import MainWindow

    apply_theme(QApplication.instance(), "dark")
    window = MainWindow(settings)
    window.dialogs.unsaved = lambda running: "discard"
    qtbot.addWidget(window, before_close_func=lambda window: window.discard_and_close())
    window.resize(1400, 900)
    with qtbot.waitExposed(window):
        window.show()
    return window
