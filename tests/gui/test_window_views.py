"""The window around a run: what it shows of a session, and how it is driven by keys and mouse."""

from __future__ import annotations

import dataclasses
import sys
import types

import pytest
import support_session
from PySide6.QtCore import QEvent, QObject, QPointF, QSettings, QSize, Qt, QTimer
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QMessageBox, QSpinBox, QWidget

from loaderscope.agent.messages import ErrorInfo
from loaderscope.facts.findings import Finding
from loaderscope.facts.results import TrialResult
from loaderscope.facts.run import LogLine
from loaderscope.facts.text import rate_text
from loaderscope.gui.panels.finding_cards import finding_card
from loaderscope.gui.panels.results_panel import COLUMNS
from loaderscope.gui.panels.target_panel import sample_text
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.style.theme import apply_theme, current_palette
from loaderscope.gui.window.command_table import COMMANDS, matching_commands
from loaderscope.gui.window.save_dialogs import Dialogs
from loaderscope.session.file import SessionWriter
from loaderscope.sweep.interpreters import Interpreter


def test_an_opened_session_fills_every_view(window, session):
    window.open_path(str(session))
    model = window.views.results.model
    assert model.rowCount() == 4
    statuses = [row.status for row in (model.row(index) for index in range(4))]
    assert statuses == ["ok", "ok", "ok", "skipped"]
    assert [len(points) for _, points in window.views.throughput.data.lines] == [3]
    assert len(window.views.startup.data.bars) == 3
    assert window.views.trials.count() == 4
    assert "three.loaderscope" in window.windowTitle()
    assert "träin.py is not on this machine" in window.setup.target_panel.sample.text()
    best = next(index for index in range(4) if model.data(model.index(index, 0)).startswith("★"))
    assert model.row(best).trial_id == window.shown.trial  # the recommended setting is what is shown first


def test_opening_a_session_runs_nothing(window, tmp_path):
    script, witness = tmp_path / "named.py", tmp_path / "it ran"
    script.write_text(f"open({str(witness)!r}, 'w')")
    run = support_session.make_run()
    run = dataclasses.replace(run, script=str(script), request=dataclasses.replace(run.request, script=str(script), python="/bin/false"))
    writer = SessionWriter(tmp_path / "sent.loaderscope")
    support_session.record(writer, run)
    writer.close()
    window.open_path(str(tmp_path / "sent.loaderscope"))
    assert not window.setup.is_looking
    assert "Ctrl+F5" in window.setup.problem
    assert not window.commands["start"].isEnabled()
    assert not witness.exists()


def test_arrow_keys_in_the_table_change_the_timeline(qtbot, window, session):
    window.open_path(str(session))
    table = window.views.results.table
    table.selectRow(0)
    first = window.views.timeline.scene.trace
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert window.shown.trial == window.views.results.model.row(1).trial_id
    assert window.views.timeline.scene.trace is not first
    assert window.views.trials.currentData() == window.shown.trial
    window.commands["previous_trial"].trigger()
    assert window.views.timeline.scene.trace is first


def test_a_skipped_setting_says_why_and_has_no_timeline(window, session):
    window.open_path(str(session))
    window.shown.choose_trial(3)
    assert window.views.trial_note.text() == "This system has no nonsense."
    assert window.views.timeline.scene is None and not window.views.timeline.isVisible()
    notice = window.views.notice
    assert notice.isVisible() and "skipped" in notice.text() and "no nonsense" in notice.text()
    window.shown.choose_trial(0)
    assert window.views.timeline.isVisible() and not notice.isVisible()


def test_the_startup_chart_can_show_the_processes_of_the_trial(window, session):
    window.open_path(str(session))
    panel = window.views.startup
    panel.part.setCurrentText("this trial")
    for trial in (1, 2):
        window.shown.choose_trial(trial)
        assert [bar.trial for bar in panel.data.bars] == [trial] * len(panel.data.bars) and panel.data.bars
    window.shown.choose_trial(3)  # was skipped
    assert panel.data.bars == ()


