"""The start-up views of the window: what they show, what they say while there is nothing to show, and the button that fills them."""

from __future__ import annotations

import dataclasses
import html
import itertools
import re

import pytest
import shiboken6
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QRectF, QSize, Qt, QUrl
from PySide6.QtGui import QFont, QImage, QPainter
from running import write_script
from support_session import config_of, make_run

from loaderscope.analysis.verdict import judge
from loaderscope.facts.evidence import Signs
from loaderscope.facts.findings import Finding
from loaderscope.facts.request import Axes
from loaderscope.facts.results import EpochTimes, TrialResult
from loaderscope.facts.startup_results import Control, Culprit, ImportCost, LineCost, Phase, SentPart, Startup
from loaderscope.gui.charts.chart_figure import chart_figure
from loaderscope.gui.charts.experiment_chart import KINDS, ExperimentData
from loaderscope.gui.charts.plot import Plot
from loaderscope.gui.charts.startup_chart import STARTUP, height_px, least_height_px, startup_data, startup_data_of_trial
from loaderscope.gui.charts.treemap import paint_sent, sent_data, squarify
from loaderscope.gui.panels.startup_panel import EXPERIMENT, IMPORTS, LINES, MODULES, PARTS, PHASES, PROCESSES, SENT, TABLE, StartupPanel
from loaderscope.gui.report.blocks import Picture, Table
from loaderscope.gui.report.startup_section import startup_blocks
from loaderscope.gui.run.startup_sentences import control_name, controls_sentence, imports_sentence, lines_sentence, sent_sentence
from loaderscope.gui.style.palette import LIGHT
from loaderscope.gui.window.command_table import matching_commands
from loaderscope.gui.window.figure_sources import chart_subject

LONG_MS = 60_000

SENT_PARTS = [
    SentPart("dataset", "dataset.rows", "list of list", 9_000_000, 0.9, 0.6, None),
    SentPart("dataset", "dataset.root", "str", 40, 1e-5, 1e-5, None),
    SentPart("collate_fn", "collate_fn", "function", 66, 2e-5, 1e-5, None),
]
IMPORT_COSTS = [
    ImportCost("torch", 0.8, 1.2, None, 0.2),
    ImportCost("numpy", 0.3, 0.3, "torch", 0.4),
    ImportCost("PIL", 0.1, 0.1, None, 1.5),
]


def start_of(first_s):
    phases = [
        Phase(0, "main", "iterator", 0.0, 0.1),
        Phase(0, "worker-0", "boot", 0.1, 0.1),
        Phase(0, "worker-0", "main_import", 0.2, first_s * 0.6),
        Phase(0, "worker-0", "first_fetch", first_s - 0.1, 0.1),
        Phase(0, "main", "shutdown", first_s + 3, 0.5),
        Phase(1, "worker-0", "boot", 0.1, 0.1),
    ]
    lines = [LineCost(3, "import torch", 1.2, 1.2), LineCost(9, "TABLE = build()", 0.4, 0.0)]
    return Startup(
        0.93, Culprit("main_import", "worker-0 imports the script again", first_s * 0.6), phases, IMPORT_COSTS, lines, 0.004, False
    )


def trial(number, config, first_s, later_s):
    epochs = [EpochTimes(seconds, 0.4, 0.0 if config.persistent_workers else 0.5, 8) for seconds in (first_s, later_s, later_s)]
    startup = start_of(first_s) if config.num_workers else Startup(1.0, None, [Phase(0, "main", "first_fetch", 0.0, first_s)])
    return TrialResult(
        number, 0, "ok", config, epochs=epochs, first_batch_s=first_s, startup=startup, signs=Signs(fetch_s=0.05, collate_s=0.0)
    )


@pytest.fixture
def run():
    return dataclasses.replace(
        make_run(startup=True), sent=SENT_PARTS, controls=[Control("python", 0.05, 0.02), Control("torch", 4.0, 1.2)]
    )


