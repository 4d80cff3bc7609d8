"""Lanes as the user arranges them: pinned, hidden, collapsed into one row, reordered, with heights of their own."""

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu
from synthetic import MS
from timeline_actions import press

from loaderscope.agent.layout import State
from loaderscope.gui.style.theme import apply_theme, current_palette
from loaderscope.gui.timeline.data.arrangement import LEAST_ROW_PX, Arrangement, arrange
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.strips import sum_tracks
from loaderscope.gui.timeline.paint.overlay import group_states_text
from loaderscope.gui.timeline.widget.lane_menu import LaneHandling
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget

WIDTH, HEIGHT = 1000, 480
Button, Modifier = Qt.MouseButton, Qt.KeyboardModifier


def make_trace(num_workers=4):
    return synthetic.make_trace(num_workers=num_workers, batches=10 * num_workers, fetch_ns=40 * MS, step_ns=2 * MS)


@pytest.fixture
def rows():
    return Scene(make_trace()).rows


def show(qtbot, trace, height=HEIGHT):
    apply_theme(QApplication.instance(), "dark")
    timeline = TimelineWidget()
    timeline.handling = LaneHandling(timeline)
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, height)
    timeline.set_trace(trace)
    timeline.show()
    qtbot.waitExposed(timeline)
    timeline.repaint()
    return timeline


@pytest.fixture
def widget(qtbot):
    return show(qtbot, make_trace())


@pytest.fixture
def many(qtbot):
    return show(qtbot, make_trace(64))


def keys(widget):
    return [placed.row.key for placed in widget.lane_layout.rows]


def placed_of(widget, key):
    return next(placed for placed in widget.lane_layout.rows if placed.row.key == key)


def label_of(widget, key, share=0.5, x=50):
    """A place in a row's label."""
    placed = placed_of(widget, key)
    return QPoint(x, round(widget.lane_layout.header_height - widget.scroll_y + placed.y + share * placed.height))


def choose(widget, key, text):
    """An entry of the menu of a row's label."""
    row = next((row for row in (*widget.arranged.rows, *widget.arranged.hidden) if row.key == key), None)
    menu = widget.handling.menu(row)
    action = next(action for action in menu.actions() if action.text() == text)
    assert action.isEnabled()
    action.trigger()


def drag_label(widget, begin, end):
    QTest.mousePress(widget, Button.LeftButton, Modifier.NoModifier, begin)
    for place in ((begin + end) / 2, end):
        QTest.mouseMove(widget, place)
    QTest.mouseRelease(widget, Button.LeftButton, Modifier.NoModifier, end)


# the order of rows, without a widget


def test_without_a_choice_rows_stand_as_the_scene_has_them(rows):
    arranged = arrange(rows, Arrangement())
    assert arranged.rows == tuple(row for row in rows if not row.is_optional)
    assert not arranged.hidden and not arranged.pinned_count and not arranged.heights


def test_a_row_that_was_dragged_takes_along_nothing_and_new_rows_follow_their_neighbour(rows):
    arrangement = Arrangement().move([row for row in rows if row.key != "worker-2"], "main", "flight")
    found = [row.key for row in arrange(rows, arrangement).rows]
    assert found.index("main") == found.index("flight") - 1
    assert found.index("worker-2") == found.index("worker-1") + 1


def test_a_choice_survives_the_settings_file_and_what_cannot_be_read_is_left_out(rows):
    arrangement = Arrangement().pin("worker-1").hide(["main"]).collapse("worker").move(rows, "flight", "main").with_height(rows[0], 50)
    assert Arrangement.from_text(arrangement.to_text()) == arrangement
    for text in ("", "[]", "nonsense", '{"pinned": 3, "heights": {"main": "tall"}, "order": [1]}'):
        assert Arrangement.from_text(text) == Arrangement()


# the menu


