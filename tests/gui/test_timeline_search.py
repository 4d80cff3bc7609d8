"""Searching the timeline: what a text asks for, what is found, and the bar that leads through it."""

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from synthetic import MS
from timeline_actions import Key, Modifier, move, press

from loaderscope.agent.layout import State
from loaderscope.facts.run import Mark
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.search_query import SearchError, parse
from loaderscope.gui.timeline.data.span_search import AFTER_ALL, BEFORE_ALL, CHUNK_ROWS, Search
from loaderscope.gui.timeline.data.state_styles import nesting_level
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace, batch_id

LANES = {"main": "main", "worker 1": "worker-1", "worker 12": "worker-12"}
NAMES = {0: "torch", 1: "torch.utils.data", 2: "numpy"}


def wanted(text, marks=()):
    return parse(text, LANES, NAMES, marks)


# what a text asks for


@pytest.mark.parametrize(
    ("text", "state"),
    [("fetch", State.FETCH), ("Collate", State.COLLATE), ("wait", State.WAIT), ("coll", State.COLLATE), ("STEP", State.STEP)],
)
def test_a_state_is_named_by_its_word_or_the_beginning_of_it(text, state):
    assert state in wanted(text).states


def test_a_whole_word_is_not_the_beginning_of_others():
    assert wanted("wait").states == {State.WAIT}
    assert wanted("import").states == {State.IMPORT}
    assert wanted("import script").states == {State.MAIN_IMPORT}


@pytest.mark.parametrize("text", ["batch 12", "12", "#12"])
def test_a_number_is_a_batch(text):
    assert wanted(text).batch == 12


def test_a_batch_may_be_of_an_epoch():
    found = wanted("batch 3 of epoch 1")
    assert (found.batch, found.epoch) == (3, 1)


@pytest.mark.parametrize("text", ["sample 456", "index 456"])
def test_a_sample_is_found_by_its_index(text):
    assert wanted(text).sample == 456


@pytest.mark.parametrize(("text", "numbers"), [("import torch", {0, 1}), ("numpy", {2}), ("import numpy", {2})])
def test_a_module_is_found_by_its_name(text, numbers):
    found = wanted(text)
    assert (found.states, found.names) == ({State.IMPORT}, numbers)


@pytest.mark.parametrize(("text", "lane"), [("worker 1", "worker-1"), ("worker 12", "worker-12"), ("main", "main")])
def test_a_lane_is_found_by_its_label(text, lane):
    assert wanted(text).lanes == {lane}


@pytest.mark.parametrize(
    "text", ["worker 1 fetch >50ms", "fetch worker 1 longer than 50 ms", "fetch > 0.05 s worker 1", "fetch worker 1 over 50"]
)
def test_conditions_can_be_joined(text):
    found = wanted(text)
    assert (found.lanes, found.states, found.longer_ns) == ({"worker-1"}, {State.FETCH}, 50 * MS)


def test_a_duration_alone_asks_for_every_span_of_it():
    found = wanted("<200us")
    assert (found.shorter_ns, found.states) == (200_000, None)


def test_what_nobody_knows_is_answered_with_what_can_be_asked():
    with pytest.raises(SearchError, match=r"“frobnicate”.*Search for a state.*batch 12.*fetch >50"):
        wanted("frobnicate")


def test_the_text_of_a_mark_is_known():
    assert not wanted("slow re", ["a slow read"]).spans


# what is found


def every_span(scene, fits):
    """The slow way: each drawn span of each lane, sorted by start."""
    found = []
    for row in scene.rows:
        for lane in row.lanes:
            for number, index in enumerate(scene.tracks(lane)):
                for at in range(len(index)):
                    start_ns, end_ns, state = int(index.start_ns[at]), int(index.end_ns[at]), int(index.state[at])
                    if nesting_level(row.lane_kind, state) is not None and fits(lane, state, int(index.batch[at]), end_ns - start_ns):
                        found.append((start_ns, lane, number, at))
    return sorted(found)


def walk(search):
    found, hit = [], search.next_hit(BEFORE_ALL)
    while hit is not None:
        found.append(hit)
        hit = search.next_hit(search.position_of(hit))
    return found


