"""The timeline of all loaders of a training: a group of lanes for each loader, and what stays within a loader."""

from __future__ import annotations

import re

import numpy as np
import pytest
import synthetic
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from synthetic import MS
from timeline_actions import HEIGHT, WIDTH

from loaderscope.agent.layout import State
from loaderscope.agent.messages import TrialConfig
from loaderscope.analysis.span_lookup import spans_of
from loaderscope.facts.lanes import OPTIMIZER_STEP
from loaderscope.facts.run import PlannedTrial
from loaderscope.gui.panels.late_batch_search import LateSearch, waits_of_loaders
from loaderscope.gui.panels.late_batches_panel import LOADER_COLUMN, LateBatchesPanel
from loaderscope.gui.run.run_state import RunState
from loaderscope.gui.run.training_progress import TrainingProgress
from loaderscope.gui.run.training_trace import TrainingTrace
from loaderscope.gui.style.palette import DARK
from loaderscope.gui.style.theme import apply_theme
from loaderscope.gui.timeline.data import hover_card, span_query
from loaderscope.gui.timeline.data.arrangement import Arrangement, arrange
from loaderscope.gui.timeline.data.range_statistics import survey
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.search_query import parse
from loaderscope.gui.timeline.data.span_search import BEFORE_ALL, Search
from loaderscope.gui.timeline.paint.arrows import LateArrows
from loaderscope.gui.timeline.paint.timeline_figure import timeline_figure
from loaderscope.gui.timeline.widget.lane_menu import LaneHandling
from loaderscope.gui.timeline.widget.timeline_view import TimelineWidget
from loaderscope.trace.columns import Columns
from loaderscope.trace.lane_table import IMPORT_DEPTH, MAIN_LANE
from loaderscope.trace.model import POINT_COLUMNS, ForgottenSpans, TrackKey, batch_id


def mark_optimizer_steps(trace, *times_ns):
    """Adds optimizer steps to a finished trace, in the order of time."""
    view = trace.points[MAIN_LANE.key].view()
    marks = {"time_ns": times_ns, "state": [State.OPTIMIZER_STEP] * len(times_ns), "batch": [-1] * len(times_ns)}
    columns = {name: np.concatenate((column, marks.get(name, [0] * len(times_ns)))) for name, column in view.items()}
    order = np.argsort(columns["time_ns"], kind="stable")
    trace.points[MAIN_LANE.key] = Columns(POINT_COLUMNS)
    trace.points[MAIN_LANE.key].append(**{name: column[order] for name, column in columns.items()})


@pytest.fixture
def loaders():
    """A loader with three workers, and one without."""
    return [
        synthetic.make_trace(num_workers=3, batches=20, fetch_ns=40 * MS, step_ns=8 * MS),
        synthetic.make_trace(num_workers=0, batches=10, fetch_ns=20 * MS, step_ns=4 * MS),
    ]


@pytest.fixture
def merged(loaders):
    trace = TrainingTrace()
    trace.add(0, "train.py:12", loaders[0])
    trace.add(3, "train.py:13", loaders[1])
    trace.refresh()
    return trace


@pytest.fixture
def timeline(qtbot, merged):
    apply_theme(QApplication.instance(), "dark")
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.set_trace(merged, "all loaders")
    timeline.show()
    qtbot.waitExposed(timeline)
    return timeline


def span_of(scene, lane, state, batch):
    spans = span_query.spans_of_batch_on_lane(scene, lane, batch, scene.origin_ns)
    return next(span for span in spans if span.state == state)


def test_the_trace_of_a_training_has_the_columns_of_its_loaders_themselves(merged, loaders):
    for prefix, trace in zip(("0/", "3/"), loaders, strict=True):
        assert all(merged.tracks[TrackKey(prefix + key.lane, key.depth)] is columns for key, columns in trace.tracks.items())
        own = merged.of_loader(prefix)
        assert own.tracks == trace.tracks and set(own.lanes) == set(trace.lanes)
    assert merged.span_count == sum(trace.span_count for trace in loaders)
    assert merged.of_loader("") is merged