def test_hidden_lanes_are_told_and_come_back(widget):
    before = keys(widget)
    choose(widget, "worker-1", "Hide")
    assert keys(widget) == [key for key in before if key != "worker-1"]
    button = widget._notices.hidden
    assert button.isVisible() and "1 lane hidden" in button.text()
    choose(widget, "worker-2", "Hide the other workers")
    assert [key for key in keys(widget) if key.startswith("worker")] == ["worker-2"]
    assert "3 lanes hidden" in button.text()
    QTest.mouseClick(button, Button.LeftButton)
    assert keys(widget) == before
    assert not button.isVisible()


def test_stepping_to_a_span_of_a_hidden_lane_shows_it_again(widget):
    widget.next_span()
    span = widget.selected
    choose(widget, span.lane, "Hide")
    assert span.lane not in keys(widget)
    widget.go_to(span)
    assert span.lane in keys(widget)


def test_the_menu_opens_on_a_label_and_by_keyboard_for_the_selected_lane(widget, monkeypatch):
    opened = []
    monkeypatch.setattr(QMenu, "popup", lambda menu, _place: opened.append([action.text() for action in menu.actions()]))
    place = label_of(widget, "worker-3")
    QApplication.sendEvent(widget, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, widget.mapToGlobal(place)))
    assert "Pin to top" in opened[-1] and "worker 3" in opened[-1]
    widget.next_span()
    QApplication.sendEvent(widget, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(5, 5), QPoint(5, 5)))
    assert widget.scene.lane(widget.selected.lane).label in opened[-1]


def test_reset_puts_everything_back(widget):
    before = widget.lane_layout
    choose(widget, "worker-1", "Pin to top")
    choose(widget, "worker-2", "Hide")
    choose(widget, "main", "Taller")
    choose(widget, None, "Collapse the workers into one row")
    assert widget.lane_layout != before
    choose(widget, None, "Reset all lanes")
    assert widget.lane_layout == before


# pinned


def test_a_pinned_lane_stays_while_the_rest_scrolls_beneath_it(many):
    unpinned = keys(many)
    choose(many, "worker-40", "Pin to top")
    choose(many, "worker-40", "Unpin")
    assert keys(many) == unpinned
    choose(many, "worker-40", "Pin to top")
    assert keys(many)[0] == "worker-40"
    many.repaint()
    frozen = (0, many.lane_layout.header_height, WIDTH - 12, many.lane_layout.frozen_height)
    below = (0, frozen[1] + frozen[3], WIDTH - 12, 200)
    before = many.grab().toImage()
    many.scroll_by(217)
    after = many.grab().toImage()
    assert many.scroll_y == 217
    assert before.copy(*frozen) == after.copy(*frozen)
    assert before.copy(*below) != after.copy(*below)
    # what is hit is what is seen
    y = many.lane_layout.header_height + 12
    assert many.lane_layout.row_at(y, many.scroll_y).row.key == "worker-40"
    under = many.lane_layout.row_at(many.lane_layout.header_height + many.lane_layout.frozen_height + 30, many.scroll_y)
    assert under.row.key != "worker-40"


def test_more_pinned_lanes_than_have_room_scroll(many):
    many.set_arrangement(Arrangement(pinned=frozenset(f"worker-{number}" for number in range(64))))
    room = HEIGHT - many.lane_layout.header_height
    assert 0 < many.lane_layout.frozen_height < 0.7 * room
    many.scroll_by(10_000)
    last = many.lane_layout.rows[-1]
    assert last.y + last.height - many.scroll_y <= room


# collapsed


@pytest.mark.parametrize("num_workers", [2, 12])
def test_collapsed_workers_are_the_sum_of_their_lanes(num_workers):
    scene = Scene(make_trace(num_workers))
    lanes = [f"worker-{number}" for number in range(num_workers)]
    edges = scene.origin_ns + np.linspace(0, scene.total_ns, 301).astype(np.int64)
    tracks, states = sum_tracks(scene, lanes, "worker", 0)
    assert State.FETCH in states
    found = tracks.busy_ns(edges, states)
    for state in states:
        expected = sum(index.busy_ns(edges, [state]).get(state, 0) for lane in lanes for index in scene.tracks(lane))
        assert np.abs(found[state] - expected / num_workers).max() <= 1


