"""What the mouse and the keys do to a chart: zoom, pan, reset, hide, read off, choose, and a logarithmic axis."""

from __future__ import annotations

import gc
import math
import weakref

import pyqtgraph as pg
import pytest
import shiboken6
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QScrollArea, QToolTip
from support_session import config_of
from timeline_actions import UP, drag, move, press, wheel

from loaderscope.facts.estimates import Estimate
from loaderscope.facts.results import Recommendation, SettingResult, TrialResult
from loaderscope.facts.startup_results import Phase, Startup
from loaderscope.gui.charts.chart import PlotChart
from loaderscope.gui.charts.legend import LegendEntry
from loaderscope.gui.charts.startup_chart import STARTUP, StartupData, startup_data
from loaderscope.gui.charts.throughput_chart import THROUGHPUT_CHART, ThroughputData, throughput_data
from loaderscope.gui.style.palette import DARK, LIGHT
from loaderscope.gui.style.theme import apply_theme

Key, Button, Modifier = Qt.Key, Qt.MouseButton, Qt.KeyboardModifier

FORK = {1: 100.0, 2: 195.0, 4: 330.0}
SPAWN = {1: 60.0, 2: 90.0, 4: 140.0}


def data_of(fork=FORK, spawn=SPAWN, ci95=(5.0, 7.0)):
    """Two lines; the trials of spawn have 10 added to their numbers."""
    settings = [
        SettingResult(config_of(workers, start_method=method), [first + workers], Estimate(value, (value - ci95[0], value + ci95[1])))
        for method, line, first in (("fork", fork, 0), ("spawn", spawn, 10))
        for workers, value in line.items()
    ]
    return throughput_data(settings, None)


def bars():
    phases = [Phase(0, "worker-0", "main_import", 0.0, 1.0), Phase(0, "worker-0", "first_fetch", 1.0, 0.4)]
    results = [
        TrialResult(number, 0, "ok", config_of(number + 1), first_batch_s=1.4, startup=Startup(1.0, None, phases)) for number in range(3)
    ]
    return startup_data(results)


@pytest.fixture(autouse=True)
def every_move_counts():
    """pyqtgraph passes over moves of the mouse that follow each other quickly."""
    pace = pg.getConfigOption("mouseRateLimit")
    pg.setConfigOption("mouseRateLimit", -1)
    yield
    pg.setConfigOption("mouseRateLimit", pace)


@pytest.fixture
def show(qtbot):
    """Shows a chart, with the focus."""

    def show(kind, data):
        apply_theme(QApplication.instance(), "dark")
        chart = PlotChart(kind, data, "A chart")
        qtbot.addWidget(chart)
        chart.resize(600, 360)
        with qtbot.waitActive(chart):
            chart.show()
            chart.activateWindow()
        chart.setFocus()
        chart.grab()
        return chart

    return show


@pytest.fixture
def chart(show):
    """A throughput chart of two lines."""
    return show(THROUGHPUT_CHART, data_of())


@pytest.fixture
def rows(show):
    """A chart of three bars."""
    return show(STARTUP, bars())


def surface(chart):
    """What the mouse meets."""
    return chart.plot.view.viewport()


def spot(chart, x, y):
    """Pixels of a place on both axes."""
    y = math.log10(y) if chart.plot.is_log else y
    return chart.plot.box.mapViewToScene(QPointF(x, y)).toPoint()


def ranges(chart):
    x, y = chart.plot.box.viewRange()
    return tuple(x), tuple(y)


def spans(chart):
    return [high - low for low, high in ranges(chart)]


def entry(chart, name):
    return next(item for item in chart.plot.view.scene().items() if isinstance(item, LegendEntry) and item.name == name)


def click_entry(chart, name):
    found = entry(chart, name)
    QTest.mouseClick(surface(chart), Button.LeftButton, Modifier.NoModifier, found.sceneBoundingRect().center().toPoint())


def shown_text(chart):
    """What the crosshair says."""
    texts = [item.toPlainText() for item in chart.plot.item.items if isinstance(item, pg.TextItem) and item.isVisible()]
    return texts[0] if texts else None


# Zooming and panning


