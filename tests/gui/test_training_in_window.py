"""Recording a training in the window: what a user does from choosing it to its end."""

from __future__ import annotations

import dataclasses
import os
import sys

import psutil
import pytest
import synthetic
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QMessageBox
from running import is_alive, until, write_script
from support_session import config_of, make_run
from timeline_actions import press

from loaderscope.agent.messages import Target
from loaderscope.facts.findings import Finding
from loaderscope.facts.request import Axes, Request
from loaderscope.facts.run import TRAINING_TARGET, PlannedTrial
from loaderscope.gui.panels.run_kind_choice import SWEEP, TRAINING
from loaderscope.gui.panels.startup_panel import ONE_LOADER, TRAINING_RUNS
from loaderscope.gui.run.training_trace import ALL_LOADERS
from loaderscope.gui.window.main_window import MainWindow
from loaderscope.gui.window.views import EXPOSED_TITLE
from loaderscope.session import session_writer
from loaderscope.session.file import SessionFile, SessionWriter

SCRIPT = """
    import sys
    import time
    from torch.utils.data import DataLoader

    class Waiting(list):
        def __getitem__(self, index):
            time.sleep(0.002)
            return index

    if __name__ == "__main__":
        train = DataLoader(Waiting(range(64)), batch_size=4, num_workers=1)
        test = DataLoader(Waiting(range(16)), batch_size=4)
        for number, _ in enumerate(train):
            if number == 8:
                for _ in test:
                    pass
        print("trained", sys.argv[1:], repr(sys.stdin.read()))
        {end}
"""

ENDLESS = """
    import signal
    import sys
    import time
    from torch.utils.data import DataLoader

    {first}
    if __name__ == "__main__":
        try:
            for _ in range(3000):  # a minute, if nobody ends it
                for _ in DataLoader(range(4), batch_size=2):
                    time.sleep(0.01)
        except KeyboardInterrupt:
            print("saved a checkpoint")
"""

LONG_MS = 60_000


def train_script(folder, end="pass"):
    return write_script(folder, SCRIPT.replace("{end}", end), "train.py")


def choose_training(window, script):
    window.setup.kind_choice.buttons[TRAINING.key].click()
    window.open_path(str(script))


def record_to_end(qtbot, window, script, arguments=""):
    choose_training(window, script)
    window.setup.target_panel.script_args.setText(arguments)
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.setup.sweep_panel.start.click()


@pytest.fixture
def endless(qtbot, window, tmp_path, request):
    """The process of a training that goes on until it gets Ctrl+C, while it is recorded."""
    script = write_script(tmp_path, ENDLESS.replace("{first}", getattr(request, "param", "")), "endless.py")
    choose_training(window, script)
    window.setup.sweep_panel.start.click()
    qtbot.waitUntil(lambda: bool(window.shown.state.snapshot().trials), timeout=LONG_MS)
    process = next(child for child in psutil.Process().children() if is_alive(child.pid) and str(script) in child.cmdline())
    yield process
    if process.is_running():
        process.kill()


def log_text(window):
    return window.views.log.view.toPlainText()


def test_a_script_that_is_only_opened_does_not_run(qtbot, window, tmp_path):
    script = write_script(tmp_path, f"open({str(tmp_path / 'ran.txt')!r}, 'w')")
    choose_training(window, script)
    assert window.commands["start"].isEnabled()
    assert "runs for real" in window.setup.sweep_panel.forecast.text()
    assert not (tmp_path / "ran.txt").exists()
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["start"].trigger()
    assert (tmp_path / "ran.txt").exists()
    assert "no DataLoader" in window.setup.target_panel.problem.text()


def test_settings_to_try_are_hidden_while_a_training_is_to_be_recorded(qtbot, window, tmp_path):
    setup = window.setup
    script = write_script(tmp_path, "train_set = list(range(100))\nclass D:\n    pass\nx = 1\n")
    choose_training(window, script)
    assert not setup.sweep_panel.isVisible() and not setup.target_panel.target.isVisible()
    assert setup.target_panel.script.isVisible() and setup.target_panel.interpreter.isVisible()
    assert setup.sweep_panel.start.text() == "Record"
    setup.kind_choice.buttons[SWEEP.key].click()
    assert setup.sweep_panel.isVisible() and setup.sweep_panel.start.text() == "Start"
    qtbot.waitUntil(lambda: not setup.is_looking, timeout=LONG_MS)  # it is read now


