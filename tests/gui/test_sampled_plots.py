"""Plots of sampled values: which there are, what is shown only when asked for, and GPUs in words."""

import dataclasses
import json

import numpy as np
import pytest
import synthetic
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication, QMenu
from synthetic import MS, SECOND

from loaderscope.agent.messages import TrialConfig
from loaderscope.facts.estimates import Estimate
from loaderscope.facts.lanes import OTHERS_SERIES
from loaderscope.facts.request import Request
from loaderscope.facts.results import SettingResult
from loaderscope.gui.panels.results_panel import COLUMNS, visible_columns
from loaderscope.gui.panels.sweep_panel import SweepPanel
from loaderscope.gui.run.run_state import SettingRow
from loaderscope.gui.style.palette import DARK
from loaderscope.gui.style.theme import apply_theme
from loaderscope.gui.timeline.data.arrangement import Arrangement, arrange
from loaderscope.gui.timeline.data.plot_rows import plot_rows, reasons
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.paint.plots import mean_over_time, readings
from loaderscope.gui.timeline.paint.throttle_plot import throttled_spans
from loaderscope.gui.timeline.paint.timeline_painter import second_line
from loaderscope.gui.timeline.widget.lane_menu import LaneHandling
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import NO_GPU_USED, SeriesInfo