def test_the_wheel_zooms_around_the_mouse(chart):
    (x0, x1), (y0, y1) = whole = ranges(chart)
    at = spot(chart, 2, 195)
    under = chart.plot.box.mapSceneToView(QPointF(at))
    wheel(surface(chart), at)
    (a0, a1), (b0, b1) = ranges(chart)
    assert x0 < a0 < a1 < x1 and y0 <= b0 < b1 < y1
    still = chart.plot.box.mapSceneToView(QPointF(at))
    assert still.x() == pytest.approx(under.x(), abs=0.02) and still.y() == pytest.approx(under.y(), abs=2)
    for _ in range(5):
        wheel(surface(chart), at, QPoint(0, -120))
    assert ranges(chart) == (pytest.approx(whole[0]), pytest.approx(whole[1])), "no further than all of it"


def test_keys_zoom_and_pan(chart):
    whole = spans(chart)
    press(chart, Key.Key_Plus)
    near = spans(chart)
    assert near == [pytest.approx(0.8 * span) for span in whole]
    before = ranges(chart)
    for key, axis, sign in ((Key.Key_Left, 0, -1), (Key.Key_Right, 0, 1), (Key.Key_Down, 1, -1), (Key.Key_Up, 1, 1)):
        low = ranges(chart)[axis][0]
        press(chart, key)
        assert (ranges(chart)[axis][0] - low) * sign > 0, key
    assert spans(chart) == [pytest.approx(span) for span in near]
    assert ranges(chart) == tuple(pytest.approx(part) for part in before)
    press(chart, Key.Key_Minus)
    assert spans(chart) == [pytest.approx(span) for span in whole]


def test_a_drag_moves_what_is_in_sight(chart):
    press(chart, Key.Key_Plus)
    press(chart, Key.Key_Plus)
    (x0, _), (y0, _) = ranges(chart)
    begin = surface(chart).rect().center()
    drag(surface(chart), begin, begin + QPoint(-60, 20))
    (a0, _), (b0, _) = ranges(chart)
    assert a0 > x0 and b0 > y0


@pytest.mark.parametrize("how", ["key", "double click"])
def test_all_of_it_is_shown_again(chart, how):
    whole = ranges(chart)
    for _ in range(3):
        wheel(surface(chart), spot(chart, 2, 195))
    assert ranges(chart) != whole and not chart.plot.is_whole
    if how == "key":
        press(chart, Key.Key_0)
    else:
        QTest.mouseClick(surface(chart), Button.LeftButton, Modifier.NoModifier, spot(chart, 3, 20))
        assert not chart.plot.is_whole
        for act in (QTest.mouseDClick, QTest.mouseRelease):  # the former sends no more than its name says
            act(surface(chart), Button.LeftButton, Modifier.NoModifier, spot(chart, 3, 20))
    assert chart.plot.is_whole and ranges(chart) == tuple(pytest.approx(part) for part in whole)


def test_bars_zoom_along_their_axis_only(rows):
    (_, x1), heights = ranges(rows)
    wheel(surface(rows), spot(rows, 0.5, 1.5))
    press(rows, Key.Key_Plus)
    press(rows, Key.Key_Up)
    assert ranges(rows)[0][1] < x1 and ranges(rows)[1] == heights


def test_the_wheel_scrolls_a_chart_that_is_higher_than_its_place_and_ctrl_zooms_it(qtbot):
    chart = PlotChart(STARTUP, bars(), "A chart")
    chart.setMinimumHeight(900)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(chart)
    qtbot.addWidget(area)
    area.resize(500, 300)
    with qtbot.waitExposed(area):
        area.show()
    bar = area.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    at = QPoint(250, 150)
    before = ranges(chart)
    place = chart.mapTo(area.window(), at)
    QTest.wheelEvent(area.windowHandle(), QPointF(place), QPoint(0, -120))
    assert bar.value() > 0 and ranges(chart) == before
    place = chart.mapTo(area.window(), at + QPoint(0, bar.value()))
    scrolled = bar.value()
    QTest.wheelEvent(area.windowHandle(), QPointF(place), UP, QPoint(), Modifier.ControlModifier)
    assert bar.value() == scrolled and spans(chart)[0] < before[0][1] - before[0][0]


