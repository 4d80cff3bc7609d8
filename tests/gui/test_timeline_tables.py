"""The tables about the timeline: statistics of a range, and the spans in sight."""

import csv
import io

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from synthetic import MS
from timeline_actions import Button, Key, Modifier, drag, press

from loaderscope.agent.layout import State
from loaderscope.gui.panels.selection_panel import COLUMNS, SelectionPanel
from loaderscope.gui.panels.spans_panel import SpansPanel
from loaderscope.gui.timeline.data.range_statistics import percentile, survey
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.span_rows import list_spans


@pytest.fixture
def selection(qtbot, widget):
    """The statistics of what the timeline shows."""
    return opened(qtbot, SelectionPanel(widget))


@pytest.fixture
def spans(qtbot, widget):
    """The spans of what the timeline shows."""
    return opened(qtbot, SpansPanel(widget))


def opened(qtbot, panel):
    qtbot.addWidget(panel)
    panel.resize(900, 300)
    panel.show()
    qtbot.waitUntil(lambda: panel.model.rowCount() > 0, timeout=3000)
    return panel


def click(table, row, column=0):
    place = table.visualRect(table.model().index(row, column)).center()
    QTest.mouseClick(table.viewport(), Button.LeftButton, Modifier.NoModifier, place)


def texts(panel, column):
    return [panel.model.data(panel.model.index(row, column)) for row in range(panel.model.rowCount())]


# numbers


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_percentiles_are_numpys(values, share):
    assert percentile(np.array(values), share) == pytest.approx(np.percentile(values, share * 100), rel=1e-9, abs=1e-6)


def test_a_survey_and_its_statistics_agree_with_the_slow_way():
    scene = Scene(synthetic.make_trace(num_workers=2, batches=40, fetch_ns=lambda batch: (5 + batch % 7) * MS, step_ns=3 * MS))
    start_ns, end_ns = scene.origin_ns + 60 * MS, scene.origin_ns + 160 * MS
    found = {(one.filled.lane, one.filled.state): one for one in survey(scene, start_ns, end_ns).statistics()}
    index = next(index for index in scene.tracks("worker-1") if State.FETCH in index.states)
    rows = [
        (int(begin), int(end))
        for begin, end, state in zip(index.start_ns, index.end_ns, index.state, strict=True)
        if state == State.FETCH and end > start_ns and begin < end_ns
    ]
    one = found["worker-1", State.FETCH]
    durations = [end - begin for begin, end in rows]
    assert one.count == len(rows)
    assert one.filled.total_ns == sum(min(end, end_ns) - max(begin, start_ns) for begin, end in rows)
    assert one.mean_ns == pytest.approx(np.mean(durations))
    assert one.p95_ns == pytest.approx(np.percentile(durations, 95))
    assert one.longest.duration_ns == max(durations)


@pytest.mark.parametrize("most", [5, 37, 10_000])
def test_a_listing_holds_the_first_spans_in_order_and_says_if_it_is_whole(most):
    scene = Scene(synthetic.make_trace(num_workers=3, batches=30))
    whole = list_spans(scene, scene.origin_ns, scene.trace.end_ns)
    some = list_spans(scene, scene.origin_ns, scene.trace.end_ns, most=most)
    assert whole.is_whole
    assert some.is_whole == (most == 10_000)
    assert len(some) <= most
    assert (np.diff(some.start_ns) >= 0).all()
    assert some.start_ns.tolist() == whole.start_ns[: len(some)].tolist()


# statistics of a range


def test_without_a_range_the_table_tells_what_is_in_sight(selection, widget):
    assert "in sight" in selection.note.text()
    assert {"main", "worker 0", "worker 3"} <= set(texts(selection, 0))


def test_measuring_a_range_changes_the_table(qtbot, selection, widget):
    drag(widget, QPoint(400, 200), QPoint(600, 200))
    qtbot.waitUntil(lambda: "Measured range" in selection.note.text(), timeout=3000)
    counts = {
        (row.filled.lane, row.filled.state): row.count for row in (selection.model.row(at) for at in range(selection.model.rowCount()))
    }
    assert 0 < counts["worker-0", State.FETCH] < 10
    press(widget, Key.Key_Escape)
    qtbot.waitUntil(lambda: "in sight" in selection.note.text(), timeout=3000)