@pytest.fixture
def results():
    spawn = [config_of(n, start_method="spawn") for n in (1, 2)]
    return [
        trial(0, config_of(0), 0.1, 0.1),
        trial(1, spawn[0], 2.0, 2.0),
        trial(2, dataclasses.replace(spawn[0], persistent_workers=True), 2.0, 0.05),
        trial(3, spawn[1], 3.0, 3.0),
    ]


@pytest.fixture
def panel(qtbot):
    panel = StartupPanel()
    qtbot.addWidget(panel)
    panel.resize(620, 420)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


@pytest.fixture
def filled(panel, run, results):
    panel.show_results(results, 1, run, judge(run, results).experiment)
    return panel


def test_a_line_that_takes_long_is_told_where_imports_are_shown_and_with_what_helps(results):
    assert "line" not in imports_sentence(results[1]).lower()
    assert "Move it" not in lines_sentence(results[1])
    costly = dataclasses.replace(results[1].startup, lines=[LineCost(9, "TABLE = build()", 2.0, 0.5)])
    result = dataclasses.replace(results[1], startup=costly)
    assert imports_sentence(result).endswith("Line 9 of the script took 1.50 s besides.")
    assert "line besides imports is 9, with 1.50 s. Move it below `if __name__" in lines_sentence(result).replace("costliest ", "")


def test_the_controls_are_told_with_what_preloading_is_predicted_to_cost(run, results):
    experiment = judge(run, results).experiment
    assert "preload" not in controls_sentence(experiment)
    preload = Control("preload", again_s=1.3, modules=["torch", "mine"], import_s=1.25)
    told = controls_sentence(dataclasses.replace(experiment, controls=[*run.controls, preload]))
    assert "import torch 1.20 s" in told and "1.30 s" not in told
    assert told.endswith("A fork server that preloads torch and mine is predicted to take 1.25 s longer for its own start.")
    assert control_name(preload) == "preload torch, mine"


def targets_of(kind, data):
    """What of a chart answers the mouse."""
    plot = Plot(LIGHT, QFont())
    kind.draw(plot, data)
    plot.place(QSize(700, 500))
    shiboken6.delete(plot.view)
    return plot.targets


def texts_in(figure, folder):
    """All texts of a figure, as an SVG holds them."""
    drawing = figure.write(folder / "texts.svg").read_text(encoding="utf-8")
    return [html.unescape(text.strip()) for text in re.findall(r"<text[^>]*>([^<]*)</text>", drawing)]


# The tree map

sizes_from_large_to_small = st.lists(st.integers(1, 10**9), min_size=1, max_size=30).map(
    lambda sizes: sorted(map(float, sizes), reverse=True)
)


@given(sizes_from_large_to_small, st.floats(20, 2000), st.floats(20, 2000))
def test_areas_are_in_proportion_lie_inside_and_do_not_overlap(sizes, width, height):
    rects = squarify(sizes, (5.0, 7.0, width, height))
    assert len(rects) == len(sizes)
    scale, slack = width * height / sum(sizes), 1e-6 * width * height
    for size, (left, top, wide, tall) in zip(sizes, rects, strict=True):
        assert wide * tall == pytest.approx(size * scale, abs=slack)
        assert left >= 5 - 1e-6 and top >= 7 - 1e-6
        assert left + wide <= 5 + width + 1e-6 * width and top + tall <= 7 + height + 1e-6 * height
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(rects, 2):
        common = max(0.0, min(a + c, e + g) - max(a, e)) * max(0.0, min(b + d, f + h) - max(b, f))
        assert common <= slack


def test_equal_sizes_become_near_squares():
    for _, _, wide, tall in squarify([1.0] * 12, (0.0, 0.0, 400.0, 300.0)):
        assert 0.5 <= wide / tall <= 2


