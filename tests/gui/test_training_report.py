"""The report of a recorded training: its sentence, the chart of exposed loading time, tables of loaders, epochs and gaps."""

import dataclasses
import html
import re

import pytest
from recorded_loaders import Loader, traces_and_results, train_and_test
from support_session import config_of

from loaderscope.agent.messages import Target
from loaderscope.analysis.recorded_training import training_of_results
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.request import Request
from loaderscope.facts.run import PlannedTrial, Run
from loaderscope.facts.text import share_text
from loaderscope.gui.charts.exposed_chart import EXPOSED, exposed_data
from loaderscope.gui.report.blocks import Facts, Picture, Table
from loaderscope.gui.report.content import build_report
from loaderscope.gui.report.html import to_html
from loaderscope.gui.report.training_section import HEADING
from loaderscope.gui.report.write_report import write_report
from loaderscope.session.file import SessionFile, SessionWriter

pytestmark = pytest.mark.usefixtures("qapp")


def write_training(path, *loaders, change=lambda result: result):
    target = Target("training", "captured", "DataLoader", "captured")
    writer = SessionWriter(path)
    writer.run_started(Run(Request("a/train.py"), {"usable_cpus": 2}, target, "a/train.py", None, []))
    for result, trace in traces_and_results(*loaders):
        planned = PlannedTrial(result.id, 0, result.config)
        writer.trial_started(planned, trace)
        writer.trace_grew(planned, trace)
        writer.trial_finished(change(result), trace)
    writer.run_finished(cancelled=False)
    writer.close()
    return path


def report_of(path):
    with SessionFile.open(path) as session:
        return build_report(session)


def blocks_of(report, heading):
    return next((section.blocks for section in report.sections if section.heading == heading), ())


def test_the_report_shows_the_sentence_the_chart_and_the_tables(tmp_path):
    report = report_of(write_training(tmp_path / "t.loaderscope", *train_and_test()))
    assert report.summary.startswith("The training waited for data for 10 %")
    pictures = [block for block in blocks_of(report, HEADING) if isinstance(block, Picture)]
    assert len(pictures) == 1 and "10 %" in pictures[0].alt_text
    loaders, epochs, gaps = [block for block in blocks_of(report, HEADING) if isinstance(block, Table)]
    assert [row.cells[0] for row in loaders.rows] == ["train.py:87", "train.py:90"]
    assert len(epochs.rows) == 3
    assert any("train.py:87" in row.cells[1] for row in gaps.rows)


def test_nothing_in_it_speaks_of_a_sweep(tmp_path):
    path = write_training(tmp_path / "t.loaderscope", *train_and_test())
    page = html.unescape(re.sub(r"<style.*?</style>|<[^>]*>", " ", to_html(report_of(path)), flags=re.DOTALL))
    assert "train.py:87" in page
    assert not re.findall(r"(?i)\bsweep\w*|recommend\w*|\btrials?\b|axes", page)
    headings = [section.heading for section in report_of(path).sections]
    assert "Results" not in headings and "Start-up" not in headings
    facts = [name for block in blocks_of(report_of(path), "How it was measured") if isinstance(block, Facts) for name, _ in block.entries]
    assert "recorded" in facts and "each trial" not in facts


def test_the_timeline_is_that_of_the_loader_for_which_the_training_waited_longest(tmp_path):
    report = report_of(write_training(tmp_path / "t.loaderscope", *reversed(train_and_test())))
    (picture,) = blocks_of(report, "Timeline")
    assert "train.py:87" in picture.caption


def test_loaders_of_different_data_are_not_compared(tmp_path):
    def measured(result):
        config = config_of(2 - 2 * result.id)
        return dataclasses.replace(result, config=config, samples_per_second=Estimate(100.0, (90.0, 110.0)))

    report = report_of(write_training(tmp_path / "t.loaderscope", *train_and_test(), change=measured))
    assert len(blocks_of(report, "Timeline")) == 1
    assert not [block for block in blocks_of(report, "Figures") if "throughput" in block.caption]


def test_a_session_without_these_figures_has_no_chart(tmp_path):
    def older(result):
        return dataclasses.replace(result, loader=dataclasses.replace(result.loader, epochs=[], process=None, exposed_s=None))

    report = report_of(write_training(tmp_path / "t.loaderscope", *train_and_test(), change=older))
    assert [type(block) for block in blocks_of(report, HEADING) if not isinstance(block, str)].count(Picture) == 0
    assert any(isinstance(block, Table) for block in blocks_of(report, HEADING))


def test_every_format_can_be_written(tmp_path):
    path = write_training(tmp_path / "t.loaderscope", *train_and_test())
    outputs = [tmp_path / f"t.{suffix}" for suffix in ("html", "pdf", "png", "svg")]
    write_report(path, outputs)
    assert all(output.stat().st_size > 1000 for output in outputs)


def test_the_chart_has_a_part_for_each_share_up_to_the_end_of_the_training():
    results = [result for result, _ in traces_and_results(*train_and_test())]
    data = exposed_data(training_of_results(results))
    assert (data.edges_s[0], data.edges_s[-1]) == (0.0, pytest.approx(100.0))
    assert len(data.edges_s) == len(data.shares) + 1
    assert data.shares[20] == pytest.approx(1.0)
    assert share_text(data.whole) in EXPOSED.told(data)
    assert EXPOSED.empty(data) == ""
    assert EXPOSED.empty(exposed_data(None))


def test_a_last_part_that_is_shorter_ends_with_the_training():
    results = [result for result, _ in traces_and_results(Loader("a.py:1").epoch(0.01, 0.01, (0.12, 0.15), end_s=0.15), seconds=0.15)]
    assert exposed_data(training_of_results(results)).edges_s == pytest.approx((0.0, 0.1, 0.15))
