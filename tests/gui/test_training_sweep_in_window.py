"""A sweep in the training, from the window: it asks first, names trackers, and stops to show which files a trial has changed."""

import dataclasses
import os

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QDialog, QLabel, QMessageBox
from running import nothing_left_of, write_script

from loaderscope.agent.messages import Consumer
from loaderscope.facts.request import Request
from loaderscope.facts.trackers import TRACKERS
from loaderscope.gui.panels.run_kind_choice import RUN_KINDS, SWEEP, TRAINING, TRAINING_SWEEP
from loaderscope.gui.window.training_question import TrainingConsent, TrainingQuestion, training_key

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
    assert sweep.expected_s is None and "up to 11 batches" in sweep.forecast.text()
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
    qtbot.waitUntil(lambda: opened.setup.sweep_panel.expected_s is not None, timeout=10_000)  # the trials have shown it
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


@pytest.mark.slow
def test_closing_the_window_while_the_changed_files_are_shown_ends_the_sweep(opened, qtbot):
    when_asked(TrainingQuestion, lambda dialog: dialog.run_button.click(), qtbot)
    seen = when_asked(QMessageBox, lambda box: opened.discard_and_close(), qtbot)
    opened.setup.sweep_panel.start.click()
    qtbot.waitUntil(lambda: bool(seen) and not opened.live.running and QApplication.activeModalWidget() is None, timeout=120_000)
    assert not opened.isVisible()
    assert nothing_left_of(os.getpid())


@pytest.mark.slow
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
    monkeypatch.setenv(tracker.variable, "mine")
    dialog = TrainingQuestion(Request("/x/train.py"), 3, None, [tracker], window)
    qtbot.addWidget(dialog)
    assert dialog.chosen_variables() == {}
    assert "mine" in dialog.boxes[tracker].text()


def sizes_of(request, trials, limit, window):
    dialog = TrainingQuestion(request, trials, limit, [], window)
    return " ".join(label.text() for label in dialog.findChildren(QLabel))


def test_the_question_tells_how_much_of_the_training_runs(window):
    asked = Request("/x/train.py", cwd="/x")
    assert "3 trials × up to 65 batches" in sizes_of(dataclasses.replace(asked, epochs=1), 3, 65, window)
    assert "several epochs" in sizes_of(asked, 3, 65, window)  # which are repeated
    assert "2 whole epochs and up to 65 batches" in sizes_of(dataclasses.replace(asked, epochs=3), 3, 65, window)
    assert "a whole epoch" in sizes_of(dataclasses.replace(asked, epochs=1), 3, None, window)
    assert "/x" in sizes_of(asked, 1, 65, window)


def test_what_would_stop_downloads_is_offered_unticked(window):
    dialog = TrainingQuestion(Request("/x/train.py"), 3, None, TRACKERS, window)
    assert "HF_HUB_OFFLINE" not in dialog.chosen_variables()
    assert dialog.chosen_variables()["WANDB_MODE"] == "offline"
    assert len(dialog.chosen_variables()) == len(TRACKERS) - 1


