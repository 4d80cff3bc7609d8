"""Late batches in the window: arrows to the waits, and the table that leads to them."""

import dataclasses

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from synthetic import MS

from loaderscope.agent.layout import State
from loaderscope.analysis.late_batches import Cause, find_waits
from loaderscope.gui.panels.late_batch_search import MOST_LISTED, LateSearch
from loaderscope.gui.panels.late_batches_panel import CAUSE_COLUMN, EMPTY, NOTHING, LateBatchesPanel, summary_text
from loaderscope.gui.style.theme import apply_theme, current_palette
from loaderscope.gui.timeline.data import span_query
from loaderscope.gui.timeline.paint.arrows import MOST_ARROWS, Arrow, LateArrows, arrow_ends, paint_arrows
from loaderscope.gui.timeline.paint.canvas import Canvas
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.model import Trace, batch_id

SLOW = {17: 300, 42: 200, 67: 260}
WHOLE = (0, 1 << 62)


def made(**parameters):
    values = {"num_workers": 4, "batches": 90, "step_ns": 5 * MS, "fetch_ns": lambda batch: SLOW.get(batch, 20) * MS}
    return synthetic.make_trace(**(values | parameters))


@pytest.fixture
def timeline(qtbot):
    apply_theme(QApplication.instance(), "dark")
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(1000, 480)
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline


@pytest.fixture
def search(timeline):
    return LateSearch(timeline)


@pytest.fixture
def panel(qtbot, timeline, search):
    panel = LateBatchesPanel(timeline, search)
    qtbot.addWidget(panel)
    panel.resize(800, 300)
    panel.show()
    qtbot.waitExposed(panel)
    return panel


def show(qtbot, timeline, search, trace):
    """Shows a trace, and waits for what there is to tell of its waits."""
    with qtbot.waitSignal(search.waitsFound, check_params_cb=lambda late: late is not None and late.trace is trace):
        timeline.set_trace(trace, "trial 1")


def canvas_of(timeline):
    image = QImage(timeline.width(), timeline.height(), QImage.Format.Format_RGB32)
    painter = QPainter(image)
    return image, painter, Canvas(painter, timeline.scene, timeline.viewport, timeline.lane_layout, current_palette())


def wait_for(timeline, batch):
    return span_query.wait_for(timeline.scene, batch_id(0, batch), timeline.scene.trace.end_ns)


# arrows


def test_the_costliest_waits_in_sight_get_arrows_costliest_first():
    waits = find_waits(made())
    arrows = LateArrows()
    arrows.set_waits(waits)
    found = arrows.in_sight(*WHOLE, 100 * MS)
    worst = waits.pick(waits.costliest(3))
    assert [arrow.to_ns for arrow in found] == worst.end_ns.tolist()
    assert [arrow.from_ns for arrow in found] == worst.fetch_end_ns.tolist()
    assert {arrow.lane for arrow in found} == {f"worker-{batch % 4}" for batch in SLOW}


def test_only_what_is_in_sight_gets_an_arrow():
    waits = find_waits(made())
    arrows = LateArrows()
    arrows.set_waits(waits)
    row = waits.costliest(1)[0]
    assert len(arrows.in_sight(int(waits.start_ns[row]) + 1, int(waits.end_ns[row]) - 1, 0)) == 1
    assert arrows.in_sight(int(waits.end_ns[row]), int(waits.end_ns[row]) + 1, 0) == []


def test_there_are_never_more_than_a_few():
    trace = made(num_workers=1, batches=400, fetch_ns=lambda batch: (100 if batch % 8 == 0 else 1) * MS, collate_ns=0)
    arrows = LateArrows()
    arrows.set_waits(find_waits(trace))
    assert len(arrows.in_sight(*WHOLE, 0)) == MOST_ARROWS


def test_even_waits_get_none():
    arrows = LateArrows()
    arrows.set_waits(find_waits(made(num_workers=1, fetch_ns=20 * MS, startup_ns=3 * MS)))
    assert arrows.in_sight(*WHOLE, 0) == []


def test_main_points_at_nobody_without_workers():
    trace = made(num_workers=0)
    arrows = LateArrows()
    arrows.set_waits(find_waits(trace))
    assert arrows.in_sight(*WHOLE, 0) == []


def test_nothing_is_known_before_the_waits_were_looked_at(timeline):
    timeline.set_trace(made(), "trial 1")
    assert LateArrows().in_sight(*WHOLE, 0) == []
    assert timeline.arrows.of_span(timeline.scene, wait_for(timeline, 17)) is not None  # pointed at, it is looked at alone