def test_the_batches_of_a_long_recording_are_counted_once_though_old_ones_are_forgotten(loaders):
    state, progress = RunState(), TrainingProgress()
    state.trial_started(PlannedTrial(0, 0, TrialConfig(3)), loaders[0])
    assert "20 batches" in progress.text(state, 1.0)
    track = loaders[0].tracks[TrackKey(MAIN_LANE.key, 0)]
    last = track.view()["end_ns"][-1]
    track.forget(len(track) // 2)
    waits = {"start_ns": [last + 1, last + 3], "end_ns": [last + 2, last + 4], "state": [State.WAIT] * 2, "batch": [20, 21]}
    track.append(**waits, value=[0, 0])
    assert "22 batches" in progress.text(state, 2.0)


def test_it_grows_with_its_loaders(merged, loaders):
    scene = Scene(merged)
    version, rows = merged.version, len(scene.rows)
    merged.refresh()
    assert merged.version == version and not scene.update()
    loaders[1].track(loaders[0].lanes["worker-0"], 0)
    loaders[1].newest_ns += 10**9
    loaders[1].version += 1
    merged.refresh()
    assert scene.update() and len(scene.rows) == rows + 1
    assert merged.end_ns == loaders[1].end_ns


def test_each_loader_is_a_group_under_its_name(merged):
    rows = Scene(merged).rows
    titles = [(number, row.label) for number, row in enumerate(rows) if row.kind == "title"]
    assert [label for _, label in titles] == ["train.py:12", "train.py:13"]
    first, second = (number for number, _ in titles)
    assert {row.loader for row in rows[first:second]} == {"0/"}
    assert [row.key for row in rows[first : first + 3]] == ["0/title", "0/main", "0/worker-0"]
    assert rows[second + 1].key == "3/main"
    assert rows[second - 1].section != rows[second].section


def test_loaders_of_one_process_are_neighbours_and_the_process_is_named(merged, loaders):
    for trace, pid in zip(loaders, (100, 200), strict=True):
        trace.processes = [process if process.name != "main" else type(process)("main", pid, 0) for process in trace.processes]
    third = synthetic.make_trace(num_workers=0, batches=4)
    third.processes = [type(process)("main", 100, 0) for process in third.processes if process.name == "main"]
    merged.add(4, "train.py:14", third)
    merged.refresh()
    titles = [(row.label, row.text) for row in Scene(merged).rows if row.kind == "title"]
    assert titles == [("train.py:12", "process 100"), ("train.py:14", "process 100"), ("train.py:13", "process 200")]


def test_the_process_of_a_loader_is_painted_beside_its_name(timeline, merged, loaders):
    def has_text():
        timeline.refresh()
        placed = next(placed for placed in timeline.lane_layout.rows if placed.row.kind == "title")
        image, y = timeline.grab().toImage(), timeline.lane_layout.header_height + placed.y + placed.height // 2
        left = timeline.lane_layout.label_width
        return any(image.pixelColor(x, y + dy).lightness() > 100 for x in range(left, left + 80) for dy in range(-4, 5))

    assert not has_text()
    for trace, pid in zip(loaders, (100, 200), strict=True):
        trace.processes = [process if process.name != "main" else type(process)("main", pid, 0) for process in trace.processes]
        trace.version += 1
    merged.refresh()
    assert has_text()


def test_a_batch_is_lit_within_its_loader_alone(merged):
    scene = Scene(merged)
    for lane in ("0/main", "3/main"):
        pointer = hover_card.pointer_at(scene, span_of(scene, lane, State.STEP, batch_id(0, 5)), 10.0, 10.0)
        assert len(pointer.lit) > 1
        assert {span.loader for span in pointer.lit} == {lane[:2]}
        assert pointer.card.title.startswith("batch 5")
        assert scene.lane(lane).group in pointer.card.title


def test_the_card_of_a_wait_says_what_that_of_the_loader_alone_says(merged, loaders):
    scene, alone = Scene(merged), Scene(loaders[0])
    wait = span_of(scene, "0/main", State.WAIT, batch_id(0, 7))
    same = span_of(alone, "main", State.WAIT, batch_id(0, 7))
    shift = [line for line in hover_card.describe(scene, wait).lines if line[0] != "starts at"]
    assert shift == [line for line in hover_card.describe(alone, same).lines if line[0] != "starts at"]
    assert any(name == "waited for" for name, *_ in shift)


def test_statistics_name_the_loader_of_each_lane(merged):
    scene = Scene(merged)
    labels = {share.label for share in survey(scene, scene.origin_ns, merged.end_ns).states}
    assert {"train.py:12 · main", "train.py:13 · main", "train.py:12 · worker 0"} <= labels


def test_workers_collapse_into_a_row_for_each_loader(merged):
    merged.add(5, "train.py:15", synthetic.make_trace(num_workers=2, batches=4))
    merged.refresh()
    arranged = arrange(Scene(merged).rows, Arrangement().collapse("worker"))
    groups = [(row.key, row.label) for row in arranged.rows if row.kind == "group"]
    assert groups == [("0/workers", "3 workers"), ("5/workers", "2 workers")]


def test_a_search_for_a_lane_finds_it_in_every_loader(qtbot, timeline, merged):
    timeline.search_bar.open()
    timeline.search_bar.field.setText("main step")
    qtbot.waitUntil(lambda: timeline.search_bar.search is not None and timeline.search_bar.search.count == 30, timeout=5000)


def add_import(trace, lane, name):
    """Adds an import at the end of a worker's lane; the number of its name is the same in every trace."""
    trace.names[1] = name
    columns = {"start_ns": [trace.end_ns], "end_ns": [trace.end_ns + 5 * MS], "state": [State.IMPORT], "batch": [-1], "value": [1]}
    trace.track(trace.lanes[lane], IMPORT_DEPTH).append(**columns)


def test_names_of_modules_are_those_of_their_loader(loaders):
    other = synthetic.make_trace(num_workers=1, batches=4)
    add_import(loaders[0], "worker-0", "numpy")
    add_import(other, "worker-0", "pandas")
    merged = TrainingTrace()
    merged.add(0, "train.py:12", loaders[0])
    merged.add(3, "train.py:13", other)
    merged.refresh()
    scene = Scene(merged)
    words = [hover_card.state_word(scene, span_of(scene, lane, State.IMPORT, -1)) for lane in ("0/worker-0", "3/worker-0")]
    assert words == ["import numpy", "import pandas"]
    search = Search(scene, parse("pandas", {}, merged.names))
    assert search.advance() and search.count == 1
    assert search.next_hit(BEFORE_ALL).lane == "3/worker-0"


def test_a_figure_of_all_loaders_has_their_titles(tmp_path, merged):
    path = tmp_path / "loaders.svg"
    timeline_figure(merged, title="all loaders", caption="", width=1000).write(path, 1.0)
    assert {"train.py:12", "train.py:13"} <= set(re.findall(r">([^<>]+)</text>", path.read_text("utf-8")))


def test_late_batches_of_all_loaders_are_listed_and_found(qtbot, timeline, loaders):
    search = LateSearch(timeline)
    panel = LateBatchesPanel(timeline, search)
    qtbot.addWidget(panel)
    timeline.traceShown.emit()
    qtbot.waitUntil(lambda: panel.model.rowCount() > 0, timeout=5000)
    rows = [panel.model.row(row) for row in range(panel.model.rowCount())]
    assert {row.loader_title for row in rows} == {"train.py:12", "train.py:13"}
    assert sum(row.loader == "3/" for row in rows) == 10
    assert not panel.table.isColumnHidden(LOADER_COLUMN)
    assert panel.table.columnWidth(LOADER_COLUMN) >= panel.table.sizeHintForColumn(LOADER_COLUMN) > 0
    chosen = next(number for number, row in enumerate(rows) if (row.loader, row.batch) == ("3/", 4))
    panel.table.rowChosen.emit(chosen)
    assert (timeline.selected.lane, timeline.selected.batch) == ("3/main", batch_id(0, 4))
    timeline.set_trace(loaders[0])
    qtbot.waitUntil(lambda: panel.table.isColumnHidden(LOADER_COLUMN), timeout=5000)


def test_arrows_of_late_batches_stay_within_their_loader():
    merged = TrainingTrace()
    for trial, late in ((2, 7), (5, 9)):
        slow = synthetic.make_trace(num_workers=2, batches=30, fetch_ns=lambda batch, late=late: (400 if batch == late else 4) * MS)
        merged.add(trial, "train.py:12", slow)
    merged.refresh()
    arrows = LateArrows()
    arrows.set_waits(waits_of_loaders(merged))
    found = arrows.in_sight(merged.origin_ns, merged.end_ns, 100 * MS)
    assert {(arrow.loader, arrow.lane[:2], arrow.main) for arrow in found} == {("2/", "2/", "2/main"), ("5/", "5/", "5/main")}


def test_plots_of_batches_stay_with_their_loader(merged):
    rows = Scene(merged).rows
    queues = [row for row in rows if row.kind == "plot" and row.key.endswith("queue_depth")]
    assert [row.key for row in queues] == ["0/queue_depth"]
    assert rows.index(queues[0]) < next(number for number, row in enumerate(rows) if row.key == "3/title")


def test_optimizer_steps_are_ticks_on_main_with_a_legend_and_a_line_in_the_card(timeline, merged, loaders):
    assert OPTIMIZER_STEP.title not in [title for title, _, _ in timeline.scene.legend()]
    step = span_of(timeline.scene, "0/main", State.STEP, batch_id(0, 3))
    times_ns = [step.start_ns + 2 * MS, step.start_ns + 5 * MS]
    timeline.show_range(step.start_ns, step.end_ns)
    assert [colour_on(timeline, "0/main", time_ns) for time_ns in times_ns] == [DARK.step] * 2
    mark_optimizer_steps(loaders[0], *times_ns)
    timeline.set_trace(loaders[0])
    timeline.show_range(step.start_ns, step.end_ns)
    assert [colour_on(timeline, "main", time_ns) for time_ns in times_ns] == [DARK.text] * 2
    assert OPTIMIZER_STEP.title in [title for title, _, _ in timeline.scene.legend()]
    lines = hover_card.describe(timeline.scene, span_of(timeline.scene, "main", State.STEP, batch_id(0, 3))).lines
    assert ("optimizer steps", "2", "the first after 2.00 ms", False) in lines


def colour_on(timeline, lane, time_ns):
    """The colour of the topmost pixels of a lane's bar at a moment."""
    placed = next(placed for placed in timeline.lane_layout.rows if lane in placed.row.lanes)
    y = timeline.lane_layout.header_height - timeline.scroll_y + placed.bar_y + 1
    return timeline.grab().toImage().pixelColor(round(timeline.x_of(time_ns)), y).name()


def loaders_in_turn():
    """Two loaders, of which the second ends long before the first."""
    trace = TrainingTrace()
    trace.add(0, "train.py:12", synthetic.make_trace(num_workers=2, batches=200, fetch_ns=20 * MS, step_ns=4 * MS))
    trace.add(1, "train.py:13", synthetic.make_trace(num_workers=0, batches=10, fetch_ns=20 * MS, step_ns=4 * MS))
    trace.refresh()
    return trace


def ends_ns(scene):
    """When the two loaders of `loaders_in_turn` end."""
    return [int(scene.tracks(loader + MAIN_LANE.key)[0].end_ns[-1]) for loader in ("0/", "1/")]


def kinds_of(arranged, loader):
    return [row.kind for row in arranged.rows if row.loader == loader]


def test_a_loader_of_which_nothing_is_in_sight_idles():
    scene = Scene(loaders_in_turn())
    last_ns, short_ns = ends_ns(scene)
    assert scene.idle_loaders(scene.origin_ns, last_ns) == frozenset()
    assert scene.idle_loaders(short_ns + 50 * MS, last_ns) == {"1/"}
    assert scene.idle_loaders(last_ns + 10**9, last_ns + 2 * 10**9) == frozenset()  # all would leave an empty timeline


def test_idle_loaders_are_folded_unless_the_user_wants_them():
    scene = Scene(loaders_in_turn())
    title = next(row for row in scene.rows if row.kind == "title" and row.loader == "0/")
    plain = arrange(scene.rows, Arrangement(), ["1/"])
    assert kinds_of(plain, "1/") == ["title"] and len(kinds_of(plain, "0/")) > 1
    assert [row.is_folded for row in plain.rows if row.kind == "title"] == [False, True]
    unfolded = Arrangement().fold(next(row.loader_title for row in scene.rows if row.loader == "1/"), False)
    assert len(kinds_of(arrange(scene.rows, unfolded, ["1/"]), "1/")) > 1
    folded = Arrangement().fold(title.loader_title)
    assert kinds_of(arrange(scene.rows, folded), "0/") == ["title"]
    assert folded.fold(title.loader_title, False).folded == frozenset()
    assert Arrangement.from_text(folded.to_text()) == folded
    pinned = folded.pin("0/" + MAIN_LANE.key)
    assert kinds_of(arrange(scene.rows, pinned), "0/") == ["lane", "title"]


def test_the_view_folds_what_leaves_it_and_a_click_unfolds_it(qtbot):
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.handling = LaneHandling(timeline)
    timeline.set_trace(loaders_in_turn(), "all loaders")
    timeline.show()
    qtbot.waitExposed(timeline)
    last_ns, short_ns = ends_ns(timeline.scene)
    assert len(kinds_of(timeline.arranged, "1/")) > 1
    timeline.show_range(short_ns + 50 * MS, last_ns)
    qtbot.waitUntil(lambda: kinds_of(timeline.arranged, "1/") == ["title"], timeout=5_000)
    placed = next(placed for placed in timeline.lane_layout.rows if placed.row.kind == "title" and placed.row.loader == "1/")
    assert placed.chevron == "closed"
    at = QPoint(20, placed.y + placed.height // 2 + timeline.lane_layout.header_height - timeline.scroll_y)
    qtbot.mouseClick(timeline, Qt.MouseButton.LeftButton, pos=at)
    assert len(kinds_of(timeline.arranged, "1/")) > 1
    timeline.steps.undo()
    assert kinds_of(timeline.arranged, "1/") == ["title"]
    timeline.bring_row_up("1/" + MAIN_LANE.key)
    assert len(kinds_of(timeline.arranged, "1/")) > 1


def placed_title(timeline, loader):
    return next(placed for placed in timeline.lane_layout.rows if placed.row.kind == "title" and placed.row.loader == loader)


def test_a_folded_loader_shows_in_one_thin_row_when_it_was_active(timeline, merged):
    lane = "0/worker-0"
    height = next(placed.height for placed in timeline.lane_layout.rows if lane in placed.row.lanes)
    index = timeline.scene.tracks(lane)[0]
    row = int(index.rows_of(State.FETCH)[2])
    fetch_ns, idle_ns = int(index.start_ns[row] + index.end_ns[row]) // 2, merged.origin_ns + 1
    timeline.fold_loader(placed_title(timeline, "0/").row)
    placed = placed_title(timeline, "0/")
    assert placed.row.lanes == ("0/worker-0", "0/worker-1", "0/worker-2") and placed.height < height
    image = timeline.grab().toImage()
    y = timeline.lane_layout.header_height + placed.bar_y + placed.bar_height - 1
    seen = {image.pixelColor(round(timeline.x_of(time_ns)), y).name() for time_ns in (fetch_ns, fetch_ns + 1000)}
    assert seen == {DARK.fetch}
    assert image.pixelColor(round(timeline.x_of(idle_ns)) - 3, y).name() != DARK.fetch


def test_a_folded_loader_of_which_nothing_is_in_sight_says_so(qtbot, timeline, merged):
    def has_text():
        placed = placed_title(timeline, "3/")
        image, y = timeline.grab().toImage(), timeline.lane_layout.header_height + placed.y + placed.height // 2
        left = timeline.lane_layout.label_width
        return any(image.pixelColor(x, y + dy).lightness() > 100 for x in range(left, left + 80) for dy in range(-4, 5))

    last_ns = int(timeline.scene.tracks("3/main")[0].end_ns[-1])
    timeline.fold_loader(placed_title(timeline, "3/").row)
    timeline.show_range(merged.origin_ns, last_ns)
    is_active = has_text()  # its spans are as light as a text
    timeline.show_range(last_ns + 10 * MS, merged.end_ns)
    assert is_active and has_text()
    timeline.fold_loader(placed_title(timeline, "3/").row)
    assert not has_text()


def test_a_folded_loader_without_workers_shows_what_main_fetches():
    scene = Scene(loaders_in_turn())
    folded = next(row for row in arrange(scene.rows, Arrangement(), ["1/"]).rows if row.is_folded)
    assert folded.lanes == ("1/main",) and folded.lane_kind == MAIN_LANE.kind


def test_a_title_says_how_many_batches_a_loader_gave_and_how_long_it_was_waited_for(merged, loaders):
    scene = Scene(merged)
    waits = spans_of(loaders[0], MAIN_LANE.key, State.WAIT, State.ITERATOR)
    waited_ns = int((waits.end_ns - waits.start_ns).sum())
    use = scene.use_of_loader("0/")
    assert (use.batches, use.waited_ns) == (20, waited_ns)
    key = TrackKey(MAIN_LANE.key, 0)
    loaders[0].forgotten = {(key, State.STEP): ForgottenSpans(5, 5, 7), (key, State.WAIT): ForgottenSpans(5, 5, 11)}
    loaders[0].version += 1
    merged.refresh()
    use = scene.use_of_loader("0/")
    assert (use.batches, use.waited_ns) == (25, waited_ns + 11)


def test_the_selected_span_keeps_the_lane_commands_on_its_folded_loader(timeline):
    handling = LaneHandling(timeline)
    timeline.go_to(span_of(timeline.scene, "0/main", State.STEP, batch_id(0, 5)))
    handling.fold()
    assert kinds_of(timeline.arranged, "0/") == ["title"]
    handling.fold()
    assert len(kinds_of(timeline.arranged, "0/")) > 1


def test_rows_stay_while_a_mouse_button_is_down(qtbot):
    timeline = TimelineWidget()
    qtbot.addWidget(timeline)
    timeline.resize(WIDTH, HEIGHT)
    timeline.set_trace(loaders_in_turn(), "all loaders")
    timeline.show()
    qtbot.waitExposed(timeline)
    last_ns, short_ns = ends_ns(timeline.scene)
    QTest.mousePress(timeline.windowHandle(), Qt.MouseButton.LeftButton, pos=QPoint(300, 200))
    assert QApplication.mouseButtons() == Qt.MouseButton.LeftButton
    with qtbot.waitSignal(timeline._fold_timer.timeout):
        timeline.show_range(short_ns + 50 * MS, last_ns)
    assert len(kinds_of(timeline.arranged, "1/")) > 1
    QTest.mouseRelease(timeline.windowHandle(), Qt.MouseButton.LeftButton, pos=QPoint(300, 200))
    qtbot.waitUntil(lambda: kinds_of(timeline.arranged, "1/") == ["title"], timeout=5_000)


def test_the_figure_has_the_thin_row_of_a_folded_loader(merged):
    def rows(arrangement):
        return timeline_figure(merged, arrangement=arrangement).height

    title = next(row.loader_title for row in Scene(merged).rows if row.loader == "0/")
    assert rows(Arrangement().fold(title)) < rows(Arrangement())
