"""What the script said, in the log panel and in reports; and arguments that a session holds only masked."""

from __future__ import annotations

import dataclasses
import html
import os
import shlex

import pytest
import support_session
from PySide6.QtCore import Qt
from running import write_script

from loaderscope.facts.results import ScriptWarning
from loaderscope.facts.run import LogLine
from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.session.file import SessionFile, SessionWriter

SLOW = ScriptWarning("worker-0", "UserWarning", "a slow <format>", 3, "/home/me/train.py:7")
SCRIPT = """
    import pathlib, sys
    pathlib.Path(__file__).with_name("ran.txt").write_text(" ".join(sys.argv[1:]))
    dataset = list(range(10))
    from torch.utils.data import DataLoader
    loader = DataLoader(dataset)
"""


def write_session(path, warnings_of_trials, run=None):
    run = run or support_session.make_run()
    writer = SessionWriter(path)
    writer.run_started(run)
    writer.log_line(LogLine(1, "stdout", "a line of output", None))
    for trial, warnings in zip(run.plan, warnings_of_trials, strict=False):
        trace = support_session.make_trial_trace(trial.config.num_workers)
        writer.trial_started(trial, trace)
        writer.trial_finished(dataclasses.replace(support_session.result_of(trial, trace, run), warnings=list(warnings)), trace)
    writer.run_finished(cancelled=False)
    writer.close()
    return path


@pytest.fixture
def spoken(tmp_path):
    printed = [ScriptWarning(None, "stderr", "printed", 2), ScriptWarning(None, "stderr", "other", 1)]
    return write_session(tmp_path / "spoken.loaderscope", ([SLOW], [dataclasses.replace(SLOW, count=4), *printed], []))


def test_the_log_tells_how_many_warnings_there_are_and_shows_them_by_trial(window, spoken, qtbot):
    window.open_path(str(spoken))
    log = window.views.log
    assert log.warnings.isEnabled() and "(3)" in log.warnings.text()
    window.views.docks["log"].raise_()
    log.warnings.setFocus()
    qtbot.keyClick(log.warnings, Qt.Key.Key_Space)
    lines = log.view.toPlainText().splitlines()
    assert [line.split()[0] for line in lines] == ["#0", "UserWarning", "#1", "UserWarning", "stderr", "stderr:"]
    assert "×3 in worker 0: a slow <format> (train.py:7)" in lines[1]
    assert "×4" in lines[3] and "×2" in lines[4]
    qtbot.keyClick(log.warnings, Qt.Key.Key_Space)
    assert "a line of output" in log.view.toPlainText()


def test_the_filter_of_the_log_holds_for_warnings_too(window, spoken):
    window.open_path(str(spoken))
    log = window.views.log
    log.warnings.setChecked(True)
    log.filter.setText("PRINTED")
    assert [line.split()[0] for line in log.view.toPlainText().splitlines()] == ["#1", "stderr"]


def test_lines_that_come_meanwhile_are_there_when_the_log_is_shown_again(window, spoken):
    window.open_path(str(spoken))
    log = window.views.log
    log.warnings.setChecked(True)
    log.add([LogLine(9, "stdout", "came meanwhile")])
    assert "came meanwhile" not in log.view.toPlainText()
    log.warnings.setChecked(False)
    assert "came meanwhile" in log.view.toPlainText()


def test_a_run_that_said_nothing_has_no_warnings_to_show(window, session, spoken):
    window.open_path(str(spoken))
    window.views.log.warnings.setChecked(True)
    window.open_path(str(session))
    log = window.views.log
    assert not log.warnings.isEnabled() and not log.warnings.isChecked()
    assert log.warnings.toolTip()
    assert "loading" in log.view.toPlainText()