def test_an_arrow_leads_from_the_end_of_the_fetch_to_the_end_of_the_wait(timeline):
    timeline.set_trace(made(), "trial 1")
    wait = wait_for(timeline, 17)
    (fetch,) = [span for span in span_query.spans_of_batch(timeline.scene, wait.batch, wait.start_ns) if span.state == State.FETCH]
    arrow = timeline.arrows.of_span(timeline.scene, wait)
    assert arrow == Arrow("worker-1", fetch.end_ns, wait.end_ns)
    _, painter, canvas = canvas_of(timeline)
    ((x0, y0, x1, y1),) = arrow_ends(canvas, [arrow])
    on_worker, on_main = canvas.span_box(fetch), canvas.span_box(wait)
    painter.end()
    assert x0 == pytest.approx(on_worker.right())
    assert x1 == pytest.approx(on_main.right())
    assert on_worker.top() < y0 < on_worker.bottom()
    assert on_main.top() < y1 < on_main.bottom()
    assert y1 < y0


def test_a_span_that_is_no_wait_gets_no_arrow(timeline):
    timeline.set_trace(made(), "trial 1")
    spans = span_query.spans_of_batch(timeline.scene, batch_id(0, 17), timeline.scene.trace.end_ns)
    assert [timeline.arrows.of_span(timeline.scene, span) is not None for span in spans] == [span.state == State.WAIT for span in spans]
    assert timeline.arrows.of_span(timeline.scene, None) is None


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_arrows_are_painted_inside_the_plot_area_alone(timeline, theme):
    apply_theme(QApplication.instance(), theme)
    trace = made()
    timeline.set_trace(trace, "trial 1")
    timeline.arrows.set_waits(find_waits(trace))
    image, painter, canvas = canvas_of(timeline)
    image.fill(0)
    paint_arrows(canvas, timeline.arrows, wait_for(timeline, 17))
    painter.end()
    pixels = np.frombuffer(image.constBits(), np.uint32).reshape(image.height(), -1) & 0xFFFFFF
    rows, columns = np.nonzero(pixels)
    assert len(rows)
    assert rows.min() >= timeline.lane_layout.header_height
    assert columns.min() >= timeline.lane_layout.label_width
    assert columns.max() <= timeline.lane_layout.label_width + timeline.lane_layout.plot_width


def test_switched_off_only_what_is_pointed_at_has_one(timeline):
    trace = made()
    timeline.set_trace(trace, "trial 1")
    timeline.arrows.set_waits(find_waits(trace))
    timeline.show_arrows(False)
    assert timeline.arrows.in_sight(*WHOLE, 0) == []
    assert timeline.arrows.of_span(timeline.scene, wait_for(timeline, 17)) is not None


def test_a_hidden_lane_hides_its_arrow(timeline):
    timeline.set_trace(made(), "trial 1")
    arrow = timeline.arrows.of_span(timeline.scene, wait_for(timeline, 17))
    _, painter, canvas = canvas_of(timeline)
    rows = tuple(placed for placed in canvas.layout.rows if placed.row.key != arrow.lane)
    canvas.layout = dataclasses.replace(canvas.layout, rows=rows)
    assert arrow_ends(canvas, [arrow]) == []
    painter.end()


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_figures_show_the_arrows_of_the_window(tmp_path, suffix):
    trace = made()
    arrows = LateArrows()
    arrows.set_waits(find_waits(trace))
    with_arrows, without = (
        timeline_figure(trace, arrows=shown).write(tmp_path / f"{name}.{suffix}") for name, shown in (("with", [arrows]), ("without", []))
    )
    if suffix == "png":
        assert QImage(str(with_arrows)) != QImage(str(without))
    else:
        assert with_arrows.stat().st_size > without.stat().st_size
    arrows.shown = False
    hidden = timeline_figure(trace, arrows=[arrows]).write(tmp_path / f"hidden.{suffix}")
    if suffix == "svg":
        assert hidden.read_bytes() == without.read_bytes()


# the table


def test_the_panel_says_what_will_stand_there(panel, timeline):
    assert panel.empty.isVisible()
    assert panel.empty.text() == EMPTY


def test_a_trial_without_waits_says_so(qtbot, panel, timeline, search):
    trace = Trace()
    trace.origin_ns, trace.version = 5, 1
    show(qtbot, timeline, search, trace)
    assert panel.empty.text() == NOTHING