def test_the_choice_is_remembered_unless_a_request_makes_it(qtbot, window, settings, tmp_path):
    window.setup.kind_choice.buttons[TRAINING.key].click()
    again = MainWindow(settings)
    qtbot.addWidget(again)
    assert again.setup.kind is TRAINING
    again.open_request(Request(script=str(tmp_path / "missing.py"), axes=Axes(num_workers=(0,))))
    assert again.setup.kind is SWEEP
    third = MainWindow(settings)
    qtbot.addWidget(third)
    assert third.setup.kind is TRAINING


def test_a_training_is_recorded_saved_and_opened_again_the_same(qtbot, window, tmp_path):
    record_to_end(qtbot, window, train_script(tmp_path), "--lr 3")
    assert "trained ['--lr', '3'] ''" in log_text(window)
    results = window.shown.results
    assert [(result.loader.name, result.batches) for result in results] == [("train.py:12", 16), ("train.py:13", 4)]
    assert window.views.headline.toolTip().startswith("The training waited for data for ")
    assert "2 loaders" in window.views.time_left.text() and "20 batches" in window.views.time_left.text()
    assert window.shown.trial == ALL_LOADERS
    assert [window.views.trials.itemData(index) for index in range(window.views.trials.count())] == [ALL_LOADERS, 0, 1]
    lanes = set(window.views.timeline.scene.trace.lanes)
    assert {"0/main", "0/worker-0", "1/main"} <= lanes
    assert window.save(str(tmp_path / "kept"))
    headline, rows = window.views.headline.toolTip(), window.views.results.model.rowCount()
    window.setup.show_kind(SWEEP)
    window.open_path(str(tmp_path / "kept.loaderscope"))
    assert (window.views.headline.toolTip(), window.views.results.model.rowCount()) == (headline, rows)
    assert window.setup.kind is TRAINING
    assert set(window.views.timeline.scene.trace.lanes) == lanes


@pytest.mark.parametrize(("end", "said"), [("raise ValueError('no more data')", "no more data"), ("sys.exit(3)", "exit status 3")])
def test_a_script_that_fails_is_told_with_its_last_lines(qtbot, window, tmp_path, end, said):
    record_to_end(qtbot, window, train_script(tmp_path, end))
    problem = window.setup.target_panel.problem.text()
    assert "train.py ended with exit status" in problem and said in problem
    assert len(window.shown.results) == 2
    assert window.views.headline.toolTip().startswith("The training waited for data for ")


def test_a_long_line_of_a_failure_does_not_make_the_panel_wider_than_its_view(qtbot, window, tmp_path):
    record_to_end(qtbot, window, write_script(tmp_path, f"def {'long_' * 30}():\n    {'very_' * 30}long + 1\n{'long_' * 30}()\n"))
    panel = window.setup.target_panel
    assert "NameError" in panel.problem.text() and "^" not in panel.problem.text()
    panel.problem.setText("x" * 500)
    QApplication.processEvents()
    assert panel.width() <= panel.parentWidget().parentWidget().width()


def test_views_speak_of_a_training_before_its_first_loader(qtbot, window, tmp_path):
    script = write_script(tmp_path, "import time\ntime.sleep(60)")
    choose_training(window, script)
    views = window.views
    window.setup.sweep_panel.start.click()
    assert views.exposed.isVisible() and views.docks["throughput"].windowTitle() == EXPOSED_TITLE
    assert views.startup.empty.text() == TRAINING_RUNS and not views.startup.experiment_button.isVisible()
    assert "training" in views.findings.view.toPlainText()
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["stop"].trigger()  # before the script has started
    assert views.throughput.isVisible() and not views.exposed.isVisible()