def test_the_wheel_zooms_a_chart_that_has_its_place(qtbot):
    chart = PlotChart(STARTUP, bars(), "A chart")
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(chart)
    qtbot.addWidget(area)
    area.resize(500, 400)
    with qtbot.waitExposed(area):
        area.show()
    before = spans(chart)
    wheel(surface(chart), QPoint(250, 150))
    assert spans(chart)[0] < before[0]


# What the legend hides


def pixels_of(chart, colour):
    """Pixels of the plot, without its legend, that look like a colour."""
    image = chart.grab().toImage()
    inside = chart.plot.box.sceneBoundingRect().toRect()
    wanted = QColor(colour).getRgb()[:3]
    return sum(
        all(abs(a - b) < 12 for a, b in zip(image.pixelColor(x, y).getRgb(), wanted, strict=False))
        for x in range(inside.left(), inside.right())
        for y in range(inside.top(), inside.bottom())
    )


def test_a_click_into_the_legend_hides_a_line_with_its_points_and_intervals_and_shows_it_again(chart):
    fork, spawn = (pixels_of(chart, colour) for colour in DARK.lines[:2])
    assert fork > 100 and spawn > 100
    click_entry(chart, "fork")
    assert pixels_of(chart, DARK.lines[0]) == 0
    assert pixels_of(chart, DARK.lines[1]) == pytest.approx(spawn, rel=0.02)
    assert chart.state.hidden == {"fork"} and entry(chart, "fork").opacity() < 0.6 < entry(chart, "spawn").opacity()
    at = QPointF(spot(chart, 2, 195))
    assert chart.plot.find(at) is None
    click_entry(chart, "fork")
    assert chart.state.hidden == frozenset()
    assert pixels_of(chart, DARK.lines[0]) == pytest.approx(fork, rel=0.02) and chart.plot.find(at).trial == 2


def test_a_click_into_the_legend_hides_the_bars_of_a_phase(rows):
    colour = DARK.startup
    imported = next(target for target in rows.plot.targets if "import" in target.text)
    middle = QPointF(spot(rows, sum(imported.x) / 2, sum(imported.y) / 2))
    assert pixels_of(rows, colour) > 100 and "import" in rows.plot.find(middle).text
    click_entry(rows, imported.name)
    assert pixels_of(rows, colour) == 0
    assert "first batch after" in rows.plot.find(middle).text, "the row is there still"
    click_entry(rows, imported.name)
    assert "import" in rows.plot.find(middle).text


# A logarithmic axis


def test_a_key_makes_the_axis_logarithmic_and_back(chart):
    heights = [spot(chart, 1, value).y() for value in (50, 100, 200)]
    assert heights[0] - heights[1] != pytest.approx(heights[1] - heights[2], abs=1)
    press(chart, Key.Key_L)
    assert chart.plot.is_log and chart.state.is_log
    heights = [spot(chart, 1, value).y() for value in (50, 100, 200)]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=1)
    at = QPointF(spot(chart, 4, 330))
    assert chart.plot.box.sceneBoundingRect().contains(at) and chart.plot.find(at).trial == 4
    press(chart, Key.Key_L)
    assert not chart.plot.is_log and chart.plot.is_whole


def test_a_logarithmic_axis_leaves_out_what_is_not_above_zero(show):
    chart = show(THROUGHPUT_CHART, data_of(fork={1: 100.0, 2: 0.0, 4: 330.0}, ci95=(0.0, 0.0)))
    at = QPointF(spot(chart, 2, 0))
    assert chart.plot.find(at).trial == 2
    press(chart, Key.Key_L)
    chart.grab()
    (_, (low, high)) = ranges(chart)
    assert 10**low < 60 < 330 < 10**high, "from a little below the smallest value above 0"
    inside = chart.plot.box.sceneBoundingRect()
    found = {chart.plot.find(QPointF(x, y)) for x in range(int(inside.left()), int(inside.right()), 6) for y in range(0, 360, 6)}
    trials = {target.trial for target in found if target is not None}
    assert 2 not in trials and {1, 4, 11, 12, 14} <= trials


def test_an_axis_of_bars_is_never_logarithmic(rows):
    press(rows, Key.Key_L)
    assert not rows.plot.is_log and not any(action.isEnabled() for action in rows.actions() if action.isCheckable())


