"""The tables of lanes, states, legend and plots: they are whole, and what is made from them agrees."""

import html

import pytest

from loaderscope.agent.layout import State
from loaderscope.facts import lanes
from loaderscope.facts.lanes import GPU_STEP, LANE_KINDS, LEGEND, PLOTS, STATES, STEP, LaneFact, plot_of
from loaderscope.gui.style.palette import PALETTES
from loaderscope.gui.timeline.data.scene import Scene
from loaderscope.gui.timeline.data.search_query import parse
from loaderscope.gui.timeline.data.state_styles import LEVEL_PARTS, nesting_level
from loaderscope.gui.window.help_page import help_html
from loaderscope.trace.lane_table import MAIN_LANE, lane_of
from loaderscope.trace.model import STATE_NAMES, Lane, SeriesInfo, Trace

LANES = [value for value in vars(lanes).values() if isinstance(value, LaneFact)]


def test_every_lane_is_of_a_kind_that_a_session_can_have():
    assert {lane.kind for lane in LANES} == {kind.key for kind in LANE_KINDS}
    assert len({lane.title for lane in LANES}) == len(LANES)


def test_lanes_of_a_series_have_keys_and_titles_of_their_own():
    assert lane_of(lanes.WORKER, 12) == Lane("worker-12", "worker", "worker 12", lanes.WORKER.order + 12)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=lambda palette: palette.name)
def test_every_palette_has_the_colours(palette):
    roles = {fact.role for fact in STATES} | {entry.role for entry in LEGEND} | {plot.role for plot in PLOTS if plot.role}
    assert all(palette.role(role) for role in roles)


def test_a_state_is_drawn_once_and_belongs_to_the_legend():
    assert len({fact.state for fact in STATES}) == len(STATES)
    assert {fact.state for fact in STATES} <= STATE_NAMES.keys()
    assert {fact.legend for fact in STATES} == set(LEGEND)
    assert len({entry.title for entry in LEGEND}) == len(LEGEND)


def test_what_a_lane_counts_as_busy_is_drawn_on_it():
    for kind in LANE_KINDS:
        assert all(nesting_level(kind.key, state) is not None for state in kind.busy_states)
    assert all(0 <= nesting_level(kind.key, fact.state) < len(LEVEL_PARTS) for kind in LANE_KINDS for fact in STATES)


def test_without_workers_main_fetches_within_its_wait():
    assert (nesting_level("worker", State.FETCH), nesting_level("main", State.FETCH)) == (0, 1)


@pytest.mark.parametrize("fact", STATES, ids=lambda fact: STATE_NAMES[fact.state])
def test_a_state_is_found_by_its_title(fact):
    assert fact.state in parse(fact.title, {}, {}).states


@pytest.mark.parametrize("entry", LEGEND, ids=lambda entry: entry.title)
def test_help_says_what_each_colour_of_the_legend_means(entry):
    for palette in PALETTES.values():
        page = help_html(palette)
        assert html.escape(entry.tip) in page
        assert palette.role(entry.lines_role or entry.role) in page


def test_the_legend_names_steps_of_a_gpu_once():
    trace = Trace()
    for lane, state in ((MAIN_LANE, State.STEP), (lane_of(lanes.DEVICE_STEP), State.DEVICE_STEP)):
        trace.track(lane, 0).append(start_ns=[0], end_ns=[5], state=[state], batch=[0], value=[0])
    trace.origin_ns, trace.newest_ns, trace.version = 0, 5, 1
    titles = [title for title, _, _ in Scene(trace).legend()]
    assert titles == [GPU_STEP.title] and STEP.title not in titles


def test_plots_stand_in_the_order_of_the_table_and_those_of_other_versions_below():
    plots = [plot for plot in PLOTS if not plot.key.startswith("memory")]
    trace = Trace()
    for plot in (plot_of("zebras"), *reversed(plots)):
        trace.series_of(SeriesInfo(f"{plot.key}/0", plot.key, "", "")).append(time_ns=[0], value=[50.0])
    trace.origin_ns, trace.version = 0, 1
    rows = {row.key: row for row in Scene(trace).rows if row.kind == "plot"}
    assert list(rows) == [plot.key for plot in (*plots, plot_of("zebras"))]
    for plot in plots:
        row = rows[plot.key]
        assert (row.label, row.section, row.is_optional) == (plot.title, plot.section, plot.is_optional)


@pytest.mark.parametrize("kind", ["pss", "private", "uss", "rss", "commit"])
def test_the_memory_that_is_drawn_says_which_it_is(kind):
    trace = Trace()
    for key, group in ((kind, "memory"), ("shared_dirty", "memory_shared")):
        trace.series_of(SeriesInfo(f"{key}/main", group, "", "bytes")).append(time_ns=[0], value=[1.0])
    trace.origin_ns, trace.version = 0, 1
    rows = {row.key: row for row in Scene(trace).rows if row.kind == "plot"}
    assert (rows["memory"].label, rows["memory"].is_optional) == (plot_of(f"memory_{kind}").title, False)
    assert rows["memory_shared"].is_optional
