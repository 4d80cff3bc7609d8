"""Modules and notebooks in the window: the field of the script, files that are dropped, and the file dialog."""

import json

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from running import write_script

from loaderscope.gui.panels.target_panel import SCRIPT_FILTER

LONG_MS = 60_000

MODULE = """
    from .data import numbers
"""
DATA = """
    import torch
    from torch.utils.data import TensorDataset
    numbers = TensorDataset(torch.zeros(40, 10))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in the current folder."""
    monkeypatch.chdir(tmp_path)
    write_script(tmp_path / "pkg", "", "__init__.py")
    write_script(tmp_path / "pkg", DATA, "data.py")
    return write_script(tmp_path / "pkg", MODULE, "train.py")


def enter(qtbot, window, text):
    """Enters a script into its field, and waits until it was read."""
    window.setup.target_panel.script.setText(text)
    window.setup.target_panel.script.returnPressed.emit()
    qtbot.waitUntil(lambda: not window.setup.is_looking, timeout=LONG_MS)


@pytest.mark.slow
def test_a_module_is_read_by_its_name(qtbot, window, package):
    enter(qtbot, window, "-m pkg.train")
    panel = window.setup.target_panel
    assert (panel.current_target.name, panel.script.text()) == ("numbers", "-m pkg.train")
    request = window.setup.request()
    assert (request.script, request.module) == (str(package), "pkg.train")
    enter(qtbot, window, str(package))
    assert window.setup.request().module is None
    assert panel.current_target.name == "numbers"


def test_a_module_that_does_not_exist_is_a_problem_and_the_script_stays(qtbot, window, package):
    enter(qtbot, window, "-m pkg.train")
    enter(qtbot, window, "-m pkg.nothing")
    assert "pkg.nothing" in window.setup.target_panel.problem.text()
    assert window.setup.script == str(package)


def test_a_notebook_can_be_chosen_dropped_and_read(qtbot, window, tmp_path):
    cells = [{"cell_type": "code", "source": source} for source in ("!ls", *DATA.replace("    ", "").splitlines())]
    script = write_script(tmp_path / "lessons", json.dumps({"cells": cells, "nbformat": 4}), "one.ipynb")
    assert "*.ipynb" in SCRIPT_FILTER
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(script))])
    held = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(50, 50), *held))
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), *held))
    qtbot.waitUntil(lambda: "1 line of magics" in window.setup.target_panel.sample.text(), timeout=LONG_MS)
    assert window.setup.target_panel.current_target.name == "numbers"
    assert window.setup.request().cwd == str(script.parent)
    assert window.recent.paths == [str(script)]