# Reading off and choosing


def test_the_crosshair_reads_values_off_with_their_units(chart):
    move(surface(chart), spot(chart, 2, 195))
    workers, rate = shown_text(chart).split(" · ")
    assert float(workers.removesuffix(" workers")) == pytest.approx(2, abs=0.02)
    assert float(rate.removesuffix(" samples/s")) == pytest.approx(195, abs=2)
    QCoreApplication.sendEvent(surface(chart), QEvent(QEvent.Type.Leave))
    assert shown_text(chart) is None


def test_the_crosshair_reads_a_logarithmic_axis_off_in_plain_values_and_says_how_to_see_all(chart):
    press(chart, Key.Key_L)
    wheel(surface(chart), spot(chart, 2, 195))
    move(surface(chart), spot(chart, 2, 195))
    _, rate, more = shown_text(chart).split(" · ")
    assert float(rate.removesuffix(" samples/s")) == pytest.approx(195, rel=0.03)
    assert "double click" in more


def test_the_mouse_finds_a_point_and_names_it_with_its_interval(chart):
    move(surface(chart), spot(chart, 2, 195) + QPoint(3, -3))
    lines = QToolTip.text().splitlines()
    assert "2 workers" in lines[0] and "fork" in lines[0]
    assert "195" in lines[1]
    assert "190" in lines[2] and "202" in lines[2] and "95 %" in lines[2]
    assert surface(chart).cursor().shape() == Qt.CursorShape.PointingHandCursor
    move(surface(chart), spot(chart, 2, 195) + QPoint(0, -40))
    assert surface(chart).cursor().shape() == Qt.CursorShape.ArrowCursor


def test_a_click_on_a_point_or_a_bar_chooses_its_trial_and_beside_them_none(qtbot, show):
    chart = show(THROUGHPUT_CHART, data_of())
    for x, y, trial in ((2, 195, 2), (4, 140, 14)):
        with qtbot.waitSignal(chart.trialChosen) as chosen:
            QTest.mouseClick(surface(chart), Button.LeftButton, Modifier.NoModifier, spot(chart, x, y))
        assert chosen.args == [trial]
    with qtbot.assertNotEmitted(chart.trialChosen):
        QTest.mouseClick(surface(chart), Button.LeftButton, Modifier.NoModifier, spot(chart, 3, 20))
    rows = show(STARTUP, bars())
    with qtbot.waitSignal(rows.trialChosen) as chosen:
        QTest.mouseClick(surface(rows), Button.LeftButton, Modifier.NoModifier, spot(rows, 0.5, 1.5))
    assert chosen.args == [1]


def test_lines_that_are_not_told_apart_answer_the_mouse(show, qtbot):
    settings = [
        SettingResult(config_of(workers, prefetch_factor=prefetch), [100 * prefetch + workers], Estimate(workers * 50.0 + prefetch))
        for prefetch in range(2, 2 + 2 * len(DARK.lines) + 1)
        for workers in (1, 4)
    ]
    chart = show(THROUGHPUT_CHART, throughput_data(settings, None))
    at = spot(chart, 1, 52)
    move(surface(chart), at)
    assert QToolTip.text().startswith("1 worker · ") and "52" in QToolTip.text()
    with qtbot.waitSignal(chart.trialChosen) as chosen:
        QTest.mouseClick(surface(chart), Button.LeftButton, Modifier.NoModifier, at)
    assert chosen.args == [201]
    name = chart.plot.find(QPointF(at)).name
    click_entry(chart, name)
    found = chart.plot.find(QPointF(at))
    assert found is None or found.name != name


# Other data, other colours


def test_all_widgets_of_a_plot_go_with_its_view_and_not_when_python_collects_garbage(chart):
    """Qt crashes where a widget goes while it restyles all widgets, as another theme makes it do."""
    known = set(QApplication.allWidgets())
    old, menu = chart.plot.view, weakref.ref(chart.plot.item.ctrlMenu)
    chart.set_data(data_of(fork={**FORK, 3: 260.0}))
    gc.collect()
    assert shiboken6.isValid(menu()) and shiboken6.isValid(old)
    QCoreApplication.sendPostedEvents(old, QEvent.Type.DeferredDelete)
    assert not shiboken6.isValid(old)
    assert len(QApplication.allWidgets()) == len(known)


