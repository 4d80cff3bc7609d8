"""A sweep in the training, from the window: it asks first, names trackers, and stops to show which files a trial has changed."""

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QDialog, QMessageBox
from running import write_script

from loaderscope.agent.messages import Consumer
from loaderscope.facts.trackers import TRACKERS
from loaderscope.gui.panels.run_kind_choice import RUN_KINDS, SWEEP, TRAINING, TRAINING_SWEEP
from loaderscope.gui.window.training_question import TrainingQuestion

TRAINING_SCRIPT = """
import sys
import torch
from torch.utils.data import DataLoader, Dataset
class Plain(Dataset):
    def __len__(self): return 400
    def __getitem__(self, index): return torch.tensor([float(index)])
def main():
    import os
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for batch in DataLoader(Plain(), 4):
        optimizer.zero_grad()
        model(batch).sum().backward()
        optimizer.step()
        open("checkpoint.pt", "a").write("x")
        open("said.txt", "w").write(os.environ.get("LOADERSCOPE", "") + os.environ.get("WANDB_MODE", ""))
if __name__ == "__main__":
    try:
        import wandb
    except ImportError:
        pass
    main()
"""


def when_asked(dialog_class, answer, qtbot):
    """Calls `answer(dialog)` once a dialog of a class stands there; returns the list that then holds the dialog."""
    seen = []

    def look():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, dialog_class) and not seen:
            seen.append(dialog)
            timer.stop()
            answer(dialog)

    timer = QTimer(QApplication.instance())
    timer.timeout.connect(look)
    timer.start(20)
    return seen


@pytest.fixture
def opened(window, qtbot, tmp_path, monkeypatch):
    """A window that has read a script, ready to try two settings in its training."""
    script = write_script(tmp_path / "work", TRAINING_SCRIPT)
    panel = window.setup.target_panel
    monkeypatch.chdir(script.parent)
    window.setup.kind_choice.buttons[TRAINING_SWEEP.key].click()
    window.open_path(str(script))
    qtbot.waitUntil(lambda: "sample:" in panel.sample.text(), timeout=60_000)
    sweep = window.setup.sweep_panel
    sweep.axes["num_workers"].set_values([0, 1], [0, 1])
    sweep.batches.setValue(6)
    sweep.epochs.setValue(1)
    sweep.ceiling.setChecked(False)
    qtbot.waitUntil(lambda: sweep.expected_trials == 2, timeout=10_000)
    return window


def test_the_three_kinds_of_runs_stand_in_the_order_of_what_they_may_harm(window):
    assert RUN_KINDS == (SWEEP, TRAINING_SWEEP, TRAINING)
    assert [button.text() for button in window.setup.kind_choice.buttons.values()] == [kind.title for kind in RUN_KINDS]
    assert window.setup.kind is SWEEP


def test_nothing_runs_before_the_user_agrees_and_no_is_the_default(opened, qtbot, tmp_path):
    seen = when_asked(TrainingQuestion, lambda dialog: qtbot.keyClick(dialog, Qt.Key.Key_Return), qtbot)
    opened.setup.sweep_panel.start.click()
    (dialog,) = seen
    assert dialog.result() == QDialog.DialogCode.Rejected
    assert not opened.live.running
    assert not (tmp_path / "work" / "checkpoint.pt").exists()
    assert dialog.command.text().endswith("script.py")
    texts = " ".join(label.text() for label in dialog.findChildren(type(opened.setup.sweep_panel.forecast)))
    assert "2 trials" in texts and "11 batches" in texts and "checkpoints" in texts
    assert [tracker.title for tracker in dialog.boxes] == ["Weights & Biases"]


def test_a_sweep_in_the_training_runs_once_agreed_and_shows_what_it_changed(opened, qtbot, tmp_path):
    when_asked(TrainingQuestion, lambda dialog: dialog.run_button.click(), qtbot)
    changed = when_asked(QMessageBox, lambda box: box.buttons()[0].click(), qtbot)
    with qtbot.waitSignal(opened.live.ended, timeout=120_000):
        opened.setup.sweep_panel.start.click()
    (box,) = changed
    assert "checkpoint.pt" in box.informativeText()
    results = opened.shown.results
    assert [(result.status, result.batches) for result in results] == [("ok", 11), ("ok", 11)]
    assert opened.shown.run.request.consumer == Consumer("training")
    assert (tmp_path / "work" / "said.txt").read_text() == "1offline"
    # the same training is not asked about again, other arguments are
    assert opened.setup.request().target == "captured:0"
    ask = opened.starting._ask_for_training
    assert ask(opened.setup.request(), 2, 11, []).environment_variables == {"WANDB_MODE": "offline"}
    opened.setup.target_panel.script_args.setText("--other")
    opened.setup.reload()
    again = when_asked(TrainingQuestion, lambda dialog: dialog.change_arguments.click(), qtbot)
    qtbot.waitUntil(lambda: not opened.setup.is_looking and not opened.setup.problem, timeout=60_000)
    opened.setup.sweep_panel.start.click()
    assert again
    assert opened.setup.target_panel.script_args.hasFocus() or not opened.isActiveWindow()


@pytest.mark.slow
def test_stopping_while_the_changed_files_are_shown_ends_the_sweep(opened, qtbot):
    when_asked(TrainingQuestion, lambda dialog: dialog.run_button.click(), qtbot)
    when_asked(QMessageBox, lambda box: opened.live.cancel(), qtbot)
    with qtbot.waitSignal(opened.live.ended, timeout=120_000):
        opened.setup.sweep_panel.start.click()
    qtbot.waitUntil(lambda: QApplication.activeModalWidget() is None, timeout=10_000)
    assert len(opened.shown.results) == 1


def test_closing_the_window_closes_an_open_question(opened, qtbot):
    when_asked(TrainingQuestion, lambda dialog: opened.discard_and_close(), qtbot)
    opened.setup.sweep_panel.start.click()
    assert QApplication.activeModalWidget() is None
    assert not opened.isVisible()


def test_what_means_nothing_in_a_training_is_not_offered(opened):
    panel = opened.setup.sweep_panel
    assert not panel.consumer.isVisible() and not panel.experiment_button.isVisible()
    assert panel.ceiling.isVisible()
    assert not opened.commands["exact_window"].isEnabled()
    opened.setup.kind_choice.buttons[SWEEP.key].click()
    assert panel.consumer.isVisible()
    assert not panel.ceiling.isVisible()  # nobody takes the batches
    assert opened.setup.request().consumer == Consumer("none")


@pytest.mark.parametrize("tracker", TRACKERS, ids=lambda tracker: tracker.title)
def test_a_variable_that_is_set_already_stays(qtbot, tracker, monkeypatch, window):
    from loaderscope.facts.request import Request

    monkeypatch.setenv(tracker.variable, "mine")
    dialog = TrainingQuestion(Request("/x/train.py"), 3, None, [tracker], window)
    qtbot.addWidget(dialog)
    assert dialog.chosen_variables() == {}
    assert "mine" in dialog.boxes[tracker].text()