def test_a_report_tells_each_text_whole_and_once(spoken, qapp):
    with SessionFile.open(spoken) as opened:
        report = build_report(opened)
    (section,) = [section for section in report.sections if "said" in section.heading]
    assert len(section.blocks) == 3
    page = to_html(report)
    assert page.count(html.escape("a slow <format>")) == 1
    assert "×7" in page and "in 2 trials" in page and "/home/me/train.py:7" in page


def test_a_report_of_a_quiet_run_has_no_such_section(session, qapp):
    with SessionFile.open(session) as opened:
        assert not [section for section in build_report(opened).sections if "said" in section.heading]


def masked_session(tmp_path):
    script = write_script(tmp_path, SCRIPT)
    run = support_session.make_run(workers=(1,), script_args=("--token", "Zq8hunter2x"))
    run = dataclasses.replace(run, script=str(script), request=dataclasses.replace(run.request, script=str(script), target="loader"))
    return write_session(tmp_path / "masked.loaderscope", ([],), run), tmp_path / "ran.txt"


def test_arguments_that_were_masked_must_be_entered_again_before_anything_runs(window, tmp_path, qtbot):
    session, ran = masked_session(tmp_path)
    window.open_path(str(session))
    setup, panel = window.setup, window.setup.target_panel
    assert panel.script_args.text() == "--token '***'"
    assert "***" in panel.sample.text() and "***" in setup.problem
    setup.reload()
    assert "***" in panel.problem.text()
    assert not setup.is_looking and not ran.exists()
    with pytest.raises(ValueError, match=r"\*\*\*"):
        setup.request()
    panel.script_args.setText("--token real")
    qtbot.keyClick(panel.script_args, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ran.exists() and ran.read_text() != "", timeout=30_000)
    assert ran.read_text() == "--token real"
    qtbot.waitUntil(lambda: not setup.is_looking, timeout=30_000)
    assert panel.problem.isHidden() or not panel.problem.text()
    assert setup.request().script_args == ("--token", "real")


def test_the_values_of_variables_must_be_entered_again_before_anything_runs(window, tmp_path, qtbot):
    script = write_script(
        tmp_path, f"import os, pathlib\npathlib.Path({str(tmp_path / 'ran.txt')!r}).write_text(os.environ['DATA_ROOT'])\n"
    )
    run = support_session.make_run(workers=(1,), environment_variables={"DATA_ROOT": "photos"})
    run = dataclasses.replace(run, script=str(script), request=dataclasses.replace(run.request, script=str(script)))
    session = write_session(tmp_path / "masked.loaderscope", ([],), run)
    assert b"photos" not in session.read_bytes()
    window.open_path(str(session))
    setup, field, ran = window.setup, window.setup.target_panel.variables, tmp_path / "ran.txt"
    assert shlex.split(field.text()) == ["DATA_ROOT=***"]
    assert "***" in setup.problem
    field.setText("DATA_ROOT")
    assert "NAME=VALUE" in setup.problem
    setup.reload()
    assert not ran.exists()
    field.setText("DATA_ROOT='my photos'")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ran.exists() and ran.read_text() == "my photos", timeout=30_000)
    qtbot.waitUntil(lambda: not setup.is_looking, timeout=30_000)


def test_the_script_runs_in_the_working_folder_that_the_user_enters(window, tmp_path, qtbot):
    ran = tmp_path / "ran.txt"
    script = write_script(tmp_path, f"import os, pathlib\npathlib.Path({str(ran)!r}).write_text(os.getcwd())\n")
    (tmp_path / "elsewhere").mkdir()
    window.open_path(str(script))
    setup, panel = window.setup, window.setup.target_panel
    qtbot.waitUntil(lambda: not setup.is_looking, timeout=30_000)
    assert ran.read_text() == os.getcwd()
    panel.working_folder.setText(str(tmp_path / "elsewhere"))
    qtbot.keyClick(panel.working_folder, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ran.read_text() == str(tmp_path / "elsewhere"), timeout=30_000)
    qtbot.waitUntil(lambda: not setup.is_looking, timeout=30_000)
