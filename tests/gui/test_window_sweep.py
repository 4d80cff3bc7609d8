"""The window with real sweeps: what a user does from opening a script to reading a saved session."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time

import psutil
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from running import marked_by, nothing_left_of, write_script

from loaderscope.gui.panels.results_panel import COLUMNS

QUICK = """
    import time
    import torch
    from torch.utils.data import Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 96

        def __getitem__(self, index):
            time.sleep(0.001)
            return torch.full((3, 4), float(index)), index

    train_set = Numbers()
    print("the script was loaded")
"""

LONG_MS = 60_000
COLUMN = {column.title: index for index, column in enumerate(COLUMNS)}


@pytest.fixture
def script(tmp_path):
    return write_script(tmp_path / "mit Umlaut ä", QUICK, "numbers set.py")


def attach(qtbot, window, path, workers=(0, 1)):
    """Opens a script and waits until its target was looked at."""
    window.open_path(str(path))
    qtbot.waitUntil(lambda: "sample:" in window.setup.target_panel.sample.text(), timeout=LONG_MS)
    panel = window.setup.sweep_panel
    panel.axes["num_workers"].set_values(workers, workers)
    panel.axes["batch_size"].set_values([4], [4])
    panel.axes["batch_size"].edited.emit()
    panel.axes["start_method"].set_values(["fork"], ["fork"])


def run_to_end(qtbot, window):
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["start"].trigger()
        assert window.live.running


def table_texts(window):
    model = window.views.results.model
    return [[model.data(model.index(row, column)) for column in range(len(COLUMNS))] for row in range(model.rowCount())]


def _expects_of_the_next_sweep_what_this_one_took(window, script):
    """... and no longer once the script was changed."""
    done, panel = window.shown.state.snapshot(), window.setup.sweep_panel
    assert panel.expected_s < 60
    slow = [dataclasses.replace(result, seconds=100.0) for result in done.results]
    window.setup.remember_sweep(dataclasses.replace(done.run, request=dataclasses.replace(done.run.request, target="another")), slow)
    assert panel.expected_s < 60
    window.setup.remember_sweep(done.run, slow)
    assert 200 < panel.expected_s < 260
    later = done.run.created_unix_s + 60
    os.utime(script, (later, later))
    window.setup.remember_sweep(done.run, slow)
    assert panel.expected_s < 60


def test_a_sweep_is_watched_saved_and_opened_again_the_same(qtbot, window, script, tmp_path):
    attach(qtbot, window, script)
    assert "float32 3×4" in window.setup.target_panel.sample.text()
    window.setup.sweep_panel.probe_trial.setChecked(False)
    qtbot.waitUntil(lambda: "2 trials" in window.setup.sweep_panel.forecast.text())
    run_to_end(qtbot, window)
    assert [row[COLUMN["status"]] for row in table_texts(window)] == ["done", "done"]
    best = next(row for row in range(2) if window.views.results.model.data(window.views.results.model.index(row, 0)).startswith("★"))
    assert window.shown.trial == window.views.results.model.row(best).trial_id  # whoever watched to the end sees what is recommended
    rates = [row[COLUMN["samples/s"]] for row in table_texts(window)]
    assert all(float(rate) > 100 for rate in rates)
    assert "the script was loaded" in window.views.log.view.toPlainText()
    assert window.views.headline.text()
    assert len(window.views.throughput.data.lines) == 1

    model, table = window.views.results.model, window.views.results.table
    seen = {}
    for row in (0, 1):
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(model.index(row, 0)).center())
        assert window.shown.trial == model.row(row).trial_id
        seen[row] = window.views.timeline.scene.trace
    assert "worker-0" not in seen[0].lanes and "worker-0" in seen[1].lanes

    _expects_of_the_next_sweep_what_this_one_took(window, script)

    before, headline = table_texts(window), window.views.headline.text()
    assert window.save(str(tmp_path / "kept"))
    session = tmp_path / "kept.loaderscope"
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob("*-wal"))
    window.open_path(str(session))
    assert table_texts(window) == before
    assert window.views.headline.text() == headline
    assert "the script was loaded" in window.views.log.view.toPlainText()
    window.shown.choose_trial(1)
    spans = {key: len(columns) for key, columns in seen[1].tracks.items()}
    opened = window.views.timeline.scene.trace
    assert opened is not seen[1] and {key: len(columns) for key, columns in opened.tracks.items()} == spans


def test_stopping_keeps_finished_trials_and_lets_the_next_sweep_start(qtbot, window, script):
    attach(qtbot, window, script, workers=(0, 1, 2))
    window.setup.sweep_panel.repeats.setValue(50)
    window.starting.sweep()
    qtbot.waitUntil(lambda: len(window.shown.state.snapshot().results) >= 1, timeout=LONG_MS)
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        window.commands["stop"].trigger()
    rows = table_texts(window)
    assert rows and rows[0][COLUMN["samples/s"]] != "–"
    assert window.shown.state.snapshot().cancelled
    assert window.commands["start"].isEnabled() and window.commands["save"].isEnabled() and not window.commands["stop"].isEnabled()
    assert nothing_left_of(os.getpid())


def test_closing_the_window_during_a_sweep_leaves_no_process(qtbot, window, tmp_path):
    script = write_script(
        tmp_path,
        """
        import subprocess, sys, time
        import torch
        from torch.utils.data import Dataset

        class Breeding(Dataset):
            def __len__(self):
                return 1000

            def __getitem__(self, index):
                if not hasattr(self, "child"):
                    self.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
                time.sleep(0.05)
                return torch.zeros(2)

        train_set = Breeding()
        """,
    )
    attach(qtbot, window, script, workers=(2,))
    window.starting.sweep()
    family = 5  # the agent, two workers, and a child of each
    qtbot.waitUntil(lambda: len(marked_by(os.getpid())) >= family, timeout=LONG_MS)
    pids = [process.pid for process in marked_by(os.getpid())]
    window.close()
    assert not window.isVisible()
    assert nothing_left_of(os.getpid(), *pids)


def _has_worker_spans(window):
    trace = window.shown.state.trace(window.shown.trial) if window.shown.trial is not None else None
    return trace is not None and ("worker-1", 0) in trace.tracks


@pytest.mark.slow
def test_the_event_loop_answers_while_a_dataset_burns_all_cores(qtbot, window, tmp_path):
    script = write_script(
        tmp_path,
        """
        import time
        import torch
        from torch.utils.data import Dataset

        class Burning(Dataset):
            def __len__(self):
                return 100000

            def __getitem__(self, index):
                until = time.perf_counter() + 0.01
                while time.perf_counter() < until:
                    sum(range(100))
                return torch.zeros(2)

        train_set = Burning()
        """,
    )
    attach(qtbot, window, script, workers=(psutil.cpu_count() or 2,))
    window.setup.sweep_panel.batches.setValue(0)
    window.starting.sweep()
    qtbot.waitUntil(lambda: _has_worker_spans(window), timeout=LONG_MS)
    late_s: list[float] = []
    clock = QTimer(window, interval=20, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
    due = time.perf_counter()

    def answer():
        nonlocal due
        late_s.append(time.perf_counter() - due)
        due = time.perf_counter() + 0.02
        clock.start()

    clock.timeout.connect(answer)
    answer()
    qtbot.waitUntil(lambda: len(late_s) >= 150, timeout=LONG_MS)
    assert sum(late_s) < len(late_s) * clock.interval() / 1000  # for more than half of the time it only waits for the timer
    assert window.live.running


@pytest.mark.parametrize(
    ("text", "expected", "logged"),
    [
        ("def broken(:\n    pass\n", "line 1", ""),
        ("import surely_not_installed\n", "surely_not_installed", "ModuleNotFoundError: No module named"),
        ("x = 1\n", "nothing to profile", ""),
        ("import sys\nprint('usage: name the folder', file=sys.stderr)\nsys.exit(3)\n", "exit", "usage: name the folder"),
    ],
)
def test_a_bad_script_gives_one_sentence_and_the_window_goes_on(qtbot, window, tmp_path, text, expected, logged):
    window.open_path(str(write_script(tmp_path, text)))
    problem = window.setup.target_panel.problem
    qtbot.waitUntil(problem.isVisible, timeout=LONG_MS)
    assert expected in problem.text()
    assert "Traceback" not in problem.text()
    assert logged in window.views.log.view.toPlainText()
    assert not window.commands["start"].isEnabled()


def test_a_missing_file_and_a_file_that_is_no_session_are_told(qtbot, window, tmp_path):
    window.open_path(str(tmp_path / "nowhere.py"))
    assert "no file" in window.setup.target_panel.problem.text()
    garbage = tmp_path / "garbage.loaderscope"
    garbage.write_bytes(b"this is no session" * 100)
    window.open_path(str(garbage))
    assert "garbage.loaderscope" in window.setup.target_panel.problem.text()


def test_a_script_dropped_on_the_window_is_looked_at(qtbot, window, script):
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(script))])
    held = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(50, 50), *held))
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), *held))
    qtbot.waitUntil(lambda: window.setup.target_panel.current_target is not None, timeout=LONG_MS)
    assert window.setup.target_panel.current_target.name == "train_set"
    assert window.setup.script == str(script)


@pytest.mark.slow
def test_a_window_session_never_imports_torch(tmp_path, script):
    code = f"""
import sys
from PySide6.QtCore import QSettings, QTimer
from loaderscope.gui.window.app import make_application
from loaderscope.gui.window.main_window import MainWindow
from loaderscope.facts.request import Axes, Request

application = make_application()
window = MainWindow(QSettings({str(tmp_path / "s.ini")!r}, QSettings.Format.IniFormat))
window.show()
window.dialogs.unsaved = lambda running, has_results: "discard"
window.live.ended.connect(application.quit)
window.open_request(Request(script={str(script)!r}, axes=Axes(num_workers=(0,)), batches=4, repeat_disturbed=0), start=True)
QTimer.singleShot({LONG_MS}, application.quit)
application.exec()
statuses = [result.status for result in window.shown.state.snapshot().results]
window.discard_and_close()
print(statuses, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.stdout.strip() == "['ok'] False", done.stdout + done.stderr
