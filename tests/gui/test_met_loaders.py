"""The loaders that a script iterates are targets to choose from, once a run of it has shown them."""

import pytest
from PySide6.QtCore import Qt
from running import write_script

from loaderscope.facts.request import Request

LONG_MS = 60_000

SCRIPT = """
    import os
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def main():
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "runs"), "a") as file:
            file.write("run ")
        print("about to train")
        training = DataLoader(TensorDataset(torch.zeros(40, 3)), 4, shuffle=True)
        with torch.no_grad():
            for batch in DataLoader(TensorDataset(torch.zeros(8, 3)), 2):
                pass
        for batch in training:
            pass

    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def setup(qtbot, window, tmp_path):
    window.open_path(str(write_script(tmp_path, SCRIPT)))
    qtbot.waitUntil(lambda: "sample:" in window.setup.target_panel.sample.text(), timeout=LONG_MS)
    return window.setup


def runs(folder) -> int:
    return (folder / "runs").read_text().count("run")


def test_the_loader_that_trains_is_chosen_and_the_others_can_be(setup, tmp_path):
    panel = setup.target_panel
    assert [panel.target.itemText(index).split()[0] for index in range(panel.target.count())] == ["captured:0", "captured:1"]
    assert (panel.current_target.name, panel.current_target.length) == ("captured:1", 40)
    assert "gradients are off" in panel.target.itemData(0, Qt.ItemDataRole.ToolTipRole)
    assert setup.request().target == "captured:1"
    runs_before = runs(tmp_path)

    panel.target.setCurrentIndex(0)
    assert not setup.is_looking and setup.problem == ""
    assert (setup.request().target, panel.current_target.current.batch_size) == ("captured:0", 2)
    assert "sample:" not in panel.sample.text()
    panel.target.setCurrentIndex(1)
    assert "sample:" in panel.sample.text() and not setup.is_looking
    assert runs(tmp_path) == runs_before


def test_a_script_that_is_read_again_is_run_again(qtbot, setup, tmp_path):
    runs_before = runs(tmp_path)
    setup.reload()
    qtbot.waitUntil(lambda: "sample:" in setup.target_panel.sample.text(), timeout=LONG_MS)
    assert runs(tmp_path) == runs_before + 1
    assert setup.target_panel.current_target.name == "captured:1"


def lines_in_log(window) -> int:
    return window.views.log.view.toPlainText().count("about to train")


def test_what_a_run_printed_is_in_the_log_once_whichever_loader_is_chosen(setup, window, tmp_path):
    for index in (0, 1, 0, 1):
        setup.target_panel.target.setCurrentIndex(index)
    assert lines_in_log(window) == runs(tmp_path) == 1


def test_what_a_run_printed_is_in_the_log_where_another_loader_was_asked_for(qtbot, window, tmp_path):
    window.open_request(Request(str(write_script(tmp_path, SCRIPT)), target="captured:0"))
    panel = window.setup.target_panel
    qtbot.waitUntil(lambda: panel.target.count() == 2 and not window.setup.is_looking, timeout=LONG_MS)
    assert panel.current_target.name == "captured:0"
    assert lines_in_log(window) == runs(tmp_path) > 0
