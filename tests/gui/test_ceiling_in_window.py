"""The ceiling in the window, its charts and its report: a line and a row of its own, which nobody takes for a setting."""

import dataclasses

import support_session
from running import write_script

from loaderscope.agent.messages import Consumer
from loaderscope.analysis.verdict import judge
from loaderscope.facts.purposes import PERFECT_LOADER
from loaderscope.facts.startup_results import Phase, Startup
from loaderscope.gui.charts.startup_chart import startup_data
from loaderscope.gui.panels.results_panel import COLUMNS
from loaderscope.gui.report.blocks import Table
from loaderscope.gui.report.content import build_report
from loaderscope.gui.run.startup_sentences import slowest_start
from loaderscope.session.file import SessionFile, SessionWriter

STEP_SCRIPT = """
import time
import torch
from torch.utils.data import Dataset

class Numbers(Dataset):
    def __len__(self):
        return 960
    def __getitem__(self, index):
        time.sleep(0.0002)
        return torch.full((3, 4), float(index)), index

train_set = Numbers()

def train_step(batch):
    time.sleep(0.001)
"""

WORKERS = next(number for number, column in enumerate(COLUMNS) if column.setting and column.setting.field == "num_workers")


def run_with_perfect_loader():
    """A run of a script's step with its results, the last of which is that of a perfect loader."""
    run = support_session.make_run(workers=(1, 2))
    run = dataclasses.replace(run, request=dataclasses.replace(run.request, consumer=Consumer("script")))
    plan = [trial for trial in run.plan if trial.skip is None]
    plan.append(dataclasses.replace(plan[0], id=2, config=support_session.config_of(0), perfect_loader=True))
    run = dataclasses.replace(run, plan=plan)
    results = [support_session.result_of(trial, support_session.make_trial_trace(trial.config.num_workers), run) for trial in plan]
    return run, results


def test_a_sweep_of_a_step_gets_a_row_for_the_perfect_loader_that_shows_its_timeline(qtbot, window, tmp_path):
    window.open_path(str(write_script(tmp_path, STEP_SCRIPT)))
    panel = window.setup.sweep_panel
    qtbot.waitUntil(lambda: "sample:" in window.setup.target_panel.sample.text(), timeout=60_000)
    panel.axes["num_workers"].set_values([0, 1], [0, 1])
    panel.epochs.setValue(1)
    panel.probe_trial.setChecked(False)
    qtbot.waitUntil(lambda: panel.expected_trials == 3, timeout=10_000)
    with qtbot.waitSignal(window.live.ended, timeout=60_000):
        window.commands["start"].trigger()
    model = window.views.results.model
    assert [model.row(line).purpose is PERFECT_LOADER for line in range(model.rowCount())] == [False, False, True]
    assert [model.index(line, WORKERS).data() for line in range(3)] == ["0", "1", "perfect"]
    best = window.shown.trial
    assert best in (0, 1)
    window.views.results.table.selectRow(2)
    assert window.shown.trial == 2
    assert window.views.throughput.data.ceiling is not None


def test_the_choice_is_kept_with_the_others(window):
    panel = window.setup.sweep_panel
    panel.ceiling.setChecked(False)
    request = panel.apply_to(support_session.make_run().request)
    assert not request.ceiling
    panel.ceiling.setChecked(True)
    panel.show_request(request)
    assert not panel.ceiling.isChecked()


def test_a_perfect_loader_has_no_start_up_to_compare():
    _, (plain, _, perfect) = run_with_perfect_loader()
    phases = Startup(1.0, None, [Phase(0, "main", "iterator", 0.0, 9.0)])
    perfect = dataclasses.replace(perfect, startup=phases, first_batch_s=9.0)
    assert [bar.trial for bar in startup_data([plain, perfect]).bars] == [plain.id]
    assert slowest_start([plain, perfect]) is plain


def test_a_report_has_a_row_for_the_perfect_loader_and_recommends_a_setting(qapp, tmp_path):
    run, results = run_with_perfect_loader()
    writer = SessionWriter(tmp_path / "a.loaderscope")
    support_session.record_results(writer, run, results)
    writer.close()
    with SessionFile.open(tmp_path / "a.loaderscope") as session:
        report = build_report(session)
    (table,) = [
        block for section in report.sections if section.heading == "Results" for block in section.blocks if isinstance(block, Table)
    ]
    workers = table.titles.index("workers")
    assert [row.cells[workers] for row in table.rows] == ["1", "2", "perfect"]
    assert [bool(row.note) for row in table.rows] == [False, False, True]  # a page has no tips
    assert not table.rows[2].is_best
    assert judge(run, results).recommendation.config in {result.config for result in results[:2]}
