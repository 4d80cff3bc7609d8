"""The window offers what an accelerator makes possible, also if NVML does not know it."""

import pytest
from PySide6.QtCore import QSettings
from running import write_script

from loaderscope.gui.window.setup import Setup

TIMEOUT_MS = 60_000
SCRIPT = """
import torch
from torch.utils.data import TensorDataset

train_set = TensorDataset(torch.zeros(64, 4))
"""


@pytest.fixture
def offers_load(qtbot):
    """A function: whether the window offers a load of the accelerator once it has inspected a script."""
    opened = []

    def offers(path):
        setup = Setup(QSettings(str(path.with_suffix(".ini")), QSettings.Format.IniFormat))
        widget = setup.widget()
        opened.append((setup, widget))
        qtbot.addWidget(widget)
        setup.open_script(str(path))
        qtbot.waitUntil(lambda: "sample:" in setup.target_panel.sample.text(), timeout=TIMEOUT_MS)
        return setup.sweep_panel.consumer.findData("device") >= 0, setup.environment["accelerator"]

    yield offers
    for setup, _ in opened:
        setup.close()


def test_a_load_is_offered_where_the_torch_of_the_script_may_have_an_accelerator(offers_load, write_device_script, tmp_path):
    assert offers_load(write_device_script(SCRIPT).path) == (True, True)
    is_offered, accelerator = offers_load(write_script(tmp_path, SCRIPT, "plain.py"))
    assert is_offered == (accelerator is not False)