def test_the_map_says_what_each_area_is(qapp):
    image = QImage(700, 500, QImage.Format.Format_RGB32)
    painter = QPainter(image)
    areas = paint_sent(painter, QRectF(0, 0, 700, 500), sent_data(SENT_PARTS), LIGHT)
    painter.end()
    assert [area.text.splitlines()[0] for area in areas] == ["dataset.rows", "collate_fn", "dataset.root"]
    assert "9 MB" in areas[0].text and "pickle 900 ms" in areas[0].text


# Phases


def test_what_no_phase_covers_is_unexplained_and_the_shutdown_stands_apart(results):
    bar = next(bar for bar in startup_data(results).bars if bar.trial == 1)
    (gap,) = bar.unexplained
    assert gap == pytest.approx((1.4, 1.9))
    assert bar.shutdown_s == 0.5
    assert all(phase.phase != "shutdown" for phase in bar.phases)


def test_labels_get_shorter_before_they_are_cut(qapp, results, tmp_path):
    wide, narrow = (texts_in(chart_figure(STARTUP, startup_data(results), size=(width, 300)), tmp_path) for width in (1200, 220))
    assert {"0 workers", "1 worker", "1 worker · persistent", "2 workers"} <= set(wide)
    assert {"0 workers", "1 worker", "1 × persistent", "2 workers"} <= set(narrow)


def test_the_waiting_of_main_is_no_gap(results):
    by_label = {bar.label: bar for bar in startup_data_of_trial(results[1]).bars}
    assert by_label["main"].unexplained == ()
    (gap,) = by_label["worker 0"].unexplained
    assert gap == pytest.approx((1.4, 1.9))


def test_the_sentence_names_the_culprit_what_is_explained_and_the_own_part(filled):
    text = filled.sentence.full_text
    assert "; the longest part, " in text and "imports the script again" in text
    assert "93 % explained" in text and "4.00 ms of it Loaderscope's own" in text


def test_of_every_setting_the_slowest_start_is_told_where_the_chosen_trial_starts_no_worker(filled, results):
    assert filled.sentence.full_text.startswith("Trial 1:")
    filled.show_trial(0)
    assert filled.sentence.full_text.startswith("Trial 3: first batch after 3.00 s")
    filled.show_view(PHASES, PROCESSES)
    assert filled.sentence.full_text.startswith("Trial 0:")


# Tables


def texts_of(table, column):
    model = table.model()
    return [model.data(model.index(row, column)) for row in range(model.rowCount())]


def test_what_is_sent_sorts_by_any_column_and_names_the_remedy(filled):
    filled.show_view(SENT, TABLE)
    table = filled.sent_table
    assert filled.stack.currentWidget() is table
    assert texts_of(table, 0) == ["dataset.rows", "collate_fn", "dataset.root"]
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert texts_of(table, 0) == ["collate_fn", "dataset.root", "dataset.rows"]
    assert texts_of(table, 2)[-1] == "100 %"
    assert "dataset.rows (a list of list)" in filled.sentence.full_text and "Arrow" in filled.sentence.full_text


def test_modules_lie_below_those_that_import_them_and_sort_by_seconds(filled):
    filled.show_view(IMPORTS, MODULES)
    tree = filled.imports
    assert [tree.topLevelItem(row).text(0) for row in range(tree.topLevelItemCount())] == ["torch", "PIL"]
    assert tree.topLevelItem(0).child(0).text(0) == "numpy"
    tree.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert tree.topLevelItem(0).text(0) == "PIL"
    assert "torch 1.20 s and PIL 100 ms" in filled.sentence.full_text


def test_lines_of_the_script_show_their_text(filled):
    filled.show_view(IMPORTS, LINES)
    assert texts_of(filled.lines, 4) == ["import torch", "TABLE = build()"]
    assert texts_of(filled.lines, 2) == ["0 s", "400 ms"]
    assert "9, with 400 ms" in filled.sentence.full_text


# The experiment