def test_collapsed_workers_are_painted_as_shares_of_all_of_them(widget):
    """Three of four workers fetch at a moment where the fourth is idle: the column is three quarters full."""
    trace = make_trace()
    widget.set_trace(trace)
    choose(widget, None, "Collapse the workers into one row")
    assert placed_of(widget, "workers").row.label == "4 workers"
    assert not any(key.startswith("worker-") for key in keys(widget))
    widget.zoom_at(0.02, 600)
    widget.set_arrangement(widget.arrangement.with_height(placed_of(widget, "workers").row, 206))
    image, layout, placed = widget.grab().toImage(), widget.lane_layout, placed_of(widget, "workers")
    ratio = image.devicePixelRatio()
    fetch = current_palette().fetch
    for x in range(layout.label_width + 5, layout.label_width + layout.plot_width - 5, 97):
        top, left = layout.header_height + placed.bar_y, (x - layout.label_width) / layout.plot_width
        low = round(widget.scene.origin_ns + widget.viewport.start + left * widget.viewport.span)
        high = low + round(widget.viewport.span / layout.plot_width)
        busy = sum(
            index.busy_between_ns(low, high, [State.FETCH]) for number in range(4) for index in widget.scene.tracks(f"worker-{number}")
        )
        pixels = sum(image.pixelColor(round(x * ratio), round((top + y) * ratio)).name() == fetch for y in range(placed.bar_height))
        assert pixels / placed.bar_height == pytest.approx(busy / (high - low) / 4, abs=0.02)


def test_the_crosshair_tells_how_many_of_the_collapsed_workers_do_what(widget):
    choose(widget, None, "Collapse the workers into one row")
    scene, row = widget.scene, placed_of(widget, "workers").row
    for share in (0.3, 0.5, 0.7):
        moment = scene.origin_ns + round(share * scene.total_ns)
        fetching = sum(any(index.busy_between_ns(moment, moment + 1, [State.FETCH]) for index in scene.tracks(lane)) for lane in row.lanes)
        words = group_states_text(scene, row, moment).split("   ")
        assert fetching and f"{fetching} fetch" in words
        assert sum(int(word.split()[0]) for word in words) == 4
    assert group_states_text(scene, row, scene.trace.end_ns + 10) == ""


def test_the_chevron_collapses_and_expands(widget):
    before = keys(widget)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, label_of(widget, "worker-0", x=4))
    assert "workers" in keys(widget) and "worker-1" not in keys(widget)
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, label_of(widget, "workers", x=4))
    assert keys(widget) == before


def test_a_pinned_worker_stays_beside_the_collapsed_ones(widget):
    choose(widget, "worker-2", "Pin to top")
    choose(widget, None, "Collapse the workers into one row")
    assert keys(widget)[0] == "worker-2"
    assert "workers" in keys(widget)


def test_one_row_for_all_is_offered_only_with_many_workers(widget, many):
    assert not widget._notices.many.isVisible()
    assert many._notices.many.isVisible()
    QTest.mouseClick(many._notices.many, Button.LeftButton)
    assert placed_of(many, "workers").row.label == "64 workers"
    assert not many._notices.many.isVisible()


# dragging


def test_dragging_a_label_moves_its_lane(widget):
    drag_label(widget, label_of(widget, "worker-3"), label_of(widget, "worker-1", 0.2))
    assert [key for key in keys(widget) if key.startswith("worker")] == ["worker-0", "worker-3", "worker-1", "worker-2"]
    drag_label(widget, label_of(widget, "main"), label_of(widget, "worker-2", 0.9))
    assert keys(widget).index("main") == keys(widget).index("worker-2") + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda widget: choose(widget, "worker-1", "Hide"),
        lambda widget: choose(widget, "worker-1", "Pin to top"),
        lambda widget: choose(widget, "worker-1", "Taller"),
        lambda widget: drag_label(widget, label_of(widget, "main"), label_of(widget, "flight", 0.9)),
        lambda widget: widget.collapse_workers(),
        lambda widget: widget.reset_lanes(),
    ],
    ids=["hidden", "pinned", "taller", "moved", "collapsed", "reset"],
)
def test_control_and_z_puts_lanes_back_as_they_were(widget, qtbot, change):
    choose(widget, "worker-3", "Hide")
    before = widget.arrangement
    change(widget)
    assert widget.arrangement != before
    with qtbot.waitSignal(widget.arrangementChanged):
        press(widget, Qt.Key.Key_Z, Modifier.ControlModifier)
    assert widget.arrangement == before


