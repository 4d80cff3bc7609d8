"""A setting reads the same wherever it is shown."""

import dataclasses

import support_session
from PySide6.QtCore import Qt
from terminal_text import format_table

from loaderscope.agent.messages import ErrorInfo
from loaderscope.analysis.verdict import judge
from loaderscope.facts.results import TrialResult
from loaderscope.facts.settings import setting_text
from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.session.document import build_document
from loaderscope.session.file import SessionFile, SessionWriter


def test_a_setting_reads_the_same_in_window_finding_terminal_and_report(window, tmp_path):
    run = support_session.make_run(workers=(0, 2))
    config = dataclasses.replace(run.plan[1].config, batch_size=64, start_method="spawn", persistent_workers=True)
    run.plan[1] = dataclasses.replace(run.plan[1], config=config)
    results = [
        TrialResult(0, 0, "ok", run.plan[0].config, None, 1.0),
        TrialResult(1, 0, "timeout", config, ErrorInfo("hung", "No sign of life for 30 s."), 30.0),
    ]
    path = tmp_path / "run.loaderscope"
    writer = SessionWriter(path)
    support_session.record_results(writer, run, results)
    writer.close()
    words = setting_text(config)
    window.open_path(str(path))
    model = window.views.results.model
    index = model.index(model.find(config), 0)
    assert words in model.data(index, Qt.ItemDataRole.ToolTipRole)
    assert any(words in window.views.trials.itemText(number) for number in range(window.views.trials.count()))
    assert any(words in finding.message for finding in judge(run, results).findings)
    assert words in format_table(build_document(run, results), 400)
    with SessionFile.open(path) as file:
        assert words in to_html(build_report(file))