def test_every_chart_of_the_experiment_is_drawn_with_a_sentence(filled, run, results):
    data = ExperimentData(judge(run, results).experiment)
    for name, kind in KINDS.items():
        filled.show_view(EXPERIMENT, name)
        assert filled.stack.currentWidget().widget() is filled.experiment[name]
        assert filled.sentence.full_text and not filled.experiment_button.isVisible()
        assert filled.experiment[name].plot is not None and not filled.experiment[name].is_empty
        assert targets_of(kind, data)


def test_predicted_stands_beside_measured_with_the_difference(run, results):
    targets = targets_of(KINDS["remedies"], ExperimentData(judge(run, results).experiment))
    texts = "\n".join(target.text for target in targets)
    assert "predicted: " in texts and "measured: " in texts
    assert "apart" in texts or "more" in texts or "less" in texts


def test_the_cost_of_a_further_worker_is_told(filled):
    filled.show_view(EXPERIMENT, "per worker")
    assert "spawn 1.00 s + 1.00 s a worker" in filled.sentence.full_text
    filled.show_view(EXPERIMENT, "per epoch")
    assert "over 10 epochs" in filled.sentence.full_text


def test_break_even_stands_in_batches_for_workers_that_start_and_that_stay(filled, run, results):
    filled.show_view(EXPERIMENT, "break-even")
    assert "earliest" in filled.sentence.full_text and "batches" in filled.sentence.full_text
    targets = targets_of(KINDS["break-even"], ExperimentData(judge(run, results).experiment))
    assert any(target.text.startswith("spawn × 1\n") and target.text.count("batch") == 2 for target in targets)


def test_where_workers_never_pay_the_axis_has_no_numbers(qapp, run, results, tmp_path):
    experiment = judge(run, results).experiment
    never = tuple(dataclasses.replace(one, epoch_s=None, batches=None) for one in experiment.break_even)
    data = ExperimentData(dataclasses.replace(experiment, break_even=never))
    texts = texts_in(chart_figure(KINDS["break-even"], data), tmp_path)
    assert "never" in texts
    assert not [text for text in texts if re.fullmatch(r"[\d.]+( m?s)?", text)]


def test_what_was_not_weighed_to_its_end_is_larger_and_keeps_its_remedy():
    partly = dataclasses.replace(SENT_PARTS[0], unpickle_s=None, error="It was weighed for 2.4 s only, so it is larger than this.")
    text = sent_sentence([partly, *SENT_PARTS[1:]])
    assert "more than 9 MB" in text and "unpickle" not in text
    assert "dataset.rows (a list of list)" in text and "2.4 s only" in text


def test_what_cannot_be_sent_is_all_that_is_said():
    refused = SentPart("dataset", "dataset.file", "TextIOWrapper", 0, 0.0, None, "dataset.file is open", refused=True)
    assert sent_sentence([*SENT_PARTS, refused]) == "dataset.file is open."


# Nothing to show


@pytest.mark.parametrize("view", PARTS)
def test_an_empty_view_says_what_to_do_and_offers_the_experiment(qtbot, panel, view):
    for part in PARTS[view]:
        panel.show_view(view, part)
        assert panel.empty.isVisible() and len(panel.empty.text()) > 40 and not panel.sentence.isVisible()
    panel.show_view(view, PARTS[view][0])
    assert panel.experiment_button.isVisible()
    with qtbot.waitSignal(panel.experimentRequested):
        qtbot.mouseClick(panel.experiment_button, Qt.MouseButton.LeftButton)