def test_a_script_that_could_not_be_read_is_read_again_for_a_sweep(qtbot, window, tmp_path):
    source = tmp_path / "data.txt"
    loader = f"from torch.utils.data import DataLoader\ntrain = DataLoader(open({str(source)!r}).readlines(), batch_size=4)\n"
    script = write_script(tmp_path, loader)
    window.open_path(str(script))
    panel = window.setup.target_panel
    qtbot.waitUntil(lambda: "data.txt" in panel.problem.text(), timeout=LONG_MS)
    window.setup.kind_choice.buttons[TRAINING.key].click()
    assert not panel.problem.text()
    source.write_text("1\n" * 100)
    window.setup.kind_choice.buttons[SWEEP.key].click()
    qtbot.waitUntil(lambda: "sample" in panel.sample.text(), timeout=LONG_MS)
    assert panel.current_target is not None and not panel.problem.text()


def test_a_look_at_the_script_ends_when_its_training_is_to_be_recorded(qtbot, window, tmp_path):
    started = tmp_path / "process"
    script = write_script(tmp_path, f"import os, time\nos.symlink(str(os.getpid()), {str(started)!r})\ntime.sleep(60)\n")
    window.open_path(str(script))
    qtbot.waitUntil(started.is_symlink, timeout=LONG_MS)
    window.setup.kind_choice.buttons[TRAINING.key].click()
    qtbot.waitUntil(lambda: not is_alive(int(os.readlink(started))), timeout=LONG_MS)


def test_an_interpreter_that_cannot_be_started_is_told(qtbot, window, tmp_path):
    choose_training(window, train_script(tmp_path))
    window.setup.target_panel.interpreterChosen.emit(str(tmp_path / "no python"))
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["start"].trigger()
    assert "no python cannot be started" in window.setup.target_panel.problem.text()


def test_all_loaders_are_shown_while_they_are_iterated(qtbot, window, endless):
    qtbot.waitUntil(lambda: window.shown.trial == ALL_LOADERS, timeout=LONG_MS)
    scene = window.views.timeline.scene
    spans = scene.trace.span_count
    qtbot.waitUntil(lambda: scene.trace.span_count > spans + 20 and scene.total_ns > 0, timeout=LONG_MS)
    assert window.views.timeline.navigator.following
    qtbot.waitUntil(lambda: "1 loader" in window.views.time_left.text(), timeout=LONG_MS)
    assert not window.views.progress.isVisible()
    assert not window.setup.kind_choice.isEnabled()
    assert [row.loader for row in (window.views.results.model.row(0),)] == ["endless.py:11"]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C")
def test_stop_sends_ctrl_c(qtbot, window, endless):
    assert not window.live.is_stopping
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["stop"].trigger()
        assert window.commands["stop"].iconText().endswith("Kill")
    assert "saved a checkpoint" in log_text(window)
    assert window.shown.results[0].loader.exit_status == 0
    assert window.commands["stop"].iconText().endswith("Stop")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C")
@pytest.mark.parametrize("endless", ["signal.signal(signal.SIGINT, signal.SIG_IGN)"], indirect=True)
def test_a_training_that_ignores_ctrl_c_is_killed_when_the_user_says_so(qtbot, window, endless):
    answers = [False, True]
    window.dialogs.kill_training = lambda ended: answers.pop(0)
    window.commands["stop"].trigger()
    window.commands["stop"].trigger()
    assert answers == [True] and endless.is_running()
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["stop"].trigger()
    assert window.shown.results[0].loader.exit_status == -9
    assert "SIGKILL" in window.setup.target_panel.problem.text()
    assert "signal 9" in window.views.time_left.text()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C")
@pytest.mark.parametrize("endless", ["signal.signal(signal.SIGINT, signal.SIG_IGN)"], indirect=True)
def test_after_ctrl_c_the_headline_says_what_is_awaited(qtbot, window, endless):
    assert "Kill" not in window.views.headline.toolTip()
    window.commands["stop"].trigger()
    assert "Ctrl+C" in window.views.headline.toolTip() and "Kill" in window.views.headline.toolTip()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("endless", ["signal.signal(signal.SIGINT, signal.SIG_IGN)"], indirect=True)
def test_the_question_whether_to_kill_a_training_goes_when_it_has_ended(qtbot, window, endless):
    asked = []

    def end_meanwhile():
        asked.append(QApplication.activeModalWidget())
        endless.terminate()

    window.commands["stop"].trigger()
    QTimer.singleShot(0, end_meanwhile)
    window.commands["stop"].trigger()  # returns once the question is gone
    assert isinstance(asked[0], QMessageBox)
    assert not window.live.running and window.shown.results[0].loader.exit_status == -15