@pytest.mark.parametrize("column", range(2, len(COLUMNS)))
def test_numbers_sort_as_numbers_both_ways(selection, column):
    selection.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
    values = [selection.model.values(row)[column] for row in range(selection.model.rowCount())]
    assert values == sorted(values, reverse=True)
    assert all(type(value) in (int, float) for value in values)
    selection.table.sortByColumn(column, Qt.SortOrder.AscendingOrder)
    assert [selection.model.values(row)[column] for row in range(selection.model.rowCount())] == sorted(values)


def test_a_click_on_a_row_goes_to_its_longest_span(selection, widget):
    row = next(at for at in range(selection.model.rowCount()) if selection.model.row(at).filled.state == State.FETCH)
    click(selection.table, row)
    assert widget.selected == selection.model.row(row).longest


def test_enter_on_a_row_goes_there_too(selection, widget):
    selection.table.setCurrentIndex(selection.model.index(3, 0))
    press(selection.table, Key.Key_Return)
    assert widget.selected == selection.model.row(3).longest


def test_the_table_is_copied_with_titles_and_plain_numbers(selection):
    selection.table.clearSelection()
    press(selection.table, Key.Key_C, Modifier.ControlModifier)
    data = QApplication.clipboard().mimeData()
    lines = [line.split("\t") for line in data.text().splitlines()]
    assert lines == list(csv.reader(io.StringIO(bytes(data.data("text/csv").data()).decode())))
    assert lines[0][:4] == ["lane", "state", "count", "total (s)"]
    assert len(lines) == selection.model.rowCount() + 1
    assert float(lines[1][3]) == pytest.approx(selection.model.values(0)[3], rel=1e-6)


def test_selected_rows_alone_are_copied(selection):
    click(selection.table, 2)
    press(selection.table, Key.Key_C, Modifier.ControlModifier)
    assert len(QApplication.clipboard().text().splitlines()) == 2


def test_a_table_that_nobody_sees_looks_at_nothing(selection, widget):
    before = selection.note.text()
    selection.hide()
    widget.zoom_in()
    selection._update()
    assert selection.note.text() == before


# spans in sight


def test_every_drawn_span_in_sight_is_listed(spans, widget):
    assert spans.model.rowCount() == len(list_spans(widget.scene, *widget.visible_range_ns()))
    assert "spans in sight" in spans.note.text()


def test_zooming_lists_fewer(qtbot, spans, widget):
    count = spans.model.rowCount()
    for _ in range(6):
        press(widget, Key.Key_W)
    qtbot.waitUntil(lambda: 0 < spans.model.rowCount() < count / 2, timeout=3000)


def test_a_lane_can_be_chosen(spans):
    spans.lanes.setCurrentText("worker 2")
    assert set(texts(spans, 0)) == {"worker 2"}


@pytest.mark.parametrize("title", ["start (s)", "duration (s)"])
def test_spans_sort_by_start_and_duration(spans, title):
    column = spans.model.titles.index(title)
    for order, descending in ((Qt.SortOrder.DescendingOrder, True), (Qt.SortOrder.AscendingOrder, False)):
        spans.table.sortByColumn(column, order)
        values = [spans.model.values(row)[column] for row in range(spans.model.rowCount())]
        assert values == sorted(values, reverse=descending)


def test_a_row_tells_what_the_span_is(spans, widget):
    row = next(at for at in range(spans.model.rowCount()) if spans.model.span_in(at).state == State.FETCH)
    assert spans.model.values(row) == ["worker 0", "fetch", 0, 0, pytest.approx(0.03), pytest.approx(0.04), pytest.approx(0.02), 32]


def test_choosing_a_row_selects_its_span(spans, widget):
    click(spans.table, 5)
    assert widget.selected == spans.model.span_in(5)
    press(spans.table, Key.Key_Down)
    assert widget.selected == spans.model.span_in(6)


def test_the_span_that_is_selected_in_the_timeline_is_the_current_row(spans, widget):
    press(widget, Key.Key_Period)
    press(widget, Key.Key_Period)
    assert spans.model.span_in(spans.table.currentIndex().row()) == widget.selected


def test_without_a_trial_both_say_so(qtbot, spans, widget):
    widget.set_trace(None)
    qtbot.waitUntil(lambda: spans.model.rowCount() == 0, timeout=3000)
    assert "once there are some" in spans.note.text()