def test_a_forked_trial_says_that_its_workers_import_nothing(panel, run):
    forked = dataclasses.replace(
        trial(5, config_of(2), 0.1, 0.1), startup=Startup(1.0, None, [Phase(0, "worker-0", "first_fetch", 0, 0.1)])
    )
    panel.show_results([forked], 5, run)
    panel.show_view(IMPORTS)
    assert "trial 5 import nothing" in panel.empty.text() and not panel.experiment_button.isVisible()
    panel.show_view(SENT)
    panel.show_results([forked], 5, dataclasses.replace(run, sent=None))
    assert "not weighed" in panel.empty.text()
    panel.show_trial(7)
    panel.show_view(PHASES, PROCESSES)
    assert "did not start" in panel.empty.text()


def test_while_the_first_trial_runs_nobody_is_told_to_start_one(panel, run):
    panel.show_results([], None)
    assert "Press Start" in panel.empty.text() and panel.experiment_button.isVisible()
    panel.show_results([], None, run)
    assert "first trial is running" in panel.empty.text() and not panel.experiment_button.isVisible()


def test_trials_that_were_stopped_are_not_said_never_to_have_started(panel, run):
    panel.show_results([dataclasses.replace(trial(5, config_of(2), 0.1, 0.1), status="cancelled", startup=Startup(None, None, []))], 5, run)
    assert "did not start" not in panel.empty.text() and "came to its end" in panel.empty.text()


def test_a_choice_of_a_view_is_kept_while_others_are_looked_at(qtbot, filled):
    filled.show_view(SENT, TABLE)
    qtbot.mouseClick(filled.views[EXPERIMENT], Qt.MouseButton.LeftButton)
    assert filled.part.currentText() == next(iter(KINDS))
    qtbot.mouseClick(filled.views[SENT], Qt.MouseButton.LeftButton)
    assert filled.part.currentText() == TABLE and filled.stack.currentWidget() is filled.sent_table


def test_a_long_sentence_is_cut_and_whole_in_its_tool_tip(panel):
    panel.resize(300, 200)
    text = " ".join(["word"] * 200)
    panel.sentence.set_full_text(text)
    assert panel.sentence.text().endswith("…") and panel.sentence.toolTip() == text
    assert panel.sentence.height() < panel.height() / 2


def test_a_low_panel_shows_four_settings_without_scrolling(qtbot, filled):
    filled.resize(454, 172)
    qtbot.waitUntil(lambda: filled.height() == 172)
    area = filled.chart.parentWidget()
    assert len(filled.data.bars) == 4
    qtbot.waitUntil(lambda: filled.chart.height() <= area.height())
    assert filled.sentence.text().endswith("…") and filled.sentence.toolTip() == filled.sentence.full_text


def test_a_narrow_chart_keeps_its_legend_above_its_rows(results):
    data = startup_data(results)
    assert least_height_px(data, 300) == height_px(data) > least_height_px(data, 454)


def test_a_chart_of_many_rows_is_exported_as_high_as_they_need(filled, run, results):
    many = [dataclasses.replace(results[1], id=number, config=config_of(number + 1, start_method="spawn")) for number in range(30)]
    filled.show_results(many, 1, run)
    figure = chart_subject(filled.chart, run, "").make(None)
    assert figure.height > 30 * 16 and not figure.image(1.0).isNull()


# In a report


def test_a_report_has_all_that_the_session_tells_of_the_start(qapp, run, results):
    run = dataclasses.replace(run, sent=[*SENT_PARTS, SentPart("dataset", "dataset.names", "list", 4_000_000, 0.2, 0.1, None)])
    blocks = startup_blocks(run, results, judge(run, results).experiment)
    captions = [block.caption for block in blocks if isinstance(block, Picture)]
    assert len(captions) == 2 + len(KINDS)
    assert all(not block.make_figure(500).image(1.0).isNull() for block in blocks if isinstance(block, Picture))
    sent, imports, *measured = (block for block in blocks if isinstance(block, Table))
    assert [row.cells[0] for row in sent.rows] == ["dataset.rows", "dataset.names", "collate_fn", "dataset.root"]
    assert imports.rows[1].cells == ("numpy", "torch", "300 ms", "300 ms")
    assert [table.titles[0] for table in measured] == ["start", "control", "remedy", "break-even"]
    assert measured[0].rows[1].cells == ("spawn", "1", "2.00 s", "2.00 s", "500 ms", "50.0 ms")
    assert [table.names for table in measured] == [1, 1, 2, 1]