def test_dragging_an_edge_is_one_step_to_take_back(widget):
    edge = label_of(widget, "worker-1", 0.98)
    drag_label(widget, edge, edge + QPoint(0, 30))
    assert widget.arrangement.heights
    press(widget, Qt.Key.Key_Z, Modifier.ControlModifier)
    assert not widget.arrangement.heights


def test_marks_and_lanes_are_taken_back_in_the_order_in_which_they_were_done(widget):
    choose(widget, "worker-1", "Hide")
    widget.marking.put()
    press(widget, Qt.Key.Key_Z, Modifier.ControlModifier)
    assert not widget.marking.marks and "worker-1" in widget.arrangement.hidden
    press(widget, Qt.Key.Key_Z, Modifier.ControlModifier)
    assert not widget.arrangement.hidden


def test_another_trial_keeps_what_was_done_to_lanes_but_not_what_was_done_to_marks(widget):
    choose(widget, "worker-1", "Hide")
    widget.marking.put()
    widget.set_trace(make_trace())
    press(widget, Qt.Key.Key_Z, Modifier.ControlModifier)
    assert not widget.arrangement.hidden and not widget.marking.marks


def test_a_click_on_a_label_moves_nothing(widget):
    before = widget.lane_layout
    QTest.mouseClick(widget, Button.LeftButton, Modifier.NoModifier, label_of(widget, "worker-3"))
    assert widget.lane_layout == before and widget.measured is None


def test_dragging_the_lower_edge_of_a_label_changes_the_height(widget):
    height = placed_of(widget, "main").height
    begin = label_of(widget, "main", 1.0) - QPoint(0, 2)
    drag_label(widget, begin, begin + QPoint(0, 31))
    assert placed_of(widget, "main").height == height + 31
    begin = label_of(widget, "worker-1", 1.0) - QPoint(0, 2)
    drag_label(widget, begin, begin - QPoint(0, 400))
    assert {placed_of(widget, f"worker-{number}").height for number in range(4)} == {LEAST_ROW_PX}  # all workers alike
    choose(widget, "worker-0", "Reset height")
    assert placed_of(widget, "worker-1").height > LEAST_ROW_PX
    assert placed_of(widget, "main").height == height + 31


# many workers


def test_scrolling_through_64_workers_paints_only_those_in_sight(many):
    layout = many.lane_layout
    assert layout.scroll_range > 500
    painted = set()
    tracks = many.scene.tracks
    many.scene.tracks = lambda lane: painted.add(lane) or tracks(lane)
    many.scroll_by(600)
    many.backing._remember = lambda *_: []  # what only looks for new data is not painting
    many.repaint()
    workers = {lane for lane in painted if lane.startswith("worker-")}
    assert len(workers) <= (HEIGHT - layout.header_height) / 20 + 2
    last = placed_of(many, "worker-63")
    many.bring_row_up("worker-63")
    assert many.scroll_y <= last.y and last.y + last.height <= many.scroll_y + HEIGHT - layout.header_height


def test_the_legend_gives_up_its_last_entries_to_what_is_told_of_lanes(many):
    """Fetch stands first in the legend and stays."""
    many.resize(760, HEIGHT)
    many.set_arrangement(many.arrangement.hide(["worker-1"]))
    image, notices = many.grab().toImage(), many._notices
    fills = [image.pixelColor(x, 13).name() for x in range(notices.x() + notices.width(), 750)]
    assert current_palette().fetch in fills
    assert current_palette().startup not in fills