def searched(scene, text, marks=()):
    labels = {row.label: row.lanes[0] for row in scene.rows if row.kind == "lane"}
    search = Search(scene, parse(text, labels, scene.trace.names, [mark.text for mark in marks]), tuple(marks))
    assert search.advance()
    return search


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("fetch", lambda lane, state, batch, ns: state == State.FETCH),
        ("batch 7", lambda lane, state, batch, ns: batch == batch_id(0, 7)),
        ("collate worker 2", lambda lane, state, batch, ns: state == State.COLLATE and lane == "worker-2"),
        ("fetch >20ms", lambda lane, state, batch, ns: state == State.FETCH and ns >= 20 * MS),
    ],
)
def test_all_and_only_what_is_wanted_is_found_in_order(text, fits):
    scene = Scene(synthetic.make_trace(num_workers=3, batches=30, fetch_ns=lambda batch: (10 + batch % 5 * 4) * MS, step_ns=3 * MS))
    search = searched(scene, text)
    found = walk(search)
    assert sorted((hit.start_ns, hit.lane, hit.track, hit.row) for hit in found) == every_span(scene, fits)
    assert [hit.start_ns for hit in found] == sorted(hit.start_ns for hit in found)
    assert [search.rank(hit) for hit in found] == list(range(search.count))


def test_going_back_meets_the_same_hits():
    search = searched(Scene(synthetic.make_trace(num_workers=2, batches=10)), "collate")
    found, hit = [], search.previous_hit(AFTER_ALL)
    while hit is not None:
        found.append(hit)
        hit = search.previous_hit(search.position_of(hit))
    assert found[::-1] == walk(search)


def test_a_sample_leads_to_the_fetch_that_read_it():
    scene = Scene(synthetic.make_trace(num_workers=2, batches=10, batch_size=4, sample_events=True))
    (hit,) = walk(searched(scene, "sample 21"))
    assert (hit.state, hit.batch) == (State.FETCH, batch_id(0, 5))


def test_a_module_leads_to_its_imports():
    scene = Scene(synthetic.make_trace(num_workers=2, batches=3, start_method="spawn"))
    hits = walk(searched(scene, "numpy"))
    assert [hit.lane for hit in hits] == ["worker-0", "worker-1"]
    assert {scene.trace.names[hit.value] for hit in hits} == {"torch"}  # which imports it, and is what is drawn
    assert walk(searched(scene, "import torch")) == hits


def test_marks_are_hits_among_the_spans():
    scene = Scene(synthetic.make_trace(num_workers=1, batches=4))
    mark = Mark(scene.origin_ns + 1, "fetch starts late")
    found = walk(searched(scene, "fetch", [mark]))
    assert mark in found
    assert len(found) == 5


def big_trace(rows):
    trace = Trace()
    trace.origin_ns = 10**15
    end = trace.origin_ns + np.arange(1, rows + 1) * 1000
    trace.track(lane_table.worker_lane(0), 0).append(
        start_ns=end - 900, end_ns=end, state=np.resize([State.FETCH, State.COLLATE], rows), batch=np.arange(rows) // 2, value=0 * end
    )
    trace.newest_ns, trace.version = int(end[-1]), 1
    return trace


def test_a_long_search_is_done_in_slices_that_end_when_their_time_is_over():
    scene = Scene(big_trace(3 * CHUNK_ROWS))
    search = Search(scene, wanted("fetch"))
    assert not search.advance(0)
    assert search.count == CHUNK_ROWS // 2
    slices = 1
    while not search.advance(0):
        slices += 1
    assert slices == 2
    assert search.count == 3 * CHUNK_ROWS // 2


def test_what_is_recorded_later_is_found_too():
    trace = big_trace(10)
    scene = Scene(trace)
    search = searched(scene, "fetch")
    at = trace.newest_ns + 1000
    trace.track(lane_table.worker_lane(0), 0).append(start_ns=at, end_ns=at + 500, state=State.FETCH, batch=9, value=0)
    trace.newest_ns, trace.version = at + 500, 2
    scene.update()
    assert search.advance()
    assert search.count == 6


def test_many_hits_in_sight_are_told_by_the_columns_that_hold_one():
    scene = Scene(big_trace(50_000))
    search = searched(scene, "fetch >0.5us")
    edges = np.linspace(scene.origin_ns, scene.trace.end_ns, 101).astype(np.int64)
    ((span, columns),) = list(search.hits_in_sight("worker-0", edges))
    assert span is None
    assert columns.all()