def test_a_report_explains_the_titles_of_a_table_above_it_and_says_what_failed_below(qapp, run, results):
    run = dataclasses.replace(run, controls=[Control("python", 0.05, 0.02), Control("torch", error="There is no <torch>.")])
    blocks = startup_blocks(run, results, judge(run, results).experiment)
    controls = next(number for number, block in enumerate(blocks) if isinstance(block, Table) and block.titles[0] == "control")
    legend, table, problem = blocks[controls - 1 : controls + 2]
    assert table.tips[1] and table.tips[1] in html.unescape(legend.html)
    assert problem.html == "import torch: There is no &lt;torch&gt;."
    assert [row.cells[0] for row in table.rows] == ["bare interpreter"]


def test_a_report_says_nothing_of_what_was_not_measured(run):
    assert startup_blocks(dataclasses.replace(run, sent=None), [], None) == ()


# In the window


QUICK = """
    import time
    from torch.utils.data import DataLoader, Dataset

    class Numbers(Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, index):
            time.sleep(0.001)
            return index

    def make_loader():
        return DataLoader(Numbers(), batch_size=4)
"""


@pytest.mark.slow
def test_the_button_runs_the_experiment_and_fills_the_views(qtbot, window, tmp_path, monkeypatch):
    window.open_path(str(write_script(tmp_path, QUICK)))
    setup = window.setup
    qtbot.waitUntil(lambda: "trial" in setup.sweep_panel.experiment_forecast.text() and not setup.is_looking, timeout=LONG_MS)
    asked = setup.startup_request()
    assert asked.startup and not setup.request().startup
    assert setup.sweep_panel.expected_startup_s > 0
    narrowed = dataclasses.replace(asked, axes=Axes(num_workers=(0, 1), start_method=("fork",)))
    monkeypatch.setattr(setup, "startup_request", lambda: narrowed)
    with qtbot.waitSignal(window.live.ended, timeout=LONG_MS):
        qtbot.mouseClick(setup.sweep_panel.experiment_button, Qt.MouseButton.LeftButton)
        assert window.live.running and not setup.sweep_panel.experiment_button.isEnabled()
        assert window.views.startup.view == EXPERIMENT
    panel = window.views.startup
    assert not panel.empty.isVisibleTo(panel) and panel.sentence.full_text
    assert len(panel.experiment["per epoch"].data.experiment.costs) == 3
    assert [control.name for control in panel.experiment["controls"].data.experiment.controls] == ["python", "numpy", "torch"]
    panel.show_view(SENT)
    assert panel.sent_map.data.parts
    assert "first batch" in window.views.headline.text()
    assert setup.sweep_panel.experiment_button.isEnabled() and not setup.request().startup


def test_the_command_is_found_by_its_name_and_says_what_is_missing(window):
    assert next(iter(matching_commands("why slow"))).name == "start_up"
    window.starting.experiment()
    assert not window.live.running
    assert "Choose a script" in window.views.headline.text()
    assert window.views.startup.experiment_button.isVisible() and not window.views.startup.experiment_button.isEnabled()


@pytest.mark.parametrize(("code", "view"), [("large-pickle", SENT), ("heavy-imports", IMPORTS), ("start-up-every-epoch", EXPERIMENT)])
def test_a_finding_about_the_start_leads_to_its_view(window, code, view):
    findings = window.views.findings
    findings.set_findings([Finding(code, "warning", [1], "It is slow.", {}, "Change it.")], None, True)
    assert f"startup:{view}" in findings.view.toHtml()
    findings.view.anchorClicked.emit(QUrl(f"startup:{view}"))
    assert window.views.startup.view == view