def test_the_table_lists_the_costliest_waits_first(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made(sample_events=True))
    assert [panel.model.row(row).batch for row in range(3)] == [17, 67, 42]
    assert panel.model.rowCount() <= MOST_LISTED
    cause = panel.model.index(0, CAUSE_COLUMN).data()
    assert cause.startswith("worker 1 fetched 2")
    assert "sample" not in cause  # all samples of the batch took the same time
    assert panel.note.text().startswith("The 10 costliest of 90 waits make ")


def test_a_slow_sample_is_named(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made(sample_events=True, batch_size=2))
    assert "sample 34 took 150 ms" in panel.model.index(0, CAUSE_COLUMN).data()


def test_a_click_goes_to_the_wait_and_selects_it(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made())
    timeline.show_range(timeline.scene.origin_ns, timeline.scene.origin_ns + 10 * MS)
    place = panel.table.visualRect(panel.model.index(1, 0)).center()
    QTest.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    assert timeline.selected == wait_for(timeline, 67)
    low, high = timeline.visible_range_ns()
    assert low < timeline.selected.end_ns < high


def test_enter_goes_there_too(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made())
    panel.table.setCurrentIndex(panel.model.index(2, 0))
    QTest.keyClick(panel.table, Qt.Key.Key_Return)
    assert timeline.selected == wait_for(timeline, 42)


def test_it_sorts_by_any_column(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made())
    for column in range(panel.model.columnCount()):
        for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
            panel.table.sortByColumn(column, order)
            values = [panel.model.values(row)[column] for row in range(panel.model.rowCount())]
            assert values == sorted(values, reverse=order == Qt.SortOrder.DescendingOrder)


def test_rows_are_copied_with_titles_and_plain_numbers(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made())
    panel.table.selectRow(0)
    QTest.keyClick(panel.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    titles, row = QApplication.clipboard().text().splitlines()
    values = dict(zip(titles.split("\t"), row.split("\t"), strict=True))
    assert float(values["wait (s)"]) == pytest.approx(panel.model.row(0).wait_s)
    assert (values["batch"], values["held up"]) == ("17", "6")


def test_a_trial_that_grows_is_looked_at_again(qtbot, panel, timeline, search):
    small, whole = made(batches=10), made()
    show(qtbot, timeline, search, small)
    assert panel.model.rowCount() <= 10
    for key, columns in whole.tracks.items():  # the same trial, further on
        track = small.track(whole.lanes[key.lane], key.depth)
        known = int(track.view()["start_ns"][-1]) if len(track) else -1
        view = columns.view()
        track.append(**{name: column[view["start_ns"] > known] for name, column in view.items()})
    small.newest_ns, small.version = whole.newest_ns, small.version + 1
    with qtbot.waitSignal(search.waitsFound):
        timeline.refresh()
    assert panel.model.row(0).batch == 17


def test_another_trial_takes_the_place_of_what_was_shown(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made())
    timeline.set_trace(None)
    assert panel.model.rowCount() == 0
    assert panel.empty.isVisible()
    assert timeline.arrows.in_sight(*WHOLE, 0) == []


def test_the_summary_names_the_worker_that_most_of_them_were(qtbot, timeline, search):
    found = []
    search.waitsFound.connect(found.append)
    slow = set(range(10, 90, 4))
    show(qtbot, timeline, search, made(fetch_ns=lambda batch: (150 if batch in slow else 5) * MS, startup_ns=4 * MS))
    assert "all of them were worker 2" in summary_text(found[-1])
    show(qtbot, timeline, search, made(startup_ns=900 * MS))
    assert "1 was for workers that had to start" in summary_text(found[-1])


def test_the_card_of_a_wait_agrees_with_the_table(qtbot, panel, timeline, search):
    show(qtbot, timeline, search, made())
    explained = span_query.explain_wait(timeline.scene, wait_for(timeline, 17))
    late = panel.model.row(0)
    assert int(explained.charged_ns[0, Cause.FETCH]) / 1e9 == pytest.approx(late.charged_s["fetch"])
    assert int(explained.held_up[0]) == late.held_up


# the window


def test_arrows_are_switched_by_a_command_and_remembered(window, settings):
    command = window.commands["late_arrows"]
    assert command.isChecked()
    command.trigger()
    assert not window.views.timeline.arrows.shown
    assert settings.value("late_arrows", type=bool) is False


def test_the_panel_is_a_tab_that_a_command_brings_up(window):
    window.commands["show_late_batches"].trigger()
    assert window.views.late_batches.isVisible()
