"""The exact window in the window: its button, its table and what is said about it."""

import dataclasses

import msgspec
import pytest
from running import write_script
from support_session import WINDOW, config_of

from loaderscope.facts.request import Axes, Request
from loaderscope.facts.results import GpuWindow, TrialResult
from loaderscope.gui.panels.operators_panel import AWAITED, NOTHING, PROFILED_STEPS, OperatorsPanel

TRAINED = """
    import torch
    from torch.utils.data import TensorDataset

    train_set = TensorDataset(torch.rand(256, 16))

    def train_step(batch):
        torch.mm(batch[0], batch[0].T)
"""

RESULT = TrialResult(3, 0, "ok", config_of(2), gpu_busy_share=0.78, gpu_window=msgspec.convert(WINDOW, GpuWindow))


@pytest.fixture
def panel(qtbot):
    panel = OperatorsPanel()
    qtbot.addWidget(panel)
    panel.resize(900, 240)
    panel.show()
    return panel


def column(panel, number):
    return [panel.model.data(panel.model.index(row, number)) for row in range(panel.model.rowCount())]


def test_the_heaviest_operator_comes_first_and_the_share_stands_beside_the_upper_bound(panel):
    panel.show_result(RESULT)
    assert column(panel, 0) == ["aten::convolution", "aten::relu_"]
    assert [text.split()[0] for text in column(panel, 4)] == ["48", "2"]
    assert "the GPU was busy 63" in panel.note.text() and "at most 78" in panel.note.text()
    assert not panel.table.isColumnHidden(3)
    panel.show_result(dataclasses.replace(RESULT, gpu_busy_share=None, gpu_busy_share_low=0.5))
    assert "at least 50" in panel.note.text()
    panel.show_result(None)
    assert panel.note.text() == NOTHING and panel.model.rowCount() == 0


def test_a_window_without_a_device_gives_its_reason_and_no_empty_column(panel):
    operators = [dataclasses.replace(operator, self_device_s=0.0) for operator in RESULT.gpu_window.operators]
    window = dataclasses.replace(RESULT.gpu_window, busy_share=None, reason="no busy share: torch sees no accelerator", operators=operators)
    panel.show_result(dataclasses.replace(RESULT, gpu_window=window))
    assert panel.note.text().endswith("profiled in 250 ms; no busy share: torch sees no accelerator.")
    assert panel.table.isColumnHidden(3)


def test_a_window_that_was_refused_says_why(panel):
    window = GpuWindow(0, None, None, "no exact window: the script itself runs a profiler", None, [])
    panel.show_result(dataclasses.replace(RESULT, gpu_window=window))
    assert panel.note.text() == "No exact window: the script itself runs a profiler."


def test_a_profiled_request_is_for_the_shown_setting_alone():
    request = Request("/train.py", axes=Axes(num_workers=(0, 2, 4), start_method=("fork", "spawn")), repeats=3, epochs=2)
    alone = request.with_profiled_steps(20, config_of(2, persistent_workers=True))
    assert (alone.axes.num_workers, alone.axes.start_method, alone.axes.persistent_workers) == ((2,), ("fork",), (True,))
    assert alone.axes.batch_size is None  # the loader's own, as in the sweep
    assert (alone.repeats, alone.epochs, alone.gpu_window) == (1, 2, 20)
    assert request.with_profiled_steps(20) == dataclasses.replace(request, gpu_window=20)


def test_the_button_profiles_the_shown_setting_and_shows_its_operators(qtbot, window, tmp_path):
    window.open_path(str(write_script(tmp_path, TRAINED)))
    qtbot.waitUntil(lambda: "sample:" in window.setup.target_panel.sample.text(), timeout=60_000)
    window.setup.sweep_panel.axes["num_workers"].set_values([0], [0])
    window.setup.sweep_panel.axes["batch_size"].set_values([4], [4])
    window.setup.sweep_panel.axes["batch_size"].edited.emit()
    with qtbot.waitSignal(window.live.ended, timeout=60_000):
        window.commands["exact_window"].trigger()
        assert window.views.docks["operators"].isVisible()
        assert not window.views.operators.measure.isEnabled()
    panel = window.views.operators
    qtbot.waitUntil(lambda: panel.model.rowCount() > 0, timeout=10_000)
    assert "aten::mm" in column(panel, 0)
    assert panel.note.text().startswith(f"{PROFILED_STEPS} steps with 0 workers")
    (result, *_ceiling) = window.shown.state.snapshot().results
    assert {epoch.batches for epoch in result.epochs} == {64}


def test_while_the_trial_with_a_window_runs_the_panel_says_when_its_operators_come(panel):
    panel.show_result(None, awaited=True)
    assert panel.note.text() == AWAITED
    panel.show_result(RESULT)
    assert "profiled in" in panel.note.text()