def test_data_that_come_in_keep_the_zoom_the_hidden_lines_and_the_logarithm(chart):
    press(chart, Key.Key_L)
    click_entry(chart, "spawn")
    for _ in range(3):
        wheel(surface(chart), spot(chart, 2, 195))
    before = ranges(chart)
    old = chart.plot
    chart.set_data(data_of(fork={**FORK, 3: 260.0}))
    assert chart.plot is not old and len(chart.plot.targets) == 7
    assert ranges(chart) == tuple(pytest.approx(part) for part in before)
    assert chart.plot.is_log and chart.state.hidden == {"spawn"}
    assert chart.plot.find(QPointF(spot(chart, 2, 90))) is None


def test_a_chart_that_shows_all_shows_all_of_what_comes_in(chart):
    high = ranges(chart)[1][1]
    chart.set_data(data_of(fork={**FORK, 8: 900.0}))
    assert chart.plot.is_whole and ranges(chart)[1][1] > high and ranges(chart)[0][1] > 8


def test_a_chart_without_data_says_so_again_and_forgets_what_was_zoomed(chart):
    wheel(surface(chart), spot(chart, 2, 195))
    chart.set_data(ThroughputData())
    assert chart.plot is None and chart.is_empty
    press(chart, Key.Key_Plus)
    press(chart, Key.Key_L)
    chart.set_data(data_of())
    assert chart.plot.is_whole


def test_the_same_data_draw_nothing_anew(chart):
    plot = chart.plot
    chart.set_data(data_of())
    assert chart.plot is plot


def test_a_chart_that_is_not_seen_is_drawn_when_it_is(qtbot):
    chart = PlotChart(STARTUP, StartupData(), "A chart")
    qtbot.addWidget(chart)
    chart.set_data(bars())
    assert chart.plot is None and not chart.is_empty
    chart.show()
    assert len({target.trial for target in chart.plot.targets}) == 3


@pytest.mark.parametrize(("theme", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_another_theme_redraws_the_chart_as_it_is_zoomed(chart, theme, palette):
    wheel(surface(chart), spot(chart, 2, 195))
    before = ranges(chart)
    apply_theme(QApplication.instance(), "light" if theme == "dark" else "dark")
    apply_theme(QApplication.instance(), theme)
    assert chart.plot.palette is palette
    assert chart.grab().toImage().pixelColor(5, 300).name() == palette.base
    assert pixels_of(chart, palette.lines[0]) > 50
    assert ranges(chart) == tuple(pytest.approx(part) for part in before)


def colours_around(chart, at, reach):
    image = chart.plot.view.grab().toImage()
    return {
        image.pixelColor(round(at.x() + dx), round(at.y() + dy)).name()
        for dx in range(-reach, reach + 1)
        for dy in range(-reach, reach + 1)
    }


def test_an_axis_that_takes_another_width_covers_no_point(show):
    chart = show(THROUGHPUT_CHART, data_of(fork={0: 100.0, 4: 330.0}, spawn={0: 100.0, 4: 140.0}))
    for width_px in (2, 60):
        chart.plot.item.getAxis("left").setWidth(width_px)
        QApplication.processEvents()
        assert DARK.lines[0] in colours_around(chart, spot(chart, 0, 100.0), 2)


def test_the_ring_and_the_name_of_the_best_point_go_with_its_line(show):
    settings = [SettingResult(config_of(workers, start_method="fork"), [workers], Estimate(value, None)) for workers, value in FORK.items()]
    settings += [SettingResult(config_of(1, start_method="spawn"), [9], Estimate(60.0, None))]
    best = settings[1].config
    chart = show(THROUGHPUT_CHART, throughput_data(settings, Recommendation(best, best, [], None, None, None, 8, "because")))
    at = spot(chart, 2, FORK[2])
    assert DARK.good in colours_around(chart, at, 9)
    chart.plot.toggle("fork")
    assert DARK.good not in colours_around(chart, at, 9)
    chart.plot.toggle("fork")
    assert DARK.good in colours_around(chart, at, 9)
