"""Threads beside processes in the window: chosen in the sweep panel, told in the table and on the throughput chart."""

import dataclasses

import pytest
from PySide6.QtCore import Qt

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.request import Axes, Request
from loaderscope.facts.results import SettingResult, TrialResult
from loaderscope.facts.run import environment_text
from loaderscope.gui.charts.throughput_chart import throughput_data
from loaderscope.gui.panels.results_panel import COLUMNS, ResultsModel, visible_columns
from loaderscope.gui.panels.sweep_panel import SweepPanel
from loaderscope.gui.run.run_state import SettingRow

PROCESS = TrialConfig(2, 32, 2, False, False, "fork", True, "process")
THREAD = dataclasses.replace(PROCESS, start_method=None, backend="thread")
BACKEND = next(index for index, column in enumerate(COLUMNS) if column.title == "backend")


def row(number, config, generators=None):
    trial = TrialResult(number, 0, "ok", config, shared_generators=generators)
    setting = SettingResult(config, [number], Estimate(100.0))
    return SettingRow(config, [trial], setting, "ok", number)


@pytest.fixture
def panel(qtbot):
    panel = SweepPanel()
    qtbot.addWidget(panel)
    return panel


def test_processes_are_what_is_swept_unless_threads_are_chosen(panel):
    request = Request(script="/x.py")
    assert panel.apply_to(request).axes.backend == ("process",)
    panel.axes["backend"].chip("thread").click()
    assert panel.apply_to(request).axes.backend == ("process", "thread")
    panel.axes["backend"].chip("process").click()
    assert panel.apply_to(request).axes.backend == ("thread",)


def test_a_session_shows_the_backends_that_it_was_run_with(panel):
    panel.show_request(Request(script="/x.py", axes=Axes(num_workers=(2,), backend=("thread",))))
    assert panel.axes["backend"].values() == ("thread",)


def test_the_chips_say_what_threads_are_for(panel):
    assert "GIL" in panel.axes["backend"].chip("thread").toolTip() + panel.axes["backend"].findChildren(type(panel.forecast))[0].toolTip()


def test_the_table_tells_the_backend_where_it_was_swept():
    assert BACKEND in visible_columns([row(0, PROCESS), row(1, THREAD)])
    assert BACKEND not in visible_columns([row(0, PROCESS), row(1, dataclasses.replace(PROCESS, num_workers=4))])


def test_batches_that_cannot_be_compared_are_marked(qapp):
    model = ResultsModel()
    model.set_results([row(0, PROCESS), row(1, THREAD, ["numpy", "random"]), row(2, dataclasses.replace(THREAD, num_workers=4), [])], None)
    texts = [model.data(model.index(number, BACKEND)) for number in range(3)]
    assert texts == ["process", "thread ≠", "thread"]
    tips = [model.data(model.index(number, BACKEND), Qt.ItemDataRole.ToolTipRole) for number in range(3)]
    assert ["numpy, random" in tip for tip in tips] == [False, True, False]


def test_an_interpreter_without_the_lock_is_told():
    assert "Python 3.14.0 without GIL" in environment_text({"python": "3.14.0", "free_threaded": True})
    assert "GIL" not in environment_text({"python": "3.14.0", "free_threaded": False})


def test_the_chart_has_a_line_for_each_backend():
    data = throughput_data([row(0, PROCESS).setting, row(1, THREAD).setting], None)
    assert [name for name, _ in data.lines] == ["backend process", "threads"]