def test_closing_asks_and_keeps_recording_by_default(qtbot, window, endless):
    asked = []

    def accept_default():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        asked.append(box.defaultButton().text())
        box.defaultButton().click()

    QTimer.singleShot(0, accept_default)
    assert not window.close()
    assert asked == ["Keep recording"]
    assert window.isVisible() and window.live.running


def test_a_training_runs_on_after_the_window_was_closed(qtbot, window, endless):
    folder = endless.environ()["LOADERSCOPE_RECORD"]
    window.dialogs.training_running = lambda: "leave"
    assert window.close()
    assert not os.path.exists(folder)
    with endless.oneshot():
        before = endless.cpu_times().user
    assert until(lambda: endless.cpu_times().user > before + 0.05, 30)  # it prints, and goes on with its loader
    assert is_alive(endless.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C")
def test_the_training_is_stopped_when_the_user_says_so_while_closing(qtbot, window, endless):
    window.dialogs.training_running = lambda: "stop"
    assert window.close()
    assert not is_alive(endless.pid)


def test_a_session_of_a_training_that_runs_on_says_so(qtbot, window, endless, tmp_path):
    window.dialogs.training_running = lambda: "leave"
    saved = tmp_path / "kept.loaderscope"
    window.dialogs.unsaved = lambda running, has_results: "save"
    window.dialogs.save = lambda *arguments: str(saved)
    assert window.close()
    with SessionFile.open(saved) as session:
        assert [result.loader.exit_status for result in session.results] == [None]
        assert session.run.is_training


def test_views_show_the_loaders_of_a_training_where_they_compare_the_settings_of_a_sweep(qtbot, window, tmp_path):
    record_to_end(qtbot, window, train_script(tmp_path))
    views = window.views
    assert views.throughput.is_empty and not views.throughput.isVisible()
    assert views.exposed.isVisible() and views.exposed.data.shares
    finding = Finding("input-bound", "warning", [0], "Main waits.", {}, "")
    views.findings.set_findings([finding], None, True, is_training=True)
    assert "loader 0" in views.findings.view.toPlainText()
    assert views.docks["throughput"].windowTitle() == EXPOSED_TITLE
    assert [bar.label for bar in views.startup.data.bars] == ["train.py:12", "train.py:13"]
    views.startup.show_view("Phases", "this trial")
    assert views.startup.empty.text() == ONE_LOADER
    window.shown.choose_trial(0)
    assert views.startup.data.title.endswith("train.py:12")
    assert window.views.results.model.row(0).loader == "train.py:12"


def test_the_session_of_a_training_whose_recording_was_killed_shows_its_loaders(window, tmp_path, monkeypatch):
    monkeypatch.setattr(session_writer, "COMMIT_EVERY_S", 0.0)
    path = tmp_path / "killed.loaderscope"
    target = Target(TRAINING_TARGET, "captured", "DataLoader", "captured")
    writer = SessionWriter(path)
    writer.run_started(dataclasses.replace(make_run(workers=()), target=target, plan=[]))
    for number, name in enumerate(("train.py:12", "train.py:13")):
        planned, trace = PlannedTrial(number, 0, config_of(1), loader=name), synthetic.make_trace(num_workers=1)
        writer.trial_started(planned, trace)
        writer.trace_grew(planned, trace)
    writer.close()
    window.open_path(str(path))
    assert window.shown.trial == ALL_LOADERS
    assert [window.views.results.model.row(row).loader for row in range(2)] == ["train.py:12", "train.py:13"]
    assert {"0/main", "1/main"} <= set(window.views.timeline.scene.trace.lanes)


def test_marks_of_all_loaders_are_those_of_each(qtbot, window, tmp_path):
    record_to_end(qtbot, window, train_script(tmp_path))
    timeline = window.views.timeline
    press(timeline, Qt.Key.Key_M)
    marks = timeline.marking.marks
    assert len(marks) == 1
    window.shown.choose_trial(1)
    assert timeline.marking.marks == marks
    assert window.save(str(tmp_path / "marked"))
    window.open_path(str(tmp_path / "marked.loaderscope"))
    assert window.shown.trial == ALL_LOADERS and timeline.marking.marks == marks