# the bar


def find(widget, qtbot, text):
    """Types a text into the bar and waits until all is looked through."""
    widget.search_bar.open()
    QTest.keyClicks(widget.search_bar.field, text)
    qtbot.waitUntil(lambda: "…" not in widget.search_bar.note.text() or "“" in widget.search_bar.note.text(), timeout=3000)
    return widget.search_bar


def test_typing_goes_to_the_first_hit_in_sight_and_counts(widget, qtbot):
    search_bar = find(widget, qtbot, "fetch")
    qtbot.waitUntil(lambda: widget.selected is not None, timeout=3000)
    assert search_bar.note.text() == "1 of 40"
    assert widget.selected.state == State.FETCH


@pytest.mark.parametrize(
    ("key", "modifier", "text"),
    [(Key.Key_Return, 0, "2 of 40"), (Key.Key_F3, 0, "2 of 40"), (Key.Key_Return, 1, "40 of 40"), (Key.Key_F3, 1, "40 of 40")],
)
def test_enter_and_f3_go_on_and_with_shift_back_round_the_end(widget, qtbot, key, modifier, text):
    search_bar = find(widget, qtbot, "fetch")
    qtbot.waitUntil(lambda: widget.selected is not None, timeout=3000)
    press(search_bar.field, key, Modifier.ShiftModifier if modifier else Modifier.NoModifier)
    assert search_bar.note.text() == text


def test_f3_in_the_timeline_goes_on_too(widget, qtbot):
    find(widget, qtbot, "collate")
    qtbot.waitUntil(lambda: widget.selected is not None, timeout=3000)
    first = widget.selected
    press(widget, Key.Key_F3)
    assert widget.selected.start_ns >= first.start_ns
    assert widget.selected != first
    press(widget, Key.Key_F3, Modifier.ShiftModifier)
    assert widget.selected == first


def test_a_hit_out_of_sight_is_brought_into_view(widget, qtbot):
    for _ in range(8):
        press(widget, Key.Key_W)
    find(widget, qtbot, "batch 39")
    qtbot.waitUntil(lambda: widget.selected is not None, timeout=3000)
    low, high = widget.visible_range_ns()
    assert low <= widget.selected.start_ns < high


def test_escape_closes_the_bar_and_gives_the_keyboard_back(widget, qtbot):
    search_bar = find(widget, qtbot, "fetch")
    press(search_bar.field, Key.Key_Escape)
    assert not search_bar.isVisible()
    assert search_bar.search is None
    assert widget.hasFocus()


def test_what_is_typed_is_no_key_of_the_timeline(widget, qtbot):
    before = widget.viewport
    find(widget, qtbot, "wait")
    press(widget.search_bar.field, Key.Key_Tab)
    QTest.keyClick(widget.search_bar, Key.Key_W)
    assert widget.viewport.span == before.span


def test_the_bar_says_what_can_be_searched(widget, qtbot):
    search_bar = find(widget, qtbot, "zebra")
    assert "Search for a state" in search_bar.note.text()
    assert search_bar.search is None


def test_hits_in_sight_are_outlined(widget, qtbot):
    find(widget, qtbot, "batch 20")
    qtbot.waitUntil(lambda: widget.selected is not None, timeout=3000)
    widget.clear_selection()
    lit = widget.grab().toImage()
    widget.search_bar.search = None
    assert widget.grab().toImage() != lit


def test_a_search_goes_on_in_the_next_trial(widget, qtbot):
    search_bar = find(widget, qtbot, "fetch")
    widget.set_trace(synthetic.make_trace(num_workers=1, batches=5), "other")
    qtbot.waitUntil(lambda: search_bar.note.text() == "5", timeout=3000)


def test_everything_in_the_bar_has_a_name_and_can_be_reached(widget):
    widget.search_bar.open()
    parts = [part for part in widget.search_bar.children() if hasattr(part, "focusPolicy") and part.focusPolicy() & Qt.FocusPolicy.TabFocus]
    assert len(parts) >= 4
    assert all(part.accessibleName() for part in parts)
    move(widget, QPoint(300, 200))