def test_a_run_without_a_finished_trial_is_not_called_a_failure(window, monkeypatch):
    run = support_session.make_run()
    window.shown.show(RunState())
    window.shown.state.run_started(run)
    monkeypatch.setattr(type(window.live), "running", property(lambda live: True))
    window.starting.expected_s = 41.0
    window.shown.show_progress()
    assert "Measuring." in window.views.headline.text()
    assert window.views.progress.format().startswith("0 of ")
    assert window.views.time_left.text() == "about 41 s in all"
    window.starting.began_s -= 42.0
    window.shown.show_progress()
    assert window.views.time_left.text() == "longer than the 41 s that were expected"


def test_a_point_of_the_chart_leads_to_its_trial(qtbot, window, session):
    window.open_path(str(session))
    chart = window.views.throughput
    points = chart.plot.targets
    assert len(points) == 3
    for point in points:
        spot = chart.plot.box.mapViewToScene(QPointF(point.x[0], point.y[0])).toPoint()
        qtbot.mouseClick(chart.plot.view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
        assert window.shown.trial == point.trial


def test_the_palette_finds_and_runs_a_command(qtbot, window):
    window.commands["palette"].trigger()
    qtbot.keyClicks(window.palette_box.field, "light dark")
    assert window.palette_box.list.topLevelItemCount() == 1
    qtbot.keyClick(window.palette_box.field, Qt.Key.Key_Return)
    assert not window.palette_box.isVisible()
    assert current_palette().name == "light"
    apply_theme(QApplication.instance(), "dark")


def test_commands_have_keys_of_their_own_and_stand_on_the_help_page(window):
    keys = [key for command in COMMANDS for key in command.keys]
    assert len(keys) == len(set(keys))
    assert {command.name for command in matching_commands("stop")} >= {"stop"}
    window.commands["help"].trigger()
    page = window.help.view.toPlainText()
    assert all(command.tip in page for command in COMMANDS if command.keys)
    window.commands["help"].trigger()
    assert not window.help.isVisible()


def test_what_cannot_be_done_yet_is_disabled(window):
    enabled = {name for name, action in window.commands.actions.items() if action.isEnabled()}
    assert not enabled & {"start", "stop", "live", "save", "report", "export"}
    assert window.setup.sweep_panel.forecast.text() == "Choose a script first."
    window.starting.sweep()
    assert window.setup.target_panel.problem.text() == "Choose a script first."


def test_everything_can_be_reached_with_tab_and_has_a_name(window):
    nameless = []
    for widget in window.findChildren(QWidget):
        if (
            isinstance(widget, QAbstractButton | QComboBox | QLineEdit | QSpinBox)
            and widget.isVisible()
            and widget.objectName()[:3] != "qt_"
        ):
            named = widget.accessibleName() or (isinstance(widget, QAbstractButton) and widget.text())
            inner = isinstance(widget.parent(), QSpinBox | QComboBox) or type(widget.parent()).__name__ == "QDoubleSpinBox"
            if not named and not inner:
                nameless.append(widget)
            if not inner:
                assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus or not widget.isEnabled(), widget.accessibleName()
    assert nameless == []


def test_tab_goes_through_the_window_as_it_is_read(window):
    panel = window.setup.sweep_panel
    panel.axes["num_workers"].set_values([0, 1, 2, 8], [0, 8])  # new chips, made after everything else
    order, widget = [], panel.consumer.nextInFocusChain()
    while widget is not panel.consumer:
        order.append(widget)
        widget = widget.nextInFocusChain()
    wanted = [
        *(panel.axes["num_workers"].chip(value) for value in (0, 1, 2, 8)),
        *(panel.axes["batch_size"].chip(value) for value in panel.axes["batch_size"].offered()),
        panel.axes["in_order"].chip(True),
        panel.batches,
        panel.budget,
        panel.ceiling,
        panel.start,
        window.views.trials,
        window.views.timeline,
        window.views.results.table,
    ]
    places = [order.index(one) for one in wanted]
    assert places == sorted(places)


def test_the_layout_is_remembered_and_can_be_reset(qtbot, settings, window):
    from loaderscope.gui.window.main_window import MainWindow

    window.views.docks["findings"].setFloating(True)
    window.close()
    again = MainWindow(settings)
    qtbot.addWidget(again)
    assert again.views.docks["findings"].isFloating()
    again.commands["reset_layout"].trigger()
    assert not again.views.docks["findings"].isFloating()


def test_a_window_that_was_never_open_takes_most_of_a_large_screen_and_no_more_than_a_small_one(qtbot, settings, monkeypatch):
    from loaderscope.gui.window.main_window import MainWindow

    for available, expected in ((QSize(2560, 1400), QSize(2176, 1190)), (QSize(1280, 800), QSize(1216, 760))):
        monkeypatch.setattr(MainWindow, "screen", lambda self, size=available: types.SimpleNamespace(availableSize=lambda: size))
        window = MainWindow(settings)
        qtbot.addWidget(window)
        assert window.size() == expected


def test_switching_the_theme_repaints_charts_and_is_remembered(window, settings, session):
    window.open_path(str(session))
    dark = window.views.throughput.grab().toImage().pixelColor(2, 2)
    window.commands["theme"].trigger()
    light = window.views.throughput.grab().toImage().pixelColor(2, 2)
    assert dark == QColor("#16181d") and light == QColor("#ffffff")
    assert settings.value("theme") == "light"


def test_an_idle_window_paints_nothing(qtbot, window, session):
    window.open_path(str(session))
    window.views.timeline.setFocus()  # a cursor in a field would blink
    counter = _PaintCounter()
    settled = QTimer(singleShot=True, interval=600)
    with qtbot.waitSignal(settled.timeout):
        settled.start()
    QApplication.instance().installEventFilter(counter)
    idle = QTimer(singleShot=True, interval=700)
    with qtbot.waitSignal(idle.timeout):
        idle.start()
    QApplication.instance().removeEventFilter(counter)
    assert counter.painted == []


class _PaintCounter(QObject):
    def __init__(self):
        super().__init__()
        self.painted = []

    def eventFilter(self, watched, event):  # noqa: N802  Qt's name
        if event.type() == QEvent.Type.Paint:
            self.painted.append(type(watched).__name__)
        return False


def test_closing_asks_about_what_is_not_saved_and_can_be_called_off(window):
    answers = ["cancel", "discard"]
    asked = []
    window.dialogs.unsaved = lambda running, has_results: asked.append(running) or answers.pop(0)
    window._unsaved = True
    assert not window.close() and window.isVisible()
    assert window.close()
    assert asked == [False, False]


def test_a_trial_that_finishes_while_the_question_stands_is_asked_about(window):
    asked = []

    def unsaved(running, has_results):
        asked.append(has_results)
        if has_results:
            return "cancel"
        window.shown.state.trial_finished(TrialResult(0, 0, "ok", support_session.config_of(0)), None)
        return "discard"

    window.dialogs.unsaved = unsaved
    window._unsaved = True
    assert not window.close()
    assert asked == [False, True]


def test_a_request_to_end_closes_a_question_that_stands_open(qtbot, window):
    del window.dialogs.unsaved  # the fixture's answer: this question is really asked
    window._unsaved = True
    asked = QTimer(window, interval=10)

    def end_while_asked():
        if QApplication.activeModalWidget() is not None:
            asked.stop()
            window.discard_and_close()

    asked.timeout.connect(end_while_asked)
    asked.start()
    window.close()  # returns only when the question is gone
    assert QApplication.activeModalWidget() is None
    assert not window.isVisible()


@pytest.mark.parametrize(("running", "has_results"), [(True, False), (True, True), (False, True)])
def test_saving_is_offered_only_where_there_is_something_to_save(qtbot, monkeypatch, running, has_results):
    asked = []
    monkeypatch.setattr(QMessageBox, "exec", lambda box: asked.append(box) or QMessageBox.StandardButton.Discard)
    parent = QWidget()
    qtbot.addWidget(parent)
    assert Dialogs(parent, QSettings()).unsaved(running, has_results) == "discard"
    (box,) = asked
    assert (box.button(QMessageBox.StandardButton.Save) is not None) == has_results
    assert ("are lost" in box.informativeText()) == has_results
    assert ("still running" in box.text()) == running


def test_a_session_that_cannot_be_copied_is_told_until_one_is(window, session, tmp_path):
    window.open_path(str(session))
    headline = window.views.headline.text()
    assert not window.save(str(tmp_path / "no such folder" / "x"))
    assert "could not be saved" in window.setup.target_panel.problem.text()
    assert "could not be saved" in window.views.headline.text()
    assert window.save(str(tmp_path / "x.loaderscope"))
    assert window.setup.target_panel.problem.text() == ""
    assert window.views.headline.text() == headline


def test_a_stopped_run_tells_what_is_done(window, session):
    window.open_path(str(session))
    snapshot = window.shown.state.snapshot()
    stopped = dataclasses.replace(snapshot.results[0], status="cancelled")
    for results, text in (((stopped,), "stopped: no trial is done"), ((snapshot.results[0], stopped), "stopped: 1 done")):
        window.views.show_progress(dataclasses.replace(snapshot, results=results, cancelled=True), running=False)
        assert window.views.time_left.text() == text


def test_rates_keep_three_digits_and_part_thousands():
    assert [rate_text(value) for value in (None, 3.456, 29.44, 375.2, 147_201.4)] == ["–", "3.46", "29.4", "375", "147\u202f201"]


def test_a_message_is_not_covered_by_the_progress_of_a_sweep(window):
    snapshot = window.shown.state.snapshot()
    window.views.show_message("Timeline is on the clipboard")
    window.views.show_progress(snapshot, running=True)
    assert not window.views.progress.isVisible() and not window.views.time_left.isVisible()
    window.statusBar().clearMessage()
    assert window.views.progress.isVisible() and window.views.time_left.isVisible()


def test_until_the_first_trial_begins_the_window_says_what_passes(window):
    state, views, run = RunState(), window.views, support_session.make_run()
    views.show_progress(state.snapshot(), running=True)
    assert views.notice.isVisible() and "Loading the script" in views.notice.text() and not views.timeline.isVisible()
    state.run_started(run)
    state.trial_started(run.plan[0], support_session.make_trial_trace(0))
    views.show_progress(state.snapshot(), running=True)
    assert views.timeline.isVisible()
    views.show_progress(RunState().snapshot(), running=True)
    views.show_progress(RunState().snapshot(), running=False)  # the script could not be loaded
    assert views.timeline.isVisible()


def test_why_a_sweep_could_not_run_comes_with_advice(window):
    window._show_error(ErrorInfo("SystemExit", "train.py, line 3: sys.exit(2) ended the script."))
    told = window.setup.target_panel.problem.text().split("\n")
    assert told == ["train.py, line 3: sys.exit(2) ended the script.", "Give the arguments your script needs in the field above."]
    assert "sys.exit(2)" in window.views.headline.text()


def test_where_no_trial_came_to_its_end_nothing_is_said_to_be_right(window):
    run = support_session.make_run()
    window.shown.show(RunState())
    window.shown.state.run_started(run)
    window.shown.state.trial_finished(TrialResult(0, 0, "cancelled", run.plan[0].config), None)
    window.shown.show_progress()
    assert "Nothing is wrong" not in window.views.findings.view.toPlainText()


def test_the_traceback_of_a_failed_trial_stands_in_the_log(window, tmp_path):
    run = support_session.make_run()
    error = ErrorInfo("ValueError", "ValueError: bad picture", "Traceback (most recent call last):\n  line 12\nValueError: bad picture")
    writer = SessionWriter(tmp_path / "failed.loaderscope")
    writer.run_started(run)
    failed = TrialResult(0, 0, "failed", run.plan[0].config, error)
    writer.trial_finished(failed, None)
    writer.run_finished(False)
    writer.close()
    window.open_path(str(tmp_path / "failed.loaderscope"))
    log = window.views.log
    log.source.setCurrentText("errors of the script")
    assert [line.split(maxsplit=1) for line in log.view.toPlainText().splitlines()] == [
        ["#0", "Traceback (most recent call last):"],
        ["#0", "line 12"],
        ["#0", "ValueError: bad picture"],
    ]


def test_the_links_of_a_finding_count_its_trials():
    finding = Finding("code", "info", [1], "Something.", {}, "")
    one = finding_card(finding, current_palette(), number=0).html
    two = finding_card(dataclasses.replace(finding, trials=[1, 2]), current_palette(), number=0).html
    assert "trial&nbsp;<a" in one and "trials&nbsp;<a" in two


def test_the_log_keeps_up_with_a_flood_and_says_what_it_dropped(window):
    state = RunState()
    for number in range(30_000):
        state.log_line(LogLine(number, "stdout", f"line {number}", None))
    count, lines = state.log_since(0)
    log = window.views.log
    log.add(lines, count - len(lines))
    assert log.view.blockCount() <= 20_000 and "line 29999" in log.view.toPlainText()
    assert log.note.text().startswith("10000 ")
    log.filter.setText("line 29998")
    assert log.view.toPlainText().strip().endswith("line 29998")
    assert log.view.blockCount() == 1


def test_columns_that_say_nothing_are_hidden(window, session):
    window.open_path(str(session))
    shown = {column.title for index, column in enumerate(COLUMNS) if not window.views.results.table.isColumnHidden(index)}
    assert {"#", "workers", "samples/s", "wait", "epoch"} <= shown
    assert not shown & {"GPU busy", "pinned", "in order"}


def test_results_are_copied_with_titles_and_plain_numbers_of_the_columns_in_sight(qtbot, window, session):
    window.open_path(str(session))
    table, model = window.views.results.table, window.views.results.model
    table.selectRow(1)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    titles, row = (line.split("\t") for line in QApplication.clipboard().text().splitlines())
    copied = dict(zip(titles, row, strict=True))
    setting = model.row(1).setting
    assert float(copied["samples/s"]) == pytest.approx(setting.samples_per_second.value)
    assert float(copied["first batch (s)"]) == pytest.approx(setting.first_batch_s)
    assert (copied["#"], copied["start method"]) == ("1", "fork")
    assert "GPU busy" not in copied
    table.clearSelection()
    table.copy()
    assert len(QApplication.clipboard().text().splitlines()) == 1 + model.rowCount()


def test_a_sample_of_names_has_a_line_for_each():
    sample = {
        "type": "dict",
        "length": 2,
        "bytes": 49_000,
        "seconds": 0.0023,
        "items": [{"key": "image", "shape": [3, 64, 64], "dtype": "torch.float32"}, {"key": "label", "type": "int"}],
    }
    assert sample_text(sample).splitlines() == [
        "sample: dict with",
        "    image: float32 3×64×64",
        "    label: int",
        "49 kB, read in 2.30 ms",
    ]


def test_the_list_of_interpreters_says_what_each_has(window):
    found = [
        Interpreter(sys.executable, "runs this app", "3.11.7", "2.13.0", None, "/a"),
        Interpreter("/b/bin/python", "conda", "3.12.1", "2.9.1", "CUDA 12.8", "/b"),
        Interpreter("/c/bin/python", "PATH", "3.13.0", None, None, "/c"),
    ]
    window.setup._show_interpreters(found)
    combo = window.setup.target_panel.interpreter
    texts = [combo.itemText(index) for index in range(combo.count())]
    assert texts[0] == "Python 3.11.7, torch 2.13.0 (CPU only), of Loaderscope" and combo.itemData(0) is None
    assert "torch 2.9.1 (CUDA 12.8)" in texts[1] and "no torch" in texts[2] and len(texts) == 4


def test_errors_come_with_advice(window):
    window.setup._show_error(ErrorInfo("ModuleNotFoundError", "No module named 'timm' (train.py, line 3)."))
    text = window.setup.target_panel.problem.text()
    assert "line 3" in text and "interpreter" in text
