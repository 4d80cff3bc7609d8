"""Nothing is painted when nothing changed, and what is painted in parts looks like all of it painted anew."""

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication
from synthetic import MS
from timeline_actions import HEIGHT, WIDTH, Key, move, press

from loaderscope.agent.layout import State
from loaderscope.gui.style.theme import apply_theme, current_palette
from loaderscope.trace import lane_table
from loaderscope.trace.model import Trace


def test_nothing_is_painted_when_nothing_changed(widget):
    paints = widget.backing.paints
    for _ in range(5):
        widget.refresh()
        widget.repaint()
    move(widget, QPoint(300, 200))
    widget.repaint()
    move(widget, QPoint(320, 200))
    widget.repaint()
    assert widget.backing.paints == paints


def test_panning_paints_only_what_came_into_view_and_looks_the_same(widget, trace):
    for _ in range(5):
        press(widget, Key.Key_W)
    widget.repaint()
    paints, parts = widget.backing.paints, widget.backing.parts
    widget.pan_px(37)
    widget.repaint()
    assert (widget.backing.paints, widget.backing.parts) == (paints, parts + 1)
    plot = (widget.lane_layout.label_width + 60, widget.lane_layout.header_height, 700, HEIGHT - widget.lane_layout.header_height)
    moved = widget.grab().toImage().copy(*plot)
    widget.backing.invalidate()
    anew = widget.grab().toImage().copy(*plot)
    different = sum(moved.pixel(x, y) != anew.pixel(x, y) for x in range(0, moved.width(), 3) for y in range(0, moved.height(), 3))
    assert different < 0.002 * moved.width() * moved.height() / 9  # names that were cut at the old edge


def many_spans(count=60_000):
    """A main lane that mostly waits and a worker, with far more spans than pixels, and one stall of each."""
    trace = Trace()
    trace.origin_ns = 10**15
    random = np.random.default_rng(5)
    for lane, states in ((lane_table.MAIN_LANE, (State.WAIT, State.STEP)), (lane_table.worker_lane(0), (State.FETCH, State.COLLATE))):
        durations = random.integers(50_000, 150_000, count)
        durations[count // 2] = 5 * MS
        end = trace.origin_ns + np.cumsum(durations + random.integers(0, 30_000, count))
        state = np.resize(np.array(states), count)
        trace.track(lane, 0).append(start_ns=end - durations, end_ns=end, state=state, batch=np.arange(count), value=np.zeros(count))
        trace.newest_ns = max(trace.newest_ns, int(end[-1]))
    trace.unavailable["nvml"] = "this machine has no GPU"  # said in the plot's place, in words that must not move
    trace.version = 1
    return trace


@pytest.mark.parametrize("pixels", [1, 37, -120])
def test_panning_over_columns_looks_like_all_of_it_painted_anew(widget, pixels):
    """Heights, hatching and marks: every pixel is the same."""
    widget.set_trace(many_spans(), "many")
    widget.repaint()
    widget.zoom_in()
    widget.repaint()
    parts = widget.backing.parts
    widget.pan_px(pixels)
    widget.repaint()
    assert widget.backing.parts == parts + 1
    layout = widget.lane_layout
    plot = (layout.label_width, layout.header_height, layout.plot_width, HEIGHT - layout.header_height)
    moved = widget.backing.picture().copy(*plot)
    widget.backing.invalidate()
    widget.repaint()
    assert moved == widget.backing.picture().copy(*plot)


def test_one_long_span_among_thousands_is_marked(widget):
    trace = many_spans()
    widget.set_trace(trace, "many")
    widget.repaint()
    image, layout = widget.backing.picture(), widget.lane_layout
    ink = current_palette().text
    for placed in layout.rows[:2]:
        y = layout.header_height + placed.bar_y - 1
        marked = [x for x in range(layout.label_width, WIDTH - 12) if image.pixelColor(x, y).name() == ink]
        index = widget.scene.tracks(placed.row.lanes[0])[0]
        start_ns = int(index.start_ns[(index.end_ns - index.start_ns).argmax()])
        expected = layout.label_width + widget.viewport.x_of(start_ns - trace.origin_ns, layout.plot_width)
        assert marked == pytest.approx([expected, expected + 1], abs=1)


def test_a_view_that_was_panned_is_painted_anew_when_it_has_settled(widget, qtbot):
    for _ in range(5):
        press(widget, Key.Key_W)
    widget.repaint()
    paints = widget.backing.paints
    widget.pan_px(20)
    widget.repaint()
    qtbot.waitUntil(lambda: widget.backing.paints == paints + 1, timeout=3000)


def test_the_theme_shows_at_once(widget):
    dark = widget.grab().toImage().pixelColor(5, HEIGHT - 5).lightness()
    apply_theme(QApplication.instance(), "light")
    light = widget.grab().toImage().pixelColor(5, HEIGHT - 5).lightness()
    apply_theme(QApplication.instance(), "dark")
    assert dark < 60 < 200 < light