def test_a_tracker_that_is_set_to_upload_is_not_shown_as_kept_offline(window, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    dialog = TrainingQuestion(Request("/x/train.py"), 3, None, TRACKERS, window)
    box = next(box for tracker, box in dialog.boxes.items() if tracker.variable == "WANDB_MODE")
    assert not box.isChecked() and not box.isEnabled() and "online" in box.text()


def test_every_way_to_run_the_training_asks_and_a_no_leaves_unsaved_results(opened, qtbot, monkeypatch):
    left = []
    monkeypatch.setattr(opened.dialogs, "unsaved", lambda *about: left.append(about) or "discard")
    opened._unsaved = True
    for start in (opened.commands["start"].trigger, lambda: opened.starting.sweep_epochs(2)):
        seen = when_asked(TrainingQuestion, lambda dialog: dialog.cancel_button.click(), qtbot)
        start()
        assert len(seen) == 1
        assert not opened.live.running
    assert opened._unsaved and not left


@pytest.mark.slow
def test_an_agreement_can_be_taken_back(opened, qtbot):
    request = opened.setup.request()
    when_asked(TrainingQuestion, lambda dialog: dialog.run_button.click(), qtbot)
    ask = opened.starting._ask_for_training
    assert ask(request, 2, 11, []) is not None
    assert ask(request, 2, 11, []) is not None  # without a question, which nobody would answer here
    opened.commands["ask_again"].trigger()
    seen = when_asked(TrainingQuestion, lambda dialog: dialog.reject(), qtbot)
    assert ask(request, 2, 11, []) is None
    assert len(seen) == 1


def test_another_script_arguments_or_folder_is_another_training(tmp_path):
    script = write_script(tmp_path, "print()")
    request = Request(str(script), script_args=("--lr", "1"), cwd=str(tmp_path))
    others = [dataclasses.replace(request, script_args=("--lr 1",)), dataclasses.replace(request, cwd="/")]
    key = training_key(request)
    assert key == training_key(dataclasses.replace(request, python="/x/python", batches=3))
    assert len({key, *map(training_key, others)}) == 3
    script.write_text("print(1)")
    assert training_key(request) != key


def test_modules_beside_the_script_show_trackers_too(window, qtbot, tmp_path, settings):
    write_script(tmp_path, "def log():\n    import comet_ml", "logging_of_mine.py")
    script = write_script(tmp_path, "import logging_of_mine")
    seen = when_asked(TrainingQuestion, lambda dialog: dialog.reject(), qtbot)
    assert TrainingConsent(settings, window, lambda: None).ask(Request(str(script)), 2, 11, ["mlflow.pytorch"]) is None
    assert {tracker.title for tracker in seen[0].boxes} == {"Comet", "MLflow"}


TARGETS = """
import torch
from torch.utils.data import DataLoader, TensorDataset
numbers = TensorDataset(torch.zeros(40, 3))
def main():
    for batch in DataLoader(numbers, 4, shuffle=True): pass
if __name__ == "__main__":
    main()
"""


def test_a_training_takes_the_loaders_that_it_iterates_whatever_else_the_script_has(window, qtbot, tmp_path):
    panel, buttons = window.setup.target_panel, window.setup.kind_choice.buttons

    def names():
        return [target.name for target in panel.targets]

    window.open_path(str(write_script(tmp_path, TARGETS)))
    qtbot.waitUntil(lambda: "sample:" in panel.sample.text(), timeout=60_000)
    panel.target.setCurrentIndex(names().index("numbers"))
    qtbot.waitUntil(lambda: not window.setup.is_looking, timeout=60_000)
    everything = names()
    buttons[TRAINING_SWEEP.key].click()
    qtbot.waitUntil(lambda: not window.setup.is_looking and window.setup.problem == "", timeout=60_000)
    assert names() == ["captured:0"] and len(everything) > 1
    assert window.setup.request().target == "captured:0"
    buttons[SWEEP.key].click()
    qtbot.waitUntil(lambda: not window.setup.is_looking, timeout=60_000)
    assert names() == everything


def test_a_script_that_iterates_no_loader_has_no_training_to_try_settings_in(window, qtbot, tmp_path):
    text = (
        "from torch.utils.data import Dataset\nclass Photos(Dataset):\n    def __init__(self, root): pass\n    def __len__(self): return 3"
    )
    window.setup.kind_choice.buttons[TRAINING_SWEEP.key].click()
    window.open_path(str(write_script(tmp_path, text)))
    qtbot.waitUntil(lambda: "no DataLoader" in window.setup.problem, timeout=60_000)
    assert not window.setup.sweep_panel.start.isEnabled()


@pytest.mark.slow
def test_the_recorded_training_leads_to_a_sweep_in_it(window, qtbot, tmp_path, monkeypatch):
    script = write_script(tmp_path / "work", TRAINING_SCRIPT)
    monkeypatch.chdir(script.parent)
    window.setup.kind_choice.buttons[TRAINING.key].click()
    window.open_path(str(script))
    assert not window.commands["try_settings"].isEnabled()
    with qtbot.waitSignal(window.live.ended, timeout=120_000):
        window.starting.start()
    assert window.commands["try_settings"].isEnabled()
    window.views.findings.trainingSettingsChosen.emit()
    assert window.setup.kind is TRAINING_SWEEP
    qtbot.waitUntil(lambda: not window.setup.is_looking and window.setup.problem == "", timeout=60_000)
    assert window.setup.request().consumer == Consumer("training")
    assert not window.live.running