PROCESS_SERIES = {
    "cpu": ("cpu", "%"),
    "threads": ("threads", "threads"),
    "ctx_voluntary": ("context_switches", "switches"),
    "ctx_involuntary": ("context_switches", "switches"),
    "affinity": ("affinity", "cores"),
    "pss": ("memory", "bytes"),
    "uss": ("memory", "bytes"),
    "rss": ("memory", "bytes"),
    "shared_dirty": ("memory_shared", "bytes"),
    "read_disk": ("read_disk", "bytes"),
}
GPU_SERIES = {
    "utilisation": ("gpu_utilisation", "%", SECOND // 6),
    "power": ("gpu_power", "W", SECOND),
    "power_limit": ("gpu_power", "W", 0),
    "sm_clock": ("gpu_clock", "MHz", 0),
    "memory_clock": ("gpu_clock", "MHz", 0),
    "throttle": ("gpu_throttle", "", 0),
    "pcie_received": ("gpu_pcie", "bytes/s", 20 * MS),
}
EXTRA = ["memory_uss", "memory_rss", "memory_shared", "threads", "ctx_voluntary", "ctx_involuntary", "affinity", "outstanding"]


def make_trace(gpus=1, throttle=0x40):
    """Ten seconds; GPU 0 is slowed down from second 4 to second 7."""
    trace = synthetic.make_trace(num_workers=2, batches=1000, step_ns=10 * MS)
    times = trace.origin_ns + np.arange(11) * SECOND
    for process in ("main", "worker-0", "worker-1"):
        for kind, (group, unit) in PROCESS_SERIES.items():
            trace.series_of(SeriesInfo(f"{kind}/{process}", group, "", unit, process)).append(time_ns=times, value=np.arange(11.0))
    for gpu in range(gpus):
        for figure, (group, unit, window_ns) in GPU_SERIES.items():
            values = np.full(11, 300.0 if figure == "power_limit" else 80.0 + gpu)
            if figure == "throttle":
                values = np.where((np.arange(11) >= 4) & (np.arange(11) < 7) & (gpu == 0), float(throttle), 0.0)
            info = SeriesInfo(f"gpu-{gpu}/{figure}", group, f"{figure} of GPU {gpu}", unit, None, window_ns)
            trace.series_of(info).append(time_ns=times, value=values)
    return trace


def rows_of(trace):
    return {row.key: row for row in plot_rows(trace)}


@pytest.fixture
def widget(qtbot):
    apply_theme(QApplication.instance(), "dark")
    timeline = TimelineWidget()
    timeline.handling = LaneHandling(timeline)
    qtbot.addWidget(timeline)
    timeline.resize(1100, 900)
    timeline.set_trace(make_trace())
    timeline.show()
    qtbot.waitExposed(timeline)
    timeline.repaint()
    return timeline


def keys(widget):
    return [placed.row.key for placed in widget.lane_layout.rows]


def placed_of(widget, key):
    return next(placed for placed in widget.lane_layout.rows if placed.row.key == key)


def reading(widget, key, second):
    with widget.canvas() as canvas:
        found = readings(canvas, placed_of(widget, key), widget.scene.origin_ns + round(second * SECOND))
    return found.text if found is not None else None


def below_label(widget, key):
    with widget.canvas() as canvas:
        return second_line(canvas, placed_of(widget, key))


def x_of(widget, second):
    with widget.canvas() as canvas:
        return round(canvas.x_of(np.array([widget.scene.origin_ns + round(second * SECOND)]))[0])


def test_every_sampled_figure_has_a_plot_and_some_only_when_asked_for():
    rows = rows_of(make_trace())
    assert [key for key, row in rows.items() if row.is_optional] == EXTRA
    assert rows["memory"].series == ("pss/main", "pss/worker-0", "pss/worker-1")
    assert rows["ctx_involuntary"].series == ("ctx_involuntary/main", "ctx_involuntary/worker-0", "ctx_involuntary/worker-1")
    assert not rows["gpu_throttle"].is_optional
    assert rows_of(make_trace(throttle=0))["gpu_throttle"].is_optional


@pytest.mark.parametrize(("percent", "is_optional"), [(3.0, True), (60.0, False)])
def test_other_programs_get_a_row_where_they_take_a_notable_part_of_a_core(percent, is_optional):
    trace = make_trace()
    trace.series_of(SeriesInfo(OTHERS_SERIES, "others", "other programs", "%")).append(time_ns=[0, SECOND], value=[0.0, percent])
    assert rows_of(trace)["others"].is_optional is is_optional


def test_the_label_of_memory_says_that_it_is_the_last_value_and_not_the_peak(widget):
    assert below_label(widget, "memory") == "last 30 B in all"


def test_on_windows_private_bytes_are_drawn_and_the_commit_is_optional():
    trace = synthetic.make_trace(num_workers=1, batches=10)
    for kind in ("commit", "rss", "uss", "private"):
        trace.series_of(SeriesInfo(f"{kind}/main", "memory", "", "bytes", "main")).append(time_ns=[trace.origin_ns], value=[1.0])
    rows = rows_of(trace)
    assert (rows["memory"].label, rows["memory"].series) == ("memory (private)", ("private/main",))
    assert [key for key, row in rows.items() if key.startswith("memory_") and row.is_optional] == [
        "memory_uss",
        "memory_rss",
        "memory_commit",
    ]


def test_optional_rows_are_shown_hidden_and_remembered():
    rows = Scene(make_trace()).rows
    plain = arrange(rows, Arrangement())
    assert not {row.key for row in (*plain.rows, *plain.hidden)} & set(EXTRA)
    assert plain.hidden_text == ""
    chosen = Arrangement().show_extra("threads").show_extra("memory_uss")
    assert {"threads", "memory_uss"} <= {row.key for row in arrange(rows, Arrangement.from_text(chosen.to_text())).rows}
    hidden = arrange(rows, chosen.hide(["threads", "cpu"]))
    assert [row.key for row in hidden.hidden] == ["cpu"]  # an optional row that is hidden is no hidden lane
    assert "extra" in json.loads(chosen.to_text())


def test_further_plots_are_chosen_in_a_menu(widget, monkeypatch):
    opened = []
    monkeypatch.setattr(QMenu, "popup", lambda menu, _place: opened.append(menu))
    changes = QSignalSpy(widget.arrangementChanged)
    widget.handling.open_plots_menu()
    actions = {action.text(): action for action in opened[-1].actions()}
    assert not actions["threads"].isChecked()
    assert "core" in actions["lost the CPU"].toolTip()
    actions["threads"].trigger()
    assert "threads" in keys(widget)
    widget.handling.open_plots_menu()
    again = next(action for action in opened[-1].actions() if action.text() == "threads")
    assert again.isChecked()
    again.trigger()
    assert "threads" not in keys(widget)
    assert changes.count() == 2


def test_throttling_is_told_in_words_where_it_happens(widget):
    assert reading(widget, "gpu_throttle", 5.5) == "hardware thermal slowdown"
    assert reading(widget, "gpu_throttle", 2.5) == "no throttling"
    assert below_label(widget, "gpu_throttle") == "hardware thermal slowdown"
    image = widget.grab().toImage()
    placed = placed_of(widget, "gpu_throttle")
    y = round(widget.lane_layout.header_height + placed.y + placed.height - 8)
    colours = {second: image.pixelColor(x_of(widget, second), y) for second in (2, 6, 9)}
    assert colours[2] == colours[9] != colours[6]
    assert colours[6].red() > colours[2].red()


def test_spans_of_throttling_last_until_a_reading_says_otherwise():
    starts, ends, reasons = throttled_spans(np.array([0, 1, 2, 3, 4]), np.array([0, 8, 8, 0x48, 0.0]))
    assert (starts.tolist(), ends.tolist(), reasons.tolist()) == ([1, 3], [3, 4], [8, 0x48])


def test_a_power_limit_is_a_bound_and_no_value_of_its_own(widget):
    assert below_label(widget, "gpu_power") == "mean 80 W"
    assert reading(widget, "gpu_power", 5) == "power 80 W   power limit 300 W"
    assert widget.scene.plot_scale(placed_of(widget, "gpu_power").row) >= 300


def test_the_mean_of_the_clocks_is_that_of_the_multiprocessors(widget):
    widget.scene.trace.series["gpu-0/memory_clock"][1].append(time_ns=[widget.scene.origin_ns + 10 * SECOND], value=[9000.0])
    assert below_label(widget, "gpu_clock") == "mean 80 MHz"


def test_series_of_several_gpus_are_told_by_their_gpu(widget):
    assert reading(widget, "gpu_clock", 5) == "SM 80 MHz   memory 80 MHz"
    widget.set_trace(make_trace(gpus=2))
    assert reading(widget, "gpu_utilisation", 5) == "GPU 0 80 %   GPU 1 81 %"
    assert reading(widget, "gpu_clock", 5) == "GPU 0 SM 80 MHz   GPU 0 memory 80 MHz   GPU 1 SM 81 MHz   GPU 1 memory 81 MHz"
    assert reading(widget, "gpu_throttle", 5) == "GPU 0 hardware thermal slowdown"


def test_what_a_gpu_does_not_tell_is_gathered_by_gpu_and_reason():
    trace = make_trace(gpus=2)
    for figure in ("power", "memory_clock"):
        trace.unavailable[f"gpu-1/{figure}"] = "this GPU does not report it"
    trace.unavailable["gpu-0"] = "the GPU fell off the bus while it was being watched"
    trace.unavailable[NO_GPU_USED] = "the trial uses no GPU; all are shown"
    assert [(reason.label, reason.text) for reason in reasons(trace)] == [
        ("GPU 1", "power, memory clock: this GPU does not report it"),
        ("GPU 0", "the GPU fell off the bus while it was being watched"),
        ("GPU", "the trial uses no GPU; all are shown"),
    ]


def test_the_legend_names_a_gpu_only_where_one_reported_its_steps():
    plain = [word for word, _, _ in Scene(make_trace(gpus=0)).legend()]
    assert "step" in plain and not any("GPU" in word for word in plain)
    with_gpu = [word for word, _, _ in Scene(synthetic.make_trace(num_workers=2, device_ns=1 * MS)).legend()]
    assert "step / GPU" in with_gpu and "step" not in with_gpu


def test_without_a_gpu_one_line_says_why():
    trace = make_trace(gpus=0)
    trace.unavailable["gpu"] = "no NVIDIA driver"
    trace.unavailable[NO_GPU_USED] = "the trial uses no GPU; all are shown"
    assert [(reason.key, reason.text) for reason in reasons(trace)] == [("gpu", "no NVIDIA driver")]


def test_dashes_of_pcie_cover_only_what_was_measured(widget):
    """20 ms every second: between two readings nothing is known and nothing is drawn."""
    placed = placed_of(widget, "gpu_pcie")
    image = widget.grab().toImage()
    top = widget.lane_layout.header_height + placed.bar_y
    x = x_of(widget, 4.5)
    column = {image.pixelColor(x, y).name() for y in range(round(top), round(top + placed.bar_height - 2))}
    assert column <= {DARK.base, DARK.grid}
    assert reading(widget, "gpu_pcie", 4.5) is None
    assert reading(widget, "gpu_pcie", 4.99) == "80 B/s"


def test_of_a_counter_its_growth_within_the_view_is_told(widget):
    widget.set_arrangement(Arrangement().show_extra("ctx_voluntary"))
    assert below_label(widget, "ctx_voluntary") == "30 switches in view"


def test_pcie_is_offered_only_where_there_is_a_gpu_and_says_what_it_costs(qtbot):
    panel = SweepPanel()
    qtbot.addWidget(panel)
    request = Request("/x/train.py")
    assert not panel.pcie.isVisibleTo(panel)
    panel.set_environment(["fork"], "fork", True)
    assert panel.pcie.isVisibleTo(panel)
    assert "20 ms" in panel.pcie.toolTip()
    assert not panel.apply_to(request).pcie
    panel.show_request(dataclasses.replace(request, pcie=True))
    assert panel.apply_to(request).pcie
    panel.set_environment(["fork"], "fork", False)
    assert not panel.apply_to(request).pcie


def test_energy_has_a_column_where_it_was_measured():
    def titles(joules):
        result = SettingResult(TrialConfig(), [0], Estimate(100.0), energy_per_1000_samples_j=joules)
        row = SettingRow(result.config, [], result, "ok", 0)
        return {COLUMNS[index].title: COLUMNS[index].text(row) for index in visible_columns([row])}

    assert titles(42.0)["J/1000"] == "42.0"
    assert "J/1000" not in titles(None)


def test_readings_name_processes_as_lanes_are_named_and_count_one_as_one(widget):
    widget.set_arrangement(Arrangement(extra=frozenset(("threads",))))
    assert reading(widget, "threads", 1.0) == "main 1 thread   worker 0 1 thread   worker 1 1 thread"
    assert "worker 1 2 threads" in reading(widget, "threads", 2.0)


@pytest.mark.parametrize(
    ("first_ns", "last_ns", "mean"),
    [(0, 100, 0.4), (5, 15, 2.0), (50, 100, 0.0), (-50, 10, 1.0), (0, 200, 0.4), (150, 200, 0.0)],
)
def test_the_mean_of_values_that_hold_until_the_next_is_one_over_time(first_ns, last_ns, mean):
    times_ns, values = np.array([0, 10, 20, 100]), np.array([1.0, 3.0, 0.0, 5.0])
    assert mean_over_time(times_ns, values, first_ns, last_ns) == pytest.approx(mean)
